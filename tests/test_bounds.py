"""The named bounds of a connection, each tried at itself and one past it. Others are tested where they live."""

from __future__ import annotations

import base64

import pytest
from support import here
from support.systems import EVERY, TTS, connect, said
from support.wire import Wire, client

import voicecore
from voicecore import connection as bounds
from voicecore.codec import AudioMessageScanner
from voicecore.connection import MAX_ABANDONED, MAX_ECHO_BYTES
from voicecore.errors import MessageError, ProtocolError, QueueOverflowError
from voicecore.events import CancelContext, Synthesize
from voicecore.inbox import MAX_BUFFERED_SECONDS, Inbox, Received
from voicecore.protocol import Role
from voicecore.session import MAX_CONNECTIONS
from voicecore.testing import Talk
from voicecore.testing.damage import body_of
from voicecore.vendors.deepdub.open import DeepdubOptions
from voicecore.vendors.sixtydb.tts import MAX_REQUESTS

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
        inbox.put(Received(whole, 0.0))
    assert inbox.fits(0.0) and not inbox.fits(0.001)


def test_how_long_a_message_is_searched_for_an_echoed_key():
    """Vendors echo it in errors, which are short; audio is not searched."""
    for size in (MAX_ECHO_BYTES, MAX_ECHO_BYTES + 1):
        wire = Wire(client(key=KEY))
        head = f'{{"surprise":"{KEY}'
        wire.say(head + "x" * (size - len(head) - 2) + '"}')
        [event] = wire.taken()
        assert (KEY in str(event.message)) is (size > MAX_ECHO_BYTES)


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
