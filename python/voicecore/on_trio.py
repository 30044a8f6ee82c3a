"""The user's way in, on trio: `voicecore.connect_tts` and `voicecore.connect_stt`."""

from voicecore.session import Connector
from voicecore.trio_backend import TrioBackend, open_stream

_CONNECTOR = Connector(TrioBackend(), open_stream)
connect_tts = _CONNECTOR.connect_tts
connect_stt = _CONNECTOR.connect_stt
