"""Audio that waits for a connection: the newest of it, so that the pipeline never waits and memory is bounded."""

from __future__ import annotations

import asyncio
from collections import deque


class Backlog:
    """Written by the pipeline, read by one task. `lost`: bytes that were dropped for newer ones, until `take_lost`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit  # bytes
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._lost = 0
        self._ended = False
        self._news = asyncio.Event()

    def put(self, audio: bytes) -> None:
        """Adds audio, and drops the oldest over the limit."""
        self._pieces.append(audio)
        self._held += len(audio)
        while self._held > self._limit:
            self._lost += self._drop()
        self._news.set()

    def end(self) -> None:
        """No more audio comes: reading ends with what is there."""
        self._ended = True
        self._news.set()

    def take_lost(self) -> int:
        """Bytes that were dropped since the last call."""
        lost, self._lost = self._lost, 0
        return lost

    def __aiter__(self) -> Backlog:
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Cancelling it loses nothing."""
        while not self._pieces:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece = self._pieces[0]
        self._drop()
        return piece

    def _drop(self) -> int:
        size = len(self._pieces.popleft())
        self._held -= size
        return size
