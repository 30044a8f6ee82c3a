"""A key that does not show itself.

`repr`, `str`, `format` and tracebacks with locals print `Secret(***)`; pickling is refused. Only `reveal()`
gives the text, and only the code that builds the upgrade request calls it.
"""

from __future__ import annotations

import re
from typing import NoReturn

SHORTEST_TO_HIDE = 8  # a shorter text may be part of any word


class Secret:
    """Holds a key. Two secrets are equal when their texts are."""

    __slots__ = ("_bytes", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._bytes = text.encode("utf-8", "surrogatepass") if len(text) >= SHORTEST_TO_HIDE else b""

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def hidden_in(self, data: bytes) -> bytes:
        """`data` with the text in it, which a peer may echo as it is or escaped as JSON can be, replaced by `***`."""
        if not self._bytes:
            return data
        if b"\\" in data:
            data = re.sub("".join(map(_in_json, self._text)).encode(), b"***", data)
        return data.replace(self._bytes, b"***")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")


def _in_json(character: str) -> str:
    """A pattern for all that a character may look like in a JSON string."""
    code = "".join(f"[{digit}{digit.upper()}]" for digit in f"{ord(character):04x}")
    plain = re.escape(character)
    return rf"(?:\\u{code}|\\?{plain})" if character in '"\\/' else rf"(?:\\u{code}|{plain})"


def without_query(url: str) -> str:
    """`url` as it may be shown: neither its query nor its user part, which may hold keys."""
    bare = url.split("?", 1)[0].split("#", 1)[0]
    before, separator, after = bare.partition("://")
    scheme, rest = (f"{before}://", after) if separator else ("", bare)
    authority, slash, path = rest.partition("/")
    return f"{scheme}{authority.rpartition('@')[2]}{slash}{path}"
