"""Runs python-socketio's client against the server in argv, as Uplift's page tells its users to; prints what it heard.

A script and not a test: it is asyncio. stdin: the key, what to emit, and how many ends or errors to wait for.
"""

import asyncio
import json
import sys

import socketio

NAMESPACE = "/text-to-speech/multi-stream"


async def main(url: str, token: str, emits: list, ends: int) -> None:
    client = socketio.AsyncClient(reconnection=False)
    heard: list[dict] = []
    refusals: list = []
    ready, done = asyncio.Event(), asyncio.Event()

    @client.on("message", namespace=NAMESPACE)
    async def message(data: dict) -> None:
        heard.append(data)
        if data["type"] == "ready":
            ready.set()
        if sum(each["type"] in ("audio_end", "error") for each in heard) >= ends:
            done.set()

    @client.on("connect_error", namespace=NAMESPACE)
    async def connect_error(data: object) -> None:
        refusals.append(data)

    @client.on("disconnect", namespace=NAMESPACE)
    async def disconnect(*_: object) -> None:
        heard.append({"type": "(disconnect)"})
        done.set()

    answer: dict = {"heard": heard, "refusals": refusals, "failure": None}
    try:
        await client.connect(url, auth={"token": token}, namespaces=[NAMESPACE], transports=["websocket"])
        if emits:
            await asyncio.wait_for(ready.wait(), 20)
        for name, body in emits:
            await client.emit(name, body, namespace=NAMESPACE)
        await asyncio.wait_for(done.wait(), 30)
    except socketio.exceptions.ConnectionError as error:
        answer["failure"] = str(error)
    answer["transport"] = client.transport() if client.connected else None
    said = list(heard)
    await client.disconnect()
    print(json.dumps(answer | {"heard": said}))


asyncio.run(main(sys.argv[1], **json.load(sys.stdin)))
