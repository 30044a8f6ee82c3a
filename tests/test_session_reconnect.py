"""Connections that are lost, against scripted vendors, through memory, on a virtual clock."""

from __future__ import annotations

import base64
import json
from functools import partial

import numpy as np
import pytest
from support import here
from trio_websocket import WebSocketConnection

import voicecore
from voicecore import AudioGap, Deadlines, Reconnect, Reconnected, Reconnecting
from voicecore.emulator import run_emulator
from voicecore.testing import Faults, run_fault_proxy

RUNTIMES = here.BOTH
PCM = voicecore.DeepdubOptions(format="s16le", sample_rate=16000)
SOUND = np.arange(1600, dtype="<i2").tobytes()


def tts(open_stream, **arguments):
    return here.connect_tts("deepdub", api_key="k", url="ws://localhost/open", open_stream=open_stream, **arguments)


def stt(open_stream, **arguments):
    return here.connect_stt("60db", api_key="k", url="ws://localhost/ws/stt", open_stream=open_stream, **arguments)


async def speak(session: voicecore.TTS) -> bytes:
    async with session.synthesize("Hello", output=None, options=PCM) as speech:
        return b"".join([chunk.data async for chunk in speech])


def audio(request: dict, *, last: bool) -> str:
    data = base64.b64encode(SOUND).decode()
    return json.dumps({"index": 0, "generationId": request["generationId"], "data": data, "isFinished": last})


async def until_gone(socket: WebSocketConnection) -> None:
    while True:
        await socket.get_message()


class Scripts:
    """One script for each connection, the last for all after it; counts them."""

    def __init__(self, *scripts) -> None:
        self.scripts = scripts
        self.opened: list[float] = []

    async def __call__(self, socket: WebSocketConnection) -> None:
        self.opened.append(here.current_time())
        await self.scripts[min(len(self.opened), len(self.scripts)) - 1](socket)


async def answer(socket):
    while True:
        await socket.send_message(audio(json.loads(await socket.get_message()), last=True))


async def die_after_the_request(socket):
    await socket.get_message()
    await socket.aclose(1011)


async def die_after_some_audio(socket):
    await socket.send_message(audio(json.loads(await socket.get_message()), last=False))
    await socket.aclose(1011)


async def refuse_by_1008(socket):
    await socket.aclose(1008)


# --- text to speech --------------------------------------------------------------------------------------


async def test_a_request_that_got_no_audio_is_sent_again_and_every_attempt_is_an_event(vendor, autojump_clock):
    scripts, events = Scripts(die_after_the_request, die_after_the_request, answer), []
    async with tts(vendor(scripts), on_event=events.append) as session:
        assert await speak(session) == SOUND
    assert len(scripts.opened) == 3
    assert [type(event) for event in events] == [Reconnecting, Reconnected] * 2
    first, _, second, _ = events
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.error.code == 1011 and 0 <= first.delay <= 0.25 and 0 <= second.delay <= 0.5


@pytest.mark.fault(17, "deepdub-open")
async def test_a_text_of_which_a_part_was_spoken_is_never_spoken_twice(vendor, autojump_clock):
    scripts = Scripts(die_after_some_audio, answer)
    async with tts(vendor(scripts)) as session:
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)
        assert len(scripts.opened) == 1
        assert await speak(session) == SOUND, "the session goes on"


async def test_attempts_in_a_row_end_with_the_error(vendor, autojump_clock):
    scripts = Scripts(die_after_the_request)
    async with tts(vendor(scripts), reconnect=Reconnect(attempts=3)) as session:
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)
    assert len(scripts.opened) == 4


async def test_accepted_then_1008_is_one_connection_and_an_auth_error(vendor, autojump_clock):
    """Fault 1 of the field: an endless loop of handshakes with a bad key."""
    scripts = Scripts(refuse_by_1008)
    async with tts(vendor(scripts)) as session:
        for _ in range(3):
            with pytest.raises(voicecore.AuthError):
                await speak(session)
    assert len(scripts.opened) == 1


async def test_a_vendor_that_drops_every_six_seconds_ends_by_the_budget(vendor, autojump_clock):
    """Fault 2 of the field: each connection does useful work, then drops."""

    async def drop_after_six_seconds(socket):
        await socket.send_message(audio(json.loads(await socket.get_message()), last=True))
        await here.sleep(6)
        await socket.aclose(1011)

    scripts = Scripts(drop_after_six_seconds)
    async with tts(vendor(scripts), reconnect=Reconnect(per_minute=3, lifetime=20)) as session:
        failures = 0
        while here.current_time() < 3600 and failures < 100:
            try:
                await speak(session)
            except voicecore.ConnectionLostError:
                failures += 1
            await here.sleep(7)
    assert failures
    times = scripts.opened
    assert len(times) <= 1 + 20 + failures
    assert max(sum(t <= u < t + 60 for u in times) for t in times) <= 4 + failures


async def test_a_close_by_the_vendor_between_two_requests_costs_no_wait(vendor, autojump_clock):
    async def once(socket):
        await socket.send_message(audio(json.loads(await socket.get_message()), last=True))
        await socket.aclose(1000)

    scripts = Scripts(once)
    async with tts(vendor(scripts)) as session:
        for _ in range(20):
            assert await speak(session) == SOUND
            await here.sleep(1)
    assert len(scripts.opened) == 20
    assert scripts.opened == pytest.approx([float(i) for i in range(20)])


