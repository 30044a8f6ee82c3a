"""How much two cores give: one bank per thread against one thread alone. Needs two idle cores."""

from __future__ import annotations

import statistics
import threading
import time

from benches.cases import MULAW, STEREO, STREAMS, as_bytes, speech
from voicecore import codec

TICKS = 60
ROUNDS = 15


def speedup() -> float:
    """Work done per second by two threads over that by one; 2.0 at best."""
    frames = as_bytes(speech(960, 2))[:STREAMS]
    banks = [codec.TranscoderBank([codec.Transcoder(STEREO, MULAW) for _ in range(STREAMS)]) for _ in range(2)]
    return statistics.median(2 * _seconds(banks[:1], frames) / _seconds(banks, frames) for _ in range(ROUNDS))


def _seconds(banks: list[codec.TranscoderBank], frames: list[bytes]) -> float:
    def work(bank: codec.TranscoderBank) -> None:
        for _ in range(TICKS):
            bank.process(frames)

    threads = [threading.Thread(target=work, args=(bank,)) for bank in banks]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start
