"""Vachana (Gnani.ai) speech-to-text: one recognition session per socket, configured by its upgrade headers.

Source: protocols.md section 2.2 and the vendor's Python client. Audio goes as binary frames of exactly 1024 bytes.
There are only final transcripts, and no message that stops: after the last audio the session is over when nothing
that was announced is still due and the vendor has been quiet for a while.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from voicecore.audio import AudioFormat
from voicecore.errors import (
    AuthError,
    ConfigurationError,
    InvalidRequestError,
    ProtocolError,
    QuotaError,
    RateLimitError,
)
from voicecore.events import (
    Event,
    Failed,
    Malformed,
    Processing,
    SendAudio,
    ServerEvent,
    ServerReady,
    SpeechEnded,
    SpeechStarted,
    StartStream,
    StopStream,
    StreamStopped,
    Transcript,
    Unknown,
)
from voicecore.protocol import Dialect, Grace, Listening, Role, SessionState, dump_json, parse_json
from voicecore.secret import Secret
from voicecore.vendors.options import expect_one_of, expect_range, expect_text, expect_type, without_unset

LANGUAGES = ("bn-IN", "en-IN", "gu-IN", "hi-IN", "kn-IN", "ml-IN", "mr-IN", "pa-IN", "ta-IN", "te-IN")
SAMPLE_RATES = (8000, 16000, 44100, 48000)
FRAME_BYTES = 1024  # 512 samples, at every rate
QUIET_SECONDS = 1.0  # after the stop; the vendor's client waits as long before it closes
LONGEST_MS = 1e12  # what is longer is no duration, and may be no float


@dataclass(frozen=True, slots=True)
class VachanaSttOptions:
    """Everything that the upgrade headers can say. `languages`: one code, or two for mixed speech.

    `sample_rate` None: 8 kHz for input up to 8 kHz, else 16 kHz. `format`: words as spoken (`verbatim`, the default)
    or written out (`transcribe`), then with `itn_native_numerals` in the language's own digits. `request_id` None:
    one is made up. `trailing_silence`: seconds sent at the end, since what the vendor has not seen the end of is lost.
    """

    languages: Sequence[str] = ("en-IN",)
    sample_rate: int | None = None
    format: Literal["verbatim", "transcribe"] | None = None
    itn_native_numerals: bool | None = None
    preferred_language: str | None = None
    request_id: str | None = None
    trailing_silence: float = 1.0

    def __post_init__(self) -> None:
        _expect_languages(self.languages)
        object.__setattr__(self, "languages", tuple(self.languages))
        expect_one_of("sample_rate", self.sample_rate, SAMPLE_RATES)
        expect_one_of("format", self.format, ("verbatim", "transcribe"))
        expect_type("itn_native_numerals", self.itn_native_numerals, bool)
        expect_one_of("preferred_language", self.preferred_language, LANGUAGES)
        if self.request_id is not None:
            expect_text("request_id", self.request_id, 200)
        expect_range("trailing_silence", "nothing" if self.trailing_silence is None else self.trailing_silence, 0, 10)


_SETTLED, _PENDING = SessionState.STREAMING, SessionState.STREAMING_PENDING
_STREAMING: dict[type[Event], SessionState] = {
    SpeechStarted: _PENDING,
    SpeechEnded: _PENDING,
    Processing: _PENDING,
    Transcript: _SETTLED,
    Failed: SessionState.FAILED,
}
_STOPPING: dict[type[Event], SessionState] = {
    ServerReady: SessionState.STOPPING,
    SpeechStarted: SessionState.STOPPING_PENDING,
    SpeechEnded: SessionState.STOPPING_PENDING,
    Processing: SessionState.STOPPING_PENDING,
    Transcript: SessionState.STOPPING,
    StreamStopped: SessionState.STOPPED,
    Failed: SessionState.FAILED,
}
_TRANSCRIPT = ("type", "text", "audio_duration_ms", "segment_index", "latency")


class VachanaStt(Dialect):
    """The speech-to-text protocol. `timestamp` gives the SERVER the time to put into its messages (ISO 8601)."""

    name = "vachana-stt"
    vendor = "vachana"
    kind = "stt"
    default_url = "wss://api.vachana.ai/stt/v3/stream"
    older_paths = ("/stt/v3",)
    key_variable = "VACHANA_API_KEY"
    url_variable = "VACHANA_STT_URL"
    options = VachanaSttOptions
    options_in_upgrade = True
    whole_frames = True
    refuses_by_http = True
    initial = SessionState.OPENING
    contexts: ClassVar = {}
    sessions: ClassVar = {
        SessionState.OPENING: {  # the SERVER has the start in the upgrade
            ServerReady: SessionState.READY,
            StartStream: SessionState.STARTING,
            Failed: SessionState.FAILED,
        },
        SessionState.STARTING: {ServerReady: _SETTLED, Failed: SessionState.FAILED},
        SessionState.READY: {
            ServerReady: SessionState.READY,
            StartStream: _SETTLED,
            Failed: SessionState.FAILED,
        },
        _SETTLED: {
            **_STREAMING,
            ServerReady: _SETTLED,
            SendAudio: _SETTLED,
            StopStream: SessionState.STOPPING,
        },
        _PENDING: {
            **_STREAMING,
            ServerReady: _PENDING,
            SendAudio: _PENDING,
            StopStream: SessionState.STOPPING_PENDING,
        },
        SessionState.STOPPING: _STOPPING,
        SessionState.STOPPING_PENDING: {**_STOPPING, ServerReady: SessionState.STOPPING_PENDING},
    }
    graces: ClassVar = {SessionState.STOPPING: Grace(QUIET_SECONDS, StreamStopped())}
    ended_by_close = frozenset({SessionState.STOPPING})
    error_texts: ClassVar = {  # an error has no code
        "missing_api_key": AuthError,
        "credit": QuotaError,
        "rate limit": RateLimitError,
        "expected": InvalidRequestError,
    }

    def __init__(self, *, timestamp: Callable[[], str] | None = None) -> None:
        self._timestamp = timestamp

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        return url, {"x-api-key-id": key.reveal(), "x-api-request-id": f"req_{uuid.uuid4().hex[:12]}"}

    def upgrade_options(self, options: VachanaSttOptions) -> dict[str, str]:
        return without_unset(
            {
                "lang_code": ",".join(options.languages),
                "x-sample-rate": str(self.wire_format(options).sample_rate),
                "x-format": options.format,
                "itn_native_numerals": "true" if options.itn_native_numerals else None,
                "preferred_language": options.preferred_language,
                "x-api-request-id": options.request_id,
            }
        )

    def start_of(self, headers: Mapping[str, str]) -> StartStream | Malformed:
        try:
            return StartStream(_options(headers))
        except ValueError as fault:  # voicecore's own errors for bad fields are ValueErrors too
            return Malformed(None, "", str(fault))

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return headers.get("x-api-key-id")

    def options_for(self, options: VachanaSttOptions, audio: AudioFormat | None) -> VachanaSttOptions:
        """Fills in the rate that serves the caller's audio best."""
        telephony = audio is not None and audio.sample_rate <= 8000
        return replace(options, sample_rate=options.sample_rate or (8000 if telephony else 16_000))

    def wire_format(self, options: VachanaSttOptions) -> AudioFormat:
        return AudioFormat("pcm_s16le", options.sample_rate or 16_000)

    def frame_bytes(self, wire: AudioFormat) -> int:
        return FRAME_BYTES

    def trailing_silence(self, options: VachanaSttOptions) -> float:
        return options.trailing_silence

    def started(self, options: VachanaSttOptions) -> Sequence[ServerEvent]:
        config = {"sample_rate": options.sample_rate or 16_000, "chunk_size": FRAME_BYTES // 2}
        message = "STT service ready — VAD service connected"
        request_id = options.request_id or f"req_{uuid.uuid4().hex[:12]}"
        return (ServerReady({"message": message, "request_id": request_id, "config": config}),)

    def listening(self, options: VachanaSttOptions) -> Listening:
        return Listening(options.languages[0])

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if role is Role.CLIENT:
            return _response(parse_json(payload))
        if text:
            message = parse_json(payload)
            return Unknown(str(message.get("type")), message)
        if len(payload) > FRAME_BYTES:  # the last one may be shorter
            return Malformed(None, "", f"audio: expected frames of {FRAME_BYTES} bytes, got {len(payload)}")
        return SendAudio(payload)

    def encode(self, event: Event) -> str | bytes | None:
        match event:
            case SendAudio(data):
                return data
            case StartStream() | StopStream() | StreamStopped():
                return None  # the first is in the upgrade; the vendor has no message for the others
        fields = _fields_of(event)
        if fields is None:
            raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")
        return dump_json(without_unset({"timestamp": self._timestamp and self._timestamp(), **fields}))


def _fields_of(event: Event) -> dict[str, Any] | None:
    match event:
        case ServerReady(details):
            return {"type": "connected", **details}
        case SpeechStarted():
            return {"type": "speech_start"}
        case SpeechEnded():
            return {"type": "speech_end"}
        case Processing():
            return {"type": "processing"}
        case Transcript():
            return {
                "type": "transcript",
                "text": event.text,
                "audio_duration_ms": round(1000 * (event.duration or 0.0)),
                "segment_id": f"seg_{event.sentence_id}",
                "segment_index": event.sentence_id,
                "latency": round(1000 * (event.latency or 0.0)),
                **event.extra,
            }
        case Failed(_, _, message):
            return {"type": "error", "message": message}
    return None


def _response(message: dict[str, Any]) -> Event:
    match message.get("type"):
        case "connected":
            return ServerReady({name: value for name, value in message.items() if name != "type"})
        case "speech_start" | "vad_start":
            return SpeechStarted()
        case "speech_end" | "vad_end":
            return SpeechEnded()
        case "processing":
            return Processing()
        case "transcript":
            return _transcript(message)
        case "error":
            return Failed(None, "", str(message.get("message") or "unspecified error"))
    return Unknown(str(message.get("type") or ",".join(message)), message)


def _transcript(message: Mapping[str, Any]) -> Transcript:
    text, index = message.get("text"), message.get("segment_index")
    if not isinstance(text, str):
        raise ProtocolError(f"vachana-stt: transcript: expected text, got {sorted(message)}")
    return Transcript(
        text,
        is_final=True,
        speech_final=True,
        sentence_id=_whole(index),
        duration=_seconds(message.get("audio_duration_ms")),
        extra={name: value for name, value in message.items() if name not in _TRANSCRIPT},
        latency=_seconds(message.get("latency")),
    )


def _whole(index: Any) -> int | None:
    """It is an int in the vendor's documents and a str in its client's types."""
    digits = index if isinstance(index, str) else str(index) if type(index) is int else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _seconds(milliseconds: Any) -> float | None:
    if not isinstance(milliseconds, (int, float)) or isinstance(milliseconds, bool):
        return None
    return milliseconds / 1000 if abs(milliseconds) < LONGEST_MS else None


def _options(headers: Mapping[str, str]) -> VachanaSttOptions:
    if "lang_code" not in headers:
        raise ConfigurationError("lang_code: expected a header of this name (a proxy may have dropped it)")
    rate = headers.get("x-sample-rate", "16000")
    native = headers.get("itn_native_numerals")
    expect_one_of("itn_native_numerals", native, ("true", "false"))
    return VachanaSttOptions(
        [code.strip() for code in headers["lang_code"].split(",")],
        int(rate) if rate.isascii() and rate.isdigit() and len(rate) < 10 else 0,  # which no rate is
        headers.get("x-format"),  # type: ignore[arg-type] # checked there
        None if native is None else native == "true",
        headers.get("preferred_language"),
        headers.get("x-api-request-id"),
    )


def _expect_languages(languages: Any) -> None:
    listed = isinstance(languages, (list, tuple)) and all(code in LANGUAGES for code in languages)
    if not (listed and 1 <= len(languages) <= 2):
        raise ConfigurationError(f"languages: expected one or two of {', '.join(LANGUAGES)}, got {languages!r}")
