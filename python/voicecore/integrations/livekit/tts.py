"""Text-to-speech of any vendor for LiveKit Agents.

LiveKit's `AudioEmitter` gets whole frames of int16 in the rate that the caller chose: conversion, and a byte that was
cut off, are the codec's business. A request without an answer is asked once more by voicecore, on another connection,
and then by LiveKit as its `APIConnectOptions` say; neither does once there was audio.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, tts, utils

from voicecore import aio
from voicecore.audio import AudioChunk, AudioFormat
from voicecore.deadlines import Deadlines
from voicecore.integrations.livekit.errors import livekit_errors
from voicecore.integrations.livekit.sessions import DEFAULT_SECONDS, Sessions, seconds_of
from voicecore.integrations.tasks import together
from voicecore.reconnect import Reconnect
from voicecore.secret import Secret
from voicecore.sentences import SentenceCutter
from voicecore.session import TTS as Session
from voicecore.speech import SpeechContext
from voicecore.vendors import find_dialect

FRAME_SECONDS = 1.0  # the longest frame that is passed on
AHEAD_SECONDS = 0.5  # with this much audio passed on ahead of its time, the next may wait for company ...
WAIT_SECONDS = 0.02  # ... this long, and what the vendor says may wait as long to be read
SHORTEST = 20  # characters; a shorter sentence is spoken with the next one, as LiveKit's own tokenizers do


class TTS(tts.TTS[Any]):
    """Speaks with a vendor by name ("60db", "vachana", "uplift", "deepdub", "deepdub-ws").

    `voice` and `options` (the vendor's option class) are the vendor's own. `sample_rate`: of the frames, in Hz,
    whatever the vendor sends. The key and the URL come from the arguments, else from the vendor's environment
    variables. Raises `ValueError` at once for a missing key or a bad argument.
    """

    def __init__(
        self,
        vendor: str,
        *,
        voice: str | None = None,
        api_key: str | Secret | None = None,
        url: str | None = None,
        sample_rate: int = 16_000,
        options: Any = None,
        allow_plaintext: bool = False,
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=False),  # no vendor times its words
            sample_rate=sample_rate,
            num_channels=1,
        )

        def connect(seconds: float) -> AbstractAsyncContextManager[Session]:
            return aio.connect_tts(
                vendor,
                api_key=api_key,
                url=url,
                allow_plaintext=allow_plaintext,
                deadlines=Deadlines(connect=seconds, first_audio=seconds, between_chunks=seconds),
                reconnect=Reconnect(attempts=1),
                read_interval=WAIT_SECONDS,
            )

        connect(DEFAULT_SECONDS)  # raises now rather than in a call
        output = AudioFormat("pcm_s16le", sample_rate)
        self._request: dict[str, Any] = {"voice": voice, "output": output, "options": options}
        dialect = find_dialect(vendor, "tts", url)
        self._vendor, self._dialect = dialect.vendor, dialect.name
        self._sessions = Sessions(connect)
        self._streams = weakref.WeakSet[ChunkedStream | SynthesizeStream]()

    @property
    def model(self) -> str:
        """The vendor's model, where the options name one; else the vendor's protocol."""
        return getattr(self._request["options"], "model", None) or self._dialect

    @property
    def provider(self) -> str:
        """The vendor's name."""
        return self._vendor

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> ChunkedStream:
        """Speaks a whole text."""
        stream = ChunkedStream(self, text, conn_options)
        self._streams.add(stream)
        return stream

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> SynthesizeStream:
        """Speaks text that is pushed bit by bit, sentence by sentence."""
        stream = SynthesizeStream(self, conn_options)
        self._streams.add(stream)
        return stream

    def prewarm(self) -> None:
        """Connects ahead of the first stream, in the background."""
        self._sessions.prewarm(DEFAULT_SECONDS)

    async def aclose(self) -> None:
        """Closes every stream and connection. A later stream opens them again."""
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._sessions.aclose()


class ChunkedStream(tts.ChunkedStream):
    """One text, one request."""

    def __init__(self, speaker: TTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=speaker, input_text=text, conn_options=conn_options)
        self._speaker = speaker

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        if not self._input_text.strip():
            _begin(output_emitter, self._speaker, utils.shortuuid())
            return
        began = time.perf_counter()
        with livekit_errors():
            async with self._speaker._sessions.use(seconds_of(self._conn_options)) as lease:
                speech = lease.session.synthesize(self._input_text, **self._speaker._request)
                _begin(output_emitter, self._speaker, speech.context_id)
                async with speech:
                    self._acquire_time = time.perf_counter() - began
                    self._connection_reused = lease.reused
                    with _Frames(output_emitter) as frames:
                        async for chunk in speech:
                            frames.push(chunk)


class SynthesizeStream(tts.SynthesizeStream):
    """Text bit by bit: one segment, which ends with the first `flush` or the end of the input (LiveKit 1.8)."""

    def __init__(self, speaker: TTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=speaker, conn_options=conn_options)
        self._speaker = speaker

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        _begin(output_emitter, self._speaker, utils.shortuuid(), stream=True)
        texts = _Texts(self._input_ch)
        began = time.perf_counter()
        with livekit_errors():
            async with (
                self._speaker._sessions.use(seconds_of(self._conn_options)) as lease,
                # Opened while the first words are still being thought of.
                lease.session.context(**self._speaker._request) as context,
            ):
                self._acquire_time = time.perf_counter() - began
                self._connection_reused = lease.reused
                if (first := await texts.first()) is None:
                    return
                self._mark_started()
                output_emitter.start_segment(segment_id=context.context_id)
                segment = _Segment(context, _cutter_for(lease.session))
                await together(segment.feed(first, texts), segment.play(output_emitter))
                output_emitter.end_segment()


class _Texts:
    """The text of one segment, as it is pushed. Cancelling a wait loses nothing."""

    def __init__(self, pushed: AsyncIterator[str | tts.SynthesizeStream._FlushSentinel]) -> None:
        self._pushed = pushed
        self._begun = False
        self._over = False

    async def first(self) -> str | None:
        """The first text with a word in it; None if there is none."""
        async for text in self:
            if text.strip():
                return text
        return None

    def __aiter__(self) -> _Texts:
        return self

    async def __anext__(self) -> str:
        while not self._over:
            pushed = await anext(self._pushed)
            if isinstance(pushed, str):
                self._begun = True
                return pushed
            self._over = self._begun  # a flush before any text ends nothing
        raise StopAsyncIteration


class _Segment:
    """A segment on its way: `feed` puts text in, `play` takes audio out. With a `cutter`, each sentence is a turn."""

    def __init__(self, context: SpeechContext, cutter: SentenceCutter | None) -> None:
        self._context = context
        self._cutter = cutter
        self._held = ""  # sentences that are too short to be spoken alone
        self._turns: asyncio.Queue[bool] = asyncio.Queue()  # one more to play, or none

    async def feed(self, first: str, texts: _Texts) -> None:
        if self._cutter is None:
            self._turns.put_nowait(True)
        await self._take(first)
        async for text in texts:
            await self._take(text)
        await self._end()
        self._turns.put_nowait(False)

    async def play(self, emitter: tts.AudioEmitter) -> None:
        with _Frames(emitter) as frames:
            while await self._turns.get():
                async for chunk in self._context:
                    frames.push(chunk)

    async def _take(self, text: str) -> None:
        if self._cutter is None:
            await self._context.send_text(text)
            return
        for sentence in self._cutter.feed(text):
            self._held += sentence
            if len(self._held.strip()) >= SHORTEST:
                await self._speak_held()

    async def _end(self) -> None:
        if self._cutter is None:
            await self._context.flush()
            return
        self._held += "".join(self._cutter.flush())
        await self._speak_held()

    async def _speak_held(self) -> None:
        held, self._held = self._held, ""
        if held.strip():
            await self._context.send_text(held)
            await self._context.flush()
            self._turns.put_nowait(True)


def _cutter_for(session: Session) -> SentenceCutter | None:
    """For a vendor that takes text bit by bit, but speaks only what was flushed."""
    dialect = session.dialect
    return SentenceCutter(dialect.max_text) if dialect.streams_text and not dialect.speaks_early else None


def _begin(emitter: tts.AudioEmitter, speaker: TTS, request_id: str, *, stream: bool = False) -> None:
    emitter.initialize(
        request_id=request_id,
        sample_rate=speaker.sample_rate,
        num_channels=speaker.num_channels,
        mime_type="audio/pcm",
        stream=stream,
    )


class _Frames:
    """Chunks to frames. What came together goes on together: each frame costs the framework more than its samples.

    After an error nothing more is passed on: LiveKit asks again only if it saw no audio, and looks at once.
    """

    def __init__(self, emitter: tts.AudioEmitter) -> None:
        self._emitter = emitter
        self._loop = asyncio.get_running_loop()
        self._chunks: list[AudioChunk] = []
        self._due: asyncio.Handle | None = None
        self._heard_until = 0.0  # when a listener without delay has heard what was passed on

    def __enter__(self) -> _Frames:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._due is not None:
            self._due.cancel()
        if kind is None:
            self._flush()

    def push(self, chunk: AudioChunk) -> None:
        self._chunks.append(chunk)
        if self._due is None:
            ahead = self._heard_until - self._loop.time() > AHEAD_SECONDS
            self._due = self._loop.call_later(WAIT_SECONDS, self._flush) if ahead else self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._due = None
        if not self._chunks:
            return
        rate = self._chunks[0].format.sample_rate
        samples = np.concatenate([chunk.samples for chunk in self._chunks])
        self._chunks.clear()
        self._heard_until = max(self._heard_until, self._loop.time()) + len(samples) / rate
        longest = int(rate * FRAME_SECONDS)
        for at in range(0, len(samples), longest):
            part = samples[at : at + longest]
            self._emitter.push_frame(rtc.AudioFrame(part.tobytes(), rate, 1, len(part)))
