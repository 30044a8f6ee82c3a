"""Speech-to-text of any vendor for LiveKit Agents.

Frames of any rate and channel count are taken as they come; the codec makes the vendor's format of them. A connection
that is lost is opened again by voicecore, which sends again what no final covers; LiveKit tries again after that.
"""

from __future__ import annotations

import time
import weakref
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, NamedTuple

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.agents.utils import AudioBuffer, is_given

from voicecore import aio
from voicecore.audio import AudioFormat
from voicecore.codec import downmix
from voicecore.deadlines import Deadlines
from voicecore.events import Event, SpeechStarted, Transcript
from voicecore.integrations.livekit.errors import livekit_errors
from voicecore.integrations.livekit.sessions import Sessions, seconds_of
from voicecore.integrations.tasks import together
from voicecore.recognition import SttStream
from voicecore.reconnect import Reconnect
from voicecore.secret import Secret
from voicecore.session import STT as Session
from voicecore.vendors import find_dialect

USAGE_SECONDS = 5.0  # of audio between two reports of it


class _Manner(NamedTuple):
    """What a session is opened for."""

    seconds: float
    attempts: int


class STT(stt.STT[Any]):
    """Listens with a vendor by name ("60db", "vachana").

    `options` is the vendor's option class. The key and the URL come from the arguments, else from the vendor's
    environment variables. Raises `ValueError` at once for a missing key or a bad argument.
    """

    SpeechEventType = SpeechEventType  # for those whose object has the name of LiveKit's module, `stt`

    def __init__(
        self,
        vendor: str,
        *,
        api_key: str | Secret | None = None,
        url: str | None = None,
        options: Any = None,
        allow_plaintext: bool = False,
    ) -> None:
        dialect = find_dialect(vendor, "stt", url)
        chosen = dialect.options() if options is None else options
        interim = getattr(chosen, "interim_results_frequency", None) is not None
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=interim, aligned_transcript=False)
        )

        def connect(manner: _Manner) -> AbstractAsyncContextManager[Session]:
            seconds, attempts = manner
            return aio.connect_stt(
                vendor,
                api_key=api_key,
                url=url,
                allow_plaintext=allow_plaintext,
                deadlines=Deadlines(connect=seconds, between_chunks=seconds),
                reconnect=Reconnect(attempts=attempts),
            )

        connect(_manner_of(DEFAULT_API_CONNECT_OPTIONS))  # raises now rather than in a call
        self._options = chosen
        self._vendor, self._dialect = dialect.vendor, dialect.name
        self._sessions = Sessions(connect)
        self._streams = weakref.WeakSet[RecognizeStream]()

    @property
    def model(self) -> str:
        """The vendor's model, where the options name one; else the vendor's protocol."""
        return getattr(self._options, "model", None) or self._dialect

    @property
    def provider(self) -> str:
        """The vendor's name."""
        return self._vendor

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> RecognizeStream:
        """A recognition session of its own. Raises `ValueError` for a language that the vendor has not."""
        stream = RecognizeStream(self, self._options_in(language), conn_options)
        self._streams.add(stream)
        return stream

    def prewarm(self) -> None:
        """Connects ahead of the first stream, in the background."""
        self._sessions.prewarm(_manner_of(DEFAULT_API_CONNECT_OPTIONS))

    async def aclose(self) -> None:
        """Closes every stream and connection. A later stream opens them again."""
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._sessions.aclose()

    def _options_in(self, language: NotGivenOr[str]) -> Any:
        return replace(self._options, languages=(language,)) if is_given(language) else self._options

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> SpeechEvent:
        """A whole recording by the streaming protocol, since the vendors' sockets know no other."""
        frame = rtc.combine_audio_frames(buffer)
        source = AudioFormat("pcm_s16le", frame.sample_rate)
        heard: list[Transcript] = []
        with livekit_errors():
            options = self._options_in(language)
            async with (
                self._sessions.use(_manner_of(conn_options)) as lease,
                lease.session.stream(input=source, options=options) as stream,
            ):

                async def send() -> None:
                    await stream.send(_mono(frame))
                    await stream.finish()

                async def hear() -> None:
                    heard.extend([transcript async for transcript in stream if transcript.speech_final])

                await together(send(), hear())
        return _event(SpeechEventType.FINAL_TRANSCRIPT, utils.shortuuid(), options, *heard)


