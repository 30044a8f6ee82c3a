"""Opens the TCP or TLS stream under a connection, on trio, and says what went wrong in voicecore's words."""

from __future__ import annotations

import ipaddress
import ssl
from urllib.parse import urlsplit

import trio

from voicecore.errors import ConfigurationError, ConnectionFailedError, TlsError
from voicecore.secret import without_query


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


async def open_stream(url: str, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    """Connects. Raises `ConnectionFailedError` or `TlsError`. Cancelling it leaves no socket behind."""
    parts = urlsplit(url)
    host, shown = parts.hostname or "", without_query(url)
    secure = parts.scheme == "wss"
    try:
        tcp = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    except OSError as error:
        raise ConnectionFailedError(f"connecting to {shown}: {_reason(error)}") from None
    tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    if not secure:
        return tcp
    context = ssl_context or ssl.create_default_context()
    stream = trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, trio.BrokenResourceError):
            raise TlsError(f"TLS with {shown}: {_reason(error.__cause__ or error)}") from None
        raise
    return stream


def is_loopback(host: str) -> bool:
    """True for a name or address of this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: BaseException) -> str:
    """The first plain words in a chain of causes: trio wraps one refusal per address."""
    inner = error.__cause__ if error.__cause__ is not None else error
    if isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
