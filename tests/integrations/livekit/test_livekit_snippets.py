"""The examples of the vendor's page as they stand, and those of docs/livekit.md."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import llm
from talk import PHRASE

DOCS = Path(__file__).parents[3] / "docs" / "livekit.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)

# 60db's page "LiveKit Integration", word for word.
CLIENT = """
from livekit.plugins._60db import _60dbClient

client = _60dbClient("your-api-key")  # sets global default
"""
STT_EXAMPLE = """
from livekit.plugins._60db import STT

stt = STT()  # picks up api_key from global client or env var

async with stt.stream() as stream:
    stream.push_frame(audio_frame)  # push raw audio frames

    async for event in stream:
        if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
            print(event.alternatives[0].text)
"""
TIMEOUTS = """
from livekit.agents import APIConnectOptions

opts = APIConnectOptions(timeout=30.0)

# STT
async with stt.stream(conn_options=opts) as s:
    ...

# TTS
async for chunk in tts.synthesize("Hello", conn_options=opts):
    ...

# LLM
async for chunk in model.chat(chat_ctx=ctx, conn_options=opts):
    ...
"""
SERVICES = """
from livekit.plugins._60db import _60dbClient, STT, TTS, LLM

stt=STT()               # 60db speech-to-text
model=LLM()             # 60db language model
tts=TTS()               # 60db text-to-speech
"""


@pytest.fixture
def names(urls, speech, monkeypatch) -> dict[str, Any]:
    """What the examples find: the emulator in the environment, some audio, and a `print` that remembers."""
    for service in ("stt", "tts", "llm"):
        monkeypatch.setenv(f"SIXTY_DB_{service.upper()}_URL", urls[f"60db-{service}"])
    printed: list[Any] = []
    frame = rtc.AudioFrame(np.repeat(speech, 2).tobytes(), 48_000, 2, len(speech))
    return {"audio_frame": frame, "print": lambda *what, **_: printed.extend(what), "printed": printed}


async def run(source: str, names: dict[str, Any]) -> None:
    """Runs an example inside a coroutine, as the page means it; what it binds stays in `names`."""
    scope: dict[str, Any] = {}
    exec(f"async def example():\n{indent(source, '    ')}\n    return locals()", names, scope)
    names |= await scope["example"]()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_the_page_listens(names):
    await run(CLIENT, names)
    example = asyncio.create_task(run(STT_EXAMPLE, names))  # it listens for ever
    await until(lambda: names["printed"])
    assert names["printed"] == [PHRASE]
    example.cancel()
    await asyncio.wait([example])


async def test_the_page_sets_timeouts(names, monkeypatch):
    monkeypatch.setenv("SIXTY_DB_API_KEY", "your-api-key")
    await run(SERVICES, names)
    names["ctx"] = llm.ChatContext()
    names["ctx"].add_message(role="user", content="Hello")
    await run(TIMEOUTS, names)
    for name in ("stt", "tts", "model"):
        await names[name].aclose()


def test_the_page_was_written_for_an_older_livekit():
    with pytest.raises(ImportError, match="VoicePipelineAgent"):
        exec("from livekit.agents import VoicePipelineAgent", {})


async def test_the_examples_of_our_page(names, monkeypatch):
    monkeypatch.setenv("SIXTY_DB_API_KEY", "your-api-key")
    assert len(BLOCKS) == 5
    for block in BLOCKS:
        await run(block, names)
    printed = names["printed"]
    assert PHRASE in printed and True in printed and "You" in printed
