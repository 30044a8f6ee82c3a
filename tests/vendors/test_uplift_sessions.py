"""What Uplift's protocol does to the user's API and to the emulator: handshakes, heartbeats, silence, cancels."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
from support import here
from support.wire import KEY, Wire, client
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream
from wsproto.events import CloseConnection, TextMessage

import voicecore
from voicecore import AudioFormat, Deadlines, UpliftOptions
from voicecore.emulator import Emulator, Profile, run_emulator
from voicecore.errors import (
    AuthError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    RateLimitError,
    VendorUnavailableError,
)
from voicecore.events import (
    Audio,
    Authenticated,
    ContextAccepted,
    ContextFinished,
    ServerReady,
    Synthesize,
    TransportOpened,
)
from voicecore.protocol import SessionState

RUNTIMES = here.BOTH
NS = "/text-to-speech/multi-stream"
OPEN = '0{"sid":"E1","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
JOINED = f'40{NS},{{"sid":"N1"}}'
READY = {"type": "ready", "sessionId": "session_abc123"}
PATHS = {"uplift": "/v1/text-to-speech/multi-stream", "uplift-socketio": "/socket.io/"}
BOTH = pytest.mark.parametrize("name", PATHS)
PCM = AudioFormat("pcm_s16le", 22_050)
SECOND = np.arange(22_050, dtype="<i2").tobytes()


def packed(name: str, message: dict) -> dict | str:
    """A server's message on this transport."""
    return message if name == "uplift" else f'42{NS},["message",{json.dumps(message)}]'


def unpacked(message: dict | str) -> dict:
    """A client's message, out of its framing."""
    return message if isinstance(message, dict) else json.loads(message[message.index("[") :])[1]


def opened(name: str, *, ready: bool = True, **arguments) -> Wire:
    """A connection whose vendor has said all that there is to say before the first request."""
    wire = Wire(client(name, **arguments))
    if name == "uplift-socketio":
        wire.say(OPEN, JOINED)
    if ready:
        wire.say(packed(name, READY))
    return wire


def request(context_id: str) -> Synthesize:
    return Synthesize(context_id, "x", None, UpliftOptions())


def audio(context_id: str, data: bytes = b"\1\2", sequence: int = 0) -> dict:
    sound = base64.b64encode(data).decode()
    return {"type": "audio", "requestId": context_id, "audio": sound, "sequence": sequence}


def close_codes(wire: Wire) -> list[int]:
    """Of the close frames that the client sent."""
    return [event.code for event in wire.control if isinstance(event, CloseConnection)]


# --- the handshake ---------------------------------------------------------------------------------------


def test_framed_the_opening_is_answered_with_the_key_and_the_namespace_with_work():
    wire = Wire(client("uplift-socketio"))
    assert wire.request.target == "/socket.io/?EIO=4&transport=websocket"
    assert wire.heard == [] and not wire.connection.ready
    wire.say(OPEN)
    assert wire.heard == [f'40{NS},{{"token":"{KEY}"}}']
    wire.say(JOINED)
    assert wire.connection.protocol.session_state is SessionState.JOINED and not wire.connection.ready
    wire.say(packed("uplift-socketio", READY))
    assert wire.connection.ready
    assert [type(event) for event in wire.taken()] == [TransportOpened, Authenticated, ServerReady]


def test_plain_ready_is_all_there_is():
    wire = Wire(client("uplift"))
    assert dict(wire.request.extra_headers)[b"authorization"] == f"Bearer {KEY}".encode()
    assert not wire.connection.ready
    wire.say(READY)
    assert wire.connection.ready and wire.taken() == [ServerReady({"sessionId": "session_abc123"})]


@BOTH
def test_without_ready_work_begins_after_two_seconds_of_grace(name):
    wire = opened(name, ready=False)
    wire.at(1.999)
    assert not wire.connection.ready
    wire.at(2.0)
    assert wire.connection.ready
    assert wire.taken()[-1] == ServerReady(assumed=True)
    wire.say(packed(name, READY))  # it comes late: no harm
    wire.at(15.0)
    assert wire.connection.ready and wire.error() is None


