"""Many sockets at few wake-ups: what waits for what, on a virtual clock, and on asyncio's loops."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import trio
import trio.testing
from support import loops

from voicecore import aio_transport, trio_pump
from voicecore.aio_transport import SocketTransport
from voicecore.pump import MANY, TICK, Pump


@contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(count)]
        for ours, theirs in made:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            ours.setblocking(False)
        yield made


def test_what_is_ready_is_read_and_what_was_removed_is_not():
    pump, seen = Pump(), []
    with pairs(3) as made:
        for number, (ours, theirs) in enumerate(made):
            pump.add(ours.fileno(), lambda now, n=number, s=ours: seen.append((n, now, s.recv(9))))
            theirs.send(b"x")
        pump.remove(made[1][0].fileno())
        assert pump.serve(5.0) == 2 and sorted(seen) == [(0, 5.0, b"x"), (2, 5.0, b"x")]
        assert pump.serve(6.0) == 0
        pump.remove(made[0][0].fileno())
        pump.remove(made[2][0].fileno())
        assert pump.empty
        pump.close()


@pytest.mark.parametrize("count", [MANY - 1, MANY])
def test_only_many_sockets_wait_for_each_other(count):
    pump = Pump()
    with pairs(count) as made:
        for ours, _ in made:
            pump.add(ours.fileno(), lambda _: None)
        pump.serve(7.0)
        assert pump.crowded is (count == MANY) and pump.due == 7.0 + TICK
        pump.close()


async def trio_times(count: int) -> list[float]:
    """When messages are read that come at 0, 0 and 0.3 ticks, and at 10, after one that came long before."""
    times: list[float] = []
    with pairs(count) as made:
        pump, began = trio_pump.running_pump(), 0.0

        def readable(now: float, ours: socket.socket) -> None:
            ours.recv(9)
            times.append(round((now - began) / TICK, 3))

        for ours, _ in made:
            pump.add(ours.fileno(), lambda now, ours=ours: readable(now, ours))
        began = trio.current_time()
        made[0][1].send(b"x")
        await trio.testing.wait_all_tasks_blocked()
        made[1][1].send(b"x")
        await trio.sleep(0.3 * TICK)
        made[2][1].send(b"x")
        await trio.sleep(9.7 * TICK)
        made[0][1].send(b"x")
        await trio.testing.wait_all_tasks_blocked()
        for ours, _ in made:
            pump.remove(ours.fileno())
        await pump.leave()
    return times


async def test_few_sockets_are_read_at_once(autojump_clock):
    assert await trio_times(MANY - 1) == [0, 0, 0.3, 10]


async def test_of_many_sockets_those_soon_after_a_wake_up_are_read_a_tick_after_it(autojump_clock):
    assert await trio_times(MANY) == [0, 1, 1, 10]


async def test_the_task_ends_with_the_last_socket_and_begins_again(autojump_clock):
    before = trio.lowlevel.current_statistics().tasks_living
    for _ in range(2):
        with pairs(2) as made:
            pump = trio_pump.running_pump()
            assert trio_pump.running_pump() is pump
            for ours, _ in made:
                pump.add(ours.fileno(), lambda _: None)
            pump.remove(made[0][0].fileno())
            await pump.leave()
            assert trio_pump.running_pump() is pump
            pump.remove(made[1][0].fileno())
            await pump.leave()
        assert trio.lowlevel.current_statistics().tasks_living == before
    assert trio_pump.running_pump() is not pump
    await trio_pump.running_pump().leave()


# --- asyncio ---------------------------------------------------------------------------------------------


class Heard(asyncio.Protocol):
    """What a transport tells; `data_received` fails on b"fail"."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.said.append(data)
        if data == b"fail":
            raise ValueError("a fault of ours")

    def eof_received(self) -> None:
        self.said.append("eof")

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)


async def until(holds, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0)


def on_every_loop(test):
    """Runs a coroutine function on each loop, which is told of no fault; the pump ends."""

    def run(name: str) -> None:
        faults: list[dict] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
            await test()
            await until(lambda: not aio_transport._PUMPS.get(id(asyncio.get_running_loop())))
            assert not faults

        with asyncio.Runner(loop_factory=lambda: loops.make(name)) as runner:
            runner.run(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return pytest.mark.parametrize("name", loops.LOOPS)(run)


@on_every_loop
async def test_many_transports_hear_everything_in_order():
    with pairs(2 * MANY) as made:
        heard = [Heard() for _ in made]
        transports = [SocketTransport(ours, None, one) for (ours, _), one in zip(made, heard, strict=True)]
        for number in range(50):
            for _, theirs in made:
                theirs.send(b"%3d" % number)
            if number % 10 == 0:
                await asyncio.sleep(0)
        expected = b"".join(b"%3d" % number for number in range(50))
        await until(lambda: all(b"".join(one.said) == expected for one in heard))
        for transport in transports:
            transport.abort()
        assert [await one.lost for one in heard] == [None] * len(heard)


@on_every_loop
async def test_a_fault_of_one_is_its_end_and_nobody_elses():
    faults: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    with pairs(2) as made:
        bad, good = Heard(), Heard()
        SocketTransport(made[0][0], None, bad)
        transport = SocketTransport(made[1][0], None, good)
        made[0][1].send(b"fail")
        made[1][1].send(b"fine")
        assert isinstance(await bad.lost, ValueError)
        await until(lambda: good.said == [b"fine"])
        assert [str(context["exception"]) for context in faults] == ["a fault of ours"]
        transport.abort()
        assert await good.lost is None


@on_every_loop
async def test_a_writer_is_paused_and_nothing_is_lost():
    much = bytes(range(256)) * 2**14
    with pairs(1) as [(ours, theirs)]:
        one = Heard()
        transport = SocketTransport(ours, None, one)
        transport.write(much)
        transport.write(b"and more")
        assert one.said == ["pause"]
        theirs.setblocking(False)
        found, loop = b"", asyncio.get_running_loop()
        while len(found) < len(much) + 8:
            found += await loop.sock_recv(theirs, 2**20)
        assert found == much + b"and more"
        await until(lambda: one.said == ["pause", "resume"])
        theirs.close()
        assert await one.lost is None and one.said[-1] == "eof"
        transport.write(b"too late")
        assert transport.is_closing()


@on_every_loop
async def test_nothing_is_read_while_paused():
    with pairs(1) as [(ours, theirs)]:
        one = Heard()
        transport = SocketTransport(ours, None, one)
        transport.pause_reading()
        theirs.send(b"x")
        for _ in range(20):
            await asyncio.sleep(0)
        assert one.said == []
        transport.resume_reading()
        await until(lambda: one.said == [b"x"])
        transport.abort()
        await one.lost


@on_every_loop
async def test_a_write_to_a_peer_that_has_gone_ends_it():
    with pairs(1) as [(ours, theirs)]:
        one = Heard()
        transport = SocketTransport(ours, None, one)
        transport.pause_reading()
        theirs.close()
        transport.write(b"hello")
        assert isinstance(await one.lost, BrokenPipeError)


@pytest.mark.parametrize("name", loops.LOOPS)
def test_a_loop_that_ends_too_early_is_forgotten_with_its_sockets(name):
    async def leave_open(ours: socket.socket) -> None:
        SocketTransport(ours, None, Heard())

    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        fd = ours.fileno()
        loop = loops.make(name)
        loop.run_until_complete(leave_open(ours))
        loop.close()
        del ours, loop
        with pytest.warns(ResourceWarning, match=f"fd={fd}"):
            gc.collect()
        assert theirs.recv(1) == b""
