"""The sans-IO connection against a scripted wsproto server: bytes in, events and errors out, the time is a number."""

from __future__ import annotations

import base64
import gc
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire import KEY, Ping, Pong, Wire, client, frames_of
from wsproto.events import AcceptConnection, CloseConnection, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from voicecore import connection as module
from voicecore.connection import (
    LONG_MESSAGE,
    MAX_MESSAGE_BYTES,
    MAX_OUTGOING_BYTES,
    MAX_UNREAD_EVENTS,
    Connection,
    Phase,
)
from voicecore.deadlines import Deadlines
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineError,
    InvalidRequestError,
    ProtocolError,
    QueueOverflowError,
    QuotaError,
    RateLimitError,
    StateError,
    VendorError,
    VendorUnavailableError,
)
from voicecore.events import (
    Audio,
    AudioFault,
    Authenticated,
    CancelContext,
    ClassifyVoice,
    ContextAccepted,
    ContextFinished,
    Failed,
    SendAudio,
    ServerReady,
    StartStream,
    StopStream,
    StreamStarted,
    StreamStopped,
    Synthesize,
    Transcript,
    Unknown,
    VoiceClassified,
)
from voicecore.inbox import MAX_BUFFERED_EVENTS
from voicecore.protocol import ContextState, SessionState
from voicecore.secret import Secret
from voicecore.vendors.deepdub.open import DeepdubOptions
from voicecore.vendors.sixtydb.stt import SixtydbSttOptions

INF = float("inf")
PCM = DeepdubOptions(format="s16le", sample_rate=16000)
START = StartStream(SixtydbSttOptions(encoding="linear", sample_rate=16000))
ESTABLISHED = {"connection_established": {"service": "stt"}}
CONNECTED = {"type": "connected"}
STARTED = {"type": "session_started", "session_id": "s"}


def speak(context_id: str = "a") -> Synthesize:
    return Synthesize(context_id, "Hello", "v", PCM)


def ack(context_id: str = "a") -> dict:
    return {"data": "", "generationId": context_id, "isFinished": False}


def sound(context_id: str = "a", data: bytes = b"\1\2", index: int = 0, *, last: bool = False) -> dict:
    encoded = base64.b64encode(data).decode()
    return {"index": index, "generationId": context_id, "data": encoded, "isFinished": last}


def speaking(*contexts: str, **arguments) -> Wire:
    """A Deepdub connection that asked for these contexts at second 0."""
    wire = Wire(client(**arguments))
    for context_id in contexts or ("a",):
        wire.send(speak(context_id), byte_rate=32_000)
    return wire


def listening(**arguments) -> Wire:
    """A 60db connection that streams."""
    wire = Wire(client("60db", **arguments))
    wire.say(ESTABLISHED)
    wire.send(START)
    wire.say(CONNECTED, STARTED)
    assert wire.connection.protocol.session_state is SessionState.STREAMING
    return wire


# --- the upgrade -----------------------------------------------------------------------------------------


def test_the_upgrade_request_carries_the_key_where_the_vendor_wants_it():
    deepdub, sixtydb = Wire(client("deepdub")), Wire(client("60db", url="ws://vendor.test/ws/stt?a=b"))
    assert dict(deepdub.request.extra_headers)[b"x-api-key"] == KEY.encode()
    assert deepdub.request.target == "/open"
    assert sixtydb.request.target == f"/ws/stt?a=b&apiKey={KEY}"


def test_compression_is_never_offered():
    assert Wire(client()).request.extensions == []


def test_work_can_begin_once_the_upgrade_is_accepted():
    wire = Wire(client(), accept=False)
    assert (wire.connection.phase, wire.connection.ready, wire.connection.usable) == (Phase.UPGRADING, False, False)
    wire.accept()
    assert (wire.connection.phase, wire.connection.ready, wire.connection.usable) == (Phase.OPEN, True, True)


def test_a_vendor_that_confirms_the_key_is_ready_only_then():
    wire = Wire(client("60db"))
    assert (wire.connection.usable, wire.connection.ready) == (True, False)
    wire.say({"connecting": True}, CONNECTED)
    assert not wire.connection.ready
    wire.say(ESTABLISHED)
    assert wire.connection.ready


@pytest.mark.parametrize(
    ("status", "headers", "kind", "retryable", "retry_after"),
    [
        (301, {"Location": "http://elsewhere.test/"}, ConnectionFailedError, False, None),
        (400, {}, InvalidRequestError, False, None),
        (401, {}, AuthError, False, None),
        (402, {}, QuotaError, False, None),
        (403, {}, AuthError, False, None),
        (404, {}, ConnectionFailedError, False, None),
        (429, {"Retry-After": "7"}, RateLimitError, True, 7.0),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, RateLimitError, True, None),
        (429, {"Retry-After": "9" * 400}, RateLimitError, True, None),
        (429, {}, RateLimitError, True, None),
        (500, {}, VendorUnavailableError, True, None),
        (503, {"Retry-After": "120"}, VendorUnavailableError, True, 120.0),
    ],
)
@pytest.mark.parametrize("vendor", ["deepdub", "60db"])
def test_a_refused_upgrade_is_a_typed_error(vendor, status, headers, kind, retryable, retry_after):
    wire = Wire(client(vendor), accept=False)
    wire.reject(status, headers)
    error = wire.error()
    assert type(error) is kind
    assert (error.retryable, error.retry_after) == (retryable, retry_after)
    assert f"HTTP {status}" in str(error) and vendor in str(error) and "ws://vendor.test" in str(error)
    assert KEY not in str(error)
    assert wire.connection.closed and wire.connection.must_abort and not wire.connection.ready


