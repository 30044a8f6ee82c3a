"""The emulator's text-to-speech: any dialect of that kind, with a real voice behind it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import trio

from voicecore.audio import AudioFormat
from voicecore.emulator.encoding import Chunk, chunks_of, expect_encoder
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
    ContextCancelled,
    ContextFinished,
    Event,
    Failed,
    FlushCompleted,
    FlushContext,
    GenerationFinished,
    Goodbye,
    Malformed,
    OpenContext,
    Ping,
    Pong,
    SendText,
    Synthesize,
    Unknown,
    VoiceClassified,
)
from voicecore.limits import RateLimiter
from voicecore.protocol import ENDED, UNCONFIRMED, Coding, Fault
from voicecore.sentences import SentenceCutter

NO_CREDIT = "Account has insufficient credits"
TURNS = 1000  # flushed turns of one context that may wait to be spoken


class _Part(NamedTuple):
    """A text that waits to be spoken."""

    text: str
    options: Any
    ends_turn: bool


@dataclass(slots=True)
class _Turns:
    """A context that takes its text bit by bit: what cannot be spoken yet, and what waits to be spoken."""

    options: Any
    cutter: SentenceCutter | None  # for a vendor that speaks what is complete before it is flushed
    text: list[str] = field(default_factory=list)
    characters: int = 0
    generation: str | None = None  # that is being spoken
    over: trio.Event = field(default_factory=trio.Event)
    channel: tuple[trio.MemorySendChannel[_Part | None], trio.MemoryReceiveChannel[_Part | None]] = field(
        default_factory=lambda: trio.open_memory_channel[_Part | None](TURNS)
    )

    def add(self, text: str) -> list[str]:
        """Takes more text; gives what can be spoken already."""
        if self.cutter is not None:
            return self.cutter.feed(text)
        self.text.append(text)
        return []

    def flush(self) -> str:
        rest = self.text if self.cutter is None else self.cutter.flush()
        text = "".join(rest)
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
        self._limiter = RateLimiter(self._dialect.rates)

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
                event = await self._hear()
            except MessageError as error:
                await self._fail(None, Fault.INVALID, self._dialect.complaint(error))
            except ProtocolError as error:
                await self._refuse(error)
            else:
                await self._answer(event)

    async def _refuse(self, error: ProtocolError) -> None:
        """An ill-timed message ends the context that it names, if there is one."""
        if scope := self._scopes.get(error.context_id or ""):
            scope.cancel()
        named = error.context_id if self._peer.protocol.allows(Failed, error.context_id) else None
        await self._fail(named, Fault.INVALID, self._dialect.complaint(error))

    async def _hear(self) -> Event:
        event = await self._peer.hear()
        known = not self._dialect.key_in_band or self._peer.protocol.session_state not in UNCONFIRMED
        if not known and hasattr(event, "context_id") and not isinstance(event, Malformed):
            raise ProtocolError(f"{self._dialect.name}: {type(event).__name__} before the key")
        return event

    async def _answer(self, event: Event) -> None:
        if isinstance(event, (Synthesize, CancelContext)) and await self._is_limited(event):
            return
        match event:
            case Synthesize() if self._dialect.is_mute(event.voice):
                pass
            case Synthesize():
                await self._begin(event.context_id, partial(self._speak_whole, event))
            case OpenContext():
                await self._open(event)
            case SendText(context_id, text):
                await self._add_text(context_id, text)
            case FlushContext(context_id) if turns := self._turns.get(context_id):
                await self._pass_on(turns, turns.flush(), ends_turn=True)
            case CloseContext(context_id) if turns := self._turns.get(context_id):
                if text := turns.flush():
                    await self._pass_on(turns, text, ends_turn=True)
                await turns.channel[0].send(None)
            case CancelContext(context_id):
                await self._cancel(context_id)
            case ClassifyVoice(_, audio):
                await self._classify(audio)
            case Authenticate(key):
                await self._authenticate(key.reveal())
            case Ping():
                await self._peer.say(Pong())
            case Goodbye():
                await self._peer.close()
                raise Gone
            case Malformed(context_id, code, message, details):
                if scope := self._scopes.get(context_id or ""):
                    scope.cancel()  # its id is refused, so nothing more is said of it
                await self._peer.say(Failed(context_id, code, message, details))
            case Unknown(name):
                await self._fail(None, Fault.INVALID, f"unknown message {name!r}")

    async def _authenticate(self, key: str) -> None:
        if not self._profile.accepts(key):
            await refuse(self._peer, self._profile)
            return
        for event in self._dialect.welcome():
            await self._peer.say(event)

    async def _is_limited(self, event: Synthesize | CancelContext) -> bool:
        """Refuses what is over a limit of the vendor. A refused cancel leaves the utterance as it is."""
        kind, now = type(event), trio.current_time()
        if self._limiter.allowed_at(kind, now) <= now:
            self._limiter.count(kind, now)
            return False
        rate, code = self._dialect.rates[kind], self._dialect.fault_codes.get(Fault.RATE_LIMIT, "")
        message = f"Rate limit exceeded: at most {rate.messages} of these in {rate.seconds:g} s"
        goes_on = kind is CancelContext
        details = {"context_id": event.context_id} if goes_on else {}
        await self._peer.say(Failed(None if goes_on else event.context_id, code, message, details))
        return True

    # --- contexts ----------------------------------------------------------------------------------------

    async def _begin(self, context_id: str, speak: Any) -> bool:
        """Starts a context's task, unless the account or the limit forbids it."""
        most = min(filter(None, (self._profile.max_contexts, self._dialect.max_contexts)), default=None)
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
            if self._scopes.get(context_id) is scope:
                del self._scopes[context_id]
            if turns := self._turns.pop(context_id, None):
                turns.over.set()

    async def _cancel(self, context_id: str) -> None:
        """Stops a context. Where the vendor confirms that, it is confirmed, and the configuration outlives it."""
        turns, scope = self._turns.get(context_id), self._scopes.get(context_id)
        if self._dialect.after_cancel == "audio":
            return
        if scope is not None:
            scope.cancel()
            if self._dialect.after_cancel == "end":
                await self._peer.say(ContextFinished(context_id))
        if not self._peer.protocol.allows(ContextCancelled, context_id):
            return
        if turns is not None:
            await turns.over.wait()
        await self._peer.say(ContextCancelled(context_id, turns.generation if turns else None))
        if turns is not None:
            again = OpenContext(context_id, None, turns.options)
            self._peer.protocol.received(again)
            await self._open(again)

    async def _fail(self, context_id: str | None, fault: Fault, message: str, generation: str | None = None) -> None:
        code = self._dialect.fault_codes.get(fault, "")
        await self._peer.say(Failed(context_id, code, message, generation=generation))

    # --- whole texts -------------------------------------------------------------------------------------

    async def _speak_whole(self, request: Synthesize) -> None:
        expect_encoder(self._dialect.wire_format(request.options))  # refused before it is accepted
        await self._peer.say(ContextAccepted(request.context_id))
        last, index = await self._stream(request.context_id, request.text, request.options)
        await self._peer.say(ContextFinished(request.context_id, last, index))
        if self._dialect.closes_after_context:
            await self._peer.close(1000)

    # --- text bit by bit ---------------------------------------------------------------------------------

    async def _open(self, request: OpenContext) -> None:
        if turns := self._turns.get(request.context_id):  # other options from here on
            await self._pass_on(turns, turns.flush())
            turns.options, turns.characters = request.options, 0
            return
        try:
            expect_encoder(self._dialect.wire_format(request.options))
        except ConfigurationError as error:
            await self._fail(request.context_id, Fault.INVALID, str(error))
            return
        cutter = SentenceCutter(self._dialect.max_text) if self._dialect.speaks_early else None
        self._turns[request.context_id] = turns = _Turns(request.options, cutter)
        if not await self._begin(request.context_id, partial(self._speak_turns, request.context_id, turns)):
            del self._turns[request.context_id]

    def _turns_of(self, context_id: str) -> _Turns:
        """Those of an open context. There are none once its speaker has found that the client is gone."""
        if context_id not in self._turns:
            raise Gone
        return self._turns[context_id]

    async def _add_text(self, context_id: str, text: str) -> None:
        if (turns := self._turns.get(context_id)) is None:
            return  # it was refused when it was opened
        longest = self._dialect.max_text
        if turns.characters + len(text) > longest:
            self._scopes[context_id].cancel()
            await self._fail(context_id, Fault.TOO_LONG, f"Text too long: at most {longest} characters in a context")
            return
        turns.characters += len(text)
        for sentence in turns.add(text):
            await self._pass_on(turns, sentence)

    async def _pass_on(self, turns: _Turns, text: str, *, ends_turn: bool = False) -> None:
        """Hands a text to the context's task, in pieces where it says itself that the options change."""
        segments = self._dialect.segments(text, turns.options)
        turns.options = segments[-1][1]
        for number, (segment, options) in enumerate(segments, 1):
            ends = ends_turn and number == len(segments)
            if segment.strip() or ends:
                await turns.channel[0].send(_Part(segment, options, ends))

    async def _speak_turns(self, context_id: str, turns: _Turns) -> None:
        await self._peer.say(ContextAccepted(context_id))
        async for part in turns.channel[1]:
            if part is None:
                await self._peer.say(ContextFinished(context_id))
                if self._dialect.hangs_up(len(self._peer.protocol.contexts)):
                    await self._peer.close()
                return
            await self._speak_part(context_id, turns, part)
            turns.generation = None

    async def _speak_part(self, context_id: str, turns: _Turns, part: _Part) -> None:
        last, index = b"", 0
        if part.text.strip():
            turns.generation = str(uuid.uuid4())
            try:
                last, index = await self._stream(context_id, part.text, part.options, turns.generation)
            except EngineError as error:
                if not self._outlives_failure(context_id):
                    raise
                await self._fail(context_id, Fault.FAILED, str(error), turns.generation)
                turns.generation = None
        if part.ends_turn:
            await self._peer.say(FlushCompleted(context_id, last, index, turns.generation))
        elif turns.generation:
            await self._peer.say(GenerationFinished(context_id, last, index, turns.generation))

    def _outlives_failure(self, context_id: str) -> bool:
        """True where a failure ends one generation and the vendor goes on with the others."""
        state = self._peer.protocol.contexts[context_id]
        return self._dialect.contexts[state].get(Failed) not in ENDED

    # --- audio -------------------------------------------------------------------------------------------

    async def _stream(
        self, context_id: str, text: str, options: Any, generation: str | None = None
    ) -> tuple[bytes, int]:
        """Speaks a text; gives what is left for the message of its end, and that message's index."""
        wire, coding = self._dialect.wire_format(options), self._dialect.coding(options)
        if any(fault.name == "mislabel" for fault in self._profile.faults):
            wire, coding = AudioFormat("mp3", wire.sample_rate), Coding()
        chunks, index = chunks_of(self._voice.sample_rate, wire, coding, self._profile.chunk_seconds), 0
        language, speed = self._dialect.manner(options)
        language = self._dialect.language_of(text) or language
        extra = self._dialect.remarks(text, options)
        send = partial(self._send_audio, wire, Audio(context_id, b"", extra=extra, generation=generation))
        async with self._voice.speak(text, language=language, speed=speed) as pieces:
            async for piece in pieces:
                for chunk in chunks.feed(piece):
                    index = await send(chunk, index)
        last = chunks.finish()
        if last.data and (self._profile.last_audio == "before_last" or index == 0 or not self._dialect.audio_in_last):
            return b"", await send(last, index)
        return (self._dialect.package(last.data, wire, index) if last.data else b""), index

    async def _send_audio(self, wire: AudioFormat, first: Audio, chunk: Chunk, index: int) -> int:
        """Sends one chunk, whose first message has this index; gives the index after its last."""
        for piece in self._dialect.cut(self._dialect.package(chunk.data, wire, index), index):
            await self._peer.say(replace(first, data=piece, index=index, extra=first.extra if index == 0 else {}))
            index += 1
        if self._profile.pace:
            await trio.sleep(chunk.seconds / self._profile.pace)
        return index

    async def _classify(self, audio: bytes) -> None:
        try:
            answer: dict[str, Any] = classify(audio)
        except CodecError as error:
            await self._fail(None, Fault.INVALID, str(error))
            return
        await self._peer.say(VoiceClassified(answer))
