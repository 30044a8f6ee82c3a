"""Cuts what comes from the socket into whole data frames, which nearly all are, and the rest, which is the library's.

A frame of text or binary that is unmasked, final, without reserved bits, of ordinary length and not between fragments
needs no state machine: its payload is handed on. Every other frame passes to the WebSocket library byte by byte as it
comes, so that it judges all that can be wrong. Pure. Source: RFC 6455, section 5.2.
"""

from __future__ import annotations

TEXT, BINARY = 0x81, 0x82  # the first byte of a final frame without reserved bits
REST = 0
LONGEST = 64 * 2**10  # what is longer would be copied too often while it is put together
FOREVER = 2**64


class FrameCutter:
    """The frames of one connection, from the end of its upgrade. `longest`: bytes of a message that is cut here."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._held = b""  # a frame of which a part is still to come
        self._missing = 0  # bytes of it, once its head is known
        self._payload_at = 0
        self._passing = 0  # bytes of a frame that is the library's, still to come
        self._between = False  # fragments of a message: only the library knows what may follow

    def cut(self, data: bytes) -> list[tuple[int, bytes]]:
        """What these bytes completed: `(TEXT or BINARY, payload)`, or `(REST, bytes)` for the library, in order."""
        if not (self._held or self._passing or self._between) and (payload := self._one(data)) is not None:
            return [(data[0], payload)]
        pieces: list[tuple[int, bytes]] = []
        at = self._complete(data, pieces) if self._missing else 0
        if self._held:
            data, self._held, at = self._held + data[at:], b"", 0
        end = len(data)
        while at < end:
            if self._passing:
                until = min(end, at + self._passing)
                pieces.append((REST, data[at:until]))
                self._passing -= until - at
                at = until
                continue
            start = at + 2
            size = data[at + 1] if start <= end else 0
            if size & 0x7F >= 126:
                start += 2 if size & 0x7F == 126 else 8
                size = int.from_bytes(data[at + 2 : start]) if size < 128 else size
            if start > end:
                break
            first = data[at]
            plain = first in (TEXT, BINARY) and data[at + 1] < 128
            if plain and size <= self._longest and not self._between:
                if start + size > end:
                    self._missing, self._payload_at = start + size - end, start - at
                    break
                pieces.append((first, data[start : start + size]))
                at = start + size
            else:
                self._pass_on(first, data[at + 1], start - at + size)
        self._held = data[at:]
        return pieces

    def _one(self, data: bytes) -> bytes | None:
        """The payload of the one frame of middle length that came alone and whole, as nearly all do; else None."""
        if len(data) < 4 or data[0] not in (TEXT, BINARY) or data[1] != 126 or len(data) > self._longest:
            return None
        return data[4:] if (data[2] << 8 | data[3]) + 4 == len(data) else None

    def _complete(self, data: bytes, pieces: list[tuple[int, bytes]]) -> int:
        """Puts together the frame that is held, and only that: the bytes behind it are not copied once more. Gives how
        many bytes it took."""
        taken = self._missing
        if len(data) < taken:
            return 0
        held, self._held, self._missing = self._held, b"", 0
        pieces.append((held[0], held[self._payload_at :] + data[:taken]))
        return taken

    def _pass_on(self, first: int, second: int, size: int) -> None:
        """The next frame is the library's: so many bytes, or all that follow if it is a violation or the end."""
        opcode, final = first & 0x0F, first & 0x80
        if first & 0x70 or second & 0x80 or 2 < opcode < 9 or opcode > 10:
            self._passing = FOREVER
            return
        self._passing = size
        if opcode <= 2:
            self._between = not final
