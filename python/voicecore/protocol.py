"""Sans-IO vendor protocol: one conversation, seen from either end.

`Dialect` is what a vendor's file fills in: data and two `match` statements. `Protocol` runs a dialect in the
CLIENT or the SERVER role: it turns wire messages into events and events into wire messages and holds both
against the transition table, where a missing entry is the error. It knows no socket, no WebSocket and no clock.

The shape follows h11: states are enum members, tables are dict literals, both roles share them.
"""

from __future__ import annotations

import copy
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from voicecore.audio import AudioFormat
from voicecore.errors import (
    AuthError,
    ConfigurationError,
    MessageError,
    ProtocolError,
    VendorError,
    VoicecoreError,
)
from voicecore.events import (
    CURRENT,
    Audio,
    CancelContext,
    ClientEvent,
    CloseContext,
    ContextAccepted,
    ContextCancelled,
    ContextFinished,
    Event,
    Failed,
    FlushCompleted,
    FlushContext,
    LeaveContext,
    Malformed,
    OpenContext,
    Processing,
    SendAudio,
    SendText,
    ServerEvent,
    SpeechStarted,
    StartStream,
    StreamStarted,
    Synthesize,
    Transcript,
    Unknown,
)
from voicecore.generations import Generations
from voicecore.secret import Secret


class Role(Enum):
    """Which end of the conversation this is."""

    CLIENT = "client"
    SERVER = "server"


class SessionState(Enum):
    """Where the conversation as a whole stands."""

    OPENING = auto()  # the socket is open, the key is not confirmed
    OPENING_GREETED = auto()  # ... and the engine already said that it is ready
    JOINED = auto()  # the key is confirmed, the engine is not ready
    READY = auto()  # work can begin
    READY_GREETED = auto()
    STARTING = auto()  # a session was asked for
    STARTING_GREETED = auto()
    STREAMING = auto()
    STREAMING_PENDING = auto()  # ... and a transcript was announced
    STOPPING = auto()
    STOPPING_PENDING = auto()  # ... and a transcript was announced
    STOPPED = auto()
    FAILED = auto()


class ContextState(Enum):
    """Where one utterance stands."""

    NEW = auto()
    EMPTY = auto()  # open, without any text so far: there is nothing that the vendor could be speaking
    OPEN = auto()  # takes text; nothing was flushed that is not spoken
    GENERATED = auto()  # ... and every part that was begun is complete
    REQUESTED = auto()  # audio is due
    ACCEPTED = auto()
    SPEAKING = auto()
    SPEAKING_BARE = auto()  # ... and only the end of the socket will say that it is complete
    DRAINING = auto()  # flushed, and every part that was begun is complete
    LINGERING = auto()  # open at the vendor, but of no use any more
    CLOSING = auto()
    CANCELLED = auto()  # ours to ignore; the vendor may still be sending
    FINISHED = auto()
    FAILED = auto()


DeadlineName = Literal["connect", "first_audio", "between_chunks", "total", "send", "close", "keepalive"]
TimerName = DeadlineName | Literal["grace", "reorder"]
SessionTable = Mapping[SessionState, Mapping[type[Event], SessionState]]
ContextTable = Mapping[ContextState, Mapping[type[Event], ContextState]]

