"""Where a vendor's key comes from: an argument, else the environment."""

from __future__ import annotations

import os
import re

from voicecore.errors import ConfigurationError
from voicecore.secret import Secret


def find_key(vendor: str, api_key: str | Secret | None, variable: str) -> Secret:
    """Raises `ConfigurationError` that names the variable if there is no key, and for a key that no header can hold."""
    given = api_key or os.environ.get(variable)
    if not given:
        raise ConfigurationError(f"{vendor}: no API key: pass api_key= or set the environment variable {variable}")
    key = given if isinstance(given, Secret) else Secret(given)
    if not re.fullmatch(r"[!-~]+", key.reveal()):
        raise ConfigurationError(f"{vendor}: the API key: expected printable ASCII without spaces")
    return key
