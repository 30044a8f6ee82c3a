"""60db text-to-speech: every field, message and quirk of protocols.md section 1.2, by name, in both directions."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import Wire, client

import voicecore
from voicecore.audio import AudioFormat
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    ConnectionLostError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    VendorError,
)
from voicecore.events import (
    CURRENT,
    Audio,
    Authenticated,
    CancelContext,
    CloseContext,
    Connecting,
    ContextAccepted,
    ContextFinished,
    Failed,
    FlushCompleted,
    FlushContext,
    LeaveContext,
    Malformed,
    OpenContext,
    SendText,
    Synthesize,
    Unknown,
)
from voicecore.protocol import ContextState, Protocol, Role, SessionState
from voicecore.secret import Secret
from voicecore.vendors.sixtydb.tts import DEFAULT_VOICE, SAMPLE_RATES, SixtydbTts, SixtydbTtsOptions

TTS = SixtydbTts()
ACCOUNT = {"service": "tts", "user_id": 43, "credit_balance": 9.97, "workspace": "default"}
ESTABLISHED = {"connection_established": ACCOUNT}
LINEAR = SixtydbTtsOptions("LINEAR16", 16000)
UNSUPPORTED = "Unsupported sample_rate_hertz"
B64 = base64.b64encode(b"\1\2\3\4").decode()


def heard(message: object) -> object:
    """What our client makes of a server's message."""
    return TTS.decode(json.dumps(message).encode(), text=True, role=Role.CLIENT)


def served(message: object) -> object:
    """What our server makes of a client's message."""
    return TTS.decode(json.dumps(message).encode(), text=True, role=Role.SERVER)


def said(event: object, dialect: SixtydbTts = TTS) -> dict:
    text = dialect.encode(event)
    assert isinstance(text, str)
    return json.loads(text)


def create(context_id: str = "a", **body: object) -> dict:
    return {"create_context": {"context_id": context_id, "voice_id": "v", **body}}


def asked(*contexts: str, **arguments: object) -> Wire:
    """A connection that asked for these contexts, a turn each."""
    wire = Wire(client("60db-tts", **arguments))
    wire.say(ESTABLISHED)
    for context_id in contexts:
        open_context(wire, context_id)
        wire.send(SendText(context_id, "Hello."))
        wire.send(FlushContext(context_id))
    return wire


def open_context(wire: Wire, context_id: str) -> None:
    wire.send(OpenContext(context_id, "v", LINEAR), byte_rate=32_000)


def chunk(context_id: str | None = "a", data: bytes = b"\1\2") -> dict:
    name = {} if context_id is None else {"context_id": context_id}
    return {"audio_chunk": {**name, "audioContent": base64.b64encode(data).decode()}}


# --- the socket ------------------------------------------------------------------------------------------


def test_the_socket_is_the_vendors_and_the_key_is_in_its_query():
    assert (TTS.default_url, TTS.path(), TTS.name) == ("wss://api.60db.ai/ws/tts", "/ws/tts", "60db-tts")
    assert TTS.upgrade("wss://h/ws/tts?a=1", Secret("s&k")) == ("wss://h/ws/tts?a=1&apiKey=s%26k", {})
    assert TTS.key_of({"apiKey": "k"}, {}) == "k"


def test_the_key_and_the_url_have_variables(monkeypatch):
    with pytest.raises(ConfigurationError, match="SIXTY_DB_API_KEY"):
        voicecore.connect_tts("60db")
    monkeypatch.setenv("SIXTY_DB_TTS_URL", "http://wrong.example/ws/tts")
    with pytest.raises(ConfigurationError, match=r"wrong\.example"):
        voicecore.connect_tts("60db", api_key="k")


def test_the_server_pings_every_thirty_seconds_and_waits_ten():
    assert TTS.server_ping == (30.0, 10.0)


# --- what can be asked -----------------------------------------------------------------------------------


