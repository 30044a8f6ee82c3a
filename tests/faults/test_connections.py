"""Faults of the connection, for every system, through memory and on the virtual clock. Numbers: docs/faults.md."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from support import here
from support.scripted import play
from support.systems import EVERY, PCM, connect, noise, recognised, said, work

import voicecore
from voicecore import Deadlines, Reconnect, Reconnecting
from voicecore.emulator.faulty_peer import FaultyPeer
from voicecore.emulator.profile import Profile
from voicecore.testing import FaultProxy, Faults, run_fault_proxy

RUNTIMES = here.BOTH
every = pytest.mark.parametrize("dialect", EVERY)
NEVER = Reconnect(attempts=0)
FOREVER = float("inf")


class Gate:
    """Opens connections to an emulator, or refuses to; says when it was asked to."""

    def __init__(self, emulator) -> None:
        self._emulator = emulator
        self.shut = False
        self.asked: list[float] = []

    async def open_stream(self) -> trio.abc.Stream:
        self.asked.append(here.current_time())
        if self.shut:
            raise OSError("nobody listens")
        return await self._emulator.open_stream("")


@asynccontextmanager
async def behind_proxy(emulator):
    """A proxy to the emulator, and the gate between them."""
    gate = Gate(emulator)
    async with here.hosted(run_fault_proxy(open_stream=gate.open_stream)) as proxy:
        yield proxy, gate


async def talk_on(session) -> None:
    """Uses a session without an end until it fails: a few words every seven seconds, or a little sound every second."""
    if isinstance(session, voicecore.TTS):
        while True:
            await said(session, "Hello there.")
            await here.sleep(7)
    async with session.stream() as stream:
        while True:
            await stream.send(bytes(PCM.byte_rate // 10))
            await here.sleep(1)


async def failure_of(dialect, proxy: FaultProxy, trouble, **arguments) -> BaseException:
    """What ends a session that is used without an end while there is trouble."""
    try:
        async with connect(dialect, proxy, **arguments) as session, here.open_nursery() as nursery:
            nursery.start_soon(trouble)
            await talk_on(session)
    except BaseException as error:
        return leaf_of(error)
    raise AssertionError("it goes on")


def leaf_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# --- opening again ---------------------------------------------------------------------------------------


@pytest.mark.fault(1)
@every
async def test_accepted_then_1008_is_one_connection_and_an_auth_error(dialect, nursery, autojump_clock):
    opened: list[str] = []

    class Vendor:
        open_stream = staticmethod(play(nursery, lambda socket: socket.aclose(1008), opened))

    with pytest.raises(voicecore.AuthError):
        async with connect(dialect, Vendor) as session:
            for _ in range(3):
                with pytest.raises(voicecore.AuthError):
                    await work(session)
            await work(session)
    assert len(opened) == 1


@pytest.mark.fault(2)
@every
async def test_a_line_that_drops_every_six_seconds_for_an_hour_ends_by_the_budget(dialect, emulate, autojump_clock):
    async with behind_proxy(await emulate()) as (proxy, gate), here.open_nursery() as nursery:

        async def drop() -> None:
            while True:
                await here.sleep(6)
                proxy.drop_all()

        nursery.start_soon(drop)
        failures, policy = 0, Reconnect(per_minute=3, lifetime=20)
        async with connect(dialect, proxy, reconnect=policy) as session:
            while here.current_time() < 3600:
                with suppress(voicecore.ConnectionLostError, voicecore.ConnectionFailedError):
                    await talk_on(session)
                failures += 1
                await here.sleep(7)
        nursery.cancel_scope.cancel()
    assert failures > 10, "the budget is spent and nobody was told"
    assert len(gate.asked) <= 1 + policy.lifetime + failures


@pytest.mark.fault(3)
@every
async def test_every_attempt_is_an_event_and_the_last_an_exception(dialect, emulate, autojump_clock):
    events: list = []
    async with behind_proxy(await emulate()) as (proxy, gate):

        async def restart_without_end() -> None:
            await here.sleep(5)
            gate.shut = True
            proxy.drop_all()

        error = await failure_of(dialect, proxy, restart_without_end, on_event=events.append)
        assert isinstance(error, voicecore.ConnectionFailedError) and error.retryable
    assert [type(event) for event in events] == [Reconnecting] * Reconnect().attempts
    assert [event.attempt for event in events] == [1, 2, 3, 4]
    assert len(gate.asked) == 1 + Reconnect().attempts


class Steps(trio.abc.Instrument):
    """Counts the steps of tasks."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@pytest.mark.fault(4)
