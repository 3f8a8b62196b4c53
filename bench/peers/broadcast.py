"""Hands a source's messages to its clients with broadcast() of websockets.

usage: broadcast.py LISTEN SOURCE [--compress] [CERT KEY]
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve


async def listen(source, clients):
    async for message in source:
        broadcast(clients, message)


async def main(address, source, *files, compress):
    clients = set()

    async def client(connection):
        clients.add(connection)
        try:
            await connection.wait_closed()
        finally:
            clients.discard(connection)

    tls = None
    if files:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
    host, port = address.rsplit(":", 1)
    compression = "deflate" if compress else None
    async with (
        serve(client, host, int(port), ssl=tls, compression=compression, backlog=4096),
        connect(source, compression=None, max_queue=None) as feed,
    ):
        await listen(feed, clients)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--compress"]
    if len(words) not in (2, 4):
        sys.exit(__doc__)
    asyncio.run(main(*words, compress="--compress" in sys.argv))
