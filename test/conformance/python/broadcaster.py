"""A broadcaster on the Python library websockets, as its documentation has it.

Prints its port and then, as JSON lines, who connected and what they said.
Orders come as JSON lines: messages to send to all, and the seconds between
them. With an argument it sends nothing to those who haven't sent that first.
"""
import asyncio
import json
import sys

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

SUBSCRIPTION = sys.argv[1] if len(sys.argv) > 1 else ""
CLIENTS = set()


def tell(**news):
    print(json.dumps(news), flush=True)


async def handle(connection):
    tell(connected=connection.response.headers.get("Sec-WebSocket-Extensions", ""))
    if SUBSCRIPTION:
        try:
            said = await connection.recv()
        except ConnectionClosed:
            return
        tell(said=said)
        if said != SUBSCRIPTION:
            return
    CLIENTS.add(connection)
    try:
        await connection.wait_closed()
    finally:
        CLIENTS.discard(connection)


async def carry_out(order):
    for message in order["messages"]:
        with open(message["file"], "rb") as file:
            data = file.read()
        broadcast(CLIENTS, data.decode() if message["text"] else data)
        await asyncio.sleep(order["pause"])
    tell(sent=True)


async def main():
    async with serve(handle, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await carry_out(json.loads(line))


asyncio.run(main())
