"""Deepdub `/open`: every field, message and quirk of protocols.md section 4.1, by name, in both directions."""

from __future__ import annotations

import base64
import json
import struct
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import Wire, client

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder, WavReader
from voicecore.errors import (
    Base64Error,
    ConfigurationError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    TextTooLongError,
    VendorError,
)
from voicecore.events import (
    Audio,
    CancelContext,
    ClassifyVoice,
    ContextAccepted,
    ContextFinished,
    Failed,
    Malformed,
    StopStream,
    Synthesize,
    Unknown,
    VoiceClassified,
)
from voicecore.protocol import Protocol, Role
from voicecore.secret import Secret
from voicecore.vendors.deepdub.common import SAMPLE_RATES, WAV_HEADER_BYTES, wav_header
from voicecore.vendors.deepdub.open import MAX_TEXT, AccentControl, DeepdubOpen, DeepdubOptions

OPEN = DeepdubOpen()
ID = "4da9902b-9141-4fb7-9efb-d616ce266ed9"
REQUIRED = {"model": "dd-etts-3.0", "targetText": "Hi", "locale": "en-US", "voicePromptId": "vp"}
REQUEST = {"action": "text-to-speech", "generationId": ID, **REQUIRED}


def heard(message: dict | str, *, text: bool = True) -> object:
    """What our client makes of a server's message."""
    written = json.dumps(message) if isinstance(message, dict) else message
    return OPEN.decode(written.encode(), text=text, role=Role.CLIENT)


def served(message: dict, *, text: bool = True) -> object:
    """What our server makes of a client's message."""
    return OPEN.decode(json.dumps(message).encode(), text=text, role=Role.SERVER)


def said(event: object, dialect: DeepdubOpen = OPEN) -> dict:
    return json.loads(dialect.encode(event))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- the socket ------------------------------------------------------------------------------------------


def test_the_key_travels_in_a_header():
    assert OPEN.upgrade("wss://h/open", Secret("dd-1")) == ("wss://h/open", {"x-api-key": "dd-1"})


@pytest.mark.parametrize(
    ("query", "headers", "key"),
    [
        ({}, {"x-api-key": "a"}, "a"),
        ({"x-api-key": "b"}, {}, "b"),
        ({"x-api-key": "b"}, {"x-api-key": "a"}, "a"),
        ({"apiKey": "b"}, {"authorization": "Bearer a"}, None),
    ],
)
def test_the_server_takes_the_key_from_header_or_query(query, headers, key):
    assert OPEN.key_of(query, headers) == key


def test_the_vendors_address():
    assert (OPEN.default_url, OPEN.path()) == ("wss://wsapi.deepdub.ai/open", "/open")


# --- the request -----------------------------------------------------------------------------------------

# Wire name, a value, the option that it is.
OPTIONS = [
    ("format", "s16le", "format"),
    ("format", "wav", "format"),
    ("format", "mulaw", "format"),
    ("format", "mp3", "format"),
    ("format", "opus", "format"),
    *[("sampleRate", rate, "sample_rate") for rate in SAMPLE_RATES],
    ("tempo", 0, "tempo"),
    ("tempo", 2.0, "tempo"),
    ("targetDuration", 2.5, "target_duration"),
    ("variance", 0.0, "variance"),
    ("variance", 1, "variance"),
    ("temperature", 0.7, "temperature"),
    ("seed", 42, "seed"),
    ("promptBoost", True, "prompt_boost"),
    ("superStretch", False, "super_stretch"),
    ("realtime", True, "realtime"),
    ("cleanAudio", False, "clean_audio"),
    ("autoGain", True, "auto_gain"),
    ("performanceReferencePromptId", "perf", "performance_reference_prompt_id"),
    ("targetGender", "female", "target_gender"),
    ("outputDiacritized", True, "output_diacritized"),
    ("enableLogging", False, "enable_logging"),
    ("model", "dd-etts-9.9", "model"),
    ("locale", "fr-FR", "locale"),
]


