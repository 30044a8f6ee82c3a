"""Worker processes: starting them, asking them, sharing a few of them fairly, and seeing them gone.

Knows the framing and no engine. A worker that is left in the middle of an answer keeps its place in the pool:
the rest of that answer is skipped by its id. A worker that failed is killed, and a new one starts when the next
request needs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Self

import trio

from voicecore.emulator.workers.framing import Frame, FrameParser, FramingError, Header, encode
from voicecore.errors import ConfigurationError, StateError, VoicecoreError

SCRIPTS = Path(__file__).parent / "workers"
START_SECONDS = 30.0
ANSWER_SECONDS = 60.0  # between two frames of an answer
REAP_SECONDS = 1.0
STDERR_TAIL_BYTES = 2000
READ_BYTES = 1 << 16

# What a Python process needs to find itself and its libraries. Nothing else is passed on: API keys live in the
# environment, and an engine has no use for them.
PASSED_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)  # fmt: skip


class EngineError(VoicecoreError):
    """A speech engine failed: its process did not start, died, fell silent or refused a request."""

    retryable = True


class Worker:
    """One process and the pipe to it. Used by one task at a time; create with `start`."""

    def __init__(self, script: str, process: trio.Process, stderr: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.script = script
        self.pid = process.pid
        self.ready: Header = {}
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._stderr = stderr
        self._parser = FrameParser()
        self._request_id = 0
        self._broken = False

    @property
    def usable(self) -> bool:
        return not self._broken and self._process.poll() is None

    async def set_up(self, setup: Header) -> None:
        """Hand over the setup and wait for the worker's word that it is ready."""
        self._broken = True  # until it answered; cancelling leaves it so
        await self._send(encode(setup))
        frame = await self._next_frame(START_SECONDS)
        if frame.header["kind"] != "ready":
            raise EngineError(f"{self.script} did not start: {frame.header.get('message')}")
        self.ready = frame.header
        self._broken = False

    async def ask(self, header: Header, payload: bytes = b"") -> None:
        """Send a request, of which an older one's unfinished answer dies. Cancelling costs the process."""
        self._request_id += 1
        data = encode({"id": self._request_id, **header}, payload)
        self._broken = True  # half a request cannot be taken back
        await self._send(data)
        self._broken = False

    async def answer(self) -> Frame | None:
        """The next frame of the answer, None after the last. Cancelling loses nothing."""
        while True:
            frame = await self._next_frame(ANSWER_SECONDS)
            if frame.header["id"] == self._request_id:
                break
        match frame.header["kind"]:
            case "end":
                return None
            case "error":
                raise EngineError(f"{self.script}: {frame.header['message']}")
            case _:
                return frame

    async def kill(self) -> None:
        """End the process and collect it, within a second even when cancelled."""
        self._broken = True
        if self._process.poll() is None:
            self._process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REAP_SECONDS):
            await self._process.wait()
        with trio.CancelScope(shield=True):  # closing a pipe does not block
            await self._stdin.aclose()
            await self._stdout.aclose()
        self._stderr.close()

    async def _send(self, data: bytes) -> None:
        try:
            await self._stdin.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise await self._died() from None

    async def _next_frame(self, seconds: float) -> Frame:
        with trio.move_on_after(seconds):
            while True:
                frame = self._parse()
                if frame is not None:
                    return frame
                await self._receive()
        self._broken = True
        raise EngineError(f"{self.script} (process {self.pid}) gave no answer for {seconds:g} s")

    def _parse(self) -> Frame | None:
        try:
            return self._parser.next()
        except FramingError as error:
            self._broken = True
            raise EngineError(f"{self.script} (process {self.pid}) sent what is no frame: {error}") from error

    async def _receive(self) -> None:
        try:
            data = await self._stdout.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            raise await self._died()
        self._parser.feed(data)

    async def _died(self) -> EngineError:
        self._broken = True
        with trio.move_on_after(REAP_SECONDS):
            await self._process.wait()
        return EngineError(f"{self.script} (process {self.pid}) {self._how_it_ended()}{self._last_words()}")

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        if code is None:
            return "closed its pipe"
        return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"

    def _last_words(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL_BYTES))
        text = self._stderr.read().decode(errors="replace").strip()
        return f": {text}" if text else ""


async def _spawn(script: str) -> Worker:
    environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    with ExitStack() as on_failure:
        stderr = on_failure.enter_context(tempfile.TemporaryFile())
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, str(SCRIPTS / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the server alone
            )
        except OSError as error:
            raise EngineError(f"{script} could not be started: {error}") from error
        on_failure.pop_all()
    return Worker(script, process, stderr)


class Pool:
    """At most `limit` workers of one script, started when needed and lent out in the order of asking."""

    def __init__(self, script: str, limit: int, setup: Header | None = None) -> None:
        if limit < 1:
            raise ConfigurationError(f"a pool needs at least one worker, not {limit}")
        self.workers: list[Worker] = []
        self._script = script
        self._limit = limit
        self._setup = setup or {}
        self._turns = trio.Semaphore(limit)  # wakes its waiters first come, first served
        self._idle: list[Worker] = []
        self._closed = False

    @property
    def busy(self) -> int:
        """How many workers are lent out."""
        return self._limit - self._turns.value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Kill and collect every worker, within a second even when cancelled."""
        self._closed = True
        with trio.CancelScope(shield=True):
            for worker in tuple(self.workers):
                await self._discard(worker)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Worker]:
        """A worker of one's own for the block, waiting for one if all are busy."""
        async with self._turns:
            worker = await self._take()
            try:
                yield worker
            finally:
                if worker.usable:
                    self._idle.append(worker)
                else:
                    await self._discard(worker)

    async def _take(self) -> Worker:
        if self._closed:
            raise StateError(f"the pool of {self._script} is closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                return worker
            await self._discard(worker)
        return await self._start()

    async def _start(self) -> Worker:
        worker = await _spawn(self._script)
        self.workers.append(worker)
        try:
            await worker.set_up(self._setup)
        finally:
            if not worker.usable:
                await self._discard(worker)
        return worker

    async def _discard(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            await worker.kill()
