"""A market feed that knows nothing of Sluice. usage: feed.py [PORT]"""
import asyncio, json, random, sys
from websockets.asyncio.server import broadcast, serve

port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
clients = set()

async def join(client):
    clients.add(client)
    try:
        await client.wait_closed()
    finally:
        clients.discard(client)

async def main():
    async with serve(join, "localhost", port):
        n = 0
        while n := n + 1:
            broadcast(clients, json.dumps({"n": n, "symbol": random.choice("ABC"), "price": random.randint(90, 110), "server": port}))
            await asyncio.sleep(0.1)

asyncio.run(main())
