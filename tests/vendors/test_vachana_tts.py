"""Vachana text-to-speech: every field, message and quirk of protocols.md section 2.1, by name, in both directions."""

from __future__ import annotations

import base64
import json
import struct
import uuid

import numpy as np
import pytest
from support.wire import Wire, client

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder, detect
from voicecore.errors import ConfigurationError, MessageError, ProtocolError, TextTooLongError
from voicecore.events import (
    CURRENT,
    Audio,
    BareAudio,
    CancelContext,
    ContextAccepted,
    ContextFinished,
    Failed,
    Malformed,
    StopStream,
    Synthesize,
    Unknown,
)
from voicecore.protocol import Coding, ContextState, Protocol, Role
from voicecore.secret import Secret
from voicecore.vendors.vachana.tts import (
    BITRATES,
    CONTAINERS,
    LANGUAGES,
    MAX_TEXT,
    SAMPLE_RATES,
    UNKNOWN_SIZE,
    SpeakerEmbedding,
    VachanaTts,
    VachanaTtsOptions,
    wav_header,
)

TTS = VachanaTts()
CONFIG = {"sample_rate": 16000, "encoding": "linear_pcm", "num_channels": 1, "sample_width": 2, "container": "wav"}
REQUEST = {"text": "Hi", "voice": "Pranav", "model": "timbre-v2.5", "request_id": "r1", "audio_config": CONFIG}
WAV_16K = VachanaTtsOptions(container="wav", encoding="linear_pcm", sample_rate=16000)
CLONE = {"embedding": "AAAA", "shape": [1, 768], "dtype": "torch.bfloat16"}


def heard(message: dict | bytes) -> object:
    """What our client makes of a server's message: bytes for a binary frame."""
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return TTS.decode(payload, text=not isinstance(message, bytes), role=Role.CLIENT)


def served(message: dict) -> object:
    """What our server makes of a client's message."""
    return TTS.decode(json.dumps(message).encode(), text=True, role=Role.SERVER)


def said(event: object, dialect: VachanaTts = TTS) -> dict:
    text = dialect.encode(event)
    assert isinstance(text, str)
    return json.loads(text)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- the socket ------------------------------------------------------------------------------------------


def test_the_upgrade_has_key_content_type_and_a_request_id():
    url, headers = TTS.upgrade("wss://h/api/v1/tts", Secret("key-1"))
    assert url == "wss://h/api/v1/tts"
    assert headers.pop("X-API-Request-ID").startswith("req_")
    assert headers == {"X-API-Key-ID": "key-1", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-api-key-id": "a"}, "a"),  # content-type is not insisted on
        ({"x-api-key-id": "a", "content-type": "application/json", "x-source": "pipecat"}, "a"),
        ({"x-api-key": "a", "authorization": "Bearer a"}, None),
        ({}, None),
    ],
)
def test_the_server_takes_the_key_from_its_header_alone(headers, key):
    assert TTS.key_of({"x-api-key-id": "query"}, headers) == key


def test_the_vendors_address_and_manners():
    assert (TTS.default_url, TTS.path()) == ("wss://api.vachana.ai/api/v1/tts", "/api/v1/tts")
    assert (TTS.max_contexts, TTS.drops_on_cancel, TTS.refuses_by_http) == (1, True, True)
    assert TTS.greeting() == ()


# --- the request -----------------------------------------------------------------------------------------

# Place on the wire, name there, a value, the options that it is.
OPTIONS = [
    *[("", "model", model, {"model": model}) for model in ("timbre-v3.0", "timbre-v2.0", "vachana-voice-v1", "new")],
    *[("", "language", language, {"language": language}) for language in LANGUAGES],
    *[("", "speed", speed, {"speed": speed}) for speed in (0.85, 1, 1.15)],
    *[("audio_config", "sample_rate", rate, {"sample_rate": rate}) for rate in SAMPLE_RATES],
    *[("audio_config", "num_channels", count, {"num_channels": count}) for count in (1, 8)],
    *[("audio_config", "sample_width", count, {"sample_width": count}) for count in (1, 4)],
    ("audio_config", "container", "raw", {"container": "raw"}),
    ("audio_config", "container", "mp3", {"container": "mp3"}),
]


