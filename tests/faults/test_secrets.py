"""Fault 20: a canary for a key, and every place where it could show, for every system and both roles."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from support import here
from support.memory_http import MemoryTransport
from support.systems import EVERY, TTS, connect, recognised, said

import voicecore
from voicecore import Deadlines
from voicecore.emulator import Profile, run_emulator
from voicecore.emulator.faults import parse_fault
from voicecore.secret import Secret

RUNTIMES = here.BOTH
CANARY = "canary-7f3a9c51e2d84b06"
TROUBLE = [None, "drop", "close=1008", "garbage", "truncate", "stall", "error", "http=503"]


def leaves(error: BaseException) -> Iterator[BaseException]:
    """An error, what is in it, and what it came of, `from None` or not."""
    yield error
    for inner in (*getattr(error, "exceptions", ()), error.__cause__, error.__context__):
        if inner is not None:
            yield from leaves(inner)


def all_of(error: BaseException) -> list[str]:
    """Everything that an error report could hold: with locals, as text, pickled."""
    shown = []
    for leaf in leaves(error):
        shown += traceback.TracebackException.from_exception(leaf, capture_locals=True).format()
        shown += [repr(leaf), str(leaf), repr(vars(leaf))]
        if isinstance(leaf, voicecore.VoicecoreError):
            shown.append(repr(pickle.dumps(leaf)))
    return shown


def inside(thing: Any) -> list[str]:
    """The repr of an object, and of what it holds."""
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    held = [getattr(thing, name, None) for name in slots] + list(getattr(thing, "__dict__", {}).values())
    return [repr(thing), *map(repr, held)]


async def use(session, shown: list[str]) -> None:
    shown += inside(session)
    if isinstance(session, voicecore.TTS):
        async with session.synthesize("Hello there. How are you?") as speech:
            async for chunk in speech:
                shown += [repr(chunk), repr(pickle.dumps(chunk))]
        shown += inside(speech)
        for link in session._links:
            shown += inside(link) + inside(link.connection) + inside(link.connection.protocol)
        await said(session)
    else:
        shown += [part for event in await recognised(session) for part in (repr(event), repr(vars_of(event)))]


def vars_of(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__slots__}


def key_for(kind: str) -> str:
    """Nowhere in a variable: the frames of these tests are in the tracebacks too."""
    return CANARY if kind == "accepted" else f"bad-{CANARY}"


def assert_hidden(shown: list[str], caplog, capfd) -> None:
    captured = capfd.readouterr()
    logged = [str(vars(record)) + record.getMessage() for record in caplog.records]
    for text in [*shown, *logged, captured.out, captured.err]:
        assert CANARY not in text


@pytest.mark.fault(20)
@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("kind", ["accepted", "refused"])
async def test_the_key_shows_in_no_log_error_repr_or_pickle(
    dialect, trouble, kind, emulate, caplog, capfd, autojump_clock
):
    """The client's and the server's sides run here, with every logger at DEBUG, websockets' and trio's among them."""
    caplog.set_level(logging.DEBUG)
    faults = () if trouble is None else (parse_fault(trouble),)
    emulator = await emulate(key=Secret(CANARY), faults=faults)
    shown, events = [repr(emulator), repr(emulator.profile)], []
    limits = Deadlines(between_chunks=2, first_audio=2)
    session = connect(dialect, emulator, key=key_for(kind), deadlines=limits, on_event=events.append)
    shown.append(repr(session))
    try:
        async with session as opened:
            await use(opened, shown)
    except* voicecore.VoicecoreError as group:
        shown += all_of(group)
    else:
        assert kind == "accepted"
    shown += map(repr, events)
    assert_hidden(shown, caplog, capfd)


@pytest.mark.fault(20, "60db-llm")
@here.only_trio  # httpx2 in memory is on trio
@pytest.mark.parametrize("trouble", [None, "drop", "garbage", "truncate", "error", "http=503", "http=401"])
async def test_the_key_of_a_chat_shows_nowhere(trouble, caplog, capfd, autojump_clock):
    """httpx2's and httpcore's loggers are at DEBUG too."""
    caplog.set_level(logging.DEBUG)
    faults = () if trouble is None else (parse_fault(trouble),)
    shown: list[str] = []
    async with run_emulator(Profile(key=Secret(CANARY), faults=faults), voice="tone", ears="none") as emulator:
        try:
            async with voicecore.connect_llm(
                api_key=CANARY,
                url="http://localhost/v1/chat/completions",
                transport=MemoryTransport(emulator.open_stream),
            ) as llm:
                async with llm.chat("Hello") as reply:
                    shown += [repr(delta) async for delta in reply]
                shown += inside(llm) + inside(reply)
        except* voicecore.VoicecoreError as group:
            shown += all_of(group)
    assert_hidden(shown, caplog, capfd)


@pytest.mark.fault(20)
@pytest.mark.parametrize("dialect", EVERY)
async def test_the_key_is_not_in_what_is_said_of_a_wrong_argument(dialect):
    opener = here.connect_tts if dialect.kind == "tts" else here.connect_stt
    url = f"wss://user:{CANARY}@vendor.example{dialect.path()}?apiKey={CANARY}#{CANARY}"
    for wrong in (
        {"api_key": f"{CANARY}\n"},
        {"api_key": f" {CANARY}"},
        {"url": url.replace("wss:", "ws:")},
        {"url": url.replace("wss:", "http:")},
        {"url": url.replace("vendor.example", "vendor.example:port")},
    ):
        with pytest.raises(voicecore.ConfigurationError) as caught:
            opener(dialect.name, **({"api_key": "k", "url": url} | wrong))
        text = str(caught.value) + repr(caught.value)
        assert CANARY not in text
    with pytest.raises(TypeError):
        pickle.dumps(opener(dialect.name, api_key=CANARY))


@pytest.mark.fault(20, "tts", "stt")
@here.only_trio  # the processes are the emulator's
async def test_no_process_that_is_started_gets_the_key(monkeypatch):
    """The engines' worker processes: neither their arguments nor their environment."""
    for name in ("SIXTY_DB_API_KEY", "DEEPDUB_API_KEY", "VACHANA_API_KEY", "UPLIFTAI_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    async with run_emulator(Profile(key=Secret(CANARY))) as emulator:
        url = emulator.urls[TTS[0].id]
        with trio.fail_after(60):
            async with voicecore.connect_tts("deepdub", url=url) as tts:
                await said(tts)
        seen = 0
        for child in children():
            for what in ("cmdline", "environ"):
                assert CANARY.encode() not in (Path("/proc") / child / what).read_bytes()
            seen += 1
    assert seen, "no worker was running"
    assert CANARY.encode() not in Path("/proc/self/cmdline").read_bytes()


def children() -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
        if parent == os.getpid():
            found.append(stat.parent.name)
    return found
