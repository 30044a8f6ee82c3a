"""What the tests of the command line share: processes that run it, and audio to give them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

TIMEOUT = 120.0  # seconds; only a hang comes near it


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without the vendors' variables, and with `changes`."""
    prefixes = ("DEEPDUB_", "SIXTY_DB_", "VACHANA_", "UPLIFTAI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | changes


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "voicecore", *map(str, arguments)]


def run(
    *arguments: object, stdin: bytes = b"", python: tuple[str, ...] = ("-m", "voicecore"), **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command line as a process; nothing it says holds a traceback or a key."""
    done = subprocess.run(
        [sys.executable, *python, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT,
        env=environment(**variables),
    )
    assert b"Traceback" not in done.stderr, done.stderr
    keys = [value for name, value in variables.items() if name.endswith("_KEY")]
    assert not [key for key in keys if key.encode() in done.stderr + done.stdout]
    return done


class Serving:
    """A `voicecore emulate --json` that is ready."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            command("emulate", "--port", 0, "--json", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**variables),
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        self.tts: str = self.ready["urls"]["deepdub-open"]
        self.stt: str = self.ready["urls"]["60db-stt"]
        self.llm: str = self.ready["urls"]["60db-llm"]

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, bytes, bytes]:
        """Exit code, and what was said besides the ready line."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out, err


def children(pid: int) -> list[int]:
    """The processes that `pid` started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it ended while we looked
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A 440 Hz sine, int16, the same on all channels: shape `(frames,)` or `(frames, channels)`."""
    wave = np.rint(12_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype("<i2")
    return wave if channels == 1 else np.repeat(wave[:, None], channels, axis=1)
