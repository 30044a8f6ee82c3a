"""docs/faults.md is what the marks of the tests say, and says something of every fault and system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.fault_matrix import FAULTS, KINDS, NOT_APPLICABLE, page_of, systems_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"


def test_the_page_is_what_the_marks_say(tmp_path):
    """Marks that came or went show here; `make docs` writes the page from a run."""
    page = tmp_path / "faults.md"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", "-m", "fault"]
    marked = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if ".fault(" in path.read_text()]
    done = subprocess.run([*command, "--fault-matrix", page, *marked], capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode()[-2000:]
    assert page.read_text() == PAGE.read_text(), "run `make docs`"


def test_no_cell_is_empty_and_none_failed():
    text = PAGE.read_text()
    assert "MISSING" not in text and "FAILED" not in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")][1:]
    assert [int(row[0]) for row in rows] == list(FAULTS)
    assert all(len(row) == 2 + len(KINDS) and all(cell.strip() for cell in row) for row in rows)


def test_what_is_not_applicable_is_not_tested():
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    said = {(int(row[0]), system): cell.strip() for row in rows for system, cell in zip(KINDS, row[2:], strict=True)}
    for number, name in NOT_APPLICABLE:
        for system in [system for system, kind in KINDS.items() if name in (system, kind)]:
            assert said[number, system] == "-", f"fault {number} of {system} has both a test and a reason for none"


def test_a_page_shows_a_failure_and_a_gap():
    covers = {"t.py::one[a]": [(1, {"60db-tts"})], "t.py::one[b]": [(1, {"60db-stt"})]}
    rows = {
        line.split("|")[1].strip(): line for line in page_of(covers, {"t.py::one[a]"}).splitlines() if line[:2] == "| "
    }
    assert "a FAILED" in rows["1"] and rows["1"].count("MISSING") == len(KINDS) - 2
    assert "MISSING" in rows["2"]


@pytest.mark.parametrize("arguments", [(31, "every"), (0, "tts"), (1, "nobody")])
def test_a_mark_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(pytest.UsageError, match="fault"):
        systems_of(pytest.mark.fault(*arguments).mark, {})
