"""Deepdub text-to-speech on `/open`: one whole text per request, many generations at once on one socket.

Source: the vendor's WebSocket page, its Python and npm clients, and protocols.md section 4.1. The vendor sends no
greeting, has no cancel, wraps each `wav` chunk in a header of its own (68 bytes) and may put the last audio into
the frame that says `isFinished`.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from voicecore.codec import AudioMessageScanner, decode_base64
from voicecore.errors import (
    Base64Error,
    ConfigurationError,
    ProtocolError,
)
from voicecore.events import (
    Audio,
    CancelContext,
    ClassifyVoice,
    ContextAccepted,
    ContextFinished,
    Event,
    Failed,
    Malformed,
    Synthesize,
    Unknown,
    VoiceClassified,
)
from voicecore.protocol import Fault, Role, SessionState, dump_json, parse_json
from voicecore.vendors.deepdub.common import SAMPLE_RATES, WIRE, Deepdub, formats_for
from voicecore.vendors.options import (
    expect_one_of,
    expect_range,
    expect_text,
    expect_type,
    without_unset,
)

ACTIONS = ("text-to-speech", "gender-classify")
MAX_SOUND = 2**20  # characters of base64: a second of audio takes 43 000
MAX_TEXT = 50_000  # the vendor documents no limit; the longest that any vendor of ours takes


@dataclass(frozen=True, slots=True)
class AccentControl:
    """A blend of two accents: `ratio` 0 is the base alone, 1 the other alone."""

    base_locale: str
    locale: str
    ratio: float

    def __post_init__(self) -> None:
        expect_text("accentBaseLocale", self.base_locale, 200)
        expect_text("accentLocale", self.locale, 200)
        expect_range("accentRatio", "nothing" if self.ratio is None else self.ratio, 0, 1)


@dataclass(frozen=True, slots=True)
class DeepdubOptions:
    """Everything that a `/open` request can say besides text and voice. None leaves the vendor's default.

    `tempo` (0 to 2) and `target_duration` (seconds) exclude each other. `format` None picks it from the output
    that the caller wants, and `sample_rate` (Hz) likewise.
    """

    model: str = "dd-etts-3.0"
    locale: str = "en-US"
    format: Literal["wav", "s16le", "mulaw", "mp3", "opus"] | None = None
    sample_rate: int | None = None
    tempo: float | None = None
    target_duration: float | None = None
    variance: float | None = None
    temperature: float | None = None
    seed: int | None = None
    prompt_boost: bool | None = None
    super_stretch: bool | None = None
    realtime: bool | None = None
    clean_audio: bool | None = None
    auto_gain: bool | None = None
    accent_control: AccentControl | None = None
    performance_reference_prompt_id: str | None = None
    target_gender: str | None = None
    output_diacritized: bool | None = None
    enable_logging: bool | None = None

    def __post_init__(self) -> None:
        expect_text("model", self.model, 200)
        expect_text("locale", self.locale, 200)
        expect_one_of("format", self.format, tuple(WIRE))
        expect_one_of("sampleRate", self.sample_rate, SAMPLE_RATES)
        expect_range("tempo", self.tempo, 0, 2)
        expect_range("targetDuration", self.target_duration, 0, 24 * 3600)
        expect_range("variance", self.variance, 0, 1)
        expect_range("temperature", self.temperature, 0, 1)
        expect_type("seed", self.seed, int)
        for name in _SWITCHES:
            expect_type(name, getattr(self, _FIELDS[name]), bool)
        expect_type("performanceReferencePromptId", self.performance_reference_prompt_id, str)
        expect_type("targetGender", self.target_gender, str)
        expect_type("accentControl", self.accent_control, AccentControl)
        if self.tempo is not None and self.target_duration is not None:
            raise ConfigurationError("tempo and targetDuration: expected one of them, got both")


# Wire name -> field, where the value passes unchanged. `duration` is what the vendor's Python client sends.
_FIELDS = {
    "model": "model",
    "locale": "locale",
    "format": "format",
    "sampleRate": "sample_rate",
    "tempo": "tempo",
    "duration": "target_duration",
    "targetDuration": "target_duration",
    "variance": "variance",
    "temperature": "temperature",
    "seed": "seed",
    "promptBoost": "prompt_boost",
    "superStretch": "super_stretch",
    "realtime": "realtime",
    "cleanAudio": "clean_audio",
    "autoGain": "auto_gain",
    "performanceReferencePromptId": "performance_reference_prompt_id",
    "targetGender": "target_gender",
    "outputDiacritized": "output_diacritized",
    "enableLogging": "enable_logging",
}
_SWITCHES = ("promptBoost", "superStretch", "realtime", "cleanAudio", "autoGain", "outputDiacritized", "enableLogging")


class DeepdubOpen(Deepdub):
    """The `/open` protocol. `binary_frames`: the SERVER sends audio messages as binary frames, as seen live."""

    name = "deepdub-open"
    default_url = "wss://wsapi.deepdub.ai/open"
    options = DeepdubOptions
    offers: ClassVar = formats_for(DeepdubOptions)
    max_text = MAX_TEXT
    refuses_by_http = True
    initial = SessionState.READY
    sessions: ClassVar = {
        SessionState.READY: {
            ClassifyVoice: SessionState.READY,
            VoiceClassified: SessionState.READY,
            Failed: SessionState.READY,
        }
    }
    fault_codes: ClassVar = {
        Fault.INVALID: "InvalidInput",
        Fault.TOO_LONG: "InvalidInput",
        Fault.QUOTA: "InsufficientCredits",
        Fault.RATE_LIMIT: "RateLimit",
    }
    _scanner = AudioMessageScanner(
        audio=("data",),
        fields=(("generationId",), ("index",), ("isFinished",), ("error",), ("diacritized",)),
    )

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if role is Role.SERVER:
            return _request(parse_json(payload))
        try:
            audio, (context_id, index, finished, error, diacritized) = self._scanner.scan(payload)
        except Base64Error as fault:
            return _not_base64(parse_json(payload), fault)
        if audio is None or error is not None or not isinstance(context_id, str):
            return _response(parse_json(payload))
        data, index = audio.tobytes(), index if isinstance(index, int) else None
        if finished is True:
            return ContextFinished(context_id, data, index)
        if index is None and not data:
            return ContextAccepted(context_id)
        return Audio(context_id, data, index, {"diacritized": diacritized} if diacritized else {})

    def encode(self, event: Event) -> str | bytes | None:
        match event:
            case Synthesize():
                return dump_json(_request_fields(event))
            case CancelContext():
                return None  # the vendor has no cancel: what still comes is dropped by `Protocol`
            case ClassifyVoice(request_id, audio, rate):
                sound = base64.b64encode(audio).decode()
                head = {"action": "gender-classify", "generationId": request_id}
                return dump_json({**head, "audio": sound, "sample_rate": rate})
            case ContextAccepted(context_id):
                return dump_json({"data": "", "generationId": context_id, "isFinished": False})
            case Audio(context_id, data, index, extra):
                return self._frame(context_id, data, index, extra, finished=False)
            case ContextFinished(context_id, data, index):
                return self._frame(context_id, data, index, {}, finished=True)
            case VoiceClassified(details):
                return dump_json(details)
            case Failed(context_id, code, message):
                return dump_json(
                    without_unset({"error": message, "errorType": code or None, "generationId": context_id})
                )
        raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")

    def manner(self, options: DeepdubOptions) -> tuple[str, float]:
        return options.locale, options.tempo or 1.0

    def _frame(
        self, context_id: str, data: bytes, index: int | None, extra: Mapping[str, Any], *, finished: bool
    ) -> str | bytes:
        sound = base64.b64encode(data).decode()
        body = {"generationId": context_id, "data": sound, "isFinished": finished, **extra}
        message = dump_json({**without_unset({"index": index}), **body})
        return self._framed(message)


def _request(message: Mapping[str, Any]) -> Event:
    fields = without_unset(dict(message))  # the vendor's own client sends null for every option that is unset
    given = fields.get("generationId", "")
    context_id = str(uuid.uuid4()) if given == "" else given
    if not isinstance(context_id, str):
        return Malformed(None, "InvalidInput", f"generationId: expected str, got {type(context_id).__name__}")
    try:
        match fields.get("action", "text-to-speech"):
            case "text-to-speech":
                return _synthesize(context_id, fields)
            case "gender-classify":
                return _classify(context_id, fields)
            case other:
                return Malformed(
                    context_id, "InvalidInput", f"action: expected one of {', '.join(ACTIONS)}, got {other!r}"
                )
    except ValueError as fault:  # voicecore's own errors for bad fields are ValueErrors too
        return Malformed(context_id, "InvalidInput", str(fault))


def _classify(request_id: str, fields: Mapping[str, Any]) -> ClassifyVoice:
    sound, rate = fields.get("audio"), fields.get("sample_rate", 16_000)
    expect_text("audio", sound, MAX_SOUND)
    expect_range("sample_rate", rate, 4_000, 192_000, whole=True)
    return ClassifyVoice(request_id, decode_base64(str(sound)).tobytes(), rate)


def _synthesize(context_id: str, fields: Mapping[str, Any]) -> Synthesize:
    expect_text("generationId", context_id, 200)
    expect_text("targetText", fields.get("targetText"), MAX_TEXT)
    expect_type("voicePromptId", fields.get("voicePromptId"), str)
    expect_text("model", fields.get("model"), 200)
    expect_text("locale", fields.get("locale"), 200)
    known = {field: fields[wire] for wire, field in _FIELDS.items() if wire in fields}
    options = DeepdubOptions(**known, accent_control=_accent(fields.get("accentControl", {})))
    return Synthesize(context_id, fields["targetText"], fields.get("voicePromptId"), options)


def _accent(fields: Any) -> AccentControl | None:
    """All three or none."""
    match without_unset(fields) if isinstance(fields, dict) else fields:
        case {**rest} if not rest:
            return None
        case {"accentBaseLocale": base, "accentLocale": other, "accentRatio": ratio}:
            return AccentControl(base, other, ratio)
    raise ConfigurationError(f"accentControl: expected accentBaseLocale, accentLocale and accentRatio, got {fields!r}")


def _request_fields(request: Synthesize) -> dict[str, Any]:
    options: DeepdubOptions = request.options
    passed = {wire: getattr(options, field) for wire, field in _FIELDS.items() if wire != "duration"}
    accent = options.accent_control
    return without_unset(
        {
            "action": "text-to-speech",
            "generationId": request.context_id,
            "targetText": request.text,
            "voicePromptId": request.voice,
            **passed,
            "accentControl": accent
            and {
                "accentBaseLocale": accent.base_locale,
                "accentLocale": accent.locale,
                "accentRatio": accent.ratio,
            },
        }
    )


def _response(message: dict[str, Any]) -> Event:
    """A message without audio, or with an error beside it."""
    match without_unset(message):
        case {"error": text}:
            return Failed(_context_of(message), str(message.get("errorType") or ""), str(text) or "unspecified error")
        case {"generationId": str(context_id), "isFinished": True, **rest}:
            return ContextFinished(context_id, index=_index_of(rest))
        case {"generationId": str(context_id), "isFinished": False, "index": int(index)}:
            return Audio(context_id, b"", index)
        case {"generationId": str(context_id), "isFinished": False}:
            return ContextAccepted(context_id)
        case {"gender": _}:  # the answer to `gender-classify` carries no generationId
            return VoiceClassified(message)
    return Unknown(",".join(message), message)


def _not_base64(message: dict[str, Any], fault: Base64Error) -> Event:
    return Failed(_context_of(message), "", str(fault), cause=fault)


def _context_of(message: Mapping[str, Any]) -> str | None:
    context_id = message.get("generationId")
    return context_id if isinstance(context_id, str) else None


def _index_of(fields: Mapping[str, Any]) -> int | None:
    index = fields.get("index")
    return index if isinstance(index, int) else None
