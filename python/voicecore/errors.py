"""Every error that voicecore raises: one tree, one error at a time.

Each says what happened, where, what was expected and what came instead. `retryable` says whether the same
request may succeed later; `retry_after` is the vendor's hint in seconds where it gave one. No message ever
holds a key: URLs are shown without their query.
"""

from __future__ import annotations


class VoicecoreError(Exception):
    """The root of the tree."""

    retryable: bool = False
    retry_after: float | None = None


# --- the caller's own mistakes ---------------------------------------------------------------------------


class ConfigurationError(VoicecoreError, ValueError):
    """A missing key, an unknown vendor, an option outside its range, a URL that is none."""


class StateError(VoicecoreError, RuntimeError):
    """A call that this object cannot take in the state it is in, such as sending after `finish()`."""


class TextTooLongError(ConfigurationError):
    """Text over the vendor's limit, refused before it was sent."""


# --- the codec -------------------------------------------------------------------------------------------


class CodecError(VoicecoreError, ValueError):
    """Bad input to the codec."""


class InvalidBufferError(CodecError):
    """A buffer of the wrong type, shape, length or order, or an `out=` that is too small."""


class FormatError(CodecError):
    """A sample rate, channel count, encoding or pair of formats that is not supported."""


class Base64Error(CodecError):
    """Text that is not strict base64. `offset` counts bytes of the text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class MessageError(CodecError):
    """A message that is not one valid JSON value. `offset` counts bytes of the message."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class ContainerError(CodecError):
    """A WAV header that cannot be followed, or a stream that changed its format midway."""


# --- the connection --------------------------------------------------------------------------------------


class ConnectionFailedError(VoicecoreError, ConnectionError):
    """The vendor could not be reached: name, port, TLS, or an upgrade that was refused."""

    retryable = True


class TlsError(ConnectionFailedError):
    """The peer's certificate was not accepted, or the peer does not speak TLS."""

    retryable = False


class ConnectionLostError(VoicecoreError, ConnectionError):
    """The connection ended before the work did. `code` is the WebSocket close code (1006 without one)."""

    retryable = True

    def __init__(self, message: str, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class DeadlineError(VoicecoreError, TimeoutError):
    """A named deadline passed. `deadline` is its name in `Deadlines` or `ChatDeadlines`; `seconds` its length."""

    retryable = True

    def __init__(self, message: str, deadline: str = "", seconds: float = 0.0) -> None:
        super().__init__(message)
        self.deadline = deadline
        self.seconds = seconds


class QueueOverflowError(VoicecoreError):
    """More audio is waiting for a consumer than its bound allows; the rest of that context was dropped."""


class ProtocolError(VoicecoreError):
    """A message that the protocol does not allow: malformed, or not in this state. Names state, role, message.

    `context_id`: of the message, where it named one.
    """

    def __init__(self, message: str, context_id: str | None = None) -> None:
        super().__init__(message)
        self.context_id = context_id


# --- what the vendor said --------------------------------------------------------------------------------


class VendorError(VoicecoreError):
    """The vendor refused or failed. `vendor` is its name, `code` its own code ("" where it has none)."""

    def __init__(self, message: str, vendor: str = "", code: str = "") -> None:
        super().__init__(message)
        self.vendor = vendor
        self.code = code


class AuthError(VendorError):
    """The key was refused. Never retried."""


class RateLimitError(VendorError):
    """Too many requests, or too many at once."""

    retryable = True


class QuotaError(VendorError):
    """Out of credit, or past the plan's quota."""


class InvalidRequestError(VendorError):
    """The vendor found the request wrong."""


class VendorUnavailableError(VendorError):
    """The vendor's fault: 5xx, or a failed synthesis."""

    retryable = True
