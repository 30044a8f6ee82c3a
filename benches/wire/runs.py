"""One run: a server and a client process, each on a core of its own; and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benches.wire.load import Load

ROOT = Path(__file__).parents[2]
TIMEOUT = 120.0


class Overloaded(Exception):
    """A client that could not keep up with the load, or failed under it."""


def run(stack: str, load: Load) -> dict[str, float]:
    """The measurements of one client process, in microseconds and KB."""
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.npz"
        certificate = make_certificate(Path(folder)) if load.tls else None
        spec = json.dumps(asdict(load))
        with server(spec, certificate) as process:
            port = json.loads(process.stdout.readline())["port"]
            url = f"{'wss' if load.tls else 'ws'}://localhost:{port}"
            command = [sys.executable, "-m", "benches.wire.client", stack, spec, url, str(times)]
            command += [str(certificate)] if certificate else []
            found = client(command)
            said = json.loads(process.stdout.readline())
        with np.load(times) as stored:
            late = lateness(load, said, stored) if load.mode == "pace" else {}
    return found | late | {"server_p99": said["server_p99"] * 1e6}


def lateness(load: Load, said: dict[str, Any], stored: Any) -> dict[str, float]:
    """Of each chunk behind the time that its message was due."""
    late = np.concatenate(
        [
            stored[name][load.warm :]
            - (said["start"] + load.phase(number) + load.interval * np.arange(load.warm, len(stored[name])))
            for number, name in enumerate(said["order"])
        ]
    )
    p50, p99 = np.percentile(late, [50, 99]) * 1e6
    return {"p50": float(p50), "p99": float(p99)}


def cores() -> tuple[int, int]:
    """The server's and the client's; the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def server(spec: str, certificate: Path | None) -> Iterator[Any]:
    command = [sys.executable, "-m", "benches.wire.server", spec, *([str(certificate)] if certificate else [])]
    pinned = {"cwd": ROOT, "text": True, "preexec_fn": on(cores()[0])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, **pinned) as process:
        try:
            yield process
        finally:
            process.kill()


def client(command: list[str]) -> dict[str, float]:
    pinned = {"cwd": ROOT, "text": True, "preexec_fn": on(cores()[1])}
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, **pinned)
    except subprocess.TimeoutExpired:
        raise Overloaded(f"not done within {TIMEOUT:g} s") from None
    if done.returncode:
        lines = [line.strip(" |+-") for line in done.stderr.splitlines()]
        raise Overloaded(next((line for line in reversed(lines) if line), "no word"))
    found: dict[str, float] = json.loads(done.stdout)
    return found


def on(core: int) -> Any:
    return lambda: os.sched_setaffinity(0, {core})


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost with its key, in one file, which the client trusts."""
    import trustme

    certificate, authority = folder / "server.pem", trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(certificate, append=True)
    return certificate