def test_create_context_says_voice_format_and_manner():
    options = SixtydbTtsOptions("LINEAR16", 16000, speed=1.0, stability=50, similarity=75)
    assert said(OpenContext("id", "uuid", options)) == {
        "create_context": {
            "context_id": "id",
            "voice_id": "uuid",
            "audio_config": {"audio_encoding": "LINEAR16", "sample_rate_hertz": 16000},
            "speed": 1.0,
            "stability": 50,
            "similarity": 75,
        }
    }


def test_what_is_unset_is_left_out_and_the_voice_is_that_of_the_vendors_examples():
    assert said(OpenContext("id", None, SixtydbTtsOptions())) == {
        "create_context": {"context_id": "id", "voice_id": DEFAULT_VOICE}
    }


def test_text_flush_and_close_name_their_context():
    assert said(SendText("id", "\u0643")) == {"send_text": {"context_id": "id", "text": "\u0643"}}
    assert said(FlushContext("id")) == {"flush_context": {"context_id": "id"}}
    assert said(CloseContext("id")) == {"close_context": {"context_id": "id"}}


def test_there_is_no_message_to_cancel_or_to_leave():
    assert TTS.encode(CancelContext("id")) is None
    assert TTS.encode(LeaveContext("id")) is None


def test_a_whole_text_has_no_message():
    with pytest.raises(ProtocolError, match="Synthesize has no message here"):
        TTS.encode(Synthesize("a", "x", None, LINEAR))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"encoding": "linear"}, "encoding"),
        ({"encoding": "MP3"}, "encoding"),
        ({"encoding": 16}, "encoding"),
        ({"encoding": "LINEAR16", "sample_rate": 44100}, "sample_rate"),
        ({"encoding": "MULAW", "sample_rate": 16000}, "sample_rate"),
        ({"encoding": "OGG_OPUS", "sample_rate": 48000}, "sample_rate"),
        ({"sample_rate": 22050}, "sample_rate"),
        ({"speed": 0.49}, "speed"),
        ({"speed": 2.01}, "speed"),
        ({"speed": "1"}, "speed"),
        ({"speed": True}, "speed"),
        ({"stability": -1}, "stability"),
        ({"stability": 101}, "stability"),
        ({"similarity": 100.5}, "similarity"),
        ({"similarity": float("nan")}, "similarity"),
    ],
)
def test_every_field_is_checked_by_name(fields, word):
    with pytest.raises(ConfigurationError, match=f"^{word}: expected"):
        SixtydbTtsOptions(**fields)


@pytest.mark.parametrize(("encoding", "rate"), [(name, rate) for name, rates in SAMPLE_RATES.items() for rate in rates])
def test_every_encoding_at_every_rate_of_its_own_can_be_declared(encoding, rate):
    options = SixtydbTtsOptions(encoding, rate, speed=0.5, stability=0, similarity=100)
    assert served(said(OpenContext("a", "v", options))) == OpenContext("a", "v", options)


@pytest.mark.parametrize(
    ("options", "output", "wire"),
    [
        ({}, AudioFormat("pcm_s16le", 16_000), ("LINEAR16", 16000)),
        ({}, AudioFormat("pcm_s16le", 11_025), ("LINEAR16", 16000)),
        ({}, AudioFormat("pcm_f32le", 22_050, channels=2), ("LINEAR16", 24000)),
        ({}, AudioFormat("pcm_s16le", 96_000), ("LINEAR16", 48000)),
        ({}, AudioFormat("mulaw", 8_000), ("MULAW", 8000)),
        ({}, AudioFormat("mulaw", 16_000), ("LINEAR16", 16000)),
        ({}, AudioFormat("alaw", 8_000), ("LINEAR16", 8000)),
        ({}, None, ("LINEAR16", 16000)),
        ({"sample_rate": 24000}, AudioFormat("mulaw", 8_000), ("LINEAR16", 24000)),
        ({"encoding": "PCM"}, AudioFormat("pcm_s16le", 48_000), ("PCM", 48000)),
        ({"encoding": "ULAW"}, AudioFormat("pcm_s16le", 48_000), ("ULAW", 8000)),
        ({"encoding": "OGG_OPUS"}, AudioFormat("pcm_s16le", 48_000), ("OGG_OPUS", 24000)),
        ({"encoding": "LINEAR16", "sample_rate": 8000}, AudioFormat("pcm_s16le", 48_000), ("LINEAR16", 8000)),
    ],
)
def test_the_wire_format_is_what_serves_the_output_best(options, output, wire):
    chosen = TTS.options_for(SixtydbTtsOptions(**options), output)
    assert (chosen.encoding, chosen.sample_rate) == wire


