"""MP3, Opus in Ogg and WAV through the Transcoder: against two other decoders, cut anywhere, damaged anyhow.

Tolerance: 1e-5 of full scale (a third of an int16 step) for every sample, and the exact length.
"""

import base64
import io
import wave

import numpy as np
import pytest
import soundfile
from codec_oracles import cut, fixed
from hypothesis import given
from hypothesis import strategies as st
from support.formats import by_ffmpeg, by_libsndfile, checksummed, mp3, ogg, pages, voice

from voicecore import AudioFormat, codec
from voicecore.errors import ContainerError, FormatError, InvalidBufferError

TOLERANCE = 1e-5
MP3 = AudioFormat("mp3", 22_050)
OPUS = AudioFormat("opus", 24_000, container="ogg")
FLOAT = AudioFormat("pcm_f32le", 48_000)


def decode(pieces, source, target=None):
    """The samples of all pieces, and the transcoder."""
    transcoder = codec.Transcoder(source, target or FLOAT)
    samples = [transcoder.process(piece) for piece in pieces]
    return np.concatenate([*samples, transcoder.flush()]), transcoder


def native(data):
    """The samples at the stream's own rate and channels, (frames, channels) of float32; nothing was wrong."""
    source = codec.detect(data)
    target = AudioFormat("pcm_f32le", source.sample_rate, source.channels)
    samples, transcoder = decode([data], source, target)
    assert (transcoder.skipped_bytes, transcoder.concealed_frames, transcoder.dangling_bytes) == (0, 0, 0)
    return samples.reshape(len(samples), source.channels)


