"""The encoders' messages, read by other hands: libsndfile and FFmpeg for coded streams, numpy for bare samples."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from support.formats import by_ffmpeg, by_libsndfile, pages, voice

from voicecore.audio import AudioFormat
from voicecore.cli.matrix import compare
from voicecore.codec import Transcoder
from voicecore.emulator.encoding import RATES, CodedStream, chunks_of, encodable_rate, encode_file, expect_encoder
from voicecore.errors import ConfigurationError
from voicecore.protocol import Coding

RATE = 22_050
SPOKEN = voice(RATE, 1.5)[:, 0]
PIECE = 700  # samples that come at a time


def spoken_as(wire: AudioFormat, coding: Coding = Coding(), seconds: float = 0.2) -> list[bytes]:  # noqa: B008
    chunks = chunks_of(RATE, wire, coding, seconds)
    made = [c for at in range(0, len(SPOKEN), PIECE) for c in chunks.feed(SPOKEN[at : at + PIECE].tobytes())]
    made.append(chunks.finish())
    assert sum(chunk.seconds for chunk in made) == pytest.approx(len(SPOKEN) / RATE, abs=0.001)
    assert all(chunk.data for chunk in made)
    return [chunk.data for chunk in made]


def at_rate(rate: int, encoding: str = "pcm_s16le") -> np.ndarray:
    transcoder = Transcoder(AudioFormat("pcm_s16le", RATE), AudioFormat(encoding, rate))
    return np.concatenate([transcoder.process(SPOKEN), transcoder.flush()])


def expect_alike(got: np.ndarray, rate: int, *, most_delay: float = 0.001) -> None:
    delay, likeness = compare(got, at_rate(rate), rate)
    assert likeness > 0.95
    assert -2 / rate <= delay <= most_delay  # a coder may be a sample early


# --- bare samples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])
def test_bare_samples_are_the_transcoders(encoding):
    messages = spoken_as(AudioFormat(encoding, 16_000))
    assert b"".join(messages) == at_rate(16_000, encoding).tobytes()
    assert {len(message) for message in messages[:-1]} == {3200 * AudioFormat(encoding, 16_000).frame_bytes}


@pytest.mark.parametrize(("encoding", "subtype"), [("pcm_s24le", "PCM_24"), ("pcm_s32le", "PCM_32")])
def test_wide_samples_are_24_bits_of_the_same(encoding, subtype):
    raw = b"".join(spoken_as(AudioFormat(encoding, 16_000)))
    read = soundfile.read(io.BytesIO(raw), samplerate=16_000, channels=1, format="RAW", subtype=subtype)[0]
    assert np.abs(read - at_rate(16_000, "pcm_f32le")).max() < 2**-22


def test_both_channels_are_the_voice():
    stereo = np.frombuffer(b"".join(spoken_as(AudioFormat("pcm_s16le", RATE, 2))), "<i2").reshape(-1, 2)
    assert np.array_equal(stereo[:, 0], stereo[:, 1]) and np.array_equal(stereo[:, 0], SPOKEN)


# --- coded streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kilobits", [32, 64, 96, 128])
def test_an_mp3_stream_has_its_rate_and_bit_rate_and_is_the_speech(kilobits):
    messages = spoken_as(AudioFormat("mp3", RATE), Coding(1000 * kilobits))
    assert len(messages) > 5
    data = b"".join(messages)
    assert data[:2] == b"\xff\xf3"  # a frame at once: neither tags nor a Xing frame
    with av.open(io.BytesIO(data)) as file:
        assert (file.streams.audio[0].rate, file.streams.audio[0].bit_rate) == (RATE, 1000 * kilobits)
    for decoded in (by_ffmpeg(data), by_libsndfile(data)):
        expect_alike(decoded[:, 0], RATE, most_delay=1106 / RATE)


def test_an_ogg_stream_has_pages_as_long_as_its_messages():
    data = b"".join(spoken_as(AudioFormat("opus", 24_000, container="ogg"), Coding(32_000), 0.2))
    head, tags, *audio = pages(data)
    assert (head[28:36], tags[28:36]) == (b"OpusHead", b"OpusTags")
    assert len(audio) == pytest.approx(1.5 / 0.2, abs=1)
    decoded = by_libsndfile(data)
    assert len(decoded) == len(at_rate(24_000))  # to the sample
    expect_alike(decoded[:, 0], 24_000)


def test_each_message_may_be_a_whole_file():
    messages = spoken_as(AudioFormat("opus", 24_000, container="ogg"), Coding(32_000, "files"), 0.2)
    decoded = [by_libsndfile(message)[:, 0] for message in messages]
    assert [len(part) for part in decoded[:-1]] == [4800] * (len(messages) - 1)
    expect_alike(np.concatenate(decoded), 24_000)


def test_one_message_may_be_the_whole_file():
    [message] = spoken_as(AudioFormat("opus", 48_000, container="ogg"), Coding(32_000, "whole"), 0.2)
    expect_alike(by_libsndfile(message)[:, 0], 48_000)


@pytest.mark.parametrize("encoding", ["mp3", "opus"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_rate_can_be_encoded(encoding, channels):
    for rate in RATES[encoding]:
        audio = AudioFormat(encoding, rate, channels, "ogg" if encoding == "opus" else "raw")
        samples = voice(rate, 0.3, channels)
        info = soundfile.info(io.BytesIO(encode_file(samples, audio, 64_000)))
        assert (info.samplerate, info.channels) == (rate, channels)


@pytest.mark.parametrize(
    ("encoding", "wanted", "rate"),
    [("mp3", 36_000, 44_100), ("mp3", 96_000, 48_000), ("mp3", 22_050, 22_050), ("opus", 22_050, 24_000)],
)
def test_a_rate_that_cannot_be_encoded_becomes_the_next_that_can(encoding, wanted, rate):
    assert encodable_rate(encoding, wanted) == rate


@pytest.mark.parametrize("pieces", ["stream", "files", "whole"])
@pytest.mark.parametrize("encoding", ["mp3", "opus"])
def test_no_speech_is_no_bytes(encoding, pieces):
    wire = AudioFormat(encoding, 24_000, container="ogg" if encoding == "opus" else "raw")
    chunks = chunks_of(RATE, wire, Coding(pieces=pieces), 0.2)
    assert (chunks.feed(b""), chunks.finish().data) == ([], b"")


def test_a_tagged_mp3_is_trimmed_by_its_readers(tmp_path: Path):
    with (tmp_path / "a.mp3").open("w+b") as file:
        stream = CodedStream(AudioFormat("mp3", RATE), file, 64_000, tagged=True)
        stream.write(SPOKEN)
        stream.close()
    assert len(by_libsndfile((tmp_path / "a.mp3").read_bytes())) == len(SPOKEN)


def test_without_an_encoder_it_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "av" else real(name, *a))
    expect_encoder(AudioFormat("mulaw", 8_000))
    with pytest.raises(ConfigurationError, match=r"no encoder for mp3: pip install 'voicecore\[emulator\]'"):
        expect_encoder(AudioFormat("mp3", 8_000))


def test_more_than_two_channels_are_refused():
    with pytest.raises(ConfigurationError, match="expected 1 or 2 for opus, got 3"):
        expect_encoder(AudioFormat("opus", 48_000, 3, "ogg"))
