"""voicecore on asyncio: the same names as `voicecore`, on any asyncio loop (uvloop too).

async with voicecore.aio.connect_tts("deepdub") as tts: ...
"""

from __future__ import annotations

from voicecore.aio_backend import AioBackend as _AioBackend
from voicecore.aio_backend import open_transport as _open_transport
from voicecore.names import *  # noqa: F403
from voicecore.session import Connector as _Connector

_CONNECTOR = _Connector(_AioBackend(), _open_transport)
connect_tts = _CONNECTOR.connect_tts
connect_stt = _CONNECTOR.connect_stt