@pytest.mark.parametrize("said", [[], [OPEN]])
def test_framed_a_handshake_that_stops_ends_by_the_connect_deadline(said):
    wire = Wire(client("uplift-socketio", connect=7))
    wire.say(*said)
    wire.at(7.0)
    assert isinstance(wire.error(), DeadlineError) and wire.error().deadline == "connect"


@pytest.mark.parametrize("early", [JOINED, packed("uplift-socketio", READY)])
def test_framed_nothing_comes_before_the_opening(early):
    wire = Wire(client("uplift-socketio"))
    wire.say(early)
    assert isinstance(wire.error(), ProtocolError)
    assert wire.heard == []  # the key was not said


def test_framed_a_second_opening_gets_no_second_key():
    wire = Wire(client("uplift-socketio"))
    wire.say(OPEN, OPEN)
    assert isinstance(wire.error(), ProtocolError)
    assert len(wire.heard) == 1


@pytest.mark.parametrize(
    ("message", "kind"), [("Invalid API key", AuthError), ("Invalid namespace", ConnectionFailedError)]
)
def test_framed_a_refused_namespace(message, kind):
    wire = Wire(client("uplift-socketio"))
    wire.say(OPEN, f'44{NS},{{"message":"{message}"}}')
    assert type(wire.error()) is kind and KEY not in str(wire.error())


def test_framed_the_key_shows_nowhere():
    wire = opened("uplift-socketio")
    assert KEY not in repr(vars(wire.connection)) and KEY not in wire.connection.shown_url
    wire.say("7")
    assert KEY not in str(wire.error())


@BOTH
@pytest.mark.parametrize("ready", [True, False])
def test_auth_failed_in_band_is_an_auth_error_in_every_state(name, ready):
    wire = opened(name, ready=ready)
    error = packed(name, {"type": "error", "requestId": "unknown", "code": "auth_failed", "message": "Invalid API key"})
    wire.say(error, *([f"41{NS},"] if name == "uplift-socketio" else []))
    assert type(wire.error()) is AuthError and not wire.connection.usable


def test_auth_failed_in_band_ends_what_is_being_spoken():
    wire = opened("uplift")
    for context_id in ("a", "b"):
        wire.send(request(context_id))
    wire.say(audio("a"), {"type": "error", "code": "auth_failed", "message": "revoked"})
    assert [type(wire.error(context_id)) for context_id in ("a", "b")] == [AuthError, AuthError]
    assert wire.connection.closed and close_codes(wire) == [1000]


# --- the heartbeat ---------------------------------------------------------------------------------------


def test_framed_a_ping_is_answered_with_a_pong():
    wire = opened("uplift-socketio")
    wire.say("2", "2x")
    assert wire.heard[1:] == ["3", "3x"]


def test_framed_a_link_without_pings_is_dropped_after_interval_and_timeout():
    wire = opened("uplift-socketio")
    wire.send(request("a"))
    for second in range(5, 41, 5):  # the vendor speaks all the time, but its heartbeat has stopped
        wire.at(second)
        wire.say(packed("uplift-socketio", audio("a")))
    wire.at(44.9)
    assert wire.connection.usable
    wire.at(45.0)
    assert wire.connection.closed and wire.connection.must_abort
    error = wire.error("a")
    assert isinstance(error, DeadlineError) and error.deadline == "keepalive" and error.seconds == 45
    assert "nothing within 45 s" in str(error)


def test_framed_each_ping_starts_the_time_anew():
    wire = opened("uplift-socketio", keepalive=1000)
    for second in (25, 50, 75):
        wire.at(second)
        wire.say("2")
    wire.at(119.9)
    wire.say("6")
    assert wire.connection.usable
    wire.at(120.0)
    assert wire.connection.closed


