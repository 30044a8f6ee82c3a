"""What the emulator does wrong when it is asked to: so that an application can be tried against it.

A fault is written `name`, `name=value` or `name=value@after`: `after` counts messages of content: audio or transcripts
of one connection, tokens of one reply of the language model. The fault happens once that many were sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from voicecore.errors import ConfigurationError

# Name -> what it does, for the help; "=" in front of it: it takes a value, and what that is.
FAULTS = {
    "late": "=seconds before the first audio, transcript or token",
    "slow": "=seconds before each",
    "stall": "nothing more is said, and nobody is told",
    "close": "=code of a WebSocket close",
    "drop": "the connection is torn, without a close",
    "error": "the vendor's error for a failed synthesis, recognition or reply",
    "garbage": "a message that is no JSON",
    "truncate": "a message of which the end is cut off",
    "duplicate": "every audio message comes twice",
    "reorder": "every two audio messages change places",
    "lose": "one audio message is not sent",
    "mislabel": "audio is MP3, whatever format was asked for",
    "unended": "a reply of the language model that ends without its end mark",
    "http": "=status that refuses every upgrade and chat, or with @n the first n, with Retry-After: 1",
    "idle": "=seconds without a message of the client, after which the connection is closed with 1011",
}
_SPELLING = re.compile(r"(?P<name>[a-z]+)(?:=(?P<value>\d+(?:\.\d+)?))?(?:@(?P<after>\d+))?")


@dataclass(frozen=True, slots=True)
class EmulatorFault:
    """One fault. `after` None: at once (`http`: always)."""

    name: str
    value: float = 0.0
    after: int | None = None


def parse_fault(text: str) -> EmulatorFault:
    """A fault as it is written on the command line. Raises `ConfigurationError`."""
    found = _SPELLING.fullmatch(text)
    if found is None or found["name"] not in FAULTS:
        raise ConfigurationError(
            f"fault: expected name, name=value or name=value@after with a name of {', '.join(FAULTS)}, got {text!r}"
        )
    name, takes_value = found["name"], FAULTS[found["name"]].startswith("=")
    if takes_value is not (found["value"] is not None):
        raise ConfigurationError(f"fault {name}: expected {'a' if takes_value else 'no'} value, got {text!r}")
    return EmulatorFault(name, float(found["value"] or 0), None if found["after"] is None else int(found["after"]))


def refusal_of(faults: Sequence[EmulatorFault], connections: int) -> int | None:
    """The HTTP status that the next upgrade or chat is refused with, if a fault says so."""
    for fault in faults:
        if fault.name == "http" and (fault.after is None or connections < fault.after):
            return int(fault.value)
    return None
