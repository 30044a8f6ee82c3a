"""What a test's body needs of the runtime that it runs on, trio or asyncio; see `conftest.py` for how it gets there.

Names are trio's. Vendors, emulators and proxies stay on trio in both cases: `await on_trio(f)` calls their functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from anyio import CancelScope as CancelScope
from anyio import create_task_group as open_nursery
from anyio import current_time as current_time
from anyio import fail_after as fail_after
from anyio import move_on_after as move_on_after
from anyio import sleep as sleep
from support import guest, loops

import voicecore

BOTH = ("trio", "asyncio", "sockets")
REAL = ("trio", "real asyncio", "real uvloop")
only_trio = pytest.mark.only_trio
only_memory = pytest.mark.only_memory

__all__ = [
    "BOTH",
    "REAL",
    "CancelScope",
    "connect_stt",
    "connect_tts",
    "current_time",
    "fail_after",
    "hosted",
    "move_on_after",
    "on_asyncio",
    "on_trio",
    "only_memory",
    "only_trio",
    "open_nursery",
    "settled",
    "sleep",
    "sleep_until",
    "tasks_living",
]


def on_asyncio() -> bool:
    """True in a coroutine of asyncio's."""
    return asyncio._get_running_loop() is not None


async def on_trio(function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """What a coroutine function of trio's gives."""
    function = partial(function, **kwargs)
    if not on_asyncio():
        return await function(*args)
    return await (guest if _through_memory() else loops).in_trio(function, *args)


def _through_memory() -> bool:
    return isinstance(asyncio.get_running_loop(), guest.GuestLoop)


@asynccontextmanager
async def hosted(block: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """An `async with` block of trio's, around a body of either."""
    if not on_asyncio():
        async with block as value:
            yield value
        return
    leave, left = trio.Event(), trio.Event()

    async def host(task_status: Any) -> None:
        async with block as value:
            task_status.started(value)
            await leave.wait()
        left.set()

    yield_value = await guest.in_trio(guest.loop().nursery.start, host)
    try:
        yield yield_value
    finally:
        leave.set()
        await guest.in_trio(left.wait)


async def settled() -> None:
    """Waits until every task of either runtime waits for something that is not there."""
    await on_trio(trio.testing.wait_all_tasks_blocked)


def tasks_living() -> int:
    """The tasks of both runtimes; a socket in memory has some of trio's, whoever holds it."""
    own = len(asyncio.all_tasks()) if on_asyncio() else 0
    return own + trio.lowlevel.current_statistics().tasks_living


async def sleep_until(at: float) -> None:
    await anyio.sleep(max(0.0, at - anyio.current_time()))


def connect_tts(vendor: str, **arguments: Any) -> AbstractAsyncContextManager[voicecore.TTS]:
    return _connect("connect_tts", vendor, **arguments)


def connect_stt(vendor: str, **arguments: Any) -> AbstractAsyncContextManager[voicecore.STT]:
    return _connect("connect_stt", vendor, **arguments)


def _connect(name: str, vendor: str, **arguments: Any) -> Any:
    if not on_asyncio():
        return getattr(voicecore, name)(vendor, **arguments)
    if "open_stream" in arguments:
        arguments["open_stream"] = guest.over_memory(arguments["open_stream"])
    return getattr(voicecore.aio, name)(vendor, **arguments)
