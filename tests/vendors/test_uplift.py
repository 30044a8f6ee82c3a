"""Uplift AI: every field, message and quirk of protocols.md section 3, by name, both ways, on both transports."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder, WavReader
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    ConnectionFailedError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    RateLimitError,
    VendorError,
    VendorUnavailableError,
)
from voicecore.events import (
    Audio,
    Authenticate,
    Authenticated,
    CancelContext,
    ContextAccepted,
    ContextFinished,
    Failed,
    Goodbye,
    Heartbeat,
    HeartbeatAnswered,
    Malformed,
    ServerReady,
    StopStream,
    Synthesize,
    TransportClosed,
    TransportOpened,
    Unknown,
)
from voicecore.protocol import Coding, Fault, Protocol, Role
from voicecore.secret import Secret
from voicecore.vendors import find_dialect
from voicecore.vendors.uplift import Uplift, UpliftOptions, UpliftSocketIO
from voicecore.vendors.uplift.framed import NAMESPACE, REFUSED
from voicecore.vendors.uplift.speech import DEFAULT_VOICE, FORMATS, MAX_TEXT, VOICES, wav_header

PLAIN, FRAMED = Uplift(), UpliftSocketIO()
BOTH = pytest.mark.parametrize("dialect", [PLAIN, FRAMED], ids=lambda dialect: dialect.name)
ID = "7f0c54c6-9a58-4d0d-8f7b-8a1a1c6d2f10"
REQUEST = {
    "type": "synthesize",
    "requestId": ID,
    "text": "سلام",
    "voiceId": "v_meklc281",
    "outputFormat": "PCM_22050_16",
}


def on_wire(dialect, message: dict, event: str | None = None) -> bytes:
    """A message as this transport carries it; `event`: the name that it has on Socket.IO."""
    body = json.dumps(message)
    if dialect is PLAIN or not isinstance(dialect, UpliftSocketIO):
        return body.encode()
    return f'42{NAMESPACE},["{event or "message"}",{body}]'.encode()


def heard(dialect, message: dict) -> object:
    """What our client makes of a server's message."""
    return dialect.decode(on_wire(dialect, message), text=True, role=Role.CLIENT)


def served(dialect, message: dict) -> object:
    """What our server makes of a client's message."""
    wire = on_wire(dialect, message, message.get("type", "synthesize"))
    return dialect.decode(wire, text=True, role=Role.SERVER)


def said(dialect, event: object) -> dict:
    """The message of an event, out of its framing."""
    text = dialect.encode(event)
    if not isinstance(dialect, UpliftSocketIO):
        return json.loads(text)
    head, _, values = text.partition(",")
    assert head == f"42{NAMESPACE}"
    name, message = json.loads(values)
    assert name == (message["type"] if message["type"] in ("synthesize", "cancel") else "message")
    return message


# --- the socket ------------------------------------------------------------------------------------------


def test_the_vendors_addresses():
    assert PLAIN.default_url == "wss://api.upliftai.org/v1/text-to-speech/multi-stream"
    assert (PLAIN.path(), FRAMED.path()) == ("/v1/text-to-speech/multi-stream", "/socket.io/")
    assert {(d.key_variable, d.url_variable) for d in (PLAIN, FRAMED)} == {("UPLIFTAI_API_KEY", "UPLIFTAI_URL")}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (None, Uplift),
        ("wss://h/v1/text-to-speech/multi-stream", Uplift),
        ("wss://h/elsewhere", Uplift),
        ("wss://h/socket.io/", UpliftSocketIO),
        ("wss://h/socket.io", UpliftSocketIO),
        ("wss://h/socket.io/?EIO=4&transport=websocket", UpliftSocketIO),
    ],
)
def test_the_path_picks_the_transport(url, kind):
    assert type(find_dialect("uplift", "tts", url)) is kind