def test_framed_the_openings_own_times_count():
    wire = Wire(client("uplift-socketio"))
    wire.say(OPEN.replace("25000", "3000").replace("20000", "2000"), JOINED)
    wire.at(4.9)
    assert wire.connection.usable
    wire.at(5.0)
    assert wire.error().seconds == 5


def test_framed_noop_and_acknowledgements_mean_nothing():
    wire = opened("uplift-socketio")
    before = wire.taken()
    wire.say("6", f"43{NS},1[]")
    assert before and wire.taken() == []
    assert wire.connection.protocol.unknown_messages == 0 == wire.connection.protocol.late_messages


def test_framed_other_namespaces_and_events_are_kept_and_counted():
    wire = opened("uplift-socketio")
    wire.say('40{"sid":"x"}', '42["message",{"type":"error","code":"auth_failed"}]', f'42{NS},["news",1]', "41")
    assert wire.connection.usable and wire.connection.protocol.unknown_messages == 4


# --- the end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [f"41{NS},", "1"])
@pytest.mark.parametrize("when", ["opening", "joined", "ready"])
def test_framed_a_session_that_the_vendor_ends_is_an_error_that_says_so(packet, when):
    wire = Wire(client("uplift-socketio"))
    wire.say(*{"opening": [OPEN], "joined": [OPEN, JOINED], "ready": [OPEN, JOINED, packed("f", READY)]}[when])
    if when == "ready":
        wire.send(request("a"))
        wire.say(packed("f", audio("a")))
    wire.say(packet)
    error = wire.error("a" if when == "ready" else "")
    assert type(error) is ConnectionLostError and "ended the session" in str(error) and error.retryable
    assert wire.connection.closed and close_codes(wire) == [1000]


def test_framed_goodbye_is_said_before_the_close_frame():
    wire = opened("uplift-socketio")
    crossing = wire.bytes_of(TextMessage(data=f"41{NS},"))  # the vendor leaves at the same moment: no news
    wire.connection.close(0.0)
    wire.exchange()
    assert wire.heard[-1] == f"41{NS}," and close_codes(wire) == [1000]
    wire.deliver(crossing)
    wire.close()
    assert wire.connection.closed


def test_plain_has_no_goodbye():
    wire = opened("uplift")
    wire.connection.close(0.0)
    wire.exchange()
    assert wire.heard == [] and close_codes(wire) == [1000]


@BOTH
def test_a_clean_close_in_mid_speech_is_an_error(name):
    wire = opened(name)
    wire.send(request("a"))
    wire.say(packed(name, audio("a")))
    wire.close(1000)
    assert isinstance(wire.error("a"), ConnectionLostError)


def test_framed_a_binary_frame_ends_the_connection_with_a_clear_error():
    wire = opened("uplift-socketio")
    wire.send(request("a"))
    wire.say(b"\0\1")
    assert isinstance(wire.error("a"), ProtocolError) and "binary attachments" in str(wire.error("a"))
    assert close_codes(wire) == [1002]


# --- requests --------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_interleaved_requests_are_told_apart(name, chunk):
    wire = opened(name)
    wire._chunk = chunk
    for context_id in ("a", "b"):
        wire.send(request(context_id), byte_rate=44_100)
    start = [{"type": "audio_start", "requestId": context_id, "timestamp": 1} for context_id in ("b", "a")]
    sound = [audio("a", b"a0"), audio("b", b"b0"), audio("b", b"b1", 1), audio("a", b"a1", 1)]
    end = [{"type": "audio_end", "requestId": context_id, "timestamp": 2} for context_id in ("a", "b")]
    wire.say(*(packed(name, message) for message in [*start, *sound, *end]))
    for context_id in ("a", "b"):
        pieces = [Audio(context_id, f"{context_id}{index}".encode(), index) for index in (0, 1)]
        assert wire.taken(context_id) == [ContextAccepted(context_id), *pieces, ContextFinished(context_id)]
    assert wire.connection.protocol.contexts == {}


