"""Deepdub `/ws`: every field, message and quirk of protocols.md section 4.2, by name, in both directions."""

from __future__ import annotations

import base64
import io
import json
import uuid
import wave

import pytest
from support.wire import Wire, client
from wsproto.events import Ping as WebSocketPing

from voicecore.audio import AudioFormat
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    ConnectionLostError,
    DeadlineError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    StateError,
    VendorError,
)
from voicecore.events import (
    CURRENT,
    Audio,
    CancelContext,
    ContextAccepted,
    ContextCancelled,
    Failed,
    FlushCompleted,
    FlushContext,
    GenerationFinished,
    LeaveContext,
    Malformed,
    OpenContext,
    Ping,
    Pong,
    SendText,
    ServerReady,
    Synthesize,
    Unknown,
)
from voicecore.protocol import ContextState, Role, SessionState
from voicecore.secret import Secret
from voicecore.vendors.deepdub.common import SAMPLE_RATES, WAV_HEADER_BYTES, WIRE
from voicecore.vendors.deepdub.stream_options import MAX_PROMPT_BYTES, DeepdubStreamOptions
from voicecore.vendors.deepdub.ws import (
    BAD_MESSAGE,
    NO_MODEL,
    NOT_CONFIGURED,
    DeepdubWs,
)

WS = DeepdubWs()
G1, G2, G3 = (f"4da9902b-9141-4fb7-9efb-d616ce266ed{number}" for number in (1, 2, 3))
CONFIG = {"model": "dd-etts-3.0", "locale": "en-US"}
HELLO = {"action": "status", "connectionId": "b6f1c2d0-1e2f-4a3b-8c9d-0e1f2a3b4c5d", "message": "connected"}
OPEN = OpenContext("a", None, DeepdubStreamOptions())


def heard(message: dict | str, *, text: bool = True) -> object:
    """What our client makes of a server's message."""
    written = json.dumps(message) if isinstance(message, dict) else message
    return WS.decode(written.encode(), text=text, role=Role.CLIENT)


def served(message: dict | str) -> object:
    """What our server makes of a client's message."""
    written = json.dumps(message) if isinstance(message, dict) else message
    return WS.decode(written.encode(), text=True, role=Role.SERVER)


def said(event: object, dialect: DeepdubWs = WS) -> dict:
    return json.loads(dialect.encode(event))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def wav(channels: int = 1, rate: int = 48_000, width: int = 2, frames: int = 10) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(channels * width * frames))
    return file.getvalue()


# --- the socket ------------------------------------------------------------------------------------------


def test_the_vendors_address_and_key():
    assert (WS.default_url, WS.path()) == ("wss://wss.deepdub.ai/ws", "/ws")
    assert WS.upgrade("wss://h/ws", Secret("dd-1")) == ("wss://h/ws", {"x-api-key": "dd-1"})
    assert WS.key_of({"x-api-key": "b"}, {}) == "b"


def test_the_server_speaks_first():
    [greeting] = WS.greeting()
    message = said(greeting)
    assert uuid.UUID(message["connectionId"]) and (message["action"], message["message"]) == ("status", "connected")
    assert heard(HELLO) == ServerReady({"connectionId": HELLO["connectionId"]})


# --- stream-config ---------------------------------------------------------------------------------------

OPTIONS = [
    ("model", "dd-etts-9.9", "model"),
    ("locale", "he-IL", "locale"),
    *[("format", kind, "format") for kind in ("wav", "s16le", "mulaw")],
    *[("sampleRate", rate, "sample_rate") for rate in SAMPLE_RATES],
    ("realtime", False, "realtime"),
    ("cleanAudio", True, "clean_audio"),
    ("targetGender", "female", "target_gender"),
    ("targetGender", "male", "target_gender"),
    ("outputDiacritized", True, "output_diacritized"),
    ("enableLogging", False, "enable_logging"),
    ("firstAudioTimeout", 50, "first_audio_timeout"),
    ("firstAudioTimeout", 0.5, "first_audio_timeout"),
    ("acceptEmojis", True, "accept_emojis"),
]


@pytest.mark.parametrize(("name", "value", "option"), OPTIONS)
@pytest.mark.parametrize("place", ["data", "config"])
def test_an_option_goes_out_and_comes_in_under_its_wire_name(name, value, option, place):
    options = DeepdubStreamOptions(**{"format": "wav", option: value})
    message = said(OpenContext("a", "vp", options))
    fields = {**CONFIG, "format": "wav", name: value, "voicePromptId": "vp"}
    assert message == {"action": "stream-config", "data": fields}
    assert served({"action": "stream-config", place: fields}) == OpenContext(CURRENT, "vp", options)


