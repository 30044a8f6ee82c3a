"""Text-to-speech in a real pipeline, against the emulator."""

from __future__ import annotations

import numpy as np
from pipecat.frames.frames import (
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData, TTSUsageMetricsData
from pipes import PHRASE, pipeline, spoken

from voicecore.integrations.pipecat import TTSService


def speaker(urls, **arguments) -> TTSService:
    return TTSService("60db", api_key="k", url=urls["60db-tts"], **arguments)


async def test_a_sentence(urls):
    async with pipeline(speaker(urls)) as running:
        await running.send(TTSSpeakFrame(PHRASE))
        await running.until(lambda: running.of(TTSStoppedFrame))
    (started,), (stopped,) = running.of(TTSStartedFrame), running.of(TTSStoppedFrame)
    assert started.context_id == stopped.context_id
    assert np.array_equal(running.audio(), await spoken(PHRASE, urls["60db-tts"], 24_000))
    assert " ".join(frame.text for frame in running.of(TTSTextFrame)) == PHRASE
    assert sum(data.value for data in running.metrics(TTSUsageMetricsData)) == len(PHRASE)
    assert len(running.metrics(TTFBMetricsData)) >= 1
    assert running.errors() == []