def test_two_retry_after_headers_are_read_as_the_first():
    wire = Wire(client(), accept=False)
    wire.deliver(b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n")
    assert wire.error().retry_after == 3.0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "InvalidHeader"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n",
            "InvalidHeader",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "InvalidUpgrade"),
        (b"\xff\xfe\x00" * 100 + b"\r\n", "not HTTP"),
    ],
)
@pytest.mark.parametrize("chunk", [None, 1])
def test_an_answer_that_is_no_upgrade_says_so(answer, said, chunk):
    wire = Wire(client(), accept=False, chunk=chunk)
    wire.deliver(answer)
    error = wire.error()
    assert type(error) is ConnectionFailedError and said in str(error) and KEY not in str(error)
    assert wire.connection.must_abort


def test_extensions_that_were_not_offered_are_refused():
    wire = Wire(client(), accept=False)
    answer = wire._server.send(AcceptConnection())
    wire.deliver(answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
    assert type(wire.error()) is ConnectionFailedError


@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 101 Swi"])
def test_the_end_before_the_upgrade_is_a_failed_connection(answered):
    wire = Wire(client(), accept=False)
    wire.deliver(answered)
    wire.end()
    error = wire.error()
    assert type(error) is ConnectionFailedError and error.retryable and "before the upgrade" in str(error)


@pytest.mark.parametrize(
    "url", ["http://vendor.test/open", "ws://", "nonsense", "ws://vendor.test/#a", "ws://h:x/open"]
)
def test_a_url_that_is_none_is_refused_without_its_query(url):
    with pytest.raises(ConfigurationError, match="url: expected ws://") as caught:
        client("60db", url=url)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["k\n", "k\r\nX-Evil: 1", "ключ", "k\0"])
def test_a_key_that_would_break_the_request_apart_is_refused_unshown(key):
    with pytest.raises(ConfigurationError, match="x-api-key") as caught:
        client(key=key)
    assert key not in str(caught.value)


def test_an_odd_key_is_quoted_in_the_query():
    assert Wire(client("60db", key="a&b=c \n")).request.target == "/ws/stt?apiKey=a%26b%3Dc+%0A"


# --- the key ---------------------------------------------------------------------------------------------


def texts_reachable_from(root: object) -> list[str]:
    """Every str and bytes that the object holds, however deep; not what classes, functions and secrets hold."""
    seen, todo, found = set(), [root], []
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type | Secret) or type(item).__name__ in ("module", "function", "code"):
            continue
        seen.add(id(item))
        if isinstance(item, str | bytes | bytearray):
            found.append(item if isinstance(item, str) else bytes(item).decode("latin-1"))
        todo.extend(gc.get_referents(item))
    return found


@pytest.mark.parametrize("vendor", ["deepdub", "60db"])
def test_the_key_does_not_show_in_the_connection(vendor):
    connection = client(vendor)
    connection.start(0.0)
    assert KEY not in repr(vars(connection))
    assert KEY.encode() in connection.data_to_send(0.0)
    assert [text for text in texts_reachable_from(vars(connection)) if KEY in text] == []


# --- the end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", ["deepdub", "60db"])
def test_1008_straight_after_the_upgrade_is_a_refused_key(vendor):
    wire = Wire(client(vendor))
    wire.close(1008, "policy")
    error = wire.error()
    assert type(error) is AuthError and not error.retryable
    assert error.code == "1008" and "policy" in str(error) and KEY not in str(error)


def test_1008_after_connecting_is_a_refused_key_too():
    wire = Wire(client("60db"))
    wire.say({"connecting": True, "message": "Authenticating..."})
    wire.close(1008)
    assert type(wire.error()) is AuthError


def test_1008_later_is_no_refused_key():
    wire = speaking()
    wire.say(sound())
    wire.close(1008)
    error = wire.error("a")
    assert type(error) is ConnectionLostError and not error.retryable


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        (1000, True),
        (1001, True),
        (1002, False),
        (1003, False),
        (1007, False),
        (1008, False),
        (1009, False),
        (1010, False),
        (1011, True),
        (1012, True),
        (1013, True),
        (4000, True),
    ],
)
def test_a_close_code_says_whether_to_try_again(code, retryable):
    wire = speaking()
    wire.say(sound())
    wire.close(code, "because")
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]
    error = wire.error("a")
    assert type(error) is ConnectionLostError
    assert (error.code, error.reason, error.retryable) == (code, "because", retryable)
    assert str(code) in str(error) and "because" in str(error)
    assert wire.connection.closed and wire.connection.next_deadline() == INF


@pytest.mark.parametrize(
    "before",
    [
        lambda: Wire(client()),
        lambda: speaking(),
        lambda: Wire(client("60db")),
        lambda: listening(),
    ],
    ids=["idle", "requested", "opening", "streaming"],
)
def test_the_end_without_a_goodbye_is_a_lost_connection(before):
    wire = before()
    wire.end()
    for context_id in ("", "a"):
        error = wire.error(context_id)
        assert type(error) is ConnectionLostError and error.code == 1006 and error.retryable
    assert wire.connection.closed and not wire.connection.usable


def test_the_end_in_the_middle_of_a_frame_is_a_lost_connection():
    wire = speaking()
    wire.deliver(wire.bytes_of(TextMessage(data=json.dumps(sound())))[:-1])
    wire.end()
    assert type(wire.error("a")) is ConnectionLostError


def test_what_came_before_the_end_is_read_first():
    wire = speaking()
    wire.say(ack(), sound(), sound(index=1, last=True))
    wire.end()
    assert wire.taken("a") == [ContextAccepted("a"), Audio("a", b"\1\2", 0), ContextFinished("a", b"\1\2", 1)]


def test_nothing_after_the_end_is_heard():
    wire = speaking()
    more = wire.bytes_of(TextMessage(data=json.dumps(sound())))
    wire.end()
    wire.connection.receive_data(more, 1.0)
    wire.connection.handle_timeout(1e9)
    assert wire.taken("a") == []


def test_close_says_1000_and_ends_when_it_is_answered():
    wire = speaking()
    wire.connection.close(5.0)
    assert wire.connection.phase is Phase.CLOSING and wire.connection.next_deadline() == 6.0
    wire.exchange()
    assert [(event.code, type(event)) for event in wire.control] == [(1000, CloseConnection)]
    wire.frames(wire.control[0].response())
    assert wire.connection.closed and not wire.connection.must_abort
    assert wire.error("a").code == 1000