def test_linear_is_headerless_pcm_and_mulaw_is_headerless_too():
    assert TTS.wire_format(SixtydbTtsOptions()) == AudioFormat("pcm_s16le", 16_000)
    assert TTS.wire_format(SixtydbTtsOptions("PCM", 48000)) == AudioFormat("pcm_s16le", 48_000)
    for name in ("MULAW", "ULAW"):
        assert TTS.wire_format(SixtydbTtsOptions(name)) == AudioFormat("mulaw", 8_000)


def test_ogg_opus_is_opus_and_each_chunk_is_a_whole_file():
    options = SixtydbTtsOptions("OGG_OPUS")
    assert TTS.wire_format(options) == AudioFormat("opus", 24_000, container="ogg")
    assert TTS.coding(options).pieces == "files"


# --- what the server says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (ESTABLISHED, Authenticated(ACCOUNT)),
        (
            {"connecting": True, "message": "Authenticating...", "timestamp": 1775465918269},
            Connecting("Authenticating...", 1775465918269.0),
        ),
        ({"context_created": {"context_id": "a"}}, ContextAccepted("a")),
        ({"audio_chunk": {"context_id": "a", "audioContent": B64}}, Audio("a", b"\1\2\3\4")),
        ({"flush_completed": {"context_id": "a"}}, FlushCompleted("a")),
        ({"context_closed": {"context_id": "a"}}, ContextFinished("a")),
        ({"error": {"context_id": "a", "message": "m"}}, Failed("a", "", "m")),
    ],
)
def test_every_message_in_its_object_form(message, event):
    assert heard(message) == event
    if not isinstance(event, Connecting):
        assert said(event) == message


@pytest.mark.parametrize("body", [True, {}, False, None, 0, ""], ids=repr)
@pytest.mark.parametrize(
    ("key", "event"),
    [
        ("connection_established", Authenticated({})),
        ("context_created", ContextAccepted(CURRENT)),
        ("flush_completed", FlushCompleted(CURRENT)),
        ("context_closed", ContextFinished(CURRENT)),
        ("audio_chunk", Audio(CURRENT, b"")),
    ],
)
def test_a_keys_presence_counts_never_its_truth(key, event, body):
    assert heard({key: body}) == event


def test_audio_content_is_camel_case_and_may_come_without_a_context():
    assert heard({"audio_chunk": {"audioContent": B64}}) == Audio(CURRENT, b"\1\2\3\4")
    assert heard({"audio_chunk": {"context_id": 7, "audioContent": B64}}) == Audio("7", b"\1\2\3\4")
    assert heard({"audio_chunk": {"context_id": "a", "audioContent": None}}) == Audio("a", b"")
    assert heard({"audio_chunk": {"context_id": "a", "audio_content": B64}}) == Audio("a", b"")


@pytest.mark.parametrize("content", [5, [B64], {"x": B64}, True])
def test_audio_content_that_is_no_text_is_refused(content):
    with pytest.raises(ProtocolError, match="expected audioContent in base64"):
        heard({"audio_chunk": {"context_id": "a", "audioContent": content}})


