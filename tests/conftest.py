"""Fixtures that several test folders use."""

from __future__ import annotations

import pytest
import trio


@pytest.fixture(autouse=True)
def no_vendor_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own keys must neither help nor hurt a test."""
    for vendor in ("SIXTY_DB", "DEEPDUB", "VACHANA", "UPLIFTAI"):
        for suffix in ("API_KEY", "STT_URL", "TTS_URL", "LLM_URL", "URL"):
            monkeypatch.delenv(f"{vendor}_{suffix}", raising=False)


@pytest.fixture
def tasks_left():
    """How many trio tasks live more than when the fixture was made."""
    return lambda: trio.lowlevel.current_statistics().tasks_living