def test_a_plain_configuration_has_nothing_unset():
    assert said(OPEN) == {"action": "stream-config", "data": CONFIG}
    assert said(OpenContext("a", None, DeepdubStreamOptions(locale=None)))["data"] == {"model": "dd-etts-3.0"}


def test_null_and_fields_of_older_clients_are_ignored():
    older = {"temperature": 0.5, "variance": 9, "tempo": 1, "promptBoost": "x", "accentControl": {}, "verbose": 1}
    unset = dict.fromkeys(("voicePromptId", "voicePrompt", "sampleRate", "realtime", "targetGender"))
    event = served({"action": "stream-config", "config": {**CONFIG, **older, **unset}})
    assert event == OpenContext(CURRENT, None, DeepdubStreamOptions(format="wav"))


@pytest.mark.parametrize("kind", ["headerless-wav", "flac", "", 7, ["wav"], None])
def test_an_unknown_format_silently_means_wav(kind):
    assert served({"action": "stream-config", "data": {**CONFIG, "format": kind}}).options.format == "wav"


RANGES = [
    ("model", "model", ["", " ", 7, "m" * 201]),
    ("locale", "locale", ["", 7, "l" * 201]),
    ("sampleRate", "sample_rate", [0, 11025, "48000", 48000.0, True]),
    ("targetGender", "target_gender", ["other", 7, True]),
    ("firstAudioTimeout", "first_audio_timeout", [-1, 60_001, "50", True]),
    *[
        (name, option, [0, 1, "true"])
        for name, option in (
            ("realtime", "realtime"),
            ("cleanAudio", "clean_audio"),
            ("outputDiacritized", "output_diacritized"),
            ("enableLogging", "enable_logging"),
            ("acceptEmojis", "accept_emojis"),
        )
    ],
]


@pytest.mark.parametrize(("name", "option", "values"), RANGES, ids=[row[0] for row in RANGES])
def test_a_value_outside_its_range_is_refused_by_both_sides(name, option, values):
    for value in values:
        with pytest.raises(ConfigurationError, match=name):
            DeepdubStreamOptions(**{option: value})
        refused = served({"action": "stream-config", "data": {**CONFIG, name: value}})
        assert isinstance(refused, Malformed) and refused.context_id is None and name in refused.message + NO_MODEL


def test_a_format_that_the_vendor_does_not_have_is_refused_before_it_is_asked_for():
    for kind in ("flac", "WAV", 1, ["wav"]):
        with pytest.raises(ConfigurationError, match="format"):
            DeepdubStreamOptions(format=kind)


# The voice to take from a file: checked on our side, in the vendor's words, and by our server.
PROMPTS = [
    (wav() + bytes(MAX_PROMPT_BYTES), "voicePrompt exceeds maximum size of 1MB"),
    (wav(channels=2), "voicePrompt must be mono (1 channel), got 2 channels"),
    (wav(rate=16_000), "voicePrompt must be 48000Hz sample rate, got 16000Hz"),
    (b"ID3 this is no WAV file, it only looks long enough", "voicePrompt is not a WAV file: "),
    (wav()[:20], "voicePrompt is not a WAV file: "),
    (b"", "voicePrompt is not a WAV file: "),
]


@pytest.mark.parametrize(("prompt", "words"), PROMPTS, ids=["size", "channels", "rate", "kind", "cut", "empty"])
def test_a_voice_prompt_is_checked_on_both_sides_in_the_vendors_words(prompt, words):
    with pytest.raises(ConfigurationError) as caught:
        DeepdubStreamOptions(voice_prompt=prompt)
    assert str(caught.value).startswith(words)
    refused = served({"action": "stream-config", "data": {**CONFIG, "voicePrompt": b64(prompt)}})
    assert isinstance(refused, Malformed) and refused.message.startswith(words)


@pytest.mark.parametrize("prompt", ["not base64!", 7, "AAA"])
def test_a_voice_prompt_must_be_base64(prompt):
    refused = served({"action": "stream-config", "data": {**CONFIG, "voicePrompt": prompt}})
    assert refused.message.startswith("voicePrompt must be base64-encoded: ")


