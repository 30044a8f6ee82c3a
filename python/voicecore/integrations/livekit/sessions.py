"""Sessions with a vendor that outlive the streams which use them, so that a connection serves one after another.

A session has tasks of its own and must be left by the task that entered it, while LiveKit's streams come and go in many:
so a task of ours holds each session open. It ends with `aclose`, with its LiveKit job, or after `IDLE_SECONDS` unused.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from livekit.agents import APIConnectOptions, get_job_context
from livekit.agents.utils import aio

S = TypeVar("S")
IDLE_SECONDS = 300.0


class Lease(NamedTuple, Generic[S]):
    """A session to work with. `reused`: it was open before."""

    session: S
    reused: bool


class Sessions(Generic[S]):
    """One session for each `APIConnectOptions` that streams come with, opened when the first of them does."""

    def __init__(self, connect: Callable[[APIConnectOptions], AbstractAsyncContextManager[S]]) -> None:
        self._connect = connect
        self._held: dict[APIConnectOptions, _Held[S]] = {}
        self._closes_with_job = False

    @asynccontextmanager
    async def use(self, options: APIConnectOptions) -> AsyncIterator[Lease[S]]:
        """A session for the length of the block. Raises what opening it raises; cancelling leaves it to others."""
        held = self._hold(options)
        with held.in_use():
            reused = held.is_open
            yield Lease(await held.session(), reused)

    def prewarm(self, options: APIConnectOptions) -> None:
        """Opens a session ahead of its first use. Without a running event loop it does nothing."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._hold(options)

    async def aclose(self) -> None:
        """Closes every session, with its connections and tasks."""
        held, self._held = self._held, {}
        await asyncio.gather(*(one.aclose() for one in held.values()))

    def _hold(self, options: APIConnectOptions) -> _Held[S]:
        held = self._held.get(options)
        if held is None or not held.usable:
            held = self._held[options] = _Held(self._connect(options))
            self._close_with_job()
        return held

    def _close_with_job(self) -> None:
        job = get_job_context(required=False)
        if job is not None and not self._closes_with_job:
            self._closes_with_job = True
            job.add_shutdown_callback(self.aclose)


class _Held(Generic[S]):
    """One session, held open by a task."""

    def __init__(self, opening: AbstractAsyncContextManager[S]) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[S] = self._loop.create_future()
        self._over = asyncio.Event()
        self._users = 0
        self._idle = self._loop.call_later(IDLE_SECONDS, self._over.set)
        self._task = asyncio.create_task(self._run(opening), name="voicecore.session")
        self._task.add_done_callback(_forget_error)

    @property
    def is_open(self) -> bool:
        return self._opened.done()

    @property
    def usable(self) -> bool:
        return not (self._task.done() or self._over.is_set()) and self._loop is asyncio.get_running_loop()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps it from being idle."""
        self._users += 1
        self._idle.cancel()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and self.usable:
                self._idle = self._loop.call_later(IDLE_SECONDS, self._over.set)

    async def session(self) -> S:
        """The session, once it is open. Raises what opening it has raised. Cancelling it loses nothing."""
        if not self._opened.done():
            await asyncio.wait([self._task, self._opened], return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            self._task.result()
        return self._opened.result()

    async def aclose(self) -> None:
        if not self._opened.done():
            self._task.cancel()
        self._over.set()
        await asyncio.wait([self._task])

    async def _run(self, opening: AbstractAsyncContextManager[S]) -> None:
        try:
            async with opening as session:
                self._opened.set_result(session)
                await self._over.wait()
        finally:
            self._idle.cancel()


def _forget_error(task: asyncio.Task[None]) -> None:
    """Whoever waits has it; a prewarmed session that nobody waited for is opened again by its first user."""
    if not task.cancelled():
        task.exception()


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Runs them side by side. The first error ends the others and is raised alone."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        await aio.cancel_and_wait(*tasks)


def seconds_of(options: APIConnectOptions) -> float:
    """The timeout as a deadline of ours; 0 switches it off, as in aiohttp."""
    return options.timeout or math.inf
