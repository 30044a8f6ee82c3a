"""Uplift AI's text-to-speech: the same messages on two transports."""

from voicecore.vendors.uplift.framed import UpliftSocketIO as UpliftSocketIO
from voicecore.vendors.uplift.plain import Uplift as Uplift
from voicecore.vendors.uplift.speech import UpliftOptions as UpliftOptions
