"""The vendor's own published client gets its audio and its transcripts from our emulator: an independent reader.

Known faults of gnani-vachana 0.8.2, which these tests allow for: it cuts 44 bytes off every message that begins with
RIFF only when it is longer than 44, so a header alone comes out as audio; a header that is split, likewise. And it
takes a close without `complete` for the end in the JSON form too, so an utterance cut short looks complete.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import trio
from support.formats import by_libsndfile

from voicecore import AudioFormat, codec
from voicecore.cli.matrix import compare
from voicecore.emulator import Profile, run_emulator
from voicecore.emulator.phrases import DEMO_SENTENCE
from voicecore.emulator.voice import open_voice

CLIENT = Path(__file__).with_name("gnani_client.py")
TEXT = "Welcome to the emulator of every vendor."
HEADER = 44


async def ask(jobs: list[dict], profile: Profile | None = None, key: str = "k-any", **engines: str) -> list[dict]:
    async with run_emulator(profile, **({"voice": "tone", "ears": "none"} | engines)) as emulator:
        base = f"http://{urlsplit(emulator.urls['vachana-tts']).netloc}"
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, str(CLIENT), base],
                stdin=json.dumps(jobs).encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env={"GNANI_API_KEY": key, "PATH": ""},
            )
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.decode())
    return json.loads(done.stdout)


def job(do: str = "tts", text: str = TEXT, *, options: dict | None = None, **config: object) -> dict:
    return {"do": do, "text": text, "config": {"sample_rate": 16000, **config}, "options": options or {}}


def pieces(answer: dict) -> list[bytes]:
    assert "error" not in answer, answer
    return [base64.b64decode(piece) for piece in answer["pieces"]]


async def spoken(text: str, rate: int, engine: str = "tone", encoding: str = "pcm_s16le") -> np.ndarray:
    """What the emulator's voice says, made without any protocol."""
    async with open_voice(engine=engine) as voice, voice.speak(text, language="en-US") as parts:
        pcm = b"".join([bytes(part) async for part in parts])
    transcoder = codec.Transcoder(AudioFormat("pcm_s16le", voice.sample_rate), AudioFormat(encoding, rate))
    return np.concatenate([transcoder.process(pcm), transcoder.flush()])


@pytest.mark.parametrize("form", ["json", "binary"])
@pytest.mark.parametrize("end", ["complete", "complete_and_close", "close"])
@pytest.mark.parametrize("wav", ["per_chunk", "first_chunk"])
async def test_every_form_and_every_end(form, end, wav):
    profile = Profile(vachana_form=form, vachana_end=end, vachana_wav=wav)
    wav_16k, raw, mulaw, alaw, again = await ask(
        [
            job(container="wav"),
            job(container="raw"),
            job(container="mulaw", sample_rate=8000),
            job(container="alaw", sample_rate=8000, encoding="pcm_alaw"),
            job(container="wav", options={"request_id": "req_mine", "language": "en-IN", "voice": "Kaveri"}),
        ],
        profile,
    )
    expected = (await spoken(TEXT, 16000)).tobytes()
    assert b"".join(pieces(wav_16k)) == b"".join(pieces(raw)) == b"".join(pieces(again)) == expected
    for law, answer in (("mulaw", mulaw), ("alaw", alaw)):
        assert b"".join(pieces(answer)) == (await spoken(TEXT, 8000, encoding=law)).tobytes()


async def test_a_header_alone_is_audio_to_it_which_is_its_fault():
    for form in ("json", "binary"):
        [answer] = await ask([job(container="wav")], Profile(vachana_wav="header_first", vachana_form=form))
        first, *rest = pieces(answer)
        assert (len(first), first[:4]) == (HEADER, b"RIFF")
        assert b"".join(rest) == (await spoken(TEXT, 16000)).tobytes()


@pytest.mark.parametrize("last", ["in_last", "before_last"])
async def test_its_typed_events_and_the_audio_in_complete(last):
    seen, whole = await ask([job("events", container="wav"), job(container="wav")], Profile(last_audio=last))
    kinds = seen["events"]
    assert kinds == ["TTSStartEvent", *["TTSAudioChunkEvent"] * (len(kinds) - 2), "TTSCompletedEvent"]
    assert seen["total"] == len(kinds) - 2 == len(pieces(whole)) > 2
    assert b"".join(pieces(whole)) == (await spoken(TEXT, 16000)).tobytes()


async def test_it_hears_our_errors():
    answers = await ask([job(container="mp3", num_channels=3), job(container="wav", sample_width=1), job(text="  ")])
    for answer, word in zip(answers, ("num_channels", "sample_width", "text"), strict=True):
        assert answer["error"].startswith("StreamError") and word in answer["error"]


@pytest.mark.parametrize("form", ["json", "binary"])
async def test_coded_audio_is_what_libsndfile_reads(form):
    mp3, ogg = await ask(
        [job(container="mp3", bitrate="96k"), job(container="ogg", encoding="oggopus")], Profile(vachana_form=form)
    )
    expected = await spoken(TEXT, 16000)
    for answer in (mp3, ogg):
        samples = by_libsndfile(b"".join(pieces(answer)))[:, 0]
        assert compare(samples, expected, 16000)[1] > 0.95
    assert len(pieces(mp3)) > 2 and len(pieces(ogg)) == 1  # Ogg comes as one chunk with the whole file
    assert len(by_libsndfile(pieces(ogg)[0])) == len(expected)


async def test_a_bad_key_is_refused_at_the_upgrade():
    speak, listen = await ask(
        [job(container="raw"), {"do": "stt", "audio": "", "options": {}, "paced": False}], key="bad-key"
    )
    for answer in (speak, listen):
        assert answer["error"].startswith("StreamConnectionError") and "401" in answer["error"]


# --- speech to text --------------------------------------------------------------------------------------


def listen(audio: bytes, *, paced: bool = True, **options: object) -> dict:
    return {"do": "stt", "audio": base64.b64encode(audio).decode(), "options": options, "paced": paced}


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
async def test_its_session_transcribes(rate):
    voice = await spoken(DEMO_SENTENCE, rate, "espeak")
    audio = np.concatenate([voice, np.zeros(rate, np.int16)]).tobytes()
    options = {"sample_rate": rate, "format": "transcribe", "itn_native_numerals": True}
    [answer] = await ask([listen(audio, **options)], voice="espeak", ears="pocketsphinx")
    assert "error" not in answer, answer
    assert answer["connected"]["config"] == {"sample_rate": rate, "chunk_size": 512}
    assert answer["connected"]["request_id"].startswith("req_") and answer["connected"]["timestamp"]
    assert [event["type"] for event in answer["events"]] == ["speech_start", "speech_end", "processing", "transcript"]
    assert answer["texts"] == [DEMO_SENTENCE]
    transcript = answer["events"][-1]
    assert transcript["segment_index"] == 1 and transcript["segment_id"] == "seg_1"
    assert transcript["audio_duration_ms"] == pytest.approx(1000 * len(voice) / rate, rel=0.2)
    assert 0 <= transcript["latency"] < 60_000


async def test_what_it_leaves_unended_is_lost():
    """It closes a second after the last frame, and the voice never paused."""
    audio = (await spoken(DEMO_SENTENCE, 16000, "espeak")).tobytes()[:48_000]
    [answer] = await ask([listen(audio)], voice="espeak", ears="pocketsphinx")
    assert [event["type"] for event in answer["events"]] == ["speech_start"]
    assert answer["texts"] == []
