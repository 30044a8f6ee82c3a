"""voicecore: a Rust audio codec core, and every voice vendor's streaming protocol on trio and asyncio.

from voicecore import AudioFormat, codec, connect_llm, connect_stt, connect_tts  # on trio; asyncio: voicecore.aio
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from voicecore.names import *  # noqa: F403

if _TYPE_CHECKING:
    from voicecore import aio as aio
    from voicecore.on_trio import connect_stt as connect_stt
    from voicecore.on_trio import connect_tts as connect_tts

# Loaded when first used, so that neither runtime is imported for the other's users.
_LATER = {"connect_stt": "voicecore.on_trio", "connect_tts": "voicecore.on_trio", "aio": "voicecore.aio"}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(_LATER[name])
    return globals().setdefault(name, getattr(module, name, module))


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
