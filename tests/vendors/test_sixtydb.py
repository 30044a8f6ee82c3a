"""60db speech-to-text: every field, message and quirk of protocols.md section 1.1, by name, in both directions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import Wire, client

from voicecore.audio import AudioFormat
from voicecore.errors import (
    AuthError,
    ConfigurationError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    VendorError,
)
from voicecore.events import (
    Authenticated,
    ConfigureStream,
    Connecting,
    Failed,
    LanguageChanged,
    Malformed,
    ModeChanged,
    Probe,
    ProbeAnswered,
    SendAudio,
    ServerReady,
    SpeechStarted,
    StartStream,
    StopStream,
    StreamStarted,
    StreamStopped,
    Synthesize,
    Transcript,
    Unknown,
)
from voicecore.protocol import Protocol, Role, SessionState
from voicecore.secret import Secret
from voicecore.vendors.sixtydb.stt import SAMPLE_RATES, RecognitionContext, SixtydbStt, SixtydbSttOptions

STT = SixtydbStt()
CONNECTING = {"connecting": True, "message": "Authenticating...", "timestamp": 1775465918269}
ACCOUNT = {"service": "stt", "user_id": 43, "credit_balance": 9.97, "workspace": "default"}
ESTABLISHED = {"connection_established": ACCOUNT}
CONNECTED = {"type": "connected", "server_info": {"server_type": "60db STT", "ready": True}}
STARTED = {"type": "session_started", "session_id": "s1", "language": "EN"}
START = StartStream(SixtydbSttOptions())


def heard(message: dict) -> object:
    """What our client makes of a server's message."""
    return STT.decode(json.dumps(message).encode(), text=True, role=Role.CLIENT)


def served(message: dict | bytes) -> object:
    """What our server makes of a client's message: bytes for a binary frame."""
    if isinstance(message, bytes):
        return STT.decode(message, text=False, role=Role.SERVER)
    return STT.decode(json.dumps(message).encode(), text=True, role=Role.SERVER)


def said(event: object, dialect: SixtydbStt = STT) -> dict:
    text = dialect.encode(event)
    assert isinstance(text, str)
    return json.loads(text)


# --- the socket ------------------------------------------------------------------------------------------


def test_the_key_is_appended_to_whatever_query_the_url_has():
    assert STT.upgrade("wss://h/ws/stt", Secret("sk")) == ("wss://h/ws/stt?apiKey=sk", {})
    assert STT.upgrade("wss://h/ws/stt?a=1", Secret("s&k")) == ("wss://h/ws/stt?a=1&apiKey=s%26k", {})


@pytest.mark.parametrize(
    ("query", "key"),
    [({"apiKey": "a"}, "a"), ({"token": "jwt", "workspace_id": "w"}, "jwt"), ({}, None), ({"x-api-key": "a"}, None)],
)
def test_the_server_takes_the_key_or_a_token_from_the_query_alone(query, key):
    assert STT.key_of(query, {"x-api-key": "header", "authorization": "Bearer header"}) == key


def test_the_vendors_address_and_pings():
    assert (STT.default_url, STT.path(), STT.server_ping) == ("wss://api.60db.ai/ws/stt", "/ws/stt", (30.0, 10.0))


# --- start -----------------------------------------------------------------------------------------------


def test_start_as_the_vendor_shows_it():
    options = SixtydbSttOptions(languages=["en"], encoding="mulaw", sample_rate=8000, continuous_mode=True)
    config = {"encoding": "mulaw", "sample_rate": 8000, "continuous_mode": True}
    assert said(StartStream(options)) == {"type": "start", "languages": ["en"], "config": config}


CONFIG = [
    ("encoding", "linear"),
    ("encoding", "mulaw"),
    *[("sample_rate", rate) for rate in SAMPLE_RATES],
    ("continuous_mode", False),
    ("utterance_end_ms", 200),  # clamped by the vendor, silently
    ("utterance_end_ms", 60_000),
    ("interim_results_frequency", 300),
    ("audio_enhancement", "off"),
    ("audio_enhancement", "light"),
    ("audio_enhancement", "adaptive"),
    ("diarize", True),
    ("min_speakers", 1),
    ("max_speakers", 4),
    ("no_speech_threshold", 0.6),
]


@pytest.mark.parametrize(("name", "value"), CONFIG)
def test_a_setting_goes_out_and_comes_in_under_config(name, value):
    event = StartStream(SixtydbSttOptions(**{"continuous_mode": None, "languages": ["en"], name: value}))
    assert said(event) == {"type": "start", "languages": ["en"], "config": {name: value}}
    assert served(said(event)) == event


