"""A whole conversation in a real pipeline: speech in, recognised, answered, spoken, interrupted, and nothing left."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from emulated import Urls, run_emulator
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.openai.llm import OpenAILLMService
from plumbing import run_pipeline, spoken
from room import Loudspeaker, Microphone

from voicecore.integrations.pipecat import STTService, TTSService

FIRST = "Your appointment is on Monday at nine."
SECOND = "Could you please repeat that more slowly?"
FIRST_ANSWER = "Thank you, I will be there on Monday at nine."
SECOND_SENTENCES = ("Of course.", "I will say it again, more slowly.")
SECOND_ANSWER = " ".join(SECOND_SENTENCES)
RATE = 24_000


@pytest.fixture(scope="module")
def paced() -> Iterator[Urls]:
    """A vendor who speaks not much faster than one listens."""
    with run_emulator("--pace", "1.2") as running:
        yield running


async def test_a_conversation_with_a_barge_in(urls, paced):
    first, second = [await spoken(text, urls["60db-tts"]) for text in (FIRST, SECOND)]
    microphone, loudspeaker = Microphone(), Loudspeaker()
    stt = STTService("60db", api_key="k", url=paced["60db-stt"], ttfs_p99_latency=0.5)
    llm = OpenAILLMService(
        api_key="k",
        base_url=paced["60db-llm"].removesuffix("/chat/completions"),
        settings=OpenAILLMService.Settings(model="60db-tiny"),
    )
    tts = TTSService("60db", api_key="k", url=paced["60db-tts"])
    context = LLMContext()
    user, assistant = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline([microphone, stt, user, llm, tts, loudspeaker, assistant])

    async with run_pipeline(pipeline, audio_in_sample_rate=16_000, audio_out_sample_rate=RATE) as running:
        microphone.say(first)
        await running.until(lambda: len(loudspeaker.played[-1]) > RATE)  # half a second
        microphone.say(second)
        await running.until(lambda: SECOND_ANSWER in said(context, "assistant"))
    await llm._client.close()

    assert said(context, "user") == [FIRST, SECOND]
    assert said(context, "assistant")[-1] == SECOND_ANSWER
    whole_first = await spoken(FIRST_ANSWER, urls["60db-tts"], RATE)
    whole_second = np.concatenate([await spoken(text, urls["60db-tts"], RATE) for text in SECOND_SENTENCES])
    begun, again = [np.frombuffer(played, np.int16) for played in (loudspeaker.played[-2], loudspeaker.played[-1])]
    assert RATE / 2 < len(begun) < len(whole_first) and np.array_equal(begun, whole_first[: len(begun)])
    assert np.array_equal(again[: len(whole_second)], whole_second)


def said(context: LLMContext, role: str) -> list[str]:
    return [message["content"] for message in context.get_messages() if message["role"] == role]
