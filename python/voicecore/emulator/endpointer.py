"""Where speech begins and ends in a stream of audio, by its energy. In audio time; it has no clock.

Sees fixed frames of 20 ms however the audio is cut, so the same audio always gives the same result. A frame is
loud when it stands out of the noise floor, which falls at once and rises slowly: steady noise becomes silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
FRAME_SECONDS = 0.02
FRAME_BYTES = 2 * round(FRAME_SECONDS * SAMPLE_RATE)

LOUD_RMS = 100.0  # of int16; nothing softer is speech (-50 dB)
LOUD_OVER_FLOOR = 3.0
FLOOR_RISE = 1.005  # per frame: tenfold in 9 s
START_FRAMES = 3  # loud frames in a row that begin speech
MARGIN_FRAMES = 15  # kept before the first loud frame, and after the last
MAX_UTTERANCE_FRAMES = 1500  # 30 s


@dataclass(frozen=True)
class SpeechStarted:
    """Speech began `at` seconds from the session's start."""

    at: float


@dataclass(frozen=True)
class Utterance:
    """Audio of one utterance: all of it (`is_final`), or as much as was heard by now. Times in seconds."""

    audio: bytes
    start: float
    end: float
    sentence_id: int
    is_final: bool


class Endpointer:
    def __init__(self, utterance_end: float, interim_interval: float | None = None) -> None:
        self._silent_frames_at_end = max(1, round(utterance_end / FRAME_SECONDS))
        self._interim_frames = None if interim_interval is None else max(1, round(interim_interval / FRAME_SECONDS))
        self._bytes = bytearray()  # less than a frame
        self._kept = bytearray()  # the margin before speech, or the utterance so far
        self._floor = LOUD_RMS / LOUD_OVER_FLOOR
        self._frame = 0  # the number of frames seen
        self._loud_in_a_row = 0
        self._first_loud: int | None = None  # of the utterance; None between utterances
        self._last_loud = 0
        self._sentence_id = 0

    @property
    def seconds(self) -> float:
        """The length of the audio so far."""
        return self._frame * FRAME_SECONDS + len(self._bytes) / (2 * SAMPLE_RATE)

    def feed(self, pcm: bytes) -> Iterator[SpeechStarted | Utterance]:
        self._bytes += pcm
        whole = len(self._bytes) // FRAME_BYTES * FRAME_BYTES
        data = bytes(self._bytes[:whole])
        del self._bytes[:whole]
        for index, rms in enumerate(_loudness(data)):
            yield from self._hear(data[index * FRAME_BYTES : (index + 1) * FRAME_BYTES], rms)

    def finish(self) -> Iterator[Utterance]:
        """No more audio: the utterance in progress is over."""
        if self._first_loud is not None:
            yield self._end()

    def _hear(self, frame: bytes, rms: float) -> Iterator[SpeechStarted | Utterance]:
        loud = self._is_loud(rms)
        self._kept += frame
        self._frame += 1
        self._loud_in_a_row = self._loud_in_a_row + 1 if loud else 0
        if self._first_loud is None:
            yield from self._maybe_begin()
            return
        if loud:
            self._last_loud = self._frame
        length = self._frame - self._first_loud
        silent = self._frame - self._last_loud
        if silent >= self._silent_frames_at_end or length >= MAX_UTTERANCE_FRAMES:
            yield self._end()
        elif loud and self._interim_frames and length % self._interim_frames == 0:
            yield self._utterance(is_final=False)

    def _is_loud(self, rms: float) -> bool:
        loud = rms > max(LOUD_RMS, LOUD_OVER_FLOOR * self._floor)
        self._floor = max(1.0, min(rms, self._floor * FLOOR_RISE))
        return loud

    def _maybe_begin(self) -> Iterator[SpeechStarted]:
        del self._kept[: -(MARGIN_FRAMES + START_FRAMES) * FRAME_BYTES]
        if self._loud_in_a_row >= START_FRAMES:
            self._first_loud = self._frame - self._loud_in_a_row
            self._last_loud = self._frame
            self._sentence_id += 1
            yield SpeechStarted(round(self._first_loud * FRAME_SECONDS, 3))

    def _utterance(self, *, is_final: bool) -> Utterance:
        assert self._first_loud is not None
        unheard = max(0, self._frame - self._last_loud - MARGIN_FRAMES)  # silence that tells nothing
        audio = bytes(self._kept[: len(self._kept) - unheard * FRAME_BYTES])
        start, end = round(self._first_loud * FRAME_SECONDS, 3), round(self._last_loud * FRAME_SECONDS, 3)
        return Utterance(audio, start, end, self._sentence_id, is_final)

    def _end(self) -> Utterance:
        utterance = self._utterance(is_final=True)
        self._first_loud = None
        self._loud_in_a_row = 0
        self._kept.clear()
        return utterance


def _loudness(data: bytes) -> list[float]:
    frames: npt.NDArray[np.float64] = np.frombuffer(data, "<i2").astype(np.float64)
    rms = np.sqrt(np.mean(frames.reshape(-1, FRAME_BYTES // 2) ** 2, axis=1))
    loudness: list[float] = rms.tolist()
    return loudness
