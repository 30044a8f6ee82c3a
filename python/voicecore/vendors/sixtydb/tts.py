"""60db text-to-speech: contexts that take text bit by bit, many at once on one socket.

Source: the vendor's WebSocket page, its LiveKit integration page, and protocols.md section 1.2. Every message is an
object with one key that names it; its body may be `true`, an object or an empty object, and may leave out
`context_id`. There is no cancel: to stop speech is to drop the socket, or to ignore what still comes. The vendor
closes the whole socket after `context_closed`, so `close_context` is only said before the socket is closed anyway.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from voicecore.audio import AudioFormat, Container, Encoding
from voicecore.codec import AudioMessageScanner
from voicecore.errors import (
    Base64Error,
    ConfigurationError,
    InvalidRequestError,
    ProtocolError,
    QuotaError,
    RateLimitError,
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
    Event,
    Failed,
    FlushCompleted,
    FlushContext,
    LeaveContext,
    Malformed,
    OpenContext,
    SendText,
    ServerEvent,
    Unknown,
)
from voicecore.protocol import STREAMED_TEXT_CONTEXT, Coding, Fault, Role, SessionState, dump_json, parse_json
from voicecore.vendors.options import expect_one_of, expect_range, expect_text, expect_type, without_unset
from voicecore.vendors.sixtydb.socket import GREETING, SixtydbSocket, connecting_of, object_of, text_of

WIRE: Mapping[str, tuple[Encoding, Container]] = {
    "LINEAR16": ("pcm_s16le", "raw"),
    "PCM": ("pcm_s16le", "raw"),
    "MULAW": ("mulaw", "raw"),
    "ULAW": ("mulaw", "raw"),
    "OGG_OPUS": ("opus", "ogg"),
}
_PCM_RATES = (8000, 16000, 24000, 48000)
SAMPLE_RATES = {"LINEAR16": _PCM_RATES, "PCM": _PCM_RATES, "MULAW": (8000,), "ULAW": (8000,), "OGG_OPUS": (24000,)}
DEFAULT_VOICE = "fbb75ed2-975a-40c7-9e06-38e30524a9a1"  # of every example in the vendor's pages
DEFAULT_RATE = 16_000
MAX_TEXT = 50_000  # characters of one context, all its turns together
MAX_REQUESTS = 50  # contexts on one socket: none of them is closed before the socket is


@dataclass(frozen=True, slots=True)
class SixtydbTtsOptions:
    """Everything that `create_context` can say besides the voice. None leaves the vendor's default.

    `encoding` None picks it from the output that the caller wants, and `sample_rate` (Hz) likewise. `speed` is 0.5 to
    2, `stability` and `similarity` 0 to 100.
    """

    encoding: Literal["LINEAR16", "PCM", "MULAW", "ULAW", "OGG_OPUS"] | None = None
    sample_rate: int | None = None
    speed: float | None = None
    stability: float | None = None
    similarity: float | None = None

    def __post_init__(self) -> None:
        expect_one_of("encoding", self.encoding, SAMPLE_RATES)
        expect_one_of("sample_rate", self.sample_rate, SAMPLE_RATES.get(self.encoding or "", _PCM_RATES))
        expect_range("speed", self.speed, 0.5, 2)
        expect_range("stability", self.stability, 0, 100)
        expect_range("similarity", self.similarity, 0, 100)


_MANNER = ("speed", "stability", "similarity")  # the wire and the options have the same names for these
_SAID_BY_US = ("create_context", "send_text", "flush_context", "close_context")


class SixtydbTts(SixtydbSocket):
    """The text-to-speech protocol. The SERVER may give bodies as `true` or as objects (`boolean_envelope`), leave out
    `context_id` (`nameless`), say `connecting` first, and close the socket after the last context that is closed or
    after any (`closes_after`): the vendor's documents do all of these."""

    name = "60db-tts"
    kind = "tts"
    default_url = "wss://api.60db.ai/ws/tts"
    url_variable = "SIXTY_DB_TTS_URL"
    options = SixtydbTtsOptions
    offers: ClassVar = {
        f"{kind} {rate}": SixtydbTtsOptions(kind, rate)  # type: ignore[arg-type] # a key of the table
        for kind, rates in SAMPLE_RATES.items()
        for rate in rates
    }
    max_text = MAX_TEXT
    max_requests = MAX_REQUESTS
    streams_text = True
    drops_on_cancel = True
    credit_first = True
    contexts: ClassVar = STREAMED_TEXT_CONTEXT
    sessions: ClassVar = {
        SessionState.OPENING: {
            Connecting: SessionState.OPENING,
            Authenticated: SessionState.READY,
            Failed: SessionState.FAILED,
        },
        SessionState.READY: {
            Connecting: SessionState.READY,
            Authenticated: SessionState.READY,
            Failed: SessionState.READY,
        },
    }
    errors: ClassVar = {"INSUFFICIENT_CREDITS": QuotaError}
    error_texts: ClassVar = {
        "insufficient_credits": QuotaError,
        "insufficient credits": QuotaError,
        "rate limit": RateLimitError,
        "unsupported": InvalidRequestError,
        "text too long": InvalidRequestError,
    }
    fault_codes: ClassVar = {Fault.QUOTA: "INSUFFICIENT_CREDITS"}  # the only code that is documented
    _scanner = AudioMessageScanner(audio=("audio_chunk", "audioContent"), fields=(("audio_chunk", "context_id"),))

    def __init__(
        self,
        *,
        boolean_envelope: bool = False,
        nameless: bool = False,
        connecting: bool = False,
        closes_after: Literal["last", "any"] = "last",
    ) -> None:
        super().__init__(boolean_envelope=boolean_envelope)
        self._nameless = nameless
        self._connecting = connecting
        self._closes_after = closes_after

    def options_for(self, options: SixtydbTtsOptions, output: AudioFormat | None) -> SixtydbTtsOptions:
        """Fills in the wire format that serves `output` best: mu-law where that is wanted, else linear."""
        telephony = output is not None and output.encoding == "mulaw" and output.sample_rate == 8000
        encoding = options.encoding or ("MULAW" if telephony and options.sample_rate in (None, 8000) else "LINEAR16")
        wanted = DEFAULT_RATE if output is None else output.sample_rate
        rates = SAMPLE_RATES[encoding]
        rate = options.sample_rate or min((rate for rate in rates if rate >= wanted), default=rates[-1])
        return replace(options, encoding=encoding, sample_rate=rate)

    def wire_format(self, options: SixtydbTtsOptions) -> AudioFormat:
        kind = options.encoding or "LINEAR16"
        encoding, container = WIRE[kind]
        rates = SAMPLE_RATES[kind]
        default = DEFAULT_RATE if DEFAULT_RATE in rates else rates[0]
        return AudioFormat(encoding, options.sample_rate or default, container=container)

    def coding(self, options: SixtydbTtsOptions) -> Coding:
        """Each chunk is a whole Ogg file."""
        return Coding(32_000, "files")

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if role is Role.SERVER:
            return _request(parse_json(payload))
        try:
            audio, (context_id,) = self._scanner.scan(payload)
        except Base64Error as fault:
            body = object_of(parse_json(payload)["audio_chunk"])
            return Failed(_context_of(body), "", str(fault), cause=fault)
        if audio is None:
            return _response(parse_json(payload))
        return Audio(CURRENT if context_id is None else str(context_id), audio.tobytes())

    def encode(self, event: Event) -> str | bytes | None:
        match event:
            case OpenContext():
                return dump_json({"create_context": _context_fields(event)})
            case SendText(context_id, text):
                return dump_json({"send_text": {"context_id": context_id, "text": text}})
            case FlushContext(context_id):
                return dump_json({"flush_context": {"context_id": context_id}})
            case CloseContext(context_id):
                return dump_json({"close_context": {"context_id": context_id}})
            case LeaveContext() | CancelContext():
                return None  # the vendor has no message for either
            case Connecting(message, timestamp):
                return dump_json(without_unset({"connecting": True, "message": message, "timestamp": timestamp}))
            case Authenticated(details):
                return dump_json({"connection_established": self.envelope(details)})
            case ContextAccepted(context_id):
                return dump_json({"context_created": self.envelope(self._named(context_id))})
            case Audio(context_id, data):
                body = {**self._named(context_id), "audioContent": base64.b64encode(data).decode()}
                return dump_json({"audio_chunk": body})
            case FlushCompleted(context_id):
                return dump_json({"flush_completed": self.envelope(self._named(context_id))})
            case ContextFinished(context_id):
                return dump_json({"context_closed": self.envelope(self._named(context_id))})
            case Failed(context_id, code, message):
                body = without_unset({"message": message, "error_code": code or None})
                return dump_json({"error": {**self._named(context_id), **body}})
        raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")

    def greeting(self) -> Sequence[ServerEvent]:
        return (GREETING, self.account()) if self._connecting else (self.account(),)

    def hangs_up(self, open_contexts: int) -> bool:
        return open_contexts == 0 or self._closes_after == "any"

    def manner(self, options: SixtydbTtsOptions) -> tuple[str, float]:
        return "en-US", options.speed or 1.0

    def _named(self, context_id: str | None) -> dict[str, str]:
        return {} if self._nameless or context_id is None else {"context_id": context_id}


