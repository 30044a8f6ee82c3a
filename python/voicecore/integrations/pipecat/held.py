"""A session of `voicecore.aio` that a service holds between Pipecat's calls, which come in different tasks.

A session has no task of its own, so whoever needs it first may enter it, and whoever ends the service leaves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

S = TypeVar("S")


class HeldSession(Generic[S]):
    """Opened when it is first asked for; one that could not be opened is tried again by the next who asks."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        self._connect = connect
        self._opening = asyncio.Lock()
        self._entered: tuple[AbstractAsyncContextManager[S], S] | None = None

    async def get(self) -> S:
        """The session. Raises what connecting raises; cancelling it leaves nothing behind."""
        async with self._opening:
            if self._entered is None:
                block = self._connect()
                self._entered = block, await block.__aenter__()
            return self._entered[1]

    async def aclose(self) -> bool:
        """Closes it, with its connections. False if it was not open."""
        async with self._opening:
            entered, self._entered = self._entered, None
            if entered is not None:
                await entered[0].__aexit__(None, None, None)
            return entered is not None
