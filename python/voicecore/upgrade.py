"""The WebSocket upgrade: what may go into its request, and what an answer other than 101 means. Pure."""

from __future__ import annotations

from math import isfinite

from websockets.exceptions import InvalidURI
from websockets.http11 import Response
from websockets.uri import WebSocketURI, parse_uri

from voicecore.errors import (
    AuthError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidRequestError,
    QuotaError,
    RateLimitError,
    VendorUnavailableError,
    VoicecoreError,
)
from voicecore.secret import without_query


def checked_headers(headers: dict[str, str]) -> dict[str, str]:
    """Refuses what would break the upgrade request apart: a key with a line break at its end is a common slip."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigurationError(f"header {name}: expected printable ASCII without line breaks")
    return headers


def parse_url(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError):
        shown = without_query(url)
        raise ConfigurationError(f"url: expected ws:// or wss:// with a host, got {shown!r}") from None


def refusal_of(vendor: str, shown_url: str, response: Response) -> VoicecoreError:
    """An upgrade that was answered with something other than 101."""
    status = response.status_code
    text = f"{vendor}: {shown_url} refused the connection: HTTP {status} {response.reason_phrase}".rstrip()
    error: VoicecoreError
    if status in (401, 403):
        return AuthError(text, vendor, str(status))
    if status == 402:
        return QuotaError(text, vendor, str(status))
    if status == 429:
        error = RateLimitError(text, vendor, str(status))
    elif status >= 500:
        error = VendorUnavailableError(text, vendor, str(status))
    elif status == 400:
        return InvalidRequestError(text, vendor, str(status))
    else:
        error = ConnectionFailedError(text)
        error.retryable = False
        return error
    error.retry_after = _retry_after(response)
    return error


def _retry_after(response: Response) -> float | None:
    """The header in seconds; its date form is rare on WebSockets and taken as absent."""
    for value in response.headers.get_all("Retry-After")[:1]:
        if value.isascii() and value.isdigit() and isfinite(seconds := float(value)):
            return seconds
    return None
