"""What the emulator's language model says: a script's turns, or a small grammar without any model behind it. Pure.

The demo phrases have answers; a tool is called when its name's words are in what the user said; everything else is
echoed. The same request always gets the same reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicecore.chat import ToolCall
from voicecore.emulator.faults import EmulatorFault, parse_fault
from voicecore.emulator.grammar import words_of
from voicecore.emulator.phrases import PHRASES
from voicecore.errors import ConfigurationError

_ANSWERS = (
    "Thank you, I will be there on Monday at nine.",
    "And the dog did not even wake up.",
    "You can help me with my order.",
    "Of course, I will hold.",
    "I am putting you through to a human agent.",
    "That is good news, thank you.",
    "Of course. I will say it again, more slowly.",
    "It will be sunny in Paris this weekend.",
    "Then let me say it in other words.",
    "Thursday afternoon suits me well.",
    "That is fine with me.",
    "Thank you, we are looking forward to it.",
    "Goodbye!",
)
ANSWERS = dict(zip((tuple(words_of(phrase)) for phrase in PHRASES), _ANSWERS, strict=True))

_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z]\w+")  # a capital letter that starts no sentence
_NOT_TELLING = {"get", "set", "the", "look", "up", "find", "of", "a"}  # words of a tool's name that say little


@dataclass(frozen=True, slots=True)
class LlmTurn:
    """One answer of a script. `indexed` False leaves `index` out of its tool calls' deltas, as the vendor may do.

    `fault` refuses or spoils it, as `voicecore emulate --fault` would ("http=503", "drop@2"); `retry_after`: seconds,
    of a refusal. Raises `ConfigurationError` for a fault that is none.
    """

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    fault: str | None = None
    retry_after: float | None = None
    indexed: bool = True

    def __post_init__(self) -> None:
        self.faults()

    def faults(self) -> tuple[EmulatorFault, ...]:
        """What befalls this turn alone."""
        return () if self.fault is None else (parse_fault(self.fault),)


def parse_script(data: bytes) -> tuple[LlmTurn, ...]:
    """A script as it stands in a file: a JSON list of turns, each an object with the names of `LlmTurn`.

    A tool call has a `name`, `arguments` (an object, or the text that the model wrote) and, if it matters, an `id`.
    Raises `ConfigurationError`.
    """
    try:
        turns = json.loads(data)
    except ValueError as error:
        raise ConfigurationError(f"script: expected JSON: {error}") from None
    if not isinstance(turns, list):
        raise ConfigurationError(f"script: expected a list of turns, got {type(turns).__name__}")
    return tuple(_parsed_turn(place, turn) for place, turn in enumerate(turns))


_TURN_FIELDS = {
    "content": (str,),
    "tool_calls": (list,),
    "fault": (str, type(None)),
    "retry_after": (int, float, type(None)),
    "indexed": (bool,),
}


def _parsed_turn(place: int, turn: object) -> LlmTurn:
    where = f"script: turn {place}"
    if not isinstance(turn, dict):
        raise ConfigurationError(f"{where}: expected an object, got {type(turn).__name__}")
    for name, value in turn.items():
        if name not in _TURN_FIELDS:
            raise ConfigurationError(f"{where}: expected {', '.join(_TURN_FIELDS)}, got {name!r}")
        if not isinstance(value, _TURN_FIELDS[name]):
            raise ConfigurationError(f"{where}: {name}: got {type(value).__name__}")
    calls = tuple(_parsed_call(f"{where}: tool call {n}", n, call) for n, call in enumerate(turn.get("tool_calls", ())))
    return LlmTurn(**{**turn, "tool_calls": calls})


def _parsed_call(where: str, place: int, call: object) -> ToolCall:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ConfigurationError(f"{where}: expected an object with a name")
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(str(call.get("id", f"call_{place}")), call["name"], text)


def reply_to(request: Mapping[str, Any]) -> LlmTurn:
    """The grammar's answer to a request."""
    messages = request["messages"]
    said = text_of(messages[-1])
    if messages[-1].get("role") == "tool":
        return LlmTurn(f"The answer is {said}.")
    calls = _calls(said, request)
    if calls:
        return LlmTurn(tool_calls=calls)
    return LlmTurn(ANSWERS.get(tuple(words_of(said)), f"You said: {said}"))


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text, of whatever parts it is made."""
    content = message.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def tokens_of(text: str) -> list[str]:
    """Words with the space before them: what one delta carries, and what `usage` counts."""
    return re.findall(r"\s*\S+|\s+$", text)


def _calls(said: str, request: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    choice = request.get("tool_choice", "auto")
    functions = [tool["function"] for tool in request.get("tools") or request.get("tool") or ()]
    if choice == "none" or not functions:
        return ()
    wanted = [function for function in functions if _is_meant(function["name"], said)]
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        wanted = [function for function in functions if function["name"] == name]
    elif choice == "required":
        wanted = wanted or functions[:1]
    calls = [(function["name"], subject) for function in wanted for subject in _NAME.findall(said) or [said]]
    schemas = {function["name"]: function for function in functions}
    return tuple(
        ToolCall(f"call_{place}", name, _arguments(schemas[name], subject))
        for place, (name, subject) in enumerate(calls)
    )


def _is_meant(name: str, said: str) -> bool:
    telling = set(words_of(name.replace("_", " ").replace("-", " "))) - _NOT_TELLING
    return bool(telling) and telling <= set(words_of(said))


def _arguments(function: Mapping[str, Any], subject: str) -> str:
    """What the call is about, for each text that the function needs."""
    schema = function.get("parameters") or {}
    properties = schema.get("properties") or {}
    texts = [name for name in schema.get("required") or properties if properties.get(name, {}).get("type") == "string"]
    return json.dumps(dict.fromkeys(texts, subject))
