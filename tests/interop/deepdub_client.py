"""Runs the vendor's own published client (PyPI `deepdub`) against the URL in argv; prints what it got as JSON.

A script and not a test: it is asyncio and reads its key from the environment, as its users run it.
"""

import asyncio
import base64
import json
import sys

from deepdub import DeepdubClient


async def main(url: str, requests: list[dict]) -> None:
    client = DeepdubClient(base_websocket_url=url)

    async def one(connection: DeepdubClient, request: dict) -> dict:
        pieces = []
        try:
            async for piece in connection.async_tts(**request):
                pieces.append(base64.b64encode(piece).decode())
        except Exception as error:
            return {"error": str(error), "pieces": pieces}
        return {"pieces": pieces}

    async with client.async_connect() as connection:
        answers = await asyncio.gather(*(one(connection, request) for request in requests))
    print(json.dumps(answers))


asyncio.run(main(sys.argv[1], json.load(sys.stdin)))
