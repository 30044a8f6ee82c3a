"""What speech-to-text gives the user: `SttStream`, one recognition session."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from voicecore.audio import AudioFormat
from voicecore.connection import SESSION
from voicecore.errors import ConnectionLostError, StateError, VoicecoreError
from voicecore.events import (
    ConfigureStream,
    Event,
    Probe,
    SpeechStarted,
    StartStream,
    StopStream,
    StreamStopped,
    Transcript,
)
from voicecore.link import Link
from voicecore.protocol import SessionState
from voicecore.reconnect import AudioGap, is_loss
from voicecore.streams import ReplayBuffer, StreamEncoder

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
        self._sent = ReplayBuffer(wire.byte_rate, stt.replay)
        self._recovering = stt.backend.lock()
        self._speech_began = 0.0  # where in the audio, in seconds
        self._reports: deque[Event] = deque()

    async def __aenter__(self) -> Self:
        """Starts the session and waits until the vendor takes audio. Cancelling it drops the connection."""
        if self._link is not None or self.summary is not None:
            raise StateError("an SttStream can be entered once")
        self._link = await self._begin(await self._stt._take_link(self._options))
        return self

    async def _begin(self, link: Link) -> Link:
        try:
            link.send(StartStream(self._options))
            while link.connection.protocol.session_state is not SessionState.STREAMING:
                await link.next()
        except BaseException:
            link.abort()
            raise
        return link

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        if self.summary is None:
            link.abort()
        elif error is None:
            await link.close()
        else:
            link.begin_close()

    async def send(self, frame: Any) -> None:
        """Sends audio: any buffer in the stream's input format, of any length.

        Waits while the socket is behind. Cancelling it loses nothing that was taken: the frame is either queued
        whole or, when the cancel comes before, not at all.
        """
        await self._writable()
        pieces = self._encoder.encode(frame)
        self._heard_at = max(self._heard_at, self._stt.backend.now()) + sum(map(len, pieces)) / self._byte_rate
        await self._send_audio(pieces)

    async def finish(self) -> None:
        """Says that no more audio comes: the vendor answers what is pending and ends. Never waits long."""
        await self._writable()
        silence = self._dialect.trailing_silence(self._options)
        await self._send_audio(self._encoder.flush(silence))
        link = self._sending()
        self._finished = True
        try:
            link.send(self._stop())
        except VoicecoreError as error:
            await self._recover(link, error)

    async def configure(self, **changes: Any) -> None:
        """Changes a running session, e.g. `languages=["hi"]`, `continuous_mode=False`."""
        self._sending().send(ConfigureStream(changes))
        await self._stt.backend.checkpoint()

    async def probe(self) -> None:
        """Sends a latency probe; its answer is a `ProbeAnswered` among the events."""
        self._sending().send(Probe())
        await self._stt.backend.checkpoint()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next transcript (or event). Cancelling it loses nothing."""
        while self.summary is None:
            if self._link is None:
                raise StateError("an SttStream is iterated inside its `async with` block")
            if self._reports and self._include_events:
                return self._reports.popleft()
            event = await self._next(self._link)
            if isinstance(event, StreamStopped):
                self.summary = event
            elif isinstance(event, Transcript) or (event is not None and self._include_events):
                return event
        raise StopAsyncIteration

    async def _next(self, link: Link) -> Event | None:
        try:
            event = (await link.next()).event
        except VoicecoreError as error:
            await self._recover(link, error)
            return None
        if isinstance(event, SpeechStarted) and event.at is not None:
            self._speech_began = event.at
        if isinstance(event, Transcript):
            self._stt.backoff.succeeded()
            if event.speech_final and event.duration is not None:
                self._sent.confirm(self._speech_began + event.duration)
        return event

    async def _writable(self) -> None:
        link = self._sending()
        try:
            await link.wait_writable()
        except VoicecoreError as error:
            await self._recover(link, error)

    async def _send_audio(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            link = self._sending()
            self._sent.add(piece)
            try:
                link.send(self._dialect.audio(piece, self._options))
            except VoicecoreError as error:
                await self._recover(link, error)  # which sends it too

    def _stop(self) -> StopStream:
        return StopStream(max(0.0, self._heard_at - self._stt.backend.now()))

    async def _recover(self, lost: Link, error: VoicecoreError) -> None:
        """Goes on with another connection in place of one that was lost. Raises `error`, or why there is no other."""
        orderly = isinstance(error, ConnectionLostError) and error.code == 1000  # the vendor meant to end it
        if orderly or not is_loss(error):
            raise error
        async with self._recovering:
            if self._link is not lost:
                return  # another task has done it, or the block was left
            link = await self._begin(await self._stt._link_again(error, self._options))
            frames, missing = self._sent.replay()
            if missing:
                self._report(AudioGap(missing))
            for piece in frames:
                link.send(self._dialect.audio(piece, self._options))
            if self._finished:
                link.send(self._stop())
            self._speech_began = 0.0
            lost.abort()
            self._link = link
            lost.nudge(SESSION)  # who waits there looks again

    def _report(self, event: Event) -> None:
        self._reports.append(event)
        self._stt.report(event)

    def _sending(self) -> Link:
        if self._link is None:
            raise StateError("an SttStream is used inside its `async with` block")
        if self._finished:
            raise StateError("nothing can be sent after finish()")
        return self._link
