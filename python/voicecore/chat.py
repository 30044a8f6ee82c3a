"""Chat completions: the bytes of an answer -> deltas -> one assembled reply. Pure: no socket, task or clock.

The format is OpenAI's (`chat.completion` and `chat.completion.chunk`), as 60db and others speak it, in the framing of
server-sent events (WHATWG HTML, section 9.2). Tool-call deltas without `index` are put together by their ids and names.
Who opens connections and keeps deadlines is `llm.py`.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from voicecore.errors import (
    AuthError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    VendorError,
    VendorUnavailableError,
    VoicecoreError,
)
from voicecore.protocol import parse_json
from voicecore.secret import Secret

MAX_EVENT_BYTES = 2**20
MAX_REPLY_BYTES = 16 * 2**20
MAX_TOOL_CALLS = 128
MAX_KEPT_EVENTS = 100
MAX_SHOWN = 300  # characters of a vendor's error text
DONE = b"[DONE]"

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


# --- what a reply is made of -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called. `arguments` is its JSON text; "" for none."""

    id: str
    name: str
    arguments: str = ""

    def parse(self) -> dict[str, Any]:
        """The arguments by name. Raises `ProtocolError` if the model wrote no JSON object."""
        try:
            return parse_json(self.arguments.encode()) if self.arguments.strip() else {}
        except MessageError as error:
            raise ProtocolError(f"tool call {self.name!r}: expected a JSON object as arguments: {error}") from None

    def message(self) -> dict[str, Any]:
        """As it stands in an assistant's message."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """One more piece of a tool call. `index` is its place in the reply's `tool_calls`; texts hold what is new."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the vendor counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """What one event added to the reply. `reasoning` is the text of a model that thinks aloud."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None


