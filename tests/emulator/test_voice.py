"""Real espeak-ng worker processes, and the tone."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from voicecore.emulator import worker as worker_module
from voicecore.emulator.voice import MAX_TEXT_CHARS, EspeakVoice, ToneVoice, Voice, _FetchedSpeech, open_voice
from voicecore.emulator.worker import EngineError, Pool
from voicecore.errors import ConfigurationError, StateError, TextTooLongError

from .conftest import children, open_files, speak_all

TEXT = "The quick brown fox jumps over the lazy dog."
LONG = (TEXT + " ") * 1112  # 50 000 characters, an hour of speech, seconds of work


@pytest.fixture
async def voice() -> AsyncIterator[EspeakVoice]:
    async with open_voice("espeak", workers=1) as voice:
        assert isinstance(voice, EspeakVoice)
        yield voice


@pytest.fixture(params=["espeak", "tone"])
async def any_voice(request: pytest.FixtureRequest) -> AsyncIterator[Voice]:
    async with open_voice(request.param) as voice:
        yield voice


# --- what every voice does -------------------------------------------------------------------------------


async def test_pieces_are_whole_samples(any_voice: Voice) -> None:
    async with any_voice.speak(TEXT) as speech:
        pieces = [piece async for piece in speech]
    assert len(pieces) > 1
    assert all(piece and len(piece) % 2 == 0 for piece in pieces)
    assert 1 < sum(map(len, pieces)) / 2 / any_voice.sample_rate < 10


async def test_same_text_same_bytes(any_voice: Voice) -> None:
    first = await speak_all(any_voice, TEXT)
    await speak_all(any_voice, "Something else in between?", language="hi", speed=1.3)
    assert await speak_all(any_voice, TEXT) == first
    async with open_voice("espeak" if isinstance(any_voice, EspeakVoice) else "tone") as another:
        assert await speak_all(another, TEXT) == first


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\0"])
async def test_nothing_to_say_gives_no_audio(any_voice: Voice, text: str) -> None:
    assert await speak_all(any_voice, text) == b""


@pytest.mark.parametrize("text", ["one\0two", "a\nb", "<speak>hi<break time='9s'/></speak>", "[[h@l'oU]]", "\ud800 x"])
async def test_text_may_hold_anything(any_voice: Voice, text: str) -> None:
    audio = await speak_all(any_voice, text)
    assert 0.1 < len(audio) / 2 / any_voice.sample_rate < 8
    assert await speak_all(any_voice, TEXT)


async def test_more_text_and_less_speed_take_longer(any_voice: Voice) -> None:
    length = len(await speak_all(any_voice, TEXT))
    assert len(await speak_all(any_voice, TEXT + TEXT)) > 1.8 * length
    assert len(await speak_all(any_voice, TEXT, speed=0.5)) > 1.5 * length
    assert len(await speak_all(any_voice, TEXT, speed=2.0)) < 0.7 * length


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_senseless_speed_is_refused(any_voice: Voice, speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        any_voice.speak(TEXT, speed=speed)


async def test_too_long_a_text_is_refused(any_voice: Voice) -> None:
    with pytest.raises(TextTooLongError, match="100001"):
        any_voice.speak("x" * (MAX_TEXT_CHARS + 1))


async def test_errors_of_the_block_come_out_plain() -> None:
    for engine in ("espeak", "tone"):
        with pytest.raises(KeyError):
            async with open_voice(engine) as voice, voice.speak(TEXT):
                raise KeyError("mine")


# --- which voice -----------------------------------------------------------------------------------------


async def test_engines_by_name() -> None:
    async with open_voice("auto") as voice:
        assert voice.name == "espeak-ng 1.52"
        assert voice.sample_rate == 22_050
    async with open_voice("tone") as voice:
        assert voice.name == "tone"
    with pytest.raises(ConfigurationError, match="'festival'"):
        async with open_voice("festival"):
            pass


async def test_without_espeak_the_tone_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    async with open_voice() as voice:
        assert isinstance(voice, ToneVoice)
    with pytest.raises(ConfigurationError, match=r"pip install 'voicecore\[emulator\]'"):
        async with open_voice("espeak"):
            pass


async def test_with_a_broken_espeak_the_tone_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "espeak_worker.py").write_text("raise SystemExit('wrong libc')")
    monkeypatch.setattr(worker_module, "SCRIPTS", tmp_path)
    async with open_voice() as voice:
        assert isinstance(voice, ToneVoice)
    assert "wrong libc" in caplog.text
    with pytest.raises(EngineError, match="wrong libc"):
        async with open_voice("espeak"):
            pass


async def test_the_tone_knows_its_words() -> None:
    async with open_voice("tone") as voice:
        hello, world = await speak_all(voice, "hello"), await speak_all(voice, "world")
        assert hello != world
        assert len(hello) == len(world)
        assert await speak_all(voice, "hello world") == hello + world


async def test_locales_choose_a_voice(voice: EspeakVoice) -> None:
    same = [await speak_all(voice, "one 2 three", language=code) for code in ("en", "en-US", "EN_us", "en-IN")]
    assert len(set(same)) == 1
    codes = ("en", "en-GB", "hi-IN", "ur", "fr-FR", "pt-BR", "zh-CN")
    different = [await speak_all(voice, "one 2 three", language=code) for code in codes]
    assert len(set(different)) == len(codes)
    assert voice.unknown_languages == set()


async def test_an_unknown_language_is_read_as_english_and_said_once(
    voice: EspeakVoice, caplog: pytest.LogCaptureFixture
) -> None:
    english = await speak_all(voice, TEXT)
    with caplog.at_level(logging.WARNING):
        for code in ("xx-YY", "xx-YY", "../../etc/passwd"):
            assert await speak_all(voice, TEXT, language=code) == english
    assert [record.args[1] for record in caplog.records if record.args] == ["xx-YY", "../../etc/passwd"]


# --- espeak's processes ----------------------------------------------------------------------------------


async def test_the_first_piece_comes_before_the_end(voice: EspeakVoice) -> None:
    async with voice.speak(LONG) as speech:
        assert len(await anext(aiter(speech))) > 0
        assert voice.pool.busy == 1  # still at it


async def test_long_text_is_spoken_whole(voice: EspeakVoice) -> None:
    assert len(await speak_all(voice, LONG)) / 2 / voice.sample_rate > 2000


async def test_leaving_early_frees_the_worker(voice: EspeakVoice) -> None:
    expected = await speak_all(voice, TEXT)
    (worker,) = voice.pool.workers
    for _ in range(3):
        async with voice.speak(LONG) as speech:
            await anext(aiter(speech))
        assert await speak_all(voice, TEXT) == expected
    assert voice.pool.workers == [worker]  # nothing had to be killed


async def test_cancelling_frees_the_worker(voice: EspeakVoice) -> None:
    expected = await speak_all(voice, TEXT)
    with trio.CancelScope() as scope:
        async with voice.speak(LONG) as speech:
            async for _ in speech:
                scope.cancel()
    assert scope.cancelled_caught
    assert await speak_all(voice, TEXT) == expected


async def test_speeches_that_still_wait_can_be_left(voice: EspeakVoice) -> None:
    async with voice.speak(LONG) as first:
        await anext(aiter(first))
        for _ in range(5):
            async with voice.speak(TEXT):
                pass
    assert await speak_all(voice, TEXT)


async def test_a_slow_listener_holds_up_nobody(voice: EspeakVoice) -> None:
    expected = await speak_all(voice, TEXT)
    async with voice.speak(TEXT) as slow:
        heard = [await anext(aiter(slow))]
        assert await speak_all(voice, TEXT) == expected
        heard += [piece async for piece in slow]
    assert b"".join(heard) == expected


async def test_fifty_at_once() -> None:
    texts = [f"This is speech number {number}." for number in range(50)]
    spoken: dict[str, bytes] = {}

    async def speak(voice: Voice, text: str) -> None:
        spoken[text] = await speak_all(voice, text)

    async with open_voice("espeak", workers=2) as voice:
        async with trio.open_nursery() as nursery:
            for text in texts:
                nursery.start_soon(speak, voice, text)
        assert len(voice.pool.workers) == 2
        assert len(set(spoken.values())) == 50
        assert await speak_all(voice, texts[17]) == spoken[texts[17]]


async def test_pieces_that_come_after_a_speech_was_left_cost_nothing() -> None:
    """They may be in the buffer already, and the task that fetches them has not yet noticed."""
    speech = _FetchedSpeech()
    with speech.fetching():
        speech.add(b"\0\0")
        speech.abandon()
        speech.add(b"\0\0")


async def test_nothing_is_left() -> None:
    files, before = open_files(), children()
    async with open_voice("espeak") as voice:
        async with voice.speak(LONG) as first, voice.speak(LONG) as second:
            await anext(aiter(first))
            await anext(aiter(second))
            pids = {worker.pid for worker in voice.pool.workers}
            assert len(pids) == 2
            assert pids <= children()
    assert children() == before
    assert open_files() == files
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with open_voice("espeak") as voice:
        await speak_all(voice, TEXT)
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_cancelled_while_open_nothing_is_left() -> None:
    before = children()
    with trio.CancelScope() as scope:
        async with open_voice("espeak") as voice, voice.speak(LONG) as speech:
            await anext(aiter(speech))
            scope.cancel()
            await trio.sleep_forever()
    assert children() == before


async def test_a_killed_worker_is_an_error_and_the_next_speech_works(voice: EspeakVoice) -> None:
    (worker,) = voice.pool.workers
    with pytest.raises(EngineError, match=rf"espeak_worker.py \(process {worker.pid}\) was killed by signal 9"):
        async with voice.speak(LONG) as speech:
            async for _ in speech:
                os.kill(worker.pid, signal.SIGKILL)
                break
            async for _ in speech:
                pass
    assert await speak_all(voice, TEXT)
    assert [one.pid for one in voice.pool.workers] != [worker.pid]


async def test_a_worker_killed_between_speeches_is_replaced_unnoticed(voice: EspeakVoice) -> None:
    (worker,) = voice.pool.workers
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert await speak_all(voice, TEXT)


async def test_a_silent_worker_is_an_error(voice: EspeakVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    (worker,) = voice.pool.workers
    os.kill(worker.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "ANSWER_SECONDS", 0.05)
        with pytest.raises(EngineError, match=r"gave no answer for 0.05 s"):
            await speak_all(voice, TEXT)
    assert await speak_all(voice, TEXT)


async def test_closing_the_voice_ends_a_speech_with_an_error() -> None:
    async with open_voice("espeak") as voice:
        context = voice.speak(LONG)
        speech = await context.__aenter__()
        await anext(aiter(speech))
    with pytest.raises(EngineError, match="closed"):
        async for _ in speech:
            pass
    await context.__aexit__(None, None, None)
    with pytest.raises(StateError, match="closed"):
        await speak_all(voice, TEXT)


async def test_a_worker_gets_no_secrets_and_no_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPDUB_API_KEY", "dd-secret")
    async with open_voice("espeak", workers=1) as voice:
        assert isinstance(voice, EspeakVoice)
        (worker,) = voice.pool.workers
        process = Path(f"/proc/{worker.pid}")
        assert b"dd-secret" not in process.joinpath("environ").read_bytes()
        assert process.joinpath("cmdline").read_bytes().split(b"\0")[2:] == [b""]  # python and the script
        assert os.getpgid(worker.pid) != os.getpgid(0)
        os.kill(worker.pid, signal.SIGINT)
        assert await speak_all(voice, TEXT)
        assert voice.pool.workers == [worker]


@pytest.mark.parametrize("script", ["espeak_worker.py", "pocketsphinx_worker.py"])
async def test_a_worker_ends_with_its_stdin(script: str) -> None:
    command = [sys.executable, str(worker_module.SCRIPTS / script)]
    result = await trio.run_process(command, stdin=b"", capture_stdout=True, capture_stderr=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


async def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('no engine here')")
    monkeypatch.setattr(worker_module, "SCRIPTS", tmp_path)
    before = children()
    async with Pool("broken.py", 1) as pool:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"broken.py .* ended with status 1: no engine here"):
                async with pool.lease():
                    pass
        assert pool.workers == []
    assert children() == before
