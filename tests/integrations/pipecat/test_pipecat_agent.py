"""A whole conversation in a real pipeline: speech in, recognised, answered, spoken, interrupted, and nothing left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated import Urls, run_emulator
from pipecat.processors.aggregators.llm_context import LLMContext
from plumbing import run_pipeline, spoken
from room import Loudspeaker, Microphone, Room

DOCS = Path(__file__).parents[3] / "docs" / "pipecat.md"
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
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


async def test_the_pipeline_of_our_page_in_a_conversation_with_a_barge_in(urls, paced, monkeypatch):
    for kind in ("stt", "tts"):
        monkeypatch.setenv(f"SIXTY_DB_{kind.upper()}_URL", paced[f"60db-{kind}"])
    monkeypatch.setenv("SIXTY_DB_API_KEY", "k")
    first, second = [await spoken(text, urls["60db-tts"]) for text in (FIRST, SECOND)]
    microphone, loudspeaker = Microphone(), Loudspeaker()
    llm_url = paced["60db-llm"].removesuffix("/chat/completions")
    names: dict[str, Any] = {"transport": Room(microphone, loudspeaker), "llm_key": "k", "llm_url": llm_url}
    exec(EXAMPLE, names)
    pipeline, context, llm = names["pipeline"], names["context"], names["llm"]

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
