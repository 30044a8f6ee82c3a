"""Fixtures that several test folders use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import coverage
import hypothesis
import pytest
import trio
import trio.testing
from support import guest, loops
from support.fault_matrix import pytest_addoption as pytest_addoption
from support.fault_matrix import pytest_configure as pytest_configure
from support.scripted import vendor as vendor
from support.sockets import socket_stream_pairs
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


@pytest.fixture(autouse=True)
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the test's body runs: on "trio", through memory or through "sockets"; on "asyncio", on trio's clock and
    through memory (`support/guest.py`); or on "real asyncio" or "real uvloop", beside trio (`support/loops.py`)."""
    where = getattr(request, "param", "trio")
    if where != "sockets":
        yield where
        return
    with socket_stream_pairs() as pair:
        monkeypatch.setattr(trio.testing, "memory_stream_pair", pair)
        yield where


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In a module with `RUNTIMES`, an asynchronous test runs on each of them."""
    runtimes = getattr(metafunc.module, "RUNTIMES", ())
    if metafunc.definition.get_closest_marker("only_memory") is not None:
        runtimes = [runtime for runtime in runtimes if runtime != "sockets"]
    alone = metafunc.definition.get_closest_marker("only_trio") is not None
    if runtimes and not alone and inspect.iscoroutinefunction(metafunc.function):
        metafunc.parametrize("runtime", runtimes, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        where = parameters.get("runtime", "trio")
        if isinstance(item, pytest.Function) and where not in ("trio", "sockets"):
            item.obj = functools.wraps(item.obj)(_elsewhere(item.obj, where))


def _elsewhere(test: Callable[..., Awaitable[None]], where: str) -> Callable[..., Awaitable[None]]:
    async def run(**fixtures: Any) -> None:
        if where == "asyncio":
            await guest.run(test, **fixtures)
        else:
            await loops.run(where.removeprefix("real "), test, **fixtures)

    return run
