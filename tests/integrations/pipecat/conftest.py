"""Fixtures of the Pipecat tests: an emulator, some speech, no keys from outside, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from emulated import Urls, run_emulator
from plumbing import PHRASE, spoken


@pytest.fixture(scope="session")
def urls() -> Iterator[Urls]:
    with run_emulator() as running:
        yield running


@pytest.fixture(scope="session")
def speech(urls: Urls) -> np.ndarray:
    """A phrase that the emulator's ears know, mono int16 at 16 kHz, with the silence that ends it."""
    return np.pad(asyncio.run(spoken(PHRASE, urls["60db-tts"])), (1_600, 24_000))


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own keys must neither help nor hurt a test."""
    for prefix in ("SIXTY_DB", "DEEPDUB", "VACHANA", "UPLIFTAI"):
        for suffix in ("API_KEY", "STT_URL", "TTS_URL", "LLM_URL", "URL"):
            monkeypatch.delenv(f"{prefix}_{suffix}", raising=False)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task and no socket outlives a test."""
    watched = asyncio.get_running_loop()._selector.get_map()
    before = len(watched)
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(watched) == before
