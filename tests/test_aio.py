"""What is asyncio's own: its module, its timeouts and task groups, its sockets, and who runs where."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import trio
from support import guest, here

import voicecore
import voicecore.aio
from voicecore import AudioFormat
from voicecore.emulator import Profile, run_emulator
from voicecore.testing import Faults, run_fault_proxy

RUNTIMES = ("asyncio",)
TEXT = "Hello there, how are you? I am well."
PCM = AudioFormat("pcm_s16le", 16_000)


@pytest.fixture
async def emulator():
    async with run_emulator(Profile(pace=1.0), voice="tone", ears="none") as running:
        yield running


def tts(emulator: Any, vendor: str = "deepdub", **arguments: Any):
    name = {"deepdub": "deepdub-open", "60db": "60db-tts", "vachana": "vachana-tts"}[vendor]
    arguments.setdefault("open_stream", guest.over_memory(emulator.open_stream))
    return voicecore.aio.connect_tts(vendor, api_key="k", url=emulator.urls[name], **arguments)


# --- the module ------------------------------------------------------------------------------------------


def public(module: Any) -> set[str]:
    names = {name: getattr(module, name) for name in dir(module) if not name.startswith("_") and name != "annotations"}
    return {name for name, value in names.items() if value is voicecore.codec or not isinstance(value, ModuleType)}


def test_both_modules_have_the_same_names():
    assert public(voicecore) == public(voicecore.aio) > {"codec", "connect_stt", "connect_tts", "Transcript"}
    assert voicecore.aio.TTS is voicecore.TTS and voicecore.aio.connect_tts != voicecore.connect_tts


@pytest.mark.parametrize(
    ("ours", "other"), [("voicecore.aio", "trio"), ("voicecore.on_trio", "asyncio"), ("voicecore", "trio")]
)
def test_a_runtime_is_imported_for_its_users_only(ours, other):
    code = f"import sys, {ours}; assert {other!r} not in sys.modules and 'anyio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_wrong_runtime_is_an_error_that_names_the_right_one():
    async def enter(connect: Any) -> None:
        async with connect("60db", api_key="k"):
            pass

    with pytest.raises(voicecore.StateError, match=r"voicecore\.aio"):
        asyncio.run(enter(voicecore.connect_tts))
    with pytest.raises(voicecore.StateError, match="trio"):
        trio.run(enter, voicecore.aio.connect_stt)


# --- timeouts and cancellation ---------------------------------------------------------------------------


async def patiently(seconds: float, call: Any, *arguments: Any) -> Any:
    """Awaits it with a timeout that is far too short, again and again."""
    for _ in range(100_000):
        try:
            async with asyncio.timeout(seconds):
                return await call(*arguments)
        except TimeoutError:
            pass
    raise AssertionError("it never came")


async def read(speech: Any, seconds: float | None = None) -> bytes:
    parts = []
    while True:
        try:
            chunk = await (anext(speech) if seconds is None else patiently(seconds, anext, speech))
        except StopAsyncIteration:
            return b"".join(parts)
        parts.append(chunk.data)


@pytest.mark.parametrize("seconds", [0.001, 0.003, 0.1])
@pytest.mark.parametrize("vendor", ["deepdub", "60db", "vachana"])
async def test_a_timeout_around_the_next_chunk_loses_nothing(emulator, autojump_clock, vendor, seconds):
    async with tts(emulator, vendor) as session:
        async with session.synthesize(TEXT, output=PCM) as speech:
            whole = await read(speech)
        async with session.synthesize(TEXT, output=PCM) as speech:
            assert await read(speech, seconds) == whole
        async with session.context(output=PCM) as context:
            await context.send_text(TEXT)
            await context.flush()
            patient = await read(context)
        async with session.context(output=PCM) as context:
            await context.send_text(TEXT)
            await context.flush()
            assert await read(context, seconds) == patient


async def test_a_timeout_around_any_call_leaves_a_session_that_goes_on(emulator, autojump_clock):
    """Every public await of a session, given up after a while that grows till it is long enough."""
    async with tts(emulator, "vachana", max_connections=1) as session:

        async def speak() -> None:
            async with session.synthesize("One.") as speech:
                await read(speech)

        async def converse() -> None:
            async with session.context() as context:
                await context.send_text("One. Two. Three.")
                await context.flush()
                await read(context)

        for call in (speak, converse):
            step = 0
            while not await in_time(step / 50, call()):
                step += 1
            assert step > 5
        await speak()


async def in_time(seconds: float, call: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await call
    except TimeoutError:
        return False
    return True


async def test_opening_and_closing_are_given_up_at_any_time(emulator, autojump_clock):
    """Through a line on which each byte takes a tenth of a second, so that the upgrade takes three of them."""

    async def session() -> None:
        async with tts(emulator, open_stream=guest.over_memory(proxy.open_stream)):
            pass

    async def connect() -> trio.abc.Stream:
        return await emulator.open_stream("")

    slow = Faults(latency=0.1)
    async with here.hosted(run_fault_proxy(open_stream=connect, up=slow, down=slow)) as proxy:
        step = 0
        while not await in_time(step / 50, session()):
            step += 1
        assert step > 10


async def test_two_cancels_in_a_row_still_leave_nothing(emulator, autojump_clock):
    """The second comes while the first is being followed, before the socket is gone."""
    open_sockets: set[asyncio.Protocol] = set()

    async def connect(url: str, ssl_context: object, protocol: Any) -> None:
        lost = protocol.connection_lost
        protocol.connection_lost = lambda error: (open_sockets.discard(protocol), lost(error))
        open_sockets.add(protocol)
        await guest.over_memory(emulator.open_stream)(url, ssl_context, protocol)

    async def session() -> None:
        try:
            await speak_forever(emulator, open_stream=connect)
        finally:
            assert not open_sockets, "the block was left before its socket was closed"

    for turns in range(12):
        task = asyncio.ensure_future(session())
        await asyncio.sleep(0.5)
        task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def speak_forever(emulator: Any, **arguments: Any) -> None:
    async with tts(emulator, **arguments) as session:
        while True:
            async with session.synthesize(TEXT) as speech:
                await read(speech)


async def test_one_error_in_a_task_group_ends_the_others(emulator, autojump_clock):
    class Mine(Exception):
        pass

    async def fail() -> None:
        await asyncio.sleep(0.7)
        raise Mine

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(speak_forever(emulator))
            group.create_task(fail())
    assert [type(error) for error in caught.value.exceptions] == [Mine]
    assert len(asyncio.all_tasks()) == 1


async def test_a_socket_has_no_task(emulator, autojump_clock):
    async with tts(emulator) as session, session.synthesize(TEXT) as speech:
        await anext(speech)
        assert len(asyncio.all_tasks()) == 1


async def test_a_sender_that_never_waits_lets_others_run(emulator, autojump_clock):
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    connect, url = guest.over_memory(emulator.open_stream), emulator.urls["60db-stt"]
    async with voicecore.aio.connect_stt("60db", api_key="k", url=url, open_stream=connect) as stt:
        counter = asyncio.ensure_future(count())
        async with stt.stream() as stream:
            for _ in range(100):
                await stream.send(np.zeros(320, "<i2"))
        counter.cancel()
        await asyncio.wait([counter])
    assert turns >= 100


async def test_nothing_is_kept_of_waits_that_were_given_up(emulator, autojump_clock):
    async with tts(emulator) as session, session.synthesize(TEXT) as speech:
        [link] = session._links
        for _ in range(100):
            await in_time(1e-9, link.news(speech.context_id))
        assert len(link._lot(speech.context_id)._waiting) <= 1
    gc.collect()


# --- the README ------------------------------------------------------------------------------------------


async def test_the_readmes_example_runs():
    """As it is printed, in a process of its own, against an emulator over real sockets."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    [example] = [code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "asyncio.run(" in code]
    own = """
played = 0
def play(samples):
    global played
    played += len(samples)
async def feed(stream):
    await stream.send(bytes(32000))
    await stream.finish()
"""
    async with here.hosted(run_emulator(voice="tone", ears="none")) as emulator:
        keys = {"DEEPDUB_API_KEY": "k", "SIXTY_DB_API_KEY": "k"}
        urls = {"DEEPDUB_URL": emulator.urls["deepdub-open"], "SIXTY_DB_STT_URL": emulator.urls["60db-stt"]}
        code = f"{own}\n{example}\nassert played > 1000; import sys; assert 'trio' not in sys.modules"
        run = partial(trio.run_process, [sys.executable, "-c", code], env={**os.environ, **keys, **urls})
        await here.on_trio(run)
