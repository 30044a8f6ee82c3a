"""60db speech-to-text: one recognition session per socket.

Source: the vendor's WebSocket page, its LiveKit integration page, and protocols.md section 1.1. The two documented
handshake orders are both accepted: `start` is sent once the key is confirmed, and the first of `connected` and
`session_started` after it means ready. Audio goes as binary frames when it is mu-law and as JSON when it is linear,
since the vendor takes a first binary frame for telephony.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from voicecore.audio import AudioFormat
from voicecore.codec import decode_base64
from voicecore.errors import (
    ConfigurationError,
    ProtocolError,
    QuotaError,
    RateLimitError,
)
from voicecore.events import (
    Authenticated,
    ConfigureStream,
    Connecting,
    Event,
    Failed,
    LanguageChanged,
    Malformed,
    ModeChanged,
    Probe,
    ProbeAnswered,
    SendAudio,
    ServerEvent,
    ServerReady,
    SpeechStarted,
    StartStream,
    StopStream,
    StreamStarted,
    StreamStopped,
    Transcript,
    Unknown,
)
from voicecore.protocol import Fault, Grace, Listening, Role, SessionState, dump_json, parse_json
from voicecore.vendors.options import expect_one_of, expect_range, expect_type, without_unset
from voicecore.vendors.sixtydb.socket import GREETING, SixtydbSocket, connecting_of, number_of, object_of, text_of

SAMPLE_RATES = (8000, 16000, 24000, 44100, 48000)
ENCODINGS = ("mulaw", "linear")
MAX_LANGUAGES = 5
FRAME_SECONDS = 0.06  # the vendor recommends 480 bytes of mu-law at 8 kHz
DEFAULT_SILENCE_MS = 500
SHORTEST_SILENCE_MS = 300  # smaller values of utterance_end_ms and interim_results_frequency are clamped silently
GRACE_SECONDS = 1.5  # `connected` came before `start`, and `session_started` does not come


@dataclass(frozen=True, slots=True)
class RecognitionContext:
    """Hints for the vendor's refinement, which then gives two finals for each utterance."""

    general: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    terms: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))


@dataclass(frozen=True, slots=True)
class SixtydbSttOptions:
    """Everything that `start` can say. `languages` None: the vendor detects; at most five.

    `encoding` None: mu-law at 8 kHz for input up to 8 kHz, else linear at 16 kHz. `utterance_end_ms` and
    `interim_results_frequency` (None: no interim results) are milliseconds. `audio_frames`: how audio travels.
    `trailing_silence`: seconds sent before `stop`, since a stop right after speech was seen to lose the last words.
    """

    languages: Sequence[str] | None = ("en",)
    context: RecognitionContext | None = None
    encoding: Literal["mulaw", "linear"] | None = None
    sample_rate: int | None = None
    continuous_mode: bool | None = True
    utterance_end_ms: int | None = None
    interim_results_frequency: int | None = None
    audio_enhancement: Literal["off", "light", "adaptive"] | None = None
    diarize: bool | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    no_speech_threshold: float | None = None
    audio_frames: Literal["auto", "binary", "json"] = "auto"
    trailing_silence: float = 1.0

    def __post_init__(self) -> None:
        _expect_languages(self.languages)
        if self.languages is not None:
            object.__setattr__(self, "languages", tuple(self.languages))
        expect_type("context", self.context, RecognitionContext)
        expect_one_of("encoding", self.encoding, ENCODINGS)
        expect_one_of("sample_rate", self.sample_rate, SAMPLE_RATES)
        expect_type("continuous_mode", self.continuous_mode, bool)
        expect_range("utterance_end_ms", self.utterance_end_ms, 0, 60_000, whole=True)
        expect_range("interim_results_frequency", self.interim_results_frequency, 0, 60_000, whole=True)
        expect_one_of("audio_enhancement", self.audio_enhancement, ("off", "light", "adaptive"))
        expect_type("diarize", self.diarize, bool)
        expect_range("min_speakers", self.min_speakers, 1, 100, whole=True)
        expect_range("max_speakers", self.max_speakers, 1, 100, whole=True)
        expect_range("no_speech_threshold", self.no_speech_threshold, 0, 1)
        expect_one_of("audio_frames", str(self.audio_frames), ("auto", "binary", "json"))
        expect_range("trailing_silence", "nothing" if self.trailing_silence is None else self.trailing_silence, 0, 10)
        if self.encoding == "mulaw" and self.sample_rate not in (None, 8000):
            raise ConfigurationError(f"sample_rate: expected 8000 for mulaw, got {self.sample_rate}")