@pytest.mark.parametrize(("place", "name", "value", "options"), OPTIONS)
def test_an_option_goes_out_and_comes_in_under_its_wire_name(place, name, value, options):
    event = Synthesize("r1", "Hi", "Pranav", VachanaTtsOptions(**CONFIG | options))
    expected = {**REQUEST, name: value} if not place else {**REQUEST, place: {**CONFIG, name: value}}
    assert said(event) == expected
    assert served(expected) == event


@pytest.mark.parametrize(("container", "encoding"), [(c, e) for c, held in CONTAINERS.items() for e in held])
def test_the_combinations_of_the_vendors_table(container, encoding):
    rates = (8000,) if container in ("mulaw", "alaw") else SAMPLE_RATES
    for rate in rates:
        options = VachanaTtsOptions(container=container, encoding=encoding, sample_rate=rate)
        config = said(Synthesize("r1", "Hi", "Pranav", options))["audio_config"]
        assert (config["container"], config["encoding"], config["sample_rate"]) == (container, encoding, rate)
        assert served({**REQUEST, "audio_config": config}).options == options


@pytest.mark.parametrize(
    "fields",
    [
        {"container": "wav", "encoding": "oggopus"},
        {"container": "ogg", "encoding": "linear_pcm"},
        {"container": "mulaw", "encoding": "pcm_alaw"},
        {"container": "mulaw", "sample_rate": 16000},
        {"container": "alaw", "sample_rate": 48000},
        {"container": "wav", "bitrate": "96k"},
        {"bitrate": "96k"},
        {"container": "flac"},
        {"encoding": "opus"},
        {"container": "mp3", "bitrate": "97k"},
        {"sample_rate": 11025},
        {"sample_rate": 16000.0},
        {"num_channels": 0},
        {"num_channels": 9},
        {"num_channels": None},
        {"sample_width": 5},
        {"sample_width": None},
        {"speed": 0.84},
        {"speed": 1.16},
        {"speed": True},
        {"language": "fr-FR"},
        {"model": ""},
        {"speaker_embedding": {"embedding": "x"}},
    ],
)
def test_what_the_vendor_does_not_document_is_refused(fields):
    with pytest.raises(ConfigurationError):
        VachanaTtsOptions(**fields)


@pytest.mark.parametrize("bitrate", BITRATES)
def test_bitrate_goes_with_mp3(bitrate):
    options = VachanaTtsOptions(container="mp3", encoding="linear_pcm", sample_rate=16000, bitrate=bitrate)
    config = said(Synthesize("r1", "Hi", "Pranav", options))["audio_config"]
    assert config["bitrate"] == bitrate
    assert served({**REQUEST, "audio_config": config}).options == options


def test_a_request_as_the_sheet_shows_it():
    assert said(Synthesize("r1", "Hi", "Pranav", WAV_16K)) == REQUEST
    assert served(REQUEST) == Synthesize("r1", "Hi", "Pranav", WAV_16K)


def test_a_cloned_voice_takes_the_place_of_voice():
    options = VachanaTtsOptions(**CONFIG, speaker_embedding=SpeakerEmbedding("AAAA", [1, 768]))
    sent = said(Synthesize("r1", "Hi", "Pranav", options))
    assert sent == {**{k: v for k, v in REQUEST.items() if k != "voice"}, "speaker_embedding": CLONE}
    assert served(sent) == Synthesize("r1", "Hi", None, options)
    assert served({**sent, "speaker_embedding": {"embedding": "AAAA", "shape": [1, 768]}}).options == options


@pytest.mark.parametrize(
    "clone",
    [
        {},
        {"embedding": "", "shape": [1]},
        {"embedding": "x", "shape": []},
        {"embedding": "x", "shape": "1"},
        {"embedding": "x", "shape": [0]},
        {"embedding": "x", "shape": [None]},
        {"embedding": "x", "shape": [1], "dtype": 7},
        {"shape": [1]},
        {"embedding": "x"},
        "x",
    ],
)
def test_a_cloned_voice_is_whole_or_refused(clone):
    assert isinstance(served({**REQUEST, "voice": None, "speaker_embedding": clone}), Malformed)