def test_messages_while_closing_are_not_delivered():
    wire = speaking()
    wire.connection.close(0.0)
    wire.say(sound())
    assert wire.taken("a") == []


def test_a_close_that_is_not_answered_is_aborted_at_its_second():
    wire = Wire(client())
    wire.connection.close(5.0)
    wire.at(5.999)
    assert not wire.connection.closed
    wire.at(6.0)
    assert wire.connection.closed and wire.connection.must_abort


def test_closing_twice_is_closing_once():
    wire = Wire(client())
    wire.connection.close(5.0)
    wire.connection.close(5.5)
    assert wire.connection.phase is Phase.CLOSING and wire.connection.next_deadline() == 6.0
    wire.at(6.0)
    wire.connection.close(7.0)
    assert wire.connection.closed


@pytest.mark.parametrize("started", [False, True])
def test_closing_before_the_upgrade_aborts(started):
    connection = client()
    if started:
        connection.start(0.0)
    connection.close(1.0)
    assert connection.closed and connection.must_abort and connection.next_deadline() == INF


def test_abort_ends_every_context():
    wire = speaking("a", "b")
    wire.connection.abort()
    assert wire.connection.must_abort
    assert {type(wire.error(context_id)) for context_id in ("", "a", "b")} == {ConnectionLostError}


def test_a_stray_peer_cannot_bring_a_closed_connection_back():
    wire = speaking()
    wire.connection.abort(lambda: ConnectionFailedError("first"))
    wire.connection.abort(lambda: ConnectionFailedError("second"))
    assert str(wire.error()) == "first"


# --- messages and frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("chunk", [None, 1])
def test_a_message_in_any_number_of_fragments_and_chunks_is_one(binary, pieces, chunk):
    wire = Wire(client(), chunk=chunk)
    wire.send(speak())
    wire.say(sound(), binary=binary, pieces=pieces)
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]


def test_a_ping_between_fragments_is_answered_and_breaks_nothing():
    wire = speaking()
    text = json.dumps(sound())
    wire.frames(TextMessage(data=text[:9], message_finished=False), Ping(b"live"))
    assert wire.control == [Pong(b"live")]
    wire.frames(TextMessage(data=text[9:]))
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_message_over_the_bound_ends_the_connection(monkeypatch, pieces):
    monkeypatch.setattr(module, "MAX_MESSAGE_BYTES", 1000)
    wire = speaking()
    wire.say("x" * 1000, pieces=pieces)  # at the bound: read, and found to be no JSON
    assert "JSON" in str(wire.error())
    wire = speaking()
    wire.say("x" * 1001, pieces=pieces)
    error = wire.error("a")
    assert type(error) is ProtocolError and "PayloadTooBig" in str(error)
    assert [event.code for event in wire.control] == [1009]


def test_the_bound_of_a_message_is_passed_on():
    assert MAX_MESSAGE_BYTES == 16 * 2**20
    websocket = vars(client()._websocket)
    assert websocket.get("max_message_size", websocket.get("max_size")) == MAX_MESSAGE_BYTES


@pytest.mark.parametrize("frame", [b"\x83\x00", b"\xc1\x00", b"\x89\x7e\x00\xff" + bytes(255), b"\x80\x00"])
def test_bytes_that_are_no_websocket_frame_end_the_connection(frame):
    wire = speaking()
    wire.deliver(frame)
    error = wire.error("a")
    assert type(error) is ProtocolError and "WebSocket violation" in str(error) and "deepdub" in str(error)
    assert [event.code for event in wire.control] == [1002]


@pytest.mark.parametrize(
    "garbage", ["garbage", "", '{"data":"AAAA"', "[1]", '{"a":NaN}', b"\xff\xfe", b'{"text":"\xff"}', "[" * 10_000]
)
@pytest.mark.parametrize("vendor", ["deepdub", "60db"])
def test_what_is_no_json_object_ends_the_connection_with_1007(vendor, garbage):
    wire = Wire(client(vendor))
    wire.say(garbage)
    error = wire.error()
    assert type(error) is ProtocolError and vendor in str(error)
    assert [event.code for event in wire.control] == [1007]
    assert wire.connection.closed


def test_text_that_is_not_utf8_ends_the_connection_with_1007():
    wire = Wire(client("60db"))
    wire.deliver(b"\x81\x02\xff\xfe")
    assert type(wire.error()) is ProtocolError
    assert [event.code for event in wire.control] == [1007]


def test_an_ill_timed_message_ends_the_connection_and_says_state_role_and_message():
    wire = Wire(client("60db"))
    wire.say({"type": "transcription", "text": "hi", "is_final": True})
    error = wire.error()
    assert type(error) is ProtocolError
    assert all(word in str(error) for word in ("Transcript", "client", "OPENING"))
    assert [event.code for event in wire.control] == [1002]


def test_after_a_violation_nothing_of_the_same_delivery_is_heard():
    wire = speaking()
    wire.say("garbage", sound())
    assert wire.taken("a") == []


def test_of_a_text_to_speech_session_the_newest_unread_messages_are_kept():
    wire = speaking()
    wire.say(*({"type": "new", "x": x} for x in range(MAX_UNREAD_EVENTS + 1)), sound())
    assert [event.message["x"] for event in wire.taken()] == list(range(1, MAX_UNREAD_EVENTS + 1))
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]


def test_a_message_type_that_nobody_knows_is_kept_and_kills_nothing():
    wire = speaking()
    wire.say({"type": "new", "x": 1}, sound())
    assert wire.taken() == [Unknown("type,x", {"type": "new", "x": 1})]
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]
    assert wire.connection.protocol.unknown_messages == 1