# `config` of the wire and the options have the same names for these.
_CONFIG = (
    "encoding",
    "sample_rate",
    "continuous_mode",
    "utterance_end_ms",
    "interim_results_frequency",
    "audio_enhancement",
    "diarize",
    "min_speakers",
    "max_speakers",
    "no_speech_threshold",
)
_TRANSCRIPT = (
    "type",
    "text",
    "is_final",
    "speech_final",
    "is_partial",
    "language",
    "confidence",
    "sentence_id",
)
_SERVER_INFO = ServerReady({"server_type": "60db STT", "ready": True})
_RUNNING: dict[type[Event], SessionState] = {
    Connecting: SessionState.STREAMING,
    Authenticated: SessionState.STREAMING,
    ServerReady: SessionState.STREAMING,
    StreamStarted: SessionState.STREAMING,
    SpeechStarted: SessionState.STREAMING,
    Transcript: SessionState.STREAMING,
    LanguageChanged: SessionState.STREAMING,
    ModeChanged: SessionState.STREAMING,
    ProbeAnswered: SessionState.STREAMING,
    StreamStopped: SessionState.STOPPED,
    Failed: SessionState.FAILED,
}
_SAID_BY_US: dict[type[Event], SessionState] = dict.fromkeys(
    (SendAudio, ConfigureStream, Probe), SessionState.STREAMING
)


