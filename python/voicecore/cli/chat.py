"""`voicecore chat`: a vendor's language model, once or line by line."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import trio
import typer

from voicecore.cli import output
from voicecore.errors import VoicecoreError
from voicecore.llm import LLM, ChatStream, connect_llm
from voicecore.vendors.sixtydb.llm import DEFAULT_MODEL, VENDOR, SixtydbChatOptions

EPILOG = output.epilog(
    ("voicecore chat 'What is mu-law?'", "one reply"),
    ("voicecore chat", "a conversation: a line is a turn, Ctrl-D ends it"),
    ("voicecore chat - --json < question.txt", "the message from stdin; the reply as JSON"),
    ("voicecore chat 'Hello.' --url http://127.0.0.1:8765/v1/chat/completions", "to `voicecore emulate`"),
    after=f"{output.EXIT_CODES}\n\nThe key comes from the environment: SIXTY_DB_API_KEY for 60db.",
)
PROMPT = "> "


@dataclass(slots=True)
class _Conversation:
    """What was said so far, and how it is shown."""

    llm: LLM
    stream: bool
    as_json: bool
    messages: list[dict[str, Any]] = field(default_factory=list)


def chat(
    message: Annotated[
        str | None, typer.Argument(help="What to say; - reads it from stdin. Without it, every line is a turn.")
    ] = None,
    vendor: Annotated[str, typer.Option(help="Whose model.")] = VENDOR,
    model: Annotated[str, typer.Option(help="The vendor's name for a model.")] = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option(help="What the model is told beforehand.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 2.")] = None,
    top_k: Annotated[int | None, typer.Option(help="1 to 1000.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest reply.")] = None,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Whether the model thinks first.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Ask for the reply in one piece.")] = False,
    url: Annotated[str | None, typer.Option(help="Instead of the vendor's own (http:// or https://).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each reply as one line of JSON.")] = False,
) -> None:
    """Chat with a vendor's language model."""
    options = SixtydbChatOptions(
        model=model, temperature=temperature, top_k=top_k, max_tokens=max_tokens, enable_thinking=thinking
    )
    told = [] if system is None else [{"role": "system", "content": system}]
    said = sys.stdin.read() if message == "-" else message
    trio.run(_run, vendor, url, options, told, said, not whole, as_json)


async def _run(
    vendor: str,
    url: str | None,
    options: SixtydbChatOptions,
    told: list[dict[str, Any]],
    said: str | None,
    stream: bool,
    as_json: bool,
) -> None:
    async with connect_llm(vendor, url=url, options=options) as llm:
        conversation = _Conversation(llm, stream, as_json, told)
        if said is not None:
            await _turn(conversation, said)
            return
        while (line := await _next_line()) is not None:
            if line:
                await _try_turn(conversation, line)


async def _next_line() -> str | None:
    """What the user types, None at the end. The prompt goes to stderr, and only to a terminal."""
    if sys.stdin.isatty():
        print(PROMPT, end="", file=sys.stderr, flush=True)
    line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return line.strip() if line else None


async def _try_turn(conversation: _Conversation, line: str) -> None:
    """At a terminal an error that may pass ends the turn and not the conversation."""
    known = len(conversation.messages)
    try:
        await _turn(conversation, line)
    except VoicecoreError as error:
        if not (sys.stdin.isatty() and error.retryable):
            raise
        del conversation.messages[known:]
        output.note(f"error: {error}")


async def _turn(conversation: _Conversation, text: str) -> None:
    conversation.messages.append({"role": "user", "content": text})
    async with conversation.llm.chat(conversation.messages, stream=conversation.stream) as reply:
        if conversation.as_json:
            await reply.read()
            output.print_json(describe(reply))
        else:
            await _show(reply)
    conversation.messages.append(reply.message)


async def _show(reply: ChatStream) -> None:
    try:
        async for delta in reply:
            print(delta.content, end="", flush=True)
    finally:
        if reply.content:
            print(flush=True)
    for call in reply.tool_calls:
        print(f"{call.name}({call.arguments})", flush=True)


def describe(reply: ChatStream) -> dict[str, Any]:
    """A finished reply as JSON. Times in seconds."""
    metrics, usage = reply.metrics, reply.usage
    return {
        "model": reply.model,
        "content": reply.content,
        "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in reply.tool_calls],
        "finish_reason": reply.finish_reason,
        "usage": usage and {name: getattr(usage, name) for name in usage.__slots__},
        "chat_id": reply.chat_id,
        "ttft": metrics.ttft and round(metrics.ttft, 6),
        "duration": metrics.duration and round(metrics.duration, 6),
        "attempts": metrics.attempts,
    }