# One whole text in, audio out. A dialect with another life cycle brings its own table.
_SPEAKING: Mapping[type[Event], ContextState] = {
    Audio: ContextState.SPEAKING,
    ContextFinished: ContextState.FINISHED,
    Failed: ContextState.FAILED,
    CancelContext: ContextState.CANCELLED,
}
WHOLE_TEXT_CONTEXT: ContextTable = {
    ContextState.NEW: {Synthesize: ContextState.REQUESTED, Failed: ContextState.FAILED},
    ContextState.REQUESTED: {ContextAccepted: ContextState.ACCEPTED, **_SPEAKING},
    ContextState.ACCEPTED: _SPEAKING,
    ContextState.SPEAKING: _SPEAKING,
    ContextState.CANCELLED: {
        ContextAccepted: ContextState.CANCELLED,
        Audio: ContextState.CANCELLED,
        ContextFinished: ContextState.FINISHED,
        Failed: ContextState.FAILED,
    },
}
# Text comes bit by bit; a flush ends a turn, and the context lives on. `FlushCompleted` leads out of a turn only when
# no other flush is outstanding: `Protocol` counts them.
_OPEN: Mapping[type[Event], ContextState] = {
    ContextFinished: ContextState.FINISHED,
    Failed: ContextState.FAILED,
    CancelContext: ContextState.CANCELLED,
    CloseContext: ContextState.CLOSING,
    FlushContext: ContextState.REQUESTED,
}
STREAMED_TEXT_CONTEXT: ContextTable = {
    ContextState.NEW: {OpenContext: ContextState.OPEN, Failed: ContextState.FAILED},
    ContextState.OPEN: {
        **_OPEN,
        ContextAccepted: ContextState.OPEN,
        SendText: ContextState.OPEN,
        Audio: ContextState.OPEN,
        LeaveContext: ContextState.LINGERING,
    },
    ContextState.REQUESTED: {
        **_OPEN,
        ContextAccepted: ContextState.REQUESTED,
        SendText: ContextState.REQUESTED,
        Audio: ContextState.SPEAKING,
        FlushCompleted: ContextState.OPEN,
    },
    ContextState.SPEAKING: {
        **_OPEN,
        SendText: ContextState.SPEAKING,
        Audio: ContextState.SPEAKING,
        FlushContext: ContextState.SPEAKING,
        FlushCompleted: ContextState.OPEN,
    },
    ContextState.CLOSING: {
        ContextAccepted: ContextState.CLOSING,
        Audio: ContextState.CLOSING,
        FlushCompleted: ContextState.CLOSING,
        CancelContext: ContextState.CANCELLED,
        ContextFinished: ContextState.FINISHED,
        Failed: ContextState.FAILED,
    },
    ContextState.CANCELLED: {
        ContextAccepted: ContextState.CANCELLED,
        Audio: ContextState.CANCELLED,
        FlushCompleted: ContextState.LINGERING,
        ContextFinished: ContextState.FINISHED,
        Failed: ContextState.FAILED,
    },
    ContextState.LINGERING: {
        ContextAccepted: ContextState.LINGERING,
        Audio: ContextState.LINGERING,
        CloseContext: ContextState.CANCELLED,
        ContextFinished: ContextState.FINISHED,
        Failed: ContextState.FAILED,
    },
}
# No vendor documents how a refused key looks inside a session: any of these words says it.
_KEY_REFUSED: dict[str, type[VendorError]] = dict.fromkeys(("api key", "apikey", "unauthor", "authent"), AuthError)
ENDED = frozenset({ContextState.FINISHED, ContextState.FAILED})
OVER = frozenset({SessionState.STOPPED, SessionState.FAILED})
UNCONFIRMED = frozenset({SessionState.OPENING, SessionState.OPENING_GREETED})  # nobody knows the key yet
NOT_READY = UNCONFIRMED | {SessionState.JOINED}
# The user has left these, whatever the vendor still sends.
LEFT = frozenset({ContextState.CANCELLED, ContextState.LINGERING}) | ENDED

# While a context or session is in this state, that deadline runs.
CONTEXT_DEADLINES: Mapping[ContextState, DeadlineName] = {
    ContextState.REQUESTED: "first_audio",
    ContextState.ACCEPTED: "first_audio",
    ContextState.SPEAKING: "between_chunks",
    ContextState.SPEAKING_BARE: "between_chunks",
    ContextState.DRAINING: "between_chunks",
    ContextState.CLOSING: "between_chunks",
}
# The vendor still has something to say of these.
AT_WORK = frozenset({*CONTEXT_DEADLINES, ContextState.CANCELLED})
SESSION_DEADLINES: Mapping[SessionState, DeadlineName] = {
    SessionState.OPENING: "connect",
    SessionState.OPENING_GREETED: "connect",
    SessionState.JOINED: "connect",
    SessionState.STARTING: "connect",
    SessionState.STARTING_GREETED: "connect",
    SessionState.STOPPING: "between_chunks",
    SessionState.STOPPING_PENDING: "between_chunks",
}


