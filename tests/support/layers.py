"""The modules by name, and which of them are sans-IO: what `test_layers.py` and `coverage_gate.py` ask about."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2] / "python" / "voicecore"
MODULES = {
    ".".join(("voicecore", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
SANS_IO = [
    "voicecore.audio",
    "voicecore.chat",
    "voicecore.codec",
    "voicecore.connection",
    "voicecore.content",
    "voicecore.deadlines",
    "voicecore.errors",
    "voicecore.events",
    "voicecore.generations",
    "voicecore.inbox",
    "voicecore.limits",
    "voicecore.protocol",
    "voicecore.reconnect",
    "voicecore.reorder",
    "voicecore.secret",
    "voicecore.sentences",
    "voicecore.streams",
    "voicecore.upgrade",
    *(name for name in MODULES if name.startswith("voicecore.vendors")),
]