def _response(message: dict[str, Any]) -> Event:
    """A message without audio. Key presence, never truthiness: the body may be `true`, an object or an empty one."""
    match message:
        case {"connection_established": body}:
            return Authenticated(object_of(body))
        case {"connecting": _}:
            return connecting_of(message)
        case {"context_created": body}:
            return ContextAccepted(_context_of(object_of(body)))
        case {"flush_completed": body}:
            return FlushCompleted(_context_of(object_of(body)))
        case {"context_closed": body}:
            return ContextFinished(_context_of(object_of(body)))
        case {"audio_chunk": {"audioContent": content}} if content is not None:
            raise ProtocolError(f"60db-tts: audio_chunk: expected audioContent in base64, got {type(content).__name__}")
        case {"audio_chunk": body}:
            return Audio(_context_of(object_of(body)), b"")
        case {"error": body}:
            return _failed(body, message)
    return Unknown(",".join(message), message)


def _failed(body: Any, message: Mapping[str, Any]) -> Failed:
    """An error: a body of its own, or text beside a `type` as on the speech-to-text socket."""
    fields = object_of(body) or message
    text = body if isinstance(body, str) else fields.get("message")
    code = fields.get("error_code") or fields.get("code")
    return Failed(text_of(fields.get("context_id")), str(code or ""), str(text or "unspecified error"))


