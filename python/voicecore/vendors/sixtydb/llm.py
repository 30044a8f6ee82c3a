"""60db chat completions: what the vendor's endpoint takes beyond the common format, and what it is called.

Source: the vendor's page /api-reference/llm/chat-completion, its LiveKit plugin, and protocols.md section 1.3. The page
calls the list of functions `tool` once; its plugin and its examples send `tools`, and so do we.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from voicecore.errors import ConfigurationError
from voicecore.protocol import dump_json
from voicecore.vendors.options import expect_range, expect_text, expect_type, without_unset

VENDOR = "60db"
NAME = "60db-llm"
PATH = "/v1/chat/completions"
DEFAULT_URL = f"https://api.60db.ai{PATH}"
KEY_VARIABLE = "SIXTY_DB_API_KEY"
URL_VARIABLE = "SIXTY_DB_LLM_URL"
DEFAULT_MODEL = "60db-tiny"
EVENTS = frozenset({"chat_id", "done"})  # messages without choices
ROLES = ("system", "developer", "user", "assistant", "tool")
OURS = frozenset({"messages", "stream", "tools"})  # what `extra` may not replace

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SixtydbChatOptions:
    """What a request can say besides its messages and tools; None leaves a field out, for the vendor's default.

    `temperature` 0 to 2, `top_p` 0 to 1, `top_k` 1 to 1000 (the vendor's default is 20), `max_tokens` from 1.
    `enable_thinking` goes into `chat_template_kwargs` (the vendor's default is false). `tool_choice` is "none",
    "auto", "required" or the name of a function. `save_chat`: the vendor keeps the conversation; `chat_id` continues
    one that it kept. `extra`: fields that this class does not know, sent as they are.
    """

    model: str = DEFAULT_MODEL
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    save_chat: bool | None = None
    chat_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        expect_text("model", self.model, 200)
        expect_range("temperature", self.temperature, 0, 2)
        expect_range("top_p", self.top_p, 0, 1)
        expect_range("top_k", self.top_k, 1, 1000, whole=True)
        expect_range("max_tokens", self.max_tokens, 1, 1_000_000, whole=True)
        for name in ("enable_thinking", "parallel_tool_calls", "save_chat"):
            expect_type(name, getattr(self, name), bool)
        for name in ("tool_choice", "chat_id"):
            expect_type(name, getattr(self, name), str)
        for name in ("chat_template_kwargs", "extra"):
            if not isinstance(given := getattr(self, name), Mapping):
                raise ConfigurationError(f"{name}: expected a mapping, got {type(given).__name__}")
        if taken := sorted((set(self.fields()) | OURS) & set(self.extra)):
            raise ConfigurationError(f"extra: {', '.join(taken)} cannot be given there")

    def fields(self) -> dict[str, Any]:
        """The fields of the request that these options are."""
        template = {**self.chat_template_kwargs, **without_unset({"enable_thinking": self.enable_thinking})}
        named: tuple[Literal["none", "auto", "required"], ...] = ("none", "auto", "required")
        function = {"type": "function", "function": {"name": self.tool_choice}}
        return without_unset(
            {
                "model": self.model,
                "temperature": self.temperature,
                "top_p": self.top_p,
                "top_k": self.top_k,
                "max_tokens": self.max_tokens,
                "chat_template_kwargs": template or None,
                "tool_choice": self.tool_choice if self.tool_choice in (None, *named) else function,
                "parallel_tool_calls": self.parallel_tool_calls,
                "save_chat": self.save_chat,
                "chat_id": self.chat_id,
            }
        )


def request_body(
    messages: Sequence[Message], tools: Sequence[Message], options: SixtydbChatOptions, *, stream: bool
) -> bytes:
    """The request as JSON. Raises `ConfigurationError` for messages and tools that are none."""
    _expect_messages(messages)
    _expect_tools(tools)
    said = {"messages": list(messages), "stream": stream}
    given = {"tools": list(tools)} if tools else {}
    return dump_json({**options.fields(), **said, **given, **options.extra}).encode()


def _expect_messages(messages: Sequence[Message]) -> None:
    if isinstance(messages, (str, bytes, Mapping)) or not messages:
        raise ConfigurationError(f"messages: expected a list of at least one message, got {type(messages).__name__}")
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ROLES:
            raise ConfigurationError(f"messages[{place}]: expected a role of {', '.join(ROLES)}, got {role!r}")


def _expect_tools(tools: Sequence[Message]) -> None:
    for place, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
            raise ConfigurationError(f"tools[{place}]: expected a function with a name")