SCRIPT = [
    ack(),
    sound(),
    ack("b"),
    sound("b"),
    sound(index=1, last=True),
    {"error": "no", "generationId": "b"},
    {"x": 1},
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=60), st.integers(1, 4), st.booleans())
def test_the_chunks_of_the_servers_bytes_change_nothing(sizes, pieces, binary):
    def outcome(cut: bool):
        wire = Wire(client(), accept=False)
        start = wire._server.send(AcceptConnection())
        wire.deliver(start[:-1])
        frames = [event for message in SCRIPT for event in frames_of(message, binary, pieces)]
        wire.deliver(start[-1:])
        wire.send(speak("a"), byte_rate=1000)
        wire.send(speak("b"), byte_rate=1000)
        data = wire.bytes_of(*frames, CloseConnection(1001, "bye"))
        position, index = 0, 0
        while position < len(data):
            size = sizes[index % len(sizes)] if cut else len(data)
            wire.deliver(data[position : position + size])
            position, index = position + size, index + 1
        read = {name: wire.taken(name) for name in ("", "a", "b")}
        errors = {name: str(wire.error(name)) for name in ("", "a", "b")}
        return read, errors, wire.heard[2:], [type(event) for event in wire.control]

    whole = outcome(cut=False)
    assert outcome(cut=True) == whole
    assert whole[0]["a"] == [ContextAccepted("a"), Audio("a", b"\1\2", 0), ContextFinished("a", b"\1\2", 1)]


# --- contexts --------------------------------------------------------------------------------------------


def test_fifty_interleaved_contexts_each_get_their_own_sound():
    names = [f"c{i}" for i in range(50)]
    wire = speaking(*names)
    for index in range(4):
        for i, name in enumerate(names if index % 2 else names[::-1]):
            number = i if index % 2 else 49 - i
            wire.say(sound(name, bytes([number, index]), index, last=index == 3), binary=bool(number % 2))
    for i, name in enumerate(names):
        assert [event.data for event in wire.taken(name)] == [bytes([i, index]) for index in range(4)]
    assert wire.connection.protocol.contexts == {} and wire.connection.protocol.late_messages == 0


def test_touched_names_what_has_news_once():
    wire = speaking("a", "b")
    wire.connection.touched()
    wire.say(sound("b"))
    assert wire.connection.touched() == {"b"}
    assert wire.connection.touched() == set()


def test_late_sound_of_a_cancelled_context_is_dropped_and_counted():
    wire = speaking("a", "b")
    wire.say(sound("a"))
    assert wire.connection.is_open("a")
    wire.send(CancelContext("a"))
    assert not wire.connection.is_open("a")
    wire.say(sound("a", index=1), sound("b"), sound("a", index=2, last=True), sound("a", index=3))
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]  # came before the cancel
    assert wire.taken("b") == [Audio("b", b"\1\2", 0)]
    assert wire.connection.protocol.late_messages == 3
    assert len(wire.heard) == 2  # the vendor has no cancel: nothing was said


def test_a_forgotten_context_gets_nothing_any_more():
    wire = speaking()
    wire.connection.forget("a")
    wire.connection.forget("a")
    wire.say(sound())
    assert wire.connection.protocol.late_messages == 1
    with pytest.raises(StateError, match="'a'"):
        wire.connection.take("a")


def test_a_context_is_used_again_only_after_its_sound_is_forgotten():
    wire = speaking()
    wire.say(sound(last=True))
    with pytest.raises(StateError, match="reuse"):
        wire.send(speak())
    wire.connection.forget("a")
    wire.send(speak())
    wire.say(sound(data=b"\5\6", last=True))
    assert wire.taken("a") == [ContextFinished("a", b"\5\6", 0)]


def test_an_error_that_names_its_context_fails_that_one():
    wire = speaking("a", "b")
    wire.say({"error": "Rate limit exceeded", "errorType": "RateLimit", "generationId": "a"})
    error = wire.error("a")
    assert type(error) is RateLimitError and error.retryable and error.code == "RateLimit"
    assert wire.error("b") is None and wire.connection.usable


def test_an_error_of_a_context_that_nobody_knows_is_counted_and_harmless():
    wire = speaking()
    wire.say({"error": "no", "generationId": "other"})
    assert wire.error("a") is None and wire.connection.protocol.late_messages == 1


def test_an_error_without_a_context_fails_those_that_are_still_unanswered():
    wire = speaking("speaking", "accepted", "requested")
    wire.say(sound("speaking"), ack("accepted"), {"error": "no", "errorType": "InvalidInput"})
    assert {type(wire.error(name)) for name in ("accepted", "requested")} == {InvalidRequestError}
    assert wire.error("speaking") is None
    wire.say(sound("speaking", index=1, last=True))
    assert wire.taken("speaking") == [ContextFinished("speaking", b"\1\2", 1)]


def test_an_error_without_a_context_fails_all_when_all_are_answered():
    wire = speaking("a", "b")
    wire.say(sound("a"), sound("b"), {"error": "worker died"})
    assert {type(wire.error(name)) for name in ("a", "b")} == {VendorError}
    assert wire.connection.protocol.contexts == {}


def test_sound_that_is_not_base64_fails_its_context_alone():
    wire = speaking("a", "b")
    bad = {**sound("a"), "data": "AAA*"}
    wire.say(sound("a"), bad, sound("b"), sound("a", index=2))
    assert wire.taken("a") == [Audio("a", b"\1\2", 0)]
    error = wire.error("a")
    assert type(error) is Base64Error and error.offset == 3
    assert wire.error("a") is not error  # every reader raises its own
    assert wire.taken("b") == [Audio("b", b"\1\2", 0)] and wire.connection.usable
    assert wire.connection.protocol.late_messages == 1


def test_what_the_vendor_says_to_no_context_goes_to_the_session():
    wire = Wire(client())
    wire.send(ClassifyVoice("q", b"RIFF"))
    wire.say({"gender": "female"})
    assert wire.taken() == [VoiceClassified({"gender": "female"})]


# --- bounds ----------------------------------------------------------------------------------------------


