"""Speech-to-text: any rate and channel count in, LiveKit's events out in order; and what goes wrong."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from emulated import run_emulator, run_proxy
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, APITimeoutError
from livekit.agents.stt import SpeechEventType
from livekit.plugins._60db import STT
from talk import ONCE, PHRASE, QUICK, finals_of, frames_of, heard, kinds_of

from voicecore import SixtydbSttOptions
from voicecore.integrations import livekit as ours
from voicecore.vendors.sixtydb.stt import RecognitionContext

TALK = (
    SpeechEventType.START_OF_SPEECH,
    SpeechEventType.INTERIM_TRANSCRIPT,
    SpeechEventType.FINAL_TRANSCRIPT,
    SpeechEventType.END_OF_SPEECH,
)


@pytest.mark.parametrize(
    ("rate", "channels", "arguments"),
    [
        (8_000, 1, {}),
        (16_000, 2, {"encoding": "LINEAR16", "sample_rate": 16_000}),
        (44_100, 1, {}),
        (48_000, 2, {}),
        (48_000, 6, {"encoding": "LINEAR16", "sample_rate": 48_000}),
        (22_050, 1, {"encoding": "linear", "sample_rate": 24_000}),
    ],
)
async def test_any_rate_and_channel_count(urls, speech, rate, channels, arguments):
    async with STT(api_key="k", ws_url=urls["60db-stt"], **arguments) as listener:
        events = await heard(listener, frames_of(speech, rate, channels))
    assert finals_of(events) == [PHRASE]
    assert kinds_of(events) == list(TALK)
    final = next(event for event in events if event.type is SpeechEventType.FINAL_TRANSCRIPT)
    assert final.alternatives[0].language == "en" and 0 < final.alternatives[0].confidence <= 1
    assert {event.request_id for event in events} == {final.request_id}


async def test_usage_is_all_the_audio(urls, speech):
    measured = []
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener:
        listener.on("metrics_collected", measured.append)
        events = await heard(listener, frames_of(np.tile(speech, 3), 48_000, 1))
    used = [event.recognition_usage.audio_duration for event in events if event.recognition_usage]
    assert len(used) > 1 and sum(used) == pytest.approx(3 * len(speech) / 48_000)
    acquired, *usage = measured
    assert acquired.acquire_time > 0 and not acquired.connection_reused
    assert [metrics.audio_duration for metrics in usage] == used


async def test_turns_of_one_session(urls, speech):
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener:
        events = await heard(listener, frames_of(np.tile(speech, 2), 16_000, 1))
    assert finals_of(events) == [PHRASE, PHRASE]
    assert kinds_of(events) == [*TALK, *TALK]


async def test_a_final_that_may_be_refined_is_a_preflight(urls, speech):
    options = SixtydbSttOptions(context=RecognitionContext(text="A call with a doctor's office."))
    async with ours.STT("60db", api_key="k", url=urls["60db-stt"], options=options) as listener:
        assert not listener.capabilities.interim_results
        events = await heard(listener, frames_of(speech, 16_000, 1))
    assert kinds_of(events) == [
        SpeechEventType.START_OF_SPEECH,
        SpeechEventType.PREFLIGHT_TRANSCRIPT,
        SpeechEventType.FINAL_TRANSCRIPT,
        SpeechEventType.END_OF_SPEECH,
    ]


async def test_a_flush_ends_nothing(urls, speech):
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener, listener.stream(conn_options=ONCE) as stream:
        stream.flush()
        for frame in frames_of(speech, 48_000, 1):
            stream.push_frame(frame)
            stream.flush()
        stream.end_input()
        assert finals_of([event async for event in stream]) == [PHRASE]


async def test_silence_and_nothing_at_all(urls):
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener:
        assert kinds_of(await heard(listener, frames_of(np.zeros(48_000, np.int16), 48_000, 1))) == []
        assert await heard(listener, []) == []


async def test_results_come_while_the_input_is_open(urls, speech):
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener, listener.stream(conn_options=ONCE) as stream:
        for frame in frames_of(speech, 48_000, 1):
            stream.push_frame(frame)
        async for event in stream:
            if event.type is SpeechEventType.END_OF_SPEECH:
                break


async def test_a_recording_whole(urls, speech):
    measured = []
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener:
        listener.on("metrics_collected", measured.append)
        event = await listener.recognize(frames_of(speech, 44_100, 2), language="en")
    assert event.type is SpeechEventType.FINAL_TRANSCRIPT and event.alternatives[0].text == PHRASE
    assert measured[0].audio_duration == pytest.approx(len(speech) / 48_000, abs=0.01) and not measured[0].streamed


async def test_a_language_for_one_stream(urls, speech):
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener:
        async with listener.stream(language="hi", conn_options=ONCE) as stream:
            assert stream._options.languages == ("hi",)
            assert stream._options.encoding == "mulaw"


async def test_prewarming_connects(urls, speech):
    measured = []
    async with run_proxy(urls["60db-stt"]) as proxy, STT(api_key="k", ws_url=proxy.url) as listener:
        listener.on("metrics_collected", measured.append)
        listener.prewarm()
        while not proxy.opened:
            await asyncio.sleep(0.01)
        assert finals_of(await heard(listener, frames_of(speech, 48_000, 1), APIConnectOptions())) == [PHRASE]
        assert proxy.opened == 1
    assert measured[0].connection_reused


async def test_a_stream_that_is_left_leaves_nothing(urls, speech):
    async with STT(api_key="k", ws_url=urls["60db-stt"]) as listener:
        async with listener.stream(conn_options=ONCE) as stream:
            for frame in frames_of(speech, 48_000, 1):
                stream.push_frame(frame)
            await anext(stream)
        assert finals_of(await heard(listener, frames_of(speech, 48_000, 1))) == [PHRASE]


# --- what goes wrong -------------------------------------------------------------------------------------


async def test_a_lost_connection_loses_no_word(urls, speech):
    """The first half is sent again on another connection, by voicecore: LiveKit's retry would have lost it."""
    failures = []
    async with run_proxy(urls["60db-stt"]) as proxy, STT(api_key="k", ws_url=proxy.url) as listener:
        listener.on("error", failures.append)
        frames = frames_of(speech, 48_000, 1)
        async with listener.stream(conn_options=QUICK) as stream:
            for frame in frames[:60]:
                stream.push_frame(frame)
            await anext(stream)
            proxy.cut()
            for frame in frames[60:]:
                stream.push_frame(frame)
            stream.end_input()
            assert finals_of([event async for event in stream]) == [PHRASE]
        assert proxy.opened == 2 and not failures