def test_plain_the_key_is_a_bearer_token():
    url = "wss://h/v1/text-to-speech/multi-stream"
    assert PLAIN.upgrade(url, Secret("sk_api_1")) == (url, {"Authorization": "Bearer sk_api_1"})


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer sk_api_1"}, "sk_api_1"),
        ({"authorization": "bearer  sk_api_1 "}, "sk_api_1"),
        ({"authorization": "sk_api_1"}, None),
        ({"authorization": "Basic sk_api_1"}, None),
        ({"x-api-key": "sk_api_1"}, None),
        ({}, None),
    ],
)
def test_plain_the_server_reads_a_bearer_token(headers, key):
    assert PLAIN.key_of({"token": "k"}, headers) == key


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("wss://h/socket.io/", "wss://h/socket.io/?EIO=4&transport=websocket"),
        ("wss://h/socket.io", "wss://h/socket.io?EIO=4&transport=websocket"),
        ("wss://h/socket.io/?t=1", "wss://h/socket.io/?t=1&EIO=4&transport=websocket"),
        ("wss://h/socket.io/?transport=websocket", "wss://h/socket.io/?transport=websocket&EIO=4"),
        ("wss://h/socket.io/?transport=websocket&EIO=4", "wss://h/socket.io/?transport=websocket&EIO=4"),
    ],
)
def test_framed_the_query_is_completed_and_holds_no_key(url, sent):
    assert FRAMED.upgrade(url, Secret("sk_api_1")) == (sent, {})


def test_framed_the_server_reads_no_key_from_the_upgrade():
    assert FRAMED.key_in_band and FRAMED.key_of({"token": "k"}, {"authorization": "Bearer k"}) is None


QUERY = {"EIO": "4", "transport": "websocket"}


@pytest.mark.parametrize(
    ("query", "upgrade", "words"),
    [
        (QUERY, True, None),
        ({"transport": "websocket", "t": "P9x", "EIO": "4"}, True, None),
        (QUERY, False, "Transport unknown"),
        ({"EIO": "4", "transport": "polling"}, False, "no polling"),
        ({"EIO": "4", "transport": "polling"}, True, "Transport unknown"),
        ({"EIO": "3", "transport": "websocket"}, True, "Unsupported protocol version"),
        ({}, True, "Unsupported protocol version"),
        (QUERY | {"sid": "x"}, True, "Session ID unknown"),
    ],
)
def test_framed_what_an_engine_io_server_answers_with_400(query, upgrade, words):
    fault = FRAMED.http_fault(query, upgrade=upgrade)
    assert fault is None if words is None else words in json.loads(fault)["message"]


# --- synthesize ------------------------------------------------------------------------------------------

OPTIONS = [
    *[("outputFormat", name, "format") for name in FORMATS],
    ("phraseReplacementConfigId", "cfg_1", "phrase_replacement_config_id"),
    ("speed", 0.25, "speed"),
    ("speed", 1, "speed"),
    ("speed", 4.0, "speed"),
]


@BOTH
@pytest.mark.parametrize(("name", "value", "option"), OPTIONS)
def test_an_option_goes_out_and_comes_in_under_its_wire_name(dialect, name, value, option):
    event = Synthesize(ID, "سلام", "v_meklc281", UpliftOptions(**({"format": "PCM_22050_16"} | {option: value})))
    assert said(dialect, event) == {**REQUEST, name: value}
    assert served(dialect, said(dialect, event)) == event


@BOTH
def test_without_options_the_vendors_defaults_are_said(dialect):
    assert said(dialect, Synthesize(ID, "سلام", None, UpliftOptions())) == REQUEST
    assert REQUEST["voiceId"] == DEFAULT_VOICE


@BOTH
def test_only_id_and_text_are_needed(dialect):
    event = served(dialect, {"type": "synthesize", "requestId": ID, "text": "x"})
    assert event == Synthesize(ID, "x", None, UpliftOptions())
    assert dialect.wire_format(event.options) == AudioFormat("pcm_s16le", 22_050)


@BOTH
def test_null_is_absent(dialect):
    names = ("voiceId", "outputFormat", "phraseReplacementConfigId", "speed")
    assert served(dialect, {**REQUEST, **dict.fromkeys(names)}) == Synthesize(ID, "سلام", None, UpliftOptions())


@BOTH
def test_fields_that_nobody_knows_are_ignored(dialect):
    assert served(dialect, {**REQUEST, "new": 1}) == served(dialect, REQUEST)