def test_an_inbox_holds_exactly_its_seconds():
    wire = Wire(client(buffered_seconds=1.0))
    wire.send(speak(), byte_rate=1000)
    wire.send(speak("b"), byte_rate=1000)
    wire.say(sound(data=bytes(600)), sound(data=bytes(400), index=1))
    assert len(wire.taken("a")) == 2
    assert wire.error("a") is None  # reading made room
    numbered = [(600, 2), (400, 3), (1, 4), (2, 5)]
    wire.say(*(sound(data=bytes(size), index=index) for size, index in numbered))
    wire.say(sound("b"))
    assert [len(event.data) for event in wire.taken("a")] == [600, 400]
    error = wire.error("a")
    assert type(error) is QueueOverflowError and "1 s" in str(error) and "'a'" in str(error)
    assert wire.taken("b") == [Audio("b", b"\1\2", 0)] and wire.connection.usable


def test_an_inbox_holds_exactly_its_events(monkeypatch):
    monkeypatch.setattr("voicecore.inbox.MAX_BUFFERED_EVENTS", 5)
    wire = speaking()
    wire.say(*[sound(data=b"", index=i) for i in range(5)])
    assert wire.connection._inboxes["a"].error is None
    wire.say(sound(data=b"", index=5))
    assert len(wire.taken("a")) == 5
    assert type(wire.error("a")) is QueueOverflowError
    assert MAX_BUFFERED_EVENTS == 10_000


def test_an_overflown_context_has_no_deadline_left():
    wire = Wire(client(buffered_seconds=0.001, keepalive=INF))
    wire.send(speak(), byte_rate=1000)
    wire.say(sound(data=bytes(9)))
    assert wire.connection.next_deadline() == INF


def test_can_send_until_more_than_the_bound_waits():
    wire = listening()
    connection = wire.connection
    head = 4  # of a masked client frame: 2, its long length 2 or 8, its mask 4
    connection.send(SendAudio(bytes(MAX_OUTGOING_BYTES - head - 4 - 6)), 0.0)
    while connection._outgoing.tell() < MAX_OUTGOING_BYTES:
        room = MAX_OUTGOING_BYTES - connection._outgoing.tell()
        assert connection.can_send
        connection.send(SendAudio(bytes(max(0, min(room - 6, 100)))), 0.0)
    over = connection._outgoing.tell() - MAX_OUTGOING_BYTES
    assert connection.can_send is (over == 0)
    connection.send(SendAudio(b"x"), 0.0)
    assert not connection.can_send
    wire.exchange()
    assert connection.can_send


# --- deadlines -------------------------------------------------------------------------------------------

DEADLINES = {
    "connect": 3.0,
    "first_audio": 4.0,
    "between_chunks": 5.0,
    "total": 20.0,
    "send": 2.0,
    "close": 1.0,
    "keepalive": 1000.0,
}


def expires(wire: Wire, at: float, context_id: str = "") -> DeadlineError:
    """The deadline that fires at exactly this second and not before."""
    assert wire.connection.next_deadline() == at
    wire.at(at - 0.001)
    assert wire.error(context_id) is None
    wire.at(at)
    error = wire.error(context_id)
    assert isinstance(error, DeadlineError) and error.retryable and KEY not in str(error)
    assert error.deadline in str(error) and f"{error.seconds:g} s" in str(error) and "ws://vendor.test" in str(error)
    return error


@pytest.mark.parametrize("accept", [False, True])
def test_connect_covers_the_upgrade_and_the_key(accept):
    wire = Wire(client("60db", **DEADLINES), accept=accept)
    error = expires(wire, 3.0)
    assert (error.deadline, error.seconds) == ("connect", 3.0)
    assert wire.connection.closed and wire.connection.must_abort


def test_connect_is_over_once_a_vendor_without_greeting_accepts():
    wire = Wire(client(**{**DEADLINES, "keepalive": INF}))
    assert wire.connection.next_deadline() == INF


def test_connect_covers_the_start_of_a_session():
    wire = Wire(client("60db", **DEADLINES))
    wire.say(ESTABLISHED)
    wire.at(100.0)
    assert wire.connection.ready
    wire.send(START)
    assert expires(wire, 103.0).deadline == "connect"


def test_first_audio():
    wire = speaking(**DEADLINES)
    wire.at(1.0)
    wire.say(ack())  # no audio yet
    error = expires(wire, 4.0, "a")
    assert (error.deadline, error.seconds) == ("first_audio", 4.0) and "context a" in str(error)
    assert wire.connection.usable


def test_between_chunks_starts_anew_with_each():
    wire = speaking(**DEADLINES)
    for now in (3.0, 7.0, 11.5):
        wire.at(now)
        wire.say(sound())
    assert expires(wire, 16.5, "a").deadline == "between_chunks"


def test_total_covers_an_utterance_that_never_ends():
    wire = speaking(**DEADLINES)
    for now in range(1, 20):
        wire.at(float(now))
        wire.say(sound())
    assert expires(wire, 20.0, "a").deadline == "total"


def test_the_deadline_that_passed_first_is_named_when_several_have():
    wire = speaking(**{**DEADLINES, "total": 4.5})
    wire.connection.handle_timeout(50.0)
    assert wire.error("a").deadline == "first_audio"
    wire = Wire(client("60db", **DEADLINES), accept=False)
    wire.connection.data_to_send(0.0)
    wire.connection._websocket.writes.append(b"x")
    wire.connection._flush()
    wire.connection.data_to_send(0.0)
    wire.connection.handle_timeout(50.0)
    assert wire.error().deadline == "send"


def test_send_covers_one_write():
    wire = listening(**DEADLINES)
    wire.at(10.0)
    wire.connection.send(SendAudio(b"x"), 10.0)
    assert wire.connection.data_to_send(10.0)
    assert wire.connection.data_to_send(10.5) == b""
    error = expires(wire, 12.0)
    assert error.deadline == "send" and wire.connection.must_abort