def agree(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < TOLERANCE


# --- MP3 -------------------------------------------------------------------------------------------------

RATES = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_mp3_at_every_rate_is_what_others_decode_and_as_long_as_its_source(rate, channels):
    data = mp3(rate, channels, 32_000 * channels)
    assert codec.detect(data) == AudioFormat("mp3", rate, channels)
    ours = native(data)
    assert len(ours) == len(voice(rate, 0.5))
    agree(ours, by_ffmpeg(data))
    agree(ours, by_libsndfile(data))


@pytest.mark.parametrize("bit_rate", [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320])
def test_mp3_at_every_bit_rate(bit_rate):
    data = mp3(48_000, 2, 1000 * bit_rate)
    agree(native(data), by_ffmpeg(data))


@pytest.mark.parametrize("bit_rate", [8, 16, 24, 40, 56, 80, 112, 144, 160])
def test_mp3_at_every_bit_rate_of_mpeg_2(bit_rate):
    data = mp3(16_000, 1, 1000 * bit_rate)
    agree(native(data), by_ffmpeg(data))


@pytest.mark.parametrize("options", [(("joint_stereo", "0"),), (("abr", "1"),), (("reservoir", "0"),)], ids=str)
def test_mp3_however_it_is_coded(options):
    data = mp3(44_100, 2, 96_000, options=options)
    agree(native(data), by_ffmpeg(data))


def test_mp3_of_a_stream_has_no_tags_and_keeps_the_coders_delay():
    data = mp3(24_000, bare=True)
    ours = native(data)
    agree(ours, by_ffmpeg(data))
    assert len(ours) % 576 == 0
    assert len(ours) > 12_000


@pytest.mark.parametrize(
    ("source", "data"), [(MP3, mp3(8000, 1, 8000, 0.3)), (OPUS, ogg(1, 12_000, 0.1))], ids=["mp3", "ogg"]
)
def test_every_cut_in_two_gives_the_same_samples(source, data):
    whole, _ = decode([data], source)
    for at in range(len(data)):
        parts, transcoder = decode([data[:at], data[at:]], source)
        assert np.array_equal(parts, whole), at
        assert transcoder.skipped_bytes == transcoder.concealed_frames == 0


@pytest.mark.parametrize("source", [MP3, OPUS], ids=str)
@pytest.mark.parametrize("size", [1, 7, 160, 1000])
def test_pieces_of_any_size_give_the_same_samples(source, size):
    data = mp3(44_100, 2, 64_000) if source is MP3 else ogg(2, 48_000, page_seconds=0.1)
    target = AudioFormat("pcm_s16le", 16_000)
    parts, _ = decode([data[at : at + size] for at in range(0, len(data), size)], source, target)
    assert np.array_equal(parts, decode([data], source, target)[0])


@fixed
@given(cuts=st.lists(st.integers(0, 9000), max_size=20), data=st.sampled_from(["mp3", "ogg"]))
def test_cut_anywhere(cuts, data):
    source, stream = (MP3, mp3(22_050) * 2) if data == "mp3" else (OPUS, ogg(page_seconds=0.06) * 2)
    assert np.array_equal(decode(cut(stream, cuts), source)[0], decode([stream], source)[0])


@pytest.mark.parametrize("declared", [8000, 22_050, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_stream_overrules_what_was_declared(declared, channels):
    data = mp3(24_000)
    samples, _ = decode([data], AudioFormat("mp3", declared, channels), AudioFormat("pcm_f32le", 24_000))
    agree(samples[:, None], by_ffmpeg(data))


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize("data", [mp3(22_050, 2, 48_000), ogg(2)], ids=["mp3", "ogg"])
def test_what_follows_the_decoder_is_the_same_chain_as_ever(encoding, rate, data):
    source = codec.detect(data)
    samples = native(data)
    target = AudioFormat(encoding, rate)
    chain = codec.Transcoder(AudioFormat("pcm_f32le", source.sample_rate, 2), target)
    assert np.array_equal(decode([data], source, target)[0], np.concatenate([chain.process(samples), chain.flush()]))


def test_the_first_frame_is_decoded_when_its_last_byte_is_there():
    data = mp3(24_000, bare=True)  # 32 kbit/s: frames of 96 bytes, 24 ms
    transcoder = codec.Transcoder(MP3, AudioFormat("pcm_s16le", 24_000))
    assert len(transcoder.process(data[:95])) == 0
    assert len(transcoder.process(data[95:96])) == 576
    assert len(transcoder.process(data[96:192])) == 576


def id3v2(size, *, footer=False):
    length = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    head = b"ID3\4\0" + bytes([0x10 if footer else 0]) + length
    return head + b"\xff\xfb\x90\x64" * (size // 4) + bytes(size % 4) + (b"3DI" + head[3:] if footer else b"")


APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (40 + 32).to_bytes(4, "little") + bytes(4)
TAGS = {
    "id3v2": (id3v2(300), b""),
    "id3v2 with a footer": (id3v2(130, footer=True), b""),
    "id3v2 twice": (id3v2(10) + id3v2(200), b""),
    "id3v1": (b"", b"TAG" + bytes(125)),
    "extended": (b"", b"TAG+" + bytes(223) + b"TAG" + b"\xff" * 125),
    "ape": (b"", APE + b"\0\0\0\xa0" + bytes(8) + b"\xff\xf3" * 20 + APE + b"\0\0\0\x80" + bytes(8)),
    "all": (id3v2(500), APE + b"\0\0\0\xa0" + bytes(8 + 40) + APE + b"\0\0\0\x80" + bytes(8) + b"TAG" + bytes(125)),
}


@pytest.mark.parametrize("name", TAGS)
def test_tags_are_no_audio_wherever_they_are_cut(name):
    before, behind = TAGS[name]
    audio = mp3(24_000, bare=True, seconds=0.2)
    stream = before + audio + behind
    bare, _ = decode([audio], MP3)
    for size in (1, 3, 50, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        samples, transcoder = decode(pieces, MP3)
        assert np.array_equal(samples, bare)
        assert transcoder.skipped_bytes == 0


def test_a_file_per_chunk_is_decoded_and_trimmed_file_by_file():
    files = [mp3(24_000, seconds=0.1 * n) for n in (1, 2, 3)]
    target = AudioFormat("pcm_f32le", 24_000)
    samples, _ = decode(files, MP3, target)
    assert np.array_equal(samples, np.concatenate([native(file)[:, 0] for file in files]))
    assert len(samples) == 24_000 * 6 // 10


def test_audio_behind_the_end_that_the_tag_declares_is_audio():
    samples, _ = decode([mp3(24_000), mp3(24_000, bare=True)], MP3, AudioFormat("pcm_f32le", 24_000))
    assert len(samples) == 12_000 + len(native(mp3(24_000, bare=True)))


@pytest.mark.parametrize(
    "junk", [b"x", b"\xff\xfb\x90", bytes(1000), b"\xff" * 777, b"RIFF....WAVE", b"ID3", b"{}" * 5000]
)
def test_junk_between_frames_is_skipped_and_counted(junk):
    data = mp3(24_000, bare=True, options=(("reservoir", "0"),))
    at = 96 * 7
    target = AudioFormat("pcm_f32le", 24_000)
    samples, transcoder = decode([data[:at], junk, data[at:]], MP3, target)
    assert transcoder.skipped_bytes == len(junk)
    whole = native(data)[:, 0]
    assert len(samples) == len(whole)
    assert np.array_equal(samples[: 576 * 7], whole[: 576 * 7])
    assert np.array_equal(samples[576 * 9 :], whole[576 * 9 :])  # the decoder began afresh


def test_a_stream_that_is_joined_midway_and_left_midway():
    data = mp3(24_000, bare=True, options=(("reservoir", "0"),))
    samples, transcoder = decode([data[50 : 96 * 8 + 30]], MP3, AudioFormat("pcm_f32le", 24_000))
    assert len(samples) == 576 * 7
    assert (transcoder.skipped_bytes, transcoder.dangling_bytes) == (46, 30)
    assert np.abs(samples[576 * 2 :] - native(data)[576 * 3 : 576 * 8, 0]).max() < TOLERANCE


def test_frames_that_need_what_is_lost_are_silent_and_counted():
    data = mp3(24_000, bare=True)
    samples, transcoder = decode([data[96 * 9 :]], MP3, AudioFormat("pcm_f32le", 24_000))
    assert len(samples) == len(native(data)) - 576 * 9
    assert transcoder.concealed_frames % 576 == 0
    lost = transcoder.concealed_frames
    assert 0 < lost <= 576 * 3
    assert not samples[:lost].any()


def test_a_change_midway_is_an_error_behind_the_audio_before_it():
    first, second = mp3(24_000, bare=True), mp3(16_000, bare=True)
    target = AudioFormat("pcm_f32le", 24_000)
    transcoder = codec.Transcoder(MP3, target)
    samples = transcoder.process(first + second)
    assert np.array_equal(samples, native(first)[:, 0])
    for _ in range(2):
        with pytest.raises(ContainerError, match="expected mp3 24000 Hz 1 ch, got mp3 16000 Hz 1 ch"):
            transcoder.process(b"")
    transcoder.reset()
    assert len(transcoder.process(second)) > 0


def test_mixed_blocks_at_8_khz_are_made_up_for():
    data = bytearray(mp3(8000, 1, 8000, bare=True, options=(("reservoir", "0"),)))
    for bit, value in enumerate([1, 1, 0, 1], start=(72 * 4 + 4) * 8 + 8 + 1 + 38):  # a short block, mixed; in frame 4
        place, shift = bit // 8, 7 - bit % 8
        data[place] = data[place] & ~(1 << shift) | value << shift
    samples, transcoder = decode([bytes(data)], MP3, AudioFormat("pcm_f32le", 8000))
    assert len(samples) == len(native(mp3(8000, 1, 8000, bare=True, options=(("reservoir", "0"),))))
    assert transcoder.concealed_frames == 576


def test_a_stream_of_opus_that_is_joined_midway_begins_with_the_next_file():
    data = ogg(page_seconds=0.1)
    tail = b"".join(pages(data)[3:])
    samples, transcoder = decode([tail + data], OPUS)
    assert np.array_equal(samples, native(data)[:, 0])
    assert transcoder.skipped_bytes == len(tail)


@pytest.mark.parametrize("source", [MP3, OPUS], ids=str)
@pytest.mark.parametrize("data", [b"{", b'{"error": "no voice"}' * 100, bytes(5000), b"OggS", b"\xff\xfb\x90\x64"])
def test_a_stream_of_something_else_is_an_error_at_its_end(source, data):
    transcoder = codec.Transcoder(source, FLOAT)
    assert len(transcoder.process(data)) == 0
    with pytest.raises(ContainerError, match="expected a"):
        transcoder.flush()


@pytest.mark.parametrize("source", [MP3, OPUS], ids=str)
def test_an_empty_stream_is_no_error(source):
    transcoder = codec.Transcoder(source, FLOAT)
    assert len(transcoder.process(b"")) == len(transcoder.flush()) == 0


# --- Opus ------------------------------------------------------------------------------------------------

CODED = [
    (1, 12_000, (("application", "voip"),)),
    (1, 24_000, (("application", "voip"), ("frame_duration", "60"))),
    (1, 24_000, (("application", "voip"), ("frame_duration", "40"))),
    (1, 32_000, (("application", "voip"), ("frame_duration", "10"))),
    (2, 40_000, (("application", "voip"),)),
    (1, 64_000, (("application", "audio"),)),
    (2, 128_000, (("application", "audio"), ("frame_duration", "5"))),
    (1, 96_000, (("application", "lowdelay"), ("frame_duration", "2.5"))),
    (1, 16_000, (("vbr", "off"), ("frame_duration", "120"))),
    (2, 510_000, (("vbr", "constrained"),)),
]


@pytest.mark.parametrize(("channels", "bit_rate", "options"), CODED, ids=str)
def test_opus_is_what_libopus_decodes_and_as_long_as_its_source(channels, bit_rate, options):
    data = ogg(channels, bit_rate, options=options)
    assert codec.detect(data) == AudioFormat("opus", 48_000, channels, container="ogg")
    ours = native(data)
    assert len(ours) == 24_000
    agree(ours, by_libsndfile(data))


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.0301, 0.5555])
def test_opus_ends_where_its_source_ended(seconds):
    data = ogg(seconds=seconds)
    assert len(native(data)) == round(48_000 * seconds)
    agree(native(data), by_libsndfile(data))


def test_a_whole_ogg_file_per_chunk():
    files = [ogg(seconds=0.1 * n, options=(("application", "voip"),)) for n in (1, 2, 3)]
    samples, transcoder = decode(files, OPUS)
    assert np.array_equal(samples, np.concatenate([native(file)[:, 0] for file in files]))
    assert len(samples) == 48_000 * 6 // 10
    assert transcoder.concealed_frames == transcoder.skipped_bytes == 0


def test_a_page_is_decoded_when_its_last_byte_is_there():
    head, tags, first, *_ = pages(ogg(page_seconds=0.02))
    transcoder = codec.Transcoder(OPUS, FLOAT)
    assert len(transcoder.process(head + tags + first[:-1])) == 0
    assert len(transcoder.process(first[-1:])) == 960 - 312  # 20 ms without the pre-skip


def test_the_loss_of_a_page_is_made_up_for_and_counted():
    data = pages(ogg(page_seconds=0.02))
    whole = native(b"".join(data))[:, 0]
    samples, transcoder = decode([b"".join(data[:10] + data[11:])], OPUS)
    assert len(samples) == len(whole)
    assert transcoder.concealed_frames == 960
    at = 960 * 8 - 312
    assert np.array_equal(samples[:at], whole[:at])
    assert samples[at : at + 960].any()  # not a hole
    assert np.abs(samples[at + 9600 :] - whole[at + 9600 :]).max() < 0.05  # it recovers


def test_a_long_hole_is_not_filled():
    data = pages(ogg(page_seconds=0.02))
    samples, transcoder = decode([b"".join(data[:10] + data[20:])], OPUS)
    assert transcoder.concealed_frames == 5760
    assert len(samples) == 24_000 - 9600 + 5760


def test_a_page_with_a_wrong_checksum_is_skipped_and_counted():
    data = pages(ogg(page_seconds=0.02))
    broken = data[10][:-1] + bytes([data[10][-1] ^ 1])
    samples, transcoder = decode([b"".join([*data[:10], broken, *data[11:]])], OPUS)
    assert transcoder.skipped_bytes == len(broken)
    assert transcoder.concealed_frames == 960
    assert len(samples) == 24_000


def test_junk_between_pages_is_skipped_and_counted():
    data = pages(ogg(page_seconds=0.1))
    junk = b"OggS" + bytes(30) + b"Ogg"
    samples, transcoder = decode([b"".join([*data[:4], junk, *data[4:]])], OPUS)
    assert np.array_equal(samples, native(b"".join(data))[:, 0])
    assert transcoder.skipped_bytes == len(junk)


def test_a_flood_of_false_heads_ends_with_the_next_stream_but_one():
    false = b"OggS\0" + bytes([200] * 21) + b"\xff"
    files = [ogg(seconds=0.1)] * 200
    samples, transcoder = decode([false * 2000, *files], OPUS)
    assert len(samples) > 4800 * 100
    assert transcoder.skipped_bytes > len(false) * 2000


def test_pages_of_other_streams_are_skipped():
    data = pages(ogg(page_seconds=0.1))
    other = checksummed(data[3][:14] + b"\1\2\3\4" + data[3][18:])
    samples, transcoder = decode([b"".join([*data[:3], other, *data[3:]])], OPUS)
    assert np.array_equal(samples, native(b"".join(data))[:, 0])
    assert transcoder.skipped_bytes == len(other)


def test_a_packet_over_many_pages_and_comments_over_many_pages():
    head, tags, *audio = pages(ogg(seconds=0.1, page_seconds=0.02))
    serial = head[14:18]
    comments = b"OpusTags" + bytes(8) + bytes(70_000)

    def page(number, flags, body, granule, whole):
        laces = bytes([255]) * (len(body) // 255) + (bytes([len(body) % 255]) if whole else b"")
        fixed = b"OggS\0" + bytes([flags]) + granule + serial + number.to_bytes(4, "little") + bytes(4)
        return checksummed(fixed + bytes([len(laces)]) + laces + body)

    none = b"\xff" * 8
    stream = [head, page(1, 0, comments[: 255 * 255], none, False), page(2, 1, comments[255 * 255 :], bytes(8), True)]
    number = 3
    for whole in audio:
        body = whole[27 + whole[26] :]
        if whole[26] == 1 and len(body) < 255:  # one packet: made long by padding, then cut in two
            body = bytes([body[0] | 3, 0x41, 255, 254 - 1]) + body[1:] + bytes(254 + 253)
            stream.append(page(number, 0, body[:255], none, False))
            stream.append(page(number + 1, whole[5] & 4 | 1, body[255:], whole[6:14], True))
            number += 2
        else:
            stream.append(checksummed(whole[:18] + number.to_bytes(4, "little") + whole[22:]))
            number += 1
    samples, transcoder = decode([b"".join(stream)], OPUS)
    assert transcoder.concealed_frames == transcoder.skipped_bytes == 0
    assert np.array_equal(samples, native(b"".join([head, tags, *audio]))[:, 0])
    assert number > 3 + len(audio)


def test_an_output_gain_is_applied():
    head, *rest = pages(ogg())
    at = 28 + 16
    louder = checksummed(head[:at] + (-1541).to_bytes(2, "little", signed=True) + head[at + 2 :])  # -6.02 dB
    ratio = native(b"".join([louder, *rest])) / 0.5
    assert np.abs(ratio - native(b"".join([head, *rest]))).max() < 1e-4


def test_a_packet_without_a_byte_is_made_up_for():
    data = pages(ogg(page_seconds=0.02))
    empty = checksummed(data[10][:26] + b"\1\0")
    samples, transcoder = decode([b"".join([*data[:10], empty, *data[11:]])], OPUS)
    assert transcoder.concealed_frames == 960
    assert len(samples) == 24_000


def test_other_channels_in_a_later_file_are_an_error():
    transcoder = codec.Transcoder(OPUS, FLOAT)
    assert len(transcoder.process(ogg(1) + ogg(2))) == 24_000
    with pytest.raises(ContainerError, match="expected opus 1 ch, got opus 2 ch"):
        transcoder.flush()


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        (b"OpusHead", b"\x01vorbis!", ContainerError, "expected an OpusHead, got a stream of another codec"),
        (b"OpusHead\1", b"OpusHead\x21", ContainerError, "expected OpusHead version 0 or 1, got 33"),
        (b"OpusHead\1\1", b"OpusHead\1\6", FormatError, "6 channels in mapping family 0"),
        (b"OpusHead\1\1", b"OpusHead\1\0", FormatError, "0 channels in mapping family 0"),
    ],
)
def test_a_head_that_cannot_be_followed(old, new, error, message):
    head, *rest = pages(ogg())
    transcoder = codec.Transcoder(OPUS, FLOAT)
    with pytest.raises(error, match=message):
        transcoder.process(checksummed(head.replace(old, new)) + b"".join(rest))


# --- WAV -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_wav_as_its_header_says(subtype, container):
    samples = voice(24_000, 0.2, 2) / 32768
    file = io.BytesIO()
    soundfile.write(file, samples, 24_000, format=container, subtype=subtype)
    data = file.getvalue()
    source = codec.detect(data)
    assert (source.sample_rate, source.channels, source.container) == (24_000, 2, "wav")
    ours, _ = decode(
        [data[:50], data[50:]], AudioFormat("pcm_s16le", 8000, container="wav"), AudioFormat("pcm_f32le", 24_000, 2)
    )
    theirs, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert np.array_equal(ours, theirs)


# --- the rest of the surface -----------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "data"), [(MP3, mp3(24_000)), (OPUS, ogg())], ids=["mp3", "ogg"])
def test_base64_out_and_bank(source, data):
    target = AudioFormat("pcm_s16le", 16_000)
    whole, _ = decode([data], source, target)
    transcoder = codec.Transcoder(source, target)
    encoded = transcoder.process_base64(base64.b64encode(data))
    assert np.array_equal(np.concatenate([encoded, transcoder.flush()]), whole)
    room = np.zeros(len(encoded), np.int16)
    with pytest.raises(InvalidBufferError, match="expected at least"):
        transcoder.process(data, out=room[:-1])
    assert np.array_equal(transcoder.process(bytearray(data), out=room), encoded)
    transcoder.reset()
    raw = codec.Transcoder(AudioFormat("pcm_s16le", 16_000), target)
    bank = codec.TranscoderBank([transcoder, raw, codec.Transcoder(source, target)], threads=2)
    first, second, third = bank.process([data, bytes(640), memoryview(data)])
    assert np.array_equal(first, encoded)
    assert np.array_equal(third, encoded)
    assert len(second) == 320


@pytest.mark.parametrize("encoding", ["mp3", "pcm_s24le", "pcm_s32le"])
def test_what_is_a_source_only(encoding):
    with pytest.raises(FormatError, match=f"expected pcm_s16le, pcm_f32le, mulaw or alaw, got {encoding}"):
        codec.Transcoder(FLOAT, AudioFormat(encoding, 48_000))


def test_channels_that_coded_streams_never_have():
    with pytest.raises(FormatError, match="channels: expected 1 or 2, got 3 of mp3"):
        codec.Transcoder(AudioFormat("mp3", 48_000, 3), AudioFormat("pcm_s16le", 48_000))


def test_what_detect_does_not_know():
    wav = io.BytesIO()
    with wave.open(wav, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(100))
    assert codec.detect(wav.getvalue()) == AudioFormat("pcm_s16le", 8000, container="wav")
    assert codec.detect(wav.getvalue()[:20]) is None
    for head in (
        b"",
        b"fLaC" + bytes(100),
        bytes(8000),
        voice(8000, 1).tobytes(),
        mp3(24_000, bare=True)[:96],
        b"OggS",
    ):
        assert codec.detect(head) is None
    assert codec.detect(id3v2(5000) + mp3(24_000)) == AudioFormat("mp3", 24_000)