def test_framed_the_body_may_omit_its_type():
    body = {name: value for name, value in REQUEST.items() if name != "type"}
    assert served(FRAMED, body) == served(FRAMED, REQUEST)
    cancel = f'42{NAMESPACE},["cancel",{{"requestId":"{ID}"}}]'.encode()
    assert FRAMED.decode(cancel, text=True, role=Role.SERVER) == CancelContext(ID)
    assert isinstance(PLAIN.decode(json.dumps(body).encode(), text=True, role=Role.SERVER), Unknown)


@BOTH
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"text": None}, "text"),
        ({"text": "  "}, "text"),
        ({"text": 7}, "text"),
        ({"text": "a\ud83d"}, "surrogate"),
        ({"voiceId": 7}, "voiceId"),
        ({"outputFormat": "PCM_16000_16"}, "outputFormat"),
        ({"outputFormat": "pcm_22050_16"}, "outputFormat"),
        ({"outputFormat": 7}, "outputFormat"),
        ({"phraseReplacementConfigId": ""}, "phraseReplacementConfigId"),
        ({"phraseReplacementConfigId": 7}, "phraseReplacementConfigId"),
        ({"phraseReplacementConfigId": "x" * 201}, "phraseReplacementConfigId"),
        ({"speed": 0.24}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"speed": "1"}, "speed"),
        ({"speed": True}, "speed"),
    ],
)
def test_a_bad_field_is_refused_by_its_name(dialect, change, word):
    refused = served(dialect, {**REQUEST, **change})
    assert isinstance(refused, Malformed) and (refused.context_id, refused.code) == (ID, "invalid_request")
    assert word in refused.message


@pytest.mark.parametrize(
    "option",
    [{"format": "mp3"}, {"speed": 0}, {"speed": float("nan")}, {"phrase_replacement_config_id": " "}, {"format": 7}],
)
def test_an_option_outside_its_range_is_refused_before_it_is_sent(option):
    with pytest.raises(ConfigurationError):
        UpliftOptions(**option)


@BOTH
def test_10_000_characters_are_the_limit(dialect):
    assert isinstance(served(dialect, {**REQUEST, "text": "x" * 10_000}), Synthesize)
    refused = served(dialect, {**REQUEST, "text": "x" * 10_001})
    assert isinstance(refused, Malformed) and (refused.context_id, refused.code) == (ID, "text_too_long")
    assert dialect.max_text == MAX_TEXT == 10_000


@BOTH
@pytest.mark.parametrize("given_id", [None, "", " ", 7, [], "x" * 201])
@pytest.mark.parametrize("kind", ["synthesize", "cancel"])
def test_a_request_without_an_id_is_an_error_of_the_connection(dialect, given_id, kind):
    refused = served(dialect, {**REQUEST, "type": kind, "requestId": given_id})
    assert isinstance(refused, Malformed) and refused.context_id is None and "requestId" in refused.message
    assert "requestId" not in said(dialect, Failed(None, refused.code, refused.message))


@BOTH
def test_cancel(dialect):
    assert said(dialect, CancelContext(ID)) == {"type": "cancel", "requestId": ID}
    assert served(dialect, {"type": "cancel", "requestId": ID}) == CancelContext(ID)


@BOTH
def test_a_message_that_nobody_knows_is_kept(dialect):
    assert isinstance(served(dialect, {"type": "sing", "requestId": ID}), Unknown)
    unknown = heard(dialect, {"type": "progress", "requestId": ID, "percent": 7})
    assert unknown == Unknown("progress", {"type": "progress", "requestId": ID, "percent": 7})
    assert isinstance(heard(dialect, {}), Unknown)
    assert isinstance(heard(dialect, {"type": 7}), Unknown)


@BOTH
def test_what_the_vendor_has_no_message_for_is_refused(dialect):
    with pytest.raises(ProtocolError, match=f"{dialect.name}: StopStream has no message here"):
        dialect.encode(StopStream())


# --- the answers -----------------------------------------------------------------------------------------

