"""Cancellation at every step of the user's task, over every dialect: nothing is left, and no frame is cut.

Each run is cancelled one step of the user's task later than the one before; on asyncio once when the step is about to
begin, and once when it has just ended in a wait. The line to the emulator takes sixty bytes at a time, so that a step
can fall into the middle of a frame.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np
import pytest
import trio
import trio.testing
from support import guest, here

import voicecore
from voicecore.emulator import run_emulator
from voicecore.protocol import Dialect
from voicecore.vendors import DIALECTS

SLICE = 60
STEPS = 400  # of the user's task, at most


class SlowLine(trio.abc.Stream):
    """Sends a few bytes at a time, and remembers what went out and whether it was ended by force."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self.sent = bytearray()
        self.closed = False

    async def send_all(self, data: bytes) -> None:
        for at in range(0, len(data), SLICE):
            piece = data[at : at + SLICE]
            self.sent += piece
            await self.inner.send_all(piece)
            await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        self.closed = True
        await self.inner.aclose()


class CancelAt(trio.abc.Instrument):
    """Cancels what it runs before the n-th step of its task."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.task: object = None
        self.fired = False
        self._scope = trio.CancelScope()

    async def run(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        with self._scope:
            self.task = trio.lowlevel.current_task()
            await function(*args)
        self.task = None

    def before_task_step(self, task: object) -> None:
        if task is not None and task is self.task:
            self.left -= 1
            if self.left == 0:
                self.fired = True
                self.cancel()

    def cancel(self) -> None:
        self._scope.cancel()


class CancelTaskAt(CancelAt):
    """The same on asyncio."""

    async def run(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        guest.loop().before = lambda handle: self.before_task_step(getattr(handle._callback, "__self__", None))
        self.task = task = asyncio.tasks._PyTask(function(*args))  # whose steps can be told from others
        await asyncio.wait([task])
        self.task = None
        if not task.cancelled():
            task.result()

    def cancel(self) -> None:
        self.task.cancel()


class CancelTaskAfter(CancelTaskAt):
    """... when the step is over, and what it waits for has not come."""

    def cancel(self) -> None:
        asyncio.get_running_loop().call_soon(self.task.cancel)


def connect(dialect: type[Dialect], open_stream):
    opener = here.connect_tts if dialect.kind == "tts" else here.connect_stt
    url = f"ws://localhost{dialect.path()}"
    return opener(dialect.vendor, api_key="k", url=url, open_stream=open_stream)


async def use(session: voicecore.TTS | voicecore.STT) -> None:
    """The public calls of a session."""
    if isinstance(session, voicecore.STT):
        async with session.stream() as stream:
            for _ in range(5):
                await stream.send(np.zeros(1600, "<i2"))
            await stream.finish()
            async for _ in stream:
                pass
        return
    async with session.synthesize("One. Two.") as speech:
        async for _ in speech:
            break
    async with session.context() as turn:
        await turn.send_text("One. Tw")
        await turn.send_text("o.")
        await turn.flush()
        async for _ in turn:
            pass
    async with session.synthesize("Three.") as speech:
        async for _ in speech:
            pass


async def everything(dialect: type[Dialect], instrument: CancelAt, open_stream) -> None:
    """A session from its opening to its close, all of which is cancelled."""

    async def session() -> None:
        async with connect(dialect, open_stream) as session:
            await use(session)

    await instrument.run(session)


async def one_call(dialect: type[Dialect], instrument: CancelAt, open_stream) -> None:
    """A session of which only what the user does inside is cancelled; then it goes on."""
    async with connect(dialect, open_stream) as session:
        await instrument.run(use, session)
        await use(session)


async def cancelled_run(scenario, dialect: type[Dialect], instrument: CancelAt) -> list[SlowLine]:
    lines: list[SlowLine] = []
    async with run_emulator(voice="tone", ears="none") as emulator:

        async def open_stream(url: str, ssl_context: object) -> trio.abc.Stream:
            lines.append(SlowLine(await emulator.open_stream(url)))
            return lines[-1]

        await trio.testing.wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        run = partial(guest.run, scenario) if isinstance(instrument, CancelTaskAt) else scenario
        await run(dialect, instrument, open_stream)
        with trio.fail_after(30):  # of the virtual clock: the emulator's side takes its leave
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.1)
    return lines


def ends_with_a_whole_frame(data: bytes) -> bool:
    """Reads what a client sent: the upgrade, which may be given up anywhere, then masked frames."""
    rest = data.partition(b"\r\n\r\n")[2]
    while rest:
        short = rest[1] & 127 if len(rest) > 1 else 0
        extended = {126: 2, 127: 8}.get(short, 0)
        size = int.from_bytes(rest[2 : 2 + extended]) if extended else short
        end = 2 + extended + 4 + size
        if len(rest) < end:
            return False
        rest = rest[end:]
    return True


@pytest.mark.fault(14)
@pytest.mark.fault(29)
@pytest.mark.unmeasured
@pytest.mark.parametrize("kind", [CancelAt, CancelTaskAt, CancelTaskAfter])
@pytest.mark.parametrize("scenario", [everything, one_call])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_cancelled_at_every_step_nothing_is_left_and_no_frame_is_cut(dialect, scenario, kind):
    files = len(os.listdir("/proc/self/fd"))
    for step in range(1, STEPS):
        instrument = kind(step)
        clock = trio.testing.MockClock(autojump_threshold=0)
        lines = trio.run(cancelled_run, scenario, dialect, instrument, clock=clock, instruments=[instrument])
        for line in lines:
            assert line.closed, f"step {step}: a socket is left open"
        if scenario is one_call:  # a socket is only torn when its whole session is cancelled
            cut = [line for line in lines if not ends_with_a_whole_frame(bytes(line.sent))]
            assert not cut or dialect.kind == "stt", f"step {step}: half a frame"
        if not instrument.fired:
            break
    else:
        raise AssertionError(f"the user's task takes more than {STEPS} steps")
    assert step > 8
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= files
