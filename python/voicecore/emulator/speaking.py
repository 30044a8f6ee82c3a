"""The emulator's text-to-speech: any dialect of that kind, with a real voice behind it."""

from __future__ import annotations

from typing import Any

import trio

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder
from voicecore.emulator.gender import classify
from voicecore.emulator.peer import Peer
from voicecore.emulator.profile import Profile
from voicecore.emulator.voice import Voice
from voicecore.emulator.worker import EngineError
from voicecore.errors import CodecError, ConfigurationError, MessageError, ProtocolError
from voicecore.events import (
    Audio,
    CancelContext,
    ClassifyVoice,
    ContextAccepted,
    ContextFinished,
    Failed,
    Malformed,
    Synthesize,
    Unknown,
    VoiceClassified,
)


class Speaker:
    """Serves one client: every request is spoken at once, all of them interleaved on the one socket."""

    def __init__(self, peer: Peer, voice: Voice, profile: Profile, nursery: trio.Nursery) -> None:
        self._peer = peer
        self._voice = voice
        self._profile = profile
        self._nursery = nursery
        self._dialect = peer.protocol.dialect
        self._scopes: dict[str, trio.CancelScope] = {}

    async def run(self) -> None:
        """Answers requests until the client goes (`Gone`)."""
        while True:
            try:
                event = await self._peer.hear()
            except (MessageError, ProtocolError) as error:
                await self._peer.say(Failed(None, "InvalidInput", str(error)))
                continue
            match event:
                case Synthesize():
                    await self._begin(event)
                case CancelContext(context_id):
                    if scope := self._scopes.get(context_id):
                        scope.cancel()
                case ClassifyVoice(_, audio):
                    await self._classify(audio)
                case Malformed(context_id, code, message):
                    await self._peer.say(Failed(context_id, code, message))
                case Unknown(name):
                    await self._peer.say(Failed(None, "InvalidInput", f"unknown message {name!r}"))

    async def _begin(self, request: Synthesize) -> None:
        most = self._profile.max_contexts
        if self._profile.no_credit:
            await self._fail(request, "InsufficientCredits", "Account has insufficient credits")
        elif most is not None and len(self._scopes) >= most:
            await self._fail(request, "RateLimit", f"Rate limit exceeded: {most} concurrent generations")
        else:
            self._scopes[request.context_id] = trio.CancelScope()
            self._nursery.start_soon(self._speak, request)

    async def _fail(self, request: Synthesize, code: str, message: str) -> None:
        await self._peer.say(Failed(request.context_id, code, message))

    async def _speak(self, request: Synthesize) -> None:
        try:
            with self._scopes[request.context_id]:
                await self._stream(request)
        except (ConfigurationError, CodecError) as error:
            await self._fail(request, "InvalidInput", str(error))
        except EngineError as error:
            await self._fail(request, "", str(error))
        finally:
            del self._scopes[request.context_id]

    async def _stream(self, request: Synthesize) -> None:
        wire = self._dialect.wire_format(request.options)
        raw = AudioFormat(wire.encoding, wire.sample_rate)
        transcoder = Transcoder(AudioFormat("pcm_s16le", self._voice.sample_rate), raw)
        size = round(self._profile.chunk_seconds * raw.sample_rate) * raw.frame_bytes
        await self._peer.say(ContextAccepted(request.context_id))
        rest, index = bytearray(), 0
        language, speed = self._dialect.manner(request.options)
        async with self._voice.speak(request.text, language=language, speed=speed) as pieces:
            async for piece in pieces:
                rest += transcoder.process(piece).tobytes()
                while len(rest) > size:  # the last chunk is held back: it may travel with the end
                    await self._send_audio(request, bytes(rest[:size]), index, wire)
                    del rest[:size]
                    index += 1
        rest += transcoder.flush().tobytes()
        await self._finish(request, bytes(rest), index, wire)

    async def _send_audio(self, request: Synthesize, samples: bytes, index: int, wire: AudioFormat) -> None:
        extra = self._dialect.remarks(request) if index == 0 else {}
        await self._peer.say(Audio(request.context_id, self._dialect.package(samples, wire, index), index, extra))
        if self._profile.pace:
            await trio.sleep(len(samples) / wire.byte_rate / self._profile.pace)

    async def _finish(self, request: Synthesize, samples: bytes, index: int, wire: AudioFormat) -> None:
        if samples and (self._profile.deepdub_last_audio == "before_last" or index == 0):
            await self._send_audio(request, samples, index, wire)
            samples, index = b"", index + 1
        last = self._dialect.package(samples, wire, index) if samples else b""
        await self._peer.say(ContextFinished(request.context_id, last, index))

    async def _classify(self, audio: bytes) -> None:
        try:
            answer: dict[str, Any] = classify(audio)
        except CodecError as error:
            await self._peer.say(Failed(None, "InvalidInput", str(error)))
            return
        await self._peer.say(VoiceClassified(answer))