ANSWERS = [
    ({"type": "ready", "sessionId": "session_abc123"}, ServerReady({"sessionId": "session_abc123"})),
    ({"type": "ready"}, ServerReady({})),
    ({"type": "audio_start", "requestId": ID, "timestamp": 1234567890}, ContextAccepted(ID)),
    ({"type": "audio_start", "requestId": ID}, ContextAccepted(ID)),
    ({"type": "audio", "requestId": ID, "audio": "AQI=", "sequence": 0}, Audio(ID, b"\1\2", 0)),
    ({"type": "audio", "requestId": ID, "audio": "AQI="}, Audio(ID, b"\1\2")),
    ({"type": "audio", "requestId": ID, "audio": "AQI=", "sequence": "0"}, Audio(ID, b"\1\2")),
    ({"type": "audio", "requestId": ID, "audio": "", "sequence": 3}, Audio(ID, b"", 3)),
    ({"audio": "AQI=", "sequence": 1, "new": [1], "requestId": ID, "type": "audio"}, Audio(ID, b"\1\2", 1)),
    ({"type": "audio_end", "requestId": ID, "timestamp": 1234567899}, ContextFinished(ID)),
]


@BOTH
@pytest.mark.parametrize(("message", "event"), ANSWERS)
def test_an_answer_is_heard(dialect, message, event):
    assert heard(dialect, message) == event


@BOTH
@pytest.mark.parametrize(
    "message",
    [
        {"type": "audio_start"},
        {"type": "audio_end", "requestId": 7},
        {"type": "audio", "audio": "AQI="},
        {"type": "audio", "requestId": ID},
        {"type": "audio", "requestId": ID, "audio": None},
        {"type": "audio", "requestId": None, "audio": "AQI="},
    ],
)
def test_an_answer_that_lacks_what_it_is_about_is_a_protocol_error(dialect, message):
    with pytest.raises(ProtocolError, match=f"{message['type']}: expected requestId"):
        heard(dialect, message)


def test_timestamps_are_the_emulators_clock_and_the_client_needs_none():
    dialect = Uplift(clock=lambda: 1234567890.5)
    assert said(dialect, ContextAccepted(ID)) == {"type": "audio_start", "requestId": ID, "timestamp": 1234567890.5}
    assert said(dialect, ContextFinished(ID)) == {"type": "audio_end", "requestId": ID, "timestamp": 1234567890.5}


@BOTH
def test_an_answer_goes_out_as_the_vendor_says_it(dialect):
    assert said(dialect, ServerReady({"sessionId": "s"})) == {"type": "ready", "sessionId": "s"}
    assert said(dialect, Audio(ID, b"\1\2", 0)) == {"type": "audio", "requestId": ID, "audio": "AQI=", "sequence": 0}
    error = {"type": "error", "requestId": ID, "code": "synthesis_failed", "message": "no"}
    assert said(dialect, Failed(ID, "synthesis_failed", "no")) == error


CODES = [
    ("auth_failed", AuthError, False),
    ("synthesis_failed", VendorUnavailableError, True),
    ("duplicate_request", InvalidRequestError, False),
    ("rate_limit_exceeded", RateLimitError, True),
    ("text_too_long", InvalidRequestError, False),
    ("invalid_request", InvalidRequestError, False),
    ("brand_new", VendorError, False),
]


@BOTH
@pytest.mark.parametrize(("code", "kind", "retryable"), CODES)
def test_each_code_is_an_error_of_ours(dialect, code, kind, retryable):
    failed = heard(dialect, {"type": "error", "requestId": ID, "code": code, "message": "words"})
    assert failed == Failed(ID, code, "words")
    error = dialect.error_of(failed)
    assert (type(error), error.retryable, error.code, error.vendor) == (kind, retryable, code, "uplift")
    assert "words" in str(error) and code in str(error)


@BOTH
@pytest.mark.parametrize("given_id", ["absent", None, "unknown", "", 7])
def test_an_error_without_a_request_is_one_of_the_connection(dialect, given_id):
    message = {"type": "error", "code": "rate_limit_exceeded", "message": "m"}
    failed = heard(dialect, message if given_id == "absent" else {**message, "requestId": given_id})
    assert failed == Failed(None, "rate_limit_exceeded", "m")


