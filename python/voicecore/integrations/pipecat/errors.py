"""voicecore's errors in Pipecat's categories, which decide whether a service is given up."""

from __future__ import annotations

from pipecat.utils.errors import ErrorCategory

from voicecore.errors import (
    AuthError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineError,
    InvalidRequestError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    TextTooLongError,
    VendorError,
)

_CATEGORIES: dict[type[Exception], ErrorCategory] = {
    AuthError: ErrorCategory.AUTHENTICATION,
    QuotaError: ErrorCategory.QUOTA,
    RateLimitError: ErrorCategory.RATE_LIMIT,
    InvalidRequestError: ErrorCategory.INVALID_REQUEST,
    VendorError: ErrorCategory.SERVER,
    ProtocolError: ErrorCategory.SERVER,
    TextTooLongError: ErrorCategory.APPLICATION,  # one text is refused; the next may be spoken
    ConfigurationError: ErrorCategory.INVALID_REQUEST,
    DeadlineError: ErrorCategory.CONNECTIVITY,
    ConnectionFailedError: ErrorCategory.CONNECTIVITY,
    ConnectionLostError: ErrorCategory.CONNECTIVITY,
}


def category_of(error: Exception) -> ErrorCategory | None:
    """Pipecat's category; None for what is not ours to judge."""
    return next((category for kind, category in _CATEGORIES.items() if isinstance(error, kind)), None)
