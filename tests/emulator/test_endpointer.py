"""Audio in, speech bounds out. A tone stands for speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecore.emulator.endpointer import FRAME_SECONDS, MAX_UTTERANCE_FRAMES, Endpointer, SpeechStarted, Utterance

RATE = 16_000


def tone(seconds: float, amplitude: float = 8000.0) -> bytes:
    phase = 2 * np.pi * 440 / RATE * np.arange(round(seconds * RATE))
    return (amplitude * np.sin(phase)).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def listen(audio: bytes, size: int = 10**9, **settings: float) -> list[SpeechStarted | Utterance]:
    endpointer = Endpointer(**{"utterance_end": 0.5, **settings})
    pieces = [audio[at : at + size] for at in range(0, len(audio), size)]
    return [event for piece in pieces for event in endpointer.feed(piece)] + list(endpointer.finish())


def bounds(events: list[SpeechStarted | Utterance]) -> list[tuple[float, float]]:
    return [(event.start, event.end) for event in events if isinstance(event, Utterance) and event.is_final]


def test_nothing_in_silence() -> None:
    assert listen(silence(2)) == []
    assert listen(b"") == []


def test_speech_has_its_bounds_in_audio_time() -> None:
    started, utterance = listen(silence(1) + tone(1) + silence(1))
    assert started == SpeechStarted(1.0)
    assert (utterance.start, utterance.end, utterance.sentence_id, utterance.is_final) == (1.0, 2.0, 1, True)
    assert len(utterance.audio) == 2 * RATE * (0.3 + 1.0 + 0.3)  # with its margins


@pytest.mark.parametrize(("pause", "utterances"), [(0.3, 1), (0.48, 1), (0.52, 2), (1.0, 2)])
def test_a_pause_of_utterance_end_makes_two(pause: float, utterances: int) -> None:
    assert len(bounds(listen(tone(0.5) + silence(pause) + tone(0.5)))) == utterances


@pytest.mark.parametrize("end", [0.3, 0.8, 2.0])
def test_utterance_end_is_a_setting(end: float) -> None:
    assert len(bounds(listen(tone(0.5) + silence(end - 0.04) + tone(0.5), utterance_end=end))) == 1
    assert len(bounds(listen(tone(0.5) + silence(end + 0.04) + tone(0.5), utterance_end=end))) == 2


def test_utterances_are_numbered() -> None:
    events = listen((tone(0.4) + silence(1)) * 3)
    assert [event.sentence_id for event in events if isinstance(event, Utterance)] == [1, 2, 3]


def test_a_click_is_no_speech() -> None:
    assert listen(silence(0.5) + tone(0.02) + silence(1)) == []


def test_noise_that_goes_on_becomes_silence() -> None:
    noise = np.random.default_rng(1).normal(0, 500, 40 * RATE).astype("<i2")
    (utterance,) = bounds(listen(noise.tobytes()))
    assert utterance[1] < 20
    noise[-RATE:] += np.frombuffer(tone(1), "<i2")
    assert bounds(listen(noise.tobytes()))[1] == (39.0, 40.0)


def test_no_utterance_is_longer_than_the_bound() -> None:
    loud_and_soft = (tone(0.3) + tone(0.1, 40.0)) * 100
    events = [event for event in listen(loud_and_soft) if isinstance(event, Utterance)]
    assert [round(event.end - event.start) for event in events] == [30, 10]


def test_interims_come_at_the_interval_while_speech_goes_on() -> None:
    events = listen(tone(1.1) + silence(2), interim_interval=0.3)
    interims = [event for event in events if isinstance(event, Utterance) and not event.is_final]
    assert [event.end for event in interims] == [0.3, 0.6, 0.9]
    assert {event.sentence_id for event in events if isinstance(event, Utterance)} == {1}


MIXED = silence(0.2) + tone(0.4) + silence(0.6) + tone(0.05) + silence(0.1) + tone(0.7, 900.0) + silence(0.3)


@given(st.integers(1, 40_000))
@settings(max_examples=25, deadline=None)
def test_any_cut_gives_the_same(size: int) -> None:
    size = max(size, 7)
    assert listen(MIXED, size, interim_interval=0.2) == listen(MIXED, interim_interval=0.2)


def test_an_utterance_that_does_not_end_is_cut_at_its_bound() -> None:
    longest, words = MAX_UTTERANCE_FRAMES * FRAME_SECONDS, tone(0.9) + silence(0.1)
    assert len(bounds(listen(words * round(longest - 1) + silence(1)))) == 1
    lengths = [end - start for start, end in bounds(listen(words * round(longest + 2) + silence(1)))]
    assert len(lengths) == 2 and longest - 1 < max(lengths) <= longest