@pytest.mark.parametrize(
    ("model", "voice"), [("timbre-v2.5", "Pranav"), ("timbre-v3.0", "Avinash"), ("vachana-voice-v1", "Sia")]
)
def test_without_a_voice_a_known_model_gets_one_of_its_own(model, voice):
    assert said(Synthesize("r1", "Hi", None, VachanaTtsOptions(model=model)))["voice"] == voice


def test_without_a_voice_another_model_is_refused_and_nothing_is_begun():
    protocol = Protocol(TTS, Role.CLIENT)
    with pytest.raises(ConfigurationError, match="voice"):
        protocol.send(Synthesize("r1", "Hi", None, VachanaTtsOptions(model="timbre-v9")))
    assert protocol.contexts == {}


@pytest.mark.parametrize("name", ["text", "voice", "model"])
@pytest.mark.parametrize("missing", [True, False])
def test_the_server_says_what_is_required(name, missing):
    fields = {k: v for k, v in REQUEST.items() if k != name} | ({} if missing else {name: None})
    assert served(fields) == Malformed("r1", "", f"'{name}' is required")


@pytest.mark.parametrize("name", CONFIG)
def test_the_server_says_what_is_required_of_the_audio(name):
    refused = served({**REQUEST, "audio_config": {k: v for k, v in CONFIG.items() if k != name}})
    assert refused == Malformed("r1", "", f"'{name}' is required")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"text": "  "}, "text"),
        ({"text": 7}, "text"),
        ({"text": "x" * (MAX_TEXT + 1)}, str(MAX_TEXT)),
        ({"voice": 7}, "voice"),
        ({"speed": 2}, "speed"),
        ({"audio_config": "wav"}, "audio_config"),
        ({"audio_config": {**CONFIG, "sample_rate": 11025}}, "sample_rate"),
        ({"audio_config": {**CONFIG, "bitrate": "96k"}}, "bitrate"),
        ({"request_id": "x" * 201}, "request_id"),
    ],
)
def test_the_server_refuses_bad_fields_by_name(change, word):
    refused = served({**REQUEST, **change})
    assert isinstance(refused, Malformed) and word in refused.message


def test_a_request_without_an_id_gets_one_and_one_that_is_no_text_is_refused():
    first, second = (served({**REQUEST, "request_id": None}).context_id for _ in range(2))
    assert uuid.UUID(first) != uuid.UUID(second)
    assert served({**REQUEST, "request_id": 7}) == Malformed(None, "", "request_id: expected str, got int")


def test_null_is_absent_and_fields_that_nobody_knows_are_ignored():
    nulls = dict.fromkeys(("language", "speed", "speaker_embedding"))
    assert served({**REQUEST, **nulls, "new": 1, "audio_config": {**CONFIG, "bitrate": None}}) == served(REQUEST)


def test_text_over_the_limit_is_refused_by_class():
    assert issubclass(TextTooLongError, ValueError) and TTS.max_text == MAX_TEXT


