"""voicecore's errors as LiveKit's: its retries, its fallback adapters and its users know those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from voicecore.errors import (
    AuthError,
    CodecError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    QuotaError,
    RateLimitError,
    StateError,
    VendorError,
    VoicecoreError,
)

# What the vendors say in band has no HTTP status; LiveKit decides by the status whether to try again.
_STATUS: dict[type[VendorError], int] = {
    AuthError: 401,
    QuotaError: 402,
    RateLimitError: 429,
    InvalidRequestError: 400,
}
_VENDOR_FAILED = 503


@contextmanager
def livekit_errors() -> Iterator[None]:
    """Raises LiveKit's error in place of ours, which stays its cause."""
    try:
        yield
    except VoicecoreError as error:
        raise api_error(error) from error


def api_error(error: VoicecoreError) -> APIError:
    """The error of LiveKit's that says the same, as retryable as ours."""
    match error:
        case DeadlineError():
            return APITimeoutError(str(error), retryable=error.retryable)
        case VendorError():
            return APIStatusError(str(error), status_code=_status_of(error), retryable=error.retryable)
        case ConfigurationError() | StateError() | CodecError():
            return APIError(str(error), retryable=False)
    return APIConnectionError(str(error), retryable=error.retryable)


def _status_of(error: VendorError) -> int:
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), _VENDOR_FAILED)