@pytest.mark.parametrize(("name", "value"), CONFIG)
def test_the_server_tolerates_a_setting_at_top_level(name, value):
    options = SixtydbSttOptions(**{"continuous_mode": None, "languages": None, name: value})
    assert served({"type": "start", name: value}) == StartStream(options)


def test_config_beats_top_level():
    assert served({"type": "start", "sample_rate": 8000, "config": {"sample_rate": 16000}}).options.sample_rate == 16000


@pytest.mark.parametrize(
    ("spelling", "encoding"),
    [
        ("linear", "linear"),
        ("LINEAR16", "linear"),
        ("Linear16", "linear"),
        ("linear16", "linear"),
        ("LINEAR", "linear"),
        ("mulaw", "mulaw"),
        ("MULAW", "mulaw"),
        (None, None),
    ],
)
def test_the_server_takes_every_spelling_of_an_encoding(spelling, encoding):
    assert served({"type": "start", "config": {"encoding": spelling}}).options.encoding == encoding


def test_the_client_says_linear():
    assert said(StartStream(SixtydbSttOptions(encoding="linear")))["config"]["encoding"] == "linear"


@pytest.mark.parametrize("message", [{"languages": None, "config": None, "context": None}, {"config": {}}, {}])
def test_null_is_absent(message):
    assert served({"type": "start", **message}) == StartStream(SixtydbSttOptions(languages=None, continuous_mode=None))


def test_languages_none_lets_the_vendor_detect():
    assert "languages" not in said(StartStream(SixtydbSttOptions(languages=None)))


@pytest.mark.parametrize("languages", [[], ["en"] * 6, "en", [1], 7, {"en": 1}])
def test_one_to_five_languages(languages):
    with pytest.raises(ConfigurationError, match="languages: expected 1 to 5 codes or None"):
        SixtydbSttOptions(languages=languages)
    refused = served({"type": "start", "languages": languages})
    assert isinstance(refused, Malformed) and "languages" in refused.message
    assert SixtydbSttOptions(languages=["en"] * 5).languages == ("en",) * 5


def test_context_goes_out_and_comes_in():
    hints = RecognitionContext({"topic": "billing"}, "A call.", ["60db", "voicecore"])
    message = said(StartStream(SixtydbSttOptions(context=hints)))
    assert message["context"] == {
        "general": [{"key": "topic", "value": "billing"}],
        "text": "A call.",
        "terms": ["60db", "voicecore"],
    }
    assert served(message).options.context == hints


@pytest.mark.parametrize(
    ("context", "hints"),
    [
        ({}, RecognitionContext()),
        ({"terms": ["a"]}, RecognitionContext(terms=("a",))),
        ({"text": None, "general": None, "terms": None}, RecognitionContext()),
        ({"general": [{"key": "a"}, 7]}, RecognitionContext({"a": "None", "None": "None"})),
    ],
)
def test_every_part_of_a_context_may_be_missing(context, hints):
    assert served({"type": "start", "context": context}).options.context == hints


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({"context": "text"}, "context"),
        ({"context": {"terms": "a"}}, "terms"),
        ({"context": {"general": 7}}, "general"),
        ({"config": []}, "config"),
        ({"config": "linear"}, "config"),
        ({"config": {"encoding": 7}}, "encoding"),
    ],
)
def test_a_start_of_the_wrong_shape_is_malformed(message, word):
    refused = served({"type": "start", **message})
    assert isinstance(refused, Malformed) and refused.code == "INVALID_REQUEST" and word in refused.message


RANGES = [
    ("encoding", ["opus", "LINEAR8", 7, True]),
    ("sample_rate", [11025, 0, "8000", 16000.0, True]),
    ("continuous_mode", [1, "true"]),
    ("utterance_end_ms", [-1, 60_001, 1.5, "500", True]),
    ("interim_results_frequency", [-1, 60_001, 1.5, "500"]),
    ("audio_enhancement", ["loud", 7]),
    ("diarize", [1, "true"]),
    ("min_speakers", [0, 101, 1.5]),
    ("max_speakers", [0, 101, 1.5]),
    ("no_speech_threshold", [-0.1, 1.1, "0.5"]),
]


@pytest.mark.parametrize(("name", "values"), RANGES, ids=[row[0] for row in RANGES])
def test_a_setting_outside_its_range_is_refused_by_both_sides(name, values):
    for value in values:
        with pytest.raises(ConfigurationError, match=name):
            SixtydbSttOptions(**{name: value})
        refused = served({"type": "start", "config": {name: value}})
        assert isinstance(refused, Malformed) and refused.context_id is None and name in refused.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("audio_frames", "both"), ("trailing_silence", -1), ("trailing_silence", 11), ("context", {"text": "a"})],
)
def test_what_only_the_client_knows_has_a_range_too(name, value):
    with pytest.raises(ConfigurationError, match=name):
        SixtydbSttOptions(**{name: value})