@pytest.mark.parametrize(("name", "value", "option"), OPTIONS)
def test_an_option_goes_out_and_comes_in_under_its_wire_name(name, value, option):
    event = Synthesize(ID, "Hi", "vp", DeepdubOptions(**{option: value}))
    assert said(event) == {**REQUEST, name: value}
    assert served(said(event)) == event


def test_a_plain_request_has_nothing_unset():
    assert said(Synthesize(ID, "Hi", "vp", DeepdubOptions())) == REQUEST
    assert "voicePromptId" not in said(Synthesize(ID, "Hi", None, DeepdubOptions()))


def test_a_request_goes_as_text():
    assert isinstance(OPEN.encode(Synthesize(ID, "Hi", "vp", DeepdubOptions())), str)


def test_accent_control():
    accent = {"accentBaseLocale": "en-US", "accentLocale": "fr-FR", "accentRatio": 0.75}
    event = Synthesize(ID, "Hi", "vp", DeepdubOptions(accent_control=AccentControl("en-US", "fr-FR", 0.75)))
    assert said(event) == {**REQUEST, "accentControl": accent}
    assert served({**REQUEST, "accentControl": accent}) == event


@pytest.mark.parametrize("accent", [None, {}, {"accentBaseLocale": None, "accentLocale": None, "accentRatio": None}])
def test_no_accent_control_in_any_spelling(accent):
    assert served({**REQUEST, "accentControl": accent}).options.accent_control is None


@pytest.mark.parametrize(
    "accent",
    [
        {"accentBaseLocale": "en-US"},
        {"accentBaseLocale": "en-US", "accentLocale": "fr-FR"},
        {"accentBaseLocale": "en-US", "accentLocale": "fr-FR", "accentRatio": None},
        {"accentBaseLocale": "en-US", "accentLocale": "fr-FR", "accentRatio": 1.01},
        {"accentBaseLocale": "en-US", "accentLocale": 7, "accentRatio": 0.5},
        "en-US",
        7,
    ],
)
def test_accent_control_is_whole_or_refused(accent):
    refused = served({**REQUEST, "accentControl": accent})
    assert isinstance(refused, Malformed) and "accent" in refused.message


def test_null_is_absent_as_the_vendors_client_sends_it():
    names = {name for name, *_ in OPTIONS} - {"model", "locale"}
    event = served({**REQUEST, **dict.fromkeys(names), "accentControl": None, "voicePromptId": None})
    assert event == Synthesize(ID, "Hi", None, DeepdubOptions())


def test_duration_is_what_the_vendors_python_client_calls_target_duration():
    assert served({**REQUEST, "duration": 3}).options.target_duration == 3
    assert "duration" not in said(served({**REQUEST, "duration": 3}))


def test_the_action_may_be_missing():
    assert served({"generationId": ID, **REQUIRED}) == served(REQUEST)


def test_a_request_without_an_id_gets_a_uuid():
    first, second = (served(REQUIRED).context_id for _ in range(2))
    assert uuid.UUID(first) != uuid.UUID(second)
    assert uuid.UUID(served({**REQUIRED, "generationId": None}).context_id)


def test_fields_that_nobody_knows_are_ignored():
    assert served({**REQUEST, "new": 1}) == served(REQUEST)


@pytest.mark.parametrize("text", [True, False])
def test_a_request_may_come_in_a_text_or_a_binary_frame(text):
    assert isinstance(served(REQUEST, text=text), Synthesize)


