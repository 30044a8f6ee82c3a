"""The codec: G.711, resampling, channels, levels, re-framing, base64, JSON audio messages, WAV, MP3, Opus in Ogg;
all in one call too.

Written in Rust; here are the public names. Everything takes any C-contiguous buffer (bytes, bytearray,
memoryview, ndarray) of shape `(frames,)` or `(frames, channels)`, without a copy where memory allows, and
returns an ndarray, or the written part of `out=`. Samples are int16 or float32 in [-1, 1], little-endian.

One object is used by one thread at a time (`StateError` otherwise); longer calls release the GIL. Bad input
raises a subclass of `voicecore.errors.CodecError`. An `out=` that is too small is refused before anything is
consumed.
"""

from voicecore._core import AudioMessageScanner as AudioMessageScanner
from voicecore._core import Framer as Framer
from voicecore._core import Resampler as Resampler
from voicecore._core import Transcoder as Transcoder
from voicecore._core import TranscoderBank as TranscoderBank
from voicecore._core import WavReader as WavReader
from voicecore._core import dbfs as dbfs
from voicecore._core import decode_alaw as decode_alaw
from voicecore._core import decode_base64 as decode_base64
from voicecore._core import decode_mulaw as decode_mulaw
from voicecore._core import detect as detect
from voicecore._core import downmix as downmix
from voicecore._core import encode_alaw as encode_alaw
from voicecore._core import encode_mulaw as encode_mulaw
from voicecore._core import gain as gain
from voicecore._core import mix as mix
from voicecore._core import peak as peak
from voicecore._core import resample as resample
from voicecore._core import rms as rms
from voicecore._core import silence as silence
from voicecore._core import to_float32 as to_float32
from voicecore._core import to_int16 as to_int16
from voicecore._core import upmix as upmix

__all__ = [
    "AudioMessageScanner",
    "Framer",
    "Resampler",
    "Transcoder",
    "TranscoderBank",
    "WavReader",
    "dbfs",
    "decode_alaw",
    "decode_base64",
    "decode_mulaw",
    "detect",
    "downmix",
    "encode_alaw",
    "encode_mulaw",
    "gain",
    "mix",
    "peak",
    "resample",
    "rms",
    "silence",
    "to_float32",
    "to_int16",
    "upmix",
]