def test_mulaw_is_for_8_khz():
    with pytest.raises(ConfigurationError, match="expected 8000 for mulaw, got 16000"):
        SixtydbSttOptions(encoding="mulaw", sample_rate=16000)


@pytest.mark.parametrize(
    ("options", "audio", "encoding", "rate", "frames"),
    [
        ({}, None, "linear", 16_000, "json"),
        ({}, AudioFormat("pcm_s16le", 8_000), "mulaw", 8_000, "binary"),
        ({}, AudioFormat("pcm_s16le", 48_000, channels=2), "linear", 16_000, "json"),
        ({"encoding": "mulaw"}, AudioFormat("pcm_s16le", 48_000), "mulaw", 8_000, "binary"),
        ({"encoding": "linear"}, AudioFormat("pcm_s16le", 8_000), "linear", 16_000, "json"),
        ({"sample_rate": 16_000}, AudioFormat("pcm_s16le", 8_000), "linear", 16_000, "json"),
        ({"sample_rate": 8_000}, AudioFormat("pcm_s16le", 8_000), "mulaw", 8_000, "binary"),
        ({"encoding": "linear", "audio_frames": "binary"}, None, "linear", 16_000, "binary"),
        ({"encoding": "mulaw", "audio_frames": "json"}, None, "mulaw", 8_000, "json"),
    ],
)
def test_the_wire_format_serves_the_callers_audio(options, audio, encoding, rate, frames):
    chosen = STT.options_for(SixtydbSttOptions(**options), audio)
    assert (chosen.encoding, chosen.sample_rate, chosen.audio_frames) == (encoding, rate, frames)


@pytest.mark.parametrize(
    ("options", "wire"),
    [
        ({}, AudioFormat("mulaw", 8_000)),
        ({"encoding": "mulaw"}, AudioFormat("mulaw", 8_000)),
        ({"encoding": "linear"}, AudioFormat("pcm_s16le", 16_000)),
        ({"encoding": "linear", "sample_rate": 44_100}, AudioFormat("pcm_s16le", 44_100)),
    ],
)
def test_the_vendors_defaults_of_rate_and_encoding(options, wire):
    assert STT.wire_format(SixtydbSttOptions(**options)) == wire


def test_silence_is_sent_before_the_stop():
    assert STT.trailing_silence(SixtydbSttOptions()) == 1.0
    assert STT.trailing_silence(SixtydbSttOptions(trailing_silence=0)) == 0


def test_the_recommended_frame_is_480_bytes_of_mulaw():
    assert STT.frame_seconds * 8000 == 480


# --- audio -----------------------------------------------------------------------------------------------


def test_audio_as_a_binary_frame():
    event = STT.audio(b"\1\2", SixtydbSttOptions(encoding="mulaw", audio_frames="binary"))
    assert (event, STT.encode(event), served(b"\1\2")) == (SendAudio(b"\1\2"), b"\1\2", SendAudio(b"\1\2"))


def test_audio_as_json():
    event = STT.audio(b"\1\2", SixtydbSttOptions(encoding="linear", sample_rate=16_000, audio_frames="json"))
    assert said(event) == {"type": "audio", "audio": "AQI=", "encoding": "linear", "sample_rate": 16_000}
    assert served(said(event)) == event


def test_an_audio_message_may_have_a_timestamp_or_nothing_else():
    assert served({"type": "audio", "audio": "AQI=", "timestamp": 1}) == SendAudio(b"\1\2", {"timestamp": 1})
    assert served({"type": "audio", "audio": "AQI="}) == SendAudio(b"\1\2", {})
    assert served({"type": "audio"}) == SendAudio(b"", {})


@pytest.mark.parametrize("audio", ["AAA", "****", 7, ["AAAA"], {"a": 1}])
def test_audio_that_is_not_base64_is_malformed(audio):
    refused = served({"type": "audio", "audio": audio})
    assert isinstance(refused, Malformed) and refused.code == "INVALID_REQUEST"


# --- config, stop, test ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"languages": ["hi"]}, {"languages": None}, {"continuous_mode": True}, {"languages": ["hi"], "new": 1}, {}],
)
def test_config_says_only_what_changes(changes):
    assert said(ConfigureStream(changes)) == {"type": "config", **changes}
    assert served({"type": "config", **changes}) == ConfigureStream(changes)


