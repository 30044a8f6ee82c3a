"""The codec: G.711, downmix, resampling, base64, JSON audio messages, WAV, and all of it in one call.

Written in Rust; here are the public names. Everything takes any C-contiguous buffer (bytes, bytearray,
memoryview, ndarray) of shape `(frames,)` or `(frames, channels)`, without a copy where memory allows, and
returns an ndarray, or the written part of `out=`. Samples are int16 or float32 in [-1, 1], little-endian.

One object is used by one thread at a time (`StateError` otherwise); longer calls release the GIL. Bad input
raises a subclass of `voicecore.errors.CodecError`. An `out=` that is too small is refused before anything is
consumed.
"""

from voicecore._core import AudioMessageScanner as AudioMessageScanner
from voicecore._core import Resampler as Resampler
from voicecore._core import Transcoder as Transcoder
from voicecore._core import TranscoderBank as TranscoderBank
from voicecore._core import WavReader as WavReader
from voicecore._core import decode_alaw as decode_alaw
from voicecore._core import decode_base64 as decode_base64
from voicecore._core import decode_mulaw as decode_mulaw
from voicecore._core import downmix as downmix
from voicecore._core import encode_alaw as encode_alaw
from voicecore._core import encode_mulaw as encode_mulaw
from voicecore._core import resample as resample

__all__ = [
    "AudioMessageScanner",
    "Resampler",
    "Transcoder",
    "TranscoderBank",
    "WavReader",
    "decode_alaw",
    "decode_base64",
    "decode_mulaw",
    "downmix",
    "encode_alaw",
    "encode_mulaw",
    "resample",
]
