"""Vachana (Gnani.ai) text-to-speech: one utterance at a time on a socket, several one after the other.

Source: the vendor's WebSocket page, its Python client and protocols.md section 2.1. Audio comes as JSON (the vendor's
client) or as binary frames (the vendor's page); no audio names its request. The last audio may be in `complete`. In
the binary form a clean close may stand for `complete`. To cancel is to drop the socket.
"""

from __future__ import annotations

import base64
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Literal

from voicecore.audio import AudioFormat, Encoding
from voicecore.codec import AudioMessageScanner, decode_base64
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
)
from voicecore.events import (
    CURRENT,
    Audio,
    BareAudio,
    CancelContext,
    ContextAccepted,
    ContextFinished,
    Event,
    Failed,
    Malformed,
    Synthesize,
    Unknown,
)
from voicecore.protocol import (
    WHOLE_TEXT_CONTEXT,
    Coding,
    ContextState,
    Dialect,
    Role,
    SessionState,
    dump_json,
    parse_json,
)
from voicecore.secret import Secret
from voicecore.vendors.options import expect_one_of, expect_range, expect_text, expect_type, without_unset

LANGUAGES = (
    *("auto", "bn-IN", "en-IN", "gu-IN", "hi-IN", "kn-IN", "ml-IN", "mr-IN", "pa-IN", "ta-IN", "te-IN"),
    "IND-IN",  # of vachana-voice-v1
)
SAMPLE_RATES = (8000, 16000, 22050, 24000, 44100, 48000)
BITRATES = ("32k", "64k", "96k", "128k", "192k")
LAW_RATE = 8000
NATIVE_RATE = 48_000
# The encodings that a container can hold; the first is the one that the vendor's table shows.
CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "wav": ("linear_pcm",),
    "raw": ("linear_pcm", "oggopus"),
    "mp3": ("linear_pcm",),
    "ogg": ("oggopus",),
    "mulaw": ("linear_pcm", "pcm_mulaw"),
    "alaw": ("linear_pcm", "pcm_alaw"),
}
CONTAINER_OF = {"linear_pcm": "wav", "oggopus": "ogg", "pcm_mulaw": "mulaw", "pcm_alaw": "alaw"}  # where none is chosen
LAWS = ("mulaw", "alaw")
WIDTHS: Mapping[int, Encoding] = {2: "pcm_s16le", 3: "pcm_s24le", 4: "pcm_s32le"}
CODED_CHANNELS = 2  # at most, of MP3, and of Opus without a mapping that the vendor does not document
DEFAULT_BITRATE = "64k"  # the vendor documents none
OPUS_BIT_RATE = 32_000
DEFAULT_VOICES = {"timbre-v2.5": "Pranav", "timbre-v3.0": "Avinash", "vachana-voice-v1": "Sia"}
WITH_AUDIO = ("audio", "complete")
WAV_HEADER_BYTES = 44
UNKNOWN_SIZE = 0xFFFFFFFF  # in the header of a stream whose length is not known
MAX_TEXT = 50_000  # the vendor documents no limit; the longest that any vendor of ours takes


@dataclass(frozen=True, slots=True)
class SpeakerEmbedding:
    """A cloned voice, as the vendor's voice-clone service gave it. It takes the place of `voice`."""

    embedding: str
    shape: Sequence[int]
    dtype: str = "torch.bfloat16"

    def __post_init__(self) -> None:
        expect_text("speaker_embedding.embedding", self.embedding, 2**20)
        expect_text("speaker_embedding.dtype", self.dtype, 100)
        if not isinstance(self.shape, (list, tuple)) or not self.shape:
            raise ConfigurationError(f"speaker_embedding.shape: expected whole numbers, got {self.shape!r}")
        for size in self.shape:
            expect_range("speaker_embedding.shape", 0 if size is None else size, 1, 2**20, whole=True)
        object.__setattr__(self, "shape", tuple(self.shape))