@pytest.mark.parametrize("changes", [{"languages": ["a"] * 6}, {"languages": "hi"}, {"continuous_mode": 1}])
def test_a_change_outside_its_range_is_refused_by_both_sides(changes):
    with pytest.raises(ConfigurationError):
        STT.encode(ConfigureStream(changes))
    assert isinstance(served({"type": "config", **changes}), Malformed)


def test_a_change_cannot_make_another_message_of_config():
    with pytest.raises(ConfigurationError, match="type"):
        STT.encode(ConfigureStream({"type": "stop"}))


@pytest.mark.parametrize(("event", "message"), [(StopStream(), {"type": "stop"}), (Probe(), {"type": "test"})])
def test_stop_and_test(event, message):
    assert said(event) == message
    assert served(message) == event


@pytest.mark.parametrize("message", [{"type": "new", "a": 1}, {"a": 1}, {"type": 7}, {"type": ["start"]}])
def test_a_request_that_nobody_knows_is_kept(message):
    assert served(message) == Unknown(str(message.get("type")), message)


def test_a_request_that_is_no_json_is_a_typed_error():
    with pytest.raises(MessageError, match="offset 0"):
        STT.decode(b"hello", text=True, role=Role.SERVER)


def test_speech_has_no_message_here():
    with pytest.raises(ProtocolError, match="60db-stt: Synthesize has no message here"):
        STT.encode(Synthesize("a", "x", None, None))


# --- what the server says --------------------------------------------------------------------------------

ANSWERS = [
    (CONNECTING, Connecting("Authenticating...", 1775465918269)),
    ({"connecting": True}, Connecting()),
    ({"type": "connecting", "message": "wait"}, Connecting("wait")),
    ({"connecting": {}, "message": None, "timestamp": "soon"}, Connecting()),
    (ESTABLISHED, Authenticated(ACCOUNT)),
    ({"connection_established": True}, Authenticated()),
    ({"connection_established": {}}, Authenticated()),
    ({"connection_established": None}, Authenticated()),
    ({"connection_established": False}, Authenticated()),  # the key's presence says it, never its truth
    ({"type": "connection_established"}, Authenticated()),
    ({"type": "connection_established", "user_id": 43}, Authenticated({"user_id": 43})),
    (CONNECTED, ServerReady({"server_type": "60db STT", "ready": True})),
    ({"type": "connected"}, ServerReady()),
    ({"type": "connected", "server_info": True}, ServerReady()),
    (STARTED, StreamStarted("s1", "EN")),
    ({"type": "session_started"}, StreamStarted()),
    ({"type": "session_started", "session_id": 7}, StreamStarted("7")),
    ({"type": "speech_started", "timestamp": 1.25}, SpeechStarted(1.25)),
    ({"type": "speech_started"}, SpeechStarted()),
    (
        {"type": "language_changed", "language": "Multi-language: HI", "language_code": ["hi"]},
        LanguageChanged("Multi-language: HI", ("hi",)),
    ),
    ({"type": "language_changed", "language": "auto", "language_code": None}, LanguageChanged("auto")),
    ({"type": "language_changed", "language_code": "hi"}, LanguageChanged(None, ("hi",))),
    (
        {"type": "mode_changed", "continuous_mode": True, "mode_name": "continuous", "silence_threshold": 0.5},
        ModeChanged(True, "continuous", 0.5),
    ),
    ({"type": "mode_changed"}, ModeChanged(False)),
    ({"type": "test_response", "latency_ms": 3}, ProbeAnswered({"latency_ms": 3})),
    ({"type": "test_response"}, ProbeAnswered({})),
    ({"type": "new_in_2027", "a": 1}, Unknown("new_in_2027", {"type": "new_in_2027", "a": 1})),
    ({"flush_completed": {}}, Unknown("flush_completed", {"flush_completed": {}})),
    ({}, Unknown("", {})),
]


@pytest.mark.parametrize(("message", "event"), ANSWERS)
def test_an_answer(message, event):
    assert heard(message) == event


