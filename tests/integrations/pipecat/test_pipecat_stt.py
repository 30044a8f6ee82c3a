"""Speech-to-text in a real pipeline, against the emulator."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from emulated import run_proxy
from pipecat.frames.frames import (
    CancelFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    STTMuteFrame,
    STTUpdateSettingsFrame,
    TranscriptionFrame,
    UserAudioRawFrame,
)
from pipecat.metrics.metrics import STTUsageMetricsData
from pipecat.transcriptions.language import Language
from pipecat.utils.errors import ErrorCategory
from plumbing import PHRASE, Tapped, frames_of, pipeline

from voicecore import Reconnect, SixtydbSttOptions, SixtydbTtsOptions, codec
from voicecore.integrations.pipecat import STTService
from voicecore.integrations.pipecat.backlog import Backlog

INTERIM = SixtydbSttOptions(interim_results_frequency=200)


def listener(url: str, vendor: str = "60db", **arguments) -> STTService:
    return STTService(vendor, **{"api_key": "k", "url": url, "ttfs_p99_latency": 1.0} | arguments)


async def heard(running: Tapped, count: int = 1) -> list[str]:
    await running.until(lambda: len(running.of(TranscriptionFrame)) == count)
    return [frame.text for frame in running.of(TranscriptionFrame)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("vendor", ["60db", "vachana"])
async def test_speech_in_the_rate_of_the_pipeline(urls, speech, vendor, rate):
    audio = codec.resample(speech, 16_000, rate) if rate != 16_000 else speech
    service = listener(urls[f"{vendor}-stt"], vendor)
    async with pipeline(service, audio_in_sample_rate=rate) as running:
        await running.send(*frames_of(audio, rate))
        texts = await heard(running)
    if rate == 16_000:
        assert texts == [PHRASE]
    (final,) = running.of(TranscriptionFrame)
    assert texts[0] and final.finalized and final.timestamp
    assert len(running.of(InputAudioRawFrame)) == len(frames_of(audio, rate)), "audio goes on to whoever follows"
    usage = sum(data.value.audio_seconds for data in running.metrics(STTUsageMetricsData))
    assert usage == pytest.approx(len(audio) / rate)
    assert running.errors() == []


async def test_interim_results_and_who_spoke(urls, speech):
    async with pipeline(listener(urls["60db-stt"], options=INTERIM), audio_in_sample_rate=16_000) as running:
        for frame in frames_of(speech, 16_000):
            await running.send(UserAudioRawFrame(frame.audio, 16_000, 1, user_id="ann"))
            await asyncio.sleep(0)
        assert await heard(running) == [PHRASE]
    kinds = [
        type(frame) for frame in running.down if isinstance(frame, (InterimTranscriptionFrame, TranscriptionFrame))
    ]
    assert kinds[0] is InterimTranscriptionFrame and kinds[-1] is TranscriptionFrame
    assert {frame.user_id for frame in running.of(InterimTranscriptionFrame)} == {"ann"}
    assert running.of(TranscriptionFrame)[0].language is Language.EN


async def test_the_end_waits_for_the_last_transcript(urls, speech):
    async with pipeline(listener(urls["60db-stt"]), audio_in_sample_rate=16_000) as running:
        await running.send(*frames_of(speech[:-20_000], 16_000))
    assert [frame.text for frame in running.of(TranscriptionFrame)] == [PHRASE]


async def test_a_cancel_does_not_wait(urls, speech):
    async with pipeline(listener(urls["60db-stt"]), end=CancelFrame, audio_in_sample_rate=16_000) as running:
        await running.send(*frames_of(speech[:20_000], 16_000))
    assert running.of(TranscriptionFrame) == []


async def test_who_is_muted_is_not_heard(urls, speech):
    async with pipeline(listener(urls["60db-stt"]), audio_in_sample_rate=16_000) as running:
        await running.send(STTMuteFrame(mute=True), *frames_of(speech, 16_000))
        await running.send(STTMuteFrame(mute=False), *frames_of(speech, 16_000))
        assert await heard(running) == [PHRASE]


async def test_another_language_while_it_runs(urls, speech):
    async with run_proxy(urls["60db-stt"]) as proxy:
        service = listener(proxy.url)
        async with pipeline(service, audio_in_sample_rate=16_000) as running:
            await running.send(*frames_of(speech, 16_000))
            await running.send(STTUpdateSettingsFrame(delta=STTService.Settings(language=Language.HI)))
            await heard(running)
            await running.send(*frames_of(speech, 16_000))
            await heard(running, 2)
        assert (service.settings.language, proxy.opened) == ("hi", 2)


async def test_the_codes_of_the_vendor(urls):
    vachana = STTService("vachana", api_key="k", settings=STTService.Settings(language=Language.HI_IN))
    assert vachana.settings.language == "hi-IN"
    assert vachana.language_to_service_language(Language.FR) is None
    with pytest.raises(ValueError, match="languages"):
        STTService("vachana", api_key="k", settings=STTService.Settings(language=Language.FR))


# --- errors ----------------------------------------------------------------------------------------------


def test_a_missing_key_is_said_at_once():
    with pytest.raises(ValueError, match="SIXTY_DB_API_KEY"):
        STTService("60db")


def test_options_of_something_else_are_refused_at_once():
    with pytest.raises(ValueError, match="options: expected"):
        STTService("60db", api_key="k", options=SixtydbTtsOptions())


async def test_a_refused_key_ends_the_service(urls, speech):
    async with run_proxy(urls["60db-stt"]) as proxy:
        service = listener(proxy.url, api_key="bad-key")
        async with pipeline(service, audio_in_sample_rate=16_000) as running:
            await running.until(running.errors)
            await running.send(*frames_of(speech, 16_000))
        (error,) = running.errors()
        assert error.category is ErrorCategory.AUTHENTICATION and not service.is_usable
        assert "bad-key" not in error.error and proxy.opened == 1


async def test_what_cannot_be_reached_is_tried_again_and_then_given_up():
    service = listener("ws://127.0.0.1:9/ws/stt", reconnect=Reconnect(attempts=2, base=0.01))
    async with pipeline(service) as running:
        await running.until(lambda: not service.is_usable)
    assert [error.category for error in running.errors()] == [ErrorCategory.CONNECTIVITY] * 3


async def test_speech_over_a_loss_is_still_recognised(urls, speech):
    async with run_proxy(urls["60db-stt"]) as proxy:
        service = listener(proxy.url, options=INTERIM, reconnect=Reconnect(base=0.01))
        async with pipeline(service, audio_in_sample_rate=16_000) as running:
            frames = frames_of(speech, 16_000)
            await running.send(*frames[:80])
            await running.until(lambda: running.of(InterimTranscriptionFrame))
            proxy.cut()
            await running.send(*frames[80:])
            assert await heard(running) == [PHRASE]
        assert proxy.opened == 2 and running.errors() == []


async def test_the_backlog_keeps_the_newest():
    backlog = Backlog(8)
    for piece in (b"aaaa", b"bbbb", b"cccc"):
        backlog.put(piece)
    backlog.end()
    assert [piece async for piece in backlog] == [b"bbbb", b"cccc"]
    assert (backlog.take_lost(), backlog.take_lost()) == (4, 0)


async def test_reading_waits_for_audio():
    backlog = Backlog(8)
    reading = asyncio.ensure_future(anext(backlog))
    await asyncio.sleep(0)
    assert not reading.done()
    backlog.put(np.zeros(2, np.int16).tobytes())
    assert await reading == bytes(4)
