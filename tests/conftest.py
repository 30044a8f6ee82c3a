"""Fixtures that several test folders use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import hypothesis
import pytest
from support import guest
from support.scripted import vendor as vendor

# The same examples on every run, however slow the machine is at that moment.
hypothesis.settings.register_profile(
    "voicecore", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("voicecore")


@pytest.fixture(autouse=True)
def no_vendor_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own keys must neither help nor hurt a test."""
    for prefix in ("SIXTY_DB", "DEEPDUB", "VACHANA", "UPLIFTAI"):
        for suffix in ("API_KEY", "STT_URL", "TTS_URL", "LLM_URL", "URL"):
            monkeypatch.delenv(f"{prefix}_{suffix}", raising=False)


@pytest.fixture(autouse=True)
def runtime(request: pytest.FixtureRequest) -> str:
    """Where the test's body runs: "trio" or "asyncio" (on trio's clock: see `support/guest.py`)."""
    return getattr(request, "param", "trio")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In a module with `RUNTIMES`, an asynchronous test runs on each of them."""
    runtimes = getattr(metafunc.module, "RUNTIMES", ())
    alone = metafunc.definition.get_closest_marker("only_trio") is not None
    if runtimes and not alone and inspect.iscoroutinefunction(metafunc.function):
        metafunc.parametrize("runtime", runtimes, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if isinstance(item, pytest.Function) and parameters.get("runtime") == "asyncio":
            item.obj = functools.wraps(item.obj)(_on_asyncio(item.obj))


def _on_asyncio(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run(**fixtures: Any) -> None:
        await guest.run(test, **fixtures)

    return run
