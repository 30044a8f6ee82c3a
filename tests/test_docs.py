"""What the pages say is true: their programs run, and the tests that they name exist."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from voicecore.emulator.faults import FAULTS, parse_fault
from voicecore.testing.proxy import Faults

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "testing-with-faults.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_page_runs(number):
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAMS[number]], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_the_pages_faults_are_faults():
    written = [word for line in PAGE.splitlines() if line.startswith("voicecore emulate") for word in fault_words(line)]
    assert written
    for text in [*written, *re.findall(r"--fault ([a-z]+=\d+@\d+)`", PAGE)]:
        assert parse_fault(text).name in FAULTS
    for arguments in re.findall(r"^\| `(?!Faults)(.+?)` \|", PAGE, re.MULTILINE):
        eval(f"Faults({arguments})", {"Faults": Faults})


def fault_words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return [after for before, after in pairwise(words) if before == "--fault"]


def names_of_tests() -> set[str]:
    """`tests/some/test_file.py::test_name` of every test."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def test_every_promise_names_tests_that_exist():
    promises = README.partition("## Promises")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    there = {name.removeprefix("tests/") for name in names_of_tests()}
    assert len(rows) >= 8
    for row in rows:
        named = re.findall(r"`([\w/]+\.py::\w+)`", row)
        assert named, f"no test is named: {row}"
        assert not set(named) - there, f"no such test: {set(named) - there}"