def test_audio_that_is_no_base64_fails_its_own_context():
    event = heard({"audio_chunk": {"context_id": "a", "audioContent": "AAA"}})
    assert (event.context_id, type(event.cause)) == ("a", Base64Error)
    assert heard({"audio_chunk": {"audioContent": "AAA"}}).context_id == CURRENT


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"error": {"message": "m"}}, Failed(None, "", "m")),
        ({"error": "m"}, Failed(None, "", "m")),
        ({"error": True}, Failed(None, "", "unspecified error")),
        ({"error": {}}, Failed(None, "", "unspecified error")),
        ({"error": {"message": "m", "error_code": "X"}}, Failed(None, "X", "m")),
        ({"error": {"message": "m", "code": 7, "context_id": "a"}}, Failed("a", "7", "m")),
        ({"type": "error", "error": "m", "error_code": "X"}, Failed(None, "X", "m")),
    ],
)
def test_errors_in_every_form(message, event):
    assert heard(message) == event


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("INSUFFICIENT_CREDITS", "wallet", QuotaError),
        ("", "INSUFFICIENT_CREDITS", QuotaError),
        ("", "Insufficient credits", QuotaError),
        ("", "Unsupported sample_rate_hertz: 44100", InvalidRequestError),
        ("", "Rate limit exceeded", RateLimitError),
        ("", "Text too long: at most 50000 characters", InvalidRequestError),
        ("", "Invalid API key", AuthError),
        ("", "empty_audio", VendorError),
    ],
)
def test_errors_have_their_class(code, message, kind):
    assert type(TTS.error_of(Failed("a", code, message))) is kind


def test_a_message_that_nobody_knows_is_kept():
    assert heard({"usage": {"characters": 3}}) == Unknown("usage", {"usage": {"characters": 3}})
    assert isinstance(heard({}), Unknown)
    with pytest.raises(MessageError):
        TTS.decode(b"[1]", text=True, role=Role.CLIENT)
    with pytest.raises(MessageError):
        TTS.decode(b"{", text=True, role=Role.CLIENT)


# --- the server's choices --------------------------------------------------------------------------------


def test_the_server_may_say_true_where_it_could_say_an_object():
    dialect = SixtydbTts(boolean_envelope=True)
    for event, key in (
        (Authenticated(ACCOUNT), "connection_established"),
        (ContextAccepted("a"), "context_created"),
        (FlushCompleted("a"), "flush_completed"),
        (ContextFinished("a"), "context_closed"),
    ):
        assert said(event, dialect) == {key: True}
    assert said(Audio("a", b"\1\2\3\4"), dialect) == {"audio_chunk": {"context_id": "a", "audioContent": B64}}


def test_the_server_may_leave_out_the_context():
    dialect = SixtydbTts(nameless=True)
    assert said(ContextAccepted("a"), dialect) == {"context_created": {}}
    assert said(Audio("a", b"\1\2\3\4"), dialect) == {"audio_chunk": {"audioContent": B64}}
    assert said(Failed("a", "", "m"), dialect) == {"error": {"message": "m"}}


def test_connecting_is_off_unless_it_is_wanted():
    # an older official plugin needs `connection_established` to be the first frame
    assert [said(event) for event in TTS.greeting()] == [{"connection_established": TTS.account().details}]
    first, _ = SixtydbTts(connecting=True).greeting()
    assert said(first) == {"connecting": True, "message": "Authenticating..."}
    assert TTS.account().details["service"] == "tts"


def test_the_server_hangs_up_after_the_last_context_or_after_any():
    assert (TTS.hangs_up(0), TTS.hangs_up(1)) == (True, False)
    assert SixtydbTts(closes_after="any").hangs_up(1)


# --- what the server hears -------------------------------------------------------------------------------


def test_the_server_takes_every_request():
    assert served({"send_text": {"context_id": "a", "text": ""}}) == SendText("a", "")
    assert served({"flush_context": {"context_id": "a"}}) == FlushContext("a")
    assert served({"close_context": {"context_id": "a"}}) == CloseContext("a")
    assert served(create()) == OpenContext("a", "v", SixtydbTtsOptions())
    assert served({"create_context": {"context_id": "a"}}) == OpenContext("a", None, SixtydbTtsOptions())
    assert served({"sing": {}}) == Unknown("sing", {"sing": {}})


