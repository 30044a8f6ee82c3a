"""What the conformance suite takes for a value of an annotated type."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from voicecore.testing.damage import fits


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (object(), Any, True),
        (None, None, True),
        (None, int | None, True),
        ("x", int | None, False),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ((1, 2), tuple[int, ...], True),
        ((1, "x"), tuple[int, ...], False),
        ([1], tuple[int, ...], False),
        (1, float, True),
        ({}, dict[str, Any], True),
    ],
)
def test_a_value_fits_its_type(value: object, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected
