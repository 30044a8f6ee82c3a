"""Lets `pytest benches/` find `bench_*.py`; the tests' own pattern stays as it is."""

from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    named_by_user = parent.session.isinitpath(file_path)  # pytest collects that by itself
    if file_path.match("bench_*.py") and not named_by_user:
        return pytest.Module.from_parent(parent, path=file_path)
    return None
