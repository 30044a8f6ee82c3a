"""What a stream of audio is by its first bytes, held against what the vendor said that it is.

Knows no vendor. Only what begins with the mark of a container or of an MP3 frame is held back, and only until it is
certain what that is: bare samples pass at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicecore.audio import AudioFormat, Encoding
from voicecore.codec import detect
from voicecore.events import Event

# Bytes that may be held back; then the vendor is taken at his word.
LONGEST_HEAD = 4096  # a container's header, or the tag before an MP3
TWO_MP3_FRAMES = 2 * 1441  # one may be chance

_MARKS = (b"RIFF", b"OggS", b"ID3")
_OWN_MARKS: dict[Encoding, bytes] = {"opus": b"OggS", "mp3": b"ID3"}


@dataclass(frozen=True, slots=True)
class FormatMismatch(Event):
    """A warning: the audio of a context is not what the vendor said. It is decoded as what it is, `found`."""

    context_id: str
    declared: AudioFormat
    found: AudioFormat


class ContentCheck:
    """The beginning of one stream. `format` is `declared` until the bytes are known to be something else."""

    def __init__(self, declared: AudioFormat) -> None:
        self.declared = declared
        self.format = declared
        self._head: bytes | None = b""  # None: it is decided

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """The bytes that can be decoded now, as `format`; `last`: no more will come."""
        if self._head is None:
            return data
        self._head += data
        patience = self._patience(self._head)
        found = detect(self._head) if patience else None
        if found is None and len(self._head) < patience and not last:
            return b""
        self.format = found or self.declared
        head, self._head = self._head, None
        return head

    def _patience(self, head: bytes) -> int:
        """How many bytes may be waited for; 0 if this can only be what was declared."""
        own = self.declared.encoding
        if any(mark != _OWN_MARKS.get(own) and mark.startswith(head[: len(mark)]) for mark in _MARKS):
            return LONGEST_HEAD
        return TWO_MP3_FRAMES if own != "mp3" and _may_be_mp3(head) else 0


def _may_be_mp3(head: bytes) -> bool:
    """Whether a header of layer III can begin so: no field of it has a value that is reserved."""
    if len(head) < 4:
        return head[:1] == b"\xff" and (len(head) == 1 or head[1] & 0xE6 == 0xE2)
    word = int.from_bytes(head[:4])
    version, layer, rate, bit_rate = word >> 19 & 3, word >> 17 & 3, word >> 10 & 3, word >> 12 & 15
    return word >> 21 == 0x7FF and layer == 1 and version != 1 and rate != 3 and 0 < bit_rate < 15