TRANSCRIPTS = [
    ({"text": "Hi", "is_final": True}, Transcript("Hi", True, True)),
    ({"text": "Hi", "is_final": False}, Transcript("Hi", False, False)),
    ({"text": "Hi", "is_final": True, "speech_final": None}, Transcript("Hi", True, True)),
    ({"text": "Hi", "is_final": False, "language": "en"}, Transcript("Hi", False, False, "en")),
    (
        {"text": "He", "is_final": False, "speech_final": False, "is_partial": True, "confidence": 0.5},
        Transcript("He", False, False, confidence=0.5),
    ),
    (
        {
            "text": "Hello, how are you?",
            "confidence": 0.87,
            "language": "en",
            "is_final": True,
            "speech_final": True,
            "is_partial": False,
            "sentence_id": 1,
            "duration": 1.82,
        },
        Transcript("Hello, how are you?", True, True, "en", 0.87, 1, 1.82),
    ),
    (
        {"text": "hello", "is_final": True, "speech_final": False, "sentence_id": 1},
        Transcript("hello", True, False, sentence_id=1),
    ),
    ({"text": "hi", "is_final": True, "speaker": "S1"}, Transcript("hi", True, True, speaker="S1")),
    ({"text": "hi", "is_final": True, "speaker": 0}, Transcript("hi", True, True, speaker=0)),
    (
        {
            "text": "",
            "is_final": True,
            "speech_final": True,
            "confidence": 0.0,
            "processing_mode": "speech_end_no_result",
            "timestamp": 3.5,
        },
        Transcript("", True, True, confidence=0.0, extra={"processing_mode": "speech_end_no_result", "timestamp": 3.5}),
    ),
    ({"text": "hi", "is_final": True, "confidence": "0.5"}, Transcript("hi", True, True, confidence=0.5)),
    ({"text": "hi", "is_final": True, "confidence": "high"}, Transcript("hi", True, True)),
]


@pytest.mark.parametrize(("message", "event"), TRANSCRIPTS)
def test_a_transcription(message, event):
    assert heard({"type": "transcription", **message}) == event


@pytest.mark.parametrize(
    "message", [{}, {"text": "hi"}, {"is_final": True}, {"text": None, "is_final": True}, {"text": "", "is_final": 1}]
)
def test_a_transcription_without_its_text_is_an_error(message):
    with pytest.raises(ProtocolError, match="60db-stt: transcription: expected text and is_final"):
        heard({"type": "transcription", **message})


@pytest.mark.parametrize(
    ("summary", "seconds", "cost"),
    [
        ({"total_duration_seconds": 12.40, "total_cost": 0.000620}, 12.40, 0.000620),
        ({"total_cost": "0.000620"}, None, 0.00062),
        ({"total_cost": "..."}, None, None),
        ({"total_cost": "nan"}, None, None),
        ({"total_cost": 10**400}, None, None),
        ({"total_cost": True}, None, None),
        ({"duration_ms": 1500}, 1.5, None),
        ({"duration_ms": "1500"}, 1.5, None),
        ({"duration_ms": 1500, "total_duration_seconds": 2}, 2.0, None),
        ({}, None, None),
        (None, None, None),
        ("none", None, None),
    ],
)
def test_billing_comes_in_many_forms(summary, seconds, cost):
    assert heard({"type": "session_stopped", "billing_summary": summary}) == StreamStopped(seconds, cost)


def test_a_session_may_stop_without_a_bill():
    assert heard({"type": "session_stopped"}) == StreamStopped()


@pytest.mark.parametrize(
    ("message", "kind", "text", "code"),
    [
        ({"error": "boom"}, VendorError, "60db: boom", ""),
        ({"message": "boom"}, VendorError, "60db: boom", ""),
        ({"error": "", "message": "boom"}, VendorError, "60db: boom", ""),
        ({}, VendorError, "60db: unspecified error", ""),
        ({"error": "wallet", "error_code": "INSUFFICIENT_CREDITS"}, QuotaError, "60db: wallet", "INSUFFICIENT_CREDITS"),
        (
            {"error": "busy", "error_code": "STT_CONCURRENCY_LIMIT", "details": {"limit": 8}},
            RateLimitError,
            "60db: busy",
            "STT_CONCURRENCY_LIMIT",
        ),
        ({"error": "Invalid API key"}, AuthError, "60db: Invalid API key", ""),
        ({"error": "Unauthorized", "error_code": "E401"}, AuthError, "60db: Unauthorized", "E401"),
        ({"error": {"reason": "x"}, "details": "none"}, VendorError, "60db: ", ""),
    ],
)
def test_an_error_is_typed_by_its_table(message, kind, text, code):
    failed = heard({"type": "error", **message})
    assert isinstance(failed, Failed) and failed.context_id is None
    error = STT.error_of(failed)
    assert type(error) is kind and str(error).startswith(text)
    assert (error.vendor, error.code) == ("60db", code)
    assert error.retryable is (kind is RateLimitError)


def test_an_error_may_come_without_a_type():
    assert heard({"error": "boom", "error_code": "X"}) == Failed(None, "X", "boom")


