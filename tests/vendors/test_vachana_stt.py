"""Vachana speech-to-text: every field, message and quirk of protocols.md section 2.2, by name, in both directions."""

from __future__ import annotations

import json

import pytest
from support.wire import Wire, client

from voicecore.audio import AudioFormat
from voicecore.errors import AuthError, ConfigurationError, MessageError, ProtocolError, VendorError
from voicecore.events import (
    Failed,
    Malformed,
    Probe,
    Processing,
    SendAudio,
    ServerReady,
    SpeechEnded,
    SpeechStarted,
    StartStream,
    StopStream,
    StreamStopped,
    Transcript,
    Unknown,
)
from voicecore.protocol import Protocol, Role, SessionState
from voicecore.secret import Secret
from voicecore.vendors.vachana.stt import FRAME_BYTES, LANGUAGES, SAMPLE_RATES, VachanaStt, VachanaSttOptions

STT = VachanaStt()
NOW = "2026-11-21T10:00:00+00:00"
CONNECTED = {
    "type": "connected",
    "message": "STT service ready — VAD service connected",
    "request_id": "req_1",
    "timestamp": NOW,
    "config": {"sample_rate": 16000, "chunk_size": 512},
}
TRANSCRIPT = {
    "type": "transcript",
    "timestamp": NOW,
    "text": "hello",
    "audio_duration_ms": 2340,
    "segment_id": "seg_abc123",
    "segment_index": 1,
    "latency": 320,
}
HEARD = Transcript(
    "hello",
    True,
    True,
    sentence_id=1,
    duration=2.34,
    extra={"timestamp": NOW, "segment_id": "seg_abc123"},
    latency=0.32,
)


def heard(message: dict) -> object:
    """What our client makes of a server's message."""
    return STT.decode(json.dumps(message).encode(), text=True, role=Role.CLIENT)


def said(event: object, dialect: VachanaStt = STT) -> dict:
    text = dialect.encode(event)
    assert isinstance(text, str)
    return json.loads(text)


# --- the upgrade -----------------------------------------------------------------------------------------

REQUIRED = {"lang_code": "en-IN", "x-sample-rate": "16000"}


def test_the_key_and_a_request_id_travel_in_headers():
    url, headers = STT.upgrade("wss://h/stt/v3/stream", Secret("key-1"))
    assert url == "wss://h/stt/v3/stream"
    assert headers.pop("x-api-request-id").startswith("req_")
    assert headers == {"x-api-key-id": "key-1"}


@pytest.mark.parametrize(
    ("headers", "key"),
    [({"x-api-key-id": "a"}, "a"), ({"x-api-key": "a", "authorization": "Bearer a"}, None), ({}, None)],
)
def test_the_server_takes_the_key_from_its_header_alone(headers, key):
    assert STT.key_of({"x-api-key-id": "query"}, headers) == key


def test_the_vendors_addresses():
    assert (STT.default_url, STT.path()) == ("wss://api.vachana.ai/stt/v3/stream", "/stt/v3/stream")
    assert STT.older_paths == ("/stt/v3",)


HEADERS = [
    *[({"languages": (code,)}, {"lang_code": code}) for code in LANGUAGES],
    ({"languages": ("en-IN", "hi-IN")}, {"lang_code": "en-IN,hi-IN"}),
    *[({"sample_rate": rate}, {"x-sample-rate": str(rate)}) for rate in SAMPLE_RATES],
    ({"format": "verbatim"}, {"x-format": "verbatim"}),
    ({"format": "transcribe"}, {"x-format": "transcribe"}),
    ({"itn_native_numerals": True}, {"itn_native_numerals": "true"}),
    ({"preferred_language": "ta-IN"}, {"preferred_language": "ta-IN"}),
    ({"request_id": "req_mine"}, {"x-api-request-id": "req_mine"}),
]