async def test_leaving_while_it_waits_to_connect_again_leaves_nothing(vendor, autojump_clock):
    async with tts(vendor(Scripts(die_after_the_request)), reconnect=Reconnect(base=1000, cap=1e6)) as session:
        with here.move_on_after(0.001) as scope:
            await speak(session)
        assert scope.cancelled_caught


# --- speech to text --------------------------------------------------------------------------------------


async def greet(socket) -> dict:
    await socket.send_message('{"connection_established":true}')
    start = json.loads(await socket.get_message())
    await socket.send_message('{"type":"connected"}')
    return start


def hears(count: int, *, then, received: list[bytes]):
    """Takes `count` frames, then does something."""

    async def script(socket):
        await greet(socket)
        for _ in range(count):
            message = json.loads(await socket.get_message())
            received.append(base64.b64decode(message["audio"]))
        await then(socket)

    return script


async def stop(socket):
    while json.loads(await socket.get_message())["type"] != "stop":
        pass
    await socket.send_message('{"type":"transcription","text":"hello","is_final":true}')
    await socket.send_message('{"type":"session_stopped"}')
    await until_gone(socket)


async def die(socket):
    await socket.aclose(1011)


RATE = 32_000  # bytes per second
NOISE = np.random.default_rng(3).integers(-9000, 9000, 6 * 16_000).astype("<i2").tobytes()


async def recognise(session, seconds: int = 3) -> tuple[list, list]:
    async with session.stream(include_events=True) as stream:
        said = []
        async with here.open_nursery() as nursery:

            async def feed():
                for second in range(seconds):
                    await stream.send(NOISE[second * RATE : (second + 1) * RATE])
                    await here.sleep(1)
                await stream.finish()

            nursery.start_soon(feed)
            async for event in stream:
                said.append(event)
    return [e.text for e in said if isinstance(e, voicecore.Transcript)], [e for e in said if isinstance(e, AudioGap)]


@pytest.mark.fault(18, "60db-stt")
async def test_audio_that_no_final_covers_is_sent_again(vendor, autojump_clock):
    first, second = [], []
    scripts = Scripts(hears(30, then=die, received=first), hears(50, then=stop, received=second))
    async with stt(vendor(scripts)) as session:
        assert await recognise(session) == (["hello"], [])
    assert NOISE.startswith(b"".join(first))
    assert NOISE.startswith(b"".join(second)), "from the first sample, since no final came"


@pytest.mark.fault(18, "60db-stt")
async def test_what_a_final_covers_is_not_sent_again(vendor, autojump_clock):
    first, second = [], []

    async def transcribe_then_die(socket):
        await socket.send_message('{"type":"speech_started","timestamp":0.3}')
        await socket.send_message('{"type":"transcription","text":"one","is_final":true,"duration":0.6}')
        await here.sleep(0.1)
        await socket.aclose(1011)

    scripts = Scripts(hears(16, then=transcribe_then_die, received=first), hears(20, then=stop, received=second))
    async with stt(vendor(scripts)) as session:
        assert await recognise(session) == (["one", "hello"], [])
    assert NOISE[int(0.9 * RATE) :].startswith(b"".join(second))


@pytest.mark.fault(18, "60db-stt")
async def test_audio_that_is_too_old_to_be_sent_again_is_a_gap(vendor, autojump_clock):
    first, second = [], []
    scripts = Scripts(hears(80, then=die, received=first), hears(20, then=stop, received=second))
    async with stt(vendor(scripts), reconnect=Reconnect(replay=1.2)) as session:
        texts, [gap] = await recognise(session, seconds=6)
    assert texts == ["hello"]
    assert gap.seconds == pytest.approx(NOISE.index(second[0]) / RATE)


async def test_a_loss_after_finish_says_stop_again(vendor, autojump_clock):
    async def die_at_stop(socket):
        while json.loads(await socket.get_message())["type"] != "stop":
            pass
        await socket.aclose(1011)

    scripts = Scripts(hears(1, then=die_at_stop, received=[]), hears(1, then=stop, received=[]))
    async with stt(vendor(scripts)) as session:
        assert await recognise(session) == (["hello"], [])


async def test_a_peer_that_is_gone_without_a_word_is_replaced_after_two_keepalive_periods(autojump_clock):
    """Fault 8 of the field: a half-open socket, silent for minutes."""
    events: list = []
    async with (
        here.hosted(run_emulator(voice="tone", ears="none")) as emulator,
        here.hosted(run_fault_proxy(open_stream=partial(emulator.open_stream, ""))) as proxy,
    ):

        def heal(event):
            events.append((here.current_time(), event))
            proxy.down = Faults()

        limits = Deadlines(keepalive=5)
        async with stt(proxy.open_stream, deadlines=limits, on_event=heal) as session, session.stream() as stream:
            await stream.send(NOISE)
            began = here.current_time()
            proxy.down = Faults(then="blackhole")
            with here.move_on_after(11):
                await anext(stream)
            await stream.finish()
            async for _ in stream:
                pass
    found, again = events
    assert found[0] - began <= 10 and found[1].error.deadline == "keepalive"
    assert isinstance(again[1], Reconnected) and stream.summary.audio_seconds >= 6.0


async def test_an_orderly_end_by_the_vendor_is_not_retried(vendor, autojump_clock):
    async def bye(socket):
        await socket.aclose(1000)

    scripts = Scripts(hears(1, then=bye, received=[]))
    async with stt(vendor(scripts)) as session:
        with pytest.raises(BaseExceptionGroup) as caught:
            await recognise(session)
        assert caught.group_contains(voicecore.ConnectionLostError)
    assert len(scripts.opened) == 1
