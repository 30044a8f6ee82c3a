"""The fault matrix: which tests show what a fault of the field does to each system; docs/faults.md is its page.

`@pytest.mark.fault(8)` on a test that is parametrised by `dialect` covers that system. `@pytest.mark.fault(8, "tts")`
covers the systems it names, or a kind of them, or "every": what is tested is then the same code for all of them.
The page is written from a run: `pytest -m fault --fault-matrix docs/faults.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from voicecore.vendors import DIALECTS

# A dialect that is enrolled gets a column.
KINDS: dict[str, str] = {dialect.name: dialect.kind for dialect in DIALECTS} | {"60db-llm": "llm"}

FAULTS = {
    1: "the handshake is accepted and the key refused at once (1008)",
    2: "every connection works for some seconds, then drops",
    3: "a server that never comes back",
    4: "a graceful close while nobody asks for anything",
    5: "all clients come back at the same moment",
    6: "429, and part of an answer without an end",
    7: "no final message ever comes",
    8: "a half-open socket: nothing comes, nobody is told",
    9: "the vendor, or a box on the way, closes what is idle",
    10: "a slow consumer while the server pings",
    11: "more audio than the consumer takes",
    12: "the peer stops reading",
    13: "the close is never answered",
    14: "tasks, sockets or files are left behind",
    15: "audio or a final of a turn that was interrupted leaks into the next",
    16: "many barge-ins against a vendor that caps its contexts",
    17: "a request is sent again after part of its audio",
    18: "audio is lost when speech-to-text connects again",
    19: "a sample is cut between two messages",
    20: "the key in logs, errors, arguments",
    21: "base64 that is none",
    22: "messages out of order, twice, or never",
    23: "a WAV header in every chunk, cut, with sizes that are wrong",
    24: "garbage in compressed audio",
    25: "a resampler that begins anew with each chunk, or keeps the tail",
    26: "memory that grows",
    27: "the host's event loop stalls",
    28: "TLS that is no good; a key in clear text",
    29: "a write that crosses the close",
    30: "the vendor's own errors",
}

_PLAIN = "its messages carry no number, and TCP keeps their order"
_NO_AUDIO = "text goes to and fro, and no audio"
NOT_APPLICABLE: dict[tuple[int, str], str] = {
    (11, "stt"): "a recogniser sends no audio, and what it says is text that is bounded in events",
    (13, "llm"): "HTTP has no closing handshake",
    (16, "stt"): "a stream is a connection of its own: there are no contexts on it",
    (16, "llm"): "a connection serves one chat at a time, and one that is left is closed",
    (17, "stt"): "audio is sent again on purpose: fault 18",
    (18, "tts"): "it sends texts and no audio: fault 17",
    (18, "llm"): _NO_AUDIO,
    (21, "vachana-stt"): "its audio travels in binary frames",
    (21, "llm"): _NO_AUDIO,
    (22, "60db-tts"): _PLAIN,
    (22, "vachana-tts"): _PLAIN,
    (22, "stt"): _PLAIN,
    (22, "llm"): _PLAIN,
    (23, "60db-tts"): "its audio has no header",
    (23, "stt"): "the caller says what format the audio has that goes up",
    (23, "llm"): _NO_AUDIO,
    (24, "stt"): "it is sent uncompressed audio",
    (24, "llm"): _NO_AUDIO,
    (25, "llm"): _NO_AUDIO,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-matrix", metavar="PAGE", help="write the fault matrix of this run to a page")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(number, *systems): covers a fault of docs/faults.md")
    if page := config.getoption("--fault-matrix"):
        config.pluginmanager.register(FaultMatrix(Path(page), collected_only=config.option.collectonly))


def systems_of(mark: pytest.Mark, parameters: dict[str, Any]) -> set[str]:
    """The systems that a marked test covers."""
    names = mark.args[1:] or (parameters["dialect"].name,)
    systems = {name for given in names for name, kind in KINDS.items() if given in (name, kind, "every")}
    if mark.args[0] not in FAULTS or not systems:
        raise pytest.UsageError(f"fault{mark.args}: expected a number of {min(FAULTS)} to {max(FAULTS)} and systems")
    return systems


class FaultMatrix:
    """Collects the marks and what became of their tests; writes the page."""

    def __init__(self, page: Path, *, collected_only: bool) -> None:
        self._page = page
        self._collected_only = collected_only
        self._covers: dict[str, list[tuple[int, set[str]]]] = {}  # by the test's id with its parameters
        self._failed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            marks = [(mark.args[0], systems_of(mark, parameters)) for mark in item.iter_markers("fault")]
            if marks:
                self._covers[item.nodeid] = marks

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._page.write_text(page_of(self._covers, self._failed))


# --- the page --------------------------------------------------------------------------------------------

_HEAD = """# The fault matrix

Thirty faults that clients of voice vendors met in the field, and what shows that each is dealt with, for every system
that voicecore speaks. Written by `make docs` from a run of the tests; a letter is a test of the list below, which
passed. "-" is not applicable: the reason stands with the fault. Tests of `tests/faults` and
`tests/conformance` that go through a session run on both drivers, trio and asyncio; those of the chat run on trio.
"""


def page_of(covers: dict[str, list[tuple[int, set[str]]]], failed: set[str]) -> str:
    tests: dict[int, dict[str, dict[str, bool]]] = {
        number: {} for number in FAULTS
    }  # fault -> test -> system -> passed
    for nodeid, marks in covers.items():
        for number, systems in marks:
            passed = tests[number].setdefault(nodeid.partition("[")[0], {})
            for system in systems:
                passed[system] = passed.get(system, True) and nodeid not in failed
    rows = [_row(number, tests[number]) for number in FAULTS]
    header = [f"| | fault | {' | '.join(KINDS)} |", f"|---|---|{'---|' * len(KINDS)}"]
    lists = [line for number in FAULTS for line in _list(number, tests[number])]
    return "\n".join([_HEAD, *header, *rows, "", "## The tests", *lists, ""])


def _letter(place: int) -> str:
    return chr(ord("a") + place)


def _row(number: int, tests: dict[str, dict[str, bool]]) -> str:
    cells = [_cell(number, system, tests) for system in KINDS]
    return f"| {number} | {FAULTS[number]} | {' | '.join(cells)} |"


def _cell(number: int, system: str, tests: dict[str, dict[str, bool]]) -> str:
    names = sorted(tests)
    passed = {_letter(names.index(name)): systems[system] for name, systems in tests.items() if system in systems}
    if passed:
        return " ".join(letter if good else f"{letter} FAILED" for letter, good in sorted(passed.items()))
    return "-" if reason_of(number, system) else "MISSING"


def reason_of(number: int, system: str) -> str | None:
    """Why a fault does not concern a system."""
    return NOT_APPLICABLE.get((number, system)) or NOT_APPLICABLE.get((number, KINDS[system]))


def _list(number: int, tests: dict[str, dict[str, bool]]) -> list[str]:
    lines = ["", f"{number}. {FAULTS[number]}:"]
    lines += [f"   - {_letter(place)}: `{name}`" for place, name in enumerate(sorted(tests))]
    reasons: dict[str, list[str]] = {}
    for system in KINDS:
        if not any(system in systems for systems in tests.values()) and (reason := reason_of(number, system)):
            reasons.setdefault(reason, []).append(system)
    return lines + [f"   - not {', '.join(systems)}: {reason}" for reason, systems in reasons.items()]