class Grace(NamedTuple):
    """After `seconds` in a state, `event` is taken as received."""

    seconds: float
    event: ServerEvent


class ContextGrace(NamedTuple):
    """The same for one context."""

    seconds: float
    event: Callable[[str], ServerEvent]


class Rate(NamedTuple):
    """At most `messages` of a kind in any `seconds`, on one socket."""

    messages: int
    seconds: float


class Listening(NamedTuple):
    """How the emulator is to listen. `utterance_end`, `interim_interval`: seconds. `refined`: two finals."""

    language: str = "en"
    utterance_end: float = 0.5
    interim_interval: float | None = None
    continuous: bool = True
    refined: bool = False


class Coding(NamedTuple):
    """How a coded wire format (MP3, Opus) is made. `pieces`: the audio of an utterance is one stream that is cut
    anywhere, or every message is a whole file, or one message is all of it."""

    bit_rate: int = 64_000  # bit/s
    pieces: Literal["stream", "files", "whole"] = "stream"


class Fault(Enum):
    """What the emulator can find wrong, whatever the vendor calls it."""

    AUTH = auto()
    INVALID = auto()
    QUOTA = auto()
    RATE_LIMIT = auto()
    TOO_LONG = auto()
    DUPLICATE = auto()
    FAILED = auto()