async def test_a_refused_key_is_not_tried_again(urls, speech):
    async with run_proxy(urls["60db-stt"]) as proxy, STT(api_key="bad-key", ws_url=proxy.url) as listener:
        with pytest.raises(APIStatusError) as caught:
            await heard(listener, frames_of(speech, 48_000, 1), QUICK)
        assert proxy.opened == 1 and caught.value.status_code == 401
        with pytest.raises(APIStatusError):
            await listener.recognize(frames_of(speech, 48_000, 1), conn_options=QUICK)


async def test_what_cannot_be_reached_is_tried_as_often_as_was_said(speech):
    failures = []
    async with STT(api_key="k", ws_url="ws://127.0.0.1:9/ws/stt") as listener:
        listener.on("error", failures.append)
        with pytest.raises(APIConnectionError):
            await heard(listener, frames_of(speech, 48_000, 1), QUICK)
    assert [failure.recoverable for failure in failures] == [True, True, False]


async def test_silence_after_the_end_is_a_timeout(speech):
    with run_emulator("--fault", "stall") as stalled:
        async with STT(api_key="k", ws_url=stalled["60db-stt"]) as listener:
            with pytest.raises(APITimeoutError, match="between_chunks"):
                await heard(listener, frames_of(speech, 48_000, 1), APIConnectOptions(max_retry=0, timeout=0.3))


async def test_no_credit_is_a_status(speech):
    with run_emulator("--no-credit") as poor:
        async with STT(api_key="k", ws_url=poor["60db-stt"]) as listener:
            with pytest.raises(APIStatusError) as caught:
                await heard(listener, frames_of(speech, 48_000, 1), QUICK)
    assert caught.value.status_code == 402
