"""The cases of `benches.cases` and `benches.formats` for pytest-benchmark: a group per case, ours and its peers."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.cases import cases
from benches.formats import formats
from benches.method import Contender

CONTENDERS = [
    pytest.param(case.name, contender, id=f"{case.name}: {contender.name}")
    for case in (*cases(), *formats())
    for contender in case.contenders
]


@pytest.mark.parametrize(("group", "contender"), CONTENDERS)
def test_codec(benchmark: BenchmarkFixture, group: str, contender: Contender) -> None:
    benchmark.group = f"{group} (time per {len(contender.data)} calls)"
    benchmark(contender.compiled(), contender.data)