class Dialect(ABC):
    """One vendor's protocol on one kind of socket. Subclasses hold no state of a conversation."""

    name: ClassVar[str]
    vendor: ClassVar[str]
    kind: ClassVar[Literal["tts", "stt"]]
    default_url: ClassVar[str]
    key_variable: ClassVar[str]
    url_variable: ClassVar[str]
    initial: ClassVar[SessionState]
    sessions: ClassVar[SessionTable] = {}
    contexts: ClassVar[ContextTable] = WHOLE_TEXT_CONTEXT
    graces: ClassVar[Mapping[SessionState, Grace]] = {}
    context_graces: ClassVar[Mapping[ContextState, ContextGrace]] = {}
    ended_by_close: ClassVar[frozenset[SessionState | ContextState]] = frozenset()  # a clean close is their normal end
    errors: ClassVar[Mapping[str, type[VendorError]]] = {}
    options: ClassVar[type[Any]]
    max_text: ClassVar[int] = 0  # characters of one request, for text-to-speech
    frame_seconds: ClassVar[float] = 0.02  # of one audio message, for speech-to-text
    whole_frames: ClassVar[bool] = False  # the last audio message is filled up with silence
    options_in_upgrade: ClassVar[bool] = False  # they cannot be chosen on a socket that is open already
    streams_text: ClassVar[bool] = False  # contexts take text bit by bit, not one whole text
    max_contexts: ClassVar[int | None] = None  # at once on one socket
    max_requests: ClassVar[int | None] = None  # on one socket before another one is opened
    drops_on_cancel: ClassVar[bool] = False  # to cancel is to end the socket, where it serves nobody else
    silent_cancel: ClassVar[bool] = False  # the vendor confirms no cancel
    unique_ids: ClassVar[bool] = False  # the id of a context is never used again on one socket
    rates: ClassVar[Mapping[type[ClientEvent], Rate]] = {}
    error_texts: ClassVar[dict[str, type[VendorError]]] = {}  # by words in it, where no code came
    offers: ClassVar[Mapping[str, Any]] = {}  # text-to-speech: each format in the vendor's words, the options for it

    @classmethod
    def path(cls) -> str:
        """The path of the vendor's own URL."""
        return urlsplit(cls.default_url).path

    @abstractmethod
    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        """CLIENT: the URL and the headers of the upgrade request, with the key in its place."""

    @abstractmethod
    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        """SERVER: the key in an upgrade request. Header names come in lower case."""

    @abstractmethod
    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event | None:
        """Wire message -> event; None for one that means nothing. `text`: it came in a text frame. `role` is the
        receiver's."""

    @abstractmethod
    def encode(self, event: Event) -> str | bytes | None:
        """Event -> wire message: `str` for a text frame, `bytes` for a binary one, None where there is none."""

    @abstractmethod
    def options_for(self, options: Any, audio: AudioFormat | None) -> Any:
        """The options with a wire format filled in that serves the caller's `audio` best."""

    def upgrade_options(self, options: Any) -> dict[str, str]:
        """CLIENT: the headers of the upgrade request that the options become, with `options_in_upgrade`."""
        return {}

    def reply(self, event: ServerEvent, key: Secret) -> ClientEvent | None:
        """CLIENT: what is said to an event at once and without asking the user, such as the answer to a heartbeat."""
        return None

    def frame_bytes(self, wire: AudioFormat) -> int:
        """CLIENT, speech-to-text: the length of one audio message."""
        return round(self.frame_seconds * wire.sample_rate) * wire.frame_bytes

    def audio(self, data: bytes, options: Any) -> SendAudio:
        """CLIENT, speech-to-text: one frame of audio as these options want it sent."""
        return SendAudio(data)

    def trailing_silence(self, options: Any) -> float:
        """CLIENT, speech-to-text: seconds of silence to send before the stop, so that the last words are heard."""
        return 0.0

    # What only the SERVER role needs.

    refuses_by_http: ClassVar[bool] = False  # a bad key is refused at the upgrade, not after it
    server_ping: ClassVar[tuple[float, float] | None] = None  # the vendor pings: every so many seconds, patience
    pings_in_band: ClassVar[bool] = False  # by `Heartbeat`, not by the WebSocket's ping

    older_paths: ClassVar[tuple[str, ...]] = ()  # served too
    nothing_heard: ClassVar[Mapping[str, Any]] = {}  # what a final without text says of it
    audio_in_last: bool = False  # the message of an utterance's end may hold its last audio
    closes_after_context: bool = False  # the vendor ends the socket when an utterance is complete
    credit_first: ClassVar[bool] = False  # an empty account is turned away after the greeting, not at a request
    key_in_band: ClassVar[bool] = False  # it comes as `Authenticate`, after the upgrade
    fault_codes: ClassVar[Mapping[Fault, str]] = {}
    after_cancel: Literal["silence", "end", "audio"] = "silence"  # what is still said of a cancelled context

    def http_fault(self, query: Mapping[str, str], *, upgrade: bool) -> str | None:
        """SERVER: why a request, with or without an upgrade, is answered with HTTP 400; None when it is not."""
        return None

    def refusal(self) -> Sequence[ServerEvent]:
        """SERVER: what is said to a refused key after the upgrade, before the socket is closed."""
        return (Failed(None, self.fault_codes.get(Fault.AUTH, ""), "Invalid API key"),)

    def is_mute(self, voice: str | None) -> bool:
        """SERVER, text-to-speech: a request for this voice is never answered."""
        return False

    def greeting(self) -> Sequence[ServerEvent]:
        """SERVER: what is said before the client speaks."""
        return ()

    def complaint(self, fault: VoicecoreError) -> str:
        """SERVER: what is said to a message that cannot be read, or that the state does not allow."""
        return str(fault)

    def welcome(self) -> Sequence[ServerEvent]:
        """SERVER: what is said to a key that came in band and is accepted."""
        return ()

    def start_of(self, headers: Mapping[str, str]) -> StartStream | Malformed | None:
        """SERVER, speech-to-text: the start that is in the upgrade request, with `options_in_upgrade`."""
        return None

    def listening(self, options: Any) -> Listening:
        """SERVER, speech-to-text: how these options ask to be listened to."""
        return Listening()

    def started(self, options: Any) -> Sequence[ServerEvent]:
        """SERVER, speech-to-text: what is said to a start."""
        return (StreamStarted(),)

    def manner(self, options: Any) -> tuple[str, float]:
        """SERVER, text-to-speech: the language (BCP 47) and the speed (1.0 is normal) that are asked for."""
        return "en-US", 1.0

    speaks_early: bool = False  # sentence by sentence, before the text is flushed

    def segments(self, text: str, options: Any) -> Sequence[tuple[str, Any]]:
        """SERVER, text-to-speech: the parts of a text that are spoken under the same options; the last ones stay."""
        return ((text, options),)

    def language_of(self, text: str) -> str | None:
        """SERVER, text-to-speech: the language of a text, where no option says it; None for that of `manner`."""
        return None

    def remarks(self, text: str, options: Any) -> Mapping[str, Any]:
        """SERVER, text-to-speech: what is said beside the first audio."""
        return {}

    def hangs_up(self, open_contexts: int) -> bool:
        """SERVER, text-to-speech: whether closing a context ends the socket; `open_contexts` are left."""
        return False

    def package(self, samples: bytes, wire: AudioFormat, index: int) -> bytes:
        """SERVER, text-to-speech: one chunk of samples as the vendor wraps it."""
        return samples

    def cut(self, package: bytes, index: int) -> Sequence[bytes]:
        """SERVER, text-to-speech: the messages that a package which is not the last is sent in."""
        return (package,)

    @abstractmethod
    def wire_format(self, options: Any) -> AudioFormat:
        """The format of the audio on the wire under these options."""

    def coding(self, options: Any) -> Coding:
        """How that format is coded, if it is."""
        return Coding()

    def byte_rate(self, options: Any) -> int:
        """Bytes of a second of audio on the wire, without containers; what was asked for, if it is coded."""
        wire = self.wire_format(options)
        return self.coding(options).bit_rate // 8 if wire.is_coded else wire.byte_rate

    def error_of(self, failed: Failed) -> VoicecoreError:
        """The error that a `Failed` means, by the vendor's table."""
        if failed.cause is not None:
            return copy.copy(failed.cause)  # each reader raises its own: an exception collects tracebacks
        by_text = (kind for words, kind in (self.error_texts | _KEY_REFUSED).items() if words in failed.message.lower())
        kind = self.errors.get(failed.code) or next(by_text, VendorError)
        code = f" ({failed.code})" if failed.code else ""
        return kind(f"{self.vendor}: {failed.message}{code}", self.vendor, failed.code)