@pytest.mark.parametrize("prompt", [wav(), wav(width=3), wav(frames=(MAX_PROMPT_BYTES - 44) // 2)])
def test_a_voice_prompt_of_any_sample_width_travels_whole(prompt):
    options = DeepdubStreamOptions(voice_prompt=prompt, format="wav")
    message = said(OpenContext("a", None, options))
    assert message["data"]["voicePrompt"] == b64(prompt)
    assert served(message) == OpenContext(CURRENT, None, options)


def test_a_voice_prompt_after_other_chunks_is_found():
    extra = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    DeepdubStreamOptions(voice_prompt=wav()[:12] + extra + wav()[12:])


def test_a_voice_and_a_voice_prompt_exclude_each_other():
    with pytest.raises(ConfigurationError, match="voice and voice_prompt: expected one of them, got both"):
        WS.encode(OpenContext("a", "vp", DeepdubStreamOptions(voice_prompt=wav())))


def test_a_configuration_without_a_model_or_with_one_that_is_not_served():
    assert served({"action": "stream-config", "data": {"locale": "en-US"}}) == Malformed(None, "", NO_MODEL)
    assert served({"action": "stream-config"}) == Malformed(None, "", NO_MODEL)
    refused = served({"action": "stream-config", "data": {**CONFIG, "model": "gpt"}})
    assert refused == Malformed(None, "", "queue route not found for model: gpt")


def test_the_format_on_the_wire_serves_what_the_caller_wants():
    def chosen(output: AudioFormat | None, **options: object) -> tuple:
        filled = WS.options_for(DeepdubStreamOptions(**options), output)
        return filled.format, filled.sample_rate, str(WS.wire_format(filled))

    assert chosen(AudioFormat("pcm_s16le", 16_000))[:2] == ("wav", 16_000)
    assert chosen(AudioFormat("mulaw", 8_000))[:2] == ("mulaw", 8_000)
    assert chosen(None)[2] == str(AudioFormat("pcm_s16le", 48_000, container="wav"))
    assert chosen(None, format="mulaw")[2] == str(AudioFormat("mulaw", 8_000))
    assert chosen(None, format="mp3")[2] == str(AudioFormat("mp3", 48_000))
    assert chosen(AudioFormat("pcm_s16le", 16_000), format="opus")[2] == "opus 16000 Hz 1 ch in ogg"


@pytest.mark.parametrize("kind", WIRE)
def test_a_known_format_is_itself(kind):
    assert served({"action": "stream-config", "data": {**CONFIG, "format": kind}}).options.format == kind


# --- the other actions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"action": "stream-text", "data": {"text": "Hel"}},
        {"action": "stream-text", "config": {"text": "Hel"}},
        {"action": "stream-text", "data": {"text": "Hel", "ctx": "opaque"}},
        {"action": "stream-text", "text": "Hel"},
        {"action": "stream-text", "text": "Hel", "data": None},
    ],
)
def test_text_comes_in_data_in_config_or_at_the_top(message):
    assert served(message) == SendText(CURRENT, "Hel")


def test_text_goes_out_in_data_with_its_inline_tags():
    text = 'Hi <config locale="es-MX" voicePromptId="v" targetGender="female" /> [happy] hola [default]'
    assert said(SendText("a", text)) == {"action": "stream-text", "data": {"text": text}}


@pytest.mark.parametrize(
    ("event", "action"),
    [(FlushContext(CURRENT), "end-stream"), (CancelContext(CURRENT), "cancel"), (Ping(), "ping")],
)
def test_actions_without_a_payload(event, action):
    assert said(event) == {"action": action}
    assert served({"action": action}) == event


def test_pong():
    assert said(Pong()) == {"action": "pong"} and heard({"action": "pong"}) == Pong()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"action": "nonsense"},
        {"action": None},
        {"action": "flush"},  # the SDK's flush is `end-stream` on the wire
        {"action": "stream-text"},
        {"action": "stream-text", "data": {"text": 7}},
        {"action": "stream-text", "data": "Hel"},
        {"action": "stream-config", "data": ["model"]},
    ],
)
def test_what_is_no_message_is_answered_in_the_vendors_words(message):
    assert served(message) == Malformed(None, "", BAD_MESSAGE)


def test_the_servers_complaints():
    assert WS.complaint(MessageError("x")) == BAD_MESSAGE == "Invalid message format"
    assert WS.complaint(ProtocolError("x")) == NOT_CONFIGURED


def test_leaving_and_accepting_have_no_message():
    assert WS.encode(LeaveContext("a")) is None
    assert WS.encode(ContextAccepted("a")) is None


def test_events_of_other_protocols_have_no_message():
    with pytest.raises(ProtocolError, match="deepdub-ws: Synthesize has no message here"):
        WS.encode(Synthesize("a", "x", None, None))


# --- the server's messages -------------------------------------------------------------------------------

CHUNK = {"generationId": G1, "index": 0, "isFinished": False, "data": "AAEC"}

