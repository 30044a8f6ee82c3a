"""Every vendor's system as a session uses it, against the emulator, through memory: what many tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import trio
from support import here

import voicecore
from voicecore import AudioFormat
from voicecore.emulator import Profile, run_emulator
from voicecore.vendors import DIALECTS

TTS = [pytest.param(dialect, id=dialect.name) for dialect in DIALECTS if dialect.kind == "tts"]
STT = [pytest.param(dialect, id=dialect.name) for dialect in DIALECTS if dialect.kind == "stt"]
EVERY = [pytest.param(dialect, id=dialect.name) for dialect in DIALECTS]
PCM = AudioFormat("pcm_s16le", 16_000)
TEXT = "Hello there, how are you? I am well. "
OTHER = "Quite another sentence is said here."


@pytest.fixture
async def emulate(nursery):
    """Starts an emulator: `await emulate(**profile)`."""

    async def start(**choices) -> object:
        return await here.on_trio(nursery.start, serve, Profile(**choices))

    async def serve(profile, task_status):
        async with run_emulator(profile, voice="tone", ears="none") as emulator:
            emulator.ears = RecordingEars(emulator.ears)
            task_status.started(emulator)
            await trio.sleep_forever()

    return start


def connect(dialect, server, key: str = "any", **arguments):
    """A session with whoever is behind `server.open_stream`."""
    connecting = here.connect_tts if dialect.kind == "tts" else here.connect_stt
    url = f"ws://localhost{dialect.path()}"
    return connecting(dialect.name, api_key=key, url=url, open_stream=server.open_stream, **arguments)


async def said(tts, text: str = TEXT, output: AudioFormat | None = PCM) -> np.ndarray:
    async with tts.synthesize(text, output=output) as speech:
        chunks = [chunk async for chunk in speech]
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    assert {chunk.context_id for chunk in chunks} == {speech.context_id}
    return np.concatenate([chunk.samples for chunk in chunks])


def noise(seconds: float, form: AudioFormat) -> bytes:
    generator = np.random.default_rng(7)
    size = round(seconds * form.sample_rate) * form.frame_bytes
    return generator.integers(0, 256, size, np.uint8).tobytes()


async def recognised(stt, form: AudioFormat = PCM, seconds: float = 1.0, pace: float = 0.0) -> list[Any]:
    """Everything that the vendor says of so much noise; with a pace, so many seconds of it are sent in a second."""
    async with stt.stream(input=form, include_events=True) as stream:
        audio, size = noise(seconds, form), 333 * form.frame_bytes
        for at in range(0, len(audio), size):
            await stream.send(audio[at : at + size])
            if pace:
                await here.sleep(size / form.byte_rate / pace)
        await stream.finish()
        events = [event async for event in stream]
    assert stream.summary is not None
    return events


async def work(session) -> None:
    """What a system is for, once, to its end."""
    if isinstance(session, voicecore.TTS):
        assert len(await said(session))
    else:
        await recognised(session)


def client_tasks() -> int:
    """The tasks of the sessions in this process, the emulator's aside; on asyncio those of their sockets in memory."""
    todo, found = [trio.lowlevel.current_root_task()], 0
    while todo:
        task = todo.pop()
        found += task.name.startswith(("voicecore.", "support.guest.")) and ".emulator" not in task.name
        todo += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


class RecordingEars:
    """The emulator's ears, remembering all that each of their sessions heard: 16-bit PCM at 16 kHz."""

    def __init__(self, ears) -> None:
        self._ears = ears
        self.heard: list[bytearray] = []

    @asynccontextmanager
    async def listen(self, *arguments, **named) -> AsyncIterator[Any]:
        async with self._ears.listen(*arguments, **named) as session:
            heard, feed = bytearray(), session.feed
            self.heard.append(heard)

            async def record(pcm: bytes) -> None:
                heard.extend(pcm)
                await feed(pcm)

            session.feed = record
            yield session