RANGES = [
    ("tempo", "tempo", [-0.01, 2.01, "1", True, float("nan")]),
    ("targetDuration", "target_duration", [-1, 86_401, "1"]),
    ("variance", "variance", [-0.01, 1.01, "1", False]),
    ("temperature", "temperature", [-0.01, 1.01, []]),
    ("seed", "seed", [1.5, "1", True]),
    ("sampleRate", "sample_rate", [0, 11025, 48001, "48000", 48000.0, True, []]),
    ("format", "format", ["flac", "WAV", 1, ["wav"]]),
    ("promptBoost", "prompt_boost", [1, "true"]),
    ("superStretch", "super_stretch", [0, "true"]),
    ("realtime", "realtime", [0, "true"]),
    ("cleanAudio", "clean_audio", [0, "true"]),
    ("autoGain", "auto_gain", [0, "true"]),
    ("outputDiacritized", "output_diacritized", [0, "true"]),
    ("enableLogging", "enable_logging", [0, "true"]),
    ("performanceReferencePromptId", "performance_reference_prompt_id", [7, []]),
    ("targetGender", "target_gender", [7, {}]),
    ("model", "model", ["", " ", 7, "m" * 201]),
    ("locale", "locale", ["", 7, "l" * 201]),
    ("accentControl", "accent_control", ["en-US"]),
]


@pytest.mark.parametrize(("name", "option", "values"), RANGES, ids=[row[0] for row in RANGES])
def test_a_value_outside_its_range_is_refused_by_both_sides(name, option, values):
    for value in values:
        with pytest.raises(ConfigurationError, match=name):
            DeepdubOptions(**{option: value})
        if value == value:  # NaN is no JSON
            refused = served({**REQUEST, name: value})
            assert isinstance(refused, Malformed) and (refused.context_id, refused.code) == (ID, "InvalidInput")
            assert name in refused.message


def test_tempo_and_target_duration_exclude_each_other():
    with pytest.raises(ConfigurationError, match="tempo and targetDuration: expected one of them, got both"):
        DeepdubOptions(tempo=1.0, target_duration=2.0)
    for name in ("targetDuration", "duration"):
        assert "got both" in served({**REQUEST, "tempo": 1, name: 2}).message


@pytest.mark.parametrize("ratio", [None, -0.1, 1.1, "1", True])
def test_an_accents_ratio_is_0_to_1(ratio):
    with pytest.raises(ConfigurationError, match="accentRatio: expected 0 to 1"):
        AccentControl("en-US", "fr-FR", ratio)


@pytest.mark.parametrize("locales", [(None, "fr-FR"), ("en-US", ""), (7, "fr-FR")])
def test_an_accent_has_two_locales(locales):
    with pytest.raises(ConfigurationError, match="accent"):
        AccentControl(*locales, 0.5)


@pytest.mark.parametrize("missing", ["targetText", "model", "locale"])
@pytest.mark.parametrize("how", ["absent", "null", "blank"])
def test_a_required_field_that_is_missing_is_named(missing, how):
    request = {**REQUEST, missing: {"null": None, "blank": "  "}.get(how)}
    if how == "absent":
        del request[missing]
    refused = served(request)
    assert isinstance(refused, Malformed) and missing in refused.message


def test_text_over_the_bound_is_refused():
    assert isinstance(served({**REQUEST, "targetText": "x" * MAX_TEXT}), Synthesize)
    refused = served({**REQUEST, "targetText": "x" * (MAX_TEXT + 1)})
    assert f"at most {MAX_TEXT} characters, got {MAX_TEXT + 1}" in refused.message
    assert issubclass(TextTooLongError, ValueError)


def test_half_a_surrogate_pair_is_refused():
    assert "surrogate pair at 1" in served({**REQUEST, "targetText": "a\ud83d"}).message


@pytest.mark.parametrize("generation", [7, [], {"a": 1}, True])
def test_an_id_that_is_no_text_is_refused_without_it(generation):
    refused = served({**REQUEST, "generationId": generation})
    assert isinstance(refused, Malformed) and refused.context_id is None and "generationId" in refused.message