class Protocol:
    """A dialect at work in one role.

    `receive` and `send` raise `ProtocolError` for a message that the state does not allow, naming state, role and
    message; a message that could not be sent leaves the state as it was. Messages of contexts that are not open any
    more (late audio after a cancel), or of a session that is over (audio that crossed its end on the wire), become
    None and are counted in `late_messages`; so do those that name no context and that the one at work cannot be
    waiting for. Message types that nobody knows pass as `Unknown`, counted in `unknown_messages`. `flushes` counts, by
    context, what was flushed and is not completed. `hearing` and `processing` count what was announced and has no
    transcript yet: a speech, and how many that are being recognised.
    """

    def __init__(self, dialect: Dialect, role: Role) -> None:
        self.dialect = dialect
        self.role = role
        self.session_state = dialect.initial
        self.contexts: dict[str, ContextState] = {}
        self.flushes: Counter[str] = Counter()
        self.hearing = False
        self.processing = 0
        client = role is Role.CLIENT
        playing = {state for state, row in dialect.contexts.items() if client and row.get(Audio) is state} - LEFT
        self._playing = tuple(playing)  # a few: to look through them is cheaper than to hash an enum's member
        self._generations = Generations()
        self.late_messages = 0
        self.unknown_messages = 0
        self._used: set[str] = set()  # every id that the peer has begun a context with, where each may be used once

    def receive(self, payload: bytes, *, text: bool) -> Event | None:
        """Takes one wire message from the peer; None when it is late, and to be dropped, or means nothing."""
        return self.decoded(self.dialect.decode(payload, text=text, role=self.role))

    def decoded(self, event: Event | None) -> Event | None:
        """Takes what a wire message says: the rest of `receive`."""
        if event is None:
            return None
        if type(event) is Audio and self.contexts.get(event.context_id) in self._playing:
            return event  # nearly all messages are such
        if getattr(event, "context_id", None) == CURRENT:
            event = replace(event, context_id=self._current())  # type: ignore[call-arg] # it has one
            if self.role is Role.CLIENT and not self._is_awaited(event):
                self.late_messages += 1
                return None
        return self.received(event)

    def received(self, event: Event) -> Event | None:
        """Steps the tables for an event that the peer sent."""
        expected = ServerEvent if self.role is Role.CLIENT else ClientEvent
        if not isinstance(event, expected):
            raise self._ill_timed(event, self.session_state)
        if isinstance(event, Unknown):
            self.unknown_messages += 1
            return event
        if isinstance(event, Malformed):
            return event
        if self.dialect.unique_ids and isinstance(event, (Synthesize, OpenContext)):
            if event.context_id in self._used:
                return self._duplicate(event.context_id)
            self._used.add(event.context_id)
        if self._is_late(event):
            self.late_messages += 1
            return None
        state = self._context_of(event)
        self._step(event, self._following(event))
        self.late_messages += state is ContextState.CANCELLED or (state in LEFT and isinstance(event, Audio))
        return None if state in LEFT else event

    def send(self, event: Event) -> str | bytes | None:
        """Steps the tables for an event of ours and gives its wire message."""
        expected = ClientEvent if self.role is Role.CLIENT else ServerEvent
        if not isinstance(event, expected):
            raise self._ill_timed(event, self.session_state)
        following = self._following(event)
        message = self.dialect.encode(event)
        self._step(event, following)
        return message

    def drop(self, context_id: str) -> None:
        """Nothing is known of this context any more."""
        self.contexts.pop(context_id, None)
        self.flushes.pop(context_id, None)

    def _current(self) -> str:
        """Which context a message is about that names none: the one that is at work, else the first there is.

        One that was cancelled is at work too until the vendor says that it is over. Of several nobody could tell, and
        a guess would play one user's speech to another.
        """
        at_work = [name for name, state in self.contexts.items() if state in AT_WORK]
        if len(at_work) > 1:
            raise ProtocolError(
                f"{self.dialect.name}: expected a message that names its context while {len(at_work)} are at work, "
                "got one that names none"
            )
        return next(iter(at_work or self.contexts), CURRENT)

    def allows(self, event: type[Event], context_id: str | None = None) -> bool:
        """True if the table has such an event in the state of the session or of a context."""
        if context_id is None:
            return event in self.dialect.sessions.get(self.session_state, {})
        return event in self.dialect.contexts.get(self.contexts.get(context_id, ContextState.NEW), {})

    def _is_awaited(self, event: Event) -> bool:
        """CLIENT: False for a message that names no context and must be about an earlier one, or an earlier turn."""
        name: str | None = getattr(event, "generation", None)
        if not self.allows(type(event), getattr(event, "context_id", None)):
            return False
        if name is None or isinstance(event, ContextCancelled):
            return True
        if self._generations.is_over(name, getattr(event, "index", None)):
            return False
        self._generations.hear(name, finished=not isinstance(event, Audio))
        return True

    def _is_late(self, event: Event) -> bool:
        state = self._context_of(event)
        if state is None:
            return self.session_state in OVER
        known = type(event) in self.dialect.contexts.get(ContextState.NEW, {})
        return state is ContextState.NEW and not known and self.role is Role.CLIENT

    def _context_of(self, event: Event) -> ContextState | None:
        """The state of the context that an event names; None for an event of the session."""
        context_id: str | None = getattr(event, "context_id", None)
        return None if context_id is None else self.contexts.get(context_id, ContextState.NEW)

    def _following(self, event: Event) -> SessionState | ContextState:
        state = self._context_of(event)
        following: SessionState | ContextState | None
        if state is None:
            following = self.dialect.sessions.get(self.session_state, {}).get(type(event))
        else:
            following = self.dialect.contexts.get(state, {}).get(type(event))
        if following is None:
            raise self._ill_timed(event, state or self.session_state)
        if isinstance(event, FlushCompleted) and self.flushes[event.context_id] > 1:
            return ContextState.REQUESTED if following is ContextState.OPEN else state or following
        if isinstance(event, Transcript) and not (event.speech_final and self.hearing + self.processing <= 1):
            return self.session_state  # more of them follow
        return following

    def _step(self, event: Event, following: SessionState | ContextState) -> None:
        if isinstance(following, SessionState):
            self.session_state = following
            self._count_announced(event)
            return
        context_id: str = getattr(event, "context_id")  # noqa: B009 - an event that steps a context names it
        if following in ENDED:
            self._generations.end_context(cancelled=self.contexts.get(context_id) is ContextState.CANCELLED)
            self.drop(context_id)
            return
        if isinstance(event, FlushCompleted):
            self._generations.end_turn()
        self.contexts[context_id] = following
        self.flushes[context_id] += isinstance(event, FlushContext) - isinstance(event, FlushCompleted)

    def _count_announced(self, event: Event) -> None:
        match event:
            case SpeechStarted():
                self.hearing = True
            case Processing():
                self.hearing, self.processing = False, self.processing + 1
            case Transcript(speech_final=True) if self.processing:
                self.processing -= 1
            case Transcript(speech_final=True):
                self.hearing = False

    def _duplicate(self, context_id: str) -> Malformed:
        """Refused for the session, so that the context that has the id already goes on."""
        code, details = self.dialect.fault_codes.get(Fault.DUPLICATE, ""), {"context_id": context_id}
        return Malformed(None, code, f"the id {context_id!r} was used before", details)

    def _ill_timed(self, event: Event, state: Enum) -> ProtocolError:
        return ProtocolError(
            f"{self.dialect.name}: {type(event).__name__} is not allowed for the {self.role.value} "
            f"in state {state.name}",
            getattr(event, "context_id", None),
        )


