"""`python -m voicecore.emulator` is `voicecore emulate`."""

import sys

from voicecore.cli import main

main(["emulate", *sys.argv[1:]])
