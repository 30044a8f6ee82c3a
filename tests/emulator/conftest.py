"""What the engines' tests share: the demo phrases as audio, and what this process still holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import trio

from voicecore import codec
from voicecore.emulator.phrases import PHRASES
from voicecore.emulator.voice import Voice, open_voice

EARS_RATE = 16_000
Samples = npt.NDArray[np.int16]


async def speak_all(voice: Voice, text: str, **manner: object) -> bytes:
    async with voice.speak(text, **manner) as speech:
        return b"".join([piece async for piece in speech])


def as_samples(pcm: bytes, rate: int, wanted: int = EARS_RATE) -> Samples:
    return codec.resample(np.frombuffer(pcm, "<i2"), rate, wanted)


async def _speak_phrases() -> dict[str, Samples]:
    async with open_voice("espeak") as voice:
        return {text: as_samples(await speak_all(voice, text), voice.sample_rate) for text in PHRASES}


@pytest.fixture(scope="session")
def phrases() -> dict[str, Samples]:
    """Each demo phrase in espeak's default voice, int16 at 16 kHz."""
    return trio.run(_speak_phrases)


def children() -> set[int]:
    """The processes that this one started and has not collected."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