def test_a_write_that_was_done_has_no_deadline():
    wire = listening(**{**DEADLINES, "keepalive": INF})
    wire.connection.send(SendAudio(b"x"), 1.0)
    wire.connection.data_to_send(1.0)
    wire.connection.data_sent(1.5)
    assert wire.connection.next_deadline() == INF


def test_a_stopped_stream_is_waited_for_between_messages():
    wire = listening(**DEADLINES)
    wire.at(10.0)
    wire.send(StopStream())
    wire.at(14.0)
    wire.say({"type": "transcription", "text": "a", "is_final": True})
    error = expires(wire, 19.0)
    assert error.deadline == "between_chunks" and wire.connection.closed and wire.connection.must_abort


def test_a_stream_that_listens_waits_for_ever():
    wire = listening(**{**DEADLINES, "keepalive": INF})
    assert wire.connection.next_deadline() == INF
    wire.send(StopStream())
    wire.say({"type": "session_stopped"})
    assert wire.connection.next_deadline() == INF


def test_a_silent_peer_is_pinged_and_given_up_after_as_long_again():
    wire = speaking(**{**DEADLINES, "keepalive": 7.0, "first_audio": 100.0, "total": 100.0})
    wire.at(6.999)
    assert wire.control == []
    wire.at(7.0)
    assert wire.control == [Ping(b"voicecore")]
    error = expires(wire, 14.0, "a")
    assert (error.deadline, error.seconds) == ("keepalive", 7.0) and wire.connection.must_abort


def test_a_pong_or_any_other_byte_shows_that_the_peer_lives():
    wire = Wire(client(keepalive=7.0))
    wire.at(8.0)
    wire.frames(Pong(b"voicecore"))
    assert wire.connection.next_deadline() == 15.0
    wire.at(16.0)
    wire.say({"x": 1})
    assert wire.connection.next_deadline() == 23.0 and len(wire.control) == 2


def test_a_driver_that_slept_through_both_keepalives_pings_before_it_gives_up():
    wire = Wire(client(keepalive=7.0))
    wire.connection.handle_timeout(100.0)
    wire.exchange()
    assert wire.control == [Ping(b"voicecore")] and not wire.connection.closed
    assert wire.connection.next_deadline() == 107.0


def test_a_closing_connection_is_not_pinged():
    wire = Wire(client(keepalive=0.5))
    wire.connection.close(0.25)
    assert wire.connection.next_deadline() == 1.25


def test_the_deadline_of_one_context_leaves_the_others_alone():
    wire = speaking(**DEADLINES)
    wire.at(2.0)
    wire.send(speak("b"), byte_rate=1)
    wire.at(4.0)
    assert wire.error("a").deadline == "first_audio" and wire.error("b") is None
    assert not wire.connection.is_open("a") and wire.connection.is_open("b")
    assert wire.connection.protocol.contexts["a"] is ContextState.CANCELLED
    wire.say(sound("a"), sound("b"), sound("a", last=True))
    assert wire.taken("a") == [] and wire.connection.protocol.late_messages == 2
    assert wire.taken("b") == [Audio("b", b"\1\2", 0)]
    assert "a" not in wire.connection.protocol.contexts


def test_a_finished_or_cancelled_context_has_no_deadline():
    wire = speaking("a", "b", **{**DEADLINES, "keepalive": INF})
    wire.say(sound("a", last=True))
    wire.send(CancelContext("b"))
    assert wire.connection.next_deadline() == INF


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), "5", None])
@pytest.mark.parametrize("name", Deadlines.__slots__)
def test_a_deadline_is_more_than_nothing(name, seconds):
    with pytest.raises(ConfigurationError, match=f"deadlines.{name}"):
        Deadlines(**{name: seconds})


# --- the speech-to-text handshake ------------------------------------------------------------------------


def test_connected_before_start_and_no_session_started_is_ready_after_the_grace():
    wire = Wire(client("60db"))
    wire.say(CONNECTED, ESTABLISHED)
    wire.taken()
    wire.at(10.0)
    wire.send(START)
    wire.at(11.499)
    assert wire.connection.protocol.session_state is SessionState.STARTING_GREETED
    wire.at(11.5)
    assert wire.connection.protocol.session_state is SessionState.STREAMING
    assert wire.taken() == [ServerReady(assumed=True)]
    wire.say(STARTED)  # late, and welcome
    assert wire.taken() == [StreamStarted("s")]


def test_session_started_ends_the_grace():
    wire = Wire(client("60db", keepalive=INF))
    wire.say(CONNECTED, ESTABLISHED)
    wire.send(START)
    wire.say(STARTED)
    assert wire.connection.next_deadline() == INF
    wire.at(5.0)
    assert ServerReady(assumed=True) not in wire.taken()


def test_a_connect_deadline_shorter_than_the_grace_wins():
    wire = Wire(client("60db", connect=1.0))
    wire.say(CONNECTED, ESTABLISHED)
    wire.send(START)
    assert expires(wire, 1.0).deadline == "connect"


def test_there_is_no_grace_when_connected_did_not_come():
    wire = Wire(client("60db", connect=9.0))
    wire.say(ESTABLISHED)
    wire.send(START)
    assert wire.connection.next_deadline() == 9.0


def test_an_error_in_the_session_ends_its_use_with_that_error():
    wire = Wire(client("60db"))
    wire.say({"type": "error", "error": "Invalid API key"})
    assert not wire.connection.ready and not wire.connection.usable
    assert type(wire.error()) is AuthError
    with pytest.raises(AuthError):
        wire.send(START)


def test_the_vendors_error_outlives_the_close_that_follows():
    wire = listening()
    wire.say({"type": "error", "error": "wallet", "error_code": "INSUFFICIENT_CREDITS"})
    wire.close(1008, "no credit")
    assert type(wire.error()) is QuotaError and type(wire.connection.error()) is QuotaError


def test_what_crosses_the_end_of_a_session_is_dropped_and_counted():
    wire = listening()
    wire.taken()
    wire.say({"type": "session_stopped"}, {"type": "transcription", "text": "x", "is_final": True})
    assert wire.taken() == [StreamStopped()] and wire.connection.protocol.late_messages == 1
    assert wire.connection.phase is Phase.OPEN


