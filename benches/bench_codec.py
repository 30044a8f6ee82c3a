"""The cases of `benches.cases` for pytest-benchmark: one group per case, ours and its peers in it."""

import pytest

from benches.cases import cases

CONTENDERS = [
    pytest.param(case.name, contender, id=f"{case.name}: {contender.name}")
    for case in cases()
    for contender in case.contenders
]


@pytest.mark.parametrize(("group", "contender"), CONTENDERS)
def bench_codec(benchmark, group, contender):
    benchmark.group = f"{group} (time per {len(contender.data)} calls)"
    benchmark(contender.compiled(), contender.data)
