"""Where the key and the URLs come from: an argument, then `_60dbClient`, the environment, and the file `.env.local`."""

from __future__ import annotations

import os
from typing import ClassVar

from dotenv import dotenv_values

from voicecore import Secret

KEY_VARIABLE = "SIXTY_DB_API_KEY"
ENV_FILE = ".env.local"  # in the working directory


class _60dbClient:
    """Sets the key for every `STT`, `TTS` and `LLM` that is made after it without one. The last one counts."""

    _default: ClassVar[_60dbClient | None] = None

    def __init__(self, api_key: str) -> None:
        self._key = Secret(api_key)
        _60dbClient._default = self

    @property
    def api_key(self) -> str:
        """The key."""
        return self._key.reveal()


def find_key(given: str | None) -> str | None:
    """The key for a service; None if there is none anywhere."""
    client = _60dbClient._default
    return given or (client.api_key if client is not None else None) or find_setting(KEY_VARIABLE)


def find_setting(variable: str) -> str | None:
    """A variable of the environment, or else of the file."""
    return os.environ.get(variable) or dotenv_values(ENV_FILE).get(variable)
