"""The named bounds of a connection, each tried at itself and one past it. Others are tested where they live."""

from __future__ import annotations

import base64
import json

import pytest
from support import here
from support.systems import EVERY, TTS, connect, said
from support.wire import DIALECTS, Wire, client

import voicecore
from voicecore import connection as bounds
from voicecore.chat import MAX_SHOWN, refusal
from voicecore.codec import AudioMessageScanner
from voicecore.connection import MAX_ABANDONED
from voicecore.errors import MessageError, ProtocolError, QueueOverflowError
from voicecore.events import CancelContext, Malformed, Synthesize
from voicecore.inbox import MAX_BUFFERED_SECONDS, Inbox
from voicecore.protocol import Role
from voicecore.secret import Secret
from voicecore.session import MAX_CONNECTIONS
from voicecore.testing import Talk
from voicecore.testing.damage import body_of
from voicecore.vendors.deepdub.open import MAX_SOUND, DeepdubOptions
from voicecore.vendors.sixtydb.stt import MAX_LANGUAGES, SixtydbSttOptions
from voicecore.vendors.sixtydb.tts import MAX_REQUESTS
from voicecore.vendors.uplift import socketio
from voicecore.vendors.uplift.socketio import MAX_MILLISECONDS
from voicecore.vendors.uplift.speech import MAX_ID, UpliftOptions