MESSAGES = [
    (CHUNK, Audio(CURRENT, b"\0\1\2", 0, {}, G1)),
    ({**CHUNK, "index": 7, "data": ""}, Audio(CURRENT, b"", 7, {}, G1)),
    ({**CHUNK, "isFinished": True}, GenerationFinished(CURRENT, b"\0\1\2", 0, G1)),
    ({"generationId": G1, "index": 5, "isFinished": True}, GenerationFinished(CURRENT, b"", 5, G1)),
    ({**CHUNK, "isFinished": True, "isFinal": True}, FlushCompleted(CURRENT, b"\0\1\2", 0, G1)),
    ({"generationId": G1, "index": 5, "isFinished": True, "isFinal": True}, FlushCompleted(CURRENT, b"", 5, G1)),
    ({"generationId": G1, "isFinished": True, "isCancelled": True}, ContextCancelled(CURRENT, G1)),
    ({"action": "status", "message": "cancelled"}, ContextCancelled(CURRENT)),
    ({"generationId": G1, "error": "worker died"}, Failed(CURRENT, "", "worker died", generation=G1)),
]


@pytest.mark.parametrize(("message", "event"), MESSAGES)
@pytest.mark.parametrize("text", [True, False])
def test_a_message_in_either_frame(message, event, text):
    assert heard(message, text=text) == event
    assert said(event) == message


SPELLINGS = [
    ({**CHUNK, "isFinished": None, "isFinal": None, "isCancelled": None, "error": None}, MESSAGES[0][1]),
    ({"generationId": G1, "isFinished": False}, Audio(CURRENT, b"", None, {}, G1)),
    ({**CHUNK, "index": "0"}, Audio(CURRENT, b"\0\1\2", None, {}, G1)),
    ({**CHUNK, "diacritized": "Hi"}, Audio(CURRENT, b"\0\1\2", 0, {"diacritized": "Hi"}, G1)),
    ({**CHUNK, "isFinal": True}, FlushCompleted(CURRENT, b"\0\1\2", 0, G1)),
    ({**CHUNK, "isCancelled": True}, ContextCancelled(CURRENT, G1)),
    ({**CHUNK, "error": ""}, MESSAGES[0][1]),
    ({**CHUNK, "error": "late"}, Failed(CURRENT, "", "late", generation=G1)),
    ({"generationId": G1, "error": "x", "errorType": "RateLimit"}, Failed(CURRENT, "RateLimit", "x", generation=G1)),
    ({"error": "no name"}, Failed(None, "", "no name")),
    ({"action": "error"}, Failed(None, "", "unspecified error")),
]


@pytest.mark.parametrize(("message", "event"), SPELLINGS)
def test_other_spellings_of_the_same(message, event):
    assert heard(message) == event


@pytest.mark.parametrize(
    "message",
    [{}, {"action": "status", "message": "draining"}, {"action": "new"}, {"generationId": G1}, {"data": "AAEC"}],
)
def test_what_nobody_knows_is_kept(message):
    event = heard(message)
    assert isinstance(event, Unknown) and event.message == message


@pytest.mark.parametrize("message", ["", "[]", "7", '{"generationId": ', '{"data":"AA"'])
def test_what_is_no_json_object_is_refused(message):
    with pytest.raises(MessageError):
        heard(message)


def test_audio_that_is_not_base64_names_its_generation():
    event = heard({**CHUNK, "data": "AAE"})
    assert (event.context_id, event.generation) == (CURRENT, G1) and isinstance(event.cause, Base64Error)
    assert heard({**CHUNK, "generationId": 7, "data": "AAE"}).generation is None


def test_errors_of_the_session_carry_the_time_that_the_server_is_given():
    session = {"action": "error", "message": NOT_CONFIGURED}
    assert said(Failed(None, "", NOT_CONFIGURED)) == session
    assert said(Failed("a", "", NOT_CONFIGURED)) == session
    assert said(Failed(None, "", NOT_CONFIGURED), DeepdubWs(now=lambda: 1753512960.7)) == {
        **session,
        "time": 1753512960,
    }
    assert heard({**session, "time": 1753512960}) == Failed(None, "", NOT_CONFIGURED)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (BAD_MESSAGE, InvalidRequestError),
        (NO_MODEL, InvalidRequestError),
        ("queue route not found for model: dd-x", InvalidRequestError),
        (NOT_CONFIGURED, InvalidRequestError),
        ("voicePrompt exceeds maximum size of 1MB", InvalidRequestError),
        ("voicePrompt must be base64-encoded: illegal base64 data at input byte 3", InvalidRequestError),
        ("voicePrompt must be mono (1 channel), got 2 channels", InvalidRequestError),
        ("voicePrompt must be 48000Hz sample rate, got 16000Hz", InvalidRequestError),
        ("voicePrompt is not a WAV file: riff: missing", InvalidRequestError),
        ("Free tier quota exceeded (used: 10). Sign up.", QuotaError),
        ("Account has insufficient credits", QuotaError),
        ("Rate limit exceeded", RateLimitError),
        ("Invalid API key", AuthError),
        ("unauthorized", AuthError),
        ("worker crashed", VendorError),
    ],
)
def test_every_error_text_has_its_class(message, kind):
    error = WS.error_of(heard({"action": "error", "message": message}))
    assert type(error) is kind and str(error) == f"deepdub: {message}" and error.vendor == "deepdub"