@pytest.mark.parametrize(("options", "headers"), HEADERS)
def test_an_option_goes_out_and_comes_in_as_its_header(options, headers):
    chosen = VachanaSttOptions(**{"sample_rate": 16000} | options)
    assert STT.upgrade_options(chosen) == REQUIRED | headers
    assert STT.start_of(REQUIRED | headers) == StartStream(chosen)


def test_what_is_not_set_has_no_header():
    assert STT.upgrade_options(VachanaSttOptions(itn_native_numerals=False)) == REQUIRED


def test_the_request_id_of_the_options_beats_the_made_up_one():
    headers = STT.upgrade("wss://h", Secret("k"))[1] | STT.upgrade_options(VachanaSttOptions(request_id="mine"))
    assert headers["x-api-request-id"] == "mine"


def test_the_servers_defaults():
    assert STT.start_of({"lang_code": "hi-IN"}) == StartStream(VachanaSttOptions(["hi-IN"], 16000))
    assert STT.start_of({"lang_code": " en-IN , hi-IN "}).options.languages == ("en-IN", "hi-IN")
    assert STT.start_of(REQUIRED | {"itn_native_numerals": "false"}).options.itn_native_numerals is False


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "lang_code"),
        ({"lang-code": "en-IN"}, "lang_code"),  # as a proxy may make it
        ({"lang_code": ""}, "languages"),
        ({"lang_code": "en"}, "languages"),
        ({"lang_code": "en-IN,hi-IN,ta-IN"}, "languages"),
        (REQUIRED | {"x-sample-rate": "24000"}, "sample_rate"),
        (REQUIRED | {"x-sample-rate": "fast"}, "sample_rate"),
        (REQUIRED | {"x-sample-rate": "-8000"}, "sample_rate"),
        (REQUIRED | {"x-sample-rate": "9" * 5000}, "sample_rate"),
        (REQUIRED | {"x-format": "words"}, "format"),
        (REQUIRED | {"itn_native_numerals": "yes"}, "itn_native_numerals"),
        (REQUIRED | {"preferred_language": "fr"}, "preferred_language"),
        (REQUIRED | {"x-api-request-id": " "}, "request_id"),
    ],
)
def test_the_server_refuses_bad_headers_by_name(headers, word):
    refused = STT.start_of(headers)
    assert isinstance(refused, Malformed) and word in refused.message


@pytest.mark.parametrize(
    "fields",
    [
        {"languages": ()},
        {"languages": None},
        {"languages": "en-IN"},
        {"languages": ("en",)},
        {"languages": ("en-IN", "hi-IN", "ta-IN")},
        {"sample_rate": 24000},
        {"format": "words"},
        {"itn_native_numerals": "true"},
        {"preferred_language": "xx"},
        {"request_id": ""},
        {"trailing_silence": -1},
        {"trailing_silence": 11},
    ],
)
def test_what_the_vendor_does_not_document_is_refused(fields):
    with pytest.raises(ConfigurationError):
        VachanaSttOptions(**fields)


# --- audio -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "source", "rate"),
    [
        ({}, AudioFormat("pcm_s16le", 16000), 16000),
        ({}, AudioFormat("pcm_s16le", 48000, 2), 16000),
        ({}, AudioFormat("mulaw", 8000), 8000),
        ({"sample_rate": 48000}, AudioFormat("mulaw", 8000), 48000),
        ({"sample_rate": 44100}, None, 44100),
    ],
)
def test_the_wire_format_serves_the_source(given, source, rate):
    options = STT.options_for(VachanaSttOptions(**given), source)
    assert STT.wire_format(options) == AudioFormat("pcm_s16le", rate)


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_frames_are_1024_bytes_at_every_rate(rate):
    assert STT.frame_bytes(STT.wire_format(VachanaSttOptions(sample_rate=rate))) == FRAME_BYTES == 1024
    assert STT.whole_frames and STT.trailing_silence(VachanaSttOptions()) == 1.0


