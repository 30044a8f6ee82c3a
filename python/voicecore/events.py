"""The shared vocabulary: what a client can ask and what a server can answer, whatever the vendor calls it.

Plain frozen data. No vendor, transport or clock is known here. A `ClientEvent` travels from client to server, a
`ServerEvent` the other way; the vendor's file turns each into its wire message and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voicecore.errors import VoicecoreError
from voicecore.secret import Secret

CURRENT = "*"  # the context of a message that names none: the one that is at work


@dataclass(frozen=True, slots=True)
class Event:
    """Anything that one side says to the other."""


@dataclass(frozen=True, slots=True)
class ClientEvent(Event):
    """Said by the client."""


@dataclass(frozen=True, slots=True)
class ServerEvent(Event):
    """Said by the server."""


# --- text to speech: the client --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Synthesize(ClientEvent):
    """Speak a whole text. `voice` and `options` are the vendor's own."""

    context_id: str
    text: str
    voice: str | None
    options: Any


@dataclass(frozen=True, slots=True)
class OpenContext(ClientEvent):
    """Open a context that takes its text bit by bit. `voice` and `options` are the vendor's own."""

    context_id: str
    voice: str | None
    options: Any


@dataclass(frozen=True, slots=True)
class SendText(ClientEvent):
    """More text for an open context."""

    context_id: str
    text: str


@dataclass(frozen=True, slots=True)
class FlushContext(ClientEvent):
    """Speak all text so far, and say when it is spoken: the end of a turn. The context stays open."""

    context_id: str


@dataclass(frozen=True, slots=True)
class LeaveContext(ClientEvent):
    """Nothing more will be asked of this open context. No vendor has a message for it."""

    context_id: str


@dataclass(frozen=True, slots=True)
class CloseContext(ClientEvent):
    """Close an open context at the vendor."""

    context_id: str


@dataclass(frozen=True, slots=True)
class CancelContext(ClientEvent):
    """Stop this context. Vendors without a cancel message are told nothing; late audio is dropped here."""

    context_id: str


@dataclass(frozen=True, slots=True)
class ClassifyVoice(ClientEvent):
    """Deepdub's `gender-classify`: `audio` is a WAV file of at most one second at 16 kHz."""

    request_id: str
    audio: bytes
    sample_rate: int = 16_000


# --- text to speech: the server --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContextAccepted(ServerEvent):
    """The request was taken; audio follows."""

    context_id: str


@dataclass(frozen=True, slots=True)
class Audio(ServerEvent):
    """A piece of the utterance, in the wire format that was asked for. `extra`: what else the vendor said with it.

    `generation`, here and below: the vendor's name for a part of a turn, where it names these and not the context.
    """

    context_id: str
    data: bytes
    index: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class AudioFault(ServerEvent):
    """Found on our side: of a context's numbered audio so many messages never came, or came twice and were dropped.

    `dropped`: bytes of audio that a slow consumer lost to `on_overflow="drop_oldest"`.
    """

    context_id: str
    missing: int = 0
    duplicates: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class BareAudio(Audio):
    """Audio in a form that has no message for its end: a clean close of the socket ends it."""


@dataclass(frozen=True, slots=True)
class GenerationFinished(ServerEvent):
    """A part of a turn is complete; the vendor may begin another part. `data` may hold its last piece."""

    context_id: str
    data: bytes = b""
    index: int | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class FlushCompleted(ServerEvent):
    """All that was flushed is spoken: the end of a turn. `data` may hold its last piece, which must be played."""

    context_id: str
    data: bytes = b""
    index: int | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class ContextFinished(ServerEvent):
    """The utterance is complete. `data` may hold its last piece, which must be played."""

    context_id: str
    data: bytes = b""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class ContextCancelled(ServerEvent):
    """The vendor has stopped, as it was asked to."""

    context_id: str
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class VoiceClassified(ServerEvent):
    """The answer to `ClassifyVoice`, as the vendor gave it."""

    details: Mapping[str, Any]


# --- speech to text: the client --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartStream(ClientEvent):
    """Begin a recognition session with the vendor's own options."""

    options: Any