@pytest.mark.parametrize("action", ["sing", 7, ["text-to-speech"]])
def test_an_action_that_nobody_knows_is_refused_with_the_known_ones(action):
    refused = served({**REQUEST, "action": action})
    assert isinstance(refused, Malformed)
    assert "expected one of text-to-speech, gender-classify" in refused.message


def test_a_generation_id_is_used_once_at_a_time():
    client_side, server_side = (Protocol(OPEN, role) for role in (Role.CLIENT, Role.SERVER))
    request = Synthesize(ID, "Hi", "vp", DeepdubOptions())
    payload = client_side.send(request).encode()
    assert server_side.receive(payload, text=True) == request
    with pytest.raises(ProtocolError, match="Synthesize is not allowed for the client in state REQUESTED"):
        client_side.send(request)
    with pytest.raises(ProtocolError, match="Synthesize is not allowed for the server in state REQUESTED"):
        server_side.receive(payload, text=True)
    client_side.receive(server_side.send(ContextFinished(ID)), text=False)
    server_side.receive(client_side.send(request).encode(), text=True)


def test_a_request_that_is_no_json_is_a_typed_error():
    with pytest.raises(MessageError, match="offset 0"):
        OPEN.decode(b"hello", text=True, role=Role.SERVER)


def test_there_is_no_cancel_and_nothing_else():
    assert OPEN.encode(CancelContext(ID)) is None
    with pytest.raises(ProtocolError, match="deepdub-open: StopStream has no message here"):
        OPEN.encode(StopStream())


# --- the formats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "output", "format_", "rate"),
    [
        ({}, None, "wav", None),
        ({}, AudioFormat("pcm_s16le", 16_000), "wav", 16_000),
        ({}, AudioFormat("pcm_s16le", 11_025), "wav", 16_000),
        ({}, AudioFormat("pcm_s16le", 96_000), "wav", 48_000),
        ({}, AudioFormat("mulaw", 8_000), "mulaw", 8_000),
        ({}, AudioFormat("mulaw", 16_000), "wav", 16_000),
        ({"format": "s16le"}, AudioFormat("pcm_s16le", 24_000), "s16le", 24_000),
        ({"sample_rate": 44_100}, AudioFormat("pcm_s16le", 16_000), "wav", 44_100),
        ({"format": "mulaw"}, None, "mulaw", None),
    ],
)
def test_the_wire_format_serves_the_output(options, output, format_, rate):
    chosen = OPEN.options_for(DeepdubOptions(**options), output)
    assert (chosen.format, chosen.sample_rate) == (format_, rate)


@pytest.mark.parametrize(
    ("options", "wire"),
    [
        ({}, AudioFormat("pcm_s16le", 48_000, container="wav")),
        ({"format": "wav", "sample_rate": 8000}, AudioFormat("pcm_s16le", 8_000, container="wav")),
        ({"format": "s16le"}, AudioFormat("pcm_s16le", 48_000)),
        ({"format": "mulaw"}, AudioFormat("mulaw", 8_000)),
        ({"format": "mulaw", "sample_rate": 16_000}, AudioFormat("mulaw", 16_000)),
        ({"format": "mp3"}, AudioFormat("mp3", 48_000)),
        ({"format": "opus", "sample_rate": 24_000}, AudioFormat("opus", 24_000, container="ogg")),
    ],
)
def test_the_vendors_defaults_of_rate_and_format(options, wire):
    assert OPEN.wire_format(DeepdubOptions(**options)) == wire


