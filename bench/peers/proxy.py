"""Relays each client's messages to a server, and back, with websockets.

usage: proxy.py LISTEN SERVER [CERT KEY]
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def relay(source, target):
    async for message in source:
        await target.send(message)
    await target.close(source.close_code or 1011, source.close_reason or "")


async def main(address, server, *files):
    async def session(client):
        async with connect(server + client.request.path, compression=None) as leg:
            await asyncio.gather(relay(client, leg), relay(leg, client))

    tls = None
    if files:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
    host, port = address.rsplit(":", 1)
    async with serve(session, host, int(port), ssl=tls, compression=None, backlog=4096) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