class SixtydbStt(SixtydbSocket):
    """The speech-to-text protocol. The SERVER may say `connection_established: true` or give it a body, and
    `connected` before or after `start`: the vendor's documents do both."""

    name = "60db-stt"
    kind = "stt"
    default_url = "wss://api.60db.ai/ws/stt"
    url_variable = "SIXTY_DB_STT_URL"
    options = SixtydbSttOptions
    frame_seconds = FRAME_SECONDS
    contexts: ClassVar = {}
    sessions: ClassVar = {
        SessionState.OPENING: {
            Connecting: SessionState.OPENING,
            ServerReady: SessionState.OPENING_GREETED,
            Authenticated: SessionState.READY,
            Failed: SessionState.FAILED,
        },
        SessionState.OPENING_GREETED: {
            Connecting: SessionState.OPENING_GREETED,
            ServerReady: SessionState.OPENING_GREETED,
            Authenticated: SessionState.READY_GREETED,
            Failed: SessionState.FAILED,
        },
        SessionState.READY: {
            Connecting: SessionState.READY,
            Authenticated: SessionState.READY,
            ServerReady: SessionState.READY_GREETED,
            StartStream: SessionState.STARTING,
            Failed: SessionState.FAILED,
        },
        SessionState.READY_GREETED: {
            Connecting: SessionState.READY_GREETED,
            Authenticated: SessionState.READY_GREETED,
            ServerReady: SessionState.READY_GREETED,
            StartStream: SessionState.STARTING_GREETED,
            Failed: SessionState.FAILED,
        },
        SessionState.STARTING: {
            Connecting: SessionState.STARTING,
            Authenticated: SessionState.STARTING,
            ServerReady: SessionState.STREAMING,
            StreamStarted: SessionState.STREAMING,
            Failed: SessionState.FAILED,
        },
        SessionState.STARTING_GREETED: {
            Connecting: SessionState.STARTING_GREETED,
            Authenticated: SessionState.STARTING_GREETED,
            ServerReady: SessionState.STREAMING,
            StreamStarted: SessionState.STREAMING,
            Failed: SessionState.FAILED,
        },
        SessionState.STREAMING: {**_RUNNING, **_SAID_BY_US, StopStream: SessionState.STOPPING},
        SessionState.STOPPING: {
            **dict.fromkeys(_RUNNING, SessionState.STOPPING),
            StreamStopped: SessionState.STOPPED,
            Failed: SessionState.FAILED,
        },
    }
    graces: ClassVar = {SessionState.STARTING_GREETED: Grace(GRACE_SECONDS, ServerReady(assumed=True))}
    errors: ClassVar = {
        "INSUFFICIENT_CREDITS": QuotaError,
        "STT_CONCURRENCY_LIMIT": RateLimitError,
    }
    fault_codes: ClassVar = {Fault.INVALID: "INVALID_REQUEST", Fault.QUOTA: "INSUFFICIENT_CREDITS"}
    nothing_heard: ClassVar = {"processing_mode": "speech_end_no_result"}

    def __init__(self, *, boolean_envelope: bool = False, connected_first: bool = False) -> None:
        super().__init__(boolean_envelope=boolean_envelope)
        self._connected_first = connected_first

    def options_for(self, options: SixtydbSttOptions, audio: AudioFormat | None) -> SixtydbSttOptions:
        """Fills in the wire format that serves the caller's audio best, and how its frames travel."""
        telephony = audio is not None and audio.sample_rate <= 8000 and options.sample_rate in (None, 8000)
        encoding = options.encoding or ("mulaw" if telephony else "linear")
        rate = options.sample_rate or (8000 if encoding == "mulaw" else 16_000)
        frames = options.audio_frames
        if frames == "auto":
            frames = "binary" if encoding == "mulaw" else "json"
        return replace(options, encoding=encoding, sample_rate=rate, audio_frames=frames)

    def wire_format(self, options: SixtydbSttOptions) -> AudioFormat:
        if (options.encoding or "mulaw") == "mulaw":
            return AudioFormat("mulaw", options.sample_rate or 8000)
        return AudioFormat("pcm_s16le", options.sample_rate or 16_000)

    def audio(self, data: bytes, options: SixtydbSttOptions) -> SendAudio:
        """CLIENT: one frame of audio, with what its envelope needs."""
        if options.audio_frames != "json":
            return SendAudio(data)
        return SendAudio(data, {"encoding": options.encoding, "sample_rate": options.sample_rate})

    def trailing_silence(self, options: SixtydbSttOptions) -> float:
        return options.trailing_silence

    def greeting(self) -> Sequence[ServerEvent]:
        account = self.account()
        return (GREETING, _SERVER_INFO, account) if self._connected_first else (GREETING, account)

    def started(self, options: SixtydbSttOptions) -> Sequence[ServerEvent]:
        language = (options.languages or ("auto",))[0].upper()
        session = StreamStarted(str(uuid.uuid4()), language)
        return (session,) if self._connected_first else (_SERVER_INFO, session)

    def listening(self, options: SixtydbSttOptions) -> Listening:
        silence = max(options.utterance_end_ms or DEFAULT_SILENCE_MS, SHORTEST_SILENCE_MS) / 1000
        interim = options.interim_results_frequency
        interval = None if interim is None else max(interim, SHORTEST_SILENCE_MS) / 1000
        language = options.languages[0] if options.languages else "en"
        return Listening(language, silence, interval, options.continuous_mode is not False, options.context is not None)

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if role is Role.SERVER:
            return _request(payload, text=text)
        return _response(parse_json(payload))

    def encode(self, event: Event) -> str | bytes | None:
        match event:
            case SendAudio(data, envelope):
                if envelope is None:
                    return data
                return dump_json({"type": "audio", "audio": base64.b64encode(data).decode(), **envelope})
            case Authenticated(details):
                return dump_json({"connection_established": self.envelope(details)})
            case Transcript():
                return dump_json(_transcript_fields(event))
        fields = _fields_of(event)
        if fields is None:
            raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")
        return dump_json(without_unset(fields) if not isinstance(event, ConfigureStream) else fields)