def test_the_details_of_an_error_are_kept():
    assert heard({"type": "error", "error": "x", "details": {"limit": 8}}).details == {"limit": 8}


# --- what our server says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Connecting("wait", 5), {"connecting": True, "message": "wait", "timestamp": 5}),
        (Authenticated(ACCOUNT), ESTABLISHED),
        (ServerReady({"ready": True}), {"type": "connected", "server_info": {"ready": True}}),
        (ServerReady(), {"type": "connected"}),
        (StreamStarted("s", "EN"), {"type": "session_started", "session_id": "s", "language": "EN"}),
        (SpeechStarted(0.5), {"type": "speech_started", "timestamp": 0.5}),
        (
            Transcript("hi", True, False, "en", 0.5, 1, 2.0, "S", {"processing_mode": "x"}),
            {
                "type": "transcription",
                "text": "hi",
                "is_final": True,
                "speech_final": False,
                "is_partial": False,
                "language": "en",
                "confidence": 0.5,
                "sentence_id": 1,
                "duration": 2.0,
                "speaker": "S",
                "processing_mode": "x",
            },
        ),
        (
            Transcript("h", False, False),
            {"type": "transcription", "text": "h", "is_final": False, "speech_final": False, "is_partial": True},
        ),
        (LanguageChanged("HI", ("hi",)), {"type": "language_changed", "language": "HI", "language_code": ["hi"]}),
        (ModeChanged(False, "single"), {"type": "mode_changed", "continuous_mode": False, "mode_name": "single"}),
        (
            StreamStopped(1.5, 0.25),
            {"type": "session_stopped", "billing_summary": {"total_duration_seconds": 1.5, "total_cost": 0.25}},
        ),
        (ProbeAnswered({"a": 1}), {"type": "test_response", "a": 1}),
        (
            Failed(None, "STT_CONCURRENCY_LIMIT", "busy", {"limit": 8}),
            {"type": "error", "error": "busy", "error_code": "STT_CONCURRENCY_LIMIT", "details": {"limit": 8}},
        ),
        (Failed(None, "", "busy"), {"type": "error", "error": "busy"}),
    ],
)
def test_an_answer_goes_out_as_the_vendor_says_it(event, message):
    assert said(event) == message


def test_the_boolean_envelope_of_the_quick_start():
    dialect = SixtydbStt(boolean_envelope=True)
    assert said(Authenticated(ACCOUNT), dialect) == {"connection_established": True}


def test_both_orders_of_the_server():
    options = SixtydbSttOptions(languages=["en", "hi"])

    def names(dialect):
        return [[type(event).__name__ for event in part] for part in (dialect.greeting(), dialect.started(options))]

    assert names(SixtydbStt()) == [["Connecting", "Authenticated"], ["ServerReady", "StreamStarted"]]
    assert names(SixtydbStt(connected_first=True)) == [
        ["Connecting", "ServerReady", "Authenticated"],
        ["StreamStarted"],
    ]
    assert SixtydbStt().started(options)[1].language == "EN"
    assert SixtydbStt().started(SixtydbSttOptions(languages=None))[1].language == "AUTO"


# --- both orders, through the connection -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([CONNECTING, ESTABLISHED], [CONNECTED, STARTED]),  # the seed, and the official plugin
        ([ESTABLISHED], [CONNECTED]),
        ([{"connection_established": True}], [STARTED]),
        ([CONNECTING, CONNECTED, ESTABLISHED], [STARTED]),  # the newer reference
        ([CONNECTED, {"type": "connection_established"}], [STARTED]),
        ([ESTABLISHED, CONNECTED], [STARTED]),
        ([CONNECTED, ESTABLISHED, CONNECTED], [STARTED]),
        ([CONNECTING, CONNECTING, ESTABLISHED, ESTABLISHED, CONNECTING], [CONNECTED]),
        ([ESTABLISHED], [CONNECTING, ESTABLISHED, CONNECTED]),
        ([CONNECTED, ESTABLISHED], [CONNECTING, ESTABLISHED, STARTED]),
        ([CONNECTED, CONNECTED, CONNECTING, ESTABLISHED, CONNECTING, ESTABLISHED], [STARTED, CONNECTED]),
    ],
)
def test_every_documented_order_reaches_a_stream(before, after):
    wire = Wire(client("60db"))
    for message in before:
        wire.say(message)
    assert wire.connection.ready
    wire.send(START)
    assert wire.connection.protocol.session_state is not SessionState.STREAMING
    for message in after:
        wire.say(message)
    assert wire.connection.protocol.session_state is SessionState.STREAMING
    assert [message["type"] for message in wire.heard] == ["start"]


