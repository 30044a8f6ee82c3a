"""The distribution: what it installs, its arguments, and where the key and the URLs come from."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from emulated import run_emulator
from livekit import plugins
from livekit.agents import APIStatusError, Plugin, llm, stt, tts
from livekit.plugins import _60db
from livekit.plugins._60db import LLM, STT, TTS, _60dbClient
from talk import ONCE

import voicecore
from voicecore.integrations import livekit as ours

SERVICES = [STT, TTS, LLM]
PROJECT = Path(__file__).parents[3] / "python" / "livekit-plugins-60db"


def test_it_is_a_plugin_of_livekits():
    assert _60db.__all__ == ["LLM", "STT", "TTS", "_60dbClient", "__version__"]
    assert _60db.__version__ == version("livekit-plugins-60db")
    assert [plugin.version for plugin in Plugin.registered_plugins if plugin.title == "livekit.plugins._60db"] == [
        _60db.__version__
    ]


@pytest.mark.parametrize(
    ("service", "base", "shared"), [(STT, stt.STT, ours.STT), (TTS, tts.TTS, ours.TTS), (LLM, llm.LLM, ours.LLM)]
)
def test_services_are_livekits_over_voicecores(service, base, shared):
    made = service(api_key="k")
    assert isinstance(made, base) and isinstance(made, shared)
    assert made.provider == "60db" and made.label.startswith("livekit.plugins._60db")


def test_the_wheel_holds_nothing_above_its_own_folder(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} >= {"livekit/plugins/_60db/__init__.py"}
    assert all(name.startswith(("livekit/plugins/_60db/", "livekit_plugins_60db-")) for name in names)
    assert getattr(plugins, "__file__", None) is None, "livekit.plugins is a namespace"


def test_defaults_are_the_vendors():
    listener, speaker, model = STT(api_key="k"), TTS(api_key="k"), LLM(api_key="k")
    options = listener._options
    assert (options.languages, options.encoding, options.sample_rate) == (("en",), "mulaw", 8000)
    assert options.continuous_mode is True
    assert listener.capabilities.streaming and listener.capabilities.interim_results
    assert (speaker.sample_rate, speaker.num_channels) == (16_000, 1)
    assert speaker.capabilities.streaming and not speaker.capabilities.aligned_transcript
    assert not listener.capabilities.aligned_transcript
    assert model.model == "qcall/slm-3b-int4"


@pytest.mark.parametrize(
    ("given", "wire"), [("mulaw", "mulaw"), ("LINEAR16", "linear"), ("linear", "linear"), ("MULAW", "mulaw")]
)
def test_encodings_by_either_name(given, wire):
    assert STT(api_key="k", encoding=given)._options.encoding == wire


@pytest.mark.parametrize("service", SERVICES)
def test_without_a_key_nothing_is_made(service):
    with pytest.raises(ValueError, match="SIXTY_DB_API_KEY"):
        service()


@pytest.mark.parametrize(
    ("service", "arguments"),
    [
        (STT, {"ws_url": "ws://far.example/ws/stt"}),
        (TTS, {"ws_url": "https://api.60db.ai/ws/tts"}),
        (LLM, {"ws_url": "http://far.example/v1/chat/completions"}),
        (STT, {"encoding": "flac"}),
        (STT, {"encoding": "mulaw", "sample_rate": 16_000}),
        (STT, {"languages": ["en"] * 6}),
        (TTS, {"encoding": "FLAC"}),
        (TTS, {"sample_rate": 1}),
        (LLM, {"temperature": 3.0}),
        (LLM, {"top_k": 0}),
    ],
    ids=str,
)
def test_bad_arguments_are_value_errors_at_construction(service, arguments):
    with pytest.raises(ValueError, match="expected"):
        service(api_key="canary-key-17", **arguments)


@pytest.fixture(scope="module")
def strict():
    """An emulator that takes one key only."""
    with run_emulator("--key-env", "RIGHT", RIGHT="the-right-key") as urls:
        yield urls


@pytest.mark.parametrize(
    ("given", "client", "environment", "file"),
    [
        ("the-right-key", "wrong-key", "wrong-key", "wrong-key"),
        (None, "the-right-key", "wrong-key", "wrong-key"),
        (None, None, "the-right-key", "wrong-key"),
        (None, None, None, "the-right-key"),
    ],
    ids=["argument", "client", "environment", "file"],
)
@pytest.mark.parametrize("service", ["stt", "tts", "llm"])
async def test_whose_key_counts(strict, monkeypatch, service, given, client, environment, file):
    Path(".env.local").write_text(f"SIXTY_DB_API_KEY={file}\n")
    if environment:
        monkeypatch.setenv("SIXTY_DB_API_KEY", environment)
    if client:
        assert _60dbClient(client).api_key == client
    await use(service, strict[f"60db-{service}"], given)


@pytest.mark.parametrize("service", ["stt", "tts", "llm"])
async def test_whose_url_counts(strict, monkeypatch, service):
    variable, url = f"SIXTY_DB_{service.upper()}_URL", strict[f"60db-{service}"]
    wrong = url.replace("127.0.0.1", "127.0.0.9")
    Path(".env.local").write_text(f"{variable}={url}\n")
    await use(service, None, "the-right-key")
    monkeypatch.setenv(variable, url)
    Path(".env.local").write_text(f"{variable}={wrong}\n")
    await use(service, None, "the-right-key")
    monkeypatch.setenv(variable, wrong)
    await use(service, url, "the-right-key")


@pytest.mark.parametrize("service", ["stt", "tts", "llm"])
async def test_a_wrong_key_is_a_status_and_not_shown(strict, service):
    with pytest.raises(APIStatusError) as caught:
        await use(service, strict[f"60db-{service}"], "canary-key-17")
    assert caught.value.status_code == 401 and not caught.value.retryable
    assert "canary-key-17" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


async def use(service: str, url: str | None, key: str | None) -> None:
    """A whole request of each kind."""
    match service:
        case "tts":
            async with TTS(api_key=key, ws_url=url) as speaker:
                assert (await speaker.synthesize("Hello.", conn_options=ONCE).collect()).duration
        case "stt":
            async with STT(api_key=key, ws_url=url) as listener:
                silence = voicecore.codec.downmix(bytes(3200))
                frame = ours.stt.rtc.AudioFrame(silence.tobytes(), 16_000, 1, len(silence))
                await listener.recognize(frame, conn_options=ONCE)
        case "llm":
            async with LLM(api_key=key, ws_url=url) as model:
                chat = llm.ChatContext()
                chat.add_message(role="user", content="Hello.")
                assert (await model.chat(chat_ctx=chat, conn_options=ONCE).collect()).text


async def test_the_last_client_counts(strict):
    _60dbClient("wrong-key")
    _60dbClient("the-right-key")
    await use("tts", strict["60db-tts"], None)
