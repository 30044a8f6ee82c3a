"""`python -m voicecore` is the command line."""

from voicecore.cli import main

main()
