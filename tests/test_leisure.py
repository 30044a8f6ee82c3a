"""`read_interval`: a connection whose audio is well ahead of its listener is read now and then; nothing else waits."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import numpy as np
import pytest
import trio
from support import here
from support.scripted import heard, wait_for_the_end
from support.wire import Wire, client

import voicecore
from voicecore.connection import AHEAD_SECONDS
from voicecore.events import Synthesize
from voicecore.inbox import MAX_BEFORE

RUNTIMES = ("asyncio", "sockets")
INTERVAL = 0.02
MESSAGES = 300  # of 10 ms, one every millisecond, after the first, which is a second
RAW = voicecore.DeepdubOptions(format="s16le", sample_rate=16000)
SECOND, SHORT = bytes(range(256)) * 125, bytes(320)


def audio(context_id: str, samples: bytes, index: int, *, last: bool = False) -> dict:
    data = base64.b64encode(samples).decode()
    return {"index": index, "generationId": context_id, "data": data, "isFinished": last}


async def quick(socket) -> None:
    """A vendor that sends audio ten times as fast as it is heard."""
    while True:
        context_id = (await heard(socket))["generationId"]
        await socket.send_message(json.dumps(audio(context_id, SECOND, 0)))
        for index in range(1, MESSAGES + 1):
            await trio.sleep(0.001)
            await socket.send_message(json.dumps(audio(context_id, SHORT, index)))
        await socket.send_message(json.dumps(audio(context_id, b"", MESSAGES + 1, last=True)))


def tts(open_stream, **arguments):
    url = "ws://localhost/open"
    return here.connect_tts("deepdub", api_key="k", url=url, open_stream=open_stream, **arguments)


async def times(speech: voicecore.Speech) -> list[float]:
    """When the chunks came, each time once. Asserts that all audio did."""
    samples = [chunk.data async for chunk in speech]
    assert b"".join(samples) == SECOND + SHORT * MESSAGES
    return sorted({round(at, 6) for at, _ in speech.metrics.arrivals})


@pytest.mark.parametrize("interval", [0.0, INTERVAL])
async def test_what_is_ahead_is_read_now_and_then(vendor, autojump_clock, interval):
    async with tts(vendor(quick), read_interval=interval) as session:
        for _ in range(2):  # the second request ends the rest at once
            async with session.synthesize("Hello.", options=RAW) as speech:
                read = await times(speech)
            gaps = [after - before for before, after in pairwise(read)]
            assert read[0] == pytest.approx(0.0, abs=1e-6), "the first audio never waits"
            if interval:
                assert len(read) <= 2 + MESSAGES * 0.001 / INTERVAL and max(gaps) <= INTERVAL + 1e-6
            else:
                assert len(read) == MESSAGES + 1


async def test_another_utterance_on_the_same_connection_waits_for_nothing(vendor, autojump_clock):
    async def script(socket) -> None:
        first, second = (await heard(socket))["generationId"], None
        await socket.send_message(json.dumps(audio(first, SECOND * 5, 0)))
        second = (await heard(socket))["generationId"]
        await trio.sleep(0.0105)
        await socket.send_message(json.dumps(audio(second, SHORT, 0)))
        await wait_for_the_end(socket)

    async with tts(vendor(script), read_interval=INTERVAL) as session:
        async with session.synthesize("One.", options=RAW) as one:
            await anext(one)
            async with session.synthesize("Two.", options=RAW) as two:
                began = here.current_time()
                await anext(two)
                assert here.current_time() - began == pytest.approx(0.0105)


async def test_the_sentences_of_a_context_are_played_one_after_the_other(vendor, autojump_clock):
    """So the second is not urgent while the first is being heard."""

    async def script(socket) -> None:
        one, two = [(await heard(socket))["generationId"] for _ in range(2)]
        await socket.send_message(json.dumps(audio(one, SECOND, 0)))
        await trio.sleep(0.001)
        await socket.send_message(json.dumps(audio(one, SHORT, 1)))
        await trio.sleep(0.001)
        await socket.send_message(json.dumps(audio(one, b"", 2, last=True)))
        await trio.sleep(0.001)
        await socket.send_message(json.dumps(audio(two, SHORT, 0)))
        await wait_for_the_end(socket)

    async with tts(vendor(script), read_interval=INTERVAL) as session:
        async with session.context(options=RAW) as turn:
            await turn.send_text("This is the first sentence. This is the second one. ")
            began = here.current_time()
            for data, at in (SECOND, 0.0), (SHORT, INTERVAL), (SHORT, INTERVAL):
                assert len((await anext(turn)).data) == len(data)
                assert here.current_time() - began == pytest.approx(at, abs=1e-6)


async def test_a_ping_is_answered_within_the_interval(vendor, autojump_clock):
    waits: list[float] = []

    async def script(socket) -> None:
        context_id = (await heard(socket))["generationId"]
        await socket.send_message(json.dumps(audio(context_id, SECOND * 5, 0)))
        await trio.sleep(0.001)
        began = trio.current_time()
        await socket.ping(b"?")
        waits.append(trio.current_time() - began)
        await socket.send_message(json.dumps(audio(context_id, b"", 1, last=True)))
        await wait_for_the_end(socket)

    async with tts(vendor(script), read_interval=INTERVAL) as session:
        async with session.synthesize("One.", options=RAW) as speech:
            async for _ in speech:
                pass
    assert waits and max(waits) <= INTERVAL


@pytest.mark.parametrize("interval", [-0.1, 0.2, float("nan")])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(voicecore.ConfigurationError, match="read_interval"):
        voicecore.connect_tts("deepdub", api_key="k", read_interval=interval)


# --- what the connection says ----------------------------------------------------------------------------


def connected(*contexts: str) -> Wire:
    wire = Wire(client(read_interval=INTERVAL))
    for context_id in contexts:
        wire.connection.send(Synthesize(context_id, "hi", None, RAW), wire.now, byte_rate=32_000)
    return wire


def leisure(wire: Wire) -> float:
    return wire.connection.leisure(wire.now)


def test_there_is_leisure_once_every_utterance_is_half_a_second_ahead():
    wire = connected("a", "b")
    assert leisure(wire) == 0.0
    wire.say(audio("a", SECOND, 0))
    assert leisure(wire) == 0.0
    wire.say(audio("b", SECOND, 0))
    assert leisure(wire) == INTERVAL
    wire.at(wire.now + 1.0 - AHEAD_SECONDS)
    assert leisure(wire) == 0.0
    wire.say(audio("a", SECOND, 1), audio("b", SECOND, 1))
    assert leisure(wire) == INTERVAL
    wire.connection.forget("a")
    wire.connection.forget("b")
    assert leisure(wire) == 0.0, "nothing is being spoken"


def test_an_utterance_that_follows_another_has_its_leisure_even_across_connections():
    wire, other, third = connected("a", "b"), connected("c"), connected("d")
    wire.connection.follow("b", wire.connection, "a")
    other.connection.follow("c", wire.connection, "b")
    third.connection.follow("d", other.connection, "c")
    wire.say(audio("a", SECOND, 0))
    assert [leisure(one) for one in (wire, other, third)] == [INTERVAL] * 3
    wire.connection.forget("a")
    assert [leisure(one) for one in (wire, other, third)] == [0.0] * 3, "what went before is over"


def test_a_long_row_of_sentences_is_looked_at_once():
    names = [f"s{number}" for number in range(500)]
    wire = connected(*names)
    for before, after in pairwise(names):
        wire.connection.follow(after, wire.connection, before)
    assert leisure(wire) == 0.0
    wire.say(audio(names[0], np.zeros(32_000, "<i2").tobytes(), 0))
    assert leisure(wire) == INTERVAL


def test_to_follow_what_is_gone_changes_nothing():
    wire = connected("a", "b")
    wire.connection.forget("a")
    wire.connection.follow("b", wire.connection, "a")
    assert leisure(wire) == 0.0


def test_of_a_long_row_over_many_connections_only_the_last_few_are_looked_at():
    wires = [connected("c") for _ in range(MAX_BEFORE + 1)]
    for before, after in pairwise(wires):
        after.connection.follow("c", before.connection, "c")
    wires[0].say(audio("c", SECOND, 0))
    assert [leisure(wire) for wire in wires] == [INTERVAL] * MAX_BEFORE + [0.0]