class Reply:
    """One answer, put together from its messages. After an error it still holds what came before it."""

    def __init__(self, vendor: str, key: Secret, known_events: frozenset[str] = frozenset()) -> None:
        """`known_events`: the `type` of messages without choices from which nothing but common fields is wanted."""
        self._vendor = vendor
        self._key = key
        self._known_events = known_events
        self.clear()

    def clear(self) -> None:
        """Forgets everything, for another attempt."""
        self.id = ""
        self.model = ""
        self.chat_id: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.response_time: float | None = None  # seconds, by the vendor's own clock
        self.unknown_events: deque[Mapping[str, Any]] = deque(maxlen=MAX_KEPT_EVENTS)
        self.unknown_counts: Counter[str] = Counter()
        self.begun = False  # something was said
        self.done = False  # ... and nothing more will be
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls = _ToolCalls()

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join(self._content)

    @property
    def reasoning(self) -> str:
        """What the model thought aloud so far."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last may be unfinished until the reply is done."""
        return self._calls.calls

    @property
    def message(self) -> dict[str, Any]:
        """The reply as a message for the next request's history."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content or None}
        if self.tool_calls:
            message["tool_calls"] = [call.message() for call in self.tool_calls]
        elif message["content"] is None:
            message["content"] = ""
        return message

    def receive(self, payload: bytes) -> ChatDelta | None:
        """Takes one message. None for one that says nothing new. Raises `ProtocolError` and `VendorError`."""
        if self.done:
            return None
        if payload.strip() == DONE:
            self.done = True
            return None
        try:
            message = parse_json(payload)
        except MessageError as error:
            raise self._malformed(str(error)) from None
        return self._take(message)

    def _take(self, message: Mapping[str, Any]) -> ChatDelta | None:
        kind = message.get("type")
        if message.get("error") or kind == "error":
            raise stream_error(self._vendor, message, self._key)
        self._take_common(message)
        if "choices" not in message:
            if not isinstance(kind, str) or kind not in self._known_events:
                self._keep(message, kind)
            return None if message.get("usage") is None else self._noted(ChatDelta(usage=self.usage))
        return self._noted(self._choice(message))

    def _take_common(self, message: Mapping[str, Any]) -> None:
        self.id = self.id or self._text(message, "id")
        self.model = self.model or self._text(message, "model")
        self.chat_id = self._text(message, "chat_id") or self.chat_id
        if isinstance(taken := message.get("response_time_ms"), (int, float)):
            self.response_time = taken / 1000
        if message.get("usage") is not None:
            self.usage = self._usage(self._object(message, "usage"))

    def _choice(self, message: Mapping[str, Any]) -> ChatDelta:
        """The first choice; more than one is never asked for. Without any there may still be `usage`."""
        usage = self.usage if message.get("usage") is not None else None
        choices = self._list(message, "choices")
        choice = next((c for c in choices if isinstance(c, dict) and c.get("index", 0) in (0, None)), None)
        if choice is None:
            if choices:
                self._keep(message, "choices")
            return ChatDelta(usage=usage)
        said = self._object(choice, "delta") or self._object(choice, "message")
        return ChatDelta(
            self._text(said, "content"),
            self._text(said, "reasoning_content") or self._text(said, "reasoning"),
            tuple(self._calls.receive(self._call(call)) for call in self._list(said, "tool_calls")),
            self._text(choice, "finish_reason") or None,
            usage,
        )

    def _noted(self, delta: ChatDelta) -> ChatDelta | None:
        if delta == ChatDelta():
            return None
        self._content += [delta.content] if delta.content else []
        self._reasoning += [delta.reasoning] if delta.reasoning else []
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.begun = True
        return delta

    def _call(self, call: Any) -> _WireCall:
        if not isinstance(call, dict):
            raise self._malformed(f"tool_calls: expected objects, got {type(call).__name__}")
        function, index = self._object(call, "function"), call.get("index")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # seen from servers that parse what the model wrote
            arguments = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
        elif arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            raise self._malformed(f"arguments: expected text, got {type(arguments).__name__}")
        place = index if isinstance(index, int) and not isinstance(index, bool) else None
        return _WireCall(place, self._text(call, "id"), self._text(function, "name"), arguments)

    def _keep(self, message: Mapping[str, Any], kind: object) -> None:
        """A kind of message that the vendor added since kills no call."""
        self.unknown_counts[str(kind or "untyped")] += 1
        self.unknown_events.append(message)

    @staticmethod
    def _usage(fields: Mapping[str, Any]) -> Usage:
        counts = {name: fields.get(name) for name in Usage.__slots__}
        return Usage(**{name: count for name, count in counts.items() if isinstance(count, int) and count >= 0})

    def _text(self, fields: Mapping[str, Any], name: str) -> str:
        return self._typed(fields, name, str, "text") or ""

    def _object(self, fields: Mapping[str, Any], name: str) -> dict[str, Any]:
        return self._typed(fields, name, dict, "an object") or {}

    def _list(self, fields: Mapping[str, Any], name: str) -> list[Any]:
        return self._typed(fields, name, list, "a list") or []

    def _typed(self, fields: Mapping[str, Any], name: str, kind: type, called: str) -> Any:
        value = fields.get(name)
        if value is None or isinstance(value, kind):
            return value
        raise self._malformed(f"{name}: expected {called}, got {type(value).__name__}")

    def _malformed(self, why: str) -> ProtocolError:
        state = "streaming" if self.begun else "waiting for the first token"
        return ProtocolError(f"{self._vendor}: client, {state}: a message of the reply: {why}")


# --- tool calls ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _WireCall:
    """A tool-call delta as it came."""

    index: int | None
    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class _Building:
    """A tool call that is being put together."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class _ToolCalls:
    """Puts calls together. An id that is new starts a call, whatever index it has: some servers send 0 for all."""

    def __init__(self) -> None:
        self._building: list[_Building] = []
        self._at_index: dict[int, int] = {}

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """A call without an id gets one from its place, for the answer to refer to."""
        return tuple(
            ToolCall(call.id or f"call_{place}", call.name, "".join(call.arguments))
            for place, call in enumerate(self._building)
        )

    def receive(self, wire: _WireCall) -> ToolCallDelta:
        place = self._place(wire)
        call = self._building[place]
        new_id, new_name = ("" if call.id else wire.id), ("" if call.name else wire.name)
        call.id, call.name = call.id or wire.id, call.name or wire.name
        call.arguments.append(wire.arguments)
        return ToolCallDelta(place, new_id, new_name, wire.arguments)

    def _place(self, wire: _WireCall) -> int:
        known = self._known(wire)
        place = len(self._building) if known is None else known
        if known is None:
            if place == MAX_TOOL_CALLS:
                raise ProtocolError(f"tool_calls: expected at most {MAX_TOOL_CALLS} in a reply")
            self._building.append(_Building())
        if wire.index is not None:
            self._at_index[wire.index] = place
        return place

    def _known(self, wire: _WireCall) -> int | None:
        """Where the call that this continues is; None if it starts one."""
        if wire.id:
            same = next((i for i, call in enumerate(self._building) if call.id == wire.id), None)
            if same is not None:
                return same
        if wire.index is not None:
            place = self._at_index.get(wire.index)
            taken = place is not None and bool(wire.id) and bool(self._building[place].id)
            return None if taken else place
        if wire.id or wire.name or not self._building:
            return None
        return len(self._building) - 1


# --- framing ---------------------------------------------------------------------------------------------


class Framing(Protocol):
    """Cuts an answer's body into messages."""

    def receive_data(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. Raises `ProtocolError` for one over its bound."""
        ...

    def end(self) -> list[bytes]:
        """The body has ended; what was left of it. Raises `ConnectionLostError` if that cannot be all."""
        ...


class Events:
    """Server-sent events: gives the data of each; comments, names, ids and retry times are passed over."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._total = 0
        self._after_cr = False
        self._first = True

    def receive_data(self, data: bytes) -> list[bytes]:
        self._total += len(data)
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        elif not data:
            return []
        self._after_cr = data.endswith(b"\r")
        begun, *rest = _LINE_END.split(data)
        self._line += begun
        done = []
        for part in rest:
            done += self._take_line()
            self._line += part
        if len(self._line) + self._size > MAX_EVENT_BYTES or self._total > MAX_REPLY_BYTES:
            raise ProtocolError(
                f"a reply of at most {MAX_REPLY_BYTES} bytes in events of at most {MAX_EVENT_BYTES} was expected"
            )
        return done

    def end(self) -> list[bytes]:
        """An end mark need not be followed by a blank line; half an event is dropped, as the standard says."""
        if self._line:
            self._take_line()
        return [DONE] if [part.strip() for part in self._data] == [DONE] else []

    def _take_line(self) -> list[bytes]:
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            line, self._first = line.removeprefix(_BOM), False
        if not line:
            return self._take_event()
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)
        return []

    def _take_event(self) -> list[bytes]:
        event = [b"\n".join(self._data)] if self._data else []
        self._data, self._size = [], 0
        return event


