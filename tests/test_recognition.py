"""`SttStream` with our emulator, through memory, on a virtual clock: changes while it runs, and misuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import voicecore
from voicecore import StateError
from voicecore.emulator import run_emulator
from voicecore.events import LanguageChanged, ModeChanged, ProbeAnswered

FRAME = bytes(3200)  # 100 ms of silence at 16 kHz


@asynccontextmanager
async def recogniser() -> AsyncIterator[voicecore.STT]:
    async with run_emulator(voice="tone", ears="none") as emulator:
        url = "ws://localhost/ws/stt"
        async with voicecore.connect_stt("60db", api_key="k", url=url, open_stream=emulator.open_stream) as stt:
            yield stt


async def until(stream: voicecore.SttStream, kind: type) -> object:
    """The next event of this kind."""
    async for event in stream:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the stream ended without {kind.__name__}")


async def test_a_session_is_changed_and_probed_while_it_runs(autojump_clock):
    async with recogniser() as stt, stt.stream(include_events=True) as stream:
        await stream.send(FRAME)
        await stream.configure(languages=["hi", "en"])
        assert (await until(stream, LanguageChanged)).codes == ("hi", "en")
        await stream.configure(languages=None)
        assert (await until(stream, LanguageChanged)).codes is None
        await stream.configure(continuous_mode=False)
        assert (await until(stream, ModeChanged)).continuous_mode is False
        await stream.probe()
        await until(stream, ProbeAnswered)
        await stream.finish()
        assert stream.summary is None and [event async for event in stream]
    assert stream.summary is not None and stream.summary.audio_seconds > 0.1


async def test_a_stream_is_entered_once_and_used_inside_its_block(autojump_clock):
    async with recogniser() as stt:
        stream = stt.stream()
        for misuse in (stream.send(FRAME), stream.finish(), stream.configure(), stream.probe(), anext(stream)):
            with pytest.raises(StateError, match="inside its `async with` block"):
                await misuse
        await stream.__aexit__(None, None, None)  # never entered: nothing to leave
        async with stream:
            with pytest.raises(StateError, match="entered once"):
                await stream.__aenter__()
            await stream.finish()
            with pytest.raises(StateError, match="after finish"):
                await stream.send(FRAME)
            assert [transcript.text async for transcript in stream] == [""], "silence"
        with pytest.raises(StateError, match="entered once"):
            await stream.__aenter__()
