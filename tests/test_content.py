"""What the bytes say against what the vendor said: found out whatever the cuts, and bare samples never wait."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.formats import mp3, ogg

from voicecore.audio import AudioFormat
from voicecore.content import LONGEST_HEAD, TWO_MP3_FRAMES, ContentCheck
from voicecore.vendors.deepdub.common import wav_header

RAW = AudioFormat("pcm_s16le", 16_000)
MULAW = AudioFormat("mulaw", 8_000)
WAV = AudioFormat("pcm_s16le", 16_000, container="wav")
MP3 = AudioFormat("mp3", 22_050)
OPUS = AudioFormat("opus", 48_000, container="ogg")
SAMPLES = np.arange(-4000, 4000, dtype="<i2").tobytes()
STREAMS = {
    WAV: wav_header(16_000, len(SAMPLES)) + SAMPLES,
    MP3: mp3(22_050, bare=True),
    OPUS: ogg(),
}


def check(declared: AudioFormat, pieces: list[bytes]) -> tuple[AudioFormat, bytes]:
    content = ContentCheck(declared)
    passed = b"".join([content.feed(piece) for piece in pieces] + [content.feed(b"", last=True)])
    return content.format, passed


@pytest.mark.parametrize("declared", [RAW, MULAW, WAV, MP3, OPUS], ids=str)
@pytest.mark.parametrize("actual", STREAMS, ids=str)
@given(cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_it_is_what_it_is_whatever_the_cuts(declared, actual, cuts):
    data = STREAMS[actual]
    edges = [0, *sorted(cuts), len(data)]
    assert check(declared, [data[a:b] for a, b in pairwise(edges)]) == (actual, data)


def test_an_mp3_with_tags_is_one():
    assert check(RAW, [mp3(22_050)])[0] == MP3


def test_a_header_of_another_rate_is_another_format():
    data = wav_header(24_000, 4) + bytes(4)
    assert check(WAV, [data]) == (AudioFormat("pcm_s16le", 24_000, container="wav"), data)


@given(st.binary(min_size=1).filter(lambda data: data[0] not in b"RIO\xff"))
def test_bare_samples_pass_at_once(data):
    content = ContentCheck(RAW)
    assert (content.feed(data), content.format) == (data, RAW)


@pytest.mark.parametrize("declared", [MP3, OPUS, WAV], ids=str)
def test_what_was_said_passes_as_soon_as_it_is_known(declared):
    content = ContentCheck(declared)
    head = STREAMS[declared][: 68 if declared is WAV else 4]
    assert content.feed(head) == head


@pytest.mark.parametrize(
    ("head", "longest"),
    [(b"RIFF", LONGEST_HEAD), (b"OggS", LONGEST_HEAD), (b"ID3", LONGEST_HEAD), (b"\xff\xfb\x90\x00", TWO_MP3_FRAMES)],
)
def test_what_only_looks_like_something_waits_for_so_long(head, longest):
    content = ContentCheck(MULAW)
    assert content.feed(head + bytes(longest - len(head) - 1)) == b""
    assert len(content.feed(b"\0")) == longest
    assert content.format == MULAW
    assert content.feed(b"more") == b"more"


@pytest.mark.parametrize("silence", [b"\xff", b"\x7f", b"\xd5", b"\0"])
def test_silence_of_any_law_never_waits(silence):
    content = ContentCheck(MULAW)
    assert content.feed(silence * 160) == silence * 160


@given(st.binary(max_size=4000))
def test_nothing_is_lost_or_changed(data):
    assert check(RAW, [data[:5], data[5:]])[1] == data