@BOTH
def test_an_error_may_lack_everything(dialect):
    assert heard(dialect, {"type": "error"}) == Failed(None, "", "unspecified error")


@BOTH
@pytest.mark.parametrize("sound", ["AAA", "AA*A", "AAAA\n", "data:audio/wav;base64,AAAA"])
def test_audio_that_is_not_base64_fails_its_request(dialect, sound):
    failed = heard(dialect, {"type": "audio", "requestId": ID, "audio": sound, "sequence": 0})
    assert isinstance(failed, Failed) and failed.context_id == ID
    assert isinstance(dialect.error_of(failed), Base64Error)


@BOTH
def test_the_faults_of_the_emulator_have_the_vendors_codes(dialect):
    assert dialect.fault_codes.keys() == set(Fault)
    assert set(dialect.fault_codes.values()) <= set(dialect.errors)


@pytest.mark.parametrize("payload", [b"hello", b"[]", b'"x"', b"{", b'{"type":"audio"} x', b"\xff"])
@pytest.mark.parametrize("role", Role)
def test_plain_what_is_no_object_is_a_typed_error(payload, role):
    with pytest.raises(MessageError):
        PLAIN.decode(payload, text=True, role=role)


@pytest.mark.parametrize(
    "arguments", ["", ",", ",7", ',"x"', ",null", ",[]", ",{}x", ',{"type":"audio"},{}', ",{"], ids=str
)
@pytest.mark.parametrize(("name", "role"), [("message", Role.CLIENT), ("synthesize", Role.SERVER)])
def test_framed_an_event_has_one_object(arguments, name, role):
    with pytest.raises(MessageError):
        FRAMED.decode(f'42{NAMESPACE},["{name}"{arguments}]'.encode(), text=True, role=role)


# --- the framing -----------------------------------------------------------------------------------------

SERVER_SAYS = [
    ('0{"sid":"E1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}', TransportOpened("E1", 25.0, 20.0)),
    (f'40{NAMESPACE},{{"sid":"N1"}}', Authenticated({"sid": "N1"})),
    (f"40{NAMESPACE},", Authenticated({})),
    ("2", Heartbeat()),
    ("2x", Heartbeat("x")),
    ("1", TransportClosed()),
    (f"41{NAMESPACE},", TransportClosed()),
    ("6", None),
    (f'43{NAMESPACE},1["ok"]', None),
    (f'44{NAMESPACE},{{"message":"no"}}', Failed(None, REFUSED, "no", {"message": "no"})),
    (f'44{NAMESPACE},"no"', Failed(None, REFUSED, "no")),
    (f"44{NAMESPACE},{{}}", Failed(None, REFUSED, "no reason given")),
    ("3", Unknown("Pong", {"namespace": ""})),
    ('40{"sid":"root"}', Unknown("Connect", {"namespace": "/"})),
    ("41", Unknown("Disconnect", {"namespace": "/"})),
    ('44/else,{"message":"no"}', Unknown("ConnectError", {"namespace": "/else"})),
    ('42["message",{"type":"ready"}]', Unknown("message", {"namespace": "/", "arguments": [{"type": "ready"}]})),
    (f'42{NAMESPACE},["news",1,2]', Unknown("news", {"namespace": NAMESPACE, "arguments": [1, 2]})),
]


@pytest.mark.parametrize(("text", "event"), SERVER_SAYS)
def test_framed_what_the_server_says(text, event):
    assert FRAMED.decode(text.encode(), text=True, role=Role.CLIENT) == event


