"""The session with a vendor that takes text bit by bit: scripted, through memory, on a virtual clock."""

from __future__ import annotations

import base64
import contextlib
import json
import random

import numpy as np
import pytest
import trio
import trio.testing
from support import here
from support.scripted import heard, wait_for_the_end
from trio_websocket import WebSocketConnection

import voicecore
from voicecore import AudioFormat, Deadlines
from voicecore.emulator import Profile, run_emulator

PCM_16K = AudioFormat("pcm_s16le", 16_000)
RUNTIMES = here.BOTH
URL = "ws://localhost/ws/tts"


def tts(open_stream, **arguments):
    return here.connect_tts("60db", api_key="k", url=URL, open_stream=open_stream, **arguments)


class Vendor:
    """The vendor's end of one socket, by its page. `log`: every message that the client sent."""

    def __init__(self, socket: WebSocketConnection, log: list[dict] | None = None) -> None:
        self.socket = socket
        self.log = [] if log is None else log

    async def greet(self) -> Vendor:
        await self.socket.send_message('{"connection_established":{}}')
        return self

    async def hear(self, kind: str) -> dict:
        """The next message, which is of this kind: its body. A goodbye instead ends the script."""
        message = await heard(self.socket)
        self.log.append(message)
        if "close_context" in message and kind != "close_context":
            await wait_for_the_end(self.socket)
        assert list(message) == [kind], message
        return message[kind]

    async def hear_turn(self, *, create: bool = False) -> str:
        """A context's (creation,) text and flush: its id."""
        if create:
            await self.hear("create_context")
        await self.hear("send_text")
        return (await self.hear("flush_context"))["context_id"]

    async def say(self, kind: str, context_id: str, **body: str) -> None:
        await self.socket.send_message(json.dumps({kind: {"context_id": context_id, **body}}))

    async def speak(self, context_id: str, *marks: int) -> None:
        """Ten milliseconds of the constant `mark` each."""
        for mark in marks:
            samples = np.full(160, mark, "<i2").tobytes()
            await self.say("audio_chunk", context_id, audioContent=base64.b64encode(samples).decode())

    async def turn(self, context_id: str, *marks: int) -> None:
        await self.speak(context_id, *marks)
        await self.say("flush_completed", context_id)


def marks_of(chunks: list[voicecore.audio.AudioChunk]) -> list[int]:
    """What `Vendor.speak` said, from what the user got."""
    samples = np.concatenate([chunk.samples for chunk in chunks]) if chunks else np.zeros(0, np.int16)
    assert len(samples) % 160 == 0
    return [int(mark) for mark in samples[::160]]


async def read(speech) -> list[int]:
    return marks_of([chunk async for chunk in speech])


async def say_turn(context, text: str = "Hello.") -> None:
    await context.send_text(text)
    await context.flush()


# --- one whole text --------------------------------------------------------------------------------------


@here.only_memory
async def test_create_text_and_flush_leave_in_one_write_and_audio_needs_no_round_trip(vendor, autojump_clock):
    writes: list[bytes] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        name = await side.hear_turn(create=True)
        await side.turn(name, 1, 2)  # and never `context_created`
        await wait_for_the_end(socket)

    play = vendor(script)

    async def open_stream(url, ssl_context):
        stream = await play(url, ssl_context)
        send = stream.send_all

        async def send_all(data):
            writes.append(bytes(data))
            await send(data)

        stream.send_all = send_all
        return stream

    async with tts(open_stream) as session:
        before = len(writes)
        async with session.synthesize("Hello there.", output=PCM_16K) as speech:
            assert await read(speech) == [1, 2]
        assert len(writes) == before + 1
    assert writes[0].startswith(b"GET /ws/tts?apiKey=k ")