@pytest.mark.parametrize(
    ("message", "context_id", "words"),
    [
        (create(audio_config={"audio_encoding": "PCM", "sample_rate_hertz": 44100}), "a", f"^{UNSUPPORTED}: 44100$"),
        (create(audio_config={"sample_rate_hertz": 44100}), "a", f"^{UNSUPPORTED}: 44100$"),
        (create(audio_config={"audio_encoding": "MULAW", "sample_rate_hertz": 16000}), "a", f"^{UNSUPPORTED}: 16000$"),
        (create(audio_config={"audio_encoding": "FLAC"}), "a", "audio_encoding"),
        (create(audio_config={"audio_encoding": "PCM", "sample_rate_hertz": "16000"}), "a", "sample_rate_hertz"),
        (create(audio_config="LINEAR16"), "a", "audio_config"),
        (create(speed=3), "a", "speed"),
        (create(voice_id=7), "a", "voice_id"),
        ({"create_context": {"voice_id": "v"}}, None, "context_id"),
        ({"create_context": True}, None, "context_id"),
        ({"send_text": {"context_id": 7, "text": "x"}}, None, "context_id"),
        ({"send_text": {"context_id": "a"}}, "a", "text"),
        ({"send_text": {"context_id": "a", "text": 7}}, "a", "text"),
    ],
)  # fmt: skip
def test_the_server_refuses_bad_fields_by_name(message, context_id, words):
    event = served(message)
    assert isinstance(event, Malformed) and event.context_id == context_id
    with pytest.raises(ConfigurationError, match=words):
        raise ConfigurationError(event.message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=6,
)
REQUESTS = ("create_context", "send_text", "flush_context", "close_context")
FIELDS = st.sampled_from(["context_id", "text", "audio_config", "voice_id", "speed", "message", "audioContent", "code"])
KEYS = st.sampled_from([*REQUESTS, "connecting", "connection_established", "context_created", "audio_chunk"]) | (
    st.sampled_from(["flush_completed", "context_closed", "error", "other"])
)
CONFIG = st.dictionaries(st.sampled_from(["audio_encoding", "sample_rate_hertz"]), JSON)


@given(st.dictionaries(KEYS, JSON | st.dictionaries(FIELDS, JSON | CONFIG), max_size=2), st.sampled_from(Role))
def test_any_json_is_an_event_or_a_typed_error(message, role):
    with contextlib.suppress(ProtocolError, MessageError):
        TTS.decode(json.dumps(message).encode(), text=True, role=role)


# --- the conversation ------------------------------------------------------------------------------------


def test_work_can_begin_once_the_key_is_confirmed():
    wire = Wire(client("60db-tts"))
    assert not wire.connection.ready
    wire.say({"connecting": True, "message": "Authenticating..."}, {"connection_established": {}})
    assert wire.connection.ready


@pytest.mark.parametrize("established", [True, {}, ACCOUNT])
def test_create_text_and_flush_are_pipelined(established):
    wire = asked("a")
    assert [next(iter(message)) for message in wire.heard] == ["create_context", "send_text", "flush_context"]
    wire.say({"context_created": {"context_id": "a"}}, chunk(), {"flush_completed": {"context_id": "a"}})
    assert wire.taken("a") == [ContextAccepted("a"), Audio("a", b"\1\2"), FlushCompleted("a")]
    assert wire.connection.protocol.contexts == {"a": ContextState.OPEN}


def test_contexts_interleave_on_one_socket():
    wire = asked("a", "b")
    wire.say(chunk("b", b"\3"), chunk("a", b"\1"), chunk("b", b"\4"), {"flush_completed": {"context_id": "b"}})
    wire.say(chunk("a", b"\2"), {"flush_completed": {"context_id": "a"}})
    assert [event.data for event in wire.taken("a")] == [b"\1", b"\2", b""]
    assert [event.data for event in wire.taken("b")] == [b"\3", b"\4", b""]


def test_messages_without_a_context_are_of_the_one_that_is_at_work():
    wire = asked("a")
    open_context(wire, "b")  # open, with nothing to say
    wire.say({"context_created": True}, chunk(None), {"flush_completed": True})
    assert wire.taken("a") == [ContextAccepted("a"), Audio("a", b"\1\2"), FlushCompleted("a")]
    wire.send(SendText("b", "x"))
    wire.send(FlushContext("b"))
    wire.say(chunk(None, b"\5"), {"flush_completed": {}})
    assert wire.taken("b") == [Audio("b", b"\5"), FlushCompleted("b")]