def test_the_header_is_68_bytes_with_the_size_at_0x40_and_samples_at_0x44():
    header = wav_header(48_000, 9600)
    assert len(header) == 0x44 == WAV_HEADER_BYTES
    assert header[:4] == b"RIFF" and header[8:16] == b"WAVEfmt "
    assert struct.unpack_from("<I", header, 4)[0] == 0x44 - 8 + 9600
    assert struct.unpack_from("<I", header, 16)[0] == 40
    tag, channels, rate, byte_rate, block, bits = struct.unpack_from("<HHIIHH", header, 20)
    assert (tag, channels, rate, byte_rate, block, bits) == (0xFFFE, 1, 48_000, 96_000, 2, 16)
    assert struct.unpack_from("<HHI", header, 36) == (22, 16, 4)
    assert uuid.UUID(bytes_le=header[44:60]) == uuid.UUID("00000001-0000-0010-8000-00aa00389b71")  # PCM
    assert header[60:64] == b"data"
    assert struct.unpack_from("<I", header, 0x40)[0] == 9600


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_a_packaged_chunk_is_a_wav_that_reads_back(rate):
    wire = AudioFormat("pcm_s16le", rate, container="wav")
    samples = np.arange(100, dtype="<i2").tobytes()
    chunk = OPEN.package(samples, wire, 0)
    reader = WavReader()
    assert reader.feed(chunk) + reader.finish() == samples
    assert reader.format == AudioFormat("pcm_s16le", rate)
    assert OPEN.package(samples, AudioFormat("pcm_s16le", rate), 0) == samples


def test_a_header_in_every_chunk_leaves_the_samples_whole():
    wire = AudioFormat("pcm_s16le", 16_000, container="wav")
    samples = np.arange(300, dtype="<i2")
    transcoder = Transcoder(wire, AudioFormat("pcm_s16le", 16_000))
    chunks = [OPEN.package(samples[at : at + 100].tobytes(), wire, i) for i, at in enumerate((0, 100, 200))]
    got = [*(transcoder.process(chunk) for chunk in chunks), transcoder.flush()]
    assert np.concatenate(got).tolist() == samples.tolist()


def test_the_npm_clients_big_endian_size_does_not_matter():
    chunk = bytearray(OPEN.package(b"\1\2\3\4", AudioFormat("pcm_s16le", 16_000, container="wav"), 0))
    chunk[0x40:0x44] = struct.pack(">I", 4)
    reader = WavReader()
    assert reader.feed(bytes(chunk)) + reader.finish() == b"\1\2\3\4"


# --- the answers -----------------------------------------------------------------------------------------

ANSWERS = [
    ({"data": "", "generationId": ID, "isFinished": False}, ContextAccepted(ID)),
    ({"data": None, "generationId": ID, "isFinished": False}, ContextAccepted(ID)),
    ({"generationId": ID, "isFinished": False}, ContextAccepted(ID)),
    ({"index": 0, "generationId": ID, "data": "AQI=", "isFinished": False}, Audio(ID, b"\1\2", 0)),
    ({"generationId": ID, "data": "AQI=", "isFinished": False}, Audio(ID, b"\1\2")),
    ({"generationId": ID, "data": "AQI="}, Audio(ID, b"\1\2")),
    ({"index": 3, "generationId": ID, "data": "", "isFinished": False}, Audio(ID, b"", 3)),
    ({"index": 3, "generationId": ID, "isFinished": False}, Audio(ID, b"", 3)),
    ({"index": "3", "generationId": ID, "data": "AQI=", "isFinished": False}, Audio(ID, b"\1\2")),
    (
        {"index": 0, "generationId": ID, "data": "AQI=", "isFinished": False, "diacritized": "שָׁלוֹם"},
        Audio(ID, b"\1\2", 0, {"diacritized": "שָׁלוֹם"}),
    ),
    ({"index": 2, "generationId": ID, "data": "AQI=", "isFinished": True}, ContextFinished(ID, b"\1\2", 2)),
    ({"index": 2, "generationId": ID, "data": "", "isFinished": True}, ContextFinished(ID, b"", 2)),
    ({"index": 0, "generationId": ID, "data": "AQI=", "isFinished": "false"}, Audio(ID, b"\1\2", 0)),
    ({"generationId": ID, "isFinished": True}, ContextFinished(ID)),
    ({"index": 2, "generationId": ID, "data": None, "isFinished": True}, ContextFinished(ID, b"", 2)),
    ({"error": None, "generationId": ID, "data": "AQI=", "isFinished": False}, Audio(ID, b"\1\2")),
    ({"error": None, "generationId": ID, "isFinished": True}, ContextFinished(ID)),
    ({"gender": "female", "confidence": 0.9}, VoiceClassified({"gender": "female", "confidence": 0.9})),
    ({"generationId": ID, "gender": "male"}, VoiceClassified({"generationId": ID, "gender": "male"})),
    ({"data": "AQI=", "isFinished": False}, Unknown("data,isFinished", {"data": "AQI=", "isFinished": False})),
    (
        {"generationId": 7, "isFinished": True},
        Unknown("generationId,isFinished", {"generationId": 7, "isFinished": True}),
    ),
    ({"pong": 1}, Unknown("pong", {"pong": 1})),
    ({}, Unknown("", {})),
]


