"""Runs the vendor's own published client (PyPI `gnani-vachana`) against the base URL in argv; prints JSON.

A script and not a test: it is asyncio, as its users run it. Jobs come as JSON on stdin: `tts` gives the pieces of one
utterance, `events` its typed events, `stt` the events of a session that is sent the audio in 1024-byte frames.
"""

import asyncio
import base64
import io
import json
import os
import sys

from gnani.stt import GnaniSTTStreamClient
from gnani.tts import AudioConfig, GnaniTTSRealtimeClient

KEY = os.environ["GNANI_API_KEY"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def config(job: dict) -> dict:
    return {"audio_config": AudioConfig(**job["config"]), **job.get("options", {})}


async def tts(url: str, job: dict) -> dict:
    client = GnaniTTSRealtimeClient(KEY, base_url=url)
    return {"pieces": [b64(piece) async for piece in client.synthesize(job["text"], **config(job))]}


async def events(url: str, job: dict) -> dict:
    client = GnaniTTSRealtimeClient(KEY, base_url=url)
    seen = [event async for event in client.synthesize_events(job["text"], **config(job))]
    return {"events": [type(event).__name__ for event in seen], "total": getattr(seen[-1], "total_chunks", None)}


async def stt(url: str, job: dict) -> dict:
    client = GnaniSTTStreamClient(KEY, base_url=url, **job["options"])
    async with client:
        first = client.connected_config.raw
        seen: list[dict] = []
        found = await client.stream_audio(
            io.BytesIO(base64.b64decode(job["audio"])),
            on_transcript=lambda event: seen.append(event.raw),
            on_processing=lambda event: seen.append(event.raw),
            realtime_pace=job["paced"],
        )
    return {"connected": first, "events": seen, "texts": [event.text for event in found]}


async def main(url: str, jobs: list[dict]) -> None:
    answers = []
    for job in jobs:
        try:
            answers.append(await globals()[job["do"]](url, job))
        except Exception as error:
            answers.append({"error": f"{type(error).__name__}: {error}"})
    print(json.dumps(answers))


asyncio.run(main(sys.argv[1], json.load(sys.stdin)))
