"""`audioop`, the standard library's module until Python 3.12: all 26 functions and `error`, bit for bit.

A drop-in for `import audioop`: the same arguments (positional), results, states and errors, any bytes-like
object in, bytes out; faster, and larger calls release the GIL. It needs no standard-library audioop and never
takes its name unasked. `install()` does, for libraries that import `audioop` themselves::

    import voicecore.audioop

    voicecore.audioop.install()
    import pydub

Kept for compatibility: its mu-law is not quite G.711 (508 of 65 536 samples differ by one code) and its
`ratecv` aliases. For new code, `voicecore.codec` has the standard's laws and a resampler with a filter.
"""

from __future__ import annotations

import sys
from types import ModuleType

from voicecore._core import audioop_add as add
from voicecore._core import audioop_adpcm2lin as adpcm2lin
from voicecore._core import audioop_alaw2lin as alaw2lin
from voicecore._core import audioop_avg as avg
from voicecore._core import audioop_avgpp as avgpp
from voicecore._core import audioop_bias as bias
from voicecore._core import audioop_byteswap as byteswap
from voicecore._core import audioop_cross as cross
from voicecore._core import audioop_findfactor as findfactor
from voicecore._core import audioop_findfit as findfit
from voicecore._core import audioop_findmax as findmax
from voicecore._core import audioop_getsample as getsample
from voicecore._core import audioop_lin2adpcm as lin2adpcm
from voicecore._core import audioop_lin2alaw as lin2alaw
from voicecore._core import audioop_lin2lin as lin2lin
from voicecore._core import audioop_lin2ulaw as lin2ulaw
from voicecore._core import audioop_max as max
from voicecore._core import audioop_maxpp as maxpp
from voicecore._core import audioop_minmax as minmax
from voicecore._core import audioop_mul as mul
from voicecore._core import audioop_ratecv as ratecv
from voicecore._core import audioop_reverse as reverse
from voicecore._core import audioop_rms as rms
from voicecore._core import audioop_tomono as tomono
from voicecore._core import audioop_tostereo as tostereo
from voicecore._core import audioop_ulaw2lin as ulaw2lin
from voicecore.errors import StateError

# What the original has, so that `from audioop import *` gives just that.
__all__ = [
    "add",
    "adpcm2lin",
    "alaw2lin",
    "avg",
    "avgpp",
    "bias",
    "byteswap",
    "cross",
    "error",
    "findfactor",
    "findfit",
    "findmax",
    "getsample",
    "lin2adpcm",
    "lin2alaw",
    "lin2lin",
    "lin2ulaw",
    "max",
    "maxpp",
    "minmax",
    "mul",
    "ratecv",
    "reverse",
    "rms",
    "tomono",
    "tostereo",
    "ulaw2lin",
]

_NAME = "audioop"
#: What `install(replace=True)` put aside, for `uninstall`.
_replaced: list[ModuleType] = []


class error(Exception):
    """What the original calls so. No `VoicecoreError`: a drop-in's errors are caught by what caught them before."""


def install(*, replace: bool = False) -> None:
    """Make this module what `import audioop` gives in this process. Twice is as good as once.

    Raises StateError if another `audioop` was imported before, unless `replace`; who imported that one keeps it.
    """
    loaded = sys.modules.get(_NAME)
    ours = sys.modules[__name__]
    if loaded is ours:
        return
    if loaded is not None:
        if not replace:
            raise StateError(f"install: expected no module audioop to be loaded, got {loaded!r}; see replace=True")
        _replaced.append(loaded)
    sys.modules[_NAME] = ours


def uninstall() -> None:
    """Undo `install`: `import audioop` gives what it gave before. Nothing happens if another one is in place."""
    if sys.modules.get(_NAME) is not sys.modules[__name__]:
        return
    if _replaced:
        sys.modules[_NAME] = _replaced.pop()
    else:
        del sys.modules[_NAME]