# --- sending ---------------------------------------------------------------------------------------------


def test_nothing_can_be_sent_before_the_upgrade():
    connection = client()
    for _ in range(2):
        with pytest.raises(StateError, match="Synthesize cannot be sent while"):
            connection.send(speak(), 0.0)
        connection.start(0.0)


def test_nothing_can_be_sent_while_closing_or_after_the_end():
    wire = speaking()
    wire.connection.close(0.0)
    with pytest.raises(StateError, match="CLOSING"):
        wire.connection.send(speak("b"), 0.0)
    wire.end()
    with pytest.raises(ConnectionLostError):
        wire.connection.send(speak("b"), 0.0)


def test_nothing_can_be_sent_after_the_session_stopped():
    wire = listening()
    wire.say({"type": "session_stopped"})
    with pytest.raises(StateError, match="STOPPED"):
        wire.send(SendAudio(b"x"))


@pytest.mark.parametrize(
    ("make", "event", "words"),
    [
        (lambda: Wire(client("60db")), START, ("StartStream", "client", "OPENING")),
        (listening, START, ("StartStream", "client", "STREAMING")),
        (listening, speak(), ("Synthesize", "client", "NEW")),
        (speaking, speak(), ("Synthesize", "client", "REQUESTED")),
        (speaking, CancelContext("other"), ("CancelContext", "client", "NEW")),
        (speaking, StopStream(), ("StopStream", "client", "READY")),
        (speaking, ContextFinished("a"), ("ContextFinished", "client")),
        (speaking, Failed("a", "", ""), ("Failed", "client")),
    ],
)
def test_an_event_that_the_state_does_not_allow_is_refused_and_changes_nothing(make, event, words):
    wire = make()
    said = list(wire.heard)
    with pytest.raises(ProtocolError) as caught:
        wire.send(event, byte_rate=1)
    assert all(word in str(caught.value) for word in words)
    wire.exchange()
    assert wire.heard == said and wire.connection.usable


def test_an_event_that_cannot_be_put_into_words_changes_nothing():
    wire = Wire(client(keepalive=INF))
    with pytest.raises(ConfigurationError):
        wire.send(Synthesize("a", "half \ud83d", "v", PCM))
    assert wire.connection.protocol.contexts == {} and wire.connection.next_deadline() == INF
    wire.send(speak("a"))


def test_text_and_binary_travel_in_their_own_frames():
    wire = listening()
    wire.send(SendAudio(b"\1\2"))
    wire.send(SendAudio(b"\1\2", {"encoding": "linear", "sample_rate": 16000}))
    assert wire.heard[-2:] == [
        b"\1\2",
        {"type": "audio", "audio": "AQI=", "encoding": "linear", "sample_rate": 16000},
    ]


# --- nothing loops, whatever comes -----------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(
        st.just("say"), st.sampled_from([ack(), sound(), sound("b"), sound(last=True), {"error": "x"}, {"x": 1}])
    ),
    st.tuples(
        st.just("say"),
        st.sampled_from(
            [
                {"connecting": True},
                ESTABLISHED,
                CONNECTED,
                STARTED,
                {"type": "session_stopped"},
                {"type": "transcription", "text": "", "is_final": False},
                {"type": "error", "error": "x"},
            ]
        ),
    ),
    st.tuples(
        st.just("send"),
        st.sampled_from([speak(), speak("b"), CancelContext("a"), START, StopStream(), SendAudio(b"x")]),
    ),
    st.tuples(st.just("wait"), st.floats(0, 30)),
    st.tuples(st.just("jump"), st.floats(0, 100)),
    st.tuples(
        st.just("do"), st.sampled_from(["close", "end", "abort", "forget", "read", "write", "write more", "garbage"])
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["deepdub", "60db"]), st.lists(STEPS, max_size=25), st.booleans())
def test_a_deadline_that_was_handled_is_never_due_again(vendor, steps, accept):
    wire = Wire(client(vendor), accept=accept)
    for kind, what in steps:
        _take(wire, kind, what)
        for _ in range(40):
            due = wire.connection.next_deadline()
            if due > wire.now:
                break
            wire.connection.handle_timeout(wire.now)
            assert wire.connection.next_deadline() > due
        else:
            pytest.fail("the timer loops")
        if wire.connection.closed:
            assert wire.connection.next_deadline() == INF and wire.connection.error is not None
            assert not wire.connection.usable
    wire.at(wire.now + 10_000)  # asserts progress at every deadline
    assert wire.connection.closed or wire.connection.phase is Phase.IDLE


def _take(wire: Wire, kind: str, what) -> None:
    connection = wire.connection
    try:
        match kind, what:
            case "say", message:
                wire.say(message)
            case "send", event:
                connection.send(event, wire.now, byte_rate=1000)
            case "wait", seconds:
                wire.at(wire.now + seconds)
            case "jump", seconds:
                wire.now += seconds
                connection.handle_timeout(wire.now)
            case "do", "close":
                connection.close(wire.now)
            case "do", "end":
                wire.end()
            case "do", "abort":
                connection.abort()
            case "do", "forget":
                connection.forget("a")
            case "do", "read":
                wire.taken("a")
            case "do", "write":
                connection.data_to_send(wire.now)  # and the socket never takes it
            case "do", "write more":
                wire.exchange()
            case "do", "garbage":
                wire.deliver(b"\xff" * 9)
    except (StateError, ProtocolError, VendorError, ConnectionLostError, ConnectionFailedError, DeadlineError):
        pass  # what a caller is told; the connection itself must stand
    except (LocalProtocolError, RemoteProtocolError):
        pass  # the script let the server speak after its own goodbye, or lost bytes of the client