def test_audio_messages_travel_in_the_frames_that_were_chosen():
    for event in (Audio("a", b"x", 0, {}, G1), GenerationFinished("a", b"", 1, G1), FlushCompleted("a", b"", 1, G1)):
        assert isinstance(DeepdubWs(binary_frames=True).encode(event), bytes)
        assert isinstance(DeepdubWs(binary_frames=False).encode(event), str)
    assert isinstance(WS.encode(Pong()), str) and isinstance(WS.encode(ServerReady()), str)


def test_an_older_server_says_only_that_the_generation_is_finished():
    older = DeepdubWs(says_final=False)
    assert said(FlushCompleted("a", b"x", 3, G1), older) == {
        "generationId": G1, "index": 3, "isFinished": True, "data": b64(b"x")
    }  # fmt: skip
    assert older.encode(FlushCompleted("a")) is None
    assert said(FlushCompleted("a"))["isFinal"] is True and uuid.UUID(said(FlushCompleted("a"))["generationId"])


def test_a_wav_chunk_has_the_68_byte_header():
    packed = WS.package(b"ab", AudioFormat("pcm_s16le", 16_000, container="wav"), 3)
    assert (packed[:4], packed[0x3C:0x40], packed[0x44:]) == (b"RIFF", b"data", b"ab") and WAV_HEADER_BYTES == 0x44


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hi.", [("Hi.", "en-US")]),
        ("Hi. <config locale='es-MX' /> Hola.", [("Hi. ", "en-US"), (" Hola.", "es-MX")]),
        ('<config locale="es-MX" voicePromptId="v" targetGender="female"/>Hola.', [("", "en-US"), ("Hola.", "es-MX")]),
        ("a<config locale=fr-FR>b</config>c", [("a", "en-US"), ("bc", "fr-FR")]),
        ('a <config voicePromptId="v" />b', [("a b", "en-US")]),
        ("[happy] Hi [default] you [2]", [(" Hi  you [2]", "en-US")]),
        ("1 < 2 and <configuration>", [("1 < 2 and <configuration>", "en-US")]),
    ],
)
def test_the_servers_voice_follows_the_locale_of_inline_tags_and_speaks_none(text, parts):
    assert [(part, options.locale) for part, options in WS.segments(text, DeepdubStreamOptions())] == parts


# --- the client's conversation, second by second ---------------------------------------------------------


def conversation(**arguments: object) -> Wire:
    """Greeted and configured, with nothing said."""
    wire = Wire(client("deepdub-ws", **arguments))
    wire.say(HELLO)
    wire.send(OPEN)
    return wire


def part(generation: str = G1, index: int = 0, sound: bytes = b"\1\2", **more: object) -> dict:
    return {"generationId": generation, "index": index, "isFinished": False, "data": b64(sound), **more}


def end(generation: str = G1, **more: object) -> dict:
    return {"generationId": generation, "isFinished": True, **more}


def state(wire: Wire) -> ContextState | None:
    return wire.connection.protocol.contexts.get("a")


def names(wire: Wire, context_id: str = "a") -> list[str]:
    return [type(event).__name__ for event in wire.taken(context_id)]


def test_the_session_is_ready_once_it_was_greeted():
    wire = Wire(client("deepdub-ws"))
    assert not wire.connection.ready
    wire.say(HELLO)
    assert wire.connection.ready and wire.connection.protocol.session_state is SessionState.READY


def test_a_refused_key_is_an_error_instead_of_the_greeting():
    wire = Wire(client("deepdub-ws"))
    wire.say({"action": "error", "message": "Invalid API key"})
    assert type(wire.error()) is AuthError and not wire.connection.usable


def test_no_greeting_is_the_connect_deadline():
    wire = Wire(client("deepdub-ws", connect=3.0))
    wire.at(2.999)
    assert not wire.connection.closed
    wire.at(3.0)
    assert wire.connection.closed and isinstance(wire.error(), DeadlineError)


