"""Uplift AI text-to-speech: what its two transports share, which is everything but the framing and the key.

Source: the vendor's WebSocket page, its JavaScript and Pipecat clients, and protocols.md section 3. One whole text per
request, many at once on one socket, told apart by `requestId`. The vendor says nothing to a voice that it does not
know, and nothing that can be relied on to a cancel.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from voicecore.audio import AudioFormat
from voicecore.codec import AudioMessageScanner
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    InvalidRequestError,
    ProtocolError,
    RateLimitError,
    VendorUnavailableError,
)
from voicecore.events import (
    Audio,
    CancelContext,
    ContextAccepted,
    ContextFinished,
    Event,
    Failed,
    Malformed,
    ServerReady,
    Synthesize,
    Unknown,
)
from voicecore.protocol import (
    WHOLE_TEXT_CONTEXT,
    Coding,
    ContextState,
    Dialect,
    Fault,
    Grace,
    Rate,
    SessionState,
    parse_json,
)
from voicecore.vendors.options import expect_one_of, expect_range, expect_text, expect_type, without_unset

OutputFormat = Literal[
    "PCM_22050_16",
    "WAV_22050_16",
    "WAV_22050_32",
    "ULAW_8000_8",
    "MP3_22050_32",
    "MP3_22050_64",
    "MP3_22050_128",
    "OGG_22050_16",
]
FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
DEFAULT_FORMAT: OutputFormat = "PCM_22050_16"
DEFAULT_VOICE = "v_meklc281"
VOICES = frozenset(
    {
        *(DEFAULT_VOICE, "v_8eelc901", "v_30s70t3a", "v_yypgzenx", "v_kwmp7zxt"),  # Urdu
        *("v_sd0kl3m9", "v_sd6mn4p2", "v_sd9qr7x5"),  # Sindhi
        *("v_bl0ab8c4", "v_bl1de2f7"),  # Balochi
    }
)
MAX_TEXT = 10_000
MAX_ID = 200
GRACE_SECONDS = 2.0  # the vendor's own clients work without `ready`, so it may not come
CONNECTION = "unknown"  # the requestId of an error that is about no request

_WIRE: dict[OutputFormat, AudioFormat] = {
    "PCM_22050_16": AudioFormat("pcm_s16le", 22_050),
    "WAV_22050_16": AudioFormat("pcm_s16le", 22_050, container="wav"),
    "WAV_22050_32": AudioFormat("pcm_f32le", 22_050, container="wav"),  # its header decides: float is a guess
    "ULAW_8000_8": AudioFormat("mulaw", 8_000),
    "MP3_22050_32": AudioFormat("mp3", 22_050),
    "MP3_22050_64": AudioFormat("mp3", 22_050),
    "MP3_22050_128": AudioFormat("mp3", 22_050),
    "OGG_22050_16": AudioFormat("opus", 22_050, container="ogg"),  # the codec is not documented: Opus is a guess
}
_BIT_RATES = {"MP3_22050_32": 32_000, "MP3_22050_64": 64_000, "MP3_22050_128": 128_000, "OGG_22050_16": 32_000}


@dataclass(frozen=True, slots=True)
class UpliftOptions:
    """Everything that a request can say besides text and voice. None leaves the vendor's default.

    `format` None picks it from the output that the caller wants. `speed` (0.25 to 4) is undocumented.
    """

    format: OutputFormat | None = None
    phrase_replacement_config_id: str | None = None
    speed: float | None = None

    def __post_init__(self) -> None:
        expect_one_of("outputFormat", self.format, FORMATS)
        if self.phrase_replacement_config_id is not None:
            expect_text("phraseReplacementConfigId", self.phrase_replacement_config_id, MAX_ID)
        expect_range("speed", self.speed, 0.25, 4)


class UpliftSpeech(Dialect):
    """The messages. The SERVER's choices: `after_cancel`, `unknown_voice`, and the clock of its timestamps."""

    vendor = "uplift"
    kind = "tts"
    key_variable = "UPLIFTAI_API_KEY"
    url_variable = "UPLIFTAI_URL"
    options = UpliftOptions
    offers: ClassVar = {kind: UpliftOptions(kind) for kind in FORMATS}
    max_text = MAX_TEXT
    silent_cancel = True
    unique_ids = True
    # A cancel may cross the end of its utterance on the wire, or come twice: the server takes it.
    contexts: ClassVar = {
        **WHOLE_TEXT_CONTEXT,
        ContextState.NEW: {**WHOLE_TEXT_CONTEXT[ContextState.NEW], CancelContext: ContextState.FINISHED},
        ContextState.CANCELLED: {
            **WHOLE_TEXT_CONTEXT[ContextState.CANCELLED],
            CancelContext: ContextState.CANCELLED,
        },
    }
    graces: ClassVar = {SessionState.JOINED: Grace(GRACE_SECONDS, ServerReady(assumed=True))}
    rates: ClassVar = {Synthesize: Rate(60, 60.0), CancelContext: Rate(100, 60.0)}
    errors: ClassVar = {
        "auth_failed": AuthError,
        "synthesis_failed": VendorUnavailableError,
        "duplicate_request": InvalidRequestError,
        "rate_limit_exceeded": RateLimitError,
        "text_too_long": InvalidRequestError,
        "invalid_request": InvalidRequestError,  # our emulator's: the vendor documents none for a bad field
    }
    fault_codes: ClassVar = {
        Fault.AUTH: "auth_failed",
        Fault.INVALID: "invalid_request",
        Fault.QUOTA: "rate_limit_exceeded",
        Fault.RATE_LIMIT: "rate_limit_exceeded",
        Fault.TOO_LONG: "text_too_long",
        Fault.DUPLICATE: "duplicate_request",
        Fault.FAILED: "synthesis_failed",
    }
    _scanner = AudioMessageScanner(audio=("audio",), fields=(("type",), ("requestId",), ("sequence",)))

    def __init__(
        self,
        *,
        after_cancel: Literal["silence", "end", "audio"] = "silence",
        unknown_voice: Literal["silent", "error"] = "silent",
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.after_cancel = after_cancel
        self._unknown_voice = unknown_voice
        self._clock = clock

    def options_for(self, options: UpliftOptions, output: AudioFormat | None) -> UpliftOptions:
        """Fills in the wire format that serves `output` best: PCM unless mu-law at 8 kHz is wanted."""
        telephony = output is not None and (output.encoding, output.sample_rate) == ("mulaw", 8_000)
        return replace(options, format=options.format or ("ULAW_8000_8" if telephony else DEFAULT_FORMAT))

    def wire_format(self, options: UpliftOptions) -> AudioFormat:
        return _WIRE[options.format or DEFAULT_FORMAT]

    def coding(self, options: UpliftOptions) -> Coding:
        """One stream over all chunks."""
        bit_rate = _BIT_RATES.get(options.format or DEFAULT_FORMAT)
        return Coding(bit_rate) if bit_rate else Coding()

    def manner(self, options: UpliftOptions) -> tuple[str, float]:
        return "en-US", options.speed or 1.0

    def language_of(self, text: str) -> str | None:
        """Urdu for what is written in its script; English words are read as such."""
        return "ur" if re.search("[\u0600-\u06ff]", text) else None

    def package(self, samples: bytes, wire: AudioFormat, index: int) -> bytes:
        """A WAV has its header in the first chunk only."""
        return wav_header(wire) + samples if wire.container == "wav" and index == 0 else samples

    def is_mute(self, voice: str | None) -> bool:
        return voice not in (None, *VOICES) and self._unknown_voice == "silent"

    # --- the client's messages ---------------------------------------------------------------------------

    def request(self, kind: Any, payload: bytes) -> Event:
        """SERVER: one message of the client; `kind` None: as its `type` says."""
        message = without_unset(parse_json(payload))
        kind = message.get("type") if kind is None else kind
        given = message.get("requestId")
        context_id = given if isinstance(given, str) and given.strip() and len(given) <= MAX_ID else None
        if kind not in ("synthesize", "cancel"):
            return Unknown(str(kind), message)
        if context_id is None:
            return Malformed(None, "invalid_request", f"requestId: expected text of at most {MAX_ID} characters")
        return CancelContext(context_id) if kind == "cancel" else self._synthesize(context_id, message)

    def _synthesize(self, context_id: str, message: Mapping[str, Any]) -> Event:
        text, voice = message.get("text"), message.get("voiceId")
        try:
            expect_text("text", text, MAX_TEXT)
            expect_type("voiceId", voice, str)
            options = UpliftOptions(
                message.get("outputFormat"), message.get("phraseReplacementConfigId"), message.get("speed")
            )
        except ConfigurationError as fault:
            too_long = isinstance(text, str) and len(text) > MAX_TEXT
            return Malformed(context_id, "text_too_long" if too_long else "invalid_request", str(fault))
        if voice not in (None, *VOICES) and self._unknown_voice == "error":
            return Malformed(context_id, "synthesis_failed", f"voiceId: no voice has the name {voice!r}")
        return Synthesize(context_id, str(text), voice, options)

    # --- the server's messages ---------------------------------------------------------------------------

    def answer(self, payload: bytes) -> Event:
        """CLIENT: one message of the server. Audio is decoded straight from its bytes."""
        try:
            audio, (kind, context_id, sequence) = self._scanner.scan(payload)
        except Base64Error as fault:
            return Failed(_context_of(parse_json(payload)), "", str(fault), cause=fault)
        if audio is None or kind != "audio" or not isinstance(context_id, str):
            return _answer(parse_json(payload))
        return Audio(context_id, audio.tobytes(), sequence if isinstance(sequence, int) else None)

    # --- both --------------------------------------------------------------------------------------------

    def body(self, event: Event) -> dict[str, Any]:
        """The message of an event, whatever carries it."""
        match event:
            case Synthesize(context_id, text, voice, options):
                return {
                    "type": "synthesize",
                    "requestId": context_id,
                    "text": text,
                    "voiceId": voice or DEFAULT_VOICE,
                    **without_unset(
                        {
                            "outputFormat": options.format or DEFAULT_FORMAT,
                            "phraseReplacementConfigId": options.phrase_replacement_config_id,
                            "speed": options.speed,
                        }
                    ),
                }
            case CancelContext(context_id):
                return {"type": "cancel", "requestId": context_id}
            case ServerReady(details):
                return {"type": "ready", **details}
            case ContextAccepted(context_id):
                return {"type": "audio_start", "requestId": context_id, "timestamp": self._clock()}
            case Audio(context_id, data, index):
                sound = base64.b64encode(data).decode()
                return without_unset({"type": "audio", "requestId": context_id, "audio": sound, "sequence": index})
            case ContextFinished(context_id):
                return {"type": "audio_end", "requestId": context_id, "timestamp": self._clock()}
            case Failed(context_id, code, message, details):
                named = context_id or details.get("context_id")
                return without_unset({"type": "error", "requestId": named, "code": code, "message": message})
        raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")


def wav_header(wire: AudioFormat) -> bytes:
    """A header of 44 bytes whose sizes say that the length is not known yet."""
    tag = 3 if wire.encoding == "pcm_f32le" else 1
    rate, block, bits = wire.sample_rate, wire.frame_bytes, wire.frame_bytes * 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, 1, rate, wire.byte_rate, block, bits)
    return struct.pack("<4sI4s", b"RIFF", 2**32 - 1, b"WAVE") + fmt + struct.pack("<4sI", b"data", 2**32 - 1)


def _answer(message: dict[str, Any]) -> Event:
    """A message without audio."""
    match message:
        case {"type": "ready", **rest}:
            return ServerReady(rest)
        case {"type": "audio_start", "requestId": str(context_id)}:
            return ContextAccepted(context_id)
        case {"type": "audio_end", "requestId": str(context_id)}:
            return ContextFinished(context_id)
        case {"type": "error", **rest}:
            text = str(rest.get("message") or "unspecified error")
            return Failed(_context_of(message), str(rest.get("code") or ""), text)
        case {"type": "audio" | "audio_start" | "audio_end" as kind}:
            wanted = "requestId and audio" if kind == "audio" else "requestId"
            raise ProtocolError(f"{kind}: expected {wanted} as text, got a message without")
    return Unknown(str(message.get("type", ",".join(message))), message)


def _context_of(message: Mapping[str, Any]) -> str | None:
    """The request that an error is about; None: the connection."""
    context_id = message.get("requestId")
    return context_id if isinstance(context_id, str) and context_id not in ("", CONNECTION) else None