async def test_fifty_interleaved_utterances_get_only_their_own_audio(vendor, autojump_clock):
    opened: list[str] = []
    shuffle = random.Random(7)

    async def script(socket):
        side = await Vendor(socket).greet()
        names = {}
        for _ in range(50):
            create = await side.hear("create_context")
            names[create["context_id"]] = int((await side.hear("send_text"))["text"])
            await side.hear("flush_context")
        pieces = [(name, [mark * 10 + index for index in range(4)]) for name, mark in names.items()]
        while pieces:
            name, marks = shuffle.choice(pieces)
            await side.speak(name, marks.pop(0))
            if not marks:
                pieces.remove((name, marks))
                await side.say("flush_completed", name)
        await wait_for_the_end(socket)

    got: dict[int, list[int]] = {}

    async def speak(number: int) -> None:
        async with session.synthesize(str(number), output=PCM_16K) as speech:
            got[number] = await read(speech)

    async with tts(vendor(script, opened)) as session:
        async with here.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(speak, number)
    assert got == {number: [number * 10 + index for index in range(4)] for number in range(50)}
    assert len(opened) == 1


async def test_the_fifty_first_context_is_on_another_socket_and_the_first_is_closed(vendor, autojump_clock):
    logs: list[list[dict]] = []

    async def script(socket):
        logs.append([])
        side = await Vendor(socket, logs[-1]).greet()
        while True:
            message = await heard(socket)
            side.log.append(message)
            if "flush_context" in message:
                await side.turn(message["flush_context"]["context_id"], 1)

    async with tts(vendor(script)) as session:
        for _ in range(51):
            async with session.synthesize("x", output=PCM_16K) as speech:
                assert await read(speech) == [1]
        await here.settled()
        closed = [next(iter(message)) for message in logs[0]].count("close_context")
        assert (len(logs), closed) == (2, 50)  # the retired socket said goodbye to its fifty contexts
    assert [next(iter(m)) for m in logs[1]] == ["create_context", "send_text", "flush_context", "close_context"]


