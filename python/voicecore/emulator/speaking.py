"""The emulator's text-to-speech: any dialect of that kind, with a real voice behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder
from voicecore.emulator.gender import classify
from voicecore.emulator.peer import Gone, Peer, refuse
from voicecore.emulator.profile import Profile
from voicecore.emulator.voice import Voice
from voicecore.emulator.worker import EngineError
from voicecore.errors import CodecError, ConfigurationError, MessageError, ProtocolError
from voicecore.events import (
    Audio,
    Authenticate,
    CancelContext,
    ClassifyVoice,
    CloseContext,
    ContextAccepted,
    ContextFinished,
    Event,
    Failed,
    FlushCompleted,
    FlushContext,
    Malformed,
    OpenContext,
    Ping,
    Pong,
    SendText,
    Synthesize,
    Unknown,
    VoiceClassified,
)
from voicecore.protocol import Fault

NO_CREDIT = "Account has insufficient credits"
TURNS = 1000  # flushed turns of one context that may wait to be spoken


@dataclass(slots=True)
class _Turns:
    """A context that takes its text bit by bit: what was not flushed, and what is flushed and waits to be spoken."""

    options: Any
    text: list[str] = field(default_factory=list)
    characters: int = 0
    channel: tuple[trio.MemorySendChannel[str | None], trio.MemoryReceiveChannel[str | None]] = field(
        default_factory=lambda: trio.open_memory_channel[str | None](TURNS)
    )

    def flush(self) -> str:
        text = "".join(self.text)
        self.text.clear()
        return text


class Speaker:
    """Serves one client: every context is spoken at once, all of them interleaved on the one socket."""

    def __init__(self, peer: Peer, voice: Voice, profile: Profile, nursery: trio.Nursery) -> None:
        self._peer = peer
        self._voice = voice
        self._profile = profile
        self._nursery = nursery
        self._dialect = peer.protocol.dialect
        self._scopes: dict[str, trio.CancelScope] = {}
        self._turns: dict[str, _Turns] = {}

    async def run(self) -> None:
        """Answers requests until the client goes (`Gone`)."""
        for greeting in self._dialect.greeting():
            await self._peer.say(greeting)
        if self._dialect.credit_first and self._profile.no_credit:
            await self._fail(None, Fault.QUOTA, NO_CREDIT)
            await self._peer.close(1008, NO_CREDIT)
            return
        while True:
            try:
                event = await self._peer.hear()
            except MessageError as error:
                await self._fail(None, Fault.INVALID, str(error))
            except ProtocolError as error:
                await self._refuse(error)
            else:
                await self._answer(event)

    async def _refuse(self, error: ProtocolError) -> None:
        """An ill-timed message ends the context that it names, if there is one."""
        if scope := self._scopes.get(error.context_id or ""):
            scope.cancel()
        await self._fail(error.context_id, Fault.INVALID, str(error))

    async def _answer(self, event: Event) -> None:
        match event:
            case Synthesize():
                await self._begin(event.context_id, partial(self._speak_whole, event))
            case OpenContext():
                await self._open(event)
            case SendText(context_id, text):
                await self._add_text(context_id, text)
            case FlushContext(context_id):
                turns = self._turns_of(context_id)
                await turns.channel[0].send(turns.flush())
            case CloseContext(context_id):
                turns = self._turns_of(context_id)
                if text := turns.flush():
                    await turns.channel[0].send(text)
                await turns.channel[0].send(None)
            case CancelContext(context_id):
                if scope := self._scopes.get(context_id):
                    scope.cancel()
            case ClassifyVoice(_, audio):
                await self._classify(audio)
            case Authenticate(key):
                await self._authenticate(key.reveal())
            case Ping():
                await self._peer.say(Pong())
            case Malformed(context_id, code, message):
                await self._peer.say(Failed(context_id, code, message))
            case Unknown(name):
                await self._fail(None, Fault.INVALID, f"unknown message {name!r}")

    async def _authenticate(self, key: str) -> None:
        if not self._profile.accepts(key):
            await refuse(self._peer, self._profile)
            return
        for event in self._dialect.welcome():
            await self._peer.say(event)

    # --- contexts ----------------------------------------------------------------------------------------

    async def _begin(self, context_id: str, speak: Any) -> bool:
        """Starts a context's task, unless the account or the limit forbids it."""
        most = self._profile.max_contexts
        if self._profile.no_credit:
            await self._fail(context_id, Fault.QUOTA, NO_CREDIT)
        elif most is not None and len(self._scopes) >= most:
            await self._fail(context_id, Fault.RATE_LIMIT, f"Rate limit exceeded: {most} concurrent generations")
        else:
            self._scopes[context_id] = trio.CancelScope()
            self._nursery.start_soon(self._serve, context_id, speak)
            return True
        return False

    async def _serve(self, context_id: str, speak: Any) -> None:
        scope = self._scopes[context_id]
        try:
            with scope:
                await speak()
        except ProtocolError:
            if not scope.cancel_called:  # it was on its way when the context ended
                raise
        except (ConfigurationError, CodecError) as error:
            await self._fail(context_id, Fault.INVALID, str(error))
        except EngineError as error:
            await self._fail(context_id, Fault.FAILED, str(error))
        finally:
            del self._scopes[context_id]
            self._turns.pop(context_id, None)

    async def _fail(self, context_id: str | None, fault: Fault, message: str) -> None:
        await self._peer.say(Failed(context_id, self._dialect.fault_codes.get(fault, ""), message))

    # --- whole texts -------------------------------------------------------------------------------------

    async def _speak_whole(self, request: Synthesize) -> None:
        self._dialect.wire_format(request.options)  # refused before it is accepted
        await self._peer.say(ContextAccepted(request.context_id))
        last, index = await self._stream(request.context_id, request.text, request.options)
        await self._peer.say(ContextFinished(request.context_id, last, index))

    # --- text bit by bit ---------------------------------------------------------------------------------

    async def _open(self, request: OpenContext) -> None:
        try:
            self._dialect.wire_format(request.options)
        except ConfigurationError as error:
            await self._fail(request.context_id, Fault.INVALID, str(error))
            return
        self._turns[request.context_id] = turns = _Turns(request.options)
        if not await self._begin(request.context_id, partial(self._speak_turns, request.context_id, turns)):
            del self._turns[request.context_id]

    def _turns_of(self, context_id: str) -> _Turns:
        """Those of an open context. There are none once its speaker has found that the client is gone."""
        if context_id not in self._turns:
            raise Gone
        return self._turns[context_id]

    async def _add_text(self, context_id: str, text: str) -> None:
        turns = self._turns_of(context_id)
        longest = self._dialect.max_text
        if turns.characters + len(text) > longest:
            self._scopes[context_id].cancel()
            await self._fail(context_id, Fault.TOO_LONG, f"Text too long: at most {longest} characters in a context")
            return
        turns.characters += len(text)
        turns.text.append(text)

    async def _speak_turns(self, context_id: str, turns: _Turns) -> None:
        await self._peer.say(ContextAccepted(context_id))
        async for text in turns.channel[1]:
            if text is None:
                await self._peer.say(ContextFinished(context_id))
                if self._dialect.hangs_up(len(self._peer.protocol.contexts)):
                    await self._peer.close()
                return
            last, index = await self._stream(context_id, text, turns.options) if text.strip() else (b"", 0)
            await self._peer.say(FlushCompleted(context_id, last, index))

    # --- audio -------------------------------------------------------------------------------------------

    async def _stream(self, context_id: str, text: str, options: Any) -> tuple[bytes, int]:
        """Speaks a text; gives what is left for the message of its end, and that message's index."""
        wire = self._dialect.wire_format(options)
        raw = AudioFormat(wire.encoding, wire.sample_rate)
        transcoder = Transcoder(AudioFormat("pcm_s16le", self._voice.sample_rate), raw)
        size = round(self._profile.chunk_seconds * raw.sample_rate) * raw.frame_bytes
        rest, index = bytearray(), 0
        language, speed = self._dialect.manner(options)
        send = partial(self._send_audio, context_id, wire, text, options)
        async with self._voice.speak(text, language=language, speed=speed) as pieces:
            async for piece in pieces:
                rest += transcoder.process(piece).tobytes()
                while len(rest) > size:  # the last chunk is held back: it may travel with the end
                    await send(bytes(rest[:size]), index)
                    del rest[:size]
                    index += 1
        rest += transcoder.flush().tobytes()
        if rest and (self._profile.last_audio == "before_last" or index == 0 or not self._dialect.audio_in_last):
            await send(bytes(rest), index)
            return b"", index + 1
        return (self._dialect.package(bytes(rest), wire, index) if rest else b""), index

    async def _send_audio(
        self, context_id: str, wire: AudioFormat, text: str, options: Any, samples: bytes, index: int
    ) -> None:
        extra = self._dialect.remarks(text, options) if index == 0 else {}
        data = self._dialect.package(samples, wire, index)
        await self._peer.say(Audio(context_id, data, index, extra))
        if self._profile.pace:
            await trio.sleep(len(samples) / wire.byte_rate / self._profile.pace)

    async def _classify(self, audio: bytes) -> None:
        try:
            answer: dict[str, Any] = classify(audio)
        except CodecError as error:
            await self._fail(None, Fault.INVALID, str(error))
            return
        await self._peer.say(VoiceClassified(answer))