@every
async def test_a_graceful_close_starts_no_busy_loop(dialect, emulate, monkeypatch, autojump_clock):
    close = FaultyPeer.close
    monkeypatch.setattr(FaultyPeer, "close", lambda peer, *_: close(peer, 1000, "a graceful close"))
    emulator = await emulate(faults=(voicecore.emulator.faults.EmulatorFault("idle", 10.0),))
    steps = Steps()
    async with connect(dialect, emulator) as session:
        await here.sleep(15)
        trio.lowlevel.add_instrument(steps)
        await here.sleep(3600)
        trio.lowlevel.remove_instrument(steps)
        assert emulator.connections == 1, "nobody asked for another one"
        await work(session)
    assert steps.count < 20


@pytest.mark.fault(5)
@every
async def test_sessions_of_one_process_come_back_in_a_steady_flow(dialect, emulate, autojump_clock):
    async with behind_proxy(await emulate()) as (proxy, gate), here.open_nursery() as nursery:

        async def one_client() -> None:
            async with connect(dialect, proxy, reconnect=Reconnect(attempts=20, per_minute=100)) as session:
                while True:
                    with suppress(voicecore.ConnectionLostError):  # a part was spoken, and is not said again
                        await talk_on(session)

        for _ in range(40):
            nursery.start_soon(one_client)
        await here.sleep(2)
        before = len(gate.asked)
        gate.shut = True
        proxy.drop_all()
        await here.sleep(5)
        gate.shut = False
        back = here.current_time()
        await here.sleep(15)
        nursery.cancel_scope.cancel()
    asked = gate.asked[before:]
    assert sum(at >= back for at in asked) >= 36
    tenths = Counter(int(at * 10) for at in asked)
    assert max(tenths.values()) <= 20 + 5 + 1, "a burst of 20, then 50 in a second"


@pytest.mark.fault(6)
@every
async def test_a_429_is_waited_for_as_long_as_it_says(dialect, emulate, autojump_clock):
    events: list = []
    emulator = await emulate()
    async with behind_proxy(emulator) as (proxy, _), here.open_nursery() as nursery:
        async with connect(dialect, proxy, on_event=events.append) as session:
            nursery.start_soon(talk_on, session)
            await here.sleep(1)
            emulator.profile = Profile(faults=(voicecore.emulator.faults.parse_fault("http=429@3"),))
            proxy.drop_all()
            await here.sleep(30)
            nursery.cancel_scope.cancel()
    waits = [(event.delay, event.error) for event in events if isinstance(event, Reconnecting)]
    limited = [(delay, error) for delay, error in waits if isinstance(error, voicecore.RateLimitError)]
    assert len(limited) == 2
    assert all(delay >= error.retry_after == 1.0 for delay, error in limited)


# --- silence ---------------------------------------------------------------------------------------------


@pytest.mark.fault(8)
@every
async def test_a_half_open_peer_in_the_middle_of_work_is_found_within_two_periods(dialect, emulate, autojump_clock):
    patient = Deadlines(first_audio=1e6, between_chunks=1e6, total=1e6, keepalive=5)
    async with behind_proxy(await emulate(pace=1)) as (proxy, _):

        async def fall_silent() -> None:
            await here.sleep(0.5)
            proxy.down = Faults(then="blackhole")

        began = here.current_time()
        error = await failure_of(dialect, proxy, fall_silent, deadlines=patient, reconnect=NEVER)
        assert isinstance(error, voicecore.DeadlineError) and error.deadline == "keepalive"
        assert here.current_time() - began <= 0.5 + 2 * patient.keepalive + patient.close