def test_a_turn_of_several_generations_ends_with_is_final():
    wire = conversation()
    wire.send(SendText("a", "One. Two."))
    wire.say(part(G1), end(G1, index=1))
    assert state(wire) is ContextState.GENERATED
    wire.send(FlushContext("a"))
    wire.say(part(G2, sound=b"\3\4"), end(G2, index=1, data=b64(b"\5\6"), isFinal=True))
    assert state(wire) is ContextState.OPEN
    events = wire.taken("a")
    assert [type(event).__name__ for event in events] == [
        "Audio", "GenerationFinished", "Audio", "FlushCompleted"
    ]  # fmt: skip
    assert b"".join(event.data for event in events) == b"\1\2\3\4\5\6"
    assert [message["action"] for message in wire.heard] == ["stream-config", "stream-text", "end-stream"]
    wire.connection.leave("a", wire.now)
    wire.exchange()
    assert len(wire.heard) == 3 and wire.connection.has_room


def test_generations_that_interleave_are_all_heard():
    wire = conversation()
    wire.send(SendText("a", "One. Two."))
    wire.send(FlushContext("a"))
    wire.say(part(G1), part(G2), part(G1, 1), end(G2), part(G1, 2), end(G1, isFinal=True))
    assert names(wire) == ["Audio", "Audio", "Audio", "GenerationFinished", "Audio", "FlushCompleted"]
    assert wire.connection.protocol.late_messages == 0


def test_audio_before_any_flush_runs_no_deadline():
    wire = conversation(first_audio=1.0, between_chunks=1.0, total=2.0)
    wire.send(SendText("a", "One. "))
    wire.say(part(), end())
    wire.at(15.0)
    assert wire.error("a") is None and state(wire) is ContextState.GENERATED


def test_after_the_flush_each_deadline_runs():
    for answers, name, at in (([], "first_audio", 1.0), ([part()], "between_chunks", 2.0)):
        wire = conversation(first_audio=1.0, between_chunks=2.0)
        wire.send(SendText("a", "One"))
        wire.send(FlushContext("a"))
        wire.say(*answers)
        wire.at(at - 0.001)
        assert wire.error("a") is None
        wire.at(at)
        error = wire.error("a")
        assert isinstance(error, DeadlineError) and error.deadline == name
        assert wire.heard[-1] == {"action": "cancel"}


# --- without isFinal -------------------------------------------------------------------------------------


def flushed(wire: Wire, text: str = "One. Two.") -> Wire:
    wire.send(SendText("a", text))
    wire.send(FlushContext("a"))
    return wire


def test_a_second_of_silence_after_is_finished_ends_the_turn():
    wire = flushed(conversation())
    wire.say(part(), end())
    wire.at(0.999)
    assert names(wire) == ["Audio", "GenerationFinished"] and state(wire) is ContextState.DRAINING
    wire.at(1.0)
    assert names(wire) == ["FlushCompleted"] and state(wire) is ContextState.OPEN
    wire.at(1.5)
    assert wire.error("a") is None


def test_another_generation_leads_back_to_speaking_and_starts_the_second_anew():
    wire = flushed(conversation())
    wire.say(part(G1), end(G1))
    wire.at(0.9)
    wire.say(part(G2))
    assert state(wire) is ContextState.SPEAKING
    wire.at(5.0)
    assert "FlushCompleted" not in names(wire)
    wire.say(end(G2))
    wire.at(5.999)
    assert names(wire) == ["GenerationFinished"]
    wire.at(6.0)
    assert names(wire) == ["FlushCompleted"]


def test_when_all_was_generated_before_end_stream_the_second_runs_from_there():
    wire = conversation()
    wire.send(SendText("a", "One. "))
    wire.say(part(), end())
    wire.at(7.0)
    wire.send(FlushContext("a"))
    assert state(wire) is ContextState.DRAINING
    wire.at(7.999)
    assert "FlushCompleted" not in names(wire)
    wire.at(8.0)
    assert names(wire) == ["FlushCompleted"]


def test_is_final_ends_the_turn_before_the_second_is_over():
    wire = flushed(conversation())
    wire.say(part(), end())
    wire.at(0.5)
    wire.say(end(G1, isFinal=True))
    wire.at(10.0)
    assert names(wire) == ["Audio", "GenerationFinished", "FlushCompleted"]


def test_text_of_the_next_turn_does_not_put_off_the_end_of_this_one():
    wire = flushed(conversation())
    wire.say(part(), end())
    for moment in (0.3, 0.6, 0.9):
        wire.at(moment)
        wire.send(SendText("a", "More "))
    wire.at(1.0)
    assert names(wire)[-1] == "FlushCompleted"


