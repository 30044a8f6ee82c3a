"""The emulator as a process, and a TCP proxy before it that counts connections and can cut them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit

Urls = Mapping[str, str]


@contextmanager
def run_emulator(*flags: str, **environment: str) -> Iterator[Urls]:
    """The URLs of an emulator that runs as long as the block."""
    command = [sys.executable, "-m", "voicecore", "emulate", "--json", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment) as process:
        try:
            yield json.loads(process.stdout.readline())["urls"]
        finally:
            process.terminate()


class Proxy:
    """Passes everything on to one server.

    `opened`: connections so far; `open`: those that still are; `answered`: bytes that the server sent.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._running: set[asyncio.Task[None]] = set()
        self.opened = 0
        self.answered = 0
        self.url = ""

    @property
    def open(self) -> int:
        return len(self._running)

    def cut(self) -> None:
        """Breaks every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        task = asyncio.current_task()
        self._running.add(task)
        there_reader, there = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, there}
        await asyncio.gather(self._pass(reader, there), self._pass(there_reader, writer, self._count))
        self._running.discard(task)

    def _count(self, data: bytes) -> None:
        self.answered += len(data)

    @staticmethod
    async def _pass(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[bytes], object] = len
    ) -> None:
        try:
            while data := await reader.read(65536):
                count(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


@asynccontextmanager
async def run_proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy before the server of `url`, as long as the block."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy.url = urlunsplit(proxy._target._replace(netloc=f"127.0.0.1:{port}"))
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.gather(*proxy._running)
