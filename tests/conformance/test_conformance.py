"""The conformance suite over every dialect: one that is in DIALECTS is enrolled."""

from __future__ import annotations

import pytest

from voicecore.testing import conformance_cases
from voicecore.vendors import DIALECTS

CASES = [
    pytest.param(case, id=str(case), marks=[pytest.mark.unmeasured] if "every_split" in case.name else [])
    for dialect in DIALECTS
    for case in conformance_cases(dialect)
]


@pytest.mark.parametrize("case", CASES)
def test_conformance(case):
    case.run()
