"""Text-to-speech in a real pipeline, against the emulator."""

from __future__ import annotations

import numpy as np
import pytest
from emulated import run_emulator, run_proxy
from pipecat.frames.frames import (
    CancelFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData, TTSUsageMetricsData
from pipecat.services.tts_service import TextAggregationMode
from pipecat.utils.errors import ErrorCategory
from plumbing import PHRASE, Tapped, pipeline, spoken

from voicecore import AudioFormat, Reconnect, SixtydbSttOptions, aio
from voicecore.integrations.pipecat import TTSService

MORE = "Please bring your papers with you."
LONG = "I will say it again, as slowly as I can, so that you can write down each and every single word of it."
VOICE = "v_meklc281"
SPEAKERS = {
    "60db": "60db-tts",
    "vachana": "vachana-tts",
    "uplift": "uplift",
    "uplift-socketio": "uplift-socketio",
    "deepdub": "deepdub-open",
    "deepdub-ws": "deepdub-ws",
}


def speaker(url: str, **arguments) -> TTSService:
    return TTSService("60db", **{"api_key": "k", "url": url} | arguments)


async def spoke(running: Tapped, count: int = 1) -> None:
    """Until so many utterances have ended."""
    await running.until(lambda: len(running.of(TTSStoppedFrame)) == count)


def text_of(running: Tapped) -> str:
    return " ".join(frame.text for frame in running.of(TTSTextFrame))


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_a_sentence_in_the_rate_of_the_pipeline(urls, rate):
    async with pipeline(speaker(urls["60db-tts"]), audio_out_sample_rate=rate) as running:
        await running.send(TTSSpeakFrame(PHRASE))
        await spoke(running)
    (started,), (stopped,) = running.of(TTSStartedFrame), running.of(TTSStoppedFrame)
    audio = running.of(TTSAudioRawFrame)
    assert {frame.context_id for frame in audio} == {started.context_id} == {stopped.context_id}
    assert {(frame.sample_rate, frame.num_channels) for frame in audio} == {(rate, 1)}
    assert np.array_equal(running.audio(), await spoken(PHRASE, urls["60db-tts"], rate))
    assert text_of(running) == PHRASE
    assert running.errors() == []


async def test_the_metrics_of_an_utterance(urls):
    async with pipeline(speaker(urls["60db-tts"])) as running:
        await running.send(TTSSpeakFrame(PHRASE))
        await spoke(running)
    assert [data.value for data in running.metrics(TTSUsageMetricsData)] == [len(PHRASE)]
    assert [data.value > 0 for data in running.metrics(TTFBMetricsData) if data.value] == [True]


async def test_the_sentences_of_a_reply_are_one_context(urls):
    async with pipeline(speaker(urls["60db-tts"])) as running:
        for count in (1, 2):
            await running.reply(*f"{PHRASE} {MORE}".replace(" ", " |").split("|"))
            await spoke(running, count)
    once = [await spoken(text, urls["60db-tts"], 24_000) for text in (PHRASE, MORE)]
    assert np.array_equal(running.audio(), np.concatenate(once * 2))
    assert len({frame.context_id for frame in running.of(TTSAudioRawFrame)}) == 2
    assert text_of(running) == " ".join([PHRASE, MORE] * 2)


async def test_words_count_as_spoken_after_their_audio(urls):
    async with pipeline(speaker(urls["60db-tts"])) as running:
        await running.reply(PHRASE, " " + MORE)
        await spoke(running)
    last_word = next(frame for frame in running.of(TTSTextFrame) if frame.text == "nine.")
    before = running.down[: running.down.index(last_word)]
    samples = sum(len(frame.audio) // 2 for frame in before if isinstance(frame, TTSAudioRawFrame))
    assert samples == len(await spoken(PHRASE, urls["60db-tts"], 24_000))
    begun = min(frame.pts for frame in running.of(TTSTextFrame)) - round(samples / 24_000 * 1e9)
    assert running.of(TTSTextFrame)[-1].pts - begun == pytest.approx(len(running.audio()) / 24_000 * 1e9, rel=0.01)


async def test_tokens_as_they_come(urls):
    service = speaker(urls["60db-tts"], text_aggregation_mode=TextAggregationMode.TOKEN)
    async with pipeline(service) as running:
        await running.reply(*PHRASE.replace(" ", "| ").split("|"))
        await spoke(running)
    assert np.array_equal(running.audio(), await spoken(PHRASE, urls["60db-tts"], 24_000))
    assert text_of(running) == PHRASE


@pytest.mark.parametrize("name", SPEAKERS)
async def test_every_vendor_by_name(urls, name):
    url, output = urls[SPEAKERS[name]], AudioFormat("pcm_s16le", 24_000)
    async with aio.connect_tts(name, api_key="k", url=url) as session:
        async with session.synthesize(PHRASE, voice=VOICE, output=output) as speech:
            directly = np.concatenate([chunk.samples async for chunk in speech])
    async with pipeline(TTSService(name, api_key="k", url=url, voice=VOICE)) as running:
        await running.reply(PHRASE)
        await spoke(running)
    assert np.array_equal(running.audio(), directly)


# --- barge-in and ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["60db", "deepdub-ws", "uplift"])
async def test_barge_in_stops_the_vendor(name):
    with run_emulator("--pace", "2") as paced:
        async with run_proxy(paced[SPEAKERS[name]]) as proxy:
            async with pipeline(TTSService(name, api_key="k", url=proxy.url, voice=VOICE)) as running:
                await running.reply(LONG)
                await spoke(running)
                whole, answered = len(running.audio()), proxy.answered
                running.down.clear()

                await running.reply(LONG)
                await running.until(lambda: running.of(TTSAudioRawFrame))
                await running.send(InterruptionFrame())
                await running.until(lambda: running.of(InterruptionFrame))
                assert len(running.audio()) < whole / 2
                begun = len(running.down)
                await running.reply(LONG)  # takes as long as the rest of what was cut off would have taken
                await spoke(running)
            contexts = [frame.context_id for frame in running.down[begun:] if isinstance(frame, TTSAudioRawFrame)]
            assert len(set(contexts)) == 1, "nothing is heard of what was interrupted"
            assert text_of(running) == LONG, "what was cut off does not count as said"
            assert proxy.answered - answered < 1.7 * answered
    assert running.errors() == []


async def test_the_end_waits_for_what_was_begun(urls):
    async with pipeline(speaker(urls["60db-tts"])) as running:
        await running.send(LLMFullResponseStartFrame(), LLMTextFrame(PHRASE + " "), LLMTextFrame(MORE[:6]))
        await running.until(lambda: running.of(TTSStartedFrame))
    assert len(running.audio()) >= len(await spoken(PHRASE, urls["60db-tts"], 24_000))


async def test_a_cancel_does_not_wait():
    with run_emulator("--pace", "1") as paced:
        async with pipeline(speaker(paced["60db-tts"]), end=CancelFrame) as running:
            await running.reply(LONG)
            await running.until(lambda: running.of(TTSAudioRawFrame))
    assert running.of(TTSStoppedFrame) == []


# --- errors ----------------------------------------------------------------------------------------------


def test_a_missing_key_is_said_at_once():
    with pytest.raises(ValueError, match="SIXTY_DB_API_KEY"):
        TTSService("60db")


def test_options_of_something_else_are_refused_at_once():
    with pytest.raises(ValueError, match="options: expected"):
        TTSService("60db", api_key="k", options=SixtydbSttOptions())


async def test_a_refused_key_ends_the_service(urls):
    async with run_proxy(urls["60db-tts"]) as proxy:
        service = speaker(proxy.url, api_key="bad-key")
        async with pipeline(service) as running:
            await running.until(running.errors)
            await running.send(TTSSpeakFrame(PHRASE))
        (error,) = running.errors()
        assert error.category is ErrorCategory.AUTHENTICATION and not service.is_usable
        assert "bad-key" not in error.error and proxy.opened == 1


async def test_what_cannot_be_reached_is_tried_with_every_text():
    service = TTSService("60db", api_key="k", url="ws://127.0.0.1:9/ws/tts")
    async with pipeline(service) as running:
        await running.send(TTSSpeakFrame(PHRASE), LLMFullResponseStartFrame(), LLMTextFrame(PHRASE))
        await running.send(LLMFullResponseEndFrame())
        await running.until(lambda: len(running.errors()) >= 3)
    connecting = [error for error in running.errors() if error.category is ErrorCategory.CONNECTIVITY]
    assert len(connecting) == 3 and service.is_usable


async def test_a_loss_in_mid_speech_is_an_error_and_the_next_text_is_spoken():
    with run_emulator("--pace", "4") as paced:
        async with run_proxy(paced["60db-tts"]) as proxy:
            async with pipeline(speaker(proxy.url, reconnect=Reconnect(base=0.01))) as running:
                await running.reply(f"{LONG} {MORE}")
                await running.until(lambda: running.of(TTSAudioRawFrame))
                proxy.cut()
                await spoke(running)
                begun = len(running.audio())
                await running.reply(PHRASE)
                await spoke(running, 2)
        assert [error.category for error in running.errors()] == [ErrorCategory.CONNECTIVITY]
        assert np.array_equal(running.audio()[begun:], await spoken(PHRASE, paced["60db-tts"], 24_000))


async def test_another_voice_from_the_next_turn_on():
    with run_emulator("--uplift-unknown-voice", "error") as strict:
        service = TTSService("uplift", api_key="k", url=strict["uplift"], voice="nobody")
        async with pipeline(service) as running:
            await running.reply(PHRASE)
            await running.until(running.errors)
            await running.send(TTSUpdateSettingsFrame(delta=TTSService.Settings(voice=VOICE)))
            await running.reply(MORE)
            await spoke(running, 2)
    assert len(running.audio()) and "nobody" in running.errors()[0].error
    assert service.settings.voice == VOICE and service.is_usable
