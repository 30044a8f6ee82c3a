"""The Autobahn test suite for WebSocket clients against `Connection`: `python -m benches.autobahn --wstest "..."`.

The suite (PyPI: autobahntestsuite) runs on Python 2.7 only, as a server; it is given as the command that starts its
`wstest`. The client here is the real connection and link with a dialect that says back what it hears. Groups 9 (speed),
12 and 13 (compression, which is never offered) are left out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import trio

from voicecore.audio import AudioFormat
from voicecore.connection import Connection
from voicecore.errors import MessageError, VoicecoreError
from voicecore.events import ClientEvent, Event, ServerEvent
from voicecore.link import Link
from voicecore.protocol import Dialect, Protocol, Role, SessionState
from voicecore.secret import Secret

PORT = 9107
LEFT_OUT = ["9.*", "12.*", "13.*"]


@dataclass(frozen=True, slots=True)
class Said(ServerEvent, ClientEvent):
    """A message, said or heard."""

    payload: bytes
    text: bool


class Echo(Dialect):
    """Says back what it hears, in the same kind of frame."""

    name = "echo"
    vendor = "autobahn"
    kind = "tts"
    default_url = f"ws://127.0.0.1:{PORT}/"
    key_variable = url_variable = "AUTOBAHN"
    initial = SessionState.READY
    sessions: ClassVar = {SessionState.READY: {Said: SessionState.READY}}

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        return url, {}

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return None

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        if text:
            try:
                payload.decode()
            except UnicodeDecodeError as error:
                raise MessageError("no UTF-8", error.start) from None
        return Said(payload, text)

    def encode(self, event: Event) -> str | bytes | None:
        assert isinstance(event, Said)
        return event.payload.decode() if event.text else event.payload

    def reply(self, event: ServerEvent, key: Secret) -> ClientEvent | None:
        return event if self._answers and isinstance(event, Said) else None

    def options_for(self, options: Any, audio: AudioFormat | None) -> Any:
        return options

    def wire_format(self, options: Any) -> AudioFormat:
        raise NotImplementedError


async def visit(path: str, *, answers: bool = True) -> bytes:
    """One connection to its end; gives the first message."""
    stream = await trio.open_tcp_stream("127.0.0.1", PORT)
    connection = Connection(Protocol(Echo(answers=answers), Role.CLIENT), f"ws://127.0.0.1:{PORT}{path}", {})
    connection.start(trio.current_time())
    await Link(connection, stream, trio.lowlevel.ParkingLot()).run()
    with suppress(VoicecoreError):
        received = connection.take()
        if received is not None and isinstance(received.event, Said):
            return received.event.payload
    return b""


async def run_cases() -> None:
    with trio.fail_after(20):
        while True:
            try:
                count = int(await visit("/getCaseCount", answers=False))
                break
            except OSError:
                await trio.sleep(0.2)  # it is not up yet
    for case in range(1, count + 1):
        await visit(f"/runCase?case={case}&agent=voicecore")
    await visit("/updateReports?agent=voicecore", answers=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wstest", required=True, help="the command that runs Autobahn's wstest")
    command = shlex.split(parser.parse_args().wstest)
    with tempfile.TemporaryDirectory() as folder:
        reports, spec = Path(folder) / "reports", Path(folder) / "spec.json"
        server = {"url": f"ws://127.0.0.1:{PORT}", "outdir": str(reports), "cases": ["*"], "exclude-cases": LEFT_OUT}
        spec.write_text(json.dumps(server | {"exclude-agent-cases": {}}))
        with subprocess.Popen([*command, "-m", "fuzzingserver", "-s", spec], stdout=subprocess.DEVNULL) as process:
            try:
                trio.run(run_cases)
            finally:
                process.terminate()
        results = json.loads((reports / "index.json").read_text())["voicecore"]
    print(f"{len(results)} cases:", dict(Counter(result["behavior"] for result in results.values())))
    for case, result in results.items():
        if result["behavior"] != "OK":
            print(case, result["behavior"])


if __name__ == "__main__":
    main()
