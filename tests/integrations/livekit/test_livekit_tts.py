"""Text-to-speech: every sample, in frames, by one connection; and what goes wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from emulated import run_emulator, run_proxy
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, APITimeoutError, tts
from livekit.plugins._60db import TTS
from talk import ONCE, QUICK, samples_of, streamed

from voicecore import AudioFormat, aio
from voicecore.integrations.livekit import sessions

FIRST, SECOND = "Your appointment is on Monday. ", "Please bring your papers with you."


async def directly(url: str, text: str, sample_rate: int = 16_000) -> np.ndarray:
    """The same request without LiveKit."""
    async with aio.connect_tts("60db", api_key="k", url=url) as session:
        async with session.synthesize(text, output=AudioFormat("pcm_s16le", sample_rate)) as speech:
            return np.concatenate([chunk.samples async for chunk in speech])


# --- audio -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_one_shot_is_every_sample(urls, rate):
    async with TTS(api_key="k", ws_url=urls["60db-tts"], sample_rate=rate) as speaker:
        events = [event async for event in speaker.synthesize(FIRST)]
    assert np.array_equal(samples_of(events), await directly(urls["60db-tts"], FIRST, rate))
    assert {(event.frame.sample_rate, event.frame.num_channels) for event in events} == {(rate, 1)}
    assert max(event.frame.duration for event in events) <= 1.01
    assert [event.is_final for event in events] == [False] * (len(events) - 1) + [True]


@pytest.mark.parametrize("encoding", ["MULAW", "ogg_opus"])
async def test_other_encodings_come_as_samples(urls, encoding):
    async with TTS(api_key="k", ws_url=urls["60db-tts"], encoding=encoding) as speaker:
        frame = await speaker.synthesize(FIRST).collect()
    assert frame.sample_rate == 16_000
    assert frame.duration == pytest.approx(len(await directly(urls["60db-tts"], FIRST)) / 16_000, abs=0.1)


async def test_a_stream_speaks_sentence_by_sentence_in_order(urls):
    words = (FIRST + SECOND).replace(" ", " |").split("|")
    async with TTS(api_key="k", ws_url=urls["60db-tts"]) as speaker:
        events = await streamed(speaker, *words)
    sentences = [await directly(urls["60db-tts"], text) for text in (FIRST, SECOND)]
    assert np.array_equal(samples_of(events), np.concatenate(sentences))
    assert len({event.segment_id for event in events}) == 1 and events[0].segment_id


async def test_the_first_sentence_is_spoken_before_the_second_is_written(urls):
    async with TTS(api_key="k", ws_url=urls["60db-tts"]) as speaker, speaker.stream(conn_options=ONCE) as stream:
        stream.push_text(FIRST + "Please ")
        assert (await anext(stream)).frame.duration
        stream.push_text("bring your papers with you.")
        stream.flush()
        stream.end_input()
        assert [event async for event in stream][-1].is_final


async def test_a_short_sentence_goes_with_the_next(urls):
    async with TTS(api_key="k", ws_url=urls["60db-tts"]) as speaker:
        events = await streamed(speaker, "Yes. ", "I will be there. ", "Ok.")
    parts = [await directly(urls["60db-tts"], text) for text in ("Yes. I will be there. ", "Ok.")]
    assert np.array_equal(samples_of(events), np.concatenate(parts))


@pytest.mark.parametrize("texts", [(), (" ",), ("\n", "  ")])
async def test_no_words_no_audio_no_error(urls, texts):
    async with TTS(api_key="k", ws_url=urls["60db-tts"]) as speaker:
        assert await streamed(speaker, *texts) == []
        assert [event async for event in speaker.synthesize("".join(texts))] == []


async def test_a_flush_before_the_first_word_ends_nothing(urls):
    async with TTS(api_key="k", ws_url=urls["60db-tts"]) as speaker, speaker.stream(conn_options=ONCE) as stream:
        stream.flush()
        stream.push_text(FIRST)
        stream.end_input()
        assert np.array_equal(samples_of([event async for event in stream]), await directly(urls["60db-tts"], FIRST))


async def test_many_at_once_on_one_connection(urls):
    texts = [f"This is utterance number {number} of ten." for number in range(10)]
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
        spoken = await asyncio.gather(*(streamed(speaker, text) for text in texts))
        assert proxy.opened == 1
    for text, events in zip(texts, spoken, strict=True):
        assert np.array_equal(samples_of(events), await directly(urls["60db-tts"], text))


# --- connections and metrics -----------------------------------------------------------------------------


async def test_one_connection_for_one_after_another_and_the_metrics_say_so(urls):
    measured = []
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
        speaker.on("metrics_collected", measured.append)
        events = [event async for event in speaker.synthesize(FIRST)]
        await streamed(speaker, SECOND)
        await streamed(speaker, FIRST)
        assert proxy.opened == 1
    assert [metrics.connection_reused for metrics in measured] == [False, True, True]
    assert [metrics.streamed for metrics in measured] == [False, True, True]
    assert [metrics.characters_count for metrics in measured] == [len(FIRST), len(SECOND), len(FIRST)]
    assert measured[0].audio_duration == pytest.approx(sum(event.frame.duration for event in events))
    assert all(0 < metrics.ttfb <= metrics.duration for metrics in measured)
    assert measured[0].acquire_time > measured[1].acquire_time > 0
    assert measured[0].metadata.model_provider == "60db" and measured[0].metadata.model_name == "60db-tts"


async def test_prewarming_connects(urls):
    measured = []
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
        speaker.on("metrics_collected", measured.append)
        speaker.prewarm()
        speaker.prewarm()
        while not proxy.opened:
            await asyncio.sleep(0.01)
        await streamed(speaker, FIRST, conn_options=APIConnectOptions())
        assert proxy.opened == 1
    assert measured[0].connection_reused


def test_prewarming_outside_of_a_loop_does_nothing():
    TTS(api_key="k").prewarm()


async def test_prewarming_in_vain_is_no_error():
    async with TTS(api_key="k", ws_url="ws://127.0.0.1:9/ws/tts") as speaker:
        speaker.prewarm()
        await asyncio.sleep(0.05)


async def test_closed_in_the_middle_of_prewarming(urls):
    speaker = TTS(api_key="k", ws_url=urls["60db-tts"])
    speaker.prewarm()
    await asyncio.sleep(0)
    await speaker.aclose()


async def test_a_closed_service_opens_again(urls):
    async with run_proxy(urls["60db-tts"]) as proxy:
        speaker = TTS(api_key="k", ws_url=proxy.url)
        for opened in (1, 2):
            assert await streamed(speaker, FIRST)
            await speaker.aclose()
            await speaker.aclose()
            assert proxy.opened == opened


async def test_closing_the_service_closes_its_streams():
    with run_emulator("--fault", "stall") as stalled:
        speaker = TTS(api_key="k", ws_url=stalled["60db-tts"])
        stream = speaker.stream()
        stream.push_text(FIRST)
        whole = speaker.synthesize(FIRST)
        await asyncio.sleep(0.1)
        await speaker.aclose()
        assert [event async for event in stream] == [] == [event async for event in whole]


async def test_an_idle_session_is_closed_and_opened_again(urls, monkeypatch):
    monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.05)
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
        for opened in (1, 2):
            assert await streamed(speaker, FIRST)
            while proxy.open:
                await asyncio.sleep(0.01)
            assert proxy.opened == opened


async def test_who_comes_while_it_is_being_found_idle_keeps_it(urls):
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
        assert await streamed(speaker, FIRST)
        stream = speaker.stream(conn_options=ONCE)
        stream.push_text(FIRST)
        stream.end_input()
        await asyncio.sleep(0)  # it has begun
        [held] = speaker._sessions._held.values()
        held._close_idle()
        assert samples_of([event async for event in stream]).any()
        await stream.aclose()
        assert proxy.opened == 1


async def test_the_end_of_a_job_closes_the_session(urls, monkeypatch):
    callbacks = []
    job = SimpleNamespace(add_shutdown_callback=callbacks.append)
    monkeypatch.setattr(sessions, "get_job_context", lambda *, required: job)
    speaker = TTS(api_key="k", ws_url=urls["60db-tts"])
    for _ in range(2):
        assert await streamed(speaker, FIRST)
    [at_the_end] = callbacks
    await at_the_end()


@pytest.mark.parametrize("service", ["STT", "TTS", "LLM"])
def test_a_service_that_nobody_closes_is_no_trouble_when_the_loop_ends(urls, service):
    url = urls[f"60db-{service.lower()}"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", UNCLOSED, service, url], capture_output=True, timeout=60
    )
    assert done.returncode == 0 and b"Error" not in done.stderr and b"error" not in done.stderr, done.stderr.decode()


UNCLOSED = """
import asyncio, sys, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from livekit import rtc
    from livekit.agents import llm
    from livekit.plugins import _60db

