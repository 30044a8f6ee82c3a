"""One conversation: our client against the same dialect in the SERVER role, with no socket, no clock and no vendor.

What either side can say is found by asking the dialect's tables and its `encode`, never by its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from wsproto.events import AcceptConnection, Ping
from wsproto.events import Event as Frame

from voicecore.audio import AudioFormat
from voicecore.connection import SESSION, Connection, Phase
from voicecore.errors import ProtocolError
from voicecore.events import (
    CURRENT,
    Audio,
    Authenticate,
    CancelContext,
    ClientEvent,
    CloseContext,
    ContextAccepted,
    ContextFinished,
    Event,
    Failed,
    FlushCompleted,
    FlushContext,
    GenerationFinished,
    Goodbye,
    HeartbeatAnswered,
    LeaveContext,
    Malformed,
    OpenContext,
    SendAudio,
    SendText,
    ServerEvent,
    StartStream,
    StopStream,
    StreamStopped,
    Synthesize,
    Transcript,
    Unknown,
)
from voicecore.inbox import WITH_AUDIO
from voicecore.protocol import LEFT, OVER, ContextState, Dialect, Protocol, Role, SessionState
from voicecore.secret import Secret
from voicecore.testing.wire import Wire, frames_of

KEY = "key-that-must-not-show"
TEXT = "Hello there. "
FORMAT = AudioFormat("pcm_s16le", 16_000)
A, B = "a", "b"  # the contexts of a conversation
BY_ITSELF = (Authenticate, HeartbeatAnswered, CloseContext, Goodbye)  # the connection says these, not who uses it
# What fills a field that an event must have, by its type where its name says no more.
_BY_TYPE: dict[Any, Any] = {str: TEXT, bool: True, float: 25.0, bytes: b"RIFF", Mapping[str, Any]: {}}


class Step(NamedTuple):
    """One event that one side says, about a context or (None) the session; `kind` None: a grace timer runs out."""

    kind: type[Event] | None
    context_id: str | None = None


class Talk:
    """Both ends of one conversation. `said` and `heard`: what the server said and heard, events beside messages."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        chunk: int | None = None,
        cut: int = 0,
        pieces: int = 1,
        together: bool = False,
        wanted: AudioFormat = FORMAT,
        options: Any = None,
    ) -> None:
        """`pieces`: each message of the server travels in as many fragments, with a ping after each. `together`: what
        the server can say at once comes in one delivery, the greeting with the answer to the upgrade. `wanted`: the
        caller's format. `options`: the caller's, None for those of nobody who has a wish."""
        self.dialect = dialect
        self.server = Protocol(dialect, Role.SERVER)
        self.options = dialect.options_for(options or dialect.options(), wanted)
        self.said: list[tuple[ServerEvent, str | bytes]] = []
        self.heard: list[tuple[ClientEvent, str | bytes | None]] = []
        self.pings = 0
        self._expected: dict[str, list[ServerEvent]] = defaultdict(list)
        self._pieces = pieces
        self._indices: dict[str, int] = defaultdict(int)
        self._ended = 0  # parts of turns that the server has completed
        self._asked: set[str] = set()
        self._names: dict[str, str] = {}  # a context of the client -> what the server calls it
        self._together = together
        self.wire = Wire(self._connection(), chunk=chunk, cut=cut, accept=not together)
        self._expect_key()
        self._take_start()
        self.listen()

    # --- the two ends ------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        return self.wire.connection

    @property
    def client(self) -> Protocol:
        return self.connection.protocol

    def state(self, context_id: str = A) -> ContextState | None:
        """Where the client sees a context; None once it has ended."""
        return self.client.contexts.get(context_id, None if context_id in self._asked else ContextState.NEW)

    def server_state(self, context_id: str = A) -> ContextState | None:
        """Where the server sees it; None if it does not know it."""
        return self.server.contexts.get(self._names.get(context_id, context_id))

    def followed(self, context_id: str) -> bool:
        """True while somebody waits for what the vendor says of a context (or of the session)."""
        if context_id == SESSION:
            return self.client.session_state not in OVER
        return self.state(context_id) not in LEFT | {None, ContextState.NEW}

    def expected(self, context_id: str) -> list[ServerEvent]:
        """What the client can read of a context, by what the server said of it."""
        return self._expected[context_id]

    def _connection(self) -> Connection:
        dialect = self.dialect
        url = urlunsplit(urlsplit(dialect.default_url)._replace(scheme="ws", netloc="vendor.test"))
        target, headers = dialect.upgrade(url, Secret(KEY))
        if dialect.options_in_upgrade:
            headers |= dialect.upgrade_options(self.options)
        return Connection(Protocol(dialect, Role.CLIENT), target, headers, key=Secret(KEY))

    def _expect_key(self) -> None:
        request = self.wire.request
        assert request is not None
        self._headers = {name.decode().lower(): value.decode() for name, value in request.extra_headers}
        query = dict(parse_qsl(urlsplit(request.target).query))
        assert self.dialect.key_in_band or self.dialect.key_of(query, self._headers) == KEY, "no key in the upgrade"

    def _take_start(self) -> None:
        """The server reads the start that is in the upgrade request."""
        if not self.dialect.options_in_upgrade or not self.server.allows(StartStream):
            return
        start = self.dialect.start_of(self._headers)
        assert isinstance(start, StartStream), f"the upgrade request holds no start: {start}"
        self.server.received(start)
        self.heard.append((start, None))

    # --- the server --------------------------------------------------------------------------------------

    def say(self, *events: ServerEvent) -> bool:
        """The server says events, in one delivery. False if the dialect has no message for one of them, or not now."""
        frames: list[Frame] = [AcceptConnection()] if self.connection.phase is Phase.UPGRADING else []
        for event in events:
            try:
                message = self.server.send(self._named(event))
            except ProtocolError:
                return False
            if message is None:
                return False
            self._expect(event, message)
            self.said.append((event, message))
            frames += self._framed(message)
            self._ended += isinstance(event, (GenerationFinished, FlushCompleted))
        self.wire.frames(*frames)
        self.listen()
        return True

    def _named(self, event: ServerEvent) -> ServerEvent:
        """The event with the server's name for its context: a vendor whose requests name none has names of its own."""
        context_id = getattr(event, "context_id", None)
        if context_id not in self._names:
            return event
        return replace(event, context_id=self._names[context_id])  # type: ignore[call-arg] # it has one

    def _framed(self, message: str | bytes) -> list[Frame]:
        if self._pieces == 1:
            return list(frames_of(message))
        parts = frames_of(message, self._pieces)
        self.pings += len(parts)
        return [frame for part in parts for frame in (part, Ping(payload=b"between"))]

    def _expect(self, said: ServerEvent, message: str | bytes) -> None:
        payload = message.encode() if isinstance(message, str) else message
        event = self.dialect.decode(payload, text=isinstance(message, str), role=Role.CLIENT)
        assert isinstance(event, ServerEvent), f"the client reads {type(said).__name__} as {type(event).__name__}"
        _expect_the_same(said, event)
        context_id: str | None = getattr(event, "context_id", None)
        if context_id == CURRENT:
            meant = None if isinstance(event, ContextAccepted) else getattr(said, "context_id", None)
            context_id = meant or self.client._current()  # whom an acceptance without a name reaches does not matter
            event = replace(event, context_id=context_id)  # type: ignore[call-arg] # it has one
        if context_id is None:
            following = self.dialect.sessions.get(self.client.session_state, {}).get(type(event))
            if self.client.session_state not in OVER and following is not SessionState.FAILED:
                self._expected[SESSION].append(event)
        elif self.followed(context_id) and not isinstance(event, Failed):
            self._expected[context_id].append(event)

    def listen(self) -> None:
        """The server reads what has come, and answers what it answers of itself."""
        messages, self.wire.messages = self.wire.messages, []
        for message in messages:
            payload = message.encode() if isinstance(message, str) else message
            event = self.server.receive(payload, text=isinstance(message, str))
            assert not isinstance(event, Malformed | Unknown), f"our server does not understand {message!r}: {event}"
            if isinstance(event, ClientEvent):
                self.heard.append((event, message))

    # --- the client --------------------------------------------------------------------------------------

    def send(self, event: ClientEvent) -> None:
        """The client sends an event, the way a session does it."""
        context_id: str = getattr(event, "context_id", SESSION)
        before = len(self.heard)
        self._asked.add(context_id)
        match event:
            case CancelContext():
                self.connection.cancel(context_id, self.wire.now)
            case LeaveContext():
                self.connection.leave(context_id, self.wire.now)
            case _:
                self.connection.send(event, self.wire.now, byte_rate=self.dialect.byte_rate(self.options))
        self.wire.exchange()
        self.listen()
        if len(self.heard) > before:
            self._names[context_id] = getattr(self.heard[before][0], "context_id", SESSION)
        else:
            self.heard.append((event, None))  # known to the client alone

    def wait(self) -> bool:
        """Lets the grace timer of this state run out, if there is one."""
        grace = self.dialect.graces.get(self.client.session_state)
        if grace is not None:
            self._assume(grace.event, SESSION, grace.seconds)
            return True
        for context_id, state in self.client.contexts.items():
            if of_context := self.dialect.context_graces.get(state):
                self._assume(of_context.event(context_id), context_id, of_context.seconds)
                return True
        return False

    def _assume(self, event: ServerEvent, inbox: str, seconds: float) -> None:
        """The server is one that means an event and does not say it."""
        with suppress(ProtocolError):
            self.server.send(self._named(event))
        self._expected[inbox].append(event)
        self.wire.at(self.wire.now + seconds)

    # --- steps -------------------------------------------------------------------------------------------

    def do(self, step: Step) -> bool:
        """One step; False if the dialect does not have it here."""
        if step.kind is None:
            return self.wait()
        event = self.sample(step.kind, step.context_id)
        if isinstance(event, ServerEvent):
            return self.say(event)
        if not self.client.allows(step.kind, step.context_id):
            return False
        self.send(event)  # type: ignore[arg-type] # it is one or the other
        return True

    def sample(self, kind: type[Event], context_id: str | None) -> Event:
        """An event of a kind, as a session or the emulator would make it here."""
        if kind is SendAudio:
            wire = self.dialect.wire_format(self.options)
            return self.dialect.audio(bytes(self.dialect.frame_bytes(wire)), self.options)
        given = {"context_id": context_id, "options": self.options, "key": Secret(KEY), "code": ""}
        hints = get_type_hints(kind)
        needed: dict[str, Any] = {
            name: given.get(name, _BY_TYPE.get(hints[name])) for name in _required(kind) if name != "data"
        }
        if issubclass(kind, Audio):
            needed |= self._sound(str(context_id))
        return self._of_its_part(kind(**needed))

    def _of_its_part(self, event: Event) -> Event:
        """The event with the name of the part of a turn that it is about, where the vendor names those."""
        if not (isinstance(event, WITH_AUDIO) and hasattr(event, "generation")):
            return event
        return replace(event, generation=f"{event.context_id}{self._ended}")  # type: ignore[arg-type] # it has one

    def _sound(self, context_id: str) -> dict[str, Any]:
        """The next piece of a context's audio: no two are alike."""
        index = self._indices[context_id]
        self._indices[context_id] += 1
        samples = bytes((16 * ord(context_id[0]) + 8 * index + i) % 256 for i in range(8))
        wire = self.dialect.wire_format(self.options)
        return {"data": self.dialect.package(samples, wire, index), "index": index}

    # --- whole stretches of a conversation ---------------------------------------------------------------

    def greet(self) -> None:
        """Up to a connection that accepts work."""
        self.say(*self.dialect.greeting())
        if self.dialect.options_in_upgrade:
            self.say(*self.dialect.started(self.options))
        if self.dialect.key_in_band:
            keys = [event.key for event, _ in self.heard if isinstance(event, Authenticate)]
            assert keys == [Secret(KEY)], "the key did not come in band"
            self.say(*self.dialect.welcome())
        while not self.connection.ready and self.wait():
            pass
        assert self.connection.ready, f"not ready after the greeting, but {self.client.session_state.name}"

    def start(self) -> None:
        """Speech-to-text: up to a session that takes audio."""
        self.send(StartStream(self.options))
        if not self.dialect.options_in_upgrade:
            self.say(*self.dialect.started(self.options))
        while self.client.session_state is not SessionState.STREAMING and self.wait():
            pass
        assert self.client.session_state is SessionState.STREAMING

    def stop(self) -> None:
        """Speech-to-text: from the stop to the end of the session, however this vendor ends it."""
        self.send(StopStream())
        if self.say(StreamStopped()):
            return
        if self.client.session_state in self.dialect.ended_by_close:
            self._expected[SESSION].append(StreamStopped())
            self.wire.close(1000)
            return
        while self.client.session_state not in OVER and self.wait():
            pass

    def ask(self, context_id: str) -> None:
        """Text-to-speech: asks for one utterance."""
        if not self.dialect.streams_text:
            self.send(Synthesize(context_id, TEXT, None, self.options))
            self.say(ContextAccepted(context_id))
            return
        self.send(OpenContext(context_id, None, self.options))
        self.say(ContextAccepted(context_id))
        self.send(SendText(context_id, TEXT))
        self.send(SendText(context_id, TEXT))
        self.send(FlushContext(context_id))

    def speak(self, *context_ids: str) -> None:
        """One piece of audio for each."""
        pieces = [self.sample(Audio, context_id) for context_id in context_ids]
        for said in [pieces] if self._together else [[piece] for piece in pieces]:
            assert self.say(*said), "the server cannot send audio"  # type: ignore[arg-type] # they are a server's

    def finish(self, context_id: str) -> None:
        """The end of an utterance or turn, with its last audio where that may travel with it."""
        kind = FlushCompleted if self.dialect.streams_text else ContextFinished
        last = self._sound(context_id) if self.dialect.audio_in_last else {}
        if self.say(self._of_its_part(kind(context_id, **last))):  # type: ignore[arg-type] # it is a server's
            while self.state(context_id) in self.dialect.context_graces and self.wait():
                pass
            return
        state = self.client.contexts[context_id]
        assert state in self.dialect.ended_by_close, f"nothing can end a context that is {state.name}"
        self._expected[context_id].append(ContextFinished(context_id))
        self.wire.close(1000)

    def transcribe(self, *, is_final: bool) -> bool:
        """One transcript; False if the dialect has none of the kind."""
        return self.say(Transcript("Hello", is_final, is_final))


def _required(kind: type[Event]) -> list[str]:
    """The fields of an event that have no default."""
    return [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]


def _expect_the_same(said: ServerEvent, heard: ServerEvent) -> None:
    """What a message is about, and what it brings, comes out as it went in; the rest a vendor may leave out."""
    for name, unsaid in (("context_id", (None, CURRENT)), ("data", ()), ("text", ())):
        if hasattr(said, name) and getattr(heard, name, None) not in (*unsaid, getattr(said, name)):
            raise AssertionError(f"{type(said).__name__}.{name}: {getattr(said, name)!r} is heard as {heard}")
