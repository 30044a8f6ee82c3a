"""The vendors, by name. Each file here is one vendor; adding one adds a line to DIALECTS."""

from __future__ import annotations

from urllib.parse import urlsplit

from voicecore.errors import ConfigurationError
from voicecore.protocol import Dialect
from voicecore.vendors.deepdub import DeepdubOpen
from voicecore.vendors.sixtydb import SixtydbStt, SixtydbTts

DIALECTS: tuple[type[Dialect], ...] = (DeepdubOpen, SixtydbStt, SixtydbTts)


def find_dialect(vendor: str, kind: str, url: str | None = None) -> Dialect:
    """The dialect of a vendor for `kind` ("tts" or "stt"); of several, the one whose path `url` has."""
    served = [dialect for dialect in DIALECTS if dialect.kind == kind]
    named = [dialect for dialect in served if dialect.vendor == vendor]
    if not named:
        known = ", ".join(sorted({dialect.vendor for dialect in served}))
        raise ConfigurationError(f"vendor: expected one of {known} for {kind}, got {vendor!r}")
    path = urlsplit(url).path if url else None
    return next((dialect for dialect in named if dialect.path() == path), named[0])()
