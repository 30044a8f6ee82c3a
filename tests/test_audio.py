"""What a format accepts, and what a chunk says of itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from voicecore.audio import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, AudioChunk, AudioFormat
from voicecore.errors import FormatError


@pytest.mark.parametrize(
    ("encoding", "sample_rate", "channels", "frame_bytes", "byte_rate"),
    [
        ("pcm_s16le", 16_000, 1, 2, 32_000),
        ("pcm_s16le", 48_000, 2, 4, 192_000),
        ("pcm_f32le", 44_100, 2, 8, 352_800),
        ("mulaw", 8_000, 1, 1, 8_000),
        ("alaw", 8_000, 64, 64, 512_000),
        ("pcm_s24le", 48_000, 2, 6, 288_000),
        ("pcm_s32le", 8_000, 1, 4, 32_000),
        ("mp3", 44_100, 2, 1, 4_000),
    ],
)
def test_bytes_of_a_frame_and_of_a_second(encoding, sample_rate, channels, frame_bytes, byte_rate):
    audio = AudioFormat(encoding, sample_rate, channels)
    assert (audio.frame_bytes, audio.byte_rate) == (frame_bytes, byte_rate)


@pytest.mark.parametrize(("alias", "name"), [("ulaw", "mulaw"), ("PCMU", "mulaw"), ("PCMA", "alaw")])
def test_telephony_spellings_are_taken_and_not_given_back(alias, name):
    assert AudioFormat(alias, 8000) == AudioFormat(name, 8000)
    assert AudioFormat(alias, 8000).encoding == name


@pytest.mark.parametrize("encoding", ["", "vorbis", "PCM_S16LE", "linear16", 7, None])
def test_an_unknown_encoding_is_refused_with_the_known_ones(encoding):
    known = "pcm_s16le, pcm_f32le, mulaw, alaw, pcm_s24le, pcm_s32le, mp3, opus"
    with pytest.raises(FormatError, match=f"encoding: expected one of {known}, got") as caught:
        AudioFormat(encoding, 8000)
    assert repr(encoding) in str(caught.value) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("rate", [MIN_SAMPLE_RATE - 1, MAX_SAMPLE_RATE + 1, 0, -8000, 8000.0, "8000", True, None])
def test_an_unknown_rate_is_refused(rate):
    with pytest.raises(FormatError, match="sample_rate: expected 4000 to 192000 Hz, got"):
        AudioFormat("mulaw", rate)


@pytest.mark.parametrize("channels", [0, MAX_CHANNELS + 1, -1, 1.0, "1", True])
def test_an_unknown_channel_count_is_refused(channels):
    with pytest.raises(FormatError, match="channels: expected 1 to 64, got"):
        AudioFormat("mulaw", 8000, channels)


@pytest.mark.parametrize("container", ["flac", "WAV", None])
def test_an_unknown_container_is_refused(container):
    with pytest.raises(FormatError, match="container: expected raw, wav or ogg, got"):
        AudioFormat("mulaw", 8000, container=container)


@pytest.mark.parametrize(
    ("encoding", "container", "expected"),
    [
        ("mulaw", "ogg", "raw or wav for mulaw"),
        ("opus", "raw", "ogg for opus"),
        ("opus", "wav", "ogg for opus"),
        ("mp3", "wav", "raw for mp3"),
    ],
)
def test_an_encoding_in_a_container_that_it_is_never_in_is_refused(encoding, container, expected):
    with pytest.raises(FormatError, match=f"container: expected {expected}, got {container!r}"):
        AudioFormat(encoding, 48_000, container=container)


def test_a_coded_format_says_so():
    assert AudioFormat("opus", 24_000, container="ogg").is_coded
    assert not AudioFormat("pcm_s24le", 24_000, container="wav").is_coded


@pytest.mark.parametrize("rate", [MIN_SAMPLE_RATE, MAX_SAMPLE_RATE])
def test_the_bounds_themselves_are_taken(rate):
    assert AudioFormat("mulaw", rate, MAX_CHANNELS).sample_rate == rate


@pytest.mark.parametrize(
    ("audio", "text"),
    [
        (AudioFormat("pcm_s16le", 16_000), "pcm_s16le 16000 Hz 1 ch"),
        (AudioFormat("mulaw", 8_000, 2, "wav"), "mulaw 8000 Hz 2 ch in wav"),
    ],
)
def test_a_format_reads_well(audio, text):
    assert str(audio) == text


def test_a_format_is_a_value():
    audio = AudioFormat("mulaw", 8000)
    assert {audio: 1}[AudioFormat("ulaw", 8000)] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        audio.sample_rate = 16_000


@pytest.mark.parametrize(
    ("samples", "audio", "seconds"),
    [
        (np.zeros(16_000, np.int16), AudioFormat("pcm_s16le", 16_000), 1.0),
        (np.zeros((4_800, 2), np.int16), AudioFormat("pcm_s16le", 48_000, 2), 0.1),
        (np.zeros((441, 2), np.float32), AudioFormat("pcm_f32le", 44_100, 2), 0.01),
        (np.zeros(480, np.uint8), AudioFormat("mulaw", 8_000), 0.06),
        (np.zeros(32, np.uint8), AudioFormat("pcm_s16le", 16_000), 0.001),  # a vendor's own bytes
        (np.zeros(0, np.int16), AudioFormat("pcm_s16le", 16_000), 0.0),
    ],
)
def test_a_chunk_knows_its_seconds(samples, audio, seconds):
    assert AudioChunk(samples, audio, "a", 0).duration == pytest.approx(seconds)


def test_a_chunk_gives_its_bytes():
    samples = np.array([[1, -2], [3, 4]], "<i2")
    assert AudioChunk(samples, AudioFormat("pcm_s16le", 8000, 2), "a", 0).data == samples.tobytes()
