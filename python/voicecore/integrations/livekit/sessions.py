"""Sessions with a vendor that outlive the streams which use them, so that a connection serves one after another.

LiveKit's streams come and go in many tasks. A session of `voicecore.aio` has no task of its own, so whichever stream
is first may enter it and whoever closes may leave it. It ends with `aclose`, with its LiveKit job, or after a while
unused.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, get_job_context
from livekit.agents.utils import aio

from voicecore.errors import VoicecoreError

S = TypeVar("S")
K = TypeVar("K", bound=Hashable)
IDLE_SECONDS = 300.0


class Lease(NamedTuple, Generic[S]):
    """A session to work with. `reused`: it was open before."""

    session: S
    reused: bool


class Sessions(Generic[K, S]):
    """One session for each manner of connecting (`K`) that streams ask for, opened when the first of them does."""

    def __init__(self, connect: Callable[[K], AbstractAsyncContextManager[S]]) -> None:
        self._connect = connect
        self._held: dict[K, _Held[S]] = {}
        self._closes_with_job = False

    @asynccontextmanager
    async def use(self, manner: K) -> AsyncIterator[Lease[S]]:
        """A session for the length of the block. Raises what opening it raises. Cancelling it leaves nothing behind."""
        held = self._hold(manner)
        with held.in_use():
            yield await held.lease()

    def prewarm(self, manner: K) -> None:
        """Opens a session ahead of its first use. Without a running event loop it does nothing."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._hold(manner).prewarm()

    async def aclose(self) -> None:
        """Closes every session, with its connections."""
        held, self._held = self._held, {}
        await asyncio.gather(*(one.aclose() for one in held.values()))

    def _hold(self, manner: K) -> _Held[S]:
        job = get_job_context(required=False)
        if job is not None and not self._closes_with_job:
            self._closes_with_job = True
            job.add_shutdown_callback(self.aclose)
        return self._held.setdefault(manner, _Held(partial(self._connect, manner)))


class _Held(Generic[S]):
    """A session that is opened when it is needed, as often as that is."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        self._connect = connect
        self._opening = asyncio.Lock()
        self._block: AbstractAsyncContextManager[S] | None = None  # that was entered
        self._session: S | None = None
        self._users = 0
        self._idle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None  # a prewarming, or the close of what was idle

    async def lease(self) -> Lease[S]:
        async with self._opening:
            if self._session is not None:
                return Lease(self._session, reused=True)
            block = self._connect()
            self._session = await block.__aenter__()
            self._block = block
            return Lease(self._session, reused=False)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps it from being idle."""
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_idle)

    def prewarm(self) -> None:
        if self._session is None and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._open_ahead(), name="voicecore.prewarm")

    async def aclose(self) -> None:
        if self._task is not None:
            await aio.cancel_and_wait(self._task)
        await self._close()

    async def _open_ahead(self) -> None:
        with self.in_use():
            try:
                await self.lease()
            except VoicecoreError:
                return  # the first stream will hear of it

    def _close_idle(self) -> None:
        self._task = asyncio.create_task(self._close(only_idle=True), name="voicecore.idle")

    async def _close(self, *, only_idle: bool = False) -> None:
        if self._idle is not None:
            self._idle.cancel()
        async with self._opening:
            if only_idle and self._users:  # someone came meanwhile
                return
            block, self._block, self._session = self._block, None, None
            if block is not None:
                await block.__aexit__(None, None, None)


def seconds_of(options: APIConnectOptions) -> float:
    """The timeout as a deadline of ours; 0 switches it off, as in aiohttp."""
    return options.timeout or math.inf


DEFAULT_SECONDS = seconds_of(DEFAULT_API_CONNECT_OPTIONS)
