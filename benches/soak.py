"""Many streams over every vendor's emulator for a long time, with random faults on the wire: `make soak`.

The emulator runs in processes of its own; between it and the client stands a fault proxy that changes its mind every
few seconds. Printed: what was done, errors by class, lateness of the client's event loop, the slope of its memory, and
what is left at the end. An error that is not voicecore's ends the run with a traceback.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import trio

import voicecore
from voicecore import AudioFormat, Deadlines
from voicecore.testing import FaultProxy, Faults, run_fault_proxy
from voicecore.vendors import DIALECTS

TEXTS = ("Hello there.", "How are you today? I hope you are well.", "One, two, three. Four, five, six. Seven.")
FAULTS = (
    Faults(),
    Faults(),
    Faults(latency=0.2),
    Faults(slice_bytes=7),
    Faults(bytes_per_second=200_000),
    Faults(after=20_000, then="reset"),
    Faults(after=40_000, then="close"),
    Faults(after=30_000, then="blackhole"),
    Faults(after=50_000, then="half_close"),
    Faults(after=60_000, then="corrupt"),
)
DEADLINES = Deadlines(connect=8, first_audio=8, between_chunks=8, send=4, keepalive=5)
WARM_UP = 0.25  # of the run, which the slope of memory leaves out


@dataclass
class Tally:
    """What happened."""

    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lateness: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MB
    most_tasks: int = 0


@dataclass
class Target:
    """One dialect's emulator, behind its proxy."""

    name: str
    vendor: str
    kind: str
    url: str


async def speak(target: Target, tally: Tally, chance: random.Random) -> None:
    """One session with a few utterances, some of them left early."""
    async with voicecore.connect_tts(target.vendor, api_key="any", url=target.url, deadlines=DEADLINES) as tts:
        for _ in range(chance.randint(1, 8)):
            if chance.random() < 0.3:
                await speak_in_bits(tts, target, tally, chance)
                continue
            leave_after = chance.choice((None, None, 0, 1, 3))
            async with tts.synthesize(chance.choice(TEXTS), output=chance.choice(OUTPUTS)) as speech:
                async for chunk in speech:
                    if leave_after is not None and chunk.sequence >= leave_after:
                        break
            tally.done[f"{target.name} {'whole' if leave_after is None else 'left early'}"] += 1


OUTPUTS = (AudioFormat("pcm_s16le", 16_000), AudioFormat("mulaw", 8_000), AudioFormat("pcm_f32le", 48_000), None)


async def speak_in_bits(tts: voicecore.TTS, target: Target, tally: Tally, chance: random.Random) -> None:
    async with tts.context() as turn:
        for _ in range(chance.randint(1, 2)):
            for word in chance.choice(TEXTS).split(" "):
                await turn.send_text(word + " ")
            await turn.flush()
            async for _ in turn:
                pass
            tally.done[f"{target.name} turn"] += 1


async def listen(target: Target, tally: Tally, chance: random.Random) -> None:
    """One recognition, in real time."""
    frame = np.zeros(960, "<i2")
    async with (
        voicecore.connect_stt(target.vendor, api_key="any", url=target.url, deadlines=DEADLINES) as stt,
        stt.stream(input=AudioFormat("pcm_s16le", 48_000)) as stream,
        trio.open_nursery() as nursery,
    ):

        async def feed() -> None:
            for _ in range(chance.randint(25, 200)):
                await stream.send(frame)
                await trio.sleep(0.02)
            await stream.finish()

        nursery.start_soon(feed)
        async for _ in stream:
            pass
    tally.done[f"{target.name} recognised"] += 1


async def work(targets: list[Target], tally: Tally, seed: int, until: float) -> None:
    """One stream after the other until the time is over."""
    chance = random.Random(seed)
    await trio.sleep(chance.uniform(0, 5))
    while trio.current_time() < until:
        target = chance.choice(targets)
        try:
            await (speak if target.kind == "tts" else listen)(target, tally, chance)
        except* voicecore.VoicecoreError as group:
            for error in leaves(group):
                tally.errors[f"{target.name} {type(error).__name__}"] += 1
            await trio.sleep(chance.uniform(0, 1))


def leaves(group: BaseExceptionGroup) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


