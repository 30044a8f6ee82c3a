"""The server's end of the workers: scripts that fail in every way, and the error that each becomes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from voicecore.emulator import worker as module
from voicecore.emulator.worker import EngineError, Pool
from voicecore.errors import ConfigurationError

from .conftest import children

HEAD = f"import os, sys, time\nsys.path.insert(0, {str(module.SCRIPTS)!r})\nfrom framing import serve\n"


def answering(statement: str) -> str:
    """A worker that does this for every request."""
    return f"{HEAD}def answer(request, emit):\n    {statement}\nserve(lambda setup: ({{}}, answer))\n"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a pool of one worker that runs some source."""

    def make(source: str) -> Pool:
        (tmp_path / "engine.py").write_text(source)
        monkeypatch.setattr(module, "SCRIPTS", tmp_path)
        return Pool("engine.py", 1)

    return make


async def ask(pool: Pool) -> list[dict]:
    headers = []
    async with pool.lease() as worker:
        await worker.ask({})
        while (frame := await worker.answer()) is not None:
            headers.append(frame.header)
    return headers


async def test_an_answer_is_its_frames(script):
    async with script(answering("emit({'kind': 'a'}); emit({'kind': 'b'})")) as pool:
        for number in (1, 2):
            assert await ask(pool) == [{"id": number, "kind": "a"}, {"id": number, "kind": "b"}]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (answering("raise ValueError('no')"), "engine.py: ValueError: no"),
        (answering("sys.exit('bye')"), r"engine.py \(process \d+\) ended with status 1: bye"),
        (answering("os.kill(os.getpid(), 9)"), r"engine.py \(process \d+\) was killed by signal 9"),
        (HEAD + "serve(lambda setup: 1 / 0)", "engine.py did not start: ZeroDivisionError"),
        (HEAD + "os.write(1, b'\\xff' * 8); time.sleep(60)", "sent what is no frame: a frame of 4294967295"),
        (HEAD + "os.close(1); time.sleep(60)", "closed its pipe"),
    ],
)
async def test_each_way_to_fail_says_what_it_was(script, source: str, words: str):
    before = children()
    async with script(source) as pool:
        with pytest.raises(EngineError, match=words):
            await ask(pool)
    assert children() == before


async def test_a_worker_that_died_between_two_requests_is_replaced(script):
    async with script(answering("emit({'kind': 'pid', 'pid': os.getpid()})")) as pool:
        [first] = await ask(pool)
        os.kill(first["pid"], signal.SIGKILL)
        while pool.workers[0].usable:
            await trio.lowlevel.checkpoint()
        [second] = await ask(pool)
        assert second["pid"] != first["pid"] and len(pool.workers) == 1


async def test_a_worker_for_which_there_is_no_python_says_so(script, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    async with script("") as pool:
        with pytest.raises(EngineError, match=r"engine.py could not be started: .*No such file"):
            await ask(pool)


def test_a_pool_has_room_for_a_worker():
    with pytest.raises(ConfigurationError, match="at least one worker, not 0"):
        Pool("engine.py", 0)
