"""Judges what `coverage run` measured: every line and branch of the sans-IO core, nearly all of the rest.

`python tests/coverage_gate.py`, as `make test-python` does. Exit status 1, and what was missed, below a bound.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import coverage
from support.layers import MODULES, SANS_IO

CORE, REST = 100.0, 95.0  # percent, of the lines and of the branches


def measured(data: coverage.Coverage, files: list[str]) -> tuple[float, float]:
    """Percent of the lines and of the branches of these files that were run."""
    with tempfile.NamedTemporaryFile() as report:
        data.json_report(include=files, outfile=report.name)
        totals = json.loads(Path(report.name).read_text())["totals"]
    return (
        100 * totals["covered_lines"] / totals["num_statements"],
        100 * totals["covered_branches"] / totals["num_branches"],
    )


def passes(data: coverage.Coverage, name: str, files: list[str], bound: float) -> bool:
    """Says the numbers and, where they are below the bound, what is missing."""
    lines, branches = measured(data, files)
    enough = min(lines, branches) >= bound
    if not enough:
        data.report(include=files, show_missing=True, skip_covered=True)
    print(f"coverage of {name}: {lines:.2f} % of lines, {branches:.2f} % of branches, at least {bound:g} % asked")
    return enough


def main() -> int:
    data = coverage.Coverage()
    data.combine()
    core = {str(MODULES[name]) for name in SANS_IO}
    rest = {str(path) for path in MODULES.values()} - core
    verdicts = [
        passes(data, "the sans-IO core", sorted(core), CORE),
        passes(data, "the rest of Python", sorted(rest), REST),
    ]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