def test_start_is_said_once():
    wire = Wire(client("60db"))
    wire.say(ESTABLISHED)
    wire.send(START)
    with pytest.raises(ProtocolError, match="StartStream is not allowed for the client in state STARTING"):
        wire.send(START)


def test_two_finals_of_one_utterance():
    wire = Wire(client("60db"))
    wire.say(ESTABLISHED)
    wire.send(StartStream(SixtydbSttOptions(context=RecognitionContext(terms=["a"]))))
    wire.say(CONNECTED, STARTED)
    wire.taken()
    first = {"type": "transcription", "text": "helo", "is_final": True, "speech_final": False, "sentence_id": 1}
    wire.say(first, {**first, "text": "Hello.", "speech_final": True})
    assert [(t.text, t.speech_final, t.sentence_id) for t in wire.taken()] == [("helo", False, 1), ("Hello.", True, 1)]


def test_an_empty_wallet_is_a_quota_error_and_not_a_refused_key():
    for before in ([], [CONNECTING], [ESTABLISHED]):
        wire = Wire(client("60db"))
        wire.say(*before, {"type": "error", "error": "Insufficient credits", "error_code": "INSUFFICIENT_CREDITS"})
        wire.close(1008, "Insufficient credits")
        assert type(wire.connection.error()) is QuotaError


def test_too_many_sessions_is_a_rate_limit():
    wire = Wire(client("60db"))
    wire.say(ESTABLISHED)
    wire.send(START)
    wire.say({"type": "error", "error": "limit", "error_code": "STT_CONCURRENCY_LIMIT", "details": {"limit": 8}})
    assert type(wire.error()) is RateLimitError and wire.error().retryable


def test_a_stream_from_start_to_bill():
    wire = Wire(client("60db"))
    wire.say(CONNECTING, ESTABLISHED)
    wire.send(START)
    wire.say(CONNECTED, STARTED)
    wire.send(SendAudio(b"\xff" * 480))
    wire.send(ConfigureStream({"languages": None}))
    wire.send(Probe())
    wire.say(
        {"type": "language_changed", "language": "auto"},
        {"type": "mode_changed", "continuous_mode": True},
        {"type": "test_response"},
        {"type": "speech_started", "timestamp": 0.1},
        {"type": "new"},
        {"type": "transcription", "text": "hi", "is_final": True},
    )
    wire.send(StopStream())
    wire.say({"type": "transcription", "text": "", "is_final": True})
    wire.say({"type": "session_stopped", "billing_summary": {"duration_ms": 60, "total_cost": "0.1"}})
    wire.close(1000)
    assert [type(event).__name__ for event in wire.taken()] == [
        "Connecting",
        "Authenticated",
        "ServerReady",
        "StreamStarted",
        "LanguageChanged",
        "ModeChanged",
        "ProbeAnswered",
        "SpeechStarted",
        "Unknown",
        "Transcript",
        "Transcript",
        "StreamStopped",
    ]
    assert wire.connection.protocol.unknown_messages == 1
    assert wire.heard[1:] == [b"\xff" * 480, {"type": "config", "languages": None}, {"type": "test"}, {"type": "stop"}]