@dataclass(frozen=True, slots=True)
class SendAudio(ClientEvent):
    """A piece of what is to be recognised, already in the session's wire format.

    `envelope`: the fields that go beside it in a JSON message; None sends it as a binary frame.
    """

    data: bytes
    envelope: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ConfigureStream(ClientEvent):
    """Change a running session: only the keys in `changes`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StopStream(ClientEvent):
    """No more audio: answer what is pending, then end.

    `backlog`: seconds by which the audio was sent faster than it lasts; the vendor may take as long to hear it.
    """

    backlog: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe(ClientEvent):
    """A latency probe."""


# --- speech to text: the server --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamStarted(ServerEvent):
    """The session runs."""

    session_id: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted(ServerEvent):
    """Speech was heard, `at` seconds into the audio."""

    at: float | None = None


@dataclass(frozen=True, slots=True)
class SpeechEnded(ServerEvent):
    """Speech ended, `at` seconds into the audio."""

    at: float | None = None


@dataclass(frozen=True, slots=True)
class Processing(ServerEvent):
    """What was heard is being recognised: its transcript follows."""


@dataclass(frozen=True, slots=True)
class Transcript(ServerEvent):
    """What was recognised. An empty final text says that speech ended with nothing recognised.

    `is_final`: this text will not change. `speech_final`: the utterance is done (a vendor may send two finals for
    one utterance, a first and a refined one). `confidence` is 0 to 1, `duration` in seconds of audio, `latency` in
    seconds from the end of the speech to this text, as the vendor measured it.
    """

    text: str
    is_final: bool
    speech_final: bool
    language: str | None = None
    confidence: float | None = None
    sentence_id: int | None = None
    duration: float | None = None
    speaker: str | int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class LanguageChanged(ServerEvent):
    """The answer to a change of languages; `codes` None means automatic."""

    language: str | None
    codes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ModeChanged(ServerEvent):
    """The answer to a change of mode. `silence_threshold` in seconds."""

    continuous_mode: bool
    mode_name: str | None = None
    silence_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class StreamStopped(ServerEvent):
    """The session is over. `audio_seconds` and `cost` are what the vendor billed, where it said so."""

    audio_seconds: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeAnswered(ServerEvent):
    """The answer to `Probe`, as the vendor gave it."""

    details: Mapping[str, Any]


# --- both ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TransportOpened(ServerEvent):
    """A framing below the vendor's messages is open (Engine.IO). It pings every `ping_interval` seconds, or is dead
    `ping_timeout` seconds later."""

    session_id: str
    ping_interval: float
    ping_timeout: float


@dataclass(frozen=True, slots=True)
class TransportClosed(ServerEvent):
    """The peer ended that framing."""


@dataclass(frozen=True, slots=True)
class Heartbeat(ServerEvent):
    """A ping of that framing."""

    payload: str = ""


@dataclass(frozen=True, slots=True)
class HeartbeatAnswered(ClientEvent):
    """The answer to `Heartbeat`."""

    payload: str = ""


@dataclass(frozen=True, slots=True)
class Authenticate(ClientEvent):
    """The key, where it travels in a message."""

    key: Secret


@dataclass(frozen=True, slots=True)
class Goodbye(ClientEvent):
    """Said before the socket is closed."""


@dataclass(frozen=True, slots=True)
class Ping(ClientEvent):
    """A ping of the vendor's own."""


@dataclass(frozen=True, slots=True)
class Pong(ServerEvent):
    """The answer to `Ping`."""


@dataclass(frozen=True, slots=True)
class Connecting(ServerEvent):
    """The vendor is still checking the key."""

    message: str = ""
    timestamp: float | None = None


@dataclass(frozen=True, slots=True)
class Authenticated(ServerEvent):
    """The key was accepted. `details` is whatever the vendor says of the account."""

    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerReady(ServerEvent):
    """The vendor's engine is ready. `assumed` when a grace timer stood in for the message."""

    details: Mapping[str, Any] = field(default_factory=dict)
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Failed(ServerEvent):
    """The vendor refused or failed. `context_id` None: the session, or a request that the vendor did not name.

    `cause` is set when the fault was found on our side, such as audio that is not base64.
    """

    context_id: str | None
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    cause: VoicecoreError | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown(ServerEvent, ClientEvent):
    """A message type that this version does not know. Kept and counted, so that it kills no call."""

    name: str
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Malformed(ClientEvent):
    """A request that the SERVER role could not take: to be answered with `Failed`, nothing more."""

    context_id: str | None
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
