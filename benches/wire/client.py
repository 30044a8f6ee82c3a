"""One client process: all streams of a load on one stack, on one core. `python -m benches.wire.client`.

Arguments: the stack's name, the load as JSON, the server's URL, a file for the times of arrival and, for TLS, the
certificate to trust. Prints its measurements as one JSON line.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from benches.wire.load import Load
from benches.wire.stacks import STACKS, Job, Stack
from benches.wire.tally import Tally

DIALS = 20  # connections that are being opened at once


def run(stack: Stack, load: Load, url: str, times: Path, trust: str | None) -> dict[str, Any]:
    tally = Tally(load)
    context = ssl.create_default_context(cafile=trust) if trust else None
    jobs = [Job(load, url, context, tally.stream) for _ in range(load.streams)]
    if stack.loop == "trio":
        run_trio(stack, jobs)
    else:
        run_asyncio(stack, jobs)
    np.savez(times, **{name: np.array(at) for name, at in tally.at.items()})
    return tally.result()


def run_trio(stack: Stack, jobs: list[Job]) -> None:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(stack.run, job)
                await trio.sleep(0.001)

    trio.run(main)


def run_asyncio(stack: Stack, jobs: list[Job]) -> None:
    import asyncio

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(stack.run(job))
                await asyncio.sleep(0.001)

    coroutine: Coroutine[Any, Any, None] = main()
    if stack.loop == "uvloop":
        import uvloop

        uvloop.run(coroutine)
    else:
        asyncio.run(coroutine)


if __name__ == "__main__":
    name, load, url, times, *trust = sys.argv[1:]
    measured = run(STACKS[name], Load(**json.loads(load)), url, Path(times), trust[0] if trust else None)
    print(json.dumps(measured))