@pytest.mark.parametrize(("message", "event"), ANSWERS)
@pytest.mark.parametrize("text", [True, False])
def test_an_answer_in_a_text_or_a_binary_frame(message, event, text):
    assert heard(message, text=text) == event


@pytest.mark.parametrize(
    ("message", "kind", "retryable", "context_id"),
    [
        ({"error": "Rate limit exceeded", "errorType": "RateLimit", "generationId": ID}, RateLimitError, True, ID),
        ({"error": "minutes", "errorType": "MaxExceeded", "generationId": ID}, QuotaError, False, ID),
        ({"error": "credits", "errorType": "InsufficientCredits", "generationId": ID}, QuotaError, False, ID),
        ({"error": "bad", "errorType": "InvalidInput", "generationId": ID}, InvalidRequestError, False, ID),
        ({"error": "late", "generationId": ID}, VendorError, False, ID),
        ({"error": "late", "errorType": None}, VendorError, False, None),
        ({"error": "new", "errorType": "Unheard"}, VendorError, False, None),
        ({"error": "Free tier quota exceeded (used: 10). Contact us."}, QuotaError, False, None),
        ({"error": "odd id", "generationId": [1]}, VendorError, False, None),
        ({"error": ""}, VendorError, False, None),
        ({"error": {"code": 1}}, VendorError, False, None),
        ({"error": "x", "generationId": ID, "data": "AQI=", "isFinished": True}, VendorError, False, ID),
    ],
)
def test_an_error_is_typed_by_its_table(message, kind, retryable, context_id):
    failed = heard(message)
    assert isinstance(failed, Failed) and failed.context_id == context_id
    error = OPEN.error_of(failed)
    assert (type(error), error.retryable, error.vendor) == (kind, retryable, "deepdub")
    assert len(str(error)) > len("deepdub: ")


def test_an_error_goes_out_as_the_vendor_says_it():
    assert said(Failed(ID, "RateLimit", "slow")) == {"error": "slow", "errorType": "RateLimit", "generationId": ID}
    assert said(Failed(None, "", "slow")) == {"error": "slow"}


@pytest.mark.parametrize("data", ["AAA", "AA*A", "AA AA", "AAAA=", "AQI", "data:audio/wav;base64,AAAA", "AAAA\n"])
@pytest.mark.parametrize("context_id", [ID, None])
def test_audio_that_is_not_base64_fails_its_context(data, context_id):
    message = {"index": 0, "data": data, "isFinished": False, **({"generationId": ID} if context_id else {})}
    failed = heard(message)
    assert isinstance(failed, Failed) and failed.context_id == context_id
    assert isinstance(OPEN.error_of(failed), Base64Error)


def test_data_that_is_no_text_is_no_audio():
    assert heard({"generationId": ID, "data": 7, "isFinished": False}) == ContextAccepted(ID)


def test_escaped_base64_is_read():
    assert heard('{"index":0,"generationId":"a","data":"\\/\\/8=","isFinished":false}') == Audio("a", b"\xff\xff", 0)


