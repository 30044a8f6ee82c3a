"""An emulator of every vendor: real protocols, a real voice, real ears, no network and no key.

async with run_emulator() as emulator:
    async with connect_tts("deepdub", api_key="any", url=emulator.urls["deepdub-open"]) as tts:
        ...
"""

from voicecore.emulator.profile import Profile as Profile
from voicecore.emulator.replies import LlmTurn as LlmTurn
from voicecore.emulator.server import Emulator as Emulator
from voicecore.emulator.server import run_emulator as run_emulator
