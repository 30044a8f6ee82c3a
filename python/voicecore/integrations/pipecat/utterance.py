"""What one audio context of Pipecat's says: turns in the order of the text, in a context at the vendor.

The vendor's context may fail, or be full, before Pipecat's is over; the next text then goes to another. Text is put in
and turns are taken out by different tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from voicecore.errors import TextTooLongError
from voicecore.speech import SpeechContext


@dataclass(slots=True)
class Turn:
    """Audio to come: one iteration of `context`. `text` is what it says."""

    context: SpeechContext
    text: str = ""


class Utterance:
    """`turns` gives each turn as soon as it has text, then None. `seconds`: of the audio that was played so far."""

    def __init__(self, open_context: Callable[[], Awaitable[SpeechContext]]) -> None:
        self.turns: asyncio.Queue[Turn | None] = asyncio.Queue()
        self.seconds = 0.0
        self._open_context = open_context
        self._contexts: set[SpeechContext] = set()  # that were not left yet
        self._context: SpeechContext | None = None  # which takes the next text
        self._turn: Turn | None = None  # which has text and no end yet

    async def send(self, text: str) -> None:
        """More text of this turn. Waits for a connection with room; cancelling it may leave the text unspoken."""
        try:
            await self._send(text)
        except TextTooLongError:
            if self._context is None:
                raise
            await self.flush()
            self._context = None
            await self._send(text)

    async def _send(self, text: str) -> None:
        context = self._context or await self._open_context()
        self._contexts.add(context)
        await context.send_text(text)
        self._context = context
        if self._turn is None:
            self._turn = Turn(context)
            self.turns.put_nowait(self._turn)
        self._turn.text += text

    async def flush(self) -> None:
        """Ends the turn, if it has text."""
        turn, self._turn = self._turn, None
        if turn is not None:
            await turn.context.flush()

    def finish(self) -> None:
        """No turn comes after those that have text."""
        self.turns.put_nowait(None)

    def lives(self, turn: Turn) -> bool:
        """False if its context was left: its audio is not whole."""
        return turn.context in self._contexts

    async def leave(self) -> None:
        """Leaves every context at the vendor, which stops what is still being spoken. Never waits."""
        contexts, self._contexts = self._contexts, set()
        self._context = self._turn = None
        for context in contexts:
            await context.cancel()
