"""Real pocketsphinx worker processes, hearing espeak's voice."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest
import trio
import trio.testing

from voicecore import codec
from voicecore.emulator import ears as ears_module
from voicecore.emulator.ears import (
    MAX_WAITING_INTERIMS,
    Ears,
    Heard,
    ListeningSession,
    SpeechEnded,
    SpeechStarted,
    open_ears,
)
from voicecore.emulator.endpointer import Utterance
from voicecore.emulator.phrases import DEMO_SENTENCE, PHRASES
from voicecore.emulator.voice import open_voice
from voicecore.emulator.worker import EngineError, Worker
from voicecore.errors import ConfigurationError, StateError

from .conftest import EARS_RATE, Samples, as_samples, children, open_files, speak_all

FOX = "The quick brown fox jumps over the lazy dog."


@pytest.fixture
async def ears() -> AsyncIterator[Ears]:
    async with open_ears("pocketsphinx") as ears:
        yield ears


@pytest.fixture
async def deaf() -> AsyncIterator[Ears]:
    async with open_ears("none") as ears:
        yield ears


def pause(seconds: float) -> Samples:
    return np.zeros(round(seconds * EARS_RATE), np.int16)


def tone(seconds: float) -> Samples:
    phase = 2 * np.pi * 440 / EARS_RATE * np.arange(round(seconds * EARS_RATE))
    return (8000 * np.sin(phase)).astype(np.int16)


async def hear(ears: Ears, *audio: Samples, size: int = 10**9, **settings: float) -> list[SpeechStarted | Heard]:
    pcm = np.concatenate(audio).astype("<i2").tobytes()
    async with ears.listen(EARS_RATE, **settings) as session:
        for at in range(0, len(pcm), size):
            await session.feed(pcm[at : at + size])
        await session.finish()
        return [heard async for heard in session]


def finals(heard: list[SpeechStarted | Heard]) -> list[str]:
    return [one.text for one in heard if isinstance(one, Heard) and one.is_final]


# --- what is understood ----------------------------------------------------------------------------------


def test_the_demo_sentence_is_one_of_the_phrases() -> None:
    assert DEMO_SENTENCE in PHRASES


async def test_every_phrase_is_recognised(ears: Ears, phrases: dict[str, Samples]) -> None:
    for text, audio in phrases.items():
        started, heard = await hear(ears, pause(0.4), audio, pause(0.6))
        assert isinstance(started, SpeechStarted)
        assert isinstance(heard, Heard)
        assert (heard.text, heard.is_final) == (text, True)
        assert 0.6 <= heard.confidence <= 1.0


async def test_every_phrase_is_recognised_over_the_telephone(ears: Ears, phrases: dict[str, Samples]) -> None:
    for text, audio in phrases.items():
        telephone = codec.decode_mulaw(codec.encode_mulaw(codec.resample(audio, EARS_RATE, 8000)))
        assert finals(await hear(ears, codec.resample(telephone, 8000, EARS_RATE), pause(0.6))) == [text]


@pytest.mark.parametrize("manner", [{"speed": 0.7}, {"speed": 1.5}, {"language": "en-GB"}])
async def test_every_phrase_is_recognised_in_other_manners(ears: Ears, manner: dict[str, object]) -> None:
    async with open_voice("espeak") as voice:
        for text in PHRASES:
            audio = as_samples(await speak_all(voice, text, **manner), voice.sample_rate)
            assert finals(await hear(ears, audio)) == [text]


async def test_noise_does_not_matter_much(ears: Ears, phrases: dict[str, Samples]) -> None:
    audio = np.concatenate([pause(0.5), phrases[FOX], pause(0.8)])
    noisy = audio + np.random.default_rng(7).normal(0, 200, len(audio))
    assert finals(await hear(ears, noisy.astype(np.int16))) == [FOX]


async def test_softly_spoken(ears: Ears, phrases: dict[str, Samples]) -> None:
    assert finals(await hear(ears, phrases[FOX] // 10)) == [FOX]


@pytest.mark.parametrize("text", ["I like cheese a lot, really.", "one two three four five", "Please hold."])
async def test_other_speech_is_not_understood(ears: Ears, text: str) -> None:
    async with open_voice("espeak") as voice:
        audio = as_samples(await speak_all(voice, text), voice.sample_rate)
    (_, heard) = await hear(ears, audio, pause(0.6))
    assert isinstance(heard, Heard)
    assert (heard.text, heard.confidence, heard.is_final) == ("", 0.0, True)


async def test_two_phrases_in_one_breath(ears: Ears, phrases: dict[str, Samples]) -> None:
    heard = await hear(ears, phrases[FOX], pause(0.2), phrases[DEMO_SENTENCE])
    assert finals(heard) == [f"{FOX} {DEMO_SENTENCE}"]


async def test_own_phrases() -> None:
    own = ["I want to book a flight to London.", "Cancel my subscription, please."]
    async with open_ears(phrases=own) as ears, open_voice("espeak") as voice:
        for text in own:
            audio = as_samples(await speak_all(voice, text), voice.sample_rate)
            assert finals(await hear(ears, audio)) == [text]


async def test_dictation_tries_any_words(phrases: dict[str, Samples]) -> None:
    async with open_ears(mode="dictation") as ears:
        assert "dictation" in ears.description
        (text,) = finals(await hear(ears, phrases[FOX]))
    assert "brown fox" in text


# --- utterances ------------------------------------------------------------------------------------------


async def test_silence_ends_with_one_empty_final(ears: Ears) -> None:
    assert await hear(ears, pause(2)) == [Heard("", True, 0.0, 0.0, 2.0, 1)]


async def test_no_audio_gives_nothing(ears: Ears) -> None:
    assert await hear(ears, pause(0)) == []


async def test_two_utterances_with_a_pause(ears: Ears, phrases: dict[str, Samples]) -> None:
    audio = (pause(1), phrases[FOX], pause(1), phrases[DEMO_SENTENCE], pause(1))
    heard = await hear(ears, *audio)
    assert [type(one) for one in heard] == [SpeechStarted, Heard, SpeechStarted, Heard]
    assert finals(heard) == [FOX, DEMO_SENTENCE]
    first, second = (one for one in heard if isinstance(one, Heard))
    assert (first.sentence_id, second.sentence_id) == (1, 2)
    assert first.start == pytest.approx(1.0, abs=0.1)
    assert second.start - first.end == pytest.approx(1.0, abs=0.3)
    assert finals(await hear(ears, *audio, utterance_end=1.6)) == [f"{FOX} {DEMO_SENTENCE}"]


async def test_the_end_of_speech_is_told_before_it_is_recognised(ears: Ears, phrases: dict[str, Samples]) -> None:
    heard = await hear(ears, pause(1), phrases[FOX], pause(1), phrases[DEMO_SENTENCE], tell_ends=True)
    assert [type(one) for one in heard] == [SpeechStarted, SpeechEnded, Heard] * 2
    for _, ended, final in (heard[:3], heard[3:]):
        assert ended == SpeechEnded(final.end)
    assert [type(one) for one in await hear(ears, pause(1), tell_ends=True)] == [Heard]  # there was no speech


async def test_a_final_needs_no_finish(ears: Ears, phrases: dict[str, Samples]) -> None:
    async with ears.listen() as session:
        await session.feed(np.concatenate([phrases[FOX], pause(0.8)]).tobytes())
        heard = [await anext(session), await anext(session)]
    assert finals(heard) == [FOX]


@pytest.mark.parametrize("size", [1, 2, 320, 641, 32_001])
async def test_any_cut_gives_the_same(ears: Ears, phrases: dict[str, Samples], size: int) -> None:
    audio = (phrases[DEMO_SENTENCE], pause(0.7))
    assert await hear(ears, *audio, size=size) == await hear(ears, *audio)


async def test_who_spoke_before_changes_nothing(ears: Ears, phrases: dict[str, Samples]) -> None:
    first = await hear(ears, phrases[FOX])
    await hear(ears, tone(2))
    await hear(ears, phrases[DEMO_SENTENCE] // 8)
    assert await hear(ears, phrases[FOX]) == first


async def test_interims_tell_what_was_said_so_far(ears: Ears, phrases: dict[str, Samples]) -> None:
    pcm = np.concatenate([phrases[FOX], pause(1)]).tobytes()
    heard: list[SpeechStarted | Heard] = []
    async with ears.listen(interim_interval=0.5) as session:

        async def feed() -> None:
            for at in range(0, len(pcm), 640):
                await session.feed(pcm[at : at + 640])
            await session.finish()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed)
            heard = [one async for one in session]
    interims = [one for one in heard if isinstance(one, Heard) and not one.is_final]
    assert len(interims) > 1
    assert {one.sentence_id for one in interims} == {1}
    assert all(FOX.startswith(one.text) and one.text for one in interims)
    assert [one.end for one in interims] == sorted(one.end for one in interims)
    assert finals(heard) == [FOX]


async def test_no_interims_unasked(ears: Ears, phrases: dict[str, Samples]) -> None:
    assert all(not isinstance(one, Heard) or one.is_final for one in await hear(ears, phrases[FOX]))


# --- sessions --------------------------------------------------------------------------------------------


async def test_fifty_sessions_at_once(ears: Ears, phrases: dict[str, Samples]) -> None:
    heard: dict[int, list[str]] = {}

    async def one(number: int, text: str) -> None:
        heard[number] = finals(await hear(ears, phrases[text], pause(0.6), size=6400))

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(one, number, PHRASES[number % len(PHRASES)])
    assert heard == {number: [PHRASES[number % len(PHRASES)]] for number in range(50)}
    assert ears.recognizer is not None
    assert len(ears.recognizer.pool.workers) == 2


async def test_nothing_is_left(phrases: dict[str, Samples]) -> None:
    files, before = open_files(), children()
    async with open_ears("pocketsphinx") as ears, ears.listen() as session:
        await session.feed(phrases[FOX].tobytes())
        await anext(session)
    assert children() == before
    assert open_files() == files


async def test_cancelling_the_iteration_loses_nothing(ears: Ears, phrases: dict[str, Samples]) -> None:
    async with ears.listen() as session:
        await session.feed(phrases[FOX].tobytes())
        await session.finish()
        heard = [await anext(session)]
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(session)
        assert scope.cancelled_caught
        heard += [one async for one in session]
    assert finals(heard) == [FOX]


async def test_a_killed_worker_is_an_error_and_the_next_session_works(
    ears: Ears, phrases: dict[str, Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finals(await hear(ears, phrases[FOX])) == [FOX]
    async with ears.listen() as session:
        await session.feed(phrases[FOX].tobytes())
        await session.finish()
        await anext(session)
        with monkeypatch.context() as patch:
            patch.setattr(Worker, "ask", _ask_the_dead)
            with pytest.raises(EngineError, match="was killed by signal 9"):
                await anext(session)
        assert [one async for one in session] == []
    assert finals(await hear(ears, phrases[FOX])) == [FOX]


async def _ask_the_dead(worker: Worker, header: dict[str, object], payload: bytes = b"", ask=Worker.ask) -> None:
    """The worker dies after it was taken and before it is asked."""
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    await ask(worker, header, payload)


async def test_feeding_after_finish_is_an_error_and_after_the_block_nothing(deaf: Ears) -> None:
    async with deaf.listen() as session:
        await session.finish()
        await session.finish()
        with pytest.raises(StateError, match="finish"):
            await session.feed(b"\0\0")
    await session.feed(b"\0\0")
    assert [one async for one in session] == []


async def test_feeding_waits_when_nobody_listens(deaf: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears_module, "MAX_WAITING_SECONDS", 2.0)
    audio = np.concatenate([tone(1), pause(1)] * 10).tobytes()
    fed = 0

    async def feed(session: ListeningSession) -> None:
        nonlocal fed
        for at in range(0, len(audio), 32_000):
            await session.feed(audio[at : at + 32_000])
            fed += 1
        await session.finish()

    async with deaf.listen() as session, trio.open_nursery() as nursery:
        nursery.start_soon(feed, session)
        await trio.testing.wait_all_tasks_blocked()
        assert fed == 6  # three utterances of a second wait
        assert len([one async for one in session]) == 20
    assert fed == 20


@pytest.mark.parametrize(("interims", "waiting"), [(2, 2), (MAX_WAITING_INTERIMS, 3), (MAX_WAITING_INTERIMS + 1, 3)])
async def test_so_many_interims_wait_for_the_recogniser_and_they_are_the_newest(ears, interims, waiting) -> None:
    async with ears.listen(interim_interval=0.5) as session:
        await session.feed(np.concatenate([tone(0.5)] * interims).tobytes() + tone(0.2).tobytes())
        ends = [event.end for event in session._waiting if isinstance(event, Utterance)]
    assert len(ends) == waiting and ends == sorted(ends) and ends[-1] > 0.5 * (interims - 1)


async def test_leaving_the_block_wakes_the_feeder(deaf: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears_module, "MAX_WAITING_SECONDS", 0.5)
    async with trio.open_nursery() as nursery:
        async with deaf.listen() as session:
            nursery.start_soon(session.feed, np.concatenate([tone(1), pause(1)] * 10).tobytes())
            await trio.testing.wait_all_tasks_blocked()


# --- which ears ------------------------------------------------------------------------------------------


async def test_none_notices_speech_and_understands_nothing(deaf: Ears, phrases: dict[str, Samples]) -> None:
    assert deaf.name == "none"
    assert "no recogniser" in deaf.description
    started, heard = await hear(deaf, pause(1), phrases[FOX], pause(1), interim_interval=0.3)
    assert isinstance(started, SpeechStarted)
    assert isinstance(heard, Heard)
    assert (heard.text, heard.is_final, heard.confidence) == ("", True, 0.0)


async def test_ears_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_ears() as ears:
        assert ears.name.startswith("pocketsphinx 5")
        assert f"closed grammar of {len(PHRASES)} phrases" in ears.description
    for wrong in ({"engine": "whisper"}, {"mode": "poetry"}):
        with pytest.raises(ConfigurationError, match="unknown"):
            async with open_ears(**wrong):
                pass
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    async with open_ears() as ears:
        assert ears.name == "none"
    with pytest.raises(ConfigurationError, match=r"pip install 'voicecore\[emulator\]'"):
        async with open_ears("pocketsphinx"):
            pass


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        (["Hello there.", "The zzyzx is bröken."], "'The zzyzx is bröken.': unknown words: zzyzx, bröken"),
        (["Room 42 is ready."], "unknown words: 42"),
        (["..."], "it has no words"),
        ([], "at least one phrase"),
    ],
)
async def test_a_phrase_it_cannot_hear_is_refused(phrases: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with open_ears(phrases=phrases):
            pass


@pytest.mark.parametrize("wrong", [{"sample_rate": 8000}, {"utterance_end": 0.0}, {"interim_interval": -1.0}])
async def test_senseless_settings_are_refused(deaf: Ears, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        async with deaf.listen(**wrong):
            pass
