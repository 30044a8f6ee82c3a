"""The load bench itself, tiny: a server and a client process, every column. How fast anything is, is not asked."""

from __future__ import annotations

import pytest
from benches.wire.load import Load
from benches.wire.plot import plot
from benches.wire.report import markdown
from benches.wire.runs import run

TINY = {"streams": 2, "chunks": 12, "warm": 4}
LOADS = {
    "pace": Load(**TINY),
    "tls": Load(tls=True, **TINY),
    "burst": Load("burst", streams=1, chunks=12, warm=4, audio_bytes=16_384),
    "listen": Load("listen", audio_bytes=160, **TINY),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("stack", ["voicecore trio", "voicecore asyncio", "trio-websocket"])
def test_a_tiny_load(stack, load):
    found = run(stack, load)
    assert found["chunks"] == load.streams * load.chunks and found["cpu_us"] > 0
    assert (found["p99"] >= found["p50"]) if load.mode == "pace" else "p99" not in found


def test_what_is_printed_and_drawn():
    runs = [
        {"round": number, "group": group, "case": case, "streams": streams, "stack": stack}
        | {"cpu_us": cost, "p50": 100.0, "p99": late, "server_p99": 10.0, "kb": 20.0}
        for number in (1, 2)
        for stack, cost in (("voicecore trio", 10.0), ("other", 30.0))
        for group, case, streams, late in (("pace", "120 streams", 120, 200.0), ("capacity", "300", 300, 6000.0))
    ]
    text = markdown(runs)
    assert "| other | 30.0 (3.00x) |" in text and "| voicecore trio | 100 | 200 | 10 |" in text
    assert "| other | 0 |" in text, "300 streams were late, and nothing less was tried"
    assert plot(runs).count("<polyline") == 2
