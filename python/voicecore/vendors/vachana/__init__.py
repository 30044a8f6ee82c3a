"""Vachana's protocols: one file each."""

from voicecore.vendors.vachana.stt import VachanaStt as VachanaStt
from voicecore.vendors.vachana.stt import VachanaSttOptions as VachanaSttOptions
from voicecore.vendors.vachana.tts import SpeakerEmbedding as SpeakerEmbedding
from voicecore.vendors.vachana.tts import VachanaTts as VachanaTts
from voicecore.vendors.vachana.tts import VachanaTtsOptions as VachanaTtsOptions