RUNTIMES = here.BOTH
KEY = "key-that-must-not-show"
MAX_DEPTH = 1024  # of JSON: json_audio.rs


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_json_depth():
    scanner = AudioMessageScanner(("audio",))
    scanner.scan(nested(MAX_DEPTH))
    with pytest.raises(MessageError, match=f"deeper than {MAX_DEPTH} levels"):
        scanner.scan(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize("role", Role)
def test_no_dialect_follows_json_without_end(dialect, role):
    """In every message with a body that either side says; 100 levels are nothing, 100 000 are refused."""
    talk = Talk(dialect())
    talk.greet()
    if dialect.kind == "tts":
        talk.ask("a")
    else:
        talk.start()
    told = talk.said if role is Role.CLIENT else talk.heard
    messages = [message for _, message in told if message is not None and body_of(message)]
    if not messages:
        assert (dialect.name, role) in {("vachana-stt", Role.SERVER)}, "its requests are binary frames"
    for message in messages:
        payload = message.encode() if isinstance(message, str) else message
        for levels, refused in ((100, False), (100_000, True)):
            deep = b',"zz":'.join([payload[: payload.rindex(b"}")], nested(levels) + payload[payload.rindex(b"}") :]])
            deep = deep.replace(b"{,", b"{")
            try:
                dialect().decode(deep, text=True, role=role)
            except (MessageError, ProtocolError):
                assert refused
            else:
                assert not refused


def test_seconds_that_wait_by_default():
    inbox = Inbox(1000, MAX_BUFFERED_SECONDS)
    whole = voicecore.events.Audio("a", bytes(1000))
    for _ in range(int(MAX_BUFFERED_SECONDS)):
        assert inbox.fits(1.0)
        inbox.put(whole, 0.0)
    assert inbox.fits(0.0) and not inbox.fits(0.001)


@pytest.mark.parametrize("size", [100, 100_000, bounds.MAX_MESSAGE_BYTES])
def test_a_key_that_a_vendor_echoes_is_hidden_in_a_message_of_any_size(size):
    wire = Wire(client(key=KEY))
    head = f'{{"surprise":"{KEY}'
    wire.say(head + "x" * (size - len(head) - 2) + '"}')
    [event] = wire.taken()
    assert KEY not in str(event.message) and event.message["surprise"].startswith("***x")


@pytest.mark.parametrize(
    ("bound", "use"),
    [
        (MAX_LANGUAGES, lambda count: SixtydbSttOptions(languages=["en"] * count)),
        (MAX_ID, lambda count: UpliftOptions(phrase_replacement_config_id="x" * count)),
    ],
)
def test_what_options_hold(bound, use):
    use(bound)
    with pytest.raises(voicecore.ConfigurationError):
        use(bound + 1)


@pytest.mark.parametrize(
    ("dialect", "bound", "message"),
    [
        ("deepdub", MAX_SOUND, lambda count: {"action": "gender-classify", "generationId": "a", "audio": "A" * count}),
        ("uplift", MAX_ID, lambda count: {"type": "cancel", "requestId": "x" * count}),
        ("60db", MAX_LANGUAGES, lambda count: {"type": "start", "languages": ["en"] * count}),
    ],
)
@pytest.mark.parametrize("past", [0, 1])
def test_what_a_server_takes_in_a_request(dialect, bound, message, past):
    decode, over = DIALECTS[dialect]().decode, 4 * past if bound == MAX_SOUND else past  # base64 is a multiple of four
    event = decode(json.dumps(message(bound + over)).encode(), text=True, role=Role.SERVER)
    assert isinstance(event, Malformed) is bool(past)


def test_the_times_that_engine_io_names():
    opened = '0{"sid":"a","pingInterval":%d,"pingTimeout":1}'
    assert socketio.decode((opened % MAX_MILLISECONDS).encode())
    with pytest.raises(MessageError):
        socketio.decode((opened % (MAX_MILLISECONDS + 1)).encode())


@pytest.mark.parametrize("length", [MAX_SHOWN, MAX_SHOWN + 1])
def test_what_is_shown_of_a_chat_vendors_words(length):
    error = refusal("60db", "u", 400, {}, json.dumps({"error": "x" * length}).encode(), Secret("k" * 20))
    assert str(error).count("x") == MAX_SHOWN and str(error).endswith("...") is (length > MAX_SHOWN)


def test_what_a_vendor_goes_on_with_though_it_was_cancelled():
    """Deepdub has no cancel: after so many the socket gets no more requests, and is closed once nobody needs it."""
    wire = Wire(client("deepdub"))
    for number in range(MAX_ABANDONED):
        assert wire.connection.has_room
        wire.send(Synthesize(str(number), "x", "voice", DeepdubOptions()))
        wire.send(CancelContext(str(number)))
    assert wire.connection.retired and not wire.connection.has_room
    wire.say({"generationId": "0", "index": 0, "data": base64.b64encode(b"ab").decode(), "isFinished": True})
    assert not wire.connection.retired and wire.connection.has_room


async def test_connections_of_a_session(emulate, autojump_clock):
    dialect = next(case.values[0] for case in TTS if case.values[0].name == "vachana-tts")
    emulator = await emulate(pace=1)
    async with connect(dialect, emulator) as tts, here.open_nursery() as nursery:
        for _ in range(MAX_CONNECTIONS + 1):
            nursery.start_soon(said, tts)
        await here.sleep(0.5)
        assert len(tts._links) == emulator.connections == MAX_CONNECTIONS


async def test_requests_of_a_60db_socket(emulate, autojump_clock):
    dialect = next(case.values[0] for case in TTS if case.values[0].name == "60db-tts")
    emulator = await emulate()
    async with connect(dialect, emulator) as tts:
        for _ in range(MAX_REQUESTS):
            await said(tts, "Hi.")
        assert emulator.connections == 1
        await said(tts, "Hi.")
        assert emulator.connections == 2


async def test_a_message_of_the_largest_size_and_one_byte_more(emulate, monkeypatch, autojump_clock):
    """Over the wire: the bound is the WebSocket's, whatever the vendor."""
    emulator = await emulate(chunk_seconds=10.0)
    dialect = next(case.values[0] for case in TTS if case.values[0].name == "deepdub-open")
    sizes: list[int] = []
    receive = bounds.Connection._receive_message

    def note(self, payload, text, now):
        sizes.append(len(payload))
        receive(self, payload, text, now)

    monkeypatch.setattr(bounds.Connection, "_receive_message", note)
    async with connect(dialect, emulator) as tts:
        await said(tts)
    largest = max(sizes)
    monkeypatch.setattr(bounds, "MAX_MESSAGE_BYTES", largest)
    async with connect(dialect, emulator) as tts:
        await said(tts)
    monkeypatch.setattr(bounds, "MAX_MESSAGE_BYTES", largest - 1)
    with pytest.raises(ProtocolError, match="exceeds limit"):
        async with connect(dialect, emulator) as tts:
            await said(tts)


def test_overflow_says_its_bound():
    wire = Wire(client("deepdub", buffered_seconds=1.0))
    wire.send(Synthesize("a", "x", "voice", DeepdubOptions()), byte_rate=100)
    for index, data in enumerate((bytes(100), b"a")):
        sound = base64.b64encode(data).decode()
        wire.say({"generationId": "a", "index": index, "data": sound, "isFinished": False})
    error = wire.error("a")
    assert isinstance(error, QueueOverflowError) and "at most 1 s" in str(error)