def test_audio_in_the_frame_that_says_finished_is_played():
    wire = Wire(client())
    wire.send(Synthesize("a", "x", None, DeepdubOptions(format="s16le")), byte_rate=96_000)
    wire.say({"index": 0, "generationId": "a", "data": b64(b"\1\2"), "isFinished": True}, binary=True)
    assert wire.taken("a") == [ContextFinished("a", b"\1\2", 0)]


@pytest.mark.parametrize("binary", [True, False])
def test_the_server_says_its_answers_in_the_frames_that_it_was_told(binary):
    dialect = DeepdubOpen(binary_frames=binary)
    kind = bytes if binary else str
    assert type(dialect.encode(Audio(ID, b"\1", 0))) is kind
    assert type(dialect.encode(ContextFinished(ID))) is kind
    assert type(dialect.encode(ContextAccepted(ID))) is str


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (ContextAccepted(ID), {"data": "", "generationId": ID, "isFinished": False}),
        (Audio(ID, b"\1\2", 0), {"index": 0, "generationId": ID, "data": "AQI=", "isFinished": False}),
        (
            Audio(ID, b"\1\2", 0, {"diacritized": "x"}),
            {"index": 0, "generationId": ID, "data": "AQI=", "isFinished": False, "diacritized": "x"},
        ),
        (ContextFinished(ID, b"\1\2", 2), {"index": 2, "generationId": ID, "data": "AQI=", "isFinished": True}),
        (ContextFinished(ID), {"generationId": ID, "data": "", "isFinished": True}),
        (VoiceClassified({"gender": "male"}), {"gender": "male"}),
    ],
)
def test_an_answer_goes_out_as_the_vendor_says_it(event, message):
    assert said(event) == message


def test_diacritized_text_comes_when_it_was_asked_for():
    asked, not_asked = (DeepdubOptions(output_diacritized=on) for on in (True, None))
    assert (OPEN.remarks("x", asked), OPEN.remarks("x", not_asked)) == ({"diacritized": "x"}, {})


def test_the_manner_of_speech():
    assert OPEN.manner(DeepdubOptions(locale="fr-FR", tempo=1.5)) == ("fr-FR", 1.5)
    assert OPEN.manner(DeepdubOptions()) == ("en-US", 1.0)


# --- gender-classify -------------------------------------------------------------------------------------


def test_gender_classify_goes_out_and_comes_in():
    event = ClassifyVoice(ID, b"RIFF....")
    message = {"action": "gender-classify", "generationId": ID, "audio": b64(b"RIFF...."), "sample_rate": 16_000}
    assert said(event) == message
    assert served(message) == event
    del message["sample_rate"]
    assert served(message) == event


@pytest.mark.parametrize("audio", [None, "", 7, "AAA", "****", []])
def test_gender_classify_without_sound_is_refused(audio):
    refused = served({"action": "gender-classify", "generationId": ID, "audio": audio})
    assert isinstance(refused, Malformed) and refused.context_id == ID


@pytest.mark.parametrize("rate", ["16000", 1.5, 0, -1, 10**9, []])
def test_gender_classify_at_no_rate_is_refused(rate):
    refused = served({"action": "gender-classify", "generationId": ID, "audio": "AAAA", "sample_rate": rate})
    assert isinstance(refused, Malformed) and "sample_rate" in refused.message


def test_the_answer_to_gender_classify_belongs_to_the_session():
    wire = Wire(client())
    wire.send(ClassifyVoice(ID, b"x"))
    wire.say({"gender": "male"})
    assert wire.taken() == [VoiceClassified({"gender": "male"})]
    wire.send(ClassifyVoice(ID, b"x"))
    wire.say({"error": "too long"})
    assert [type(event) for event in wire.taken()] == [Failed]
    assert wire.connection.usable


