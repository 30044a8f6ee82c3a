"""The vendors' limits, kept on our side: the window itself, then what the user sees of it, on a virtual clock."""

from __future__ import annotations

import base64
import json

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from support import here
from support.wire import Wire, client
from trio_websocket import ConnectionClosed, wrap_server_stream

from voicecore import AudioFormat, Deadlines, UpliftOptions
from voicecore.errors import ConfigurationError, DeadlineError, RateLimitError
from voicecore.events import CancelContext, SendText, Synthesize
from voicecore.limits import RateLimiter
from voicecore.protocol import Rate

RUNTIMES = here.BOTH
PCM = AudioFormat("pcm_s16le", 22_050)
URL = "ws://localhost/v1/text-to-speech/multi-stream"

# --- the window ------------------------------------------------------------------------------------------


def test_as_many_as_the_rate_allows_pass_at_once_and_the_next_when_the_first_leaves_the_window():
    limiter = RateLimiter({Synthesize: Rate(3, 60.0)})
    for at in (0.0, 10.0, 20.0):
        assert limiter.allowed_at(Synthesize, at) == at
        limiter.count(Synthesize, at)
    assert limiter.allowed_at(Synthesize, 30.0) == 60.0
    limiter.count(Synthesize, 60.0)
    assert limiter.allowed_at(Synthesize, 61.0) == 70.0


def test_each_kind_has_its_own_window_and_a_kind_without_a_rate_passes():
    limiter = RateLimiter({Synthesize: Rate(1, 60.0), CancelContext: Rate(1, 60.0)})
    limiter.count(Synthesize, 0.0)
    limiter.count(SendText, 0.0)
    assert limiter.allowed_at(Synthesize, 1.0) == 60.0
    assert limiter.allowed_at(CancelContext, 1.0) == 1.0
    assert limiter.allowed_at(SendText, 1.0) == 1.0


@given(st.integers(1, 5), st.floats(0.5, 100), st.lists(st.floats(0, 30), max_size=60))
def test_whoever_waits_as_told_never_exceeds_the_rate_in_any_window(messages, seconds, pauses):
    limiter, now, sent = RateLimiter({Synthesize: Rate(messages, seconds)}), 0.0, []
    for pause in pauses:
        now = max(now + pause, limiter.allowed_at(Synthesize, now + pause))
        limiter.count(Synthesize, now)
        sent.append(now)
    for first, over in zip(sent, sent[messages:], strict=False):
        assert over - first >= seconds * (1 - 1e-9)


# --- on one connection -----------------------------------------------------------------------------------


def ready(**deadlines) -> Wire:
    patient = dict.fromkeys(("first_audio", "between_chunks", "total", "keepalive"), 1e6)
    wire = Wire(client("uplift", **(patient | deadlines)))
    wire.say({"type": "ready"})
    return wire


def ask(wire: Wire, numbers: range) -> None:
    for number in numbers:
        wire.send(Synthesize(str(number), "x", None, UpliftOptions()))


def cancels(wire: Wire) -> list[str]:
    return [message["requestId"] for message in wire.heard if message["type"] == "cancel"]


def test_the_61st_request_is_not_sent_and_says_when_it_may_be():
    wire = ready()
    ask(wire, range(59))
    wire.at(10.0)
    ask(wire, range(59, 60))
    wire.at(15.0)
    with pytest.raises(RateLimitError, match="Synthesize: expected at most 60 in 60 s on one connection") as caught:
        ask(wire, range(60, 61))
    assert (caught.value.retryable, caught.value.retry_after) == (True, 45.0)
    assert len(wire.heard) == 60
    wire.at(59.999)
    with pytest.raises(RateLimitError):
        ask(wire, range(60, 61))
    wire.at(60.0)
    ask(wire, range(60, 119))
    with pytest.raises(RateLimitError) as caught:
        ask(wire, range(119, 120))
    assert caught.value.retry_after == 10.0


def test_a_cancel_over_its_limit_sends_nothing_and_its_audio_is_dropped():
    wire = ready()
    ask(wire, range(60))
    wire.at(60.0)
    ask(wire, range(60, 120))
    for number in range(101):
        wire.connection.cancel(str(number), 60.0)
    wire.exchange()
    assert cancels(wire) == [str(number) for number in range(100)]
    sound = base64.b64encode(bytes(100)).decode()
    wire.say({"type": "audio", "requestId": "100", "audio": sound, "sequence": 0})
    assert wire.taken("100") == [] and wire.connection.protocol.late_messages == 1
    wire.say({"type": "audio_end", "requestId": "100", "timestamp": 1})
    assert wire.taken("100") == [] and wire.error("100") is None and wire.connection.usable
    wire.at(120.0)
    wire.connection.cancel("101", 120.0)
    wire.exchange()
    assert cancels(wire)[-1] == "101"


def test_a_request_that_was_refused_does_not_count():
    wire = ready()
    ask(wire, range(60))
    for _ in range(10):
        with pytest.raises(RateLimitError):
            ask(wire, range(60, 61))
    wire.at(60.0)
    ask(wire, range(60, 120))


# --- in a session ----------------------------------------------------------------------------------------


