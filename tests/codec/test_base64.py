"""Strict base64: what the standard library accepts, less what is not canonical, with exact offsets."""

import base64
import binascii

import numpy as np
import pytest
from codec_oracles import fixed
from hypothesis import given
from hypothesis import strategies as st

from voicecore import codec
from voicecore.errors import Base64Error, InvalidBufferError


def canonical(text):
    """The bytes of a text that strict base64 allows; None for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data) == text else None


def offset_of(text):
    with pytest.raises(Base64Error) as caught:
        codec.decode_base64(text)
    assert f"offset {caught.value.offset}" in str(caught.value)
    return caught.value.offset


@fixed
@given(st.binary(max_size=400))
def test_round_trip(data):
    text = base64.b64encode(data)
    for form in (text, text.decode(), bytearray(text), memoryview(text), np.frombuffer(text, np.uint8)):
        decoded = codec.decode_base64(form)
        assert (decoded.dtype, decoded.shape) == (np.uint8, (len(data),))
        assert decoded.tobytes() == data


@pytest.mark.parametrize("size", [*range(200), 960, 65_536, 300_001])
def test_every_length(size):
    data = np.random.default_rng(size).bytes(size)
    assert codec.decode_base64(base64.b64encode(data)).tobytes() == data


@pytest.mark.fault(21, "tts")
@fixed
@given(st.text(alphabet="ABz019+/=\n -_é", max_size=12).map(str.encode))
def test_accepts_exactly_what_is_canonical(text):
    expected = canonical(text)
    if expected is None:
        offset_of(text)
    else:
        assert codec.decode_base64(text).tobytes() == expected


@pytest.mark.parametrize("size", [3, 30, 48, 96, 200, 960, 300_000])
@pytest.mark.parametrize("bad", [b"\n", b"-", b"_", b"\x00", b"\x80", b"\xff", b" ", b"="])
def test_offset_is_that_of_the_first_fault(size, bad):
    text = base64.b64encode(bytes(size))
    for at in sorted({0, 1, len(text) // 3, len(text) // 2, len(text) - 5}):
        if 0 <= at < len(text) - 4:
            broken = text[:at] + bad + text[at + 1 :]
            expected = at + 1 if bad == b"=" and at % 4 >= 2 else at
            assert offset_of(broken) == expected


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("QUJ", 3),  # cut inside a group
        ("Q", 1),
        ("QUJDQ===", 5),  # one symbol cannot be padded
        ("=QUJ", 0),
        ("QQ==QUJD", 4),  # text after the padding
        ("QQ=A", 3),
        ("QR==", 1),  # unused bits are not zero
        ("QUK=", 2),
        ("QUJ\N{LATIN SMALL LETTER E WITH ACUTE}", 3),
        ("QU\ud800D", 2),
    ],
)
def test_offsets_of_named_faults(text, offset):
    assert offset_of(text) == offset


def test_out():
    out = np.full(10, 7, np.uint8)
    result = codec.decode_base64("QUJD", out=out)
    assert np.shares_memory(result, out)
    assert out.tolist() == [65, 66, 67, 7, 7, 7, 7, 7, 7, 7]
    with pytest.raises(InvalidBufferError, match="expected at least 3 items, got 2"):
        codec.decode_base64("QUJD", out=out[:2])


def test_large_text_in_mutable_memory_and_into_out():
    data = np.random.default_rng(0).bytes(600_000)
    text = bytearray(base64.b64encode(data))
    out = np.zeros(700_000, np.uint8)
    assert codec.decode_base64(text, out=out).tobytes() == data
    assert not out[600_000:].any()


def test_what_is_no_text_is_refused():
    with pytest.raises(InvalidBufferError, match="data: expected bytes"):
        codec.decode_base64(None)