def test_nobody_guesses_whose_audio_it_is():
    wire = asked("a", "b")
    wire.say(chunk(None))
    for context_id in "ab":
        assert isinstance(wire.error(context_id), ProtocolError)
    assert "names its context while 2 are at work" in str(wire.error("a"))
    cancelled = asked("a", "b")
    cancelled.connection.cancel("a", 0.0)
    cancelled.say(chunk(None))  # of the one that was cancelled, or of the other
    assert isinstance(cancelled.error("b"), ProtocolError)


def test_an_error_is_of_its_context_alone():
    wire = asked("a", "b")
    wire.say({"error": {"context_id": "a", "message": "empty_audio"}}, chunk("b"))
    assert type(wire.error("a")) is VendorError
    assert wire.taken("b") == [Audio("b", b"\1\2")] and wire.error("b") is None


def test_an_error_without_a_context_is_of_what_is_unanswered_else_of_what_is_at_work():
    wire = asked("a", "b")
    wire.say(chunk("b"), {"error": {"message": "oops"}})
    assert type(wire.error("a")) is VendorError and wire.error("b") is None
    open_context(wire, "c")
    wire.say({"error": {"message": "again"}})
    assert type(wire.error("b")) is VendorError and wire.error("c") is None


@pytest.mark.parametrize("at_work", [True, False])
def test_an_empty_wallet_is_a_quota_error_and_then_1008(at_work):
    wire = asked(*("a" * at_work))
    wire.say({"error": {"message": "Insufficient credits", "error_code": "INSUFFICIENT_CREDITS"}})
    wire.close(1008, "insufficient credits")
    assert type(wire.connection.error()) is QuotaError
    assert type(wire.error("a" * at_work)) is QuotaError


def test_a_complaint_that_was_followed_by_work_is_not_why_the_socket_closed():
    wire = asked("a")
    wire.say({"error": {"message": "rate limit"}})
    open_context(wire, "b")
    wire.say({"context_created": {"context_id": "b"}})
    wire.close(1008)
    assert type(wire.connection.error()) is ConnectionLostError


def test_a_refused_key_is_said_in_band_or_by_1008_alone():
    wire = Wire(client("60db-tts"))
    wire.say({"error": {"message": "Invalid API key"}})
    wire.close(1008)
    assert type(wire.error()) is AuthError
    silent = Wire(client("60db-tts"))
    silent.close(1008)
    assert type(silent.error()) is AuthError


def test_states_of_both_roles_agree_all_along():
    client_side, server_side = Protocol(SixtydbTts(), Role.CLIENT), Protocol(SixtydbTts(), Role.SERVER)
    client_side.session_state = server_side.session_state = SessionState.READY
    steps = [
        (True, OpenContext("a", "v", LINEAR), ContextState.OPEN),
        (False, ContextAccepted("a"), ContextState.OPEN),
        (True, SendText("a", "One."), ContextState.OPEN),
        (True, FlushContext("a"), ContextState.REQUESTED),
        (True, SendText("a", "Two."), ContextState.REQUESTED),
        (True, FlushContext("a"), ContextState.REQUESTED),
        (False, Audio("a", b"x"), ContextState.SPEAKING),
        (False, FlushCompleted("a"), ContextState.REQUESTED),
        (False, Audio("a", b"x"), ContextState.SPEAKING),
        (False, FlushCompleted("a"), ContextState.OPEN),
        (True, CloseContext("a"), ContextState.CLOSING),
        (False, ContextFinished("a"), None),
    ]
    for by_client, event, state in steps:
        sender, receiver = (client_side, server_side) if by_client else (server_side, client_side)
        assert receiver.receive(sender.send(event).encode(), text=True) == event
        assert sender.contexts.get("a") is receiver.contexts.get("a") is state