@pytest.mark.fault(8)
@every
@pytest.mark.parametrize("silence", [7, 11])  # it is in doubt after 5, and dead after 10
async def test_a_socket_that_went_stale_between_two_uses_is_not_used(dialect, silence, emulate, autojump_clock):
    async with behind_proxy(await emulate()) as (proxy, gate):
        async with connect(dialect, proxy, deadlines=Deadlines(keepalive=5)) as session:
            proxy.down = Faults(then="blackhole")
            await here.sleep(silence)
            proxy.down = Faults()
            began = here.current_time()
            await work(session)
            assert here.current_time() - began < 5, "it waited for a socket that is dead"
    assert len(gate.asked) == 2


class Line(trio.abc.Stream):
    """A stream as it is, for those that change one thing about it."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner

    async def send_all(self, data: bytes) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._inner.aclose()


class IdleCut(Line):
    """A box on the way that forgets a line on which the client says nothing for so long."""

    def __init__(self, inner: trio.abc.Stream, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds
        self._deadline = here.current_time() + seconds

    def _look(self) -> None:
        if here.current_time() > self._deadline:
            raise trio.BrokenResourceError("forgotten")
        self._deadline = here.current_time() + self._seconds

    async def send_all(self, data: bytes) -> None:
        self._look()
        await super().send_all(data)


@pytest.mark.fault(9)
@every
async def test_a_session_outlives_ten_times_the_idle_limit_of_a_box_on_the_way(dialect, emulate, autojump_clock):
    emulator, limit = await emulate(), 30.0

    class Box:
        @staticmethod
        async def open_stream(url: str, ssl_context: object) -> trio.abc.Stream:
            return IdleCut(await emulator.open_stream(url), limit)

    async with connect(dialect, Box, deadlines=Deadlines(keepalive=0.45 * limit)) as session:
        await here.sleep(10 * limit)
        await work(session)
    assert emulator.connections == 1


@pytest.mark.fault(9)
@every
async def test_a_vendor_that_closed_an_idle_socket_costs_nobody_a_request(dialect, emulate, autojump_clock):
    emulator = await emulate(faults=(voicecore.emulator.faults.EmulatorFault("idle", 10.0),))
    async with connect(dialect, emulator) as session:
        for _ in range(3):
            await work(session)
            await here.sleep(25)
    assert emulator.connections >= 3


# --- the peer does not listen ----------------------------------------------------------------------------


class FullLine(Line):
    """A line whose window closes once `open` is false: nothing more can be sent."""

    open = True

    async def send_all(self, data: bytes) -> None:
        if not FullLine.open:
            await trio.sleep_forever()
        await super().send_all(data)


@pytest.mark.fault(12)
@every
async def test_a_peer_that_stops_reading_costs_the_send_deadline(dialect, emulate, monkeypatch, autojump_clock):
    emulator = await emulate()

    class Line:
        @staticmethod
        async def open_stream(url: str, ssl_context: object) -> trio.abc.Stream:
            return FullLine(await emulator.open_stream(url))

    with pytest.raises(voicecore.DeadlineError) as caught:
        async with connect(dialect, Line, reconnect=NEVER) as session:
            if isinstance(session, voicecore.STT):
                async with session.stream() as stream:
                    monkeypatch.setattr(FullLine, "open", False)
                    began = here.current_time()
                    while True:
                        await stream.send(noise(1.0, PCM))
            monkeypatch.setattr(FullLine, "open", False)
            began = here.current_time()
            await said(session)
    assert (caught.value.deadline, here.current_time() - began) == ("send", Deadlines().send)


@pytest.mark.fault(13)
@every
async def test_a_close_that_is_not_answered_takes_a_second(dialect, emulate, autojump_clock):
    async with behind_proxy(await emulate()) as (proxy, _):
        async with connect(dialect, proxy) as session:
            if isinstance(session, voicecore.TTS):
                await work(session)
            proxy.down = Faults(then="blackhole")
            began = here.current_time()
        assert here.current_time() - began == Deadlines().close == 1.0


# --- this side stalls ------------------------------------------------------------------------------------


@pytest.mark.fault(27)
@every
async def test_a_host_loop_that_stalls_200_ms_does_not_cost_the_call(dialect, emulate, monkeypatch, autojump_clock):
    """The vendor pings every half second and waits as long; the loop stands still for 0.2 s out of every 0.3."""
    monkeypatch.setattr(dialect, "server_ping", (0.5, 0.5))
    emulator = await emulate(pace=1, chunk_seconds=0.1)
    hasty = Deadlines(first_audio=0.6, between_chunks=2.0, keepalive=0.5, send=0.5, connect=1.0)

    async def stall() -> None:
        while True:
            await here.sleep(0.1)
            autojump_clock.jump(0.2)  # the clock goes on and nobody is served

    async def used(session):
        return await (said(session) if dialect.kind == "tts" else recognised(session, pace=1, seconds=4.0))

    async with connect(dialect, emulator) as session:
        calm = await used(session)
    connections = emulator.connections
    async with here.open_nursery() as nursery:
        nursery.start_soon(stall)
        async with connect(dialect, emulator, deadlines=hasty, reconnect=NEVER) as session:
            for _ in range(3):
                assert len(await used(session)) == len(calm)
        nursery.cancel_scope.cancel()
    assert emulator.connections - connections == (1 if dialect.kind == "tts" else 3)


# --- keys in clear text; races ---------------------------------------------------------------------------


@pytest.mark.fault(28)
@every
async def test_a_key_goes_in_clear_text_to_this_machine_only(dialect):
    opener = here.connect_tts if dialect.kind == "tts" else here.connect_stt
    for host in ("vendor.example", "10.0.0.1", "192.168.1.1", "localhost.vendor.example", "[2001:db8::1]", "0.0.0.0"):
        url = f"ws://{host}{dialect.path()}"
        with pytest.raises(voicecore.ConfigurationError, match="clear text"):
            opener(dialect.name, api_key="k", url=url)
        opener(dialect.name, api_key="k", url=url, allow_plaintext=True)
        opener(dialect.name, api_key="k", url=url.replace("ws:", "wss:"))
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        opener(dialect.name, api_key="k", url=f"ws://{host}{dialect.path()}")


RACES = 24


@pytest.mark.fault(29)
@every
async def test_what_is_sent_while_the_line_ends_is_a_typed_error_or_done(dialect, emulate, autojump_clock):
    """The line is torn a little later each time, while one task sends and another reads."""

    async def send(session) -> None:
        async with (
            session.context() if dialect.kind == "tts" else session.stream() as open_,
            here.open_nursery() as tasks,
        ):
            tasks.start_soon(read, open_)
            for _ in range(10):
                await (open_.send_text("One. Two ") if dialect.kind == "tts" else open_.send(noise(0.1, PCM)))
                await here.sleep(0.1)
            await (open_.flush() if dialect.kind == "tts" else open_.finish())

    async def read(stream) -> None:
        async for _ in stream:
            await here.sleep(0.01)

    emulator, ends = await emulate(pace=3, chunk_seconds=0.05), Counter[str]()
    async with here.hosted(run_fault_proxy(open_stream=partial(emulator.open_stream, ""))) as proxy:
        for race in range(RACES):
            proxy.drop_all()
            try:
                async with connect(dialect, proxy, reconnect=NEVER) as session, here.open_nursery() as nursery:
                    nursery.start_soon(tear, proxy, race * 1.5 / RACES, race % 2 == 0)
                    await send(session)
                    nursery.cancel_scope.cancel()
            except* voicecore.VoicecoreError as group:
                ends[type(leaf_of(group)).__name__] += 1
            else:
                ends["whole"] += 1
            proxy.down = Faults()
    assert set(ends) <= {"ConnectionLostError", "ConnectionFailedError", "whole"}, ends
    assert ends["ConnectionLostError"] >= RACES // 2, ends


async def tear(proxy: FaultProxy, after: float, gently: bool) -> None:
    await here.sleep(after)
    if gently:
        proxy.down = Faults(then="half_close")
    else:
        proxy.drop_all()