class RecognizeStream(stt.RecognizeStream):
    """One recognition session. It begins with the first frame, which says what the audio is like."""

    def __init__(self, listener: STT, options: Any, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=listener, conn_options=conn_options)
        self._listener = listener
        self._options = options
        self._id = utils.shortuuid()
        self._speaking = False
        self._unreported = 0.0  # seconds of audio

    async def _run(self) -> None:
        with livekit_errors():
            began = time.perf_counter()
            async with self._listener._sessions.use(_manner_of(self._conn_options)) as lease:
                waited = time.perf_counter() - began
                first = await self._first_frame()
                if first is None:
                    return
                source = AudioFormat("pcm_s16le", first.sample_rate)
                began = time.perf_counter()
                async with lease.session.stream(input=source, options=self._options, include_events=True) as stream:
                    self._report_connection_acquired(waited + time.perf_counter() - began, lease.reused)
                    await together(self._send(stream, first), self._hear(stream))

    async def _first_frame(self) -> rtc.AudioFrame | None:
        async for pushed in self._input_ch:
            if isinstance(pushed, rtc.AudioFrame):
                return pushed
        return None

    async def _send(self, stream: SttStream, first: rtc.AudioFrame) -> None:
        await self._send_frame(stream, first)
        async for pushed in self._input_ch:
            if isinstance(pushed, rtc.AudioFrame):  # no vendor has a message for a flush
                await self._send_frame(stream, pushed)
        self._report_usage()
        await stream.finish()

    async def _send_frame(self, stream: SttStream, frame: rtc.AudioFrame) -> None:
        await stream.send(_mono(frame))
        self._unreported += frame.duration
        if self._unreported >= USAGE_SECONDS:
            self._report_usage()

    def _report_usage(self) -> None:
        if not self._unreported:
            return
        usage = stt.RecognitionUsage(audio_duration=self._unreported)
        self._unreported = 0.0
        self._emit(SpeechEvent(SpeechEventType.RECOGNITION_USAGE, self._id, recognition_usage=usage))

    async def _hear(self, stream: SttStream) -> None:
        async for event in stream:
            self._take(event)
        self._end_speech()

    def _take(self, event: Event) -> None:
        """A vendor's event as LiveKit's, whose order is: start of speech, transcripts, end of speech."""
        match event:
            case SpeechStarted():
                self._start_speech()
            case Transcript(text, is_final, speech_final):
                if text:
                    self._start_speech()
                    self._emit(_event(_kind_of(is_final, speech_final), self._id, self._options, event))
                if speech_final:
                    self._end_speech()

    def _start_speech(self) -> None:
        if not self._speaking:
            self._speaking = True
            self._emit(SpeechEvent(SpeechEventType.START_OF_SPEECH, self._id))

    def _end_speech(self) -> None:
        if self._speaking:
            self._speaking = False
            self._emit(SpeechEvent(SpeechEventType.END_OF_SPEECH, self._id))

    def _emit(self, event: SpeechEvent) -> None:
        self._event_ch.send_nowait(event)


def _mono(frame: rtc.AudioFrame) -> Any:
    """All channels as one: a stream may change their number, while its rate stays."""
    return frame.data if frame.num_channels == 1 else downmix(frame.data, frame.num_channels)


def _manner_of(options: APIConnectOptions) -> _Manner:
    return _Manner(seconds_of(options), options.max_retry)


def _kind_of(is_final: bool, speech_final: bool) -> SpeechEventType:
    """A final that may still be refined is what LiveKit calls preflight."""
    if speech_final:
        return SpeechEventType.FINAL_TRANSCRIPT
    return SpeechEventType.PREFLIGHT_TRANSCRIPT if is_final else SpeechEventType.INTERIM_TRANSCRIPT


def _event(kind: SpeechEventType, request_id: str, options: Any, *heard: Transcript) -> SpeechEvent:
    """Times stay unset: that of 60db's `speech_started` has no documented origin, and turns would be timed by it."""
    said = next((transcript.language for transcript in heard if transcript.language), None)
    sure = [transcript.confidence for transcript in heard if transcript.confidence is not None]
    data = stt.SpeechData(
        language=LanguageCode(said or next(iter(options.languages or ()), "")),
        text=" ".join(transcript.text for transcript in heard if transcript.text),
        confidence=min(sure, default=1.0),
        speaker_id=next((str(transcript.speaker) for transcript in heard if transcript.speaker is not None), None),
    )
    return SpeechEvent(kind, request_id, [data])
