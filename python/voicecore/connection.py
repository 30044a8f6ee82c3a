"""Sans-IO client connection: WebSocket + vendor protocol + contexts + deadlines + keepalive.

A pure state machine in the manner of h11 and quinn-proto: the driver gives it bytes and the time, and asks it for
bytes, for its next deadline and for what happened. It owns no socket, task or clock, so every fault can be replayed
byte by byte and second by second. Times are seconds on any monotonic clock, as floats.

    connection.start(now)
    while not connection.closed:
        send(connection.data_to_send(now)); connection.data_sent(now)
        ...receive: connection.receive_data(data, now)   ...or time out: connection.handle_timeout(now)
        for context_id in connection.touched(): ...connection.take(context_id)

Everything that arrives is put into the inbox of its context; session-wide events go to the inbox SESSION. An inbox
is bounded in seconds of audio. An inbox ends in exactly one of: finished, cancelled, failed.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from enum import Enum, auto
from io import BytesIO
from typing import Literal

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response

from voicecore.deadlines import Deadlines
from voicecore.errors import (
    AuthError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineError,
    MessageError,
    ProtocolError,
    QueueOverflowError,
    RateLimitError,
    StateError,
    VoicecoreError,
)
from voicecore.events import (
    Audio,
    CancelContext,
    ClientEvent,
    CloseContext,
    Connecting,
    ContextFinished,
    Event,
    Failed,
    FlushCompleted,
    Goodbye,
    Heartbeat,
    LeaveContext,
    OpenContext,
    Ping,
    ServerEvent,
    StopStream,
    StreamStopped,
    Synthesize,
    TransportClosed,
    TransportOpened,
)
from voicecore.frames import LONGEST, REST, TEXT, FrameCutter
from voicecore.inbox import MAX_BUFFERED_EVENTS, MAX_BUFFERED_SECONDS, Inbox, Overflow, Received, seconds_of
from voicecore.limits import RateLimiter
from voicecore.protocol import (
    AT_WORK,
    CONTEXT_DEADLINES,
    LEFT,
    NOT_READY,
    OVER,
    SESSION_DEADLINES,
    ContextState,
    DeadlineName,
    Protocol,
    Role,
    SessionState,
    TimerName,
)
from voicecore.reorder import WINDOW_SECONDS as REORDER_SECONDS
from voicecore.secret import Secret, without_query
from voicecore.upgrade import checked_headers, parse_url, refusal_of

SESSION = ""
MAX_MESSAGE_BYTES = 16 * 2**20
MAX_UNREAD_EVENTS = 100  # of the session itself, for text-to-speech
MAX_CONTEXTS = 1000  # open at once on one socket
AHEAD_SECONDS = 0.5  # of audio that a listener has not heard yet: then a connection may be read at leisure
MAX_ABANDONED = 4  # cancelled contexts that the vendor goes on with, on one socket: many vendors serve five at once
LONG_MESSAGE = 8 * 2**10  # bytes: in a longer one that is audio, the key is searched in what is not sound
MAX_OUTGOING_BYTES = 64 * 2**10  # above it `can_send` is false and the driver lets the sender wait
TERMINAL_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1010})

# The WebSocket layer would print the upgrade request, and with it the key, at DEBUG: it gets a logger of no tree.
_SILENT = logging.Logger("voicecore.websocket", level=logging.CRITICAL + 1)


class Phase(Enum):
    """Where the socket stands."""

    IDLE = auto()
    UPGRADING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class Connection:
    """One client connection to one vendor. See the module's page for the way to drive it."""

    def __init__(
        self,
        protocol: Protocol,
        url: str,
        headers: dict[str, str],
        *,
        key: Secret | None = None,
        deadlines: Deadlines | None = None,
        buffered_seconds: float = MAX_BUFFERED_SECONDS,
        on_overflow: Overflow = "fail",
        read_interval: float = 0.0,
    ) -> None:
        self.protocol = protocol
        self.requests = 0
        self.deadlines = deadlines or Deadlines()
        self.shown_url = without_query(url)
        self.phase = Phase.IDLE
        self.error: Callable[[], VoicecoreError] | None = None
        self.must_abort = False
        self.ended_by_us = False
        self._key = key or Secret("")
        self._limiter = RateLimiter(protocol.dialect.rates)
        self._headers = checked_headers(headers)
        self._buffered_seconds = buffered_seconds
        self._on_overflow = on_overflow
        self._may_hold = on_overflow == "wait"
        self._read_interval = read_interval
        self._websocket = ClientProtocol(parse_url(url), max_size=MAX_MESSAGE_BYTES, logger=_SILENT)
        self._head = b""  # the last bytes of an upgrade's answer that is not complete
        self._frames = FrameCutter(min(LONGEST, MAX_MESSAGE_BYTES))
        self._fragments: list[bytes] = []
        self._fragments_are_text = False
        self._outgoing = BytesIO()  # its repr shows nothing: the upgrade request holds the key
        self._timers: dict[TimerName, float] = {}
        self._heartbeat = float("inf")  # the longest silence of a framing that pings
        self._last_received = 0.0
        self._pinged_at: float | None = None
        self._complaint: Callable[[], VoicecoreError] | None = None  # the last that the vendor said, about no context
        self._heard_at = 0.0  # when a vendor that hears at the pace of speech has heard all audio
        self._worked = False  # the vendor has said something: the key cannot have been refused
        self._followed = protocol.session_state  # the state that the session's timers were set for
        self._inboxes: dict[str, Inbox] = {}
        self._touched: set[str] = set()
        self.calm = False  # the last thing that happened was more audio: only those who read it need to know

    # --- what the driver asks ----------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True once nothing more will come or go."""
        return self.phase is Phase.CLOSED

    @property
    def usable(self) -> bool:
        """True while new work can be sent."""
        return self.phase is Phase.OPEN and self.protocol.session_state not in OVER

    @property
    def ready(self) -> bool:
        """True once the vendor accepts work: the upgrade is done and the key, where the vendor says so, confirmed."""
        return self.usable and self.protocol.session_state not in NOT_READY

    @property
    def has_room(self) -> bool:
        """True while the socket may be used for one more context."""
        dialect = self.protocol.dialect
        most = MAX_CONTEXTS if dialect.max_contexts is None else dialect.max_contexts
        doubtful = self._pinged_at is not None  # silent for so long that it was pinged, and has not answered
        return self.usable and len(self.protocol.contexts) < most and not self.retired and not doubtful

    @property
    def retired(self) -> bool:
        """True once the socket has served as many requests as one socket should, or the vendor is busy on it with what
        nobody wants any more."""
        most = self.protocol.dialect.max_requests
        abandoned = sum(state is ContextState.CANCELLED for state in self.protocol.contexts.values())
        return abandoned >= MAX_ABANDONED or (most is not None and self.requests >= most)

    @property
    def idle(self) -> bool:
        """True while no context is open that somebody still follows."""
        return all(state in LEFT for state in self.protocol.contexts.values())

    def allowed_at(self, kind: type[ClientEvent], now: float) -> float:
        """When the vendor's limit lets one more message of this kind pass; `now` for at once."""
        return self._limiter.allowed_at(kind, now)

    @property
    def can_send(self) -> bool:
        """False while more than MAX_OUTGOING_BYTES wait for the socket."""
        return self._outgoing.tell() <= MAX_OUTGOING_BYTES

    @property
    def has_data(self) -> bool:
        """True while something is to go out."""
        return self._outgoing.tell() > 0

    @property
    def congested(self) -> bool:
        """True while a consumer is behind and the caller chose that the socket waits: then nothing should be read."""
        return self._may_hold and any(not inbox.fits(0.0) for inbox in self._inboxes.values())

    def leisure(self, now: float) -> float:
        """Seconds for which nothing needs to be read: all that is being spoken is well ahead of its playing."""
        if not self._read_interval:
            return 0.0
        ahead: set[int] = set()
        for context_id, inbox in self._inboxes.items():  # what is played before another was asked for before it
            if context_id != SESSION:
                if not inbox.is_ahead(now, AHEAD_SECONDS, ahead):
                    return 0.0
                ahead.add(id(inbox))
        return self._read_interval if ahead else 0.0

    def follow(self, context_id: str, other: Connection, before: str) -> None:
        """What a context says is played after what another says, maybe on another connection: so it is less urgent."""
        if (inbox := other._inboxes.get(before)) is not None:
            self._inboxes[context_id].before = weakref.ref(inbox)

    def queued(self, context_id: str = SESSION) -> float:
        """Seconds of audio that wait for the consumer of a context."""
        inbox = self._inboxes.get(context_id)
        return 0.0 if inbox is None else inbox.seconds

    def data_to_send(self, now: float) -> bytes:
        """Everything that is to go out now; b"" for nothing. Whole frames: send all of it, or abort the socket."""
        data = self._outgoing.getvalue()
        self._outgoing = BytesIO()
        if data:
            self.calm = False
            self._timers["send"] = now + self.deadlines.send
        return data

    def data_sent(self, now: float) -> None:
        """What `data_to_send` gave is on its way."""
        self._timers.pop("send", None)

    def next_deadline(self) -> float:
        """When `handle_timeout` is to be called if nothing happens before; infinity for never."""
        if self.closed:
            return float("inf")
        times = [*self._timers.values()]
        for inbox in self._inboxes.values():
            times.extend(inbox.timers.values())
        if self.phase is Phase.OPEN:
            times.append(self._keepalive_at())
        return min(times, default=float("inf"))

    def is_open(self, context_id: str) -> bool:
        """True while the vendor may still send for this context, and can be told to stop."""
        return self.usable and self.protocol.contexts.get(context_id, ContextState.CANCELLED) not in LEFT

    def touched(self) -> set[str]:
        """The contexts that have news since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def take(self, context_id: str = SESSION) -> Received | None:
        """The next event of a context; None when there is none yet. Raises its error once all is read."""
        inbox = self._inboxes.get(context_id)
        if inbox is None:
            raise self._unusable(f"nobody follows the context {context_id!r}")
        if inbox.queue:
            return inbox.pop()
        if inbox.error is not None:
            raise inbox.error()
        return None

    def has_news(self, context_id: str) -> bool:
        """True if `take` has something to give or to raise."""
        inbox = self._inboxes.get(context_id)
        return inbox is None or bool(inbox.queue) or inbox.error is not None

    def failure(self, context_id: str) -> VoicecoreError | None:
        """The error that a context will end in; None while there is none."""
        inbox = self._inboxes.get(context_id)
        return None if inbox is None or inbox.error is None else inbox.error()

    # --- what the driver tells ---------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begins the upgrade."""
        self.phase = Phase.UPGRADING
        self._last_received = now
        self.calm = False
        self._timers["connect"] = now + self.deadlines.connect
        request = self._websocket.connect()
        request.headers.update(self._headers)
        self._websocket.send_request(request)
        self._headers = {}  # the key has been used: keep no copy
        for name in {"uri", "wsuri"} & vars(self._websocket).keys():  # websockets 15 renamed it
            setattr(self._websocket, name, parse_url(self.shown_url))
        self._inboxes[SESSION] = Inbox(1, self._buffered_seconds)
        self._flush()

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes from the socket; b"" for its end."""
        if self.closed:
            return
        self.calm = self._pinged_at is None
        self._last_received = now
        self._pinged_at = None
        frames = self._receive_upgrade(data, now) if self.phase is Phase.UPGRADING else data
        for kind, piece in self._frames.cut(frames):
            if kind == REST:
                self._receive_rest(piece, now)
            elif self.phase is Phase.OPEN:
                self._receive_message(piece, kind == TEXT, now)
        if not data:
            self.calm = False
            self._websocket.receive_eof()
        if not self.calm:
            self._flush()
            self._notice_close(now, ended=not data)

    def handle_timeout(self, now: float) -> None:
        """Does whatever is due."""
        self.calm = False
        if self.closed:
            return
        name = _due(self._timers, now)
        if name is not None and name != "reorder":
            self._expired(name, now)
        for context_id, inbox in list(self._inboxes.items()):
            if (due := _due(inbox.timers, now)) and not self.closed:
                self._context_expired(context_id, due, now)
        if self.phase is Phase.OPEN and self._keepalive_at() <= now:
            self._keep_alive(now)
        self._flush()

    def send(self, event: Event, now: float, *, byte_rate: int = 1) -> None:
        """Queues an event of ours. `byte_rate`: bytes per second of the audio that a new context will send back.

        Raises the connection's error once it has one, `StateError` before it is open and after `close`,
        `RateLimitError` over a limit of the vendor, `ProtocolError` for an event that the state does not allow.
        """
        self.calm = False
        name, state = type(event).__name__, self.protocol.session_state
        if not self.usable:
            raise self._unusable(f"{name} cannot be sent while {self.phase.name} and {state.name}")
        context_id: str | None = getattr(event, "context_id", None)
        begins = isinstance(event, (Synthesize, OpenContext))
        if begins and context_id in self._inboxes and context_id not in self.protocol.contexts:
            raise self._unusable(f"{name} cannot reuse the context {context_id!r} before what it got is forgotten")
        self._check_rate(event, now)
        if isinstance(event, StopStream):
            self._heard_at = now + event.backlog
        before = self.protocol.contexts.get(context_id or "")
        self._say(event)
        self.requests += begins
        if context_id is not None:
            if begins and context_id not in self._inboxes:
                self._inboxes[context_id] = Inbox(byte_rate, self._buffered_seconds)
            if self.protocol.contexts.get(context_id) is not before:  # else the vendor owes what it owed
                self._follow_context(context_id, now, heard=False)
        else:
            self._follow_session(now)
        self._limiter.count(type(event), now)  # type: ignore[arg-type] # a client sends nothing else
        self._flush()

    def cancel(self, context_id: str, now: float) -> None:
        """Tells the vendor to stop, where it can be told; from now on the context's audio is dropped.

        A vendor whose cancel is the end of the socket gets that, if nobody else is served there. One that serves one
        context at a time must confirm within `deadlines.close`, or the socket is given up.
        """
        if not self.is_open(context_id):
            return
        self.calm = False
        self._give_up(context_id, now)
        self._flush()

    def leave(self, context_id: str, now: float) -> None:
        """Nothing more is wanted of a context: one that is at rest stays open at the vendor, any other is cancelled."""
        if self.is_open(context_id) and self.protocol.allows(LeaveContext, context_id):
            self.send(LeaveContext(context_id), now)
        else:
            self.cancel(context_id, now)

    def forget(self, context_id: str) -> None:
        """Nobody reads this context any more: its queue is dropped."""
        self.calm = False
        self._inboxes.pop(context_id, None)
        cancelled = self.protocol.contexts.get(context_id) is ContextState.CANCELLED
        if cancelled and self.protocol.dialect.silent_cancel:
            self.protocol.drop(context_id)  # no confirmation will; what still comes of it is late all the same

    def close(self, now: float) -> None:
        """Begins the closing handshake, which has `deadlines.close` to end. Once begun, or over, there is no other."""
        self.calm = False
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        if self.phase is not Phase.OPEN:
            self.abort()
            return
        self.ended_by_us = True
        self._say_goodbye()
        self.phase = Phase.CLOSING
        self._websocket.send_close(1000)
        self._timers = {"close": now + self.deadlines.close}
        self._flush()

    def abort(self, error: Callable[[], VoicecoreError] | None = None) -> None:
        """Ends everything at once: the driver closes the socket without a word."""
        self.calm = False
        self.ended_by_us = self.ended_by_us or not self.closed
        self.must_abort = True
        self._finish(error or self._lost)

    # --- the WebSocket -----------------------------------------------------------------------------------

    def _say(self, event: Event) -> None:
        message = self.protocol.send(event)
        if isinstance(message, str):
            self._websocket.send_text(message.encode())
        elif message is not None:
            self._websocket.send_binary(message)

    def _say_goodbye(self) -> None:
        """What a vendor wants to hear before the close frame."""
        for context_id, state in list(self.protocol.contexts.items()):
            if state is ContextState.LINGERING:  # closing one that has text would have that spoken
                self._say(CloseContext(context_id))
        if self.protocol.allows(Goodbye):
            self._say(Goodbye())

    def _flush(self) -> None:
        for data in self._websocket.data_to_send():
            self._outgoing.write(data)

    def _receive_upgrade(self, data: bytes, now: float) -> bytes:
        """Gives the library the upgrade's answer; what follows it is frames."""
        head = self._head + data
        end = head.find(b"\r\n\r\n")
        answer = len(data) if end < 0 else end + 4 - len(self._head)
        self._head = head[-3:]
        self._receive_rest(data[:answer], now)
        if self.phase is not Phase.UPGRADING or not data[answer:]:
            return data[answer:]
        self._receive_rest(data[answer:], now)  # the page of a refusal
        return b""

    def _receive_rest(self, data: bytes, now: float) -> None:
        """What is not a plain data frame: the library's."""
        self.calm = False
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._receive_frame(event, now)
            else:
                assert isinstance(event, Response), "a client gets nothing else"
                self._upgraded(event, now)

    def _upgraded(self, response: Response, now: float) -> None:
        fault = self._websocket.handshake_exc
        if fault is not None:
            self._refused(response, fault)
            return
        self.phase = Phase.OPEN
        if self.protocol.session_state not in SESSION_DEADLINES:
            self._timers.pop("connect", None)
        self._set_grace(now)
        self._touched.add(SESSION)

    def _refused(self, response: Response, fault: Exception) -> None:
        self.must_abort = True
        response.reason_phrase = self._shown(response.reason_phrase)
        if isinstance(fault, InvalidStatus):
            self._finish(lambda: refusal_of(self.protocol.dialect.vendor, self.shown_url, response))
        else:
            self._finish(lambda: self._failed(f"the answer is no WebSocket upgrade: {type(fault).__name__}"))

    def _failed(self, why: str) -> ConnectionFailedError:
        return ConnectionFailedError(f"{self.protocol.dialect.vendor}: connecting to {self.shown_url}: {why}")

    def _receive_frame(self, frame: Frame, now: float) -> None:
        if self.phase is not Phase.OPEN:
            return
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if frame.fin:
                self._receive_message(bytes(frame.data), opcode is Opcode.TEXT, now)
                return
            self._fragments, self._fragments_are_text = [bytes(frame.data)], opcode is Opcode.TEXT
        elif opcode is Opcode.CONT:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                message, self._fragments = b"".join(self._fragments), []
                self._receive_message(message, self._fragments_are_text, now)

    def _receive_message(self, payload: bytes, text: bool, now: float) -> None:
        try:
            event = self.protocol.decoded(self._decoded(payload, text))
        except (MessageError, ProtocolError) as error:
            self.calm = False
            self._protocol_error(error)
            return
        if type(event) is Audio and self._more_audio(event, now):
            return
        self.calm = False
        if isinstance(event, ServerEvent):
            self._worked = self._worked or not isinstance(event, (Connecting, TransportOpened))
            self._complaint = None
            self._keep_heartbeat(event, now)
            self._reply(event, now)
            self._deliver(event, now)
            if isinstance(event, TransportClosed):
                self._part(self._left)
        elif self._timers and self.protocol.dialect.max_contexts is not None:
            self._confirm_cancel()

    def _decoded(self, payload: bytes, text: bool) -> Event | None:
        """What a message says, without the key, which a vendor may echo."""
        if len(payload) > LONG_MESSAGE and (audio := self._long_audio(payload, text)) is not None:
            return audio
        return self.protocol.dialect.decode(self._key.hidden_in(payload), text=text, role=Role.CLIENT)

    def _long_audio(self, payload: bytes, text: bool) -> Audio | None:
        """What a message says if it is audio without the key beside it. To search all of it would cost a tenth more."""
        try:
            event = self.protocol.dialect.decode(payload, text=text, role=Role.CLIENT)
        except (MessageError, ProtocolError):
            return None
        if not isinstance(event, Audio):
            return None
        beside = f"{event.context_id}{event.generation}{event.extra or ''}".encode("utf-8", "replace")
        return event if self._key.hidden_in(beside) == beside else None

    def _reply(self, event: ServerEvent, now: float) -> None:
        answer = self.protocol.dialect.reply(event, self._key)
        if answer is not None:
            self._say(answer)
            self._follow_session(now)

    def _keep_heartbeat(self, event: ServerEvent, now: float) -> None:
        if isinstance(event, TransportOpened):
            self._heartbeat = event.ping_interval + event.ping_timeout
        if isinstance(event, (TransportOpened, Heartbeat)):
            self._timers["keepalive"] = now + self._heartbeat

    def _part(self, error: Callable[[], VoicecoreError]) -> None:
        """The session is over but the socket is not: closes it, and ends with `error` unless there was one before."""
        self._websocket.send_close(1000)
        self._flush()
        self._finish(error)

    def _left(self) -> VoicecoreError:
        return ConnectionLostError(f"{self.protocol.dialect.vendor}: {self.shown_url} ended the session")

    def _protocol_error(self, error: VoicecoreError) -> None:
        """The peer does not speak the protocol: say so and end, since nothing after it can be trusted."""
        text = f"{self.protocol.dialect.vendor}: {error}"
        self._websocket.fail(1007 if isinstance(error, MessageError) else 1002, "protocol error")
        self._flush()
        self._finish(lambda: ProtocolError(text))

    def _notice_close(self, now: float, *, ended: bool) -> None:
        if self.closed:
            return
        websocket = self._websocket
        if websocket.close_rcvd is not None and websocket.close_rcvd.code == 1000:
            self._ended_by_close(now)
        if self.phase is Phase.UPGRADING and ended:
            self._finish(lambda: self._failed("the peer ended the connection before the upgrade"))
        elif self.phase is Phase.UPGRADING and websocket.handshake_exc is not None:
            self.must_abort = True
            self._finish(lambda: self._failed("the answer is no WebSocket upgrade: not HTTP"))
        elif websocket.close_rcvd is not None or ended:
            self._finish(self._lost)
        elif websocket.parser_exc is not None:
            fault = f"{type(websocket.parser_exc).__name__}: {websocket.parser_exc}"
            self._finish(lambda: ProtocolError(f"{self.protocol.dialect.vendor}: WebSocket violation: {fault}"))

    def _ended_by_close(self, now: float) -> None:
        """A clean close is the normal end where the vendor has no other."""
        normal, protocol = self.protocol.dialect.ended_by_close, self.protocol
        for context_id, state in list(protocol.contexts.items()):
            if state in normal:
                self._apply(ContextFinished(context_id), now)
        if protocol.session_state in normal:
            self._apply(StreamStopped(), now)

    def _unusable(self, why: str) -> VoicecoreError:
        """What ended the connection or, when nothing did, the caller's mistake."""
        return self.error() if self.error is not None else StateError(f"{self.protocol.dialect.vendor}: {why}")

    def _lost(self) -> VoicecoreError:
        """Why the connection is over, as far as the peer said."""
        received = self._websocket.close_rcvd
        code, reason = (received.code, self._shown(received.reason)) if received else (1006, "")
        vendor = self.protocol.dialect.vendor
        said = f"close code {code}{f' ({reason})' if reason else ''}"
        if code == 1008 and self._complaint is not None:
            return self._complaint()
        if code == 1008 and not self._worked:
            return AuthError(f"{vendor}: {self.shown_url} refused the key: {said}", vendor, str(code))
        error = ConnectionLostError(f"{vendor}: the connection to {self.shown_url} ended: {said}", code, reason)
        error.retryable = code not in TERMINAL_CLOSE_CODES
        return error

    def _shown(self, text: str) -> str:
        """What a vendor said, without the key."""
        return self._key.hidden_in(text.encode()).decode()

    # --- events and inboxes ------------------------------------------------------------------------------

    def _apply(self, event: ServerEvent, now: float) -> None:
        """An event that time, or the end of the socket, brought instead of a message; only where it is awaited."""
        self.protocol.received(event)
        self._deliver(event, now)

    def _deliver(self, event: ServerEvent, now: float) -> None:
        context_id: str | None = getattr(event, "context_id", None)
        if isinstance(event, Failed):
            self._vendor_failed(event, context_id, now)
        if context_id is None:
            self._follow_session(now)
            self._put(SESSION, event, now)
            return
        if context_id not in self._inboxes:
            self.protocol.late_messages += 1
            return
        if not isinstance(event, Failed):
            for ordered in self._in_order(self._inboxes[context_id], event, now):
                self._put(context_id, ordered, now)
            self._follow_context(context_id, now, turn_ended=isinstance(event, FlushCompleted))

    def _more_audio(self, event: Audio, now: float) -> bool:
        """The message that nearly all are: the next piece of what is being spoken. False for every other."""
        inbox = self._inboxes.get(event.context_id)
        if inbox is None or inbox.steady is not self.protocol.contexts.get(event.context_id):
            return False
        if not inbox.put_next(event, now):
            return False
        inbox.timers["between_chunks"] = now + self.deadlines.between_chunks
        self._worked, self._complaint = True, None
        self._touched.add(event.context_id)
        return True

    def _in_order(self, inbox: Inbox, event: ServerEvent, now: float) -> list[ServerEvent]:
        """What of a context may be read now: a message that is ahead of its turn waits for a moment."""
        events = inbox.in_order(event)
        if not inbox.out_of_order:
            inbox.timers.pop("reorder", None)
        else:
            inbox.timers.setdefault("reorder", now + REORDER_SECONDS)
        return events

    def _vendor_failed(self, event: Failed, context_id: str | None, now: float) -> None:
        """Fails the context that the vendor named; without a name, all that it may concern.

        A context that outlives its failure at the vendor, which would go on with it, is cancelled there.
        """

        def error() -> VoicecoreError:
            return self.protocol.dialect.error_of(event)

        if context_id is not None:
            self._fail_inbox(context_id, error)
            self._give_up(context_id, now)
            return
        self._complaint = error
        if isinstance(error(), AuthError) and self.protocol.session_state not in OVER:
            self._part(error)  # whatever the state: nothing will work with this key
            return
        if self.protocol.session_state is SessionState.FAILED:
            self.error = self.error or error
            self._fail_inbox(SESSION, error)
        for context in self._concerned():
            self.protocol.received(Failed(context, event.code, event.message))
            self._fail_inbox(context, error)
            self._give_up(context, now)

    def _concerned(self) -> list[str]:
        """What an error that names no context may be about: what is unanswered, else at work, else open."""
        contexts = self.protocol.contexts
        unanswered = [name for name, state in contexts.items() if CONTEXT_DEADLINES.get(state) == "first_audio"]
        return unanswered or [name for name, state in contexts.items() if state in AT_WORK] or list(contexts)

    def _put(self, context_id: str, event: ServerEvent, now: float) -> None:
        inbox = self._inboxes[context_id]
        if inbox.error is not None:
            return
        seconds = seconds_of(event, inbox.byte_rate)
        if not inbox.fits(seconds) and self._on_overflow == "drop_oldest":
            inbox.make_room(context_id, seconds, now)
        if not inbox.fits(seconds) and self._on_overflow != "wait":
            self._overflow(context_id, inbox, now)
            return
        if context_id == SESSION and self.protocol.dialect.kind == "tts" and len(inbox.queue) >= MAX_UNREAD_EVENTS:
            inbox.queue.popleft()  # nobody has to read what a text-to-speech vendor says of the session
        inbox.put(event, now)
        self._touched.add(context_id)

    def _overflow(self, context_id: str, inbox: Inbox, now: float) -> None:
        limit, held = inbox.seconds_limit, len(inbox.queue)
        self._fail_inbox(
            context_id,
            lambda: QueueOverflowError(
                f"context {context_id!r}: expected at most {limit:g} s of audio and {MAX_BUFFERED_EVENTS} events "
                f"to wait for the consumer, got more ({held} events held); what came after was dropped"
            ),
        )
        self._give_up(context_id, now)

    def _fail_inbox(self, context_id: str, error: Callable[[], VoicecoreError]) -> None:
        inbox = self._inboxes.get(context_id)
        if inbox is not None and inbox.error is None:
            inbox.error = error
            inbox.steady = None
            inbox.timers.clear()
            self._touched.add(context_id)

    def _finish(self, error: Callable[[], VoicecoreError]) -> None:
        """The connection is over: the session's inbox and those of contexts that have not ended fail with `error`."""
        if self.closed:
            return
        self.phase = Phase.CLOSED
        self.error = self.error or error
        self._timers.clear()
        for context_id in [SESSION, *self.protocol.contexts]:
            self._fail_inbox(context_id, self.error)

    # --- deadlines ---------------------------------------------------------------------------------------

    def _check_rate(self, event: Event, now: float) -> None:
        """Refuses what the vendor would: its limits are kept on our side."""
        wait = self._limiter.allowed_at(type(event), now) - now  # type: ignore[arg-type] # a client sends nothing else
        if wait > 0:
            dialect = self.protocol.dialect
            rate = dialect.rates[type(event)]  # type: ignore[index]
            name, limit = type(event).__name__, f"{rate.messages} in {rate.seconds:g} s on one connection"
            error = RateLimitError(f"{dialect.vendor}: {name}: expected at most {limit}; not sent", dialect.vendor)
            error.retry_after = wait
            raise error

    def _give_up(self, context_id: str, now: float) -> None:
        """Cancels at the vendor what is still open there; without a message where its limit forbids one."""
        if not self.is_open(context_id) or self.phase is not Phase.OPEN:
            return
        if self._limiter.allowed_at(CancelContext, now) <= now and self.protocol.allows(CancelContext, context_id):
            self._say(CancelContext(context_id))
            self._limiter.count(CancelContext, now)
        else:
            self.protocol.contexts[context_id] = ContextState.CANCELLED
        if self.protocol.dialect.max_contexts is not None and context_id in self.protocol.contexts:
            self._timers["close"] = now + self.deadlines.close
        self._follow_context(context_id, now)
        if self.protocol.dialect.drops_on_cancel and self.idle:
            self.close(now)

    def _confirm_cancel(self) -> None:
        """The vendor said that what was cancelled is over."""
        if self.phase is Phase.OPEN and ContextState.CANCELLED not in self.protocol.contexts.values():
            self._timers.pop("close", None)

    def _follow_session(self, now: float) -> None:
        """Sets the session's timers to what its new state asks for."""
        state = self.protocol.session_state
        stopping = state in (SessionState.STOPPING, SessionState.STOPPING_PENDING)
        if state is self._followed and not stopping:
            return
        self._followed = state
        self._touched.add(SESSION)
        self._set_grace(now)
        wanted = SESSION_DEADLINES.get(state)
        if wanted != "connect":
            self._timers.pop("connect", None)
        elif "connect" not in self._timers:
            self._timers["connect"] = now + self.deadlines.connect
        timers = self._inboxes[SESSION].timers
        timers.clear()
        if wanted == "between_chunks" and "grace" not in self._timers:
            timers[wanted] = max(now, self._heard_at) + self.deadlines.between_chunks

    def _set_grace(self, now: float) -> None:
        self._timers.pop("grace", None)
        if grace := self.protocol.dialect.graces.get(self.protocol.session_state):
            self._timers["grace"] = max(now, self._heard_at) + grace.seconds

    def _follow_context(self, context_id: str, now: float, *, turn_ended: bool = False, heard: bool = True) -> None:
        """Sets a context's timers to what its new state asks for. Between turns none runs; what we say ourselves
        (`heard` is false) gives the vendor no more time."""
        state = self.protocol.contexts.get(context_id, ContextState.FINISHED)
        inbox = self._inboxes.get(context_id)
        if inbox is None:
            return
        wanted, timers = CONTEXT_DEADLINES.get(state), inbox.timers
        inbox.steady = None
        timers.pop("grace", None)
        if wanted is None or inbox.error is not None or turn_ended:
            timers.clear()
        if wanted is None or inbox.error is not None:
            return
        timers.setdefault("total", now + self.deadlines.total)
        if wanted == "first_audio":
            timers.setdefault("first_audio", now + self.deadlines.first_audio)
        else:
            timers.pop("first_audio", None)
            if heard or "between_chunks" not in timers:
                timers["between_chunks"] = now + self.deadlines.between_chunks
        if grace := self.protocol.dialect.context_graces.get(state):
            timers["grace"] = now + grace.seconds
        elif wanted == "between_chunks":
            inbox.steady = state

    def _expired(self, name: DeadlineName | Literal["grace"], now: float) -> None:
        """One of the connection's own timers: there is nobody to say goodbye to."""
        if name == "grace":
            del self._timers["grace"]
            self._apply(self.protocol.dialect.graces[self.protocol.session_state].event, now)
            return
        self.must_abort = True
        self.ended_by_us = self.ended_by_us or name == "close"
        beat = name == "keepalive" and self._timers.get(name, float("inf")) <= now
        seconds = self._heartbeat if beat else getattr(self.deadlines, name)
        self._finish(self._lost if name == "close" else lambda: self._deadline(name, seconds))

    def _context_expired(self, context_id: str, name: TimerName, now: float) -> None:
        if name == "reorder":
            inbox = self._inboxes[context_id]
            del inbox.timers["reorder"]
            for event in [event for order in inbox.orders.values() for event in order.flush()]:
                self._put(context_id, event, now)
            return
        if name == "grace":
            del self._inboxes[context_id].timers["grace"]
            grace = self.protocol.dialect.context_graces[self.protocol.contexts[context_id]]
            for _ in range(max(1, self.protocol.flushes[context_id])):  # all turns: nothing told them apart
                self._apply(grace.event(context_id), now)
            return
        if context_id == SESSION:
            self._expired(name, now)
            return
        if self.congested and name != "total":
            self._inboxes[context_id].timers[name] = now + getattr(self.deadlines, name)
            return  # it is not the vendor that is silent
        seconds = getattr(self.deadlines, name)
        self._fail_inbox(context_id, lambda: self._deadline(name, seconds, f" of context {context_id}"))
        self._give_up(context_id, now)

    def _deadline(self, name: DeadlineName, seconds: float, where: str = "") -> DeadlineError:
        vendor = self.protocol.dialect.vendor
        text = f"{vendor}: deadline {name}{where}: nothing within {seconds:g} s from {self.shown_url}"
        return DeadlineError(text, name, seconds)

    def _keepalive_at(self) -> float:
        since = self._last_received if self._pinged_at is None else self._pinged_at
        return since + self.deadlines.keepalive

    def _keep_alive(self, now: float) -> None:
        """Pings a silent peer once; a peer that stays silent for as long again is dead.

        A vendor's own ping is preferred: it is what keeps the vendor's session, and gateways may swallow the other.
        """
        if self.congested:
            self._last_received = now  # it is not the peer that is silent
            return
        if self._pinged_at is None:
            self._pinged_at = now
            if self.protocol.allows(Ping):
                self._say(Ping())
            else:
                self._websocket.send_ping(b"voicecore")
            return
        self._expired("keepalive", now)


def _due(timers: dict[TimerName, float], now: float) -> TimerName | None:
    """The deadline that passed first, if any has."""
    return min((name for name, at in timers.items() if at <= now), key=timers.__getitem__, default=None)