@dataclass(frozen=True, slots=True)
class VachanaTtsOptions:
    """Everything that a request can say besides text and voice. None leaves the vendor's default.

    `language` and `speed` (0.85 to 1.15) are honoured by timbre-v2.5 and timbre-v3.0. `container`, `encoding` and
    `sample_rate` (Hz) None: picked from the output that the caller wants. `bitrate` is for mp3, `sample_width` in
    bytes. Without a voice and a `speaker_embedding`, a voice of the model speaks that the vendor's client prefers.
    """

    model: str = "timbre-v2.5"
    language: str | None = None
    speed: float | None = None
    speaker_embedding: SpeakerEmbedding | None = None
    container: Literal["wav", "raw", "mp3", "ogg", "mulaw", "alaw"] | None = None
    encoding: Literal["linear_pcm", "oggopus", "pcm_mulaw", "pcm_alaw"] | None = None
    sample_rate: int | None = None
    bitrate: Literal["32k", "64k", "96k", "128k", "192k"] | None = None
    num_channels: int = 1
    sample_width: int = 2

    def __post_init__(self) -> None:
        expect_text("model", self.model, 200)
        expect_one_of("language", self.language, LANGUAGES)
        expect_range("speed", self.speed, 0.85, 1.15)
        expect_type("speaker_embedding", self.speaker_embedding, SpeakerEmbedding)
        expect_one_of("container", self.container, tuple(CONTAINERS))
        expect_one_of("encoding", self.encoding, tuple(CONTAINER_OF))
        expect_one_of("sample_rate", self.sample_rate, SAMPLE_RATES)
        expect_one_of("bitrate", self.bitrate, BITRATES)
        for name, most in (("num_channels", 8), ("sample_width", 4)):
            given = getattr(self, name)
            expect_range(name, 0 if given is None else given, 1, most, whole=True)
        self._expect_a_combination()

    def _expect_a_combination(self) -> None:
        if self.container and self.encoding:
            expect_one_of(f"encoding of {self.container}", self.encoding, CONTAINERS[self.container])
        if self.bitrate and self.container != "mp3":
            raise ConfigurationError(f"bitrate: expected container mp3 with it, got {self.container}")
        if self.container in LAWS and self.sample_rate not in (None, LAW_RATE):
            raise ConfigurationError(f"sample_rate: expected {LAW_RATE} for {self.container}, got {self.sample_rate}")


def _offers() -> Iterator[tuple[str, VachanaTtsOptions]]:
    """Every container with every encoding that it can hold, at every rate; other widths and bit rates at one."""
    for container, encodings in CONTAINERS.items():
        rates = (LAW_RATE,) if container in LAWS else SAMPLE_RATES
        for encoding, rate in product(encodings, rates):
            yield f"{container} {encoding} {rate}", _asking(container, encoding, rate)
    for container, width in product(("wav", "raw"), (3, 4)):
        yield f"{container} linear_pcm {NATIVE_RATE} {width}", _asking(container, "linear_pcm", sample_width=width)
    for bitrate in BITRATES:
        yield f"mp3 linear_pcm {NATIVE_RATE} {bitrate}", _asking("mp3", "linear_pcm", bitrate=bitrate)


def _asking(container: Any, encoding: Any, rate: int = NATIVE_RATE, **more: Any) -> VachanaTtsOptions:
    return VachanaTtsOptions(container=container, encoding=encoding, sample_rate=rate, **more)


_AUDIO_CONFIG = ("sample_rate", "encoding", "num_channels", "sample_width", "container")
_CONTEXT: dict[type[Event], ContextState] = {
    Audio: ContextState.SPEAKING,
    BareAudio: ContextState.SPEAKING,  # who has sent JSON audio also sends `complete`
    ContextFinished: ContextState.FINISHED,
    Failed: ContextState.FAILED,
    CancelContext: ContextState.CANCELLED,
}
_BARE = {**_CONTEXT, BareAudio: ContextState.SPEAKING_BARE}