# --- formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "output", "wire"),
    [
        ({}, AudioFormat("pcm_s16le", 16000), AudioFormat("pcm_s16le", 16000, container="wav")),
        ({}, AudioFormat("pcm_s16le", 11025, 2), AudioFormat("pcm_s16le", 16000, container="wav")),
        ({}, AudioFormat("pcm_f32le", 96000), AudioFormat("pcm_s16le", 48000, container="wav")),
        ({}, AudioFormat("mulaw", 8000), AudioFormat("mulaw", 8000)),
        ({}, AudioFormat("alaw", 8000), AudioFormat("alaw", 8000)),
        ({}, AudioFormat("mulaw", 16000), AudioFormat("pcm_s16le", 16000, container="wav")),
        ({"sample_rate": 48000}, AudioFormat("mulaw", 8000), AudioFormat("pcm_s16le", 48000, container="wav")),
        ({}, None, AudioFormat("pcm_s16le", 48000, container="wav")),
        ({"container": "raw"}, AudioFormat("pcm_s16le", 8000), AudioFormat("pcm_s16le", 8000)),
        ({"encoding": "pcm_alaw"}, AudioFormat("pcm_s16le", 16000), AudioFormat("alaw", 8000)),
        ({"encoding": "pcm_mulaw"}, None, AudioFormat("mulaw", 8000)),
        ({"encoding": "linear_pcm"}, None, AudioFormat("pcm_s16le", 48000, container="wav")),
        ({"num_channels": 2, "container": "raw"}, None, AudioFormat("pcm_s16le", 48000, 2)),
        ({"sample_width": 3}, None, AudioFormat("pcm_s24le", 48000, container="wav")),
        ({"sample_width": 4, "container": "raw"}, None, AudioFormat("pcm_s32le", 48000)),
        ({"container": "mp3"}, AudioFormat("pcm_s16le", 20_000), AudioFormat("mp3", 22050)),
        ({"container": "ogg"}, None, AudioFormat("opus", 48000, container="ogg")),
        ({"encoding": "oggopus"}, AudioFormat("pcm_s16le", 8000), AudioFormat("opus", 8000, container="ogg")),
        ({"container": "raw", "encoding": "oggopus"}, None, AudioFormat("opus", 48000, container="ogg")),
    ],
)
def test_the_wire_format_serves_the_output(given, output, wire):
    options = TTS.options_for(VachanaTtsOptions(**given), output)
    assert TTS.wire_format(options) == wire
    assert options == TTS.options_for(options, output)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"sample_width": 1}, "sample_width: expected 2, 3 or 4, got 1"),
        ({"num_channels": 3, "container": "mp3"}, "num_channels: expected 1 or 2 in mp3, got 3"),
        ({"num_channels": 8, "encoding": "oggopus"}, "num_channels: expected 1 or 2 in ogg, got 8"),
    ],
)
def test_what_the_codec_does_not_have_is_refused_with_its_name(fields, word):
    with pytest.raises(ConfigurationError, match=word):
        TTS.wire_format(TTS.options_for(VachanaTtsOptions(**fields), None))


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ({"container": "mp3", "bitrate": "192k"}, Coding(192_000, "stream")),
        ({"container": "mp3"}, Coding(64_000, "stream")),
        ({"container": "ogg"}, Coding(32_000, "whole")),
        ({"container": "raw", "encoding": "oggopus"}, Coding(32_000, "whole")),
    ],
)
def test_mp3_is_a_stream_and_ogg_one_whole_file(fields, coding):
    assert TTS.coding(VachanaTtsOptions(**fields)) == coding


@pytest.mark.parametrize(("width", "bits"), [(2, 16), (3, 24), (4, 32)])
def test_the_header_has_the_width_of_the_samples(width, bits):
    wire = TTS.wire_format(VachanaTtsOptions(container="wav", sample_rate=16000, sample_width=width))
    assert detect(wav_header(wire, 0)) == wire
    assert wav_header(wire, 0)[34:36] == struct.pack("<H", bits)


@pytest.mark.parametrize(
    ("fields", "manner"),
    [
        ({}, ("en-US", 1.0)),
        ({"language": "auto"}, ("en-US", 1.0)),
        ({"language": "IND-IN"}, ("en-US", 1.0)),
        ({"language": "hi-IN", "speed": 1.1}, ("hi-IN", 1.1)),
    ],
)
def test_the_emulators_manner(fields, manner):
    assert TTS.manner(VachanaTtsOptions(**fields)) == manner


