"""Time to first audio through a line of 20 ms a round trip: `python -m benches.wire.first_byte [--rounds N]`.

Ours and each vendor's published client, every one in a process of its own, against our emulator behind the fault proxy.
First: from nothing to the first audio, with the connection (TCP's own round trip is not delayed by the proxy). Again: a
second utterance, as that client is asked for one. Milliseconds, medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio

from benches.wire.report import table

ROUND_TRIP = 0.02
TEXT = "Hello there."
ROOT = Path(__file__).parents[2]
clock = time.monotonic


# --- the clients, each in its process --------------------------------------------------------------------


async def first_piece(pieces: AsyncIterator[Any]) -> float:
    """When it came; the others are waited for too."""
    came = 0.0
    async for _ in pieces:
        came = came or clock()
    return came


async def ours(vendor: str, voice: str, url: str) -> list[float]:
    import voicecore

    began, seconds = clock(), []
    async with voicecore.connect_tts(vendor, api_key="dd-any", url=url) as tts:
        for _ in range(2):
            async with tts.synthesize(TEXT, voice=voice) as speech:
                seconds.append(await first_piece(speech) - began)
            began = clock()
    return seconds


async def deepdub(url: str) -> list[float]:
    from deepdub import DeepdubClient

    began, seconds = clock(), []
    client = DeepdubClient(api_key="dd-any", base_websocket_url=url)
    async with client.async_connect() as connection:
        for _ in range(2):
            pieces = connection.async_tts(text=TEXT, voice_prompt_id="vp_1", model="dd-etts-3.0")
            seconds.append(await first_piece(pieces) - began)
            began = clock()
    return seconds


async def gnani(url: str) -> list[float]:
    from gnani.tts import AudioConfig, GnaniTTSRealtimeClient

    seconds, base = [], f"http://{urlsplit(url).netloc}"
    client = GnaniTTSRealtimeClient("dd-any", base_url=base)
    for _ in range(2):
        began = clock()
        pieces = client.synthesize(TEXT, audio_config=AudioConfig(sample_rate=16_000))
        seconds.append(await first_piece(pieces) - began)
    return seconds


def be_client(name: str, url: str) -> list[float]:
    import asyncio

    if name == "deepdub":
        return asyncio.run(deepdub(url))
    if name == "gnani-vachana":
        return asyncio.run(gnani(url))
    vendor = name.removeprefix("voicecore ")
    return trio.run(ours, vendor, "vp_1" if vendor == "deepdub" else "Pranav", url)


# --- the run ---------------------------------------------------------------------------------------------

CLIENTS = {
    "voicecore deepdub": "deepdub-open",
    "deepdub": "deepdub-open",
    "voicecore vachana": "vachana-tts",
    "gnani-vachana": "vachana-tts",
}


async def measure(rounds: int) -> dict[str, list[list[float]]]:
    from voicecore.emulator import run_emulator
    from voicecore.testing import Faults, run_fault_proxy

    half, found = Faults(latency=ROUND_TRIP / 2), {name: [] for name in CLIENTS}
    async with run_emulator(voice="tone", ears="none") as emulator:
        port = urlsplit(emulator.urls["deepdub-open"]).port
        async with run_fault_proxy("127.0.0.1", port, up=half, down=half) as proxy:
            for _ in range(rounds):
                for name, path in CLIENTS.items():
                    url = emulator.urls[path].replace(f":{port}", f":{proxy.port}", 1)
                    command = [sys.executable, "-m", "benches.wire.first_byte", "--client", name, url]
                    run = partial(trio.run_process, command, capture_stdout=True, cwd=ROOT)
                    found[name].append(json.loads((await run()).stdout))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.wire.first_byte")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        print(json.dumps(be_client(*chosen.client)))
        return
    try:
        found = trio.run(measure, chosen.rounds)
    except* subprocess.CalledProcessError:
        sys.exit("a client failed: see above")
    rows = [
        [name, *(f"{statistics.median(pair[at] for pair in pairs) * 1000:.0f}" for at in (0, 1))]
        for name, pairs in found.items()
    ]
    print(table(["to the first audio, ms", "first", "again"], rows), end="")


if __name__ == "__main__":
    main()