class VachanaTts(Dialect):
    """The text-to-speech protocol. The SERVER sends audio in either `form`, ends an utterance by `complete`, by that
    and a close, or by a close alone, and puts WAV headers before every chunk, into the first, or before it.
    `odd_splits`: its messages end in the middle of a sample."""

    name = "vachana-tts"
    vendor = "vachana"
    kind = "tts"
    default_url = "wss://api.vachana.ai/api/v1/tts"
    key_variable = "VACHANA_API_KEY"
    url_variable = "VACHANA_TTS_URL"
    options = VachanaTtsOptions
    offers: ClassVar = dict(_offers())
    max_text = MAX_TEXT
    max_contexts = 1
    drops_on_cancel = True
    refuses_by_http = True
    initial = SessionState.READY
    sessions: ClassVar = {SessionState.READY: {Failed: SessionState.READY}}
    contexts: ClassVar = {
        ContextState.NEW: WHOLE_TEXT_CONTEXT[ContextState.NEW],
        ContextState.REQUESTED: {ContextAccepted: ContextState.ACCEPTED, **_BARE},
        ContextState.ACCEPTED: _BARE,
        ContextState.SPEAKING: _CONTEXT,
        ContextState.SPEAKING_BARE: _BARE,
        ContextState.CANCELLED: {**WHOLE_TEXT_CONTEXT[ContextState.CANCELLED], BareAudio: ContextState.CANCELLED},
    }
    ended_by_close = frozenset({ContextState.SPEAKING_BARE})
    error_texts: ClassVar = {  # an error has no code: words of the vendor's HTTP answers, and of our server
        "missing_api_key": AuthError,
        "credit": QuotaError,
        "quota": QuotaError,
        "rate limit": RateLimitError,
        "is required": InvalidRequestError,
        "expected": InvalidRequestError,
    }
    _scanner = AudioMessageScanner(audio=("data", "audio"), fields=(("type",), ("data", "chunk_index")))

    def __init__(
        self,
        *,
        form: Literal["json", "binary"] = "json",
        end: Literal["complete", "complete_and_close", "close"] = "complete",
        wav: Literal["per_chunk", "first_chunk", "header_first"] = "per_chunk",
        odd_splits: bool = False,
    ) -> None:
        self._binary = form == "binary"
        self._completes = end != "close"
        self._wav = wav
        self._odd_splits = odd_splits
        self.audio_in_last = self._completes and not self._binary
        self.closes_after_context = end != "complete"

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        fixed = {"X-API-Key-ID": key.reveal(), "Content-Type": "application/json"}
        return url, {**fixed, "X-API-Request-ID": f"req_{uuid.uuid4().hex[:12]}"}

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return headers.get("x-api-key-id")

    def options_for(self, options: VachanaTtsOptions, output: AudioFormat | None) -> VachanaTtsOptions:
        """Fills in the wire format that serves `output` best: `wav` unless G.711 at 8 kHz is wanted."""
        law = output is not None and output.encoding in LAWS and output.sample_rate == LAW_RATE
        wanted = output.encoding if output and law and options.sample_rate in (None, LAW_RATE) else "wav"
        container: Any = options.container or (CONTAINER_OF[options.encoding] if options.encoding else wanted)
        encoding: Any = options.encoding or CONTAINERS[container][0]
        rate = options.sample_rate or (LAW_RATE if container in LAWS else None)
        if rate is None and output is not None:
            rate = min((r for r in SAMPLE_RATES if r >= output.sample_rate), default=NATIVE_RATE)
        return replace(options, container=container, encoding=encoding, sample_rate=rate or NATIVE_RATE)

    def wire_format(self, options: VachanaTtsOptions) -> AudioFormat:
        chosen = self.options_for(options, None)
        rate, channels = chosen.sample_rate or NATIVE_RATE, chosen.num_channels
        match chosen.container, chosen.encoding:
            case "mulaw" | "alaw" as law, _:
                return AudioFormat(law, rate, channels)
            case "wav" | "raw" as container, "linear_pcm":
                if chosen.sample_width not in WIDTHS:
                    raise ConfigurationError(
                        f"sample_width: expected 2, 3 or 4, got {chosen.sample_width}: not decoded"
                    )
                return AudioFormat(WIDTHS[chosen.sample_width], rate, channels, container)
        if channels > CODED_CHANNELS:
            raise ConfigurationError(f"num_channels: expected 1 or 2 in {chosen.container}, got {channels}")
        return (
            AudioFormat("mp3", rate, channels)
            if chosen.container == "mp3"
            else AudioFormat("opus", rate, channels, "ogg")
        )

    def coding(self, options: VachanaTtsOptions) -> Coding:
        """MP3 is one stream; Ogg comes as one chunk with the whole file."""
        if self.wire_format(options).encoding == "opus":
            return Coding(OPUS_BIT_RATE, "whole")
        return Coding(1000 * int((options.bitrate or DEFAULT_BITRATE).removesuffix("k")))

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if role is Role.SERVER:
            return _request(parse_json(payload))
        if not text:
            return BareAudio(CURRENT, payload)
        try:
            audio, (kind, index) = self._scanner.scan(payload)
            if audio is None:
                return _response(parse_json(payload))
        except Base64Error as fault:  # nothing after it on this socket can be told from this utterance
            raise MessageError(f"audio: {fault}") from None
        return _sound(kind, audio.tobytes(), index) if kind in WITH_AUDIO else _response(parse_json(payload))

    def encode(self, event: Event) -> str | bytes | None:
        match event:
            case Synthesize():
                return dump_json(_request_fields(event, self.options_for(event.options, None)))
            case CancelContext():
                return None  # the end of the socket says it
            case ContextAccepted(context_id):
                return self._started(context_id)
            case Audio(_, data, index):
                return data if self._binary else dump_json({"type": "audio", "data": _body(data, index, last=False)})
            case ContextFinished(context_id, data, index):
                return self._completed(context_id, data, index)
            case Failed(_, _, message):
                return dump_json({"type": "error", "message": message})
        raise ProtocolError(f"{self.name}: {type(event).__name__} has no message here")

    def manner(self, options: VachanaTtsOptions) -> tuple[str, float]:
        english = options.language in (None, "auto", "en-IN", "IND-IN")
        return "en-US" if english else str(options.language), options.speed or 1.0

    def package(self, samples: bytes, wire: AudioFormat, index: int) -> bytes:
        if wire.container != "wav" or (index and self._wav != "per_chunk"):
            return samples
        size = len(samples) if self._wav == "per_chunk" else UNKNOWN_SIZE
        return wav_header(wire, size) + samples

    def cut(self, package: bytes, index: int) -> Sequence[bytes]:
        pieces = [package]
        if self._wav == "header_first" and index == 0 and package.startswith(b"RIFF"):
            pieces = [package[:WAV_HEADER_BYTES], package[WAV_HEADER_BYTES:]]
        if self._odd_splits:
            middles = [len(piece) // 2 | 1 for piece in pieces]
            pieces = [part for piece, at in zip(pieces, middles, strict=True) for part in (piece[:at], piece[at:])]
        return [piece for piece in pieces if piece]

    def _started(self, context_id: str) -> str | None:
        if self._binary and not self._completes:
            return None  # as on the vendor's page: nothing but audio
        return dump_json({"type": "start", "request_id": context_id, "message": "Synthesis started"})

    def _completed(self, context_id: str, data: bytes, index: int | None) -> str | None:
        if not self._completes:
            return None
        return dump_json({"type": "complete", "request_id": context_id, "data": _body(data, index, last=True)})


def wav_header(wire: AudioFormat, data_bytes: int) -> bytes:
    """A plain header of 44 bytes."""
    bits = 8 * wire.frame_bytes // wire.channels
    sizes = struct.pack("<HIIHH", wire.channels, wire.sample_rate, wire.byte_rate, wire.frame_bytes, bits)
    whole = min(WAV_HEADER_BYTES - 8 + data_bytes, UNKNOWN_SIZE)
    return (
        struct.pack("<4sI8sIH", b"RIFF", whole, b"WAVEfmt ", 16, 1) + sizes + struct.pack("<4sI", b"data", data_bytes)
    )


def _body(data: bytes, index: int | None, *, last: bool) -> dict[str, Any]:
    return {"audio": base64.b64encode(data).decode(), "chunk_index": index, "is_final": last}


def _sound(kind: Any, data: bytes, index: Any) -> Event:
    number = index if isinstance(index, int) else None
    return ContextFinished(CURRENT, data, number) if kind == "complete" else Audio(CURRENT, data, number)


def _response(message: dict[str, Any]) -> Event:
    """A message whose audio, if it has any, is not where the vendor's client looks for it."""
    match message:
        case {"type": "start"}:
            return ContextAccepted(CURRENT)
        case {"type": "audio" | "complete" as kind}:
            body = message.get("data") or {}
            if not isinstance(body, dict):
                raise MessageError(f"data: expected an object, got {type(body).__name__}")
            return _sound(kind, _audio_of(message, body), body.get("chunk_index"))
        case {"type": "error"}:
            return Failed(None, "", str(message.get("message") or "unspecified error"))
    return Unknown(str(message.get("type") or ",".join(message)), message)


def _audio_of(message: Mapping[str, Any], body: Mapping[str, Any]) -> bytes:
    """Pipecat's client also takes `audio` beside `type`."""
    sound = message.get("audio") if body.get("audio") is None else body["audio"]
    if not isinstance(sound, str | None):
        raise MessageError(f"audio: expected base64, got {type(sound).__name__}")
    return decode_base64(sound or "").tobytes()


def _request_fields(request: Synthesize, options: VachanaTtsOptions) -> dict[str, Any]:
    config = {name: getattr(options, name) for name in (*_AUDIO_CONFIG, "bitrate")}
    voice, clone = request.voice, options.speaker_embedding
    if voice is None and clone is None and (voice := DEFAULT_VOICES.get(options.model)) is None:
        raise ConfigurationError(f"voice: expected one, or a speaker_embedding, with the model {options.model!r}")
    return without_unset(
        {
            "text": request.text,
            "voice": None if clone else voice,
            "model": options.model,
            "language": options.language,
            "speed": options.speed,
            "request_id": request.context_id,
            "audio_config": without_unset(config),
            "speaker_embedding": clone
            and {"embedding": clone.embedding, "shape": list(clone.shape), "dtype": clone.dtype},
        }
    )


def _request(message: Mapping[str, Any]) -> Event:
    fields = without_unset(dict(message))
    context_id = fields.get("request_id") or str(uuid.uuid4())
    if not isinstance(context_id, str):
        return Malformed(None, "", f"request_id: expected str, got {type(context_id).__name__}")
    try:
        return _synthesize(context_id, fields)
    except ValueError as fault:  # voicecore's own errors for bad fields are ValueErrors too
        return Malformed(context_id, "", str(fault))


def _synthesize(context_id: str, fields: Mapping[str, Any]) -> Synthesize:
    expect_text("request_id", context_id, 200)
    clone, config = fields.get("speaker_embedding"), fields.get("audio_config", {})
    expect_type("speaker_embedding", clone, dict)
    expect_type("audio_config", config, dict)
    needed = {"text": fields, "model": fields, **({} if clone else {"voice": fields})}
    for name, place in (*needed.items(), *((name, config) for name in _AUDIO_CONFIG)):
        if place.get(name) is None:
            raise ConfigurationError(f"'{name}' is required")
    expect_text("text", fields["text"], MAX_TEXT)
    expect_type("voice", fields.get("voice"), str)
    known = {name: fields[name] for name in ("model", "language", "speed") if name in fields}
    audio = {name: config[name] for name in (*_AUDIO_CONFIG, "bitrate") if config.get(name) is not None}
    options = VachanaTtsOptions(**known, **audio, speaker_embedding=clone and _clone(clone))
    return Synthesize(context_id, fields["text"], fields.get("voice"), options)


def _clone(fields: Mapping[str, Any]) -> SpeakerEmbedding:
    given = {name: fields.get(name) for name in ("embedding", "shape", "dtype")}
    return SpeakerEmbedding(**without_unset({"embedding": "", "shape": (), **without_unset(given)}))
