"""60db for LiveKit Agents: speech-to-text, text-to-speech and chat.

from livekit.plugins._60db import LLM, STT, TTS

See docs/livekit.md for the arguments, and for what differs from the vendor's own plugin.
"""

import logging

from livekit.agents import Plugin
from livekit.plugins._60db.client import _60dbClient
from livekit.plugins._60db.services import LLM, STT, TTS
from livekit.plugins._60db.version import __version__

__all__ = ["LLM", "STT", "TTS", "_60dbClient", "__version__"]


class SixtyDbPlugin(Plugin):
    """What LiveKit lists among its plugins."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__, logging.getLogger(__name__))


Plugin.register_plugin(SixtyDbPlugin())