def _context_of(body: Mapping[str, Any]) -> str:
    context_id = body.get("context_id")
    return CURRENT if context_id is None else str(context_id)


def _context_fields(request: OpenContext) -> dict[str, Any]:
    options: SixtydbTtsOptions = request.options
    audio = {"audio_encoding": options.encoding, "sample_rate_hertz": options.sample_rate}
    head = {"context_id": request.context_id, "voice_id": request.voice or DEFAULT_VOICE}
    manner = {name: getattr(options, name) for name in _MANNER}
    return without_unset({**head, "audio_config": without_unset(audio) or None, **manner})


def _request(message: dict[str, Any]) -> Event:
    name = next((name for name in _SAID_BY_US if name in message), None)
    if name is None:
        return Unknown(",".join(message), message)
    body = object_of(message[name])
    context_id = body.get("context_id")
    try:
        expect_text("context_id", context_id, 200)
        match name:
            case "create_context":
                return _open(body)
            case "send_text":
                return SendText(body["context_id"], _text(body.get("text")))
            case "flush_context":
                return FlushContext(body["context_id"])
        return CloseContext(body["context_id"])
    except ValueError as fault:  # voicecore's own errors for bad fields are ValueErrors too
        return Malformed(context_id if isinstance(context_id, str) else None, "", str(fault))


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"text: expected text, got {text!r}")
    return text


def _open(body: Mapping[str, Any]) -> OpenContext:
    expect_type("audio_config", body.get("audio_config"), dict)
    expect_type("voice_id", body.get("voice_id"), str)
    audio = object_of(body.get("audio_config"))
    encoding, rate = audio.get("audio_encoding"), audio.get("sample_rate_hertz")
    expect_one_of("audio_encoding", encoding, SAMPLE_RATES)
    if rate is not None and rate not in SAMPLE_RATES[encoding or "LINEAR16"]:
        raise ConfigurationError(f"Unsupported sample_rate_hertz: {rate}")  # the vendor's own words
    manner = {name: body.get(name) for name in _MANNER}
    return OpenContext(body["context_id"], body.get("voice_id"), SixtydbTtsOptions(encoding, rate, **manner))
