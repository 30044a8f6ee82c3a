"""WAV streams: any cut, any header, and what the stdlib's `wave` writes."""

import io
import struct
import wave

import pytest
from codec_oracles import cut, fixed, noise
from hypothesis import given
from hypothesis import strategies as st

from voicecore import AudioFormat, codec
from voicecore.errors import ContainerError, FormatError, InvalidBufferError

PCM = AudioFormat("pcm_s16le", 16000)
SAMPLES = noise(300).tobytes()


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def header(size, *, tag=1, channels=1, rate=16000, bits=16, before=b""):
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    data = b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + chunk(b"fmt ", fmt) + before + data


def read(pieces, assumed=None):
    reader = codec.WavReader(assumed)
    samples = [reader.feed(piece) for piece in pieces]
    return b"".join([*samples, reader.finish()]), reader


def test_what_the_standard_library_writes():
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(44100)
        writer.writeframes(SAMPLES)
    samples, reader = read([file.getvalue()])
    assert samples == SAMPLES
    assert reader.format == AudioFormat("pcm_s16le", 44100, channels=2)


@pytest.mark.fault(23, "deepdub-open", "deepdub-ws", "uplift", "uplift-socketio", "vachana-tts")
@pytest.mark.parametrize("size", [len(SAMPLES), 0, 0x7FFFFFFF, 0xFFFFFFFF], ids=hex)
@pytest.mark.parametrize("before", [b"", chunk(b"LIST", b"odd")], ids=["plain", "list"])
@fixed
@given(cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_cut_anywhere(size, before, cuts):
    assert read(cut(header(size, before=before) + SAMPLES, cuts))[0] == SAMPLES


@pytest.mark.fault(23, "deepdub-open", "deepdub-ws", "uplift", "uplift-socketio", "vachana-tts")
@fixed
@given(cuts=st.lists(st.integers(0, 5000), max_size=12))
def test_a_header_per_chunk_and_chunks_behind_the_data(cuts):
    part = header(len(SAMPLES)) + SAMPLES
    assert read(cut(part + part + chunk(b"LIST", b"tail"), cuts))[0] == SAMPLES * 2


@pytest.mark.parametrize(
    ("tag", "bits", "encoding"),
    [(1, 16, "pcm_s16le"), (3, 32, "pcm_f32le"), (6, 8, "alaw"), (7, 8, "mulaw")],
)
def test_encodings(tag, bits, encoding):
    reader = codec.WavReader()
    assert reader.format is None
    reader.feed(header(0, tag=tag, bits=bits, rate=8000))
    assert reader.format == AudioFormat(encoding, 8000)


def test_bare_samples_need_an_assumed_format():
    samples, reader = read([SAMPLES], assumed=AudioFormat("pcm_s16le", 8000, container="wav"))
    assert samples == SAMPLES
    assert reader.format == AudioFormat("pcm_s16le", 8000)
    with pytest.raises(ContainerError):
        read([SAMPLES])


def test_faults():
    with pytest.raises(ContainerError):  # ends inside the header
        read([header(0)[:30]])
    with pytest.raises(FormatError, match="8-bit PCM"):
        read([header(0, bits=8)])
    with pytest.raises(ContainerError):  # another rate midway
        read([header(len(SAMPLES)) + SAMPLES, header(0, rate=8000) + SAMPLES])
    with pytest.raises(InvalidBufferError):
        codec.WavReader().feed("text")


def test_large_input_in_mutable_memory():
    samples = noise(200_000).tobytes()
    assert read([bytearray(header(len(samples)) + samples)])[0] == samples


def test_reset_begins_a_new_stream():
    reader = codec.WavReader()
    reader.feed(header(0)[:30])
    reader.reset()
    assert reader.feed(header(0) + SAMPLES) + reader.finish() == SAMPLES


def test_empty():
    assert read([b"", b""], assumed=PCM)[0] == b""
