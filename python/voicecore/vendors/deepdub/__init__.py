"""Deepdub's protocols: one file each."""

from voicecore.vendors.deepdub.open import AccentControl as AccentControl
from voicecore.vendors.deepdub.open import DeepdubOpen as DeepdubOpen
from voicecore.vendors.deepdub.open import DeepdubOptions as DeepdubOptions
from voicecore.vendors.deepdub.stream_options import DeepdubStreamOptions as DeepdubStreamOptions
from voicecore.vendors.deepdub.ws import DeepdubWs as DeepdubWs