def _fields_of(event: Event) -> dict[str, Any] | None:
    match event:
        case StartStream(options):
            return _start_fields(options)
        case ConfigureStream(changes):
            return {"type": "config", **_checked(changes)}
        case StopStream():
            return {"type": "stop"}
        case Probe():
            return {"type": "test"}
        case Connecting(message, timestamp):
            return {"connecting": True, "message": message, "timestamp": timestamp}
        case ServerReady(details):
            return {"type": "connected", "server_info": dict(details) or None}
        case StreamStarted(session_id, language):
            return {"type": "session_started", "session_id": session_id, "language": language}
        case SpeechStarted(at):
            return {"type": "speech_started", "timestamp": at}
        case LanguageChanged(language, codes):
            return {"type": "language_changed", "language": language, "language_code": codes}
        case ModeChanged(mode, name, silence):
            body = {"continuous_mode": mode, "mode_name": name, "silence_threshold": silence}
            return {"type": "mode_changed", **body}
        case StreamStopped(seconds, cost):
            summary = without_unset({"total_duration_seconds": seconds, "total_cost": cost})
            return {"type": "session_stopped", "billing_summary": summary}
        case ProbeAnswered(details):
            return {"type": "test_response", **details}
        case Failed(_, code, message, details):
            return {"type": "error", "error": message, "error_code": code or None, "details": details or None}
    return None


def _response(message: dict[str, Any]) -> Event:
    # Key presence, never truthiness: the body may be `true`, an object, or an empty object.
    if "connection_established" in message:
        body = message["connection_established"]
        return Authenticated(body if isinstance(body, dict) else {})
    if "connecting" in message:
        return connecting_of(message)
    match message.get("type"):
        case "connecting":
            return connecting_of(message)
        case "connection_established":
            return Authenticated({k: v for k, v in message.items() if k != "type"})
        case "connected":
            return ServerReady(object_of(message.get("server_info")))
        case "session_started":
            return StreamStarted(text_of(message.get("session_id")), text_of(message.get("language")))
        case "speech_started":
            return SpeechStarted(number_of(message.get("timestamp")))
        case "transcription":
            return _transcript(message)
        case "language_changed":
            codes = message.get("language_code")
            listed = [codes] if isinstance(codes, str) else codes
            known = tuple(listed) if isinstance(listed, list) else None
            return LanguageChanged(text_of(message.get("language")), known)
        case "mode_changed":
            silence = number_of(message.get("silence_threshold"))
            return ModeChanged(bool(message.get("continuous_mode")), text_of(message.get("mode_name")), silence)
        case "session_stopped":
            return _stopped(object_of(message.get("billing_summary")))
        case "test_response":
            return ProbeAnswered({k: v for k, v in message.items() if k != "type"})
        case "error":
            return _failed(message)
        case None if "error" in message:
            return _failed(message)
    return Unknown(str(message.get("type") or ",".join(message)), message)


def _failed(message: Mapping[str, Any]) -> Failed:
    text = message.get("error") or message.get("message") or "unspecified error"
    return Failed(None, str(message.get("error_code") or ""), str(text), object_of(message.get("details")))


def _transcript(message: Mapping[str, Any]) -> Transcript:
    text, is_final = message.get("text"), message.get("is_final")
    if not isinstance(text, str) or not isinstance(is_final, bool):
        raise ProtocolError(f"60db-stt: transcription: expected text and is_final, got {sorted(message)}")
    speech_final = message.get("speech_final")
    return Transcript(
        text,
        is_final,
        is_final if speech_final is None else bool(speech_final),
        text_of(message.get("language")),
        number_of(message.get("confidence")),
        message.get("sentence_id"),
        number_of(message.get("duration")),
        message.get("speaker"),
        {k: v for k, v in message.items() if k not in (*_TRANSCRIPT, "duration", "speaker")},
    )


