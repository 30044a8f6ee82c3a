"""Where a URL leads, which URLs are refused, and what went wrong on the way, in plain words. It opens nothing."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from voicecore.errors import ConfigurationError
from voicecore.secret import without_query


class Target(NamedTuple):
    """The host and port of a WebSocket URL; `shown` is the URL without what may hold a key."""

    host: str
    port: int
    secure: bool
    shown: str

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        return cls(parts.hostname or "", parts.port or (443 if secure else 80), secure, without_query(url))


def check_url(url: str, *, allow_plaintext: bool, plain: str = "ws", secure: str = "wss") -> None:
    """Refuses what is no URL of these schemes, and a key in clear text to anything but this machine."""
    shown = without_query(url)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        raise ConfigurationError(f"url: {error}, got {shown!r}") from None
    if parts.scheme not in (plain, secure) or not parts.hostname:
        raise ConfigurationError(f"url: expected {plain}:// or {secure}:// with a host, got {shown!r}")
    if parts.scheme == plain and not allow_plaintext and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"url: expected {secure}:// ({plain}:// would send the key in clear text; allow_plaintext=True if you mean "
            f"it), got {shown!r}"
        )


def is_loopback(host: str) -> bool:
    """True for a name or address of this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reason_of(error: BaseException) -> str:
    """The first plain words in a chain of causes: trio wraps one refusal per address."""
    inner = error.__cause__ if error.__cause__ is not None else error
    if isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