async def main(name, url):
    service = getattr(_60db, name)(api_key="k", ws_url=url)
    if name == "TTS":
        async with service.synthesize("Hello.") as stream:
            await stream.collect()
    elif name == "LLM":
        chat = llm.ChatContext()
        chat.add_message(role="user", content="Hello")
        await service.chat(chat_ctx=chat).collect()
    else:
        service.prewarm()
        await asyncio.sleep(0.3)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_connection_that_was_lost_while_idle_is_opened_again(urls):
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
        assert await streamed(speaker, FIRST)
        proxy.cut()
        await asyncio.sleep(0.05)
        assert np.array_equal(samples_of(await streamed(speaker, FIRST)), await directly(urls["60db-tts"], FIRST))
        assert proxy.opened == 2


async def test_an_interrupted_stream_is_not_heard_in_the_next():
    with run_emulator("--pace", "4") as paced:
        async with TTS(api_key="k", ws_url=paced["60db-tts"]) as speaker:
            async with speaker.stream(conn_options=ONCE) as stream:
                stream.push_text(FIRST)
                stream.flush()
                await anext(stream)
            async with speaker.synthesize(FIRST, conn_options=ONCE) as whole:
                await anext(whole)
            events = await streamed(speaker, SECOND)
        assert np.array_equal(samples_of(events), await directly(paced["60db-tts"], SECOND))


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["synthesize", "stream"])
async def test_a_refused_key_is_not_tried_again(urls, way):
    async with run_proxy(urls["60db-tts"]) as proxy, TTS(api_key="bad-key", ws_url=proxy.url) as speaker:
        with pytest.raises(APIStatusError) as caught:
            await spoken(speaker, way, QUICK)
        assert proxy.opened == 1 and caught.value.status_code == 401