LATE_ENDS = [
    {"type": "audio_end", "requestId": "a", "timestamp": 1},
    {"type": "error", "requestId": "a", "code": "synthesis_failed", "message": "m"},
]


@BOTH
@pytest.mark.parametrize("end", LATE_ENDS, ids=lambda message: message["type"])
@pytest.mark.parametrize("forgotten", [False, True])
def test_after_a_cancel_what_is_late_is_dropped_and_counted(name, end, forgotten):
    wire = opened(name)
    wire.send(request("a"))
    wire.say(packed(name, audio("a")))
    wire.connection.cancel("a", 0.0)
    wire.exchange()
    assert unpacked(wire.heard[-1]) == {"type": "cancel", "requestId": "a"}
    assert [type(event) for event in wire.taken("a")] == [Audio]  # what had come before
    if forgotten:
        wire.connection.forget("a")
    late = [{"type": "audio_start", "requestId": "a"}, audio("a", sequence=1), end]
    wire.say(*(packed(name, message) for message in late))
    assert wire.connection.protocol.late_messages == 3
    assert wire.connection.protocol.contexts == {} and wire.connection.usable
    if not forgotten:
        assert wire.taken("a") == [] and wire.error("a") is None


@BOTH
def test_a_cancel_that_nobody_confirms_leaves_nothing_behind(name):
    wire = opened(name)
    for number in range(50):
        wire.send(request(str(number)))
        wire.connection.cancel(str(number), 0.0)
        wire.connection.forget(str(number))
    assert wire.connection.protocol.contexts == {} == wire.connection.protocol.flushes


@BOTH
def test_an_error_without_a_request_fails_what_is_unanswered(name):
    wire = opened(name)
    for context_id in ("a", "b"):
        wire.send(request(context_id))
    wire.say(packed(name, audio("a")))
    wire.say(packed(name, {"type": "error", "requestId": "unknown", "code": "rate_limit_exceeded", "message": "m"}))
    assert isinstance(wire.error("b"), RateLimitError)
    assert wire.error("a") is None and wire.connection.usable


# --- sessions against the emulator -----------------------------------------------------------------------


def connect(emulator: Emulator, name: str, key: str = "sk_api_any", **arguments):
    url = f"ws://localhost{PATHS[name]}"
    return here.connect_tts("uplift", api_key=key, url=url, open_stream=emulator.open_stream, **arguments)


def emulated(**profile):
    return here.hosted(run_emulator(Profile(**profile), voice="tone", ears="none"))


async def samples(speech) -> np.ndarray:
    return np.concatenate([chunk.samples async for chunk in speech])


@BOTH
async def test_a_text_is_spoken_the_same_in_every_format(name, autojump_clock):
    async with emulated() as emulator, connect(emulator, name) as tts:
        heard = {}
        for kind in ("PCM_22050_16", "WAV_22050_16", "WAV_22050_32", "ULAW_8000_8"):
            async with tts.synthesize("Hello there.", output=PCM, options=UpliftOptions(format=kind)) as speech:
                heard[kind] = await samples(speech)
    assert np.array_equal(heard["PCM_22050_16"], heard["WAV_22050_16"])
    assert np.array_equal(heard["PCM_22050_16"], heard["WAV_22050_32"])
    assert abs(len(heard["ULAW_8000_8"]) - len(heard["PCM_22050_16"])) <= 2
    assert len(heard["PCM_22050_16"]) > 10_000


@BOTH
async def test_speed_is_honoured_and_the_vendors_own_bytes_are_there(name, autojump_clock):
    async with emulated() as emulator, connect(emulator, name) as tts:
        lengths = []
        for speed in (1.0, 2.0):
            async with tts.synthesize("Hello there.", output=None, options=UpliftOptions(speed=speed)) as speech:
                lengths.append(len(await samples(speech)))
    assert lengths[0] == pytest.approx(2 * lengths[1], rel=0.02)


