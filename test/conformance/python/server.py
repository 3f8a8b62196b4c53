"""An echo server on the Python library websockets.

Prints its port, then one JSON line for each connection that ended, and serves
until its standard input closes. What it does is told by the path, see echo in
server_test.go.
"""
import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response


def request_of(path):
    url = urlsplit(path)
    return url.path, {key: values[0] for key, values in parse_qs(url.query).items()}


def judge(connection, request):
    path, query = request_of(request.path)
    if path == "/refuse":
        body = b"no entry without a ticket\n"
        headers = Headers({
            "WWW-Authenticate": 'Bearer realm="conformance"',
            "X-Refused-By": "the server",
            "Content-Type": "text/plain",
            "Content-Length": str(len(body)),
        })
        return Response(401, "Unauthorized", headers, body)
    if query.get("deflate") == "0":
        connection.protocol.available_extensions = None
    return None


def split(message, pieces):
    size = max(1, -(-len(message) // pieces))
    return [message[i:i + size] for i in range(0, len(message), size)] or [message]


async def answer(connection, path, query):
    if path == "/close":
        await connection.close(int(query["code"]), query.get("reason", ""))
        return
    async for message in connection:
        if path == "/fragments":
            await connection.send(split(message, int(query["n"])))
        elif path == "/ping":
            await (await connection.ping(query["payload"]))
            await connection.send("pong " + query["payload"])
        else:
            await connection.send(message)


async def handle(connection):
    path, query = request_of(connection.request.path)
    try:
        await answer(connection, path, query)
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    print(json.dumps({
        "id": query.get("id", ""),
        "code": connection.close_code,
        "reason": connection.close_reason,
    }), flush=True)


async def main():
    async with serve(
        handle, "127.0.0.1", 0,
        process_request=judge,
        select_subprotocol=lambda _, offered: "chat.v1" if "chat.v1" in offered else None,
        max_size=64 << 20,
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
