"""The examples of docs/embedding.md, run in the servers that they are for."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import httpx2
import hypercorn
import numpy as np
import pytest
import trio
import uvicorn
from trio_websocket import open_websocket_url

import voicecore
from voicecore import AudioFormat, codec
from voicecore.emulator import Emulator, Profile, run_emulator
from voicecore.recognition import SttStream
from voicecore.speech import Speech

TEXT = "Your appointment is on Monday at nine."
PHONE, WIDE = AudioFormat("mulaw", 8_000), AudioFormat("pcm_s16le", 16_000)
GUIDE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
FASTAPI, STARLETTE, HYPERCORN, THREADS = re.findall(r"```python\n(.*?)```", GUIDE, re.S)


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    async with run_emulator() as running:
        point_at(running, monkeypatch)
        yield running


@pytest.fixture
async def slow_emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """It speaks in real time."""
    async with run_emulator(profile=Profile(pace=1.0)) as running:
        point_at(running, monkeypatch)
        yield running


def point_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXTY_DB_API_KEY", "k")
    for kind in ("stt", "tts"):
        monkeypatch.setenv(f"SIXTY_DB_{kind.upper()}_URL", emulator.urls[f"60db-{kind}"])


@pytest.fixture
def example() -> Iterator[Any]:
    """Runs snippets as one module; FastAPI looks annotations up in it."""
    module = ModuleType("embedding_example")
    sys.modules[module.__name__] = module

    def run(*sources: str) -> Any:
        for source in sources:
            exec(compile(source, "docs/embedding.md", "exec"), module.__dict__)
        return module

    yield run
    del sys.modules[module.__name__]


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The application on uvicorn, which is on asyncio and so in a thread; its address without the scheme."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, ws="wsproto", loop="asyncio", log_level="warning"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, lambda: server.run(sockets=[listener]))
        try:
            with trio.fail_after(20):
                while not server.started:
                    await trio.sleep(0.01)
                yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
    listener.close()


async def spoken(output: AudioFormat) -> bytes:
    async with voicecore.connect_tts("60db") as tts, tts.synthesize(TEXT, output=output) as speech:
        return b"".join([chunk.data async for chunk in speech])


@pytest.mark.parametrize("name", ["app", "starlette_app"])
async def test_a_web_application_speaks_and_listens(emulator, example, name):
    app = getattr(example(FASTAPI, STARLETTE), name)
    async with served(app) as address, httpx2.AsyncClient(base_url=f"http://{address}") as client:
        answer = await client.get("/say", params={"text": TEXT})
        assert answer.content == await spoken(PHONE)
        async with open_websocket_url(f"ws://{address}/listen") as caller:
            said = np.pad(codec.decode_mulaw(answer.content), (0, 12_000))
            for frame in np.array_split(codec.encode_mulaw(said), 100):
                await caller.send_message(frame.tobytes())
            await caller.send_message("end")
            assert await caller.get_message() == '{"text":"Your appointment is on Monday at nine.","final":true}'


async def test_who_hangs_up_is_no_longer_spoken_to(slow_emulator, example, monkeypatch):
    cancelled: list[Speech] = []
    cancel = Speech.cancel

    async def remember(speech: Speech) -> None:
        cancelled.append(speech)
        await cancel(speech)

    monkeypatch.setattr(Speech, "cancel", remember)
    async with served(example(FASTAPI).app) as address:
        host, port = address.split(":")
        caller = await trio.open_tcp_stream(host, int(port))
        await caller.send_all(f"GET /say?text={quote(TEXT)} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        assert (await caller.receive_some()).startswith(b"HTTP/1.1 200")
        await caller.aclose()
        with trio.fail_after(20):
            while not cancelled:
                await trio.sleep(0.01)
    assert cancelled[0].metrics.finished_at is None


async def test_a_caller_who_goes_ends_the_recognition(emulator, example, monkeypatch):
    left: list[type[BaseException]] = []
    leave = SttStream.__aexit__

    async def remember(stream: SttStream, kind: Any, *error: Any) -> None:
        await leave(stream, kind, *error)
        left.append(kind)

    monkeypatch.setattr(SttStream, "__aexit__", remember)
    async with served(example(FASTAPI).app) as address:
        for count in (1, 2):
            async with open_websocket_url(f"ws://{address}/listen") as caller:
                await caller.send_message(bytes(800))
            with trio.fail_after(20):
                while len(left) < count:
                    await trio.sleep(0.01)
    assert all(issubclass(kind, (ExceptionGroup, asyncio.CancelledError)) for kind in left)


async def test_hypercorn_on_trio_speaks_text_bit_by_bit(emulator, example):
    stop, config = trio.Event(), hypercorn.Config()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(example(HYPERCORN).main, config, stop)
        with trio.fail_after(30):
            async with open_websocket_url(f"{address.replace('http', 'ws')}/speak") as caller:
                for _ in range(2):
                    for part in (TEXT[:11], TEXT[11:], ""):
                        await caller.send_message(part)
                    heard = b""
                    while audio := await caller.get_message():
                        heard += audio
                    assert heard == await spoken(WIDE)
        stop.set()


async def test_threads_share_a_voice(emulator, example):
    expected = np.frombuffer(await spoken(WIDE), np.int16)

    def script() -> None:
        with example(THREADS).Voice() as voice:
            first, second = voice.say(TEXT), voice.say(TEXT)
            begun = next(first)
            assert np.array_equal(np.concatenate(list(second)), expected)
            first.close()
            assert np.array_equal(begun, expected[: len(begun)])

    with trio.fail_after(30):
        await trio.to_thread.run_sync(script)