def test_a_turn_that_is_flushed_in_that_second_waits_for_its_own_audio():
    wire = flushed(conversation(first_audio=9.0))
    wire.say(part(G1), end(G1))
    wire.at(0.9)
    flushed(wire, "Three.")
    wire.at(2.0)
    assert "FlushCompleted" not in names(wire)
    wire.say(part(G2), end(G2))
    wire.at(2.999)
    assert names(wire) == ["Audio", "GenerationFinished"]
    wire.at(3.0)
    assert names(wire) == ["FlushCompleted", "FlushCompleted"]  # nothing told the two turns apart
    assert wire.connection.protocol.flushes["a"] == 0 and state(wire) is ContextState.OPEN


def test_an_is_final_that_comes_after_its_second_ends_no_other_turn():
    wire = flushed(conversation())
    wire.say(part(G1), end(G1))
    wire.at(1.2)
    assert names(wire)[-1] == "FlushCompleted"
    wire.say(end(G1, isFinal=True))  # nothing is flushed
    flushed(wire, "Three.")
    wire.say(end(G1, isFinal=True))  # a turn is, but not this generation's
    assert names(wire) == [] and state(wire) is ContextState.REQUESTED
    assert wire.connection.protocol.late_messages == 2
    wire.say(part(G2), end(G2, isFinal=True))
    assert names(wire) == ["Audio", "FlushCompleted"]


def test_an_empty_turn_that_only_is_final_answers():
    wire = flushed(conversation(), " ")
    wire.say(end(G1, isFinal=True))
    assert names(wire) == ["FlushCompleted"]


def test_pipelined_turns_end_one_by_one():
    wire = flushed(flushed(conversation(), "One."), "Two.")
    wire.say(part(G1), end(G1, isFinal=True))
    assert names(wire) == ["Audio", "FlushCompleted"] and state(wire) is ContextState.REQUESTED
    wire.say(part(G2), end(G2, isFinal=True))
    assert names(wire) == ["Audio", "FlushCompleted"] and state(wire) is ContextState.OPEN


# --- cancel ----------------------------------------------------------------------------------------------

CONFIRMATIONS = [end(G1, isCancelled=True), end(G3, isCancelled=True), {"action": "status", "message": "cancelled"}]


def cancelled(wire: Wire) -> Wire:
    """Cancelled by the user, after one generation was heard of."""
    wire.say(part(G1))
    wire.connection.cancel("a", wire.now)
    wire.exchange()
    wire.connection.forget("a")
    return wire


@pytest.mark.parametrize("confirmation", CONFIRMATIONS)
def test_late_audio_is_dropped_until_the_cancel_is_confirmed_and_frees_the_socket(confirmation):
    wire = cancelled(flushed(conversation()))
    assert wire.heard[-1] == {"action": "cancel"} and not wire.connection.has_room
    wire.say(part(G1, 1), part(G2), end(G2), end(G1), part(G1, 2, isFinal=True))
    assert wire.connection.protocol.late_messages == 5 and not wire.connection.has_room
    wire.at(0.9)
    wire.say(confirmation)
    assert wire.connection.has_room and not wire.connection.protocol.contexts
    wire.at(15.0)
    assert not wire.connection.closed


def test_a_cancel_that_is_not_confirmed_in_time_costs_the_socket():
    wire = cancelled(flushed(conversation(close=2.5)))
    wire.at(2.499)
    wire.say(part(G1, 1))
    assert not wire.connection.closed
    wire.at(2.5)
    assert wire.connection.closed and wire.connection.must_abort
    assert isinstance(wire.error(), ConnectionLostError)


def test_cancelling_again_waits_for_its_own_confirmation():
    wire = cancelled(flushed(conversation()))
    wire.at(0.5)
    wire.say(end(G1, isCancelled=True))
    wire.at(3.0)
    wire.send(OpenContext("b", None, DeepdubStreamOptions()))
    wire.send(SendText("b", "x"))
    wire.connection.cancel("b", wire.now)
    wire.exchange()
    wire.at(3.999)
    assert not wire.connection.closed
    wire.at(4.0)
    assert wire.connection.closed


def after_a_cancel(*texts: str, confirmation: dict = CONFIRMATIONS[0], heard: tuple = ()) -> Wire:
    """The next context, on the same socket, with its texts said; `heard`: what came between cancel and confirmation."""
    wire = cancelled(flushed(conversation()))
    wire.say(*heard, confirmation)
    wire.send(OpenContext("b", None, DeepdubStreamOptions()))
    for text in texts:
        wire.send(SendText("b", text))
    return wire