def _transcript_fields(event: Transcript) -> dict[str, Any]:
    named = {name: getattr(event, name) for name in ("language", "confidence", "sentence_id", "duration", "speaker")}
    head = {"type": "transcription", "text": event.text, "is_final": event.is_final}
    rest = {"speech_final": event.speech_final, "is_partial": not event.is_final}
    return {**head, **rest, **without_unset(named), **event.extra}


def _stopped(summary: Mapping[str, Any]) -> StreamStopped:
    """The billing summary; its cost is a number in one document and a string in another."""
    seconds = number_of(summary.get("total_duration_seconds"))
    if seconds is None and (milliseconds := number_of(summary.get("duration_ms"))) is not None:
        seconds = milliseconds / 1000
    return StreamStopped(seconds, number_of(summary.get("total_cost")))


def _start_fields(options: SixtydbSttOptions) -> dict[str, Any]:
    config = without_unset({name: getattr(options, name) for name in _CONFIG})
    hints = options.context
    context = hints and {
        "general": [{"key": key, "value": value} for key, value in hints.general.items()],
        "text": hints.text,
        "terms": list(hints.terms),
    }
    languages = None if options.languages is None else list(options.languages)
    return {"type": "start", "languages": languages, "context": context, "config": config}


def _request(payload: bytes, *, text: bool) -> Event:
    if not text:
        return SendAudio(payload)
    message = parse_json(payload)
    try:
        match message.get("type"):
            case "start":
                return StartStream(_options(message))
            case "audio":
                return _audio(message)
            case "config":
                return ConfigureStream(_checked({k: v for k, v in message.items() if k != "type"}))
            case "stop":
                return StopStream()
            case "test":
                return Probe()
    except ValueError as fault:  # voicecore's own errors for bad fields are ValueErrors too
        return Malformed(None, "INVALID_REQUEST", str(fault))
    return Unknown(str(message.get("type")), message)


def _audio(message: Mapping[str, Any]) -> SendAudio:
    sound = message.get("audio")
    expect_type("audio", sound, str)
    data = decode_base64(sound or "").tobytes()
    return SendAudio(data, {k: v for k, v in message.items() if k not in ("type", "audio")})


def _options(message: Mapping[str, Any]) -> SixtydbSttOptions:
    config = _expect_object("config", message.get("config"))
    # One client puts them at top level.
    known: dict[str, Any] = {name: config.get(name, message.get(name)) for name in _CONFIG}
    if isinstance(known["encoding"], str):
        known["encoding"] = known["encoding"].lower().replace("linear16", "linear")
    return SixtydbSttOptions(languages=message.get("languages"), context=_hints(message.get("context")), **known)


def _hints(context: Any) -> RecognitionContext | None:
    if context is None:
        return None
    hints = _expect_object("context", context)
    pairs, terms = hints.get("general") or [], hints.get("terms") or []
    expect_type("context.general", pairs, list)
    expect_type("context.terms", terms, list)
    general = {str(pair.get("key")): str(pair.get("value")) for pair in map(object_of, pairs)}
    return RecognitionContext(general, str(hints.get("text") or ""), tuple(map(str, terms)))


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What `config` may change. What is not known here passes."""
    if "type" in changes:
        raise ConfigurationError("type: expected the name of a setting")
    _expect_languages(changes.get("languages"))
    expect_type("continuous_mode", changes.get("continuous_mode"), bool)
    return dict(changes)


def _expect_object(what: str, got: Any) -> dict[str, Any]:
    expect_type(what, got, dict)
    return got or {}


def _expect_languages(languages: Any) -> None:
    if languages is None:
        return
    listed = isinstance(languages, (list, tuple)) and all(isinstance(code, str) for code in languages)
    if not (listed and 1 <= len(languages) <= MAX_LANGUAGES):
        raise ConfigurationError(f"languages: expected 1 to {MAX_LANGUAGES} codes or None, got {languages!r}")
