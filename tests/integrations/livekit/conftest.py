"""Fixtures of the LiveKit tests: an emulator, no keys from outside, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from emulated import Urls, run_emulator
from livekit.plugins._60db.client import _60dbClient
from talk import PHRASE

from voicecore import AudioFormat, aio


@pytest.fixture(scope="session")
def urls() -> Iterator[Urls]:
    with run_emulator() as running:
        yield running


@pytest.fixture(scope="session")
def speech(urls: Urls) -> np.ndarray:
    """A phrase that the emulator's ears know, as mono int16 at 48 kHz, with the silence that ends it."""

    async def speak() -> np.ndarray:
        async with aio.connect_tts("60db", api_key="k", url=urls["60db-tts"]) as tts:
            async with tts.synthesize(PHRASE, output=AudioFormat("pcm_s16le", 48_000)) as spoken:
                return np.concatenate([chunk.samples async for chunk in spoken])

    return np.pad(asyncio.run(speak()), (4_800, 72_000))


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a developer's environment nor another test's client."""
    for name in ("SIXTY_DB_API_KEY", "SIXTY_DB_STT_URL", "SIXTY_DB_TTS_URL", "SIXTY_DB_LLM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_60dbClient, "_default", None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task and no socket outlives a test."""
    watched = asyncio.get_running_loop()._selector.get_map()
    before = len(watched)
    yield
    assert other_tasks() == set()
    assert len(watched) == before


def other_tasks() -> set[asyncio.Task]:
    return asyncio.all_tasks() - {asyncio.current_task()}