CLIENT_SAYS = [
    (f'40{NAMESPACE},{{"token":"sk_api_x"}}', Authenticate(Secret("sk_api_x"))),
    (f"40{NAMESPACE},{{}}", Authenticate(Secret(""))),
    (f"40{NAMESPACE},", Authenticate(Secret(""))),
    (f'40{NAMESPACE},{{"token":7}}', Authenticate(Secret(""))),
    ("40", Malformed(None, REFUSED, "Invalid namespace", {"namespace": "/"})),
    ('40/else,{"token":"k"}', Malformed(None, REFUSED, "Invalid namespace", {"namespace": "/else"})),
    ("3", HeartbeatAnswered()),
    ("3x", HeartbeatAnswered("x")),
    ("1", Goodbye()),
    (f"41{NAMESPACE},", Goodbye()),
    ("6", None),
    (f"43{NAMESPACE},1[]", None),
    ("41", Unknown("Disconnect", {"namespace": "/"})),
    ('42["synthesize",{}]', Unknown("synthesize", {"namespace": "/", "arguments": [{}]})),
    (f'42{NAMESPACE},["sing"]', Unknown("sing", {"namespace": NAMESPACE, "arguments": []})),
]


@pytest.mark.parametrize(("text", "event"), CLIENT_SAYS)
def test_framed_what_the_client_says(text, event):
    assert FRAMED.decode(text.encode(), text=True, role=Role.SERVER) == event


def test_framed_an_event_that_asks_for_an_acknowledgement_is_taken():
    wire = f'42{NAMESPACE},7["cancel",{{"requestId":"{ID}"}}]'.encode()
    assert FRAMED.decode(wire, text=True, role=Role.SERVER) == CancelContext(ID)


def test_framed_a_client_does_not_ping():
    with pytest.raises(ProtocolError, match=r"Engine\.IO ping"):
        FRAMED.decode(b"2", text=True, role=Role.SERVER)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("payload", "text"),
    [(b"\0\1", False), (b'{"type":"ready"}', False), (b'451-/x,["audio",{"_placeholder":true}]', True)],
)
def test_framed_binary_is_refused_with_a_clear_error(role, payload, text):
    with pytest.raises(ProtocolError, match="binary attachments are not supported"):
        FRAMED.decode(payload, text=text, role=role)


@pytest.mark.parametrize("role", Role)
def test_framed_the_arguments_of_an_unknown_event_are_json(role):
    with pytest.raises(MessageError):
        FRAMED.decode(f'42{NAMESPACE},["new",{{]'.encode(), text=True, role=role)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Authenticate(Secret("sk_api_x")), f'40{NAMESPACE},{{"token":"sk_api_x"}}'),
        (HeartbeatAnswered(), "3"),
        (HeartbeatAnswered("x"), "3x"),
        (Goodbye(), f"41{NAMESPACE},"),
        (Heartbeat(), "2"),
        (Authenticated({"sid": "N1"}), f'40{NAMESPACE},{{"sid":"N1"}}'),
        (Failed(None, REFUSED, "no"), f'44{NAMESPACE},{{"message":"no"}}'),
        (Failed(None, REFUSED, "no", {"namespace": "/else"}), '44/else,{"message":"no"}'),
        (Failed(None, REFUSED, "no", {"namespace": "/"}), '44{"message":"no"}'),
        (TransportClosed(), f"41{NAMESPACE},"),
    ],
)
def test_framed_what_goes_out(event, text):
    assert FRAMED.encode(event) == text


def test_framed_the_key_answers_the_opening_and_a_pong_the_ping():
    key = Secret("k")
    assert FRAMED.reply(TransportOpened("s", 25.0, 20.0), key) == Authenticate(key)
    assert FRAMED.reply(Heartbeat("x"), key) == HeartbeatAnswered("x")
    assert FRAMED.reply(Authenticated(), key) is None
    assert PLAIN.reply(ServerReady(), key) is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Invalid API key", AuthError),
        ("Unauthorized", AuthError),
        ("not authorized", AuthError),
        ("Authentication error", AuthError),
        ("auth_failed", AuthError),
        ("invalid token", AuthError),
        ("jwt expired", AuthError),
        ("Invalid credentials", AuthError),
        ("Forbidden", AuthError),
        ("Invalid namespace", ConnectionFailedError),
        ("Unable to connect", ConnectionFailedError),
        ("server is full", ConnectionFailedError),
    ],
)
def test_framed_a_refusal_is_for_the_key_only_if_it_says_so(message, kind):
    failed = FRAMED.decode(f'44{NAMESPACE},{{"message":"{message}"}}'.encode(), text=True, role=Role.CLIENT)
    error = FRAMED.error_of(failed)
    assert type(error) is kind and message in str(error) and NAMESPACE in str(error)