@BOTH
async def test_twenty_utterances_at_once_on_one_connection(name, autojump_clock):
    async with emulated(pace=10.0) as emulator, connect(emulator, name) as tts:
        lengths = {}

        async def one(number: int) -> None:
            async with tts.synthesize("la " * (number + 1), output=PCM) as speech:
                lengths[number] = len(await samples(speech))

        async with here.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(one, number)
        assert emulator.connections == 1
    assert [lengths[number] for number in range(20)] == [(number + 1) * lengths[0] for number in range(20)]


@BOTH
async def test_a_context_plays_its_sentences_in_order(name, autojump_clock):
    async with emulated() as emulator, connect(emulator, name) as tts, tts.context(output=PCM) as context:
        for piece in ("One sen", "tence. And ano", "ther one"):
            await context.send_text(piece)
        await context.flush()
        chunks = [(chunk.sequence, chunk.context_id) async for chunk in context]
    assert chunks == [(number, context.context_id) for number in range(len(chunks))] and len(context.metrics) == 2


@BOTH
async def test_a_voice_that_is_unknown_is_silence_until_first_audio(name, autojump_clock):
    async with emulated() as emulator, connect(emulator, name, deadlines=Deadlines(first_audio=4)) as tts:
        began = here.current_time()
        async with tts.synthesize("x", voice="v_nobody") as speech:
            with pytest.raises(DeadlineError) as caught:
                await samples(speech)
        assert (caught.value.deadline, here.current_time() - began) == ("first_audio", pytest.approx(4))
        async with tts.synthesize("x", voice="v_8eelc901", output=PCM) as speech:  # the connection is as good as before
            assert len(await samples(speech))
        assert emulator.connections == 1


@BOTH
async def test_a_voice_that_is_unknown_is_an_error_by_switch(name, autojump_clock):
    async with emulated(uplift_unknown_voice="error") as emulator, connect(emulator, name) as tts:
        async with tts.synthesize("x", voice="v_nobody") as speech:
            with pytest.raises(VendorUnavailableError, match="v_nobody"):
                await samples(speech)


@BOTH
@pytest.mark.parametrize(("after", "late"), [("silence", 0), ("end", 1), ("audio", None)])
async def test_after_a_cancel_the_emulator_does_as_it_is_told(name, autojump_clock, after, late):
    async with emulated(pace=1.0, uplift_after_cancel=after) as emulator, connect(emulator, name) as tts:
        async with tts.synthesize("one two three four five", output=PCM) as speech:
            await anext(aiter(speech))
            link = speech._link
            await speech.cancel()
        await here.sleep(5)
        counted = link.connection.protocol.late_messages
        async with tts.synthesize("six", output=PCM) as speech:
            assert len(await samples(speech))
    assert counted == late or (late is None and counted >= 5)


@BOTH
async def test_our_client_never_meets_the_emulators_limit(name, autojump_clock):
    async with emulated() as emulator, connect(emulator, name) as tts:
        began = here.current_time()
        for _ in range(130):
            async with tts.synthesize("x", output=PCM) as speech:
                assert len(await samples(speech))
        assert here.current_time() - began == pytest.approx(120)
        assert emulator.connections == 1


@BOTH
async def test_text_over_the_limit_is_refused_on_our_side(name, autojump_clock):
    async with emulated() as emulator, connect(emulator, name) as tts:
        with pytest.raises(voicecore.TextTooLongError, match="10000"):
            tts.synthesize("x" * 10_001)


@BOTH
@pytest.mark.parametrize("refusal", ["vendor", "in_band", "http", "silent"])
async def test_a_bad_key_is_an_auth_error_however_it_is_refused(name, autojump_clock, refusal):
    async with emulated(refusal=refusal) as emulator:
        with pytest.raises(AuthError) as caught:
            async with connect(emulator, name, key="bad-sekrit"):
                pass
    assert "sekrit" not in str(caught.value)