def test_audio_is_a_binary_frame():
    assert STT.encode(STT.audio(b"ab", VachanaSttOptions())) == b"ab"


@pytest.mark.parametrize("size", [0, 2, 1023, 1024])
def test_the_server_takes_a_frame_and_a_shorter_last_one(size):
    assert STT.decode(bytes(size), text=False, role=Role.SERVER) == SendAudio(bytes(size))


def test_the_server_refuses_a_longer_frame_and_counts_what_it_does_not_know():
    refused = STT.decode(bytes(1025), text=False, role=Role.SERVER)
    assert refused == Malformed(None, "", "audio: expected frames of 1024 bytes, got 1025")
    assert STT.decode(b'{"type":"stop"}', text=True, role=Role.SERVER) == Unknown("stop", {"type": "stop"})
    with pytest.raises(MessageError):
        STT.decode(b"stop", text=True, role=Role.SERVER)


# --- messages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (CONNECTED, ServerReady({k: v for k, v in CONNECTED.items() if k != "type"})),
        ({"type": "connected"}, ServerReady()),
        ({"type": "speech_start", "timestamp": NOW}, SpeechStarted()),
        ({"type": "vad_start"}, SpeechStarted()),
        ({"type": "speech_end"}, SpeechEnded()),
        ({"type": "vad_end"}, SpeechEnded()),
        ({"type": "processing", "timestamp": NOW}, Processing()),
        (TRANSCRIPT, HEARD),
        ({"type": "error", "message": "no", "timestamp": NOW}, Failed(None, "", "no")),
        ({"type": "error"}, Failed(None, "", "unspecified error")),
        ({"type": "new"}, Unknown("new", {"type": "new"})),
        ({"x": 1}, Unknown("x", {"x": 1})),
    ],
)
def test_what_the_server_says(message, event):
    assert heard(message) == event


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (3, 3),
        ("3", 3),
        ("", None),
        ("three", None),
        (None, None),
        (True, None),
        (1.5, None),
        (-1, None),
        ("9" * 50, None),
    ],
)
def test_the_index_of_a_segment_is_a_number_or_a_text(index, sentence):
    assert heard(TRANSCRIPT | {"segment_index": index}).sentence_id == sentence


def test_a_transcript_may_have_more_or_less():
    more = heard(TRANSCRIPT | {"detected_language": "hi-IN"})
    assert more.extra["detected_language"] == "hi-IN"
    assert heard({"type": "transcript", "text": ""}) == Transcript("", True, True)
    odd = heard({"type": "transcript", "text": "x", "audio_duration_ms": "long", "latency": True})
    assert (odd.duration, odd.latency) == (None, None)


@pytest.mark.parametrize("text", [None, 7, ["x"]])
def test_a_transcript_without_text_is_an_error(text):
    with pytest.raises(ProtocolError, match="text"):
        heard({"type": "transcript", "text": text})


def test_what_our_server_says():
    dialect = VachanaStt(timestamp=lambda: NOW)
    [connected] = dialect.started(VachanaSttOptions(request_id="req_1"))
    assert said(connected, dialect) == CONNECTED
    assert said(SpeechStarted(0.5), dialect) == {"type": "speech_start", "timestamp": NOW}
    assert said(SpeechEnded(1.5), dialect) == {"type": "speech_end", "timestamp": NOW}
    assert said(Processing(), dialect) == {"type": "processing", "timestamp": NOW}
    spoken = Transcript("hello", True, True, "en-IN", 0.9, 1, 2.34, latency=0.32)
    assert said(spoken, dialect) == TRANSCRIPT | {"segment_id": "seg_1"}
    assert said(HEARD, dialect) == TRANSCRIPT
    assert said(Failed(None, "", "no"), dialect) == {"type": "error", "message": "no", "timestamp": NOW}


def test_what_has_no_message():
    for silent in (StartStream(VachanaSttOptions()), StopStream(), StreamStopped()):
        assert STT.encode(silent) is None
    with pytest.raises(ProtocolError, match="Probe"):
        STT.encode(Probe())


