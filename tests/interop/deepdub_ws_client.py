"""Runs the `/ws` mode of the vendor's own published client (PyPI `deepdub`), prints what it got as JSON.

A script and not a test: it is asyncio and reads its key and its URL from the environment, as its users run it. Stdin:
the arguments of `async_stream_connect`, and a list of turns, each a list of texts. Each turn is read until `isFinal`,
or until a second of silence after `isFinished`, as the vendor's plugin for older servers does.
"""

import asyncio
import base64
import json
import sys

from deepdub import DeepdubClient

SILENCE = 1.0


async def read_turn(connection: DeepdubClient) -> dict:
    pieces, names, finished = [], [], False
    while True:
        try:
            message = await asyncio.wait_for(connection.async_stream_recv(), SILENCE if finished else 30)
        except TimeoutError:
            return {"pieces": pieces, "generations": names, "final": False}
        if message.get("action") == "error":
            return {"pieces": pieces, "generations": names, "error": message["message"]}
        if "generationId" not in message:
            continue  # the pong, where an error was taken for it
        if message.get("data"):
            pieces.append(base64.b64encode(base64.b64decode(message["data"])).decode())
        if message["generationId"] not in names:
            names.append(message["generationId"])
        finished = message["isFinished"]
        if message.get("isFinal"):
            return {"pieces": pieces, "generations": names, "final": True}


async def cancel(connection: DeepdubClient, text: str) -> dict:
    """Hears the beginning, cancels, and reads up to the confirmation."""
    await connection.async_stream_text(text)
    assert await connection.async_stream_recv_audio()
    await connection.async_stream_cancel()
    while not (message := await connection.async_stream_recv()).get("isCancelled"):
        pass
    return message


async def main(arguments: dict, turns: list[list[str]], cancelled: str | None) -> None:
    answer: dict = {"turns": []}
    async with DeepdubClient().async_stream_connect(**arguments) as connection:
        answer["connection_id"] = connection.connection_id
        answer["pong"] = await connection.async_stream_ping()
        if cancelled is not None:
            answer["cancelled"] = await cancel(connection, cancelled)
        for texts in turns:
            for text in texts:
                await connection.async_stream_text(text)
            await connection.async_flush()
            answer["turns"].append(await read_turn(connection))
    print(json.dumps(answer))


asyncio.run(main(**json.load(sys.stdin)))