@pytest.fixture
async def vendor(nursery: trio.Nursery):
    """An `open_stream` to a vendor that answers every request at once; `vendor.times` is when each came."""

    class Vendor:
        def __init__(self) -> None:
            self.times: list[float] = []
            self.cancels: list[str] = []

        async def open_stream(self, url: str, ssl_context: object) -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(self.serve, theirs)
            await trio.lowlevel.checkpoint()
            return ours

        async def serve(self, stream: trio.abc.Stream) -> None:
            async with here.open_nursery() as tasks:
                socket = await (await wrap_server_stream(tasks, stream)).accept()
                await socket.send_message('{"type":"ready"}')
                try:
                    while True:
                        await self.answer(socket, json.loads(await socket.get_message()))
                except ConnectionClosed:
                    tasks.cancel_scope.cancel()

        async def answer(self, socket, message: dict) -> None:
            name = {"requestId": message["requestId"]}
            if message["type"] == "cancel":
                self.cancels.append(message["requestId"])
                return
            self.times.append(here.current_time())
            await socket.send_message(json.dumps({"type": "audio", "audio": "AAAA", "sequence": 0, **name}))
            await socket.send_message(json.dumps({"type": "audio_end", "timestamp": 0, **name}))

    return Vendor()


def session(vendor, **arguments):
    return here.connect_tts("uplift", api_key="k", url=URL, open_stream=vendor.open_stream, **arguments)


async def speak(tts, count: int = 1) -> None:
    for _ in range(count):
        async with tts.synthesize("x", output=PCM) as speech:
            async for _ in speech:
                pass


async def test_the_61st_request_goes_exactly_when_the_window_allows(vendor, autojump_clock):
    async with session(vendor) as tts:
        began = here.current_time()
        for _ in range(61):
            await speak(tts)
            await here.sleep(0.25)
        await speak(tts)
    times = [at - began for at in vendor.times]
    assert times[:60] == pytest.approx([0.25 * number for number in range(60)])
    assert times[60:] == pytest.approx([60.0, 60.25])


async def test_any_number_of_tasks_wait_their_turn(vendor, autojump_clock):
    async with session(vendor) as tts:
        began = here.current_time()
        async with here.open_nursery() as nursery:
            for _ in range(130):
                nursery.start_soon(speak, tts)
    times = [at - began for at in vendor.times]
    assert times == pytest.approx([0.0] * 60 + [60.0] * 60 + [120.0] * 10)


async def test_a_wait_is_not_counted_as_time_to_first_byte(vendor, autojump_clock):
    async with session(vendor) as tts:
        await speak(tts, 60)
        async with tts.synthesize("x", output=PCM) as speech:
            async for _ in speech:
                pass
    assert speech.metrics.ttfb == pytest.approx(0.0)


async def test_the_sentences_of_a_context_wait_too(vendor, autojump_clock):
    async with session(vendor) as tts, tts.context(output=PCM) as context:
        began = here.current_time()
        async with here.open_nursery() as nursery:

            async def write():
                for _ in range(62):
                    await context.send_text("One more. ")
                await context.flush()

            nursery.start_soon(write)
            chunks = [chunk.sequence async for chunk in context]
    assert chunks == list(range(62))
    assert [at - began for at in vendor.times[59:]] == pytest.approx([0.0, 60.0, 60.0])


async def test_told_to_raise_it_raises_with_retry_after_and_sends_nothing(vendor, autojump_clock):
    async with session(vendor, on_limit="raise") as tts:
        await speak(tts, 60)
        await here.sleep(20)
        with pytest.raises(RateLimitError, match="not sent") as caught:
            await speak(tts)
        assert caught.value.retryable and caught.value.retry_after == pytest.approx(40)
        assert len(vendor.times) == 60
        await here.sleep(caught.value.retry_after)
        await speak(tts)
    assert vendor.times[-1] - vendor.times[0] == pytest.approx(60)


async def test_who_stops_waiting_takes_nobodys_turn(vendor, autojump_clock):
    async with session(vendor) as tts:
        await speak(tts, 60)
        with here.move_on_after(30) as scope:
            await speak(tts)
        assert scope.cancelled_caught and len(vendor.times) == 60
        await speak(tts, 60)
    assert vendor.times[-1] - vendor.times[0] == pytest.approx(60)


async def test_a_wait_longer_than_an_utterance_may_take_is_a_deadline_error(vendor, autojump_clock):
    async with session(vendor, deadlines=Deadlines(total=30)) as tts:
        await speak(tts, 60)
        began = here.current_time()
        with pytest.raises(DeadlineError) as caught:
            await speak(tts)
    assert (caught.value.deadline, here.current_time() - began) == ("total", pytest.approx(30))


async def test_another_session_has_its_own_window(vendor, autojump_clock):
    async with session(vendor) as one, session(vendor) as other:
        await speak(one, 60)
        await speak(other, 60)
    assert vendor.times[-1] == pytest.approx(vendor.times[0])


async def test_leaving_speeches_over_the_limit_of_cancels_is_silent(vendor, autojump_clock):
    """120 speeches are left before their end within a minute; 100 cancels go out, and nothing is heard of the rest."""

    async def answer(socket, message: dict) -> None:
        if message["type"] == "cancel":
            vendor.cancels.append(message["requestId"])

    vendor.answer = answer
    patient = Deadlines(first_audio=1e6, total=1e6)
    async with session(vendor, deadlines=patient) as tts:
        speeches = [tts.synthesize("x") for _ in range(120)]
        for speech in speeches:
            await speech.__aenter__()
        for speech in speeches:
            await speech.__aexit__(None, None, None)
        await here.sleep(1)
        assert vendor.cancels == [speech.context_id for speech in speeches[:100]]
        [link] = tts._links
        assert link.connection.protocol.contexts == {} and link.connection.usable


def test_there_are_two_ways_to_take_a_limit():
    with pytest.raises(ConfigurationError, match="on_limit: expected one of wait, raise"):
        here.connect_tts("uplift", api_key="k", on_limit="ignore")
