"""Clients on the Python library websockets that listen to streams.

The first line of standard input is a list of them in JSON, see listener in
listener_test.go. Each counts what it gets and comes back where it was cut off.
What they tell goes out as JSON lines.
"""
import asyncio
import hashlib
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage


def seen(message):
    data = message.encode() if isinstance(message, str) else message
    return {
        "text": isinstance(message, str),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def tell(name, **news):
    print(json.dumps({"name": name, **news}), flush=True)


class Listener:
    def __init__(self, told):
        self.name, self.url, self.count = told["name"], told["url"], told["count"]
        self.offset = None  # (epoch, number) of the next message
        self.received = []
        self.extensions = ""
        self.options = {"max_size": None, "proxy": None}
        if self.url.startswith("wss:"):
            self.options["ssl"] = ssl.create_default_context(cafile=told["ca"])

    async def session(self):
        url = self.url
        if self.offset:
            url += "?sluice_from={}-{}".format(*self.offset)
        async with connect(url, **self.options) as connection:
            headers = connection.response.headers
            epoch, number = headers["Sluice-Offset"].rsplit("-", 1)
            begin = (epoch, int(number))
            if self.offset and begin != self.offset:
                raise ValueError(f"asked for {self.offset}, got {begin}")
            self.offset = begin
            self.extensions = headers.get("Sec-WebSocket-Extensions", "")
            tell(self.name, opened=True)
            while len(self.received) < self.count:
                message = await connection.recv()
                self.received.append(seen(message))
                self.offset = (epoch, self.offset[1] + 1)

    async def listen(self):
        error = ""
        try:
            while len(self.received) < self.count:
                try:
                    await self.session()
                except (ConnectionClosed, ConnectionError, InvalidMessage):
                    await asyncio.sleep(0.02)
        except Exception as problem:  # the driver judges it
            error = f"{type(problem).__name__}: {problem}"
        tell(self.name, heard={"error": error, "extensions": self.extensions, "received": self.received})


async def main():
    listeners = [Listener(told) for told in json.loads(sys.stdin.readline())]
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.gather(*(listener.listen() for listener in listeners))
    await ended


asyncio.run(main())