@pytest.mark.parametrize("way", ["synthesize", "stream"])
async def test_what_cannot_be_reached_is_tried_as_often_as_was_said(way):
    failures = []
    async with TTS(api_key="k", ws_url="ws://127.0.0.1:9/ws/tts") as speaker:
        speaker.on("error", failures.append)
        with pytest.raises(APIConnectionError):
            await spoken(speaker, way, QUICK)
    assert [failure.recoverable for failure in failures] == [True, True, False]


@pytest.mark.parametrize("way", ["synthesize", "stream"])
async def test_silence_is_a_timeout(way):
    with run_emulator("--fault", "stall") as stalled:
        async with TTS(api_key="k", ws_url=stalled["60db-tts"]) as speaker:
            with pytest.raises(APITimeoutError, match="first_audio"):
                await spoken(speaker, way, APIConnectOptions(max_retry=0, timeout=0.2))


@pytest.mark.parametrize("way", ["synthesize", "stream"])
async def test_a_vendor_that_fails_has_a_status(way):
    with run_emulator("--no-credit") as poor:
        async with TTS(api_key="k", ws_url=poor["60db-tts"]) as speaker:
            with pytest.raises(APIStatusError) as caught:
                await spoken(speaker, way, QUICK)
    assert caught.value.status_code == 402


async def test_a_stream_that_broke_off_is_not_begun_again():
    with run_emulator("--fault", "drop@2", "--chunk-seconds", "0.05") as torn:
        async with run_proxy(torn["60db-tts"]) as proxy, TTS(api_key="k", ws_url=proxy.url) as speaker:
            async with speaker.stream(conn_options=QUICK) as stream:
                stream.push_text(FIRST)
                stream.end_input()
                heard = []
                with pytest.raises(APIConnectionError):
                    async for event in stream:
                        heard.append(event)
            assert proxy.opened == 1
        assert heard


async def test_the_fallback_adapter_falls_back(urls):
    far, near = TTS(api_key="k", ws_url="ws://127.0.0.1:9/ws/tts"), TTS(api_key="k", ws_url=urls["60db-tts"])
    adapter = tts.FallbackAdapter([far, near], max_retry_per_tts=0)
    assert samples_of(await streamed(adapter, FIRST)).any()
    for service in (adapter, far, near):
        await service.aclose()


async def spoken(speaker: tts.TTS, way: str, conn_options: APIConnectOptions) -> None:
    if way == "stream":
        await streamed(speaker, FIRST, conn_options=conn_options)
    else:
        async with speaker.synthesize(FIRST, conn_options=conn_options) as whole:
            assert [event async for event in whole]
