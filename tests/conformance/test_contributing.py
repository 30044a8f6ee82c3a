"""CONTRIBUTING.md's vendor, made by following the page: it passes the suite, and sessions and the emulator find it."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import voicecore
from voicecore import AudioFormat, vendors
from voicecore.emulator import run_emulator
from voicecore.events import Audio, ContextFinished, Failed, Malformed, Unknown
from voicecore.protocol import Dialect, Protocol, Role
from voicecore.testing import conformance_cases

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
NAME = "voicecore.vendors.echo"


def blocks(language: str) -> list[str]:
    """The page's blocks of code."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def make_echo() -> type[Dialect]:
    """The page's Python, as the module that it says it is."""
    source = "\n\n".join(blocks("python"))
    path = source.partition("\n")[0].removeprefix("# ")
    assert path == f"python/{NAME.replace('.', '/')}/__init__.py"
    sys.modules[NAME] = module = ModuleType(NAME)  # for what resolves annotations by the module's name
    exec(compile(source, path, "exec"), module.__dict__)
    return module.Echo


ECHO = make_echo()
TRANSCRIPT = [json.loads(line) for line in blocks("jsonl")[0].splitlines()]


@pytest.fixture
def enrolled(monkeypatch):
    """As if the page's step 3 were done."""
    monkeypatch.setattr(vendors, "DIALECTS", (*vendors.DIALECTS, ECHO))


@pytest.mark.parametrize("case", conformance_cases(ECHO), ids=str)
def test_the_pages_vendor_passes_the_suite(case):
    case.run()


def test_the_vendors_messages_are_understood_and_said_in_both_roles():
    head, *lines = TRANSCRIPT
    assert head["source"]
    client, server = Protocol(ECHO(), Role.CLIENT), Protocol(ECHO(), Role.SERVER)
    heard = []
    for line in lines:
        speaker, hearer = (client, server) if line["from"] == "client" else (server, client)
        payload = json.dumps(line["message"]).encode()
        event = ECHO().decode(payload, text=True, role=hearer.role)
        assert not isinstance(event, Unknown | Malformed), event
        assert json.loads(speaker.send(event)) == line["message"]
        heard.append(hearer.receive(payload, text=True))
    assert [type(event).__name__ for event in heard if event] == [
        "Synthesize",
        "Audio",
        "ContextFinished",
        "Synthesize",
        "CancelContext",
        "Failed",
    ]
    assert heard[1] == Audio("1", base64.b64decode("AAABAA==")) and heard[2] == ContextFinished("1")
    assert isinstance(ECHO().error_of(heard[-1]), voicecore.QuotaError) and isinstance(heard[-1], Failed)


async def test_sessions_and_the_emulator_find_it(enrolled, autojump_clock):
    spoken = []
    async with run_emulator(voice="tone", ears="none") as emulator:
        url = emulator.urls["echo"]
        for rate in (16_000, 48_000):
            async with voicecore.connect_tts("echo", api_key="any", url=url, open_stream=emulator.open_stream) as tts:
                output = AudioFormat("pcm_s16le", rate)
                async with tts.synthesize("Hello there.", output=output) as speech:
                    said = np.concatenate([chunk.samples async for chunk in speech])
                async with tts.context(output=output) as context:
                    await context.send_text("Hello there.")
                    await context.flush()
                    assert np.array_equal(np.concatenate([chunk.samples async for chunk in context]), said)
            spoken.append(len(said) / rate)
        with pytest.raises(voicecore.AuthError):
            async with voicecore.connect_tts("echo", api_key="bad", url=url, open_stream=emulator.open_stream):
                pass
    assert min(spoken) > 0.5
    assert max(spoken) - min(spoken) < 0.001


def test_its_options_are_checked():
    options = ECHO.options
    for wrong in ({"speed": 3}, {"speed": "fast"}, {"sample_rate": 44_100}, {"sample_rate": True}):
        with pytest.raises(voicecore.ConfigurationError, match=next(iter(wrong))):
            options(**wrong)


def test_the_page_names_what_exists():
    """Every name in the table of what a vendor can be, and every file."""
    for name in re.findall(r"^\| [^|]+\| (.+) \|$", PAGE, re.MULTILINE)[1:]:
        for word in re.findall(r"`([a-z_]+)", name):
            assert hasattr(Dialect, word) or word in Dialect.__annotations__, word
    root = Path(__file__).parents[2]
    for path in re.findall(r"`(tests/[\w/]+|voicecore/[\w./]+)`", PAGE):
        assert (root / path).exists() or (root / "python" / path).exists(), path