async def test_a_vendor_that_closed_its_socket_after_the_last_context_is_asked_again_elsewhere(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        name = await side.hear_turn(create=True)
        await side.turn(name, len(opened))
        await side.say("context_closed", name)
        await socket.aclose(1000)

    async with tts(vendor(script, opened)) as session:
        for count in (1, 2, 3):
            async with session.synthesize("x", output=PCM_16K) as speech:
                assert await read(speech) == [count]
            await here.settled()


async def test_no_close_context_is_said_after_an_utterance(vendor, autojump_clock):
    log: list[dict] = []

    async def script(socket):
        side = await Vendor(socket, log).greet()
        for _ in range(3):
            await side.turn(await side.hear_turn(create=True), 1)
        await side.hear("close_context")
        await side.hear("close_context")
        await side.hear("close_context")

    async with tts(vendor(script)) as session:
        for _ in range(3):
            async with session.synthesize("x", output=PCM_16K) as speech:
                assert await read(speech) == [1]
    assert [next(iter(message)) for message in log[:9]] == ["create_context", "send_text", "flush_context"] * 3
    created = [message["create_context"]["context_id"] for message in log[:9:3]]
    assert [message["close_context"]["context_id"] for message in log[9:]] == created


async def test_leaving_early_drops_the_socket_and_the_next_request_opens_another(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        name = await side.hear_turn(create=True)
        if len(opened) == 2:
            await side.turn(name, 2)
        await side.speak(name, 1)
        await wait_for_the_end(socket)

    async with tts(vendor(script, opened)) as session:
        async with session.synthesize("x", output=PCM_16K) as speech:
            async for _ in speech:
                break
        async with session.synthesize("y", output=PCM_16K) as speech:
            assert await read(speech) == [2]
    assert len(opened) == 2


async def test_leaving_before_the_end_was_read_keeps_a_socket_that_is_at_rest(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        while True:
            await side.turn(await side.hear_turn(create=True), 1, 2)

    async with tts(vendor(script, opened)) as session:
        for _ in range(3):
            async with session.synthesize("x", output=PCM_16K) as speech:
                await here.sleep(1)  # all of it has come
                async for _ in speech:
                    break
    assert len(opened) == 1


async def test_late_audio_of_one_that_was_left_is_not_heard_by_its_neighbour(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        left, stays = await side.hear_turn(create=True), await side.hear_turn(create=True)
        await side.speak(left, 1)
        await side.speak(stays, 5)
        await here.sleep(5)
        await side.turn(left, 2, 3)
        await side.turn(stays, 6)
        later = await side.hear_turn(create=True)
        await side.turn(later, 9)
        await wait_for_the_end(socket)

    async with tts(vendor(script, opened)) as session:
        async with session.synthesize("y", output=PCM_16K) as left, session.synthesize("x", output=PCM_16K) as stays:
            async for _ in left:
                break
            await left.cancel()
            assert await read(stays) == [5, 6]
            async with session.synthesize("z", output=PCM_16K) as later:
                assert await read(later) == [9]
    assert len(opened) == 1


# --- text bit by bit: turns ------------------------------------------------------------------------------


async def test_several_turns_one_iteration_each(vendor, autojump_clock):
    log: list[dict] = []

    async def script(socket):
        side = await Vendor(socket, log).greet()
        name = (await side.hear("create_context"))["context_id"]
        for count in (1, 2, 3):
            assert (await side.hear("send_text"))["text"] == f"Turn {count}, "
            assert (await side.hear("send_text"))["text"] == "and its end."
            await side.hear("flush_context")
            await side.turn(name, count, count + 10)
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with session.context(voice="v", output=PCM_16K) as context:
            for count in (1, 2, 3):
                await context.send_text(f"Turn {count}, ")
                await say_turn(context, "and its end.")
                chunks = [chunk async for chunk in context]
                assert marks_of(chunks) == [count, count + 10]
                assert {chunk.context_id for chunk in chunks} == {context.context_id}
                assert [chunk.sequence for chunk in chunks] == [2 * count - 2, 2 * count - 1]
    assert log[0]["create_context"]["context_id"] == context.context_id
    assert log[0]["create_context"]["voice_id"] == "v"
    assert [metrics.chunks for metrics in context.metrics] == [2, 2, 2]


async def test_turns_may_be_pipelined_and_some_may_be_empty(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        assert (await side.hear("send_text"))["text"] == "One."
        await side.hear("flush_context")
        assert (await side.hear("send_text"))["text"] == "  "  # blank: passed on, and not worth a flush
        assert (await side.hear("send_text"))["text"] == "Two."
        await side.hear("flush_context")
        await side.turn(name, 1)
        await side.turn(name, 2)
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        await context.flush()
        await say_turn(context, "One.")
        await say_turn(context, "")
        await say_turn(context, "  ")
        await say_turn(context, "Two.")
        assert [await read(context) for _ in range(5)] == [[], [1], [], [], [2]]
        assert len(context.metrics) == 2


async def test_a_reader_that_waits_hears_of_every_end_of_a_turn(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.hear("send_text")
        await side.hear("flush_context")
        await here.sleep(2)
        await side.turn(name, 1)
        await wait_for_the_end(socket)

    async def reader():
        turns.append(await read(context))
        turns.append(await read(context))

    turns: list[list[int]] = []
    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        async with here.open_nursery() as nursery:
            nursery.start_soon(reader)
            await here.sleep(5)
            await context.flush()
            await here.sleep(5)
            assert turns == [[]]
            await say_turn(context)
    assert turns == [[], [1]]


async def test_metrics_of_a_turn_count_from_its_first_text(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.say("context_created", name)
        for _ in range(2):
            await side.hear("send_text")
            await side.hear_turn()
            await here.sleep(2)
            await side.turn(name, 1)
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        assert context.metrics == []
        for _ in range(2):
            await here.sleep(50)
            await context.send_text("Hello ")
            await here.sleep(1)
            await say_turn(context, "there.")
            await read(context)
    assert [(m.ttfb, m.duration, m.audio_seconds) for m in context.metrics] == [(3.0, 3.0, 0.01)] * 2


async def test_deadlines_are_of_a_turn_and_none_runs_between(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.hear("send_text")
        await side.hear("flush_context")
        await side.turn(name, 1)
        await wait_for_the_end(socket)

    deadlines = Deadlines(first_audio=3, between_chunks=4, total=20)
    async with tts(vendor(script), deadlines=deadlines) as session, session.context(output=PCM_16K) as context:
        await say_turn(context)
        assert await read(context) == [1]
        await here.sleep(3000)
        await context.send_text("Not flushed.")
        await here.sleep(3000)
        await context.flush()
        began = here.current_time()
        with pytest.raises(voicecore.DeadlineError) as caught:
            await read(context)
        assert (caught.value.deadline, here.current_time() - began) == ("first_audio", pytest.approx(3))
        with pytest.raises(voicecore.DeadlineError):
            await context.send_text("more")


async def test_fifty_thousand_characters_are_a_context_and_more_is_not_sent(vendor, autojump_clock):
    sent = 0

    async def script(socket):
        nonlocal sent
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        while True:
            message = await heard(socket)
            sent += len(message.get("send_text", {}).get("text", ""))
            if "flush_context" in message:
                await side.turn(name, 1)

    async with tts(vendor(script)) as session:
        with pytest.raises(voicecore.TextTooLongError, match="50000"):
            session.synthesize("x" * 50_001)
        async with session.context(output=PCM_16K) as context:
            await say_turn(context, "x" * 30_000)
            assert await read(context) == [1]
            with pytest.raises(voicecore.TextTooLongError, match="at most 50000 characters in one context, got 50001"):
                await context.send_text("y" * 20_001)
            await say_turn(context, "z" * 20_000)
            assert await read(context) == [1]
            with pytest.raises(voicecore.TextTooLongError):
                await context.send_text("!")
            await context.send_text("")
        await here.settled()
    assert sent == 50_000


# --- text bit by bit: what ends early --------------------------------------------------------------------


async def test_a_connection_lost_between_turns_is_replaced_by_the_next_text(vendor, autojump_clock):
    opened: list[str] = []
    logs: list[list[dict]] = []

    async def script(socket):
        logs.append([])
        side = await Vendor(socket, logs[-1]).greet()
        await side.turn(await side.hear_turn(create=True), len(opened))
        await socket.aclose(1011 if len(opened) == 1 else 1000)

    async with tts(vendor(script, opened)) as session, session.context(voice="v", output=PCM_16K) as context:
        for count in (1, 2, 3):
            await here.sleep(10)
            await say_turn(context, "x" * 30_000)  # the limit counts anew
            assert await read(context) == [count]
        await here.sleep(10)
        await context.flush()
        assert await read(context) == []
    assert len(opened) == 3
    assert [log[0]["create_context"]["voice_id"] for log in logs] == ["v"] * 3
    assert len({log[0]["create_context"]["context_id"] for log in logs}) == 3


async def test_a_reader_that_waits_between_turns_follows_to_the_other_connection(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        await side.turn(await side.hear_turn(create=True), len(opened))
        await socket.aclose(1000)

    turns: list[list[int]] = []

    async def reader():
        for _ in range(3):
            turns.append(await read(context))

    async with tts(vendor(script, opened)) as session, session.context(output=PCM_16K) as context:
        with here.fail_after(100):
            async with here.open_nursery() as nursery:
                nursery.start_soon(reader)
                for _ in range(3):
                    await here.sleep(10)
                    await say_turn(context)
    assert turns == [[1], [2], [3]]


async def test_turns_that_were_complete_are_read_after_their_connection_is_gone(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        name = await side.hear_turn(create=True)
        await side.turn(name, 10 * len(opened), 10 * len(opened) + 1)
        await socket.aclose(1000)

    async with tts(vendor(script, opened)) as session, session.context(output=PCM_16K) as context:
        for _ in range(3):
            await say_turn(context)
            await here.sleep(10)
        assert [await read(context) for _ in range(3)] == [[10, 11], [20, 21], [30, 31]]
        await say_turn(context)
        assert await read(context) == [40, 41]


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_connection_lost_in_a_turn_is_an_error_for_both_sides(vendor, autojump_clock, flushed):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.hear("send_text")
        if flushed:
            await side.hear("flush_context")
            await side.speak(name, 1)
        await socket.aclose(1011, "oops")

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        await context.send_text("Hello.")
        if flushed:
            await context.flush()
        chunks = []
        with pytest.raises(voicecore.ConnectionLostError) as caught:
            async for chunk in context:
                chunks.append(chunk)
        assert (marks_of(chunks), caught.value.code) == ([1] * flushed, 1011)
        for call in (context.send_text("more"), context.flush()) if not flushed else (context.send_text("more"),):
            with pytest.raises(voicecore.ConnectionLostError):
                await call


async def test_a_vendors_error_ends_its_context_alone(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        bad = (await side.hear("create_context"))["context_id"]
        good = (await side.hear("create_context"))["context_id"]
        await side.hear_turn()
        await side.say("error", bad, message="Unsupported sample_rate_hertz: 16000")
        await side.hear_turn()
        await side.turn(good, 7)
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with session.context(output=PCM_16K) as bad, session.context(output=PCM_16K) as good:
            await say_turn(bad)
            with pytest.raises(voicecore.InvalidRequestError, match="Unsupported sample_rate_hertz"):
                await read(bad)
            with pytest.raises(voicecore.InvalidRequestError):
                await bad.send_text("more")
            await say_turn(good)
            assert await read(good) == [7]


async def test_an_error_between_turns_is_raised_to_who_goes_on(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.say("error", name, message="no such voice")
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        await here.settled()
        with pytest.raises(voicecore.VendorError, match="no such voice"):
            await context.send_text("Hello.")


async def test_a_context_that_the_vendor_closed_between_turns_is_replaced_on_the_same_socket(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        for mark in (1, 2):
            name = await side.hear_turn(create=True)
            await side.turn(name, mark)
            await side.say("context_closed", name)
        await wait_for_the_end(socket)

    async with tts(vendor(script, opened)) as session, session.context(output=PCM_16K) as context:
        for mark in (1, 2):
            await say_turn(context)
            await here.sleep(1)
            assert await read(context) == [mark]
    assert len(opened) == 1


async def test_a_context_that_the_vendor_closed_has_no_more_turns(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = await side.hear_turn(create=True)
        await side.hear_turn()
        await side.speak(name, 1)
        await side.say("context_closed", name)
        await side.turn(await side.hear_turn(create=True), 3)
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        await say_turn(context, "One.")
        await say_turn(context, "Two.")
        await here.sleep(1)
        await say_turn(context, "Three.")
        assert [await read(context) for _ in range(3)] == [[1], [], [3]]


@pytest.mark.parametrize("rate", [16_000, 44_100])
async def test_what_is_said_between_turns_is_of_none(vendor, autojump_clock, rate):
    """Late audio of a turn that is over, and the end of a context that was replaced, leave the next turn as it is."""

    async def script(socket):
        side = await Vendor(socket).greet()
        for mark in range(3):
            name = await side.hear_turn(create=True)
            await side.turn(name, 5, 6)
            await side.speak(name, *[mark] * mark)
            await side.say("context_closed", name)
        await wait_for_the_end(socket)

    options = voicecore.SixtydbTtsOptions("LINEAR16", 16_000)
    async with tts(vendor(script)) as session:
        async with session.context(output=AudioFormat("pcm_s16le", rate), options=options) as context:
            turns = []
            for _ in range(3):
                await say_turn(context)
                await here.sleep(1)
                turns.append(np.concatenate([chunk.samples async for chunk in context]))
    assert len(turns[0]) == pytest.approx(rate * 0.02, abs=1)
    assert np.array_equal(turns[0], turns[1]) and np.array_equal(turns[0], turns[2])


async def test_a_context_that_the_vendor_closed_with_unspoken_text_is_an_error(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.hear("send_text")
        await side.say("context_closed", name)
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        await context.send_text("Hello.")
        await here.sleep(1)
        for call in (context.send_text("more"), context.flush()):
            with pytest.raises(voicecore.VendorError, match=r"closed the context .* before its text"):
                await call


async def test_garbage_in_a_context_is_its_error(vendor, autojump_clock):
    async def script(socket):
        side = await Vendor(socket).greet()
        name = await side.hear_turn(create=True)
        await side.say("audio_chunk", name, audioContent="AAA")
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.context(output=PCM_16K) as context:
        await say_turn(context)
        with pytest.raises(voicecore.Base64Error):
            await read(context)


# --- text bit by bit: cancelling -------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["text", "flush", "audio"])
async def test_cancelling_at_work_drops_the_socket_and_ends_the_iteration(vendor, autojump_clock, when):
    opened: list[str] = []
    closed: list[float] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        name = (await side.hear("create_context"))["context_id"]
        await side.hear("send_text")
        if when != "text":
            await side.hear("flush_context")
        if when == "audio":
            await side.speak(name, 1)
        try:
            await wait_for_the_end(socket)
        finally:
            closed.append(here.current_time())

    async with tts(vendor(script, opened)) as session:
        async with session.context(output=PCM_16K) as context:
            await context.send_text("Hello.")
            if when != "text":
                await context.flush()
            await here.sleep(1)
            async with here.open_nursery() as nursery:
                nursery.start_soon(read, context)
                await here.settled()
                await context.cancel()
            assert await read(context) == []
            with pytest.raises(voicecore.StateError):
                await context.send_text("more")
            with pytest.raises(voicecore.StateError):
                await context.flush()
            await here.sleep(1)
            assert closed == [1.0]
        async with session.context(output=PCM_16K):
            pass
    assert len(opened) == 2


async def test_leaving_at_rest_keeps_the_socket_for_the_next_context(vendor, autojump_clock):
    opened: list[str] = []
    log: list[dict] = []

    async def script(socket):
        side = await Vendor(socket, log).greet()
        await side.turn(await side.hear_turn(create=True), 1)
        await side.hear("create_context")
        await side.turn(await side.hear_turn(create=True), 3)
        await wait_for_the_end(socket)

    async with tts(vendor(script, opened)) as session:
        async with session.context(output=PCM_16K) as context:
            await say_turn(context)
            assert await read(context) == [1]
        async with session.context(output=PCM_16K):
            pass  # nothing was said in it
        async with session.context(output=PCM_16K) as context:
            await say_turn(context)
            await here.sleep(1)  # complete, and never read
    assert len(opened) == 1


async def test_a_sender_that_waits_hears_of_a_cancel_by_another_task(vendor, autojump_clock):
    """The first socket ends between two turns; the second never opens, and meanwhile the context is cancelled."""
    opened: list[str] = []

    async def script(socket):
        side = await Vendor(socket).greet()
        await side.turn(await side.hear_turn(create=True), 1)
        await socket.aclose(1000)

    async def slow(url, ssl_context):
        if opened:
            await here.sleep(5)
        return await play(url, ssl_context)

    play = vendor(script, opened)
    async with tts(slow) as session, session.context(output=PCM_16K) as context:
        await say_turn(context)
        assert await read(context) == [1]
        await here.sleep(1)
        async with here.open_nursery() as nursery:

            async def sender():
                with pytest.raises(voicecore.StateError):
                    await context.send_text("more")

            nursery.start_soon(sender)
            await here.sleep(1)
            await context.cancel()
        await here.settled()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_nobody_hears_anybody_else(vendor, autojump_clock, seed):
    """Twelve users of one session speak, leave and come back at random; the vendor is slow and its sockets die."""
    chance = random.Random(seed)
    turns_heard = 0

    async def script(socket):
        side = await Vendor(socket).greet()
        wanted: dict[str, list[int]] = {}

        async def speak(name: str) -> None:
            for mark in wanted.pop(name, []):
                await here.sleep(chance.random())
                await side.speak(name, mark)
            await side.say("flush_completed", name)

        async with here.open_nursery() as nursery:
            if chance.random() < 0.5:
                nursery.start_soon(drop_after, socket, chance.uniform(5, 40))
            while True:
                message = await heard(socket)
                if "send_text" in message:
                    body = message["send_text"]
                    wanted.setdefault(body["context_id"], []).append(int(body["text"]))
                elif "flush_context" in message:
                    nursery.start_soon(speak, message["flush_context"]["context_id"])

    async def drop_after(socket, seconds: float) -> None:
        await here.sleep(seconds)
        await socket.aclose(1011)

    async def user(number: int) -> None:
        for _ in range(4):
            await here.sleep(3 * chance.random())
            with contextlib.suppress(voicecore.ConnectionLostError):
                await converse(number)

    async def converse(number: int) -> None:
        nonlocal turns_heard
        async with session.context(output=PCM_16K) as context:
            for turn in range(chance.randint(1, 3)):
                marks = [number * 100 + turn * 10 + piece for piece in range(chance.randint(1, 4))]
                for mark in marks:
                    await context.send_text(str(mark))
                await context.flush()
                got = []
                with here.move_on_after(chance.choice([1.0, 100.0])) as patience:
                    async for chunk in context:
                        got += marks_of([chunk])
                if patience.cancelled_caught:
                    assert got == marks[: len(got)]
                    return
                assert got == marks
                turns_heard += 1

    async with tts(vendor(script)) as session, here.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(user, number)
    assert turns_heard > 10


class Steps(trio.abc.Instrument):
    """Cancels a scope when its task was scheduled for the n-th time."""

    def __init__(self, task: trio.lowlevel.Task, scope: here.CancelScope, after: int) -> None:
        self.task, self.scope, self.left = task, scope, after

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


@here.only_trio
async def test_nothing_is_left_behind_wherever_a_context_is_cancelled(autojump_clock):
    """The whole road, cancelled at every one of its checkpoints; what comes after it is whole."""
    async with here.hosted(run_emulator(Profile(pace=4.0, chunk_seconds=0.1), voice="tone", ears="none")) as emulator:

        async def road(session) -> int:
            async with session.context(output=PCM_16K) as context:
                await context.send_text("One. ")
                await context.flush()
                await context.send_text("Two.")
                await context.flush()
                first = sum([len(chunk.samples) async for chunk in context])
                return first + sum([len(chunk.samples) async for chunk in context])

        async with tts(emulator.open_stream) as session:
            whole = await road(session)
            await here.settled()
            after = 0
            while True:
                after += 1
                with here.CancelScope() as scope:
                    steps = Steps(trio.lowlevel.current_task(), scope, after)
                    trio.lowlevel.add_instrument(steps)
                    try:
                        await road(session)
                    finally:
                        trio.lowlevel.remove_instrument(steps)
                if steps.left > 0:
                    break
                if after % 5 == 0:
                    assert await road(session) == whole
        assert after > 12  # so many checkpoints there were
        await here.sleep(60)
        tasks = here.tasks_living()
        async with tts(emulator.open_stream) as session:
            assert await road(session) == whole
        await here.sleep(60)
        assert here.tasks_living() == tasks