# --- round trips -----------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BOOLS = st.none() | st.booleans()
HINTS = st.builds(RecognitionContext, st.dictionaries(WORDS, WORDS, max_size=3), WORDS, st.lists(WORDS, max_size=3))
OPTIONS = st.builds(
    lambda audio, **rest: SixtydbSttOptions(**audio, **rest),
    st.one_of(
        st.just({}),
        st.just({"encoding": "mulaw", "sample_rate": 8000}),
        st.builds(lambda rate: {"encoding": "linear", "sample_rate": rate}, st.sampled_from([None, *SAMPLE_RATES])),
    ),
    languages=st.none() | st.lists(WORDS, min_size=1, max_size=5),
    context=st.none() | HINTS,
    continuous_mode=BOOLS,
    utterance_end_ms=st.none() | st.integers(0, 60_000),
    interim_results_frequency=st.none() | st.integers(0, 60_000),
    audio_enhancement=st.sampled_from([None, "off", "light", "adaptive"]),
    diarize=BOOLS,
    min_speakers=st.none() | st.integers(1, 100),
    max_speakers=st.none() | st.integers(1, 100),
    no_speech_threshold=st.none() | st.floats(0, 1),
)
ENVELOPES = st.dictionaries(st.sampled_from(["encoding", "sample_rate", "timestamp"]), st.integers() | WORDS)
DETAILS = st.dictionaries(st.sampled_from(["a", "b", "limit"]), st.integers() | WORDS | st.booleans(), max_size=3)
CHANGES = st.fixed_dictionaries(
    {},
    optional={"languages": st.none() | st.lists(WORDS, min_size=1, max_size=5), "continuous_mode": BOOLS, "new": WORDS},
)
CLIENT_EVENTS = st.one_of(
    st.builds(StartStream, OPTIONS),
    st.builds(SendAudio, st.binary(max_size=50), st.none() | ENVELOPES),
    st.builds(ConfigureStream, CHANGES),
    st.just(StopStream()),
    st.just(Probe()),
)
SERVER_EVENTS = st.one_of(
    st.builds(Connecting, WORDS, st.none() | NUMBERS),
    st.builds(Authenticated, DETAILS),
    st.builds(ServerReady, DETAILS),
    st.builds(StreamStarted, st.none() | WORDS, st.none() | WORDS),
    st.builds(SpeechStarted, st.none() | NUMBERS),
    st.builds(
        Transcript,
        st.text("abc ", max_size=9),
        st.booleans(),
        st.booleans(),
        st.none() | WORDS,
        st.none() | NUMBERS,
        st.none() | st.integers(),
        st.none() | NUMBERS,
        st.none() | WORDS | st.integers(),
        DETAILS,
    ),
    st.builds(LanguageChanged, st.none() | WORDS, st.none() | st.lists(WORDS).map(tuple)),
    st.builds(ModeChanged, st.booleans(), st.none() | WORDS, st.none() | NUMBERS),
    st.builds(StreamStopped, st.none() | NUMBERS, st.none() | NUMBERS),
    st.builds(ProbeAnswered, DETAILS),
    st.builds(Failed, st.none(), st.text("ABC", max_size=5), WORDS, DETAILS),
)


@given(CLIENT_EVENTS)
def test_what_the_client_says_the_server_hears(event):
    message = STT.encode(event)
    text = isinstance(message, str)
    assert STT.decode(message.encode() if text else message, text=text, role=Role.SERVER) == event


@given(SERVER_EVENTS)
def test_what_the_server_says_the_client_hears(event):
    assert STT.decode(STT.encode(event).encode(), text=True, role=Role.CLIENT) == event


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.just(10**400),
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["general", "terms", "key"]), below, max_size=2)
    ),
    max_leaves=5,
)
REQUESTS = {
    "start": ["languages", "context", "config", "encoding", "sample_rate", "diarize"],
    "audio": ["audio", "encoding", "timestamp"],
    "config": ["languages", "continuous_mode", "new"],
    "stop": ["x"],
}
ANSWER_KINDS = {
    "connected": ["server_info"],
    "session_started": ["session_id", "language"],
    "speech_started": ["timestamp"],
    "transcription": ["text", "is_final", "speech_final", "confidence", "sentence_id", "duration", "speaker"],
    "language_changed": ["language", "language_code"],
    "mode_changed": ["continuous_mode", "mode_name", "silence_threshold"],
    "session_stopped": ["billing_summary"],
    "error": ["error", "message", "error_code", "details"],
    "connecting": ["message", "timestamp"],
}


def messages(kinds):
    return st.one_of(
        st.dictionaries(st.sampled_from(fields), JSON).map(lambda body, kind=kind: {"type": kind, **body})
        for kind, fields in kinds.items()
    )


@given(messages(REQUESTS))
def test_any_object_is_a_request_or_malformed(message):
    assert isinstance(served(message), StartStream | SendAudio | ConfigureStream | StopStream | Malformed)


@given(messages(ANSWER_KINDS))
def test_any_object_is_an_answer_or_a_typed_error(message):
    protocol = Protocol(STT, Role.CLIENT)
    protocol.session_state = SessionState.STREAMING
    text, is_final = message.get("text"), message.get("is_final")
    if message["type"] == "transcription" and not (isinstance(text, str) and isinstance(is_final, bool)):
        with pytest.raises(ProtocolError, match="expected text and is_final"):
            protocol.receive(json.dumps(message).encode(), text=True)
    else:
        protocol.receive(json.dumps(message).encode(), text=True)


def test_base64_here_is_the_standard_alphabet_with_padding():
    assert said(SendAudio(b"\xff\xfe\xfd\xfc", {}))["audio"] == "//79/A=="


def test_a_session_token_in_the_url_stands_for_the_key():
    url = "wss://api.60db.ai/ws/stt?token=jwt&workspace_id=7"
    assert SixtydbStt().upgrade(url, Secret("k")) == (url, {})
