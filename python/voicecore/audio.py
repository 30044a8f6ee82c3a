"""What a stream of audio is, and one piece of it.

`AudioFormat` describes, `AudioChunk` carries. Neither converts anything: that is `voicecore.codec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from voicecore.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "pcm_s24le", "pcm_s32le", "mp3", "opus"]
Container = Literal["raw", "wav", "ogg"]

# Spellings of telephony systems, accepted as input only; FFmpeg's name is the one we give back.
_ALIASES: dict[str, Encoding] = {"ulaw": "mulaw", "PCMU": "mulaw", "PCMA": "alaw"}
_SAMPLE_BYTES: dict[Encoding, int] = {
    "pcm_s16le": 2,
    "pcm_f32le": 4,
    "mulaw": 1,
    "alaw": 1,
    "pcm_s24le": 3,
    "pcm_s32le": 4,
}
# Coded: packets instead of samples, in the one container that is usual for each.
_CODED: dict[Encoding, Container] = {"mp3": "raw", "opus": "ogg"}
# Bytes of a second of coded speech. The stream does not say beforehand; vendors send 32 to 128 kbit/s.
_CODED_BYTE_RATE = 4_000

MIN_SAMPLE_RATE = 4_000
MAX_SAMPLE_RATE = 192_000
MAX_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A stream of audio: `encoding` (FFmpeg's spelling), `sample_rate` in Hz, `channels`, `container`.

    The encoding says what the samples are, the container what is around them. `AudioFormat("mp3", 22_050)` and
    `AudioFormat("opus", 24_000, container="ogg")` are coded: what they say of rate and channels is overruled by the
    stream, and `Transcoder` takes them as sources only, as it does pcm_s24le and pcm_s32le.

    Raises `FormatError` (a `ValueError`) for anything that voicecore does not support.
    """

    encoding: Encoding
    sample_rate: int
    channels: int = 1
    container: Container = "raw"

    def __post_init__(self) -> None:
        encoding = _ALIASES.get(self.encoding, self.encoding)
        known = (*_SAMPLE_BYTES, *_CODED)
        _expect(encoding in known, "encoding", f"one of {', '.join(known)}", self.encoding)
        object.__setattr__(self, "encoding", encoding)
        _expect_int("sample_rate", self.sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE, " Hz")
        _expect_int("channels", self.channels, 1, MAX_CHANNELS, "")
        _expect_container(encoding, self.container)

    @property
    def is_coded(self) -> bool:
        """Whether it has packets instead of samples: MP3 and Opus."""
        return self.encoding in _CODED

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame (one sample of each channel); 1 for a coded stream, which can be cut anywhere."""
        return 1 if self.is_coded else _SAMPLE_BYTES[self.encoding] * self.channels

    @property
    def byte_rate(self) -> int:
        """Bytes of one second, the container's headers aside; for a coded stream a nominal 4000."""
        return _CODED_BYTE_RATE if self.is_coded else self.frame_bytes * self.sample_rate

    def __str__(self) -> str:
        wrapped = f" in {self.container}" if self.container != "raw" else ""
        return f"{self.encoding} {self.sample_rate} Hz {self.channels} ch{wrapped}"


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """A piece of one utterance, in order.

    `samples` is an ndarray of shape `(frames,)`, or `(frames, channels)` for more than one channel: int16 for
    `pcm_s16le`, float32 for `pcm_f32le`, uint8 for everything else (also for the vendor's own bytes).
    """

    samples: npt.NDArray[np.int16] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]
    format: AudioFormat
    context_id: str
    sequence: int

    @property
    def data(self) -> bytes:
        """The samples as bytes, little-endian."""
        return self.samples.tobytes()

    @property
    def duration(self) -> float:
        """Seconds of audio; a container's header bytes count as audio here, so it is exact for `raw` only."""
        return self.samples.nbytes / self.format.byte_rate


def _expect(holds: bool, what: str, expected: str, got: object) -> None:
    if not holds:
        raise FormatError(f"{what}: expected {expected}, got {got!r}")


def _expect_container(encoding: Encoding, got: object) -> None:
    _expect(got in get_args(Container), "container", "raw, wav or ogg", got)
    if encoding in _CODED:
        _expect(got == _CODED[encoding], "container", f"{_CODED[encoding]} for {encoding}", got)
    _expect(got != "ogg" or encoding == "opus", "container", f"raw or wav for {encoding}", got)


def _expect_int(what: str, got: Any, low: int, high: int, unit: str) -> None:
    whole = isinstance(got, int) and not isinstance(got, bool)
    _expect(whole and low <= got <= high, what, f"{low} to {high}{unit}", got)
