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
from collections.abc import Callable
from enum import Enum, auto
from io import BytesIO
from typing import NamedTuple

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
    StateError,
    VoicecoreError,
)
from voicecore.events import Connecting, Event, Failed, ServerEvent, Synthesize
from voicecore.inbox import MAX_BUFFERED_EVENTS, MAX_BUFFERED_SECONDS, Inbox, Received, seconds_of
from voicecore.protocol import (
    CONTEXT_DEADLINES,
    OVER,
    SESSION_DEADLINES,
    ContextState,
    DeadlineName,
    Protocol,
    SessionState,
)
from voicecore.secret import without_query
from voicecore.upgrade import checked_headers, parse_url, refusal_of

SESSION = ""
MAX_MESSAGE_BYTES = 16 * 2**20
MAX_UNREAD_EVENTS = 100  # of the session itself, for text-to-speech
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


class _Timer(NamedTuple):
    name: DeadlineName
    at: float


class Connection:
    """One client connection to one vendor. See the module's page for the way to drive it."""

    def __init__(
        self,
        protocol: Protocol,
        url: str,
        headers: dict[str, str],
        *,
        deadlines: Deadlines | None = None,
        buffered_seconds: float = MAX_BUFFERED_SECONDS,
    ) -> None:
        self.protocol = protocol
        self.deadlines = deadlines or Deadlines()
        self.shown_url = without_query(url)
        self.phase = Phase.IDLE
        self.error: Callable[[], VoicecoreError] | None = None
        self.must_abort = False
        self._headers = checked_headers(headers)
        self._buffered_seconds = buffered_seconds
        self._websocket = ClientProtocol(parse_url(url), max_size=MAX_MESSAGE_BYTES, logger=_SILENT)
        self._fragments: list[bytes] = []
        self._fragments_are_text = False
        self._outgoing = BytesIO()  # its repr shows nothing: the upgrade request holds the key
        self._timers: dict[DeadlineName, float] = {}
        self._grace: _Timer | None = None
        self._last_received = 0.0
        self._pinged_at: float | None = None
        self._worked = False  # the vendor has said something: the key cannot have been refused
        self._followed = protocol.session_state  # the state that the session's timers were set for
        self._inboxes: dict[str, Inbox] = {}
        self._touched: set[str] = set()

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
        return self.usable and self.protocol.session_state not in (
            SessionState.OPENING,
            SessionState.OPENING_GREETED,
        )

    @property
    def can_send(self) -> bool:
        """False while more than MAX_OUTGOING_BYTES wait for the socket."""
        return self._outgoing.tell() <= MAX_OUTGOING_BYTES

    def data_to_send(self, now: float) -> bytes:
        """Everything that is to go out now; b"" for nothing. Whole frames: send all of it, or abort the socket."""
        data = self._outgoing.getvalue()
        self._outgoing = BytesIO()
        if data:
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
        if self._grace:
            times.append(self._grace.at)
        if self.phase is Phase.OPEN:
            times.append(self._keepalive_at())
        return min(times, default=float("inf"))

    def is_open(self, context_id: str) -> bool:
        """True while the vendor may still send for this context, and can be told to stop."""
        return self.usable and self.protocol.contexts.get(context_id, ContextState.CANCELLED) in CONTEXT_DEADLINES

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
            received = inbox.queue.popleft()
            inbox.seconds -= seconds_of(received.event, inbox.byte_rate)
            return received
        if inbox.error is not None:
            raise inbox.error()
        return None

    # --- what the driver tells ---------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begins the upgrade."""
        self.phase = Phase.UPGRADING
        self._last_received = now
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
        self._last_received = now
        self._pinged_at = None
        if data:
            self._websocket.receive_data(data)
        else:
            self._websocket.receive_eof()
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._receive_frame(event, now)
            elif isinstance(event, Response):  # pragma: no branch - a client gets nothing else
                self._upgraded(event)
        self._flush()
        self._notice_close(ended=not data)

    def handle_timeout(self, now: float) -> None:
        """Does whatever is due."""
        if self.closed:
            return
        if name := _due(self._timers, now):
            self._expired(name)
        if self._grace and self._grace.at <= now:
            self._apply(self.protocol.dialect.graces[self.protocol.session_state].event, now)
        for context_id, inbox in list(self._inboxes.items()):
            if (due := _due(inbox.timers, now)) and not self.closed:
                self._context_expired(context_id, due)
        if self.phase is Phase.OPEN and self._keepalive_at() <= now:
            self._keep_alive(now)
        self._flush()

    def send(self, event: Event, now: float, *, byte_rate: int = 1) -> None:
        """Queues an event of ours. `byte_rate`: bytes per second of the audio that a new context will send back.

        Raises the connection's error once it has one, `StateError` before it is open and after `close`,
        `ProtocolError` for an event that the state does not allow.
        """
        name, state = type(event).__name__, self.protocol.session_state
        if not self.usable:
            raise self._unusable(f"{name} cannot be sent while {self.phase.name} and {state.name}")
        context_id: str | None = getattr(event, "context_id", None)
        if isinstance(event, Synthesize) and context_id in self._inboxes and context_id not in self.protocol.contexts:
            raise self._unusable(f"{name} cannot reuse the context {context_id!r} before what it got is forgotten")
        message = self.protocol.send(event)
        if context_id is not None:
            self._follow_context(context_id, now, byte_rate)
        else:
            self._follow_session(now)
        if isinstance(message, str):
            self._websocket.send_text(message.encode())
        elif message is not None:
            self._websocket.send_binary(message)
        self._flush()

    def forget(self, context_id: str) -> None:
        """Nobody reads this context any more: its queue is dropped."""
        self._inboxes.pop(context_id, None)

    def close(self, now: float) -> None:
        """Begins the closing handshake, which has `deadlines.close` to end. Once begun, or over, there is no other."""
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        if self.phase is not Phase.OPEN:
            self.abort()
            return
        self.phase = Phase.CLOSING
        self._websocket.send_close(1000)
        self._timers = {"close": now + self.deadlines.close}
        self._grace = None
        self._flush()

    def abort(self, error: Callable[[], VoicecoreError] | None = None) -> None:
        """Ends everything at once: the driver closes the socket without a word."""
        self.must_abort = True
        self._finish(error or self._lost)

    # --- the WebSocket -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        for data in self._websocket.data_to_send():
            self._outgoing.write(data)

    def _upgraded(self, response: Response) -> None:
        fault = self._websocket.handshake_exc
        if fault is not None:
            self._refused(response, fault)
            return
        self.phase = Phase.OPEN
        if self.protocol.session_state not in SESSION_DEADLINES:
            self._timers.pop("connect", None)
        self._touched.add(SESSION)

    def _refused(self, response: Response, fault: Exception) -> None:
        self.must_abort = True
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
            event = self.protocol.receive(payload, text=text)
        except (MessageError, ProtocolError) as error:
            self._protocol_error(error)
            return
        if isinstance(event, ServerEvent):
            self._worked = self._worked or not isinstance(event, Connecting)
            self._deliver(event, now)

    def _protocol_error(self, error: VoicecoreError) -> None:
        """The peer does not speak the protocol: say so and end, since nothing after it can be trusted."""
        text = f"{self.protocol.dialect.vendor}: {error}"
        self._websocket.fail(1007 if isinstance(error, MessageError) else 1002, "protocol error")
        self._flush()
        self._finish(lambda: ProtocolError(text))

    def _notice_close(self, *, ended: bool) -> None:
        if self.closed:
            return
        websocket = self._websocket
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

    def _unusable(self, why: str) -> VoicecoreError:
        """What ended the connection or, when nothing did, the caller's mistake."""
        return self.error() if self.error is not None else StateError(f"{self.protocol.dialect.vendor}: {why}")

    def _lost(self) -> VoicecoreError:
        """Why the connection is over, as far as the peer said."""
        received = self._websocket.close_rcvd
        code, reason = (received.code, received.reason) if received else (1006, "")
        vendor = self.protocol.dialect.vendor
        said = f"close code {code}{f' ({reason})' if reason else ''}"
        if code == 1008 and not self._worked:
            return AuthError(f"{vendor}: {self.shown_url} refused the key: {said}", vendor, str(code))
        error = ConnectionLostError(f"{vendor}: the connection to {self.shown_url} ended: {said}", code, reason)
        error.retryable = code not in TERMINAL_CLOSE_CODES
        return error

    # --- events and inboxes ------------------------------------------------------------------------------

    def _apply(self, event: ServerEvent, now: float) -> None:
        """An event that time brought instead of the peer."""
        self._grace = None
        self.protocol.received(event)
        self._deliver(event, now)

    def _deliver(self, event: ServerEvent, now: float) -> None:
        context_id: str | None = getattr(event, "context_id", None)
        if isinstance(event, Failed):
            self._vendor_failed(event, context_id)
        if context_id is None:
            self._follow_session(now)
            self._put(SESSION, event, now)
            return
        if context_id not in self._inboxes:
            self.protocol.late_messages += 1
            return
        if not isinstance(event, Failed):
            self._put(context_id, event, now)
            self._follow_context(context_id, now, self._inboxes[context_id].byte_rate)

    def _vendor_failed(self, event: Failed, context_id: str | None) -> None:
        """Fails the context that the vendor named; without a name, all that are still unanswered (or else open)."""

        def error() -> VoicecoreError:
            return self.protocol.dialect.error_of(event)

        if context_id is not None:
            self._fail_inbox(context_id, error)
            return
        if self.protocol.session_state is SessionState.FAILED:
            self.error = self.error or error
            self._fail_inbox(SESSION, error)
        open_ = self.protocol.contexts
        waiting = [c for c, s in open_.items() if s in (ContextState.REQUESTED, ContextState.ACCEPTED)]
        for context in waiting or list(open_):
            self.protocol.received(Failed(context, event.code, event.message))
            self._fail_inbox(context, error)

    def _put(self, context_id: str, event: ServerEvent, now: float) -> None:
        inbox = self._inboxes[context_id]
        if inbox.error is not None:
            return
        seconds = seconds_of(event, inbox.byte_rate)
        if inbox.seconds + seconds > inbox.seconds_limit or len(inbox.queue) >= MAX_BUFFERED_EVENTS:
            limit, held = inbox.seconds_limit, len(inbox.queue)
            self._fail_inbox(
                context_id,
                lambda: QueueOverflowError(
                    f"context {context_id!r}: expected at most {limit:g} s of audio and {MAX_BUFFERED_EVENTS} events "
                    f"to wait for the consumer, got more ({held} events held); what came after was dropped"
                ),
            )
            return
        if context_id == SESSION and self.protocol.dialect.kind == "tts" and len(inbox.queue) >= MAX_UNREAD_EVENTS:
            inbox.queue.popleft()  # nobody has to read what a text-to-speech vendor says of the session
        inbox.seconds += seconds
        inbox.queue.append(Received(event, now))
        self._touched.add(context_id)

    def _fail_inbox(self, context_id: str, error: Callable[[], VoicecoreError]) -> None:
        inbox = self._inboxes.get(context_id)
        if inbox is not None and inbox.error is None:
            inbox.error = error
            inbox.timers.clear()
            self._touched.add(context_id)

    def _finish(self, error: Callable[[], VoicecoreError]) -> None:
        """The connection is over: every inbox that has not ended fails with `error`."""
        if self.closed:
            return
        self.phase = Phase.CLOSED
        self.error = self.error or error
        self._timers.clear()
        self._grace = None
        for context_id in list(self._inboxes):
            self._fail_inbox(context_id, self.error)

    # --- deadlines ---------------------------------------------------------------------------------------

    def _follow_session(self, now: float) -> None:
        """Sets the session's timers to what its new state asks for."""
        state = self.protocol.session_state
        if state is self._followed and state is not SessionState.STOPPING:
            return
        self._followed = state
        self._touched.add(SESSION)
        grace = self.protocol.dialect.graces.get(state)
        self._grace = _Timer("connect", now + grace.seconds) if grace else None
        wanted = SESSION_DEADLINES.get(state)
        if wanted != "connect":
            self._timers.pop("connect", None)
        elif "connect" not in self._timers:
            self._timers["connect"] = now + self.deadlines.connect
        timers = self._inboxes[SESSION].timers
        timers.clear()
        if wanted == "between_chunks":
            timers[wanted] = now + self.deadlines.between_chunks

    def _follow_context(self, context_id: str, now: float, byte_rate: int) -> None:
        """Sets a context's timers to what its new state asks for."""
        state = self.protocol.contexts.get(context_id)
        inbox = self._inboxes.get(context_id)
        if state is None or state not in CONTEXT_DEADLINES or (inbox is not None and inbox.error is not None):
            if inbox is not None:
                inbox.timers.clear()
            return
        if inbox is None:
            inbox = self._inboxes[context_id] = Inbox(byte_rate, self._buffered_seconds)
            inbox.timers["total"] = now + self.deadlines.total
            inbox.timers["first_audio"] = now + self.deadlines.first_audio
        if CONTEXT_DEADLINES[state] == "between_chunks":
            inbox.timers.pop("first_audio", None)
            inbox.timers["between_chunks"] = now + self.deadlines.between_chunks

    def _expired(self, name: DeadlineName) -> None:
        """One of the connection's own deadlines: there is nobody to say goodbye to."""
        self.must_abort = True
        self._finish(self._lost if name == "close" else lambda: self._deadline(name))

    def _context_expired(self, context_id: str, name: DeadlineName) -> None:
        if context_id == SESSION:
            self._expired(name)
            return
        self._fail_inbox(context_id, lambda: self._deadline(name, f" of context {context_id}"))
        self.protocol.contexts[context_id] = ContextState.CANCELLED

    def _deadline(self, name: DeadlineName, where: str = "") -> DeadlineError:
        seconds = getattr(self.deadlines, name)
        vendor = self.protocol.dialect.vendor
        text = f"{vendor}: deadline {name}{where}: nothing within {seconds:g} s from {self.shown_url}"
        return DeadlineError(text, name, seconds)

    def _keepalive_at(self) -> float:
        since = self._last_received if self._pinged_at is None else self._pinged_at
        return since + self.deadlines.keepalive

    def _keep_alive(self, now: float) -> None:
        """Pings a silent peer once; a peer that stays silent for as long again is dead."""
        if self._pinged_at is None:
            self._pinged_at = now
            self._websocket.send_ping(b"voicecore")
            return
        self._expired("keepalive")


def _due(timers: dict[DeadlineName, float], now: float) -> DeadlineName | None:
    """The deadline that passed first, if any has."""
    return min((name for name, at in timers.items() if at <= now), key=timers.__getitem__, default=None)
