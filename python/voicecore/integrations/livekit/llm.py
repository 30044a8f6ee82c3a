"""60db's language model for LiveKit Agents.

Attempts are LiveKit's business, by its `APIConnectOptions`: voicecore asks once, and nothing is asked again after the
first word. A tool call is passed on once it is whole.
"""

from __future__ import annotations

import weakref
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr, llm
from livekit.agents.llm import ChatChunk, ChoiceDelta, CompletionUsage, FunctionToolCall
from livekit.agents.utils import is_given

from voicecore.chat import ChatDelta, Usage
from voicecore.deadlines import ChatDeadlines
from voicecore.integrations.livekit.errors import livekit_errors
from voicecore.integrations.livekit.sessions import DEFAULT_SECONDS, Sessions, seconds_of
from voicecore.llm import LLM as Client
from voicecore.llm import ChatStream, connect_llm
from voicecore.reconnect import Reconnect
from voicecore.secret import Secret
from voicecore.vendors.sixtydb.llm import SixtydbChatOptions


class LLM(llm.LLM[Any]):
    """Chats with a vendor by name ("60db"). Arguments, environment and errors as for `TTS`."""

    def __init__(
        self,
        vendor: str = "60db",
        *,
        api_key: str | Secret | None = None,
        url: str | None = None,
        options: SixtydbChatOptions | None = None,
        allow_plaintext: bool = False,
    ) -> None:
        super().__init__()

        def connect(seconds: float) -> AbstractAsyncContextManager[Client]:
            return connect_llm(
                vendor,
                api_key=api_key,
                url=url,
                allow_plaintext=allow_plaintext,
                deadlines=ChatDeadlines(connect=seconds, first_token=seconds, between_chunks=seconds),
                retry=Reconnect(attempts=0),
            )

        connect(DEFAULT_SECONDS)  # raises now rather than in a call
        self._options = options or SixtydbChatOptions()
        self._vendor = vendor
        self._sessions = Sessions(connect)
        self._streams = weakref.WeakSet[LLMStream]()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._options.model

    @property
    def provider(self) -> str:
        """The vendor's name."""
        return self._vendor

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> LLMStream:
        """Asks for a reply. `extra_kwargs`: fields of `SixtydbChatOptions`, and others that are sent as they are.

        Raises `ValueError` at once for a field that may not be replaced or is out of its range.
        """
        changes = dict(extra_kwargs) if is_given(extra_kwargs) else {}
        if is_given(parallel_tool_calls):
            changes["parallel_tool_calls"] = parallel_tool_calls
        if is_given(tool_choice):
            changes["tool_choice"] = tool_choice if isinstance(tool_choice, str) else tool_choice["function"]["name"]
        stream = LLMStream(self, chat_ctx, tools or [], conn_options, _changed(self._options, changes))
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Closes every stream and connection. A later chat opens them again."""
        await super().aclose()
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._sessions.aclose()

    async def _prewarm_impl(self) -> None:
        """Reads the certificates and makes a client; the vendor has no request that costs nothing."""
        self._sessions.prewarm(DEFAULT_SECONDS)


class LLMStream(llm.LLMStream):
    """A reply that is on its way."""

    def __init__(
        self,
        model: LLM,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        options: SixtydbChatOptions,
    ) -> None:
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._model = model
        self._options = options
        self._retry_on_chunk_sent = False

    async def _run(self) -> None:
        messages, _ = self._chat_ctx.to_provider_format(format="openai")
        tools = llm.ToolContext(self._tools).parse_function_tools("openai", strict=False)
        with livekit_errors():
            async with (
                self._model._sessions.use(seconds_of(self._conn_options)) as lease,
                lease.session.chat(messages, tools=tools, options=self._options) as reply,
            ):
                async for delta in reply:
                    self._take(delta, reply)
                self._take_calls(reply)

    def _take(self, delta: ChatDelta, reply: ChatStream) -> None:
        if delta.content:
            self._emit(reply, ChoiceDelta(role="assistant", content=delta.content))
        if delta.usage is not None:
            self._event_ch.send_nowait(ChatChunk(id=reply.id, usage=_usage(delta.usage)))

    def _take_calls(self, reply: ChatStream) -> None:
        calls = [
            FunctionToolCall(name=call.name, arguments=call.arguments or "{}", call_id=call.id)
            for call in reply.tool_calls
        ]
        if calls:
            self._emit(reply, ChoiceDelta(role="assistant", tool_calls=calls))

    def _emit(self, reply: ChatStream, delta: ChoiceDelta) -> None:
        self._event_ch.send_nowait(ChatChunk(id=reply.id, delta=delta))


def _changed(options: SixtydbChatOptions, changes: dict[str, Any]) -> SixtydbChatOptions:
    known = {name: changes[name] for name in changes if name in SixtydbChatOptions.__slots__ and name != "extra"}
    extra = {name: value for name, value in changes.items() if name not in known}
    return replace(options, **known, extra={**options.extra, **extra})


def _usage(usage: Usage) -> CompletionUsage:
    return CompletionUsage(
        completion_tokens=usage.completion_tokens,
        prompt_tokens=usage.prompt_tokens,
        total_tokens=usage.total_tokens,
    )