async def test_framed_an_idle_session_lives_on_heartbeats(autojump_clock):
    async with emulated() as emulator, connect(emulator, "uplift-socketio") as tts:
        await here.sleep(3600)
        async with tts.synthesize("x", output=PCM) as speech:
            assert len(await samples(speech))
        assert emulator.connections == 1


# --- the emulator, by a client of no library ----------------------------------------------------------------


@asynccontextmanager
async def raw(emulator: Emulator, name: str, query: str = "?EIO=4&transport=websocket"):
    """A bare WebSocket; on Socket.IO the opening is read."""
    async with here.open_nursery() as nursery:
        stream = await emulator.open_stream("")
        headers = [("Authorization", "Bearer k")]
        path = PATHS[name] + (query if name == "uplift-socketio" else "")
        socket = await wrap_client_stream(nursery, stream, "localhost", path, extra_headers=headers)
        if name == "uplift-socketio":
            assert (await socket.get_message()).startswith('0{"sid":')
        yield socket
        nursery.cancel_scope.cancel()


async def join(socket: WebSocketConnection, name: str) -> None:
    if name == "uplift-socketio":
        await socket.send_message(f'40{NS},{{"token":"k"}}')
        assert (await socket.get_message()).startswith(f'40{NS},{{"sid":')
    assert (await hear(socket))["type"] == "ready"


async def hear(socket: WebSocketConnection) -> dict:
    with here.fail_after(20):
        text = await socket.get_message()
    return json.loads(text) if text.startswith("{") else json.loads(text[text.index("[") :])[1]


async def stay(socket: WebSocketConnection, seconds: float) -> None:
    """Does nothing but answer heartbeats."""
    with here.move_on_after(seconds):
        while await socket.get_message() == "2":
            await socket.send_message("3")


async def ask(socket: WebSocketConnection, name: str, message: dict) -> None:
    kind = message["type"]
    await socket.send_message(json.dumps(message) if name == "uplift" else f'42{NS},["{kind}",{json.dumps(message)}]')


def synthesize(request_id: str, text: str = "x", **fields) -> dict:
    return {"type": "synthesize", "requestId": request_id, "text": text, **fields}


@here.only_trio
@BOTH
async def test_an_answer_in_the_vendors_order(name, autojump_clock):
    async with emulated(chunk_seconds=0.05) as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        await ask(socket, name, synthesize("r1", "Hello"))
        said = [await hear(socket)]
        while said[-1]["type"] != "audio_end":
            said.append(await hear(socket))
    kinds = [message["type"] for message in said]
    assert kinds == ["audio_start", *["audio"] * (len(kinds) - 2), "audio_end"] and len(kinds) > 5
    assert [message["sequence"] for message in said[1:-1]] == list(range(len(kinds) - 2))
    assert all(isinstance(said[at]["timestamp"], float) and said[at]["timestamp"] > 0 for at in (0, -1))


@here.only_trio
@BOTH
async def test_a_request_id_is_used_once(name, autojump_clock):
    async with emulated(pace=1.0) as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        for _ in range(2):
            await ask(socket, name, synthesize("r1", "one two three"))
        said = [await hear(socket)]
        while said[-1]["type"] != "audio_end":  # the first goes on to its end
            said.append(await hear(socket))
        [error] = [message for message in said if message["type"] == "error"]
        assert (error["requestId"], error["code"]) == ("r1", "duplicate_request")
        assert sum(message["type"] == "audio" for message in said) > 3
        await ask(socket, name, synthesize("r1"))
        assert (await hear(socket))["code"] == "duplicate_request"


