"""A vendor restarts under a thousand clients: when each of them is back, as a histogram. `python -m benches.restart`.

Real sessions against the real emulator, through memory and on a virtual clock; every client has the limits of a process
of its own. Seeded, except for the order in which trio runs what is due at the same moment.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest import mock

import trio
import trio.testing

import voicecore
from voicecore import Reconnect
from voicecore.emulator import run_emulator
from voicecore.reconnect import ConnectLimiter
from voicecore.testing import run_fault_proxy
from voicecore.trio_backend import TrioBackend

POLICY = Reconnect(attempts=10, per_minute=30)
DOWN_SECONDS = 5.0
WATCHED_SECONDS = 30.0
PAGE = """# A thousand clients and one restart

{clients} clients lose their vendor at second 0; it takes connections again from second {down:g}. Each client asks for a
sentence at once, with `Reconnect(attempts={attempts}, per_minute={per_minute})`. Written by
`python -m benches.restart --page docs/restart.md`; `tests/test_restart.py` checks the shape with fewer clients.

Attempts in each second, while the vendor is down and after:

```
{attempted}
```

Clients that are served again, by second:

```
{served}
```
"""


class Vendor:
    """The emulator's door, which can be shut."""

    def __init__(self, emulator: object) -> None:
        self._emulator = emulator
        self.shut = False
        self.asked: list[float] = []

    async def open_stream(self) -> trio.abc.Stream:
        self.asked.append(trio.current_time())
        if self.shut:
            raise OSError("nobody listens")
        return await self._emulator.open_stream("")  # type: ignore[attr-defined]


async def restart(clients: int) -> tuple[list[float], list[float]]:
    """When connections were asked for, and when clients were served again; seconds since the vendor went down."""
    served: list[float] = []
    went_down = trio.Event()

    async def client(open_stream: object) -> None:
        url = "ws://localhost/open"
        async with voicecore.connect_tts(
            "deepdub",
            api_key="k",
            url=url,
            reconnect=POLICY,
            open_stream=open_stream,  # type: ignore[arg-type]
        ) as tts:
            await went_down.wait()
            with suppress(voicecore.VoicecoreError):
                async with tts.synthesize("Hello.") as speech:
                    async for _ in speech:
                        break
                served.append(trio.current_time())

    async with run_emulator(voice="tone", ears="none") as emulator, trio.open_nursery() as nursery:
        vendor = Vendor(emulator)
        async with run_fault_proxy(open_stream=vendor.open_stream) as proxy:
            for _ in range(clients):
                nursery.start_soon(client, proxy.open_stream)
            await trio.sleep(1)
            before, began, vendor.shut = len(vendor.asked), trio.current_time(), True
            proxy.drop_all()
            await trio.testing.wait_all_tasks_blocked()
            went_down.set()
            await trio.sleep(DOWN_SECONDS)
            vendor.shut = False
            await trio.sleep(WATCHED_SECONDS)
            nursery.cancel_scope.cancel()
    return [at - began for at in vendor.asked[before:]], [at - began for at in served]


def simulate(clients: int, seed: int) -> tuple[list[float], list[float]]:
    """The same, run to its end on a virtual clock."""
    random.seed(seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    with mock.patch.object(TrioBackend, "connect_limiter", side_effect=ConnectLimiter):  # each client is a process
        return trio.run(partial(restart, clients), clock=clock)


def histogram(times: Iterable[float]) -> str:
    """A bar for each second."""
    counts = Counter(int(at) for at in times)
    return "\n".join(
        f"{second:3d} {counts[second]:5d} {'#' * (counts[second] // 10)}" for second in range(max(counts) + 1)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="write the page here, e.g. docs/restart.md")
    chosen = parser.parse_args()
    asked, served = simulate(chosen.clients, chosen.seed)
    counts = {"clients": chosen.clients, "attempts": POLICY.attempts, "per_minute": POLICY.per_minute}
    page = PAGE.format(**counts, down=DOWN_SECONDS, attempted=histogram(asked), served=histogram(served))
    print(page)
    if chosen.page:
        chosen.page.write_text(page)


if __name__ == "__main__":
    main()
