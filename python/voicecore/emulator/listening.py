"""The emulator's speech-to-text: a recognition session with real ears behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder
from voicecore.emulator.ears import Ears, Heard, ListeningSession
from voicecore.emulator.ears import SpeechEnded as HeardEnd
from voicecore.emulator.ears import SpeechStarted as HeardSpeech
from voicecore.emulator.peer import Peer
from voicecore.emulator.profile import Profile
from voicecore.emulator.worker import EngineError
from voicecore.errors import MessageError, ProtocolError
from voicecore.events import (
    ConfigureStream,
    Event,
    Failed,
    LanguageChanged,
    Malformed,
    ModeChanged,
    Probe,
    ProbeAnswered,
    Processing,
    SendAudio,
    SpeechEnded,
    SpeechStarted,
    StartStream,
    StopStream,
    StreamStopped,
    Transcript,
    Unknown,
)
from voicecore.protocol import Fault, Listening

EARS_RATE = 16_000
COST_PER_SECOND = 0.00000833


class Listener:
    """Serves one client: `start`, audio, `stop`, and the transcripts between."""

    def __init__(
        self, peer: Peer, ears: Ears, profile: Profile, nursery: trio.Nursery, start: StartStream | Malformed | None
    ) -> None:
        """`start`: what the upgrade request said of it, with a vendor that has it there."""
        self._peer = peer
        self._ears = ears
        self._profile = profile
        self._nursery = nursery
        self._dialect = peer.protocol.dialect
        self._start = start
        self._continuous = True
        self._silence = 0.0
        self._seconds = 0.0
        self._ended_at: float | None = None  # when the last speech ended, where the dialect tells that

    async def run(self) -> None:
        """Greets, waits for the start, then serves the session until it is over or the client goes (`Gone`)."""
        for event in self._dialect.greeting():
            await self._peer.say(event)
        if self._profile.no_credit:
            await self._fail(Fault.QUOTA, "Insufficient credits", 1008)
            return
        start = await self._expect_start()
        if start is not None:
            for event in self._dialect.started(start.options):
                await self._peer.say(event)
            await self._serve(start.options)

    async def _expect_start(self) -> StartStream | None:
        match self._start or await self._hear_start():
            case StartStream() as start:
                if self._start is not None:
                    self._peer.protocol.received(start)
                return start
            case Malformed(_, _, message):
                await self._fail(Fault.INVALID, message, 1008)
            case _:
                await self._fail(Fault.INVALID, "expected start", 1008)
        return None

    async def _hear_start(self) -> Event:
        try:
            return await self._peer.hear()
        except (MessageError, ProtocolError) as error:
            return Malformed(None, "", str(error))

    async def _serve(self, options: Any) -> None:
        manner = self._dialect.listening(options)
        self._continuous, self._silence = manner.continuous, manner.utterance_end
        async with self._ears.listen(
            EARS_RATE,
            utterance_end=manner.utterance_end,
            interim_interval=manner.interim_interval,
            tell_ends=self._peer.protocol.allows(Processing),
        ) as session:
            self._nursery.start_soon(self._hear_client, session, options)
            try:
                await self._report(session, manner)
            except EngineError as error:
                await self._fail(Fault.FAILED, str(error), 1011)
                return
        await self._stop()

    async def _hear_client(self, session: ListeningSession, options: Any) -> None:
        wire = self._dialect.wire_format(options)
        transcoder = Transcoder(wire, AudioFormat("pcm_s16le", EARS_RATE))
        while True:
            try:
                event = await self._peer.hear()
            except (MessageError, ProtocolError) as error:
                await self._fail(Fault.INVALID, str(error), 1008)
                return
            match event:
                case SendAudio(data):
                    self._seconds += len(data) / wire.byte_rate
                    await session.feed(transcoder.process(data).tobytes())
                case StopStream():
                    await session.feed(transcoder.flush().tobytes())
                    await session.finish()
                    return
                case ConfigureStream(changes):
                    await self._configure(changes)
                case Probe():
                    await self._peer.say(ProbeAnswered({}))
                case Malformed(_, _, message):
                    await self._fail(Fault.INVALID, message, 1008)
                    return
                case Unknown():
                    pass  # counted by the protocol; the vendor does not say what it does with one

    async def _configure(self, changes: Mapping[str, Any]) -> None:
        if "languages" in changes:
            codes = changes["languages"]
            shown = "auto" if codes is None else "Multi-language: " + ", ".join(code.upper() for code in codes)
            await self._peer.say(LanguageChanged(shown, None if codes is None else tuple(codes)))
        if "continuous_mode" in changes:
            self._continuous = changes["continuous_mode"]
            name = "continuous" if self._continuous else "single"
            await self._peer.say(ModeChanged(self._continuous, name, self._silence))

    async def _report(self, session: ListeningSession, manner: Listening) -> None:
        async for heard in session:
            match heard:
                case HeardSpeech(at):
                    await self._peer.say(SpeechStarted(at))
                case HeardEnd(at):
                    self._ended_at = trio.current_time()
                    await self._peer.say(SpeechEnded(at))
                    await self._peer.say(Processing())
                case Heard():
                    await self._transcribe(heard, manner)
                    if heard.is_final and not self._continuous:
                        return

    async def _transcribe(self, heard: Heard, manner: Listening) -> None:
        final, language = heard.is_final, manner.language
        extra = self._dialect.nothing_heard if final and not heard.text else {}
        latency = None if self._ended_at is None else trio.current_time() - self._ended_at
        confidence, sentence, seconds = heard.confidence, heard.sentence_id, heard.end - heard.start
        if final and manner.refined and heard.text:  # with hints the vendor sends a first final, then the refined one
            first = Transcript(heard.text, True, False, language, confidence, sentence, seconds)
            await self._peer.say(first)
        text = Transcript(
            heard.text, final, final, language, confidence, sentence, seconds, extra=extra, latency=latency
        )
        await self._peer.say(text)

    async def _stop(self) -> None:
        await self._peer.say(StreamStopped(round(self._seconds, 3), round(self._seconds * COST_PER_SECOND, 9)))
        await self._peer.close(1000)

    async def _fail(self, fault: Fault, message: str, close_code: int) -> None:
        await self._peer.say(Failed(None, self._dialect.fault_codes.get(fault, ""), message))
        await self._peer.close(close_code, message[:100])