def test_framed_a_failed_request_may_speak_of_tokens():
    assert type(FRAMED.error_of(Failed(ID, "new_code", "too many tokens"))) is VendorError


# --- formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        (None, AudioFormat("pcm_s16le", 22_050)),
        ("PCM_22050_16", AudioFormat("pcm_s16le", 22_050)),
        ("WAV_22050_16", AudioFormat("pcm_s16le", 22_050, container="wav")),
        ("WAV_22050_32", AudioFormat("pcm_f32le", 22_050, container="wav")),
        ("ULAW_8000_8", AudioFormat("mulaw", 8_000)),
        ("MP3_22050_32", AudioFormat("mp3", 22_050)),
        ("MP3_22050_64", AudioFormat("mp3", 22_050)),
        ("MP3_22050_128", AudioFormat("mp3", 22_050)),
        ("OGG_22050_16", AudioFormat("opus", 22_050, container="ogg")),
    ],
)
def test_the_formats_on_the_wire(name, wire):
    assert PLAIN.wire_format(UpliftOptions(format=name)) == wire


@pytest.mark.parametrize("kilobits", [32, 64, 128])
def test_the_bit_rate_is_in_the_formats_name(kilobits):
    options = UpliftOptions(format=f"MP3_22050_{kilobits}")
    assert PLAIN.coding(options) == Coding(1000 * kilobits, "stream")
    assert PLAIN.byte_rate(options) == 125 * kilobits


@pytest.mark.parametrize(
    ("asked", "output", "chosen"),
    [
        (None, None, "PCM_22050_16"),
        (None, AudioFormat("pcm_s16le", 8_000), "PCM_22050_16"),
        (None, AudioFormat("mulaw", 8_000), "ULAW_8000_8"),
        (None, AudioFormat("mulaw", 16_000), "PCM_22050_16"),
        ("WAV_22050_32", AudioFormat("mulaw", 8_000), "WAV_22050_32"),
    ],
)
def test_the_wire_format_serves_the_output(asked, output, chosen):
    assert PLAIN.options_for(UpliftOptions(format=asked), output).format == chosen


@pytest.mark.parametrize(
    ("encoding", "tag", "bits"), [("pcm_s16le", 1, 16), ("pcm_f32le", 3, 32)], ids=["16 bits", "32 bits"]
)
def test_a_wav_has_its_header_in_the_first_chunk_only(encoding, tag, bits):
    wire = AudioFormat(encoding, 22_050, container="wav")
    header = wav_header(wire)
    assert (len(header), header[:4], header[8:16], header[36:40]) == (44, b"RIFF", b"WAVEfmt ", b"data")
    block = bits // 8
    assert struct.unpack_from("<IHHIIHH", header, 16) == (16, tag, 1, 22_050, 22_050 * block, block, bits)
    samples = np.arange(100).astype("<i2" if tag == 1 else "<f4").tobytes()
    first, second = (PLAIN.package(samples, wire, index) for index in (0, 1))
    assert (first, second) == (header + samples, samples)
    reader = WavReader()
    assert reader.feed(first) + reader.feed(second) + reader.finish() == samples * 2
    assert reader.format == AudioFormat(encoding, 22_050)


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "pcm_s32le"])
def test_the_header_decides_what_wav_22050_32_is(encoding):
    wire = PLAIN.wire_format(UpliftOptions(format="WAV_22050_32"))
    ramp = np.arange(-50, 50, dtype="<i2")
    wide = {"pcm_f32le": (ramp / np.float32(32768)).astype("<f4"), "pcm_s32le": ramp.astype("<i4") * 2**16}
    sound = wide.get(encoding, ramp)
    transcoder = Transcoder(wire, AudioFormat("pcm_s16le", 22_050))
    header = wav_header(AudioFormat(encoding, 22_050, container="wav"))
    got = [transcoder.process(header + sound.tobytes()), transcoder.flush()]
    assert np.concatenate(got).tolist() == ramp.tolist()


