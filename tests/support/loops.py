"""Real asyncio loops, in a thread beside the trio that runs the emulator: for tests over real sockets.

Inside, `in_trio(f)` waits for a coroutine function of trio's; it may not need the loop meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

LOOPS = ("asyncio", "uvloop")
_TOKENS: dict[asyncio.AbstractEventLoop, trio.lowlevel.TrioToken] = {}


def make(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


async def run(name: str, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """From trio: what the function gives, run on such a loop. Asserts that it leaves no task and no complaint."""
    token = trio.lowlevel.current_trio_token()
    return await trio.to_thread.run_sync(_run, name, token, partial(function, *args, **kwargs))


def _run(name: str, token: trio.lowlevel.TrioToken, function: Callable[[], Awaitable[Any]]) -> Any:
    faults: list[Any] = []

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context))
        _TOKENS[loop] = token
        try:
            return await function()
        finally:
            del _TOKENS[loop]
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left: {left}"

    with asyncio.Runner(loop_factory=partial(make, name)) as runner:
        result = runner.run(main())
    gc.collect()  # what was never retrieved is told of now
    assert not faults, f"the loop was told of {faults}"
    return result


async def in_trio(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, partial(trio.from_thread.run, function, *args, trio_token=_TOKENS[loop]))
