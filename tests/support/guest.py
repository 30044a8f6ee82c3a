"""An asyncio loop that runs as a task of trio: one thread, one clock (a virtual one, if trio's is), no socket.

So a client on asyncio meets the same peers as one on trio: the emulator, scripted vendors, the fault proxy. `run(f)`
runs a coroutine function on such a loop; inside it, `in_trio(g)` waits for a coroutine function of trio's, and
`over_memory(open_stream)` makes of trio's streams what `voicecore.aio` takes as its `open_stream`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import Any, cast

import sniffio
import trio

Deliver = Callable[[], None]


class GuestLoop(asyncio.BaseEventLoop):
    """Callbacks and timers; what waits for a file or a socket is not there."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self.nursery = nursery
        self.faults: list[dict[str, Any]] = []  # what the loop's exception handler was told
        self.before: Callable[[asyncio.Handle], None] | None = None  # called before every callback
        self._news = trio.Event()
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        return trio.current_time()

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        self._news.set()
        return super().call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        self._news.set()
        return super().call_at(when, callback, *args, context=context)

    async def drive(self, task: asyncio.Task[Any]) -> None:
        """Lets callbacks run until the task is done. Cancelling it cancels the task."""
        while not task.done():
            self._news = trio.Event()
            self._turn()
            if self._ready or task.done():
                await trio.lowlevel.cancel_shielded_checkpoint()
                continue
            try:
                with trio.CancelScope(deadline=self._next_timer()):
                    await self._news.wait()
            except trio.Cancelled:
                task.cancel()
                with trio.CancelScope(shield=True):
                    await self.drive(task)
                raise

    def _next_timer(self) -> float:
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)
        return self._scheduled[0].when() if self._scheduled else float("inf")

    def _turn(self) -> None:
        while self._next_timer() <= self.time():
            self._ready.append(heapq.heappop(self._scheduled))
        asyncio._set_running_loop(self)
        outside, sniffio.thread_local.name = sniffio.thread_local.name, "asyncio"
        try:
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    if self.before is not None:
                        self.before(handle)
                    handle._run()
        finally:
            sniffio.thread_local.name = outside
            asyncio._set_running_loop(None)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Those are dropped when their time comes."""


def loop() -> GuestLoop:
    return cast(GuestLoop, asyncio.get_running_loop())


async def run(function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """What the function gives, run on a loop of its own. Asserts that it leaves no task and no complaint."""
    async with trio.open_nursery() as nursery:
        guest = GuestLoop(nursery)
        task = guest.create_task(function(*args, **kwargs))
        try:
            await guest.drive(task)
        finally:
            left = [other for other in asyncio.all_tasks(guest) if other is not task]
            nursery.cancel_scope.cancel()
    guest.close()
    result = task.result()  # raises what the function raised
    assert not left, f"tasks are left: {left}"
    assert not guest.faults, f"the loop was told of {guest.faults}"
    return result


async def in_trio(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """From asyncio: what a coroutine function of trio's gives. Cancelling it cancels that."""
    here = loop()
    future: asyncio.Future[Any] = here.create_future()
    scope = trio.CancelScope()

    async def work() -> None:
        try:
            with scope:
                result = await function(*args)
                if future.cancelled():
                    await _drop(result)
                else:
                    future.set_result(result)
        except Exception as error:
            if not future.done():
                future.set_exception(error)

    here.nursery.start_soon(work)
    try:
        return await future
    except asyncio.CancelledError:
        scope.cancel()
        if future.done() and not future.cancelled() and future.exception() is None:
            here.nursery.start_soon(_drop, future.result())
        raise


async def _drop(result: Any) -> None:
    if isinstance(result, trio.abc.AsyncResource):
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(result)


def over_memory(open_stream: Callable[[str, Any], Awaitable[trio.abc.Stream]]) -> Callable[..., Awaitable[None]]:
    """An `open_stream` for asyncio, over one for trio."""

    async def open_transport(url: str, ssl_context: Any, protocol: asyncio.Protocol) -> None:
        stream = await in_trio(open_stream, url, ssl_context)
        MemoryTransport(stream, protocol)

    return open_transport


class MemoryTransport(asyncio.Transport):
    """A trio stream as a transport. What is written waits for the stream, as if a socket took nothing at once."""

    def __init__(self, stream: trio.abc.Stream, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop, self._stream, self._protocol = loop(), stream, protocol
        self._outgoing = bytearray()
        self._high = 64 * 2**10
        self._news, self._may_read = trio.Event(), trio.Event()
        self._may_read.set()
        self._closing = self._full = False
        self._pumps = trio.CancelScope()
        protocol.connection_made(self)
        self._loop.nursery.start_soon(self._run)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 2**10 if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._outgoing)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._may_read = trio.Event()

    def resume_reading(self) -> None:
        self._may_read.set()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._closing, "written to after its end"
        self._outgoing += data
        self._news.set()
        if len(self._outgoing) > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def close(self) -> None:
        self._closing = True
        self._news.set()

    def abort(self) -> None:
        self._closing = True
        self._pumps.cancel()

    async def _run(self) -> None:
        try:
            with self._pumps:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._receive)
                    await self._send()
                    nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    async def _receive(self) -> None:
        data = b"?"
        while data:
            await self._may_read.wait()
            try:
                data = bytes(await self._stream.receive_some(2**16))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._pumps.cancel()
                return
            await self._call(self._received, data)

    def _received(self, data: bytes) -> None:
        if self._pumps.cancel_called:
            return
        if data:
            self._protocol.data_received(data)
        elif not self._protocol.eof_received():
            self.close()

    async def _send(self) -> None:
        while self._outgoing or not self._closing:
            if not self._outgoing:
                self._news = trio.Event()
                await self._news.wait()
                continue
            data, self._outgoing = self._outgoing, bytearray()
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._pumps.cancel()
            if self._full:
                self._full = False
                await self._call(self._protocol.resume_writing)

    async def _call(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls it in the loop, and waits until it was called."""
        called = trio.Event()
        self._loop.call_soon(lambda: (function(*args), called.set()))
        await called.wait()