@here.only_trio
@BOTH
async def test_the_61st_request_of_a_minute_is_refused_with_the_vendors_code(name, autojump_clock):
    async with emulated() as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        for number in range(61):
            await ask(socket, name, synthesize(str(number), voiceId="v_nobody"))  # silent: only errors are heard
        error = await hear(socket)
        assert (error["requestId"], error["code"]) == ("60", "rate_limit_exceeded")
        await stay(socket, 60)
        await ask(socket, name, synthesize("next"))
        assert (await next_of(socket, "audio_start"))["requestId"] == "next"


async def next_of(socket: WebSocketConnection, kind: str) -> dict:
    while (message := await hear(socket))["type"] != kind:
        assert message["type"] != "error", message
    return message


@here.only_trio
@BOTH
async def test_the_101st_cancel_of_a_minute_is_refused_and_the_speech_goes_on(name, autojump_clock):
    async with emulated(pace=1.0) as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        await ask(socket, name, synthesize("r1", "one two three"))
        assert (await hear(socket))["type"] == "audio_start"
        for number in range(100):
            await ask(socket, name, {"type": "cancel", "requestId": f"none-{number}"})
        await ask(socket, name, {"type": "cancel", "requestId": "r1"})
        said = [await hear(socket)]
        while said[-1]["type"] != "audio_end":
            said.append(await hear(socket))
        [error] = [message for message in said if message["type"] == "error"]
        assert (error["requestId"], error["code"]) == ("r1", "rate_limit_exceeded")


@here.only_trio
@BOTH
async def test_a_cancel_after_the_end_or_twice_is_no_error(name, autojump_clock):
    async with emulated(pace=1.0) as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        await ask(socket, name, synthesize("r1"))
        await next_of(socket, "audio_end")
        await ask(socket, name, {"type": "cancel", "requestId": "r1"})
        await ask(socket, name, synthesize("r2", "one two three four"))
        await next_of(socket, "audio")
        for _ in range(2):
            await ask(socket, name, {"type": "cancel", "requestId": "r2"})
        await ask(socket, name, synthesize("r3"))
        assert (await next_of(socket, "audio_end"))["requestId"] == "r3"


@here.only_trio
@BOTH
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"text": "x" * 10_001}, "text_too_long"),
        ({"outputFormat": "FLAC_22050_16"}, "invalid_request"),
        ({"speed": 9}, "invalid_request"),
    ],
)
async def test_a_bad_request_is_refused_and_the_socket_stays_open(name, autojump_clock, fields, code):
    async with emulated() as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        await ask(socket, name, synthesize("r1", **fields) | fields)
        error = await hear(socket)
        assert (error["type"], error["requestId"], error["code"]) == ("error", "r1", code)
        await ask(socket, name, synthesize("r2"))
        assert (await next_of(socket, "audio_end"))["requestId"] == "r2"


@here.only_trio
@BOTH
async def test_a_bad_request_with_the_id_of_a_running_one_ends_that_one_and_harms_nobody(name, autojump_clock):
    async with emulated(pace=1.0) as emulator, raw(emulator, name) as socket:
        await join(socket, name)
        await ask(socket, name, synthesize("r1", "one two three four five six seven eight nine ten"))
        await next_of(socket, "audio")
        await ask(socket, name, synthesize("r1", "x" * 10_001))
        while (message := await hear(socket))["type"] != "error":
            pass
        assert (message["requestId"], message["code"]) == ("r1", "text_too_long")
        await ask(socket, name, synthesize("r2", "one two three"))  # while the first would still speak
        assert (await next_of(socket, "audio_end"))["requestId"] == "r2"


@here.only_trio
async def test_framed_the_emulator_pings_and_drops_a_client_that_does_not_pong(autojump_clock):
    async with emulated() as emulator, raw(emulator, "uplift-socketio") as socket:
        await join(socket, "uplift-socketio")
        began = here.current_time()
        assert await socket.get_message() == "2"
        assert here.current_time() - began == pytest.approx(25)
        await socket.send_message("3")
        assert await socket.get_message() == "2"
        assert here.current_time() - began == pytest.approx(50)
        with pytest.raises(ConnectionClosed):
            await socket.get_message()
        assert here.current_time() - began == pytest.approx(70)


