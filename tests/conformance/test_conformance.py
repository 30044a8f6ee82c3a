"""The conformance suite over every dialect: one that is in DIALECTS is enrolled."""

from __future__ import annotations

import pytest

from voicecore.testing import conformance_cases
from voicecore.vendors import DIALECTS

# What the suite's checks show of the faults of docs/faults.md.
FAULTS = {
    "close_at_every_place": (1, 29),
    "close_behind_a_message_at_every_place": (29,),
    "silence_at_every_place": (7,),
    "goodbye_at_every_place": (13,),
    "cancel_at_every_place": (15,),
    "every_split": (19,),
    "garbage_at_every_place": (30,),
    "error_at_every_place": (30,),
    "every_error_code": (30,),
}


def marks_of(name: str, system: str) -> list[pytest.MarkDecorator]:
    faults = next((numbers for check, numbers in FAULTS.items() if name.endswith(check)), ())
    unmeasured = [pytest.mark.unmeasured] if name.endswith("every_split") else []
    return [*(pytest.mark.fault(number, system) for number in faults), *unmeasured]


CASES = [
    pytest.param(case, id=str(case), marks=marks_of(str(case), dialect.name))
    for dialect in DIALECTS
    for case in conformance_cases(dialect)
]


@pytest.mark.parametrize("case", CASES)
def test_conformance(case):
    case.run()