def parse_json(payload: bytes) -> dict[str, Any]:
    """One JSON object of a wire message. Raises `MessageError` with the offset in bytes for anything else."""
    message = parse_value(payload)
    if not isinstance(message, dict):
        raise MessageError(f"expected a JSON object, got {type(message).__name__}")
    return message


def parse_value(payload: bytes) -> Any:
    """One JSON value. Raises `MessageError` with the offset in bytes for anything else."""
    text = ""
    try:
        text = payload.decode()
        return json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MessageError(f"invalid UTF-8 at offset {error.start}", error.start) from None
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise MessageError(f"invalid JSON at offset {offset}: {error.msg}", offset) from None
    except _ConstantError:
        offset = len(text[: next(found.start() for found in _STRING_OR_CONSTANT.finditer(text) if found[1])].encode())
        raise MessageError(f"invalid JSON at offset {offset}: NaN and Infinity are not JSON", offset) from None
    except RecursionError:
        raise MessageError("invalid JSON: nested too deeply") from None
    except ValueError:  # Python refuses to read a number of more than 4300 digits
        raise MessageError("invalid JSON: a number with too many digits") from None


def dump_json(message: Mapping[str, Any]) -> str:
    """A wire message as compact JSON. Raises `ConfigurationError` for what JSON or UTF-8 cannot say."""
    try:
        text = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        if not text.isascii():
            text.encode()  # half of a surrogate pair has no UTF-8
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"message: expected what JSON can say: {type(error).__name__}") from None
    return text


def with_query(url: str, **parameters: str) -> str:
    """`url` with parameters appended to whatever query it has."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True) + list(parameters.items())
    return urlunsplit(parts._replace(query=urlencode(query)))


class _ConstantError(Exception):
    """NaN or Infinity, which Python's reader would let pass."""


_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


def _refuse_constant(name: str) -> Any:
    raise _ConstantError(name)
