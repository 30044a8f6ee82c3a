"""Messages that are wrong in one place, and whether what is read of them has the types that it should have. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

WRONG: tuple[Any, ...] = (None, True, -1, 0.5, 10**400, "", "x", "\0", [], [None], {}, {"x": 1})


def body_of(message: str | bytes) -> tuple[str, dict[str, Any], str] | None:
    """The JSON object in a message, with what stands before and after it; None if it holds none."""
    try:
        text = message if isinstance(message, str) else message.decode()
        before, body, after = re.fullmatch(r"([^{]*)(\{.*\})([^}]*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        value = json.loads(body)
    except (AttributeError, ValueError):
        return None
    return before, value, after


def like(message: str | bytes, before: str, body: Any, after: str) -> str | bytes:
    text = f"{before}{json.dumps(body)}{after}"
    return text if isinstance(message, str) else text.encode()


def damaged(message: str | bytes) -> Iterator[str | bytes]:
    yield from (message[:end] for end in range(len(message)))
    if parts := body_of(message):
        for body in _changed(parts[1]):
            yield like(message, parts[0], body, parts[2])


def _changed(value: Any) -> Iterator[Any]:
    """JSON values like this one, each different in one place."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            rest = {name: other for name, other in value.items() if name != key}
            yield rest
            yield from ({**value, key: other} for other in (*WRONG, *_changed(inner)))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in (*WRONG, *_changed(inner)))


def fits(value: Any, hint: Any) -> bool:
    """True for a value of an annotated type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is value is None or hint is type(None) is type(value):
        return True
    if origin in (Union, UnionType):
        return any(fits(value, other) for other in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(item, arguments[0]) for item in value)
    return isinstance(value, (int, float) if hint is float else origin or hint)
