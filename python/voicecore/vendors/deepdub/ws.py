"""Deepdub text-to-speech on `/ws`: text in bit by bit, one turn at a time on a socket.

Source: the vendor's page on real-time streaming, its Python client, and protocols.md section 4.2. The vendor greets
first. It speaks a turn in one or more generations, which alone its messages name: they belong to the context at work
(`generations.py` tells them from late ones). `end-stream` asks for the end of a turn, and `isFinal` is that end; older
servers lack it, so a second of silence after a complete generation is taken for it. A pause as long as that within a
turn therefore ends the turn early on any server; what comes later plays in the next turn. `cancel` is confirmed. After
an error the vendor would go on with the rest of the turn: it is cancelled too, which also takes the errors that the
messages already under way still cause off the next context.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from voicecore.codec import AudioMessageScanner, decode_base64
from voicecore.errors import (
    Base64Error,
    CodecError,
    ConfigurationError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    VoicecoreError,
)
from voicecore.events import (
    CURRENT,
    Audio,
    CancelContext,
    ContextAccepted,
    ContextCancelled,
    Event,
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
    ServerEvent,
    ServerReady,
    Unknown,
)
from voicecore.protocol import ContextGrace, ContextState, ContextTable, Role, SessionState, dump_json, parse_json
from voicecore.vendors.deepdub.common import WIRE, Deepdub, formats_for
from voicecore.vendors.deepdub.stream_options import FIELDS, DeepdubStreamOptions, segments
from voicecore.vendors.options import expect_type, without_unset

FINAL_GRACE = 1.0  # seconds of silence after `isFinished` that the vendor's own plugin takes for the end of a turn
MODEL_PREFIX = "dd-"  # of every model that the vendor names; the emulator knows no other
MAX_TEXT = 1_000_000  # characters of one context; the vendor documents no limit
BAD_MESSAGE = "Invalid message format"
NO_MODEL = "model is required in configuration"
NOT_CONFIGURED = "please send 'stream-config' action with model before streaming text"
NO_ROUTE = "queue route not found for model"


_AUDIO_FIELDS = ("generationId", "index", "isFinished", "isFinal", "isCancelled", "error", "diacritized")


def _in(state: ContextState, steps: Mapping[type[Event], ContextState]) -> Mapping[type[Event], ContextState]:
    """A row. The configuration may come again, and an error leaves the context at work; only a cancel ends it."""
    stay = dict.fromkeys((OpenContext, ContextAccepted, Failed), state)
    return {**stay, CancelContext: ContextState.CANCELLED, **steps}


_TAKES_TEXT = {SendText: ContextState.OPEN, LeaveContext: ContextState.FINISHED}
_SPOKEN = {Audio: ContextState.SPEAKING, GenerationFinished: ContextState.DRAINING, FlushCompleted: ContextState.OPEN}
_UNASKED = {Audio: ContextState.OPEN, GenerationFinished: ContextState.GENERATED}  # audio before a flush
CONTEXT: ContextTable = {
    ContextState.NEW: {OpenContext: ContextState.EMPTY},
    ContextState.EMPTY: _in(ContextState.EMPTY, {**_TAKES_TEXT, FlushContext: ContextState.REQUESTED}),
    ContextState.OPEN: _in(ContextState.OPEN, {**_TAKES_TEXT, **_UNASKED, FlushContext: ContextState.REQUESTED}),
    ContextState.GENERATED: _in(
        ContextState.GENERATED, {**_TAKES_TEXT, **_UNASKED, FlushContext: ContextState.DRAINING}
    ),
    **{
        # a flush while a turn drains is about text that came since, and which is still to be spoken
        state: _in(state, {**_SPOKEN, SendText: state, FlushContext: after_flush})
        for state, after_flush in (
            (ContextState.REQUESTED, ContextState.REQUESTED),
            (ContextState.SPEAKING, ContextState.SPEAKING),
            (ContextState.DRAINING, ContextState.REQUESTED),
        )
    },
    ContextState.CANCELLED: {
        **dict.fromkeys((Audio, GenerationFinished, FlushCompleted, Failed), ContextState.CANCELLED),
        ContextCancelled: ContextState.FINISHED,
    },
}


class DeepdubWs(Deepdub):
    """The `/ws` protocol. What the SERVER does: `says_final`: it sends `isFinal`; `speaks_early`: a generation for each
    sentence, else one for a turn; `now` gives the time of an error in Unix seconds."""

    name = "deepdub-ws"
    default_url = "wss://wss.deepdub.ai/ws"
    options = DeepdubStreamOptions
    offers: ClassVar = formats_for(DeepdubStreamOptions)
    max_text = MAX_TEXT
    max_contexts = 1
    streams_text = True
    initial = SessionState.OPENING
    sessions: ClassVar = {
        SessionState.OPENING: {ServerReady: SessionState.READY, Failed: SessionState.FAILED},
        SessionState.READY: {
            Ping: SessionState.READY,
            Pong: SessionState.READY,
            Failed: SessionState.READY,
        },
    }
    contexts = CONTEXT
    context_graces: ClassVar = {ContextState.DRAINING: ContextGrace(FINAL_GRACE, FlushCompleted)}
    error_texts: ClassVar = Deepdub.error_texts | {
        "insufficient credits": QuotaError,
        "rate limit": RateLimitError,
        "invalid message format": InvalidRequestError,
        NO_MODEL: InvalidRequestError,
        NO_ROUTE: InvalidRequestError,
        NOT_CONFIGURED: InvalidRequestError,
        "voiceprompt": InvalidRequestError,
    }
    _scanner = AudioMessageScanner(
        audio=("data",),
        fields=tuple((name,) for name in _AUDIO_FIELDS),
    )

    def __init__(
        self,
        *,
        binary_frames: bool = True,
        says_final: bool = True,
        speaks_early: bool = True,
        now: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(binary_frames=binary_frames)
        self.speaks_early = speaks_early
        self._says_final = says_final
        self._now = now

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if role is Role.SERVER:
            return _request(parse_json(payload))
        try:
            audio, values = self._scanner.scan(payload)
        except Base64Error as fault:
            name = parse_json(payload).get("generationId")
            return Failed(CURRENT, "", str(fault), cause=fault, generation=name if isinstance(name, str) else None)
        generation, index, finished, final, cancelled, error, diacritized = values
        if audio is None or cancelled is True or error or not isinstance(generation, str):
            return _response(parse_json(payload))
        said = {"diacritized": diacritized} if diacritized else {}
        return _part(generation, audio.tobytes(), index, finished=finished is True, final=final is True, extra=said)

    def encode(self, event: Event) -> str | bytes | None:
        match event:
            case OpenContext():
                return dump_json({"action": "stream-config", "data": _config(event)})
            case SendText(_, text):
                return dump_json({"action": "stream-text", "data": {"text": text}})
            case FlushContext():
                return dump_json({"action": "end-stream"})
            case CancelContext():
                return dump_json({"action": "cancel"})
            case Ping():
                return dump_json({"action": "ping"})
            case Pong():
                return dump_json({"action": "pong"})
            case LeaveContext() | ContextAccepted():
                return None  # nothing is said to a configuration, nor to its end
            case ServerReady(details):
                return dump_json({"action": "status", **details, "message": "connected"})
            case Audio(_, data, index, extra, generation):
                return self._frame(data, index, generation, finished=False, **extra)
            case GenerationFinished(_, data, index, generation):
                return self._frame(data, index, generation, finished=True)
            case FlushCompleted(_, data, index, generation):
                return self._end(data, index, generation)
            case ContextCancelled(_, None):
                return dump_json({"action": "status", "message": "cancelled"})
            case ContextCancelled(_, generation):
                return dump_json({"generationId": generation, "isFinished": True, "isCancelled": True})
            case Failed(None) | Failed(generation=None):
                moment = None if self._now is None else int(self._now())
                return dump_json(without_unset({"action": "error", "message": event.message, "time": moment}))
            case Failed():
                return dump_json({"generationId": event.generation, "error": event.message})
        raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")

    def greeting(self) -> Sequence[ServerEvent]:
        return (ServerReady({"connectionId": str(uuid.uuid4())}),)

    def complaint(self, fault: VoicecoreError) -> str:
        return BAD_MESSAGE if isinstance(fault, MessageError) else NOT_CONFIGURED

    def manner(self, options: DeepdubStreamOptions) -> tuple[str, float]:
        return options.locale or "en-US", 1.0

    def segments(self, text: str, options: DeepdubStreamOptions) -> list[tuple[str, DeepdubStreamOptions]]:
        return list(segments(text, options))

    def _end(self, data: bytes, index: int | None, generation: str | None) -> str | bytes | None:
        if self._says_final:
            return self._frame(data, index, generation or str(uuid.uuid4()), finished=True, isFinal=True)
        return None if generation is None else self._frame(data, index, generation, finished=True)

    def _frame(
        self, data: bytes, index: int | None, generation: str | None, *, finished: bool, **more: Any
    ) -> str | bytes:
        sound = base64.b64encode(data).decode() if data or not finished else None
        body = {"generationId": generation, "index": index, "isFinished": finished, **more, "data": sound}
        return self._framed(dump_json(without_unset(body)))


# --- what the client hears -------------------------------------------------------------------------------


def _part(
    generation: str, data: bytes, index: Any, *, finished: bool, final: bool, extra: Mapping[str, Any] | None = None
) -> Event:
    number = index if isinstance(index, int) else None
    if final:
        return FlushCompleted(CURRENT, data, number, generation)
    if finished:
        return GenerationFinished(CURRENT, data, number, generation)
    return Audio(CURRENT, data, number, extra or {}, generation)


def _response(message: dict[str, Any]) -> Event:
    """A message without audio, or with an error beside it."""
    code = str(message.get("errorType") or "")
    match without_unset(message):
        case {"action": "status", "message": "connected", **details}:
            return ServerReady(details)
        case {"action": "status", "message": "cancelled"}:
            return ContextCancelled(CURRENT)
        case {"action": "pong"}:
            return Pong()
        case {"action": "error"}:
            return Failed(None, code, str(message.get("message") or "unspecified error"))
        case {"error": text, "generationId": str(generation)} if text:
            return Failed(CURRENT, code, str(text), generation=generation)
        case {"error": text} if text:
            return Failed(None, code, str(text))
        case {"generationId": str(generation), "isCancelled": True}:
            return ContextCancelled(CURRENT, generation)
        case {"generationId": str(generation), "isFinished": bool(finished), **rest}:
            return _part(generation, b"", rest.get("index"), finished=finished, final=rest.get("isFinal") is True)
    return Unknown(str(message.get("action") or ",".join(message)), message)


# --- what the server hears -------------------------------------------------------------------------------


def _request(message: Mapping[str, Any]) -> Event:
    """`data` and `config` are the same to the vendor."""
    fields = message.get("data") or message.get("config") or {}
    if not isinstance(fields, dict):
        return Malformed(None, "", BAD_MESSAGE)
    match message.get("action"):
        case "stream-config":
            return _configuration(without_unset(fields))
        case "stream-text" if isinstance(text := fields.get("text", message.get("text")), str):
            return SendText(CURRENT, text)
        case "end-stream":
            return FlushContext(CURRENT)
        case "cancel":
            return CancelContext(CURRENT)
        case "ping":
            return Ping()
    return Malformed(None, "", BAD_MESSAGE)


def _configuration(fields: dict[str, Any]) -> Event:
    """Fields that nobody knows are ignored: older clients send several. So is an unknown format: it means `wav`."""
    known = {field: fields[wire] for wire, field in FIELDS.items() if wire in fields}
    known["format"] = known["format"] if known.get("format") in tuple(WIRE) else "wav"
    try:
        if not fields.get("model"):
            raise ConfigurationError(NO_MODEL)
        if not str(fields["model"]).startswith(MODEL_PREFIX):
            raise ConfigurationError(f"{NO_ROUTE}: {fields['model']}")
        expect_type("voicePromptId", fields.get("voicePromptId"), str)
        options = DeepdubStreamOptions(**known, voice_prompt=_prompt_of(fields.get("voicePrompt")))
    except ConfigurationError as fault:
        return Malformed(None, "", str(fault))
    return OpenContext(CURRENT, fields.get("voicePromptId"), options)


def _prompt_of(encoded: Any) -> bytes | None:
    if encoded is None:
        return None
    try:
        return decode_base64(encoded).tobytes()
    except CodecError as fault:
        raise ConfigurationError(f"voicePrompt must be base64-encoded: {fault}") from None


def _config(request: OpenContext) -> dict[str, Any]:
    options: DeepdubStreamOptions = request.options
    prompt = options.voice_prompt
    if request.voice is not None and prompt is not None:
        raise ConfigurationError("voice and voice_prompt: expected one of them, got both")
    return without_unset(
        {
            "voicePromptId": request.voice,
            "voicePrompt": None if prompt is None else base64.b64encode(prompt).decode(),
            **{wire: getattr(options, field) for wire, field in FIELDS.items()},
        }
    )
