"""Fixtures that several test folders use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import hypothesis
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

# The same examples on every run, however slow the machine is at that moment.
hypothesis.settings.register_profile(
    "voicecore", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("voicecore")


@pytest.fixture(autouse=True)
def no_vendor_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own keys must neither help nor hurt a test."""
    for vendor in ("SIXTY_DB", "DEEPDUB", "VACHANA", "UPLIFTAI"):
        for suffix in ("API_KEY", "STT_URL", "TTS_URL", "LLM_URL", "URL"):
            monkeypatch.delenv(f"{vendor}_{suffix}", raising=False)


@pytest.fixture
async def vendor(nursery: trio.Nursery):
    """Makes an `open_stream` whose every connection runs a script behind a real WebSocket server."""

    def play(script: Callable[[WebSocketConnection], Awaitable[None]], opened: list[str] | None = None):
        async def open_stream(url: str, ssl_context: object) -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            if opened is not None:
                opened.append(url)
            nursery.start_soon(serve, theirs)
            await trio.lowlevel.checkpoint()
            return ours

        async def serve(stream: trio.abc.Stream) -> None:
            async with trio.open_nursery() as tasks:
                request = await wrap_server_stream(tasks, stream, message_queue_size=100)
                socket = await request.accept()
                try:
                    await script(socket)
                except ConnectionClosed:
                    return
                finally:
                    tasks.cancel_scope.cancel()

        return open_stream

    return play
