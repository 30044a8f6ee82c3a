"""The emulator's language model over HTTP/1.1: chat completions on the vendor's path, streamed or whole, kept alive."""

from __future__ import annotations

import json
import re
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from voicecore.chat import ToolCall
from voicecore.emulator.faults import EmulatorFault, refusal_of
from voicecore.emulator.profile import Profile
from voicecore.emulator.replies import LlmTurn, reply_to, text_of, tokens_of
from voicecore.errors import MessageError
from voicecore.protocol import parse_json
from voicecore.vendors.sixtydb.llm import DEFAULT_MODEL, PATH, ROLES

READ_BYTES = 64 * 2**10
MAX_BODY_BYTES = 4 * 2**20
IDLE_SECONDS = 60.0  # a kept connection that asks nothing is closed
MAX_REMEMBERED = 1000  # requests

_REFUSALS = {  # what the faults `http` and `error` say: type, code, words
    401: ("authentication_error", "invalid_api_key", "Invalid API key."),
    402: ("insufficient_quota", "INSUFFICIENT_CREDITS", "Insufficient credits."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Too many requests."),
    500: ("server_error", "internal_error", "The model has failed."),
    503: ("server_error", "unavailable", "No model is free."),
}


class ChatService:
    """The model: where its script is, and what it was asked."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.requests: deque[Mapping[str, Any]] = deque(maxlen=MAX_REMEMBERED)
        self._script = deque(profile.llm_script)
        self._asked = 0

    def turn(self, request: Mapping[str, Any]) -> LlmTurn:
        """What comes next in the script; the grammar's answer once it is over. A fault may refuse it before."""
        self.requests.append(request)
        self._asked += 1
        if status := refusal_of(self.profile.faults, self._asked - 1):
            return LlmTurn(fault=f"http={status}", retry_after=1)
        return self._script.popleft() if self._script else reply_to(request)


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: str, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.message, self.retry_after = status, kind, code, message, retry_after

    @classmethod
    def by_status(cls, status: int, retry_after: float | None = None) -> _Refused:
        """In the vendor's words where it has some for this status."""
        return cls(status, *_REFUSALS.get(status, ("server_error", f"http_{status}", "A fault.")), retry_after)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": None, "code": self.code}}


class _BrokenOff(Exception):
    """The answer stays as it is, and the connection ends."""


async def serve_chat(service: ChatService, stream: trio.abc.Stream) -> None:
    """Serves one connection until the client leaves it, or lets it lie."""
    idle = min([IDLE_SECONDS, *(fault.value for fault in service.profile.faults if fault.name == "idle")])
    http = _Http(stream, idle)
    with suppress(_BrokenOff):
        while (request := await http.read_request()) is not None:
            try:
                turn, asked = _understood(service, *request)
                await _answer(service, http, turn, asked)
            except _Refused as refusal:
                await _refuse(http, refusal)
            if not http.next_request():
                return


# --- requests --------------------------------------------------------------------------------------------


def _understood(service: ChatService, head: h11.Request, body: bytes) -> tuple[LlmTurn, dict[str, Any]]:
    """Raises `_Refused` in the order in which a server finds out."""
    if urlsplit(head.target.decode("latin-1")).path != PATH:
        raise _Refused(404, "invalid_request_error", "not_found", "No such path.")
    if head.method != b"POST":
        raise _Refused(405, "invalid_request_error", "method_not_allowed", "Only POST is served here.")
    if not service.profile.accepts(_key_of(head)):
        raise _Refused.by_status(401)
    if service.profile.no_credit:
        raise _Refused.by_status(402)
    asked = _checked(body)
    turn = service.turn(asked)
    if status := refusal_of(turn.faults(), 0):
        raise _Refused.by_status(status, turn.retry_after)
    return turn, asked


def _key_of(head: h11.Request) -> str | None:
    value = next((value for name, value in head.headers if name == b"authorization"), b"").decode("latin-1")
    scheme, _, key = value.partition(" ")
    return key if scheme.lower() == "bearer" else None


def _checked(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise _Refused(413, "invalid_request_error", "too_large", f"At most {MAX_BODY_BYTES} bytes are taken.")
    try:
        asked = parse_json(body)
    except MessageError as error:
        raise _Refused(400, "invalid_request_error", "invalid_json", str(error)) from None
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Refused(400, "invalid_request_error", "missing_messages", "messages: expected a list, not empty.")
    if not all(isinstance(message, dict) and message.get("role") in ROLES for message in messages):
        raise _Refused(422, "invalid_request_error", "invalid_role", f"messages: expected roles {', '.join(ROLES)}.")
    tools = asked.get("tools") or asked.get("tool") or []
    if not isinstance(tools, list) or not all(_is_function(tool) for tool in tools):
        raise _Refused(422, "invalid_request_error", "invalid_tools", "tools: expected functions with names.")
    return asked


def _is_function(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


# --- answers ---------------------------------------------------------------------------------------------


async def _refuse(http: _Http, refusal: _Refused) -> None:
    after = {} if refusal.retry_after is None else {"Retry-After": f"{refusal.retry_after:g}"}
    await http.send_json(refusal.status, _dump(refusal.body), **after)


async def _answer(service: ChatService, http: _Http, turn: LlmTurn, asked: Mapping[str, Any]) -> None:
    chat_id = asked.get("chat_id") or str(uuid.uuid4())
    common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": 0, "model": asked.get("model") or DEFAULT_MODEL}
    answer = _Answering(service.profile, http, turn, asked, common, chat_id, trio.current_time())
    if asked.get("stream", True) is False:
        await answer.whole()
    else:
        await answer.streamed()


@dataclass(frozen=True, slots=True)
class _Answering:
    """One answer on its way."""

    profile: Profile
    http: _Http
    turn: LlmTurn
    asked: Mapping[str, Any]
    common: Mapping[str, Any]
    chat_id: str
    began: float

    @property
    def faults(self) -> tuple[EmulatorFault, ...]:
        """Everybody's and this turn's."""
        return (*self.profile.faults, *self.turn.faults())

    async def whole(self) -> None:
        usage = _usage(self.turn, self.asked)
        await trio.sleep(self.profile.llm_token_seconds * usage["completion_tokens"])
        choice = {"index": 0, "message": _message(self.turn), "finish_reason": _finish_reason(self.turn)}
        fields = {"object": "chat.completion", "choices": [choice], "usage": usage}
        text = await self._spoiled(_dump({**self.common, **fields, **self._last_fields()}), 0)
        await self.http.send_json(200, text)

    async def streamed(self) -> None:
        await self.http.start_events()
        if not self.asked.get("chat_id") and self.asked.get("save_chat") is not False:
            await self.http.send_event({"type": "chat_id", "chat_id": self.chat_id})
        await self.http.send_event(self._chunk({"role": "assistant", "content": ""}))
        try:
            for said, delta in enumerate(_deltas(self.turn)):
                await trio.sleep(self.profile.llm_token_seconds)
                await self.http.send_data(await self._spoiled(_dump(self._chunk(delta)), said))
        except _Refused as refusal:
            await self.http.send_event(refusal.body)
        else:
            await self._finish()
        await self.http.end()

    async def _finish(self) -> None:
        usage = _usage(self.turn, self.asked)
        await self.http.send_event({**self._chunk({}, _finish_reason(self.turn)), "usage": usage})
        await self.http.send_event({"type": "done", **self._last_fields()})
        if not any(fault.name == "unended" for fault in self.faults):
            await self.http.send_data("[DONE]")

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self.common, "object": "chat.completion.chunk", "choices": [choice]}

    async def _spoiled(self, text: str, said: int) -> str:
        """A message as the faults have it, `said` others after the reply's begin. Raises `_Refused`, `_BrokenOff`."""
        for fault in self.faults:
            due = said == (fault.after or 0)
            match fault.name:
                case "late" if due:
                    await trio.sleep(fault.value)
                case "slow":
                    await trio.sleep(fault.value)
                case "stall" if due:
                    await self.http.until_left()
                    raise _BrokenOff
                case "drop" if due:
                    raise _BrokenOff
                case "error" if due:
                    raise _Refused.by_status(500)
                case "garbage" if due:
                    text = "{garbage"
                case "truncate" if due:
                    text = text[: len(text) * 2 // 3]
        return text

    def _last_fields(self) -> dict[str, Any]:
        return {"chat_id": self.chat_id, "response_time_ms": round((trio.current_time() - self.began) * 1000)}


def _deltas(turn: LlmTurn) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"content": token} for token in tokens_of(turn.content)]
    for index, call in enumerate(turn.tool_calls):
        place = {"index": index} if turn.indexed else {}
        said += [{"tool_calls": [{**place, **piece}]} for piece in _pieces(call)]
    return said


def _pieces(call: ToolCall) -> list[dict[str, Any]]:
    """First the call's name, then its arguments in several parts."""
    cuts = [0, *(match.end() for match in re.finditer(r"[:,]", call.arguments)), len(call.arguments)]
    parts = [call.arguments[start:end] for start, end in pairwise(cuts)]
    first = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    return [first, *({"function": {"arguments": part}} for part in parts if part)]


def _message(turn: LlmTurn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.content or None}
    if turn.tool_calls:
        message["tool_calls"] = [call.message() for call in turn.tool_calls]
    return message


def _finish_reason(turn: LlmTurn) -> str:
    return "tool_calls" if turn.tool_calls else "stop"


def _usage(turn: LlmTurn, asked: Mapping[str, Any]) -> dict[str, int]:
    """Words, since there is no model whose tokens could be counted."""
    prompt = sum(len(tokens_of(text_of(message))) for message in asked["messages"])
    reply = len(tokens_of(turn.content)) + sum(len(tokens_of(call.arguments)) + 1 for call in turn.tool_calls)
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def _dump(message: Mapping[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)


# --- HTTP ------------------------------------------------------------------------------------------------


class _Http:
    """h11 over a stream."""

    def __init__(self, stream: trio.abc.Stream, idle: float) -> None:
        self._stream = stream
        self._idle = idle
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=READ_BYTES)

    async def read_request(self) -> tuple[h11.Request, bytes] | None:
        """The next request with its body; None when there is none. A body that is too long is read no further."""
        head: h11.Request | None = None
        body = bytearray()
        try:
            with trio.move_on_after(self._idle):
                while len(body) <= MAX_BODY_BYTES:
                    match await self._next_event():
                        case h11.Request() as head:
                            pass
                        case h11.Data(data=data):
                            body += data
                        case h11.EndOfMessage():
                            break
                        case _:
                            return None
        except h11.RemoteProtocolError as error:
            await self.send_json(error.error_status_hint, _dump({"error": {"message": "Not a request."}}))
            return None
        return None if head is None else (head, bytes(body))

    async def _next_event(self) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(bytes(await self._stream.receive_some(READ_BYTES)))
        return event

    def next_request(self) -> bool:
        """Ready for another request on this connection; False if there can be none."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def until_left(self) -> None:
        """Waits until the client leaves, and hears nothing that it says."""
        while await self._stream.receive_some(READ_BYTES):
            pass

    async def send_json(self, status: int, text: str, **headers: str) -> None:
        body = text.encode()
        await self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers})
        await self._send(h11.Data(data=body))
        await self.end()

    async def start_events(self) -> None:
        await self._head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})

    async def send_event(self, message: Mapping[str, Any]) -> None:
        await self.send_data(_dump(message))

    async def send_data(self, text: str) -> None:
        await self._send(h11.Data(data=f"data: {text}\n\n".encode()))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        await self._send(h11.Response(status_code=status, headers=list(headers.items())))

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            await self._stream.send_all(data)
