"""Range checks for the vendors' option classes: each says the field, what is expected and what came."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from voicecore.errors import ConfigurationError, TextTooLongError


def expect_one_of(what: str, got: Any, allowed: Collection[Any]) -> None:
    """Refuses a value outside a closed set. None means unset and passes."""
    if got is not None and not any(got == value and type(got) is type(value) for value in allowed):
        raise ConfigurationError(f"{what}: expected one of {', '.join(map(str, allowed))}, got {got!r}")


def expect_range(what: str, got: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Refuses a number outside `low` to `high`, or a fraction where it must be `whole`. None means unset and passes."""
    if got is None:
        return
    number = isinstance(got, int if whole else (int, float)) and not isinstance(got, bool)
    if not (number and low <= got <= high):
        kind = "a whole number from " if whole else ""
        raise ConfigurationError(f"{what}: expected {kind}{low} to {high}, got {got!r}")


def expect_type(what: str, got: Any, kind: type | tuple[type, ...]) -> None:
    """Refuses a value of another type. None means unset and passes."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if got is None or (isinstance(got, kinds) and (bool in kinds or not isinstance(got, bool))):
        return
    names = " or ".join(k.__name__ for k in kinds)
    raise ConfigurationError(f"{what}: expected {names}, got {type(got).__name__}")


def expect_text(what: str, got: Any, longest: int) -> None:
    """Refuses text that is missing, blank, over the limit or not Unicode."""
    if not isinstance(got, str) or not got.strip():
        raise ConfigurationError(f"{what}: expected text, got {got!r}")
    if len(got) > longest:
        raise TextTooLongError(f"{what}: expected at most {longest} characters, got {len(got)}")
    try:
        got.encode()
    except UnicodeEncodeError as fault:
        raise ConfigurationError(f"{what}: expected Unicode, got half of a surrogate pair at {fault.start}") from None


def without_unset(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are set: vendors take an absent field for their default."""
    return {name: value for name, value in fields.items() if value is not None}
