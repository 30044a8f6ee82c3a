"""The voice agents of examples/, run as their users run them, against the emulator."""

from __future__ import annotations

import os
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import trio

import voicecore
from voicecore import AudioFormat
from voicecore.emulator import run_emulator

EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST = "Your appointment is on Monday at nine."
SECOND = "Could you please repeat that more slowly?"
FIRST_ANSWER = "Thank you, I will be there on Monday at nine."
SECOND_ANSWER = "Of course. I will say it again, more slowly."
RATE = 16_000


async def spoken(text: str, url: str) -> np.ndarray:
    async with voicecore.connect_tts("60db", api_key="k", url=url) as tts:
        async with tts.synthesize(text, output=AudioFormat("pcm_s16le", RATE)) as speech:
            return np.concatenate([chunk.samples async for chunk in speech])


def write_wav(path: Path, samples: np.ndarray, channels: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.repeat(samples, channels).tobytes())


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE, 1)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.mark.parametrize(("example", "channels"), [("trio_agent.py", 1), ("asyncio_agent.py", 2)])
async def test_a_conversation_with_a_barge_in(tmp_path, example, channels):
    assert (EXAMPLES / example).read_text().count("\n") < 100
    async with run_emulator() as emulator:
        first, second, first_answer, second_answer = [
            await spoken(text, emulator.urls["60db-tts"]) for text in (FIRST, SECOND, FIRST_ANSWER, SECOND_ANSWER)
        ]
        # The second question begins when about a second of the first answer was heard.
        said = np.concatenate([first, np.zeros(RATE * 2, np.int16), second, np.zeros(RATE * 2, np.int16)])
        write_wav(tmp_path / "microphone.wav", said, channels)
        urls = {f"SIXTY_DB_{kind.upper()}_URL": emulator.urls[f"60db-{kind}"] for kind in ("stt", "llm", "tts")}
        command = [sys.executable, str(EXAMPLES / example), "microphone.wav", "loudspeaker.wav"]
        with trio.fail_after(60):
            done = await trio.run_process(
                command,
                cwd=tmp_path,
                env=os.environ | urls | {"SIXTY_DB_API_KEY": "k", "PYTHONPATH": os.pathsep.join(sys.path)},
                capture_stdout=True,
            )
    assert done.stdout.decode().split("\n") == [
        f"user: {FIRST}",
        f"agent: {FIRST_ANSWER} (interrupted)",
        f"user: {SECOND}",
        f"agent: {SECOND_ANSWER} ",
        "",
    ]
    heard = read_wav(tmp_path / "loudspeaker.wav")
    begun, again = heard[: -len(second_answer)], heard[-len(second_answer) :]
    assert np.array_equal(again, second_answer)
    assert 0.2 * RATE < len(begun) < len(first_answer) - 0.2 * RATE
    assert np.array_equal(begun, first_answer[: len(begun)])
