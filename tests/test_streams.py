"""Events to chunks, frames to wire frames, and the numbers beside them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.formats import mp3

from voicecore.audio import AudioFormat
from voicecore.codec import decode_mulaw, resample
from voicecore.content import FormatMismatch
from voicecore.errors import ContainerError
from voicecore.events import Audio, ContextAccepted, ContextFinished
from voicecore.inbox import Received
from voicecore.streams import Metrics, ReplayBuffer, SpeechDecoder, StreamEncoder
from voicecore.vendors.deepdub.common import wav_header

PCM16 = AudioFormat("pcm_s16le", 16_000)
PCM8 = AudioFormat("pcm_s16le", 8_000)
MULAW = AudioFormat("mulaw", 8_000)
WAV16 = AudioFormat("pcm_s16le", 16_000, container="wav")
RAMP = np.arange(-400, 400, dtype="<i2")
TONE = (8000 * np.sin(np.arange(1600) / 8)).astype("<i2")


def audio(data: bytes, at: float = 0.0, **extra) -> Received:
    return Received(Audio("a", data, 0, extra), at)


def finished(data: bytes = b"", at: float = 9.0) -> Received:
    return Received(ContextFinished("a", data), at)


def decoder(wire=PCM16, output=PCM16, metrics=None) -> SpeechDecoder:
    return SpeechDecoder("a", wire, output, metrics or Metrics(0.0))


def decode(pieces: list[bytes], wire=PCM16, output=PCM16, last: bytes = b""):
    speech = decoder(wire, output)
    chunks = [speech.decode(audio(piece)) for piece in pieces] + [speech.decode(finished(last))]
    return [chunk for chunk in chunks if chunk is not None]


def samples_of(chunks) -> list:
    return np.concatenate([chunk.samples for chunk in chunks]).tolist()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


# --- speech ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
def test_any_chunking_gives_the_same_samples(cuts, last_with_data):
    pieces = split(RAMP.tobytes(), cuts)
    last = pieces.pop() if last_with_data else b""
    assert samples_of(decode(pieces, last=last)) == RAMP.tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=10))
def test_any_chunking_gives_the_same_samples_at_another_rate(cuts):
    whole = samples_of(decode([TONE.tobytes()], output=PCM8))
    assert samples_of(decode(split(TONE.tobytes(), cuts), output=PCM8)) == whole
    assert abs(len(whole) - len(TONE) / 2) <= 1


def test_the_resamplers_tail_comes_with_the_end():
    chunks = decode([TONE.tobytes()], output=PCM8)
    assert len(chunks) == 2 and len(chunks[1].samples) > 0
    one_shot = resample(TONE, 16_000, 8_000, quality="voice")
    assert np.abs(np.array(samples_of(chunks)) - one_shot).max() <= 1


def test_a_header_in_every_chunk_is_taken_off():
    pieces = [wav_header(16_000, len(part)) + part for part in split(RAMP.tobytes(), [100, 1000])]
    assert samples_of(decode(pieces, wire=WAV16)) == RAMP.tolist()


def test_mulaw_is_decoded():
    data = bytes(range(256))
    assert samples_of(decode([data], wire=MULAW, output=PCM8)) == decode_mulaw(data).tolist()


def test_chunks_are_numbered_and_named():
    chunks = decode([b"\1\0", b"\2", b"\0", b""], last=b"\3\0")
    assert [(chunk.sequence, chunk.samples.tolist()) for chunk in chunks] == [(0, [1]), (1, [2]), (2, [3])]
    assert {(chunk.context_id, chunk.format) for chunk in chunks} == {("a", PCM16)}


def test_an_event_without_sound_makes_no_chunk():
    speech = decoder()
    assert speech.decode(Received(ContextAccepted("a"), 0.0)) is None
    assert speech.decode(audio(b"")) is None
    assert speech.decode(audio(b"\1")) is None  # half a sample
    assert speech.decode(finished()) is None


def test_no_output_gives_the_vendors_own_bytes():
    chunks = decode([b"\1\2\3", b""], wire=WAV16, output=None, last=b"\4")
    assert [chunk.data for chunk in chunks] == [b"\1\2\3", b"\4"]
    assert chunks[0].format == WAV16 and chunks[0].samples.dtype == np.uint8
    assert decode([], output=None) == []


def test_what_the_vendor_says_beside_the_audio_is_kept():
    speech = decoder()
    speech.decode(audio(b"\0\0", diacritized="x"))
    speech.decode(audio(b"\0\0", other=1))
    assert speech.details == {"diacritized": "x", "other": 1}


def test_sound_that_is_no_wav_is_a_typed_error():
    with pytest.raises(ContainerError):
        decode([b"RIFF\0\0\0\0AIFF" + bytes(100)], wire=WAV16)


# --- metrics ---------------------------------------------------------------------------------------------


def test_metrics_of_an_utterance():
    metrics = Metrics(10.0)
    assert (metrics.ttfb, metrics.duration, metrics.real_time_factor) == (None, None, None)
    speech = decoder(metrics=metrics)
    speech.decode(audio(b"", at=10.1))
    assert metrics.ttfb is None  # the vendor answered, but not with audio
    speech.decode(audio(bytes(16_000), at=10.25))
    speech.decode(audio(bytes(16_000), at=10.5))
    assert metrics.real_time_factor is None
    speech.decode(finished(bytes(32_000), at=11.0))
    assert metrics.ttfb == 0.25 and metrics.duration == 1.0
    assert (metrics.bytes_received, metrics.chunks, metrics.audio_seconds) == (64_000, 3, 2.0)
    assert metrics.real_time_factor == 0.5 and metrics.dangling_bytes == 0
    assert metrics.arrivals == [(0.25, 0.5), (0.5, 0.5), (1.0, 1.0)]


def test_half_a_sample_at_the_end_is_reported_and_never_padded():
    metrics = Metrics(0.0)
    speech = decoder(metrics=metrics)
    assert speech.decode(audio(b"\1\0\2")).samples.tolist() == [1]
    assert speech.decode(finished()) is None
    assert (metrics.dangling_bytes, metrics.bytes_received) == (1, 3)


def test_an_utterance_without_sound_has_no_real_time_factor():
    metrics = Metrics(1.0)
    decoder(metrics=metrics).decode(finished(at=3.0))
    assert (metrics.duration, metrics.real_time_factor, metrics.ttfb) == (2.0, None, None)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_bytes_that_are_not_what_was_said_are_decoded_as_what_they_are(size):
    metrics, warnings = Metrics(0.0), []
    speech = SpeechDecoder("a", PCM8, PCM16, metrics, warnings.append)
    data = wav_header(16_000, 2 * len(RAMP)) + RAMP.tobytes()
    chunks = [speech.decode(audio(data[at : at + size])) for at in range(0, len(data), size)]
    chunks.append(speech.decode(finished()))
    assert samples_of([chunk for chunk in chunks if chunk]) == RAMP.tolist()
    assert warnings == [FormatMismatch("a", PCM8, WAV16)]
    assert (metrics.wire_format, metrics.format_mismatches) == (WAV16, 1)


def test_a_stream_that_ends_before_it_is_known_is_what_was_said():
    metrics, warnings = Metrics(0.0), []
    speech = SpeechDecoder("a", PCM16, PCM16, metrics, warnings.append)
    assert speech.decode(audio(b"RI")) is None
    assert speech.decode(finished(b"FF")).data == b"RIFF"
    assert (metrics.wire_format, metrics.format_mismatches, warnings) == (PCM16, 0, [])


def test_own_bytes_have_the_format_that_they_are_in():
    speech = SpeechDecoder("a", PCM16, None, Metrics(0.0))
    data = wav_header(8_000, 4) + b"abcd"
    chunk = speech.decode(audio(data))
    assert (chunk.data, chunk.format) == (data, AudioFormat("pcm_s16le", 8_000, container="wav"))


def test_damage_of_a_coded_stream_is_counted():
    data, metrics = mp3(24_000, bare=True), Metrics(0.0)
    speech = decoder(AudioFormat("mp3", 24_000), PCM16, metrics)
    speech.decode(audio(data[:960] + b"junk" + data[960:-10]))
    assert speech.decode(finished()) is not None
    assert (metrics.skipped_bytes, metrics.dangling_bytes > 0, metrics.format_mismatches) == (4, True, 0)


def test_a_header_is_the_first_byte():
    metrics = Metrics(0.0)
    decoder(WAV16, metrics=metrics).decode(audio(wav_header(16_000, 0), at=0.5))
    assert metrics.ttfb == 0.5 and metrics.chunks == 0


# --- frames to the vendor --------------------------------------------------------------------------------


def encode(pieces, source=PCM16, wire=PCM16, frame_seconds=0.06, silence=0.0) -> list[bytes]:
    encoder = StreamEncoder(source, wire, round(frame_seconds * wire.sample_rate) * wire.frame_bytes)
    return [frame for piece in pieces for frame in encoder.encode(piece)] + encoder.flush(silence)


@pytest.mark.parametrize(
    ("wire", "frame_seconds", "size"),
    [(MULAW, 0.06, 480), (PCM16, 0.06, 1920), (PCM16, 0.02, 640), (AudioFormat("pcm_s16le", 44_100), 0.06, 5292)],
)
def test_frames_have_the_size_of_their_seconds(wire, frame_seconds, size):
    frame_bytes = round(frame_seconds * wire.sample_rate) * wire.frame_bytes
    encoder = StreamEncoder(wire if wire is not MULAW else PCM8, wire, frame_bytes)
    data = bytes(10 * 5292)
    frames = encoder.encode(data)
    assert frames and {len(frame) for frame in frames} == {size}


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_any_chunking_gives_the_same_frames(cuts):
    data = np.arange(5000, dtype="<i2").tobytes()
    frames = encode(split(data, cuts))
    assert frames == [data[at : at + 1920] for at in range(0, len(data), 1920)]


def test_the_last_frame_may_be_short_and_is_never_empty():
    assert [len(frame) for frame in encode([bytes(1920 + 2)])] == [1920, 2]
    assert [len(frame) for frame in encode([bytes(1920)])] == [1920]
    assert encode([]) == []


@pytest.mark.parametrize(
    ("source", "wire", "sample"),
    [
        (PCM8, MULAW, b"\xff"),
        (PCM8, AudioFormat("alaw", 8_000), b"\xd5"),
        (PCM16, PCM16, b"\0\0"),
        (AudioFormat("pcm_f32le", 16_000), AudioFormat("pcm_f32le", 16_000), bytes(4)),
        (AudioFormat("pcm_s16le", 16_000, 2), AudioFormat("pcm_s16le", 16_000, 2), bytes(4)),
    ],
)
def test_silence_is_silence_in_every_encoding(source, wire, sample):
    frames = encode([], source, wire, silence=0.5)
    assert b"".join(frames) == sample * (wire.sample_rate // 2)
    assert {len(frame) for frame in frames[:-1]} == {round(0.06 * wire.sample_rate) * wire.frame_bytes}


def test_silence_comes_after_the_last_sound():
    frames = encode([b"\1\0" * 10], silence=0.001)
    assert frames == [b"\1\0" * 10 + bytes(32)]


@pytest.mark.parametrize(
    ("source", "wire"),
    [
        (AudioFormat("pcm_s16le", 48_000, 2), PCM16),
        (AudioFormat("pcm_s16le", 44_100), MULAW),
        (AudioFormat("pcm_f32le", 22_050, 2), AudioFormat("pcm_s16le", 24_000)),
        (MULAW, PCM16),
    ],
)
def test_the_length_is_kept_over_a_change_of_rate(source, wire):
    frames = encode([bytes(source.frame_bytes * source.sample_rate)] * 2, source, wire)
    assert abs(len(b"".join(frames)) // wire.frame_bytes - 2 * wire.sample_rate) <= 1


def test_any_buffer_of_the_format_is_taken():
    samples = np.arange(960, dtype="<i2")
    for data in (samples, samples.tobytes(), bytearray(samples.tobytes()), memoryview(samples.tobytes())):
        assert encode([data]) == [samples.tobytes()]


def test_the_numbers_are_finite_or_none():
    metrics = Metrics(float("nan"))
    assert metrics.ttfb is None and math.isnan(metrics.requested_at)


# --- audio that is sent again ----------------------------------------------------------------------------


def replaying(*pieces: bytes, seconds: float = 1.0) -> ReplayBuffer:
    buffer = ReplayBuffer(10, seconds)  # bytes per second
    for piece in pieces:
        buffer.add(piece)
    return buffer


def test_what_no_final_covers_is_sent_again():
    buffer = replaying(b"aaaa", b"bbbb")
    buffer.confirm(0.6)  # in the middle of the second
    assert buffer.replay() == ([b"bbbb"], 0.0)


def test_what_fell_out_without_being_confirmed_is_a_gap_that_is_told_once():
    buffer = replaying(b"aaaa", b"bbbb", b"cccc")
    buffer.confirm(0.3)  # before what is held begins: the first piece is still missing
    assert buffer.replay() == ([b"bbbb", b"cccc"], 0.4)
    assert buffer.replay() == ([b"bbbb", b"cccc"], 0.0)


def test_what_fell_out_and_was_confirmed_later_is_no_gap():
    buffer = replaying(b"aaaa", b"bbbb", b"cccc")
    buffer.confirm(0.4)
    assert buffer.replay() == ([b"bbbb", b"cccc"], 0.0)
