"""The vendors, by name. Each file here is one vendor; adding one adds a line to DIALECTS."""

from __future__ import annotations

from urllib.parse import urlsplit

from voicecore.errors import ConfigurationError
from voicecore.protocol import Dialect
from voicecore.vendors.deepdub import DeepdubOpen, DeepdubWs
from voicecore.vendors.sixtydb import SixtydbStt, SixtydbTts
from voicecore.vendors.uplift import Uplift, UpliftSocketIO
from voicecore.vendors.vachana import VachanaStt, VachanaTts

DIALECTS: tuple[type[Dialect], ...] = (
    DeepdubOpen,
    DeepdubWs,
    SixtydbStt,
    SixtydbTts,
    Uplift,
    UpliftSocketIO,
    VachanaTts,
    VachanaStt,
)


def find_dialect(vendor: str, kind: str, url: str | None = None) -> Dialect:
    """The dialect of a vendor for `kind` ("tts" or "stt"); of several, the one whose path `url` has, else the first.

    A dialect's own name ("deepdub-ws") picks it too; a URL with the path of another one is then refused.
    """
    served = [dialect for dialect in DIALECTS if dialect.kind == kind]
    named = [dialect for dialect in served if dialect.vendor == vendor]
    path = urlsplit(url).path.rstrip("/") if url else None
    if named:
        return next((dialect for dialect in named if _path(dialect) == path), named[0])()
    chosen = next((dialect for dialect in served if dialect.name == vendor), None)
    if chosen is None:
        known = ", ".join(sorted({dialect.vendor for dialect in served}))
        raise ConfigurationError(f"vendor: expected one of {known} for {kind}, got {vendor!r}")
    for other in served:
        if other.vendor == chosen.vendor and path == _path(other) != _path(chosen):
            raise ConfigurationError(f"url: expected the path {chosen.path()} for {vendor}, got {path} ({other.name})")
    return chosen()


def _path(dialect: type[Dialect]) -> str:
    """Without the slash at its end, which users leave out."""
    return dialect.path().rstrip("/")
