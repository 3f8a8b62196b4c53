"""A client on the Python library websockets.

Reads scripts as JSON lines and answers each with what came of it, see client
in client_test.go.
"""
import asyncio
import hashlib
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def load(message):
    with open(message["file"], "rb") as file:
        data = file.read()
    return data.decode() if message["text"] else data


def seen(message):
    data = message.encode() if isinstance(message, str) else message
    return {
        "text": isinstance(message, str),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


async def fragments(connection, message, pieces, ping):
    size = max(1, -(-len(message) // pieces))
    for start in range(0, max(1, len(message)), size):
        yield message[start:start + size]
        if ping:
            await (await connection.ping(ping))


async def send(connection, message):
    data = load(message)
    pieces = message.get("fragments", 0)
    if pieces:
        await connection.send(fragments(connection, data, pieces, message.get("ping")))
    else:
        await connection.send(data)


async def talk(connection, script, outcome):
    response = connection.response
    outcome["status"] = response.status_code
    outcome["subprotocol"] = connection.subprotocol or ""
    outcome["extensions"] = response.headers.get("Sec-WebSocket-Extensions", "")
    try:
        if script.get("ping"):
            await (await connection.ping(script["ping"]))
            outcome["pong"] = script["ping"]
        for message in script.get("send") or []:
            await send(connection, message)
            outcome["received"].append(seen(await connection.recv()))
        if script.get("close"):
            await connection.close(script["close"]["code"], script["close"]["reason"])
        else:
            outcome["received"].append(seen(await connection.recv()))
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    outcome["close"] = {"code": connection.close_code, "reason": connection.close_reason}


async def play(script):
    outcome = {"received": []}
    options = {}
    if script["url"].startswith("wss:"):
        options["ssl"] = ssl.create_default_context(cafile=script["ca"])
    try:
        async with asyncio.timeout(script["timeout"]):
            async with connect(
                script["url"],
                subprotocols=script.get("subprotocols") or None,
                compression="deflate" if script.get("deflate") else None,
                max_size=64 << 20,
                proxy=None,
                **options,
            ) as connection:
                await talk(connection, script, outcome)
    except InvalidStatus as error:
        response = error.response
        outcome["status"] = response.status_code
        outcome["headers"] = dict(response.headers.raw_items())
        outcome["body"] = response.body.decode()
    except Exception as error:  # the driver judges it
        outcome["error"] = f"{type(error).__name__}: {error}"
    return outcome


async def main():
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await play(json.loads(line))), flush=True)


asyncio.run(main())