# --- the answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"type": "start", "request_id": "r", "message": "m"}, ContextAccepted(CURRENT)),
        (
            {"type": "audio", "data": {"audio": b64(b"ab"), "chunk_index": 0, "is_final": False}},
            Audio(CURRENT, b"ab", 0),
        ),
        ({"type": "audio", "data": {"audio": b64(b"ab")}}, Audio(CURRENT, b"ab")),
        ({"type": "audio", "data": {"audio": "", "chunk_index": 3}}, Audio(CURRENT, b"", 3)),
        ({"type": "audio", "data": {"chunk_index": 3}}, Audio(CURRENT, b"", 3)),
        ({"type": "audio", "data": None}, Audio(CURRENT, b"")),
        ({"type": "audio", "audio": b64(b"ab")}, Audio(CURRENT, b"ab")),  # as Pipecat tolerates it
        ({"audio": b64(b"ab"), "type": "complete"}, ContextFinished(CURRENT, b"ab")),
        ({"type": "complete"}, ContextFinished(CURRENT)),
        ({"type": "complete", "request_id": "r", "data": None}, ContextFinished(CURRENT)),
        ({"type": "complete", "data": {"audio": "", "chunk_index": 7}}, ContextFinished(CURRENT, b"", 7)),
        (
            {"type": "complete", "data": {"audio": b64(b"last"), "chunk_index": 7, "is_final": True}},
            ContextFinished(CURRENT, b"last", 7),
        ),
        ({"type": "error", "message": "no"}, Failed(None, "", "no")),
        ({"type": "error"}, Failed(None, "", "unspecified error")),
        ({"type": "ping", "x": 1}, Unknown("ping", {"type": "ping", "x": 1})),
        ({"status": "ok"}, Unknown("status", {"status": "ok"})),
        (
            {"type": "new", "data": {"audio": b64(b"ab")}},
            Unknown("new", {"type": "new", "data": {"audio": b64(b"ab")}}),
        ),
    ],
)
def test_what_the_server_says(message, event):
    assert heard(message) == event


def test_a_binary_frame_is_audio_whatever_is_in_it():
    assert heard(b"RIFF") == BareAudio(CURRENT, b"RIFF")
    assert heard(b'{"type":"complete"}') == BareAudio(CURRENT, b'{"type":"complete"}')


@pytest.mark.parametrize(
    "payload",
    [
        b"{nonsense",
        b"[]",
        b'{"type":"audio","data":{"audio":"AAA"}}',
        b'{"type":"audio","audio":"AAA"}',
        b'{"type":"audio","audio":7}',
        b'{"type":"complete","data":{"audio":{}}}',
        b'{"type":"audio","data":"QUJD"}',
    ],
)
def test_what_is_malformed_is_an_error(payload):
    with pytest.raises((MessageError, ValueError)):
        TTS.decode(payload, text=True, role=Role.CLIENT)


def test_what_our_server_says_in_json():
    assert said(ContextAccepted("r1")) == {"type": "start", "request_id": "r1", "message": "Synthesis started"}
    body = {"audio": b64(b"ab"), "chunk_index": 4, "is_final": False}
    assert said(Audio("r1", b"ab", 4)) == {"type": "audio", "data": body}
    last = {"audio": b64(b"ab"), "chunk_index": 5, "is_final": True}
    assert said(ContextFinished("r1", b"ab", 5)) == {"type": "complete", "request_id": "r1", "data": last}
    assert said(Failed("r1", "", "no")) == {"type": "error", "message": "no"}


def test_what_our_server_says_in_binary():
    completing, closing = VachanaTts(form="binary"), VachanaTts(form="binary", end="close")
    for dialect in (completing, closing):
        assert dialect.encode(Audio("r1", b"ab", 4)) == b"ab"
        assert not dialect.audio_in_last
    assert said(ContextAccepted("r1"), completing)["type"] == "start"
    assert said(ContextFinished("r1"), completing)["type"] == "complete"
    assert closing.encode(ContextAccepted("r1")) is closing.encode(ContextFinished("r1")) is None


@pytest.mark.parametrize("end", ["complete", "complete_and_close", "close"])
def test_which_ends_close_the_socket(end):
    assert VachanaTts(end=end).closes_after_context == (end != "complete")


def test_cancel_is_no_message_and_what_has_none_is_an_error():
    assert TTS.encode(CancelContext("r1")) is None
    with pytest.raises(ProtocolError, match="StopStream"):
        TTS.encode(StopStream())


# --- the client's states ---------------------------------------------------------------------------------


def speaking(*messages: dict | bytes) -> Wire:
    wire = Wire(client("vachana-tts"))
    wire.send(Synthesize("r1", "Hi", "Pranav", WAV_16K), byte_rate=32_000)
    wire.say(*messages)
    return wire