# --- what is watched -------------------------------------------------------------------------------------


async def watch(tally: Tally, began: float) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_lateness, tally)
        while True:
            tally.memory.append((trio.current_time() - began, memory_mb()))
            tally.most_tasks = max(tally.most_tasks, trio.lowlevel.current_statistics().tasks_living)
            await trio.sleep(1)


async def watch_lateness(tally: Tally) -> None:
    while True:
        wanted = trio.current_time() + 0.05
        await trio.sleep_until(wanted)
        tally.lateness.append(trio.current_time() - wanted)


async def change_minds(proxies: list[FaultProxy], seed: int) -> None:
    chance = random.Random(seed)
    while True:
        await trio.sleep(chance.uniform(1, 5))
        proxy = chance.choice(proxies)
        proxy.up, proxy.down = chance.choice(FAULTS), chance.choice(FAULTS)
        if chance.random() < 0.05:
            proxy.drop_all()


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def slope_per_hour(samples: list[tuple[float, float]]) -> float:
    """MB per hour, by least squares, after the warm-up."""
    settled = np.array([(t, mb) for t, mb in samples if t >= samples[-1][0] * WARM_UP])
    return float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0] * 3600) if len(settled) > 1 else 0.0


# --- the run ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def emulators(nursery: trio.Nursery, count: int) -> AsyncIterator[list[dict[str, str]]]:
    """The URLs of so many emulators, each in a process of its own."""
    command = [sys.executable, "-m", "voicecore", "emulate", "--json", "--port", "0", "--voice", "tone"]
    command += ["--ears", "none", "--pace", "4"]
    found = []
    for _ in range(count):
        send, receive = trio.open_memory_channel[dict[str, str]](1)
        nursery.start_soon(run_emulator, command, send)
        found.append(await receive.receive())
    yield found


async def run_emulator(command: list[str], ready: trio.MemorySendChannel[dict[str, str]]) -> None:
    import subprocess

    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(command, stdout=subprocess.PIPE, task_status=task_status, check=False)
        )
        line = bytearray()
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some()
        await ready.send(json.loads(line)["urls"])


async def soak(minutes: float, streams: int, processes: int, seed: int) -> dict[str, object]:
    tally, proxies = Tally(), []
    async with trio.open_nursery() as nursery:
        async with emulators(nursery, processes) as urls:
            targets = []
            for found in urls:
                port = urlsplit(next(iter(found.values()))).port
                proxy = await nursery.start(hold_proxy, port)
                proxies.append(proxy)
                targets += [
                    Target(d.name, d.vendor, d.kind, found[d.name].replace(f":{port}", f":{proxy.port}", 1))
                    for d in DIALECTS
                    if d.name in found
                ]
            began = trio.current_time()
            nursery.start_soon(watch, tally, began)
            nursery.start_soon(change_minds, proxies, seed)
            async with trio.open_nursery() as workers:
                for number in range(streams):
                    workers.start_soon(work, targets, tally, seed * 100_000 + number, began + minutes * 60)
        nursery.cancel_scope.cancel()
    return summary(tally, minutes, streams)


async def hold_proxy(port: int, task_status: trio.TaskStatus[FaultProxy]) -> None:
    async with run_fault_proxy("127.0.0.1", port) as proxy:
        task_status.started(proxy)
        await trio.sleep_forever()


def summary(tally: Tally, minutes: float, streams: int) -> dict[str, object]:
    late = np.array(tally.lateness) * 1000
    gc.collect()
    return {
        "minutes": minutes,
        "streams": streams,
        "done": dict(sorted(tally.done.items())),
        "errors": dict(sorted(tally.errors.items())),
        "lateness_ms": {"p50": float(np.percentile(late, 50)), "p99": float(np.percentile(late, 99))},
        "memory_mb": {"start": tally.memory[0][1], "end": tally.memory[-1][1]},
        "memory_mb_per_hour": slope_per_hour(tally.memory),
        "most_tasks": tally.most_tasks,
        "open_files_at_end": len(os.listdir("/proc/self/fd")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2, help="of the emulator")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    result = trio.run(soak, chosen.minutes, chosen.streams, chosen.processes, chosen.seed)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
