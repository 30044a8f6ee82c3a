"""G.711: every input against ITU-T G.191, audioop, and the float32 way."""

import numpy as np
import pytest
from codec_oracles import (
    alaw_compress,
    alaw_expand,
    mulaw_compress,
    mulaw_expand,
    noise,
    quantised,
    stdlib_audioop,
)

from voicecore import codec
from voicecore.errors import InvalidBufferError

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = np.arange(256).astype(np.uint8)

audioop = stdlib_audioop()
needs_audioop = pytest.mark.skipif(audioop is None, reason="audioop left the standard library in 3.13")


@pytest.mark.parametrize(
    ("encode", "compress"), [(codec.encode_mulaw, mulaw_compress), (codec.encode_alaw, alaw_compress)]
)
def test_every_sample_is_encoded_as_g191_does(encode, compress):
    expected = [compress(sample) for sample in EVERY_SAMPLE.tolist()]
    assert encode(EVERY_SAMPLE).tolist() == expected


@pytest.mark.parametrize(("decode", "expand"), [(codec.decode_mulaw, mulaw_expand), (codec.decode_alaw, alaw_expand)])
def test_every_code_is_decoded_as_g191_does(decode, expand):
    assert decode(EVERY_CODE).tolist() == [expand(code) for code in range(256)]


@pytest.mark.parametrize(
    ("encode", "decode"),
    [(codec.encode_mulaw, codec.decode_mulaw), (codec.encode_alaw, codec.decode_alaw)],
)
def test_decoding_and_encoding_again_changes_no_value(encode, decode):
    values = decode(EVERY_CODE)
    assert np.array_equal(decode(encode(values)), values)


@needs_audioop
def test_decoding_equals_audioop():
    codes = EVERY_CODE.tobytes()
    assert codec.decode_mulaw(codes).tobytes() == audioop.ulaw2lin(codes, 2)
    assert codec.decode_alaw(codes).tobytes() == audioop.alaw2lin(codes, 2)


@needs_audioop
def test_alaw_encoding_equals_audioop():
    assert codec.encode_alaw(EVERY_SAMPLE).tobytes() == audioop.lin2alaw(EVERY_SAMPLE.tobytes(), 2)


@needs_audioop
def test_mulaw_encoding_differs_from_audioop_by_one_code_in_508_negative_inputs():
    ours = codec.encode_mulaw(EVERY_SAMPLE).astype(int)
    theirs = np.frombuffer(audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2), np.uint8).astype(int)
    differ = np.flatnonzero(ours != theirs)
    assert len(differ) == 508
    assert EVERY_SAMPLE[differ].max() < 0
    assert set(np.abs(ours - theirs)[differ]) == {1}


@pytest.mark.parametrize("encode", [codec.encode_mulaw, codec.encode_alaw])
@pytest.mark.parametrize("frames", [1, 7, 1000, 100_000])
def test_float32_is_scaled_rounded_and_saturated(encode, frames):
    floats = np.random.default_rng(frames).uniform(-1.2, 1.2, frames).astype(np.float32)
    assert np.array_equal(encode(floats), encode(quantised(floats)))


@pytest.mark.parametrize("encode", [codec.encode_mulaw, codec.encode_alaw])
def test_float32_ties_go_to_even_and_what_is_no_number_to_silence(encode):
    floats = np.array([0.5, 1.5, -0.5, -1.5, 32768, -32769, np.inf, -np.inf, np.nan], np.float32) / 32768
    expected = np.array([0, 2, 0, -2, 32767, -32768, 32767, -32768, 0], np.int16)
    assert np.array_equal(encode(floats), encode(expected))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 63, 64, 65, 127, 160, 255, 960, 4097, 70_001])
def test_every_length_equals_a_part_of_the_whole(size):
    pcm, codes = noise(70_001), np.resize(EVERY_CODE, 70_001)
    for encode in (codec.encode_mulaw, codec.encode_alaw):
        assert np.array_equal(encode(pcm[:size]), encode(pcm)[:size])
    for decode in (codec.decode_mulaw, codec.decode_alaw):
        assert np.array_equal(decode(codes[:size]), decode(codes)[:size])


def test_shape_and_dtype_follow_the_input():
    stereo = noise(50, channels=2)
    codes = codec.encode_mulaw(stereo)
    assert (codes.shape, codes.dtype) == ((50, 2), np.uint8)
    back = codec.decode_mulaw(codes)
    assert (back.shape, back.dtype) == ((50, 2), np.int16)
    assert np.array_equal(codec.encode_mulaw(stereo.tobytes()), codes.ravel())
    assert codec.encode_alaw(stereo / np.float32(32768)).shape == (50, 2)


@pytest.mark.parametrize("decode", [codec.decode_mulaw, codec.decode_alaw])
def test_codes_are_octets(decode):
    with pytest.raises(InvalidBufferError, match="data: expected uint8 or raw bytes, got int16"):
        decode(noise(4))
