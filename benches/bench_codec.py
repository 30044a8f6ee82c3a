"""The cases of `benches.cases` for pytest-benchmark: one group per case, ours and its peers in it."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.cases import cases
from benches.method import Contender

CONTENDERS = [
    pytest.param(case.name, contender, id=f"{case.name}: {contender.name}")
    for case in cases()
    for contender in case.contenders
]


@pytest.mark.parametrize(("group", "contender"), CONTENDERS)
def test_codec(benchmark: BenchmarkFixture, group: str, contender: Contender) -> None:
    benchmark.group = f"{group} (time per {len(contender.data)} calls)"
    benchmark(contender.compiled(), contender.data)
