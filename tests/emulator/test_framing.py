from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.emulator.workers.framing import (
    LENGTHS,
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameParser,
    FramingError,
    encode,
)

FRAMES = [Frame({"id": 1, "kind": "audio"}, b"\0\1"), Frame({"text": "ü\0"}, b""), Frame({}, b"x" * 1000)]


def parse(pieces: list[bytes]) -> list[Frame]:
    parser, frames = FrameParser(), []
    for piece in pieces:
        parser.feed(piece)
        while (frame := parser.next()) is not None:
            frames.append(frame)
    return frames


@given(st.integers(1, 2000))
def test_frames_survive_any_cut(size: int) -> None:
    wire = b"".join(encode(*frame) for frame in FRAMES)
    assert parse([wire[at : at + size] for at in range(0, len(wire), size)]) == FRAMES


def test_too_long_a_frame_is_refused_before_it_is_read() -> None:
    parser = FrameParser()
    parser.feed(LENGTHS.pack(MAX_HEADER_BYTES + 1, 0))
    with pytest.raises(FramingError, match="over the limit"):
        parser.next()
    with pytest.raises(FramingError, match="over the limit"):
        encode({}, bytes(MAX_PAYLOAD_BYTES + 1))
