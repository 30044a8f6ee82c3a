"""Fixtures that several test folders use."""

from __future__ import annotations

from collections.abc import Iterator

import coverage
import hypothesis
import pytest
from support.fault_matrix import pytest_addoption as pytest_addoption
from support.fault_matrix import pytest_configure as pytest_configure
from support.scripted import vendor as vendor
from support.systems import emulate as emulate

# The same examples on every run, however slow the machine is at that moment.
hypothesis.settings.register_profile(
    "voicecore", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("voicecore")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Tests that go one way thousands of times are not measured: it would double their time and show nothing new."""
    measuring = coverage.Coverage.current()
    if measuring is None or item.get_closest_marker("unmeasured") is None:
        return (yield)
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()


@pytest.fixture(autouse=True)
def no_vendor_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own keys must neither help nor hurt a test."""
    for prefix in ("SIXTY_DB", "DEEPDUB", "VACHANA", "UPLIFTAI"):
        for suffix in ("API_KEY", "STT_URL", "TTS_URL", "LLM_URL", "URL"):
            monkeypatch.delenv(f"{prefix}_{suffix}", raising=False)