@here.only_trio
@pytest.mark.parametrize("query", ["?transport=websocket&EIO=4", "?t=P9x&transport=websocket&EIO=4&b64=1"])
async def test_framed_the_query_may_come_in_any_order(autojump_clock, query):
    async with emulated() as emulator, raw(emulator, "uplift-socketio", query) as socket:
        await join(socket, "uplift-socketio")


@here.only_trio
@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (f'40{NS},{{"token":"bad"}}', f'44{NS},{{"message":"Invalid API key"}}'),
        (f"40{NS},", f'44{NS},{{"message":"Invalid API key"}}'),
        ("40", '44{"message":"Invalid namespace"}'),
        ('40/else,{"token":"k"}', '44/else,{"message":"Invalid namespace"}'),
    ],
)
async def test_framed_how_the_emulator_refuses_a_namespace(autojump_clock, packet, answer):
    async with emulated() as emulator, raw(emulator, "uplift-socketio") as socket:
        await socket.send_message(packet)
        assert await socket.get_message() == answer


@here.only_trio
async def test_framed_how_the_emulator_refuses_in_band(autojump_clock):
    async with emulated(refusal="in_band") as emulator, raw(emulator, "uplift-socketio") as socket:
        await socket.send_message(f'40{NS},{{"token":"bad"}}')
        assert (await socket.get_message()).startswith(f'40{NS},{{"sid":')
        assert (await hear(socket))["code"] == "auth_failed"
        assert await socket.get_message() == f"41{NS},"
        with pytest.raises(ConnectionClosed):
            await socket.get_message()


@here.only_trio
async def test_framed_nothing_is_spoken_before_the_key(autojump_clock):
    async with emulated() as emulator, raw(emulator, "uplift-socketio") as socket:
        await ask(socket, "uplift-socketio", synthesize("r1"))
        error = await hear(socket)
        assert (error["type"], "before the key" in error["message"]) == ("error", True)
        with here.move_on_after(5), pytest.raises(ConnectionClosed):
            assert not (await socket.get_message()).startswith("4")


@here.only_trio
@pytest.mark.parametrize("packet", [f"41{NS},", "1"])
@pytest.mark.parametrize("speaking", [True, False])
async def test_framed_a_client_that_leaves_is_let_go(autojump_clock, packet, speaking):
    async with emulated(pace=1.0) as emulator, raw(emulator, "uplift-socketio") as socket:
        await join(socket, "uplift-socketio")
        if speaking:
            await ask(socket, "uplift-socketio", synthesize("r1", "one two three four five"))
            await next_of(socket, "audio")
        await socket.send_message(packet)
        began = here.current_time()
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.get_message()
        assert here.current_time() - began < 2


@here.only_trio
@pytest.mark.parametrize("query", ["?EIO=3&transport=websocket", "", "?EIO=4&transport=websocket&sid=x"])
async def test_framed_an_upgrade_that_is_no_engine_io_4_gets_400(autojump_clock, query):
    async with emulated() as emulator:
        with pytest.raises(ExceptionGroup) as refused:
            async with raw(emulator, "uplift-socketio", query):
                pass
        [rejected] = refused.value.exceptions
        assert isinstance(rejected, ConnectionRejected) and rejected.status_code == 400


@here.only_trio
@BOTH
@pytest.mark.parametrize("garbage", ["{nonsense", "", "42[", b"\0\1"])
async def test_garbage_harms_nobody(name, autojump_clock, garbage):
    async with emulated() as emulator:
        async with raw(emulator, name) as socket:
            await join(socket, name)
            await socket.send_message(garbage)
            assert (await hear(socket))["type"] == "error"
            await ask(socket, name, synthesize("r1"))
            assert (await next_of(socket, "audio_end"))["requestId"] == "r1"