# --- the client's states ---------------------------------------------------------------------------------


def streaming(*messages: dict) -> Wire:
    wire = Wire(client("vachana-stt"))
    wire.say(CONNECTED)
    wire.send(StartStream(VachanaSttOptions()))
    wire.say(*messages)
    return wire


STARTED, ENDED, PROCESSING = ({"type": kind} for kind in ("speech_start", "speech_end", "processing"))


def test_connected_means_ready_and_the_start_says_nothing():
    wire = Wire(client("vachana-stt"))
    assert not wire.connection.ready
    wire.say(CONNECTED)
    assert wire.connection.ready
    wire.send(StartStream(VachanaSttOptions()))
    assert wire.heard == [] and wire.connection.protocol.session_state is SessionState.STREAMING


@pytest.mark.parametrize(
    ("messages", "due"),
    [
        ([], False),
        ([STARTED], True),
        ([ENDED], True),
        ([PROCESSING], True),
        ([STARTED, ENDED, PROCESSING], True),
        ([STARTED, ENDED, PROCESSING, TRANSCRIPT], False),
        ([STARTED, TRANSCRIPT], False),
        ([PROCESSING, TRANSCRIPT], False),
        ([PROCESSING, PROCESSING, TRANSCRIPT], True),
        ([PROCESSING, PROCESSING, TRANSCRIPT, TRANSCRIPT], False),
        ([STARTED, ENDED, PROCESSING, STARTED, TRANSCRIPT], True),
        ([STARTED, ENDED, PROCESSING, STARTED, TRANSCRIPT, ENDED, PROCESSING, TRANSCRIPT], False),
        ([STARTED, ENDED, STARTED, ENDED, PROCESSING, TRANSCRIPT], False),  # the first was a cough
        ([TRANSCRIPT, PROCESSING], True),
        ([PROCESSING, CONNECTED, {"type": "new"}], True),
    ],
)
@pytest.mark.parametrize("stop_at", [0, 1, 99])
def test_what_is_due_is_known_before_and_after_the_stop(messages, due, stop_at):
    wire = streaming(*messages[:stop_at])
    wire.send(StopStream())
    wire.say(*messages[stop_at:])
    state = wire.connection.protocol.session_state
    assert state is (SessionState.STOPPING_PENDING if due else SessionState.STOPPING)


def test_quiet_ends_the_stream():
    wire = streaming()
    wire.send(StopStream())
    wire.at(0.999)
    assert wire.connection.protocol.session_state is SessionState.STOPPING
    wire.at(1.0)
    assert wire.taken()[-1] == StreamStopped()


def test_a_clean_close_ends_a_stopping_stream_and_no_other():
    stopping, due, running = streaming(), streaming(PROCESSING), streaming()
    for wire in (stopping, due):
        wire.send(StopStream())
    for wire in (stopping, due, running):
        wire.close(1000)
    assert stopping.taken()[-1] == StreamStopped()
    assert "1000" in str(due.error()) and "1000" in str(running.error())


@pytest.mark.parametrize(
    ("text", "kind"),
    [("Invalid API key", AuthError), ("MISSING_API_KEY", AuthError), ("VAD service down", VendorError)],
)
def test_an_error_ends_the_session(text, kind):
    wire = streaming({"type": "error", "message": text})
    assert type(wire.error()) is kind and text in str(wire.error())


# --- the server's states ---------------------------------------------------------------------------------


def test_a_session_from_the_servers_side():
    server = Protocol(VachanaStt(), Role.SERVER)
    start = STT.start_of(REQUIRED)
    assert server.received(start) is start
    for event in (*STT.started(start.options), SpeechStarted(), SpeechEnded(), Processing(), HEARD):
        assert server.send(event)
    assert server.receive(bytes(1024), text=False) == SendAudio(bytes(1024))
    assert server.session_state is SessionState.STREAMING