A = {"type": "audio", "data": {"audio": b64(b"abcd"), "chunk_index": 0}}


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([], ContextState.REQUESTED),
        ([{"type": "start"}], ContextState.ACCEPTED),
        ([A], ContextState.SPEAKING),
        ([b"ab"], ContextState.SPEAKING_BARE),
        ([{"type": "start"}, b"ab"], ContextState.SPEAKING_BARE),
        ([A, b"ab"], ContextState.SPEAKING),
        ([b"ab", A], ContextState.SPEAKING),
    ],
)
def test_where_the_utterance_stands(messages, state):
    assert speaking(*messages).connection.protocol.contexts == {"r1": state}


def test_a_clean_close_ends_bare_audio_and_nothing_else():
    bare, json_form = speaking(b"ab"), speaking(A)
    for wire in (bare, json_form):
        wire.close(1000)
    assert bare.taken("r1")[-1] == ContextFinished("r1")
    assert "1000" in str(json_form.error("r1"))


def test_cancel_ends_the_socket():
    wire = speaking(A)
    wire.connection.cancel("r1", wire.now)
    wire.exchange()
    assert wire.control and not wire.connection.usable


def test_a_socket_has_room_for_one():
    wire = speaking(A)
    assert not wire.connection.has_room
    wire.say({"type": "complete"})
    assert wire.connection.has_room


def test_late_messages_are_counted():
    wire = speaking({"type": "complete"})
    wire.say(A, b"ab", {"type": "complete"})
    assert wire.connection.protocol.late_messages == 3
    assert wire.connection.usable


# --- WAV headers -----------------------------------------------------------------------------------------

RAMP = np.arange(4000, dtype="<i2").tobytes()
WIRE = AudioFormat("pcm_s16le", 16000, container="wav")
MODES = ("per_chunk", "first_chunk", "header_first")


def sent(dialect: VachanaTts, chunk: int = 1000) -> list[bytes]:
    """The audio messages of RAMP in chunks, as the emulator's speaker makes them."""
    messages: list[bytes] = []
    for at in range(0, len(RAMP), chunk):
        package = dialect.package(RAMP[at : at + chunk], WIRE, len(messages))
        messages += dialect.cut(package, len(messages))
    return messages


def test_the_header_is_a_plain_one_of_44_bytes():
    header = wav_header(WIRE, 1000)
    assert header == struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 1036, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data", 1000
    )


def test_a_header_before_every_chunk():
    messages = sent(VachanaTts(wav="per_chunk"))
    assert len(messages) == 8 and all(message[:44] == wav_header(WIRE, 1000) for message in messages)


def test_a_header_in_the_first_chunk_with_a_size_that_cannot_be_trusted():
    first, *rest = sent(VachanaTts(wav="first_chunk"))
    assert first[:44] == wav_header(WIRE, UNKNOWN_SIZE) and first[4:8] == b"\xff" * 4
    assert not any(b"RIFF" in message for message in rest)


def test_a_header_alone_in_the_first_message():
    first, *rest = sent(VachanaTts(wav="header_first"))
    assert first == wav_header(WIRE, UNKNOWN_SIZE) and b"".join(rest) == RAMP


def test_odd_splits_cut_samples_and_headers():
    messages = sent(VachanaTts(wav="header_first", odd_splits=True))
    assert len(messages[0]) == 23
    assert sum(len(message) % 2 for message in messages) >= 16


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("chunk", [1000, 998, 2, 8000])
def test_every_mode_is_the_same_audio_to_our_client(mode, odd, chunk):
    transcoder = Transcoder(WIRE, AudioFormat("pcm_s16le", 16000))
    messages = sent(VachanaTts(wav=mode, odd_splits=odd), chunk)
    parts = [transcoder.process(message) for message in messages]
    assert np.concatenate([*parts, transcoder.flush()]).tobytes() == RAMP
    assert transcoder.dangling_bytes == 0


@pytest.mark.parametrize("mode", MODES)
def test_without_a_wav_container_there_is_no_header(mode):
    dialect = VachanaTts(wav=mode)
    package = dialect.package(RAMP, AudioFormat("mulaw", 8000), 0)
    assert list(dialect.cut(package, 0)) == [RAMP]