# --- round trips -----------------------------------------------------------------------------------------

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TEXTS = IDS.filter(lambda text: text.strip())
BOOLS = st.none() | st.booleans()
UNIT = st.none() | st.floats(0, 1)
STRETCH = st.one_of(
    st.just({}),
    st.builds(lambda x: {"tempo": x}, st.floats(0, 2)),
    st.builds(lambda x: {"target_duration": x}, st.floats(0, 1000)),
)
DEEPDUB_OPTIONS = st.builds(
    lambda stretch, **rest: DeepdubOptions(**stretch, **rest),
    STRETCH,
    model=TEXTS,
    locale=TEXTS,
    format=st.sampled_from([None, "wav", "s16le", "mulaw", "mp3", "opus"]),
    sample_rate=st.sampled_from([None, *SAMPLE_RATES]),
    variance=UNIT,
    temperature=UNIT,
    seed=st.none() | st.integers(),
    prompt_boost=BOOLS,
    super_stretch=BOOLS,
    realtime=BOOLS,
    clean_audio=BOOLS,
    auto_gain=BOOLS,
    accent_control=st.none() | st.builds(AccentControl, TEXTS, TEXTS, st.floats(0, 1)),
    performance_reference_prompt_id=st.none() | IDS,
    target_gender=st.none() | IDS,
    output_diacritized=BOOLS,
    enable_logging=BOOLS,
)
INDEX = st.integers(0, 2**31)
CLIENT_EVENTS = st.one_of(
    st.builds(Synthesize, TEXTS, TEXTS, st.none() | IDS, DEEPDUB_OPTIONS),
    st.builds(ClassifyVoice, TEXTS, st.binary(min_size=1, max_size=50), st.integers(4000, 192_000)),
)
SERVER_EVENTS = st.one_of(
    st.builds(ContextAccepted, IDS),
    st.builds(Audio, IDS, st.binary(max_size=50), INDEX, st.just({}) | st.builds(lambda x: {"diacritized": x}, IDS)),
    st.builds(Audio, IDS, st.binary(min_size=1, max_size=50), st.none()),
    st.builds(ContextFinished, IDS, st.binary(max_size=50), st.none() | INDEX),
    st.builds(Failed, st.none() | IDS, st.text("abc", max_size=5), TEXTS),
    st.builds(lambda gender: VoiceClassified({"gender": gender}), IDS),
)


@given(CLIENT_EVENTS)
def test_what_the_client_says_the_server_hears(event):
    assert OPEN.decode(OPEN.encode(event).encode(), text=True, role=Role.SERVER) == event


@given(SERVER_EVENTS, st.booleans())
def test_what_the_server_says_the_client_hears(event, binary):
    message = DeepdubOpen(binary_frames=binary).encode(event)
    payload = message.encode() if isinstance(message, str) else message
    assert OPEN.decode(payload, text=isinstance(message, str), role=Role.CLIENT) == event


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.text(max_size=5), below, max_size=2),
    max_leaves=5,
)
WIRE_NAMES = sorted({*REQUEST, *(name for name, *_ in OPTIONS), "duration", "accentControl", "audio", "sample_rate"})
ANSWER_NAMES = ["data", "generationId", "isFinished", "index", "error", "errorType", "diacritized", "gender"]


@given(st.dictionaries(st.sampled_from(WIRE_NAMES), JSON, max_size=6))
def test_any_object_is_a_request_or_malformed(changes):
    event = served({**REQUEST, **changes})
    assert isinstance(event, Synthesize | ClassifyVoice | Malformed)
    assert isinstance(getattr(event, "context_id", ""), str | None)


@given(st.dictionaries(st.sampled_from(ANSWER_NAMES), JSON | st.just("AAAA"), max_size=8))
def test_any_object_is_an_answer_that_the_tables_can_take(message):
    protocol = Protocol(OPEN, Role.CLIENT)
    protocol.receive(json.dumps(message).encode(), text=True)
