"""The vendor's own published client gets its audio from our emulator: an independent reader of our SERVER role."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trio
from support.formats import by_libsndfile

from voicecore import AudioFormat, codec
from voicecore.cli.matrix import compare
from voicecore.emulator import Profile, run_emulator

CLIENT = Path(__file__).with_name("deepdub_client.py")
TEXT = "Welcome to the emulator of every vendor."


async def ask(requests: list[dict], profile: Profile | None = None, key: str = "dd-any") -> list[dict]:
    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, str(CLIENT), emulator.urls["deepdub-open"]],
                stdin=json.dumps(requests).encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env={"DEEPDUB_API_KEY": key, "PATH": ""},
            )
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.decode())
    return json.loads(done.stdout)


def request(text: str = TEXT, **fields: object) -> dict:
    return {"text": text, "voice_prompt_id": "vp_1", "model": "dd-etts-3.0", **fields}


def pieces(answer: dict) -> list[bytes]:
    assert "error" not in answer, answer
    return [base64.b64decode(piece) for piece in answer["pieces"]]


async def spoken(text: str, rate: int) -> np.ndarray:
    """What the emulator's voice says, made without any protocol."""
    from voicecore.emulator.voice import open_voice

    async with open_voice(engine="tone") as voice, voice.speak(text) as parts:
        pcm = b"".join([bytes(part) async for part in parts])
    transcoder = codec.Transcoder(AudioFormat("pcm_s16le", voice.sample_rate), AudioFormat("pcm_s16le", rate))
    return np.concatenate([transcoder.process(pcm), transcoder.flush()])


@pytest.mark.parametrize("frames", ["binary", "text"])
@pytest.mark.parametrize("last", ["in_last", "before_last"])
async def test_every_format_it_can_ask_for(frames, last):
    profile = Profile(deepdub_frames=frames, last_audio=last)
    wav, headerless, s16le, mulaw = await ask(
        [
            request(format="wav", sample_rate=16000),
            request(format="headerless-wav", sample_rate=16000),
            request(format="s16le", sample_rate=16000),
            request(format="mulaw"),
        ],
        profile,
    )
    expected = await spoken(TEXT, 16000)
    assert np.array_equal(np.frombuffer(b"".join(pieces(s16le)), "<i2"), expected)
    assert np.array_equal(np.frombuffer(b"".join(pieces(headerless)), "<i2"), expected)
    assert all(piece[:4] == b"RIFF" and piece[0x3C:0x40] == b"data" for piece in pieces(wav))
    assert b"".join(piece[0x44:] for piece in pieces(wav)) == expected.tobytes()
    decoded = codec.decode_mulaw(b"".join(pieces(mulaw)))
    assert len(decoded) == pytest.approx(len(expected) / 2, abs=1)


async def test_coded_audio_is_what_libsndfile_reads():
    answers = await ask([request(format=kind, sample_rate=24000) for kind in ("mp3", "opus")])
    for answer in answers:
        assert len(pieces(answer)) > 2
        samples = by_libsndfile(b"".join(pieces(answer)))[:, 0]
        assert compare(samples, await spoken(TEXT, 24000), 24000)[1] > 0.95


async def test_many_generations_at_once_on_its_one_socket():
    texts = [f"Sentence number {number}." for number in range(20)]
    answers = await ask([request(text, format="s16le", sample_rate=22050) for text in texts])
    for text, answer in zip(texts, answers, strict=True):
        assert b"".join(pieces(answer)) == (await spoken(text, 22050)).tobytes()


async def test_it_hears_our_errors():
    answers = await ask([request(format="wav", sample_rate=16000, tempo=3.0), request("", format="wav")])
    assert "tempo" in answers[0]["error"]
    assert "targetText" in answers[1]["error"]


async def test_a_bad_key_is_refused_at_the_upgrade():
    with pytest.raises(subprocess.SubprocessError, match="401"):
        await ask([request()], key="bad-key")
