"""A client that counts, and comes back for what it missed. usage: listen.py [URL]"""
import asyncio, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8080/"

async def main():
    place = ""
    while True:
        try:
            async with connect(url + place) as server:
                epoch, n = server.response.headers["Sluice-Offset"].rsplit("-", 1)
                place = f"?sluice_from={epoch}-{n}"
                async for message in server:
                    print(message, flush=True)
                    n = int(n) + 1
                    place = f"?sluice_from={epoch}-{n}"
        except (OSError, ConnectionClosed, InvalidHandshake) as problem:
            print("cut off:", problem, flush=True)
        await asyncio.sleep(1)

asyncio.run(main())