@pytest.mark.parametrize(("text", "language"), [("سلام", "ur"), ("Hello سلام", "ur"), ("Hello", None), ("7", None)])
def test_what_is_written_in_its_script_is_read_as_urdu(text, language):
    assert PLAIN.language_of(text) == language


# --- voices ----------------------------------------------------------------------------------------------


def test_the_voices_of_the_sheet():
    assert len(VOICES) == 10 and DEFAULT_VOICE in VOICES


@pytest.mark.parametrize("voice", [None, *sorted(VOICES)])
def test_a_known_voice_speaks(voice):
    for unknown in ("silent", "error"):
        dialect = Uplift(unknown_voice=unknown)
        assert not dialect.is_mute(voice)
        assert isinstance(served(dialect, {**REQUEST, "voiceId": voice}), Synthesize)


def test_an_unknown_voice_is_taken_and_never_answered_or_an_error_by_switch():
    asked = {**REQUEST, "voiceId": "v_nobody"}
    assert PLAIN.is_mute("v_nobody") and isinstance(served(PLAIN, asked), Synthesize)
    dialect = Uplift(unknown_voice="error")
    refused = served(dialect, asked)
    assert not dialect.is_mute("v_nobody")
    assert (refused.context_id, refused.code) == (ID, "synthesis_failed") and "v_nobody" in refused.message


# --- round trips -----------------------------------------------------------------------------------------

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() and text != "unknown"
)
CHOICES = st.builds(
    UpliftOptions,
    st.sampled_from(FORMATS),
    st.none() | IDS,
    st.none() | st.floats(0.25, 4),
)
CLIENT_EVENTS = st.builds(Synthesize, IDS, IDS, IDS, CHOICES) | st.builds(CancelContext, IDS)
DETAILS = st.builds(lambda name: {"sessionId": name}, IDS)
SERVER_EVENTS = st.one_of(
    st.builds(ServerReady, DETAILS),
    st.builds(ContextAccepted, IDS),
    st.builds(Audio, IDS, st.binary(max_size=50), st.none() | st.integers(0, 2**31)),
    st.builds(ContextFinished, IDS),
    st.builds(Failed, st.none() | IDS, st.sampled_from([code for code, *_ in CODES]), IDS),
)


@BOTH
@given(event=CLIENT_EVENTS)
def test_what_the_client_says_the_server_hears(dialect, event):
    assert dialect.decode(dialect.encode(event).encode(), text=True, role=Role.SERVER) == event


@BOTH
@given(event=SERVER_EVENTS)
def test_what_the_server_says_the_client_hears(dialect, event):
    assert dialect.decode(dialect.encode(event).encode(), text=True, role=Role.CLIENT) == event


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.text(max_size=5), below, max_size=2),
    max_leaves=5,
)


@BOTH
@given(changes=st.dictionaries(st.sampled_from([*REQUEST, "speed", "phraseReplacementConfigId"]), JSON, max_size=6))
def test_any_object_is_a_request_or_malformed_or_unknown(dialect, changes):
    message = {**REQUEST, **changes}
    wire = on_wire(dialect, message, "synthesize")
    event = dialect.decode(wire, text=True, role=Role.SERVER)
    assert isinstance(event, Synthesize | CancelContext | Malformed | Unknown)


KINDS = st.sampled_from(["ready", "audio_start", "audio", "audio_end", "error", "new"])


@given(
    st.dictionaries(
        st.sampled_from(["requestId", "audio", "sequence", "code", "message", "timestamp", "sessionId"]),
        JSON | st.just("AAAA"),
        max_size=6,
    ),
    KINDS | JSON,
)
def test_any_object_is_an_answer_or_a_protocol_error(fields, kind):
    protocol = Protocol(PLAIN, Role.CLIENT)
    try:
        protocol.receive(json.dumps({**fields, "type": kind}).encode(), text=True)
    except ProtocolError as error:
        assert "expected requestId" in str(error)  # noqa: PT017 - most of these raise nothing


def test_a_sound_is_base64_of_its_bytes():
    assert base64.b64decode(said(PLAIN, Audio(ID, b"\0\xff", 0))["audio"]) == b"\0\xff"
