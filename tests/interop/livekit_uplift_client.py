"""Runs Uplift's published LiveKit plugin against the server in argv; prints what it got as JSON.

A script and not a test: it is asyncio, and runs in an environment of its own (.venv-livekit, made by the Makefile).
"""

import asyncio
import base64
import json
import sys

from livekit.agents import APIConnectOptions
from livekit.plugins import upliftai

OPTIONS = APIConnectOptions(max_retry=0, timeout=20.0)


async def whole(tts: upliftai.TTS, texts: list[str]) -> bytes:
    pieces = [bytes(event.frame.data) async for event in tts.synthesize(" ".join(texts), conn_options=OPTIONS)]
    return b"".join(pieces)


async def streamed(tts: upliftai.TTS, texts: list[str]) -> bytes:
    async with tts.stream(conn_options=OPTIONS) as stream:
        for text in texts:
            stream.push_text(text)
        stream.end_input()
        return b"".join([bytes(event.frame.data) async for event in stream])


async def main(url: str, requests: list[dict]) -> None:
    answers = []
    for request in requests:
        tts = upliftai.TTS(base_url=url, output_format=request["format"], voice_id=request["voice"])
        try:
            speak = streamed if request["streamed"] else whole
            answers.append({"pcm": base64.b64encode(await speak(tts, request["texts"])).decode()})
        except Exception as error:
            answers.append({"error": f"{type(error).__name__}: {error}"})
        finally:
            await tts.aclose()
    print(json.dumps(answers))


asyncio.run(main(sys.argv[1], json.load(sys.stdin)))
