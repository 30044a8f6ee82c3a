"""What speech-to-text gives the user: `SttStream`, one recognition session. On trio."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio

from voicecore.audio import AudioFormat
from voicecore.errors import StateError
from voicecore.events import ConfigureStream, Probe, StartStream, StopStream, StreamStopped, Transcript
from voicecore.link import Link
from voicecore.protocol import SessionState
from voicecore.streams import StreamEncoder

if TYPE_CHECKING:
    from voicecore.session import STT


class SttStream:
    """One recognition session. Sending and iterating may be in different tasks.

    Iteration ends when the vendor said that the session is over, after `finish()`; every other end is an error.
    """

    def __init__(self, stt: STT, source: AudioFormat, options: Any, include_events: bool) -> None:
        dialect = stt.dialect
        wire = dialect.wire_format(options)
        self.summary: StreamStopped | None = None
        self._stt = stt
        self._dialect = dialect
        self._options = options
        self._include_events = include_events
        self._byte_rate = wire.byte_rate
        self._heard_at = 0.0  # when somebody who listens at the pace of speech has heard what was sent
        self._encoder = StreamEncoder(source, wire, dialect.frame_bytes(wire), whole=dialect.whole_frames)
        self._link: Link | None = None
        self._finished = False

    async def __aenter__(self) -> Self:
        """Starts the session and waits until the vendor takes audio. Cancelling it drops the connection."""
        if self._link is not None or self.summary is not None:
            raise StateError("an SttStream can be entered once")
        link = await self._stt._take_link(self._options)
        try:
            link.send(StartStream(self._options))
            while link.connection.protocol.session_state is not SessionState.STREAMING:
                await link.next()
        except BaseException:
            link.abort()
            raise
        self._link = link
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        if self.summary is None:
            link.abort()
        else:
            await link.close()

    async def send(self, frame: Any) -> None:
        """Sends audio: any buffer in the stream's input format, of any length.

        Waits while the socket is behind. Cancelling it loses nothing that was taken: the frame is either queued
        whole or, when the cancel comes before, not at all.
        """
        link = self._sending()
        await link.wait_writable()
        self._heard_at = max(self._heard_at, trio.current_time())
        for piece in self._encoder.encode(frame):
            link.send(self._dialect.audio(piece, self._options))
            self._heard_at += len(piece) / self._byte_rate

    async def finish(self) -> None:
        """Says that no more audio comes: the vendor answers what is pending and ends. Never waits long."""
        link = self._sending()
        await link.wait_writable()
        self._finished = True
        silence = self._dialect.trailing_silence(self._options)
        for piece in self._encoder.flush(silence):
            link.send(self._dialect.audio(piece, self._options))
        link.send(StopStream(max(0.0, self._heard_at - trio.current_time())))

    async def configure(self, **changes: Any) -> None:
        """Changes a running session, e.g. `languages=["hi"]`, `continuous_mode=False`."""
        self._sending().send(ConfigureStream(changes))
        await trio.lowlevel.checkpoint()

    async def probe(self) -> None:
        """Sends a latency probe; its answer is a `ProbeAnswered` among the events."""
        self._sending().send(Probe())
        await trio.lowlevel.checkpoint()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next transcript (or event). Cancelling it loses nothing."""
        while self.summary is None:
            if self._link is None:
                raise StateError("an SttStream is iterated inside its `async with` block")
            event = (await self._link.next()).event
            if isinstance(event, StreamStopped):
                self.summary = event
            elif isinstance(event, Transcript) or self._include_events:
                return event
        raise StopAsyncIteration

    def _sending(self) -> Link:
        if self._link is None:
            raise StateError("an SttStream is used inside its `async with` block")
        if self._finished:
            raise StateError("nothing can be sent after finish()")
        return self._link
