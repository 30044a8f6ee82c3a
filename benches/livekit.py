"""`python -m benches.livekit [--rounds N] [--json PATH]`, in .venv-livekit: our classes beside published plugins.

Both ask the same emulator (a process of its own, whose CPU time does not count) for the same audio, by turns in random
order, in one process. A figure is CPU time of this process per second of audio, and the time from the last text to the
first frame; a ratio is the median of the ratios of the rounds. LiveKit's own share, which no plugin can save, is the
row "LiveKit alone": the same audio from memory, in frames of 0.2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt, tts
from livekit.plugins import gnani, upliftai

from voicecore import UpliftOptions, VachanaTtsOptions
from voicecore.integrations.livekit import STT, TTS

ROUNDS = 25  # Uplift serves 60 requests a minute on a connection
WARM_UP = 3
ONCE = APIConnectOptions(max_retry=0, timeout=20.0)
TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not even wake up. " * 3
VOICE = "v_meklc281"
MIC_RATE = 48_000
MIC_SECONDS = 10


@dataclass(frozen=True)
class Sample:
    """One utterance: CPU seconds for each second of audio, and seconds to the first frame."""

    cpu: float
    first: float | None


Turn = Callable[[], Awaitable[Sample]]


@dataclass(frozen=True)
class Row:
    """One comparison. CPU times are for one second of audio; times in seconds."""

    what: str
    peer: str
    cpu: float
    peer_cpu: float
    cpu_ratio: float
    first: float | None
    peer_first: float | None

    def __str__(self) -> str:
        ours, theirs = (f"{1e6 * cpu:.0f} us" for cpu in (self.cpu, self.peer_cpu))
        firsts = ["" if first is None else f"{1e3 * first:.2f} ms" for first in (self.first, self.peer_first)]
        cells = (self.what, ours, self.peer, theirs, f"{self.cpu_ratio:.2f}x", *firsts)
        return "| " + " | ".join(cells) + " |"


# --- what is measured ------------------------------------------------------------------------------------


class Measured:
    """CPU and wall time from its making on."""

    def __init__(self) -> None:
        self._cpu, self._began = time.process_time(), time.perf_counter()
        self._first: float | None = None

    def frame(self) -> None:
        if self._first is None:
            self._first = time.perf_counter() - self._began

    def sample(self, seconds: float) -> Sample:
        return Sample((time.process_time() - self._cpu) / seconds, self._first)


def streamed(speaker: tts.TTS) -> Turn:
    async def turn() -> Sample:
        async with speaker.stream(conn_options=ONCE) as stream:
            measured = Measured()
            stream.push_text(TEXT)
            stream.end_input()
            return await listen(stream, measured)

    return turn


def whole(speaker: tts.TTS) -> Turn:
    async def turn() -> Sample:
        measured = Measured()
        async with speaker.synthesize(TEXT, conn_options=ONCE) as stream:
            return await listen(stream, measured)

    return turn


async def listen(stream: tts.SynthesizeStream | tts.ChunkedStream, measured: Measured) -> Sample:
    seconds = 0.0
    async for event in stream:
        measured.frame()
        seconds += event.frame.duration
    return measured.sample(seconds)


def heard(listener: stt.STT) -> Turn:
    noise = np.random.default_rng(0).normal(0, 2000, MIC_RATE * MIC_SECONDS).astype("<i2")
    size = MIC_RATE // 50
    frames = [rtc.AudioFrame(part.tobytes(), MIC_RATE, 1, size) for part in noise.reshape(-1, size)]

    async def turn() -> Sample:
        async with listener.stream(conn_options=ONCE) as stream:
            measured = Measured()
            for at, frame in enumerate(frames):
                stream.push_frame(frame)
                if at % 5 == 4:
                    await asyncio.sleep(0.001)  # frames come in small groups, not in one heap
            stream.end_input()
            async for _ in stream:
                pass
            return measured.sample(MIC_SECONDS)

    return turn


class Alone(tts.TTS):
    """No vendor: the audio is in memory."""

    def __init__(self, frames: list[rtc.AudioFrame]) -> None:
        rate = frames[0].sample_rate
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=rate, num_channels=1)
        self.frames = frames

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = ONCE) -> tts.ChunkedStream:
        return AloneStream(tts=self, input_text=text, conn_options=conn_options)


class AloneStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        rate = self._tts.sample_rate
        output_emitter.initialize(request_id="alone", sample_rate=rate, num_channels=1, mime_type="audio/pcm")
        for frame in self._tts.frames:
            output_emitter.push_frame(frame)
            await asyncio.sleep(0)


async def recorded(speaker: tts.TTS) -> Alone:
    """The same audio as `speaker` gives, in frames of 0.2 s."""
    audio = await speaker.synthesize(TEXT, conn_options=ONCE).collect()
    size = audio.sample_rate // 5
    samples = np.frombuffer(audio.data, np.int16)
    parts = [samples[at : at + size] for at in range(0, len(samples), size)]
    return Alone([rtc.AudioFrame(part.tobytes(), audio.sample_rate, 1, len(part)) for part in parts])


# --- the comparisons -------------------------------------------------------------------------------------


async def compare(what: str, ours: Turn, peer: str, theirs: Turn, rounds: int) -> Row:
    turns = {"ours": ours, "theirs": theirs}
    samples: dict[str, list[Sample]] = {name: [] for name in turns}
    for number in range(-WARM_UP, rounds):
        for name in random.sample(sorted(turns), 2):
            sample = await turns[name]()
            if number >= 0:
                samples[name].append(sample)
    cpu = {name: [sample.cpu for sample in taken] for name, taken in samples.items()}
    ratio = statistics.median(b / a for a, b in zip(cpu["ours"], cpu["theirs"], strict=True))
    ours_cpu, their_cpu = (statistics.median(cpu[name]) for name in turns)
    ours_first, their_first = (median_first(samples[name]) for name in turns)
    return Row(what, peer, ours_cpu, their_cpu, ratio, ours_first, their_first)


def median_first(samples: list[Sample]) -> float | None:
    firsts = [sample.first for sample in samples if sample.first is not None]
    return statistics.median(firsts) if firsts else None


async def rows(urls: Mapping[str, str], rounds: int) -> list[Row]:
    base = urls["uplift-socketio"].removesuffix("/socket.io/")
    uplift = upliftai.TTS(base_url=base, api_key="k", voice_id=VOICE, output_format="PCM_22050_16")
    ours_uplift = TTS(
        "uplift-socketio",
        api_key="k",
        url=urls["uplift-socketio"],
        voice=VOICE,
        sample_rate=22_050,
        options=UpliftOptions(format="PCM_22050_16"),
    )
    vachana: dict[str, tuple[tts.TTS, tts.TTS]] = {
        container: (
            TTS("vachana", api_key="k", url=urls["vachana-tts"], options=VachanaTtsOptions(container=container)),
            gnani.TTS(
                api_key="k", base_url=base.replace("ws:", "http:"), container=container, synthesize_method="websocket"
            ),
        )
        for container in ("wav", "raw")
    }
    ours_stt = STT("vachana", api_key="k", url=urls["vachana-stt"])
    their_stt = gnani.STT(api_key="k", base_url=base.replace("ws:", "http:"))
    alone = await recorded(ours_uplift)
    done = [
        await compare("Uplift, streamed", streamed(ours_uplift), "upliftai", streamed(uplift), rounds),
        await compare("Uplift, whole", whole(ours_uplift), "upliftai", whole(uplift), rounds),
    ]
    for container, (ours, theirs) in vachana.items():
        name = f"gnani, {container}"
        done += [
            await compare(f"Vachana {container}, streamed", streamed(ours), name, streamed(theirs), rounds),
            await compare(f"Vachana {container}, whole", whole(ours), name, whole(theirs), rounds),
        ]
    done.append(await compare("Vachana, listening", heard(ours_stt), "gnani", heard(their_stt), rounds))
    done.append(await compare("Uplift, whole", whole(ours_uplift), "LiveKit alone", whole(alone), rounds))
    for service in (uplift, ours_uplift, ours_stt, *vachana["wav"], *vachana["raw"]):
        await service.aclose()
    return done


@contextmanager
def emulator() -> Iterator[Mapping[str, str]]:
    command = [
        sys.executable,
        "-m",
        "voicecore",
        "emulate",
        "--json",
        "--port",
        "0",
        "--voice",
        "tone",
        "--ears",
        "none",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())["urls"]  # type: ignore[union-attr]
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.livekit")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    options: Any = parser.parse_args()
    with emulator() as urls:
        measured = asyncio.run(rows(urls, options.rounds))
    print("| what | ours, CPU per s of audio | peer | peer's | ratio | ours, first frame | peer's |")
    print("|---|---:|---|---:|---:|---:|---:|")
    print(*measured, sep="\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in measured], indent=1))


if __name__ == "__main__":
    main()
