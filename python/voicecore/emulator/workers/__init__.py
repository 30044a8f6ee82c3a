"""The emulator's engines, each a script of its own that runs in a subprocess and knows nothing of voicecore.

`voicecore.emulator.worker` starts them by path, so that a worker's start costs its engine and no more, and so
that espeak-ng (GPL-3) is loaded into no process that holds voicecore. Only `framing` is shared.
"""