def test_the_module_can_be_driven_as_its_page_says():
    connection: Connection = client()
    assert (connection.phase, connection.next_deadline(), connection.closed) == (Phase.IDLE, INF, False)
    with pytest.raises(StateError):
        connection.take()
    connection.start(7.0)
    assert connection.next_deadline() == 17.0
    assert connection.take() is None
    assert connection.touched() == set()


def test_authentication_details_reach_the_session():
    wire = Wire(client("60db"))
    wire.say(ESTABLISHED)
    assert wire.taken() == [Authenticated({"service": "stt"})]


def test_transcripts_reach_the_session():
    wire = listening()
    wire.taken()
    wire.say({"type": "transcription", "text": "hi", "is_final": True, "speech_final": False})
    assert wire.taken() == [Transcript("hi", True, False)]


# --- a slow consumer, by the caller's choice -------------------------------------------------------------


def test_the_oldest_audio_is_dropped_and_counted():
    wire = Wire(client(buffered_seconds=1.0, on_overflow="drop_oldest"))
    wire.send(speak(), byte_rate=1000)
    wire.say(*(sound(data=bytes([index]) * 400, index=index) for index in range(6)))
    wire.say(sound(data=b"", index=6, last=True))
    fault, *rest = wire.taken("a")
    assert fault == AudioFault("a", dropped=1600)
    assert [(type(event), event.data[:1]) for event in rest] == [
        (Audio, b"\x04"),
        (Audio, b"\x05"),
        (ContextFinished, b""),
    ]


def test_only_audio_is_dropped_to_make_room():
    wire = Wire(client(buffered_seconds=1.0, on_overflow="drop_oldest"))
    wire.send(speak(), byte_rate=1000)
    wire.say(ack(), *(sound(data=bytes(600), index=index) for index in range(3)))
    assert wire.taken("a") == [AudioFault("a", dropped=1200), ContextAccepted("a"), Audio("a", bytes(600), 2)]


def test_where_no_audio_can_be_dropped_the_context_fails(monkeypatch):
    monkeypatch.setattr("voicecore.inbox.MAX_BUFFERED_EVENTS", 1)
    wire = Wire(client(on_overflow="drop_oldest"))
    wire.send(speak(), byte_rate=1000)
    wire.say(ack(), sound())
    assert wire.taken("a") == [ContextAccepted("a")]
    assert isinstance(wire.error("a"), QueueOverflowError)


def test_a_context_that_nobody_reads_any_more_can_still_be_cancelled():
    wire = speaking()
    wire.connection.forget("a")
    wire.connection.cancel("a", wire.now)
    wire.say(sound(last=True))
    assert wire.connection.protocol.late_messages == 1 and not wire.connection.closed
    assert wire.connection.next_deadline() == pytest.approx(20.0), "only the keepalive is left"


def test_a_socket_that_waits_for_its_consumer_blames_nobody_else():
    wire = Wire(client(buffered_seconds=1.0, on_overflow="wait", between_chunks=5, keepalive=7))
    wire.send(speak(), byte_rate=1000)
    wire.say(sound(data=bytes(1001)))
    assert wire.connection.congested and wire.connection.queued("a") == 1.001
    wire.at(100.0)
    assert not wire.connection.closed and wire.control == []
    assert len(wire.taken("a")) == 1 and not wire.connection.congested
    wire.at(106.0)
    assert isinstance(wire.error("a"), DeadlineError), "from here on it is the vendor that is silent"


def test_one_socket_holds_so_many_contexts_and_no_more(monkeypatch):
    monkeypatch.setattr("voicecore.connection.MAX_CONTEXTS", 3)
    wire = Wire(client())
    for name in "abc":
        assert wire.connection.has_room
        wire.send(speak(name))
    assert not wire.connection.has_room


def test_a_socket_with_an_unanswered_ping_is_not_used_for_new_work():
    wire = Wire(client(keepalive=5))
    wire.at(4.9)
    assert wire.connection.has_room
    wire.at(5.0)
    assert not wire.connection.has_room
    wire.frames(Pong(b"voicecore"))
    assert wire.connection.has_room


# --- a key that the vendor echoes ------------------------------------------------------------------------


def test_a_key_that_the_vendor_echoes_is_shown_nowhere():
    key = Secret("sk_live_canary_0123456789")
    wire = Wire(client(key=key.reveal()))
    wire.send(speak())
    wire.say({"error": f"no such thing for {key.reveal()}", "generationId": "a"}, {"new": key.reveal()})
    assert "for ***" in str(wire.error("a"))
    [unknown] = wire.taken()
    assert unknown.message == {"new": "***"}
    wire.close(1008, f"bad {key.reveal()}")
    error = wire.error()
    assert "bad ***" in str(error) and error.reason == "bad ***"


@pytest.mark.parametrize("size", [10, LONG_MESSAGE, LONG_MESSAGE + 1, 1_000_000])
def test_a_key_beside_audio_is_hidden_and_the_audio_is_whole(size):
    wire, data = Wire(client(key=KEY)), bytes(size)
    wire.send(speak(), byte_rate=10**9)
    wire.say(sound(data=data) | {"diacritized": KEY}, sound(data=data, index=1))
    echoed, plain = wire.taken("a")
    assert echoed.data == plain.data == data
    assert echoed.extra == {"diacritized": "***"} and not plain.extra


@pytest.mark.parametrize("size", [0, LONG_MESSAGE])
def test_a_key_in_a_message_that_is_none_is_shown_nowhere(size):
    wire = Wire(client(key=KEY))
    wire.say("{" + f'"x": nonsense {KEY}' + "x" * size)
    error = wire.error()
    assert isinstance(error, ProtocolError) and KEY not in str(error)


def test_a_key_in_the_answer_to_the_upgrade_is_shown_nowhere():
    key = Secret("sk_live_canary_0123456789")
    wire = Wire(client(key=key.reveal()), accept=False)
    wire.deliver(b"HTTP/1.1 403 no %s\r\ncontent-length: 0\r\n\r\n" % key.reveal().encode())
    assert "***" in str(wire.error()) and key.reveal() not in str(wire.error())