class Whole:
    """A body that is one JSON message, and then done."""

    def __init__(self) -> None:
        self._body = bytearray()

    def receive_data(self, data: bytes) -> list[bytes]:
        self._body += data
        if len(self._body) > MAX_REPLY_BYTES:
            raise ProtocolError(f"a reply of at most {MAX_REPLY_BYTES} bytes was expected")
        return []

    def end(self) -> list[bytes]:
        return [bytes(self._body), DONE]


def framing_of(vendor: str, content_type: str) -> Framing:
    """By what the answer says it is, which may not be what was asked for. Raises `ProtocolError` for anything else."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return Events()
    if kind in ("application/json", "text/json"):
        return Whole()
    raise ProtocolError(f"{vendor}: expected an answer of events or JSON, got content type {kind[:80]!r}")


def cut_short(vendor: str) -> ConnectionLostError:
    """The error of an answer that ended before its end mark."""
    return ConnectionLostError(f"{vendor}: the reply ended without its end mark", reason="no end mark")


# --- what the vendor refuses -----------------------------------------------------------------------------

_STATUS_ERRORS: dict[int, type[VendorError]] = {
    401: AuthError,
    402: QuotaError,
    403: AuthError,
    408: VendorUnavailableError,
    429: RateLimitError,
}
_NAMED_ERRORS: dict[str, type[VendorError]] = {
    "authentication_error": AuthError,
    "invalid_api_key": AuthError,
    "insufficient_quota": QuotaError,
    "insufficient_credits": QuotaError,
    "rate_limit_error": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "invalid_request_error": InvalidRequestError,
}


def refusal(
    vendor: str, shown_url: str, status: int, headers: Mapping[str, str], body: bytes, key: Secret
) -> VoicecoreError:
    """The error of an answer whose status is not 2xx. `headers` have lower-case names; `body` may be a part of it."""
    if status < 400:
        return _final(ConnectionFailedError(f"{vendor}: {shown_url} answered HTTP {status}; no redirect is followed"))
    message, code = _said(body)
    text = f"{vendor}: HTTP {status}" + (f": {_shown(message, key)}" if message else "")
    kind = _kind_of(status)
    error = kind(text, vendor, _shown(code, key) or str(status))
    error.retry_after = _retry_after(headers) if error.retryable else None
    return error


def stream_error(vendor: str, message: Mapping[str, Any], key: Secret) -> VendorError:
    """The error of a message in the middle of a reply: by its numeric code, else its name, else the vendor's fault."""
    text, code = _words(message)
    details = message.get("error")
    names = [code, *(str(details.get("type", "")) for details in [details] if isinstance(details, dict))]
    kind = next((_NAMED_ERRORS[name.lower()] for name in names if name.lower() in _NAMED_ERRORS), None)
    if kind is None and re.fullmatch(r"[45]\d\d", code):
        kind = _kind_of(int(code))
    kind = kind or VendorUnavailableError
    return kind(f"{vendor}: {_shown(text, key) or 'an error without words'}", vendor, _shown(code, key))


def _kind_of(status: int) -> type[VendorError]:
    return _STATUS_ERRORS.get(status, VendorUnavailableError if status >= 500 else InvalidRequestError)


def _final(error: VoicecoreError) -> VoicecoreError:
    error.retryable = False
    return error


def _said(body: bytes) -> tuple[str, str]:
    """Words and code of an error's body, which may be no JSON at all."""
    try:
        return _words(parse_json(body))
    except MessageError:
        text = body.decode("utf-8", "replace").strip()
        return ("" if text.startswith("<") else text), ""  # a proxy's HTML page says nothing


def _words(message: Mapping[str, Any]) -> tuple[str, str]:
    error = message.get("error")
    details = error if isinstance(error, dict) else {"message": error, **message} if error else message
    text = details.get("message") or details.get("detail") or error or ""
    code = details.get("code") or details.get("error_code") or ""
    return (text if isinstance(text, str) else json.dumps(text)), str(code)


def _shown(text: str, key: Secret) -> str:
    """A vendor's text as it may be shown: one line, not too long, without the key that it may echo."""
    line = " ".join(key.hidden_in(text.encode("utf-8", "replace")).decode().split())
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}..."


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date is taken against the answer's own, so no clock of ours is needed."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())