LATE = [
    ("a generation that was heard of", ("Hi.",), part(G1, 9)),
    ("its end", ("Hi.",), end(G1)),
    ("its isFinal", ("Hi.",), end(G1, isFinal=True)),
    ("its error", ("Hi.",), {"generationId": G1, "error": "stopped"}),
    ("one that was heard of after the cancel", ("Hi.",), part(G2, 1)),
    ("one that nobody heard of, before there is a text", (), part(G3)),
    ("its end, before there is a text", (), end(G3)),
    ("one that nobody heard of, from its middle", ("Hi.",), part(G3, 1)),
    ("another confirmation", ("Hi.",), end(G2, isCancelled=True)),
    ("another confirmation without a name", ("Hi.",), {"action": "status", "message": "cancelled"}),
]


@pytest.mark.parametrize(("texts", "message"), [row[1:] for row in LATE], ids=[row[0] for row in LATE])
def test_what_is_left_of_a_cancelled_context_is_not_the_next_ones(texts, message):
    wire = after_a_cancel(*texts, heard=(part(G2),))
    late = wire.connection.protocol.late_messages
    wire.say(message)
    assert names(wire, "b") == [] and wire.error("b") is None
    assert wire.connection.protocol.late_messages == late + 1
    wire.send(SendText("b", "More."))
    wire.send(FlushContext("b"))
    wire.say(part("new"), part("new", 1), end("new", isFinal=True))
    assert names(wire, "b") == ["Audio", "Audio", "FlushCompleted"]


def test_a_generation_without_an_index_is_heard_after_a_cancel():
    wire = after_a_cancel("Hi.")
    wire.say({"generationId": G3, "isFinished": False, "data": "AAEC"})
    assert names(wire, "b") == ["Audio"]


def test_one_context_at_a_time():
    wire = conversation()
    assert not wire.connection.has_room
    wire.send(LeaveContext("a"))
    assert wire.connection.has_room
    with pytest.raises((ProtocolError, StateError)):
        wire.send(SendText("a", "x"))


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"action": "error", "message": "queue route not found for model: dd-x"}, InvalidRequestError),
        ({"generationId": G1, "error": "worker died"}, VendorError),
        ({"generationId": G1, "index": 1, "isFinished": False, "data": "A"}, Base64Error),
    ],
)
@pytest.mark.parametrize("before", [[], [part()], [part(), end()]])
def test_an_error_fails_the_context_and_cancels_the_rest_of_its_turn(message, kind, before):
    wire = flushed(conversation())
    wire.say(*before, message)
    assert type(wire.error("a")) is kind and wire.heard[-1] == {"action": "cancel"}
    wire.connection.forget("a")
    wire.say(message, part(G2))  # the errors and the audio that were under way
    assert wire.connection.usable and not wire.connection.has_room
    wire.say({"action": "status", "message": "cancelled"})
    assert wire.connection.has_room
    wire.send(OpenContext("b", None, DeepdubStreamOptions()))
    wire.send(SendText("b", "Hi."))
    wire.say(part(G3))
    assert names(wire, "b") == ["Audio"] and wire.error("b") is None


def test_an_error_of_the_session_between_contexts_fails_nobody():
    wire = conversation()
    wire.send(LeaveContext("a"))
    wire.say({"action": "error", "message": BAD_MESSAGE})
    assert names(wire, "")[-1] == "Failed" and wire.connection.has_room


def test_an_error_of_a_generation_of_an_earlier_turn_fails_nobody():
    wire = flushed(conversation())
    wire.say(part(), end(isFinal=True))
    flushed(wire, "Next.")
    wire.say({"generationId": G1, "error": "too late"})
    assert wire.error("a") is None and wire.connection.protocol.late_messages == 1


def test_unknown_messages_are_counted_and_kill_nothing():
    wire = flushed(conversation())
    wire.say({"action": "status", "message": "throttled"}, part(), end(isFinal=True))
    assert names(wire) == ["Audio", "FlushCompleted"] and wire.connection.protocol.unknown_messages == 1


# --- keepalive -------------------------------------------------------------------------------------------


def test_silence_is_broken_by_the_vendors_own_ping():
    wire = conversation(keepalive=20.0)
    wire.at(19.999)
    assert len(wire.heard) == 1
    wire.at(20.0)
    assert wire.heard[1:] == [{"action": "ping"}]
    assert not any(isinstance(event, WebSocketPing) for event in wire.control)
    wire.say({"action": "pong"})
    wire.at(39.999)
    assert len(wire.heard) == 2
    wire.at(40.0)
    assert len(wire.heard) == 3 and not wire.connection.closed
    wire.at(60.0)
    assert wire.connection.closed and isinstance(wire.error("a"), DeadlineError)
