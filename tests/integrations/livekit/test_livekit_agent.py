"""A whole conversation: speech in, recognised, answered, spoken, interrupted, and nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from agent_audio import Loudspeaker, Microphone
from emulated import Urls, run_emulator
from livekit.agents import Agent, AgentSession, inference
from livekit.agents import llm as llm_api
from livekit.plugins._60db import LLM, STT, TTS
from talk import PHRASE

FIRST = PHRASE
SECOND = "Could you please repeat that more slowly?"
FIRST_ANSWER = "Thank you, I will be there on Monday at nine."
SECOND_ANSWER = "Of course. I will say it again, more slowly."


@pytest.fixture(scope="module")
def paced() -> Iterator[Urls]:
    """A vendor who speaks not much faster than one listens."""
    with run_emulator("--pace", "1.2") as running:
        yield running


async def voice_of(text: str, url: str, sample_rate: int) -> np.ndarray:
    async with TTS(api_key="k", ws_url=url, sample_rate=sample_rate) as tts:
        return np.frombuffer((await tts.synthesize(text).collect()).data, np.int16)


async def until(condition, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("rate", "detection"), [(48_000, "vad"), (24_000, "stt")])
async def test_a_conversation_with_a_barge_in(urls, paced, rate, detection):
    first, second = [await voice_of(text, urls["60db-tts"], rate) for text in (FIRST, SECOND)]
    stt, llm = STT(api_key="k", ws_url=paced["60db-stt"]), LLM(api_key="k", ws_url=paced["60db-llm"])
    tts = TTS(api_key="k", ws_url=paced["60db-tts"])
    microphone, loudspeaker = Microphone(rate), Loudspeaker()
    session = AgentSession(
        stt=stt,
        llm=llm,
        tts=tts,
        vad=inference.VAD(),
        turn_handling={"turn_detection": detection},
        aec_warmup_duration=None,  # it would take no interruption for three seconds
    )
    spoken: list[llm_api.ChatMessage] = []
    session.on("conversation_item_added", lambda added: added.item.type == "message" and spoken.append(added.item))
    session.input.audio, session.output.audio = microphone, loudspeaker
    await session.start(agent=Agent(instructions="Answer briefly."))
    microphone.say(first)
    await until(lambda: session.agent_state == "speaking")
    await asyncio.sleep(0.4)
    assert not loudspeaker.flushed, "the vendor still speaks"
    microphone.say(second)
    await until(lambda: len(spoken) == 4)
    await session.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "sessions that are kept have no task"
    for service in (stt, llm, tts):
        await service.aclose()

    assert [(item.role, item.interrupted) for item in spoken] == [
        ("user", False),
        ("assistant", True),
        ("user", False),
        ("assistant", False),
    ]
    assert [item.text_content for item in spoken if item.role == "user"] == [FIRST, SECOND]
    assert spoken[3].text_content == SECOND_ANSWER
    (cut_at, interrupted), (_, again) = loudspeaker.played
    assert interrupted and not again
    answers = [await voice_of(text, urls["60db-tts"], 16_000) for text in (FIRST_ANSWER, SECOND_ANSWER)]
    assert 0.4 < cut_at < len(answers[0]) / 16_000 - 0.3
    begun, spoken_again = [np.frombuffer(data, np.int16) for data in loudspeaker.captured[:2]]
    assert len(begun) < len(answers[0]) and np.array_equal(begun, answers[0][: len(begun)])
    assert np.array_equal(spoken_again, answers[1])
