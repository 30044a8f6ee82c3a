"""The option classes of every dialect: what cannot be said is refused, and the error names the field."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import voicecore
from voicecore import ConfigurationError
from voicecore.vendors import DIALECTS

OPTIONS = sorted({dialect.options for dialect in DIALECTS}, key=lambda kind: kind.__name__)
FIELDS = [pytest.param(kind, field, id=f"{kind.__name__}-{field.name}") for kind in OPTIONS for field in fields(kind)]
STRANGERS: tuple[Any, ...] = (object(), b"bytes", "no such value", 7.25, True, ["x", 1], {"x": 1}, ())
NO_NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30)


def kinds_of(hint: Any) -> set[type]:
    """The classes that an annotation names; a choice of values is the class of none of them."""
    if get_origin(hint) in (Union, UnionType):
        return set().union(*map(kinds_of, get_args(hint)))
    if get_origin(hint) is Literal:
        return set()
    return {get_origin(hint) or hint}


def fits(value: Any, hint: Any) -> bool:
    kinds = kinds_of(hint)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return bool({int, float} & kinds)
    return isinstance(value, tuple(kinds - {NoneType}))


def hint_of(kind: type, field: Any) -> Any:
    return get_type_hints(kind)[field.name]


def of_kind(kind: type, *, wanted: bool) -> list[Any]:
    """The fields whose annotation names a class, or does not."""
    return [case for case in FIELDS if (kind in kinds_of(hint_of(*case.values))) is wanted]


def names(error: ConfigurationError, field: str) -> bool:
    """True if the error's message has the field's name, as it is or as the vendor spells it."""
    return field.replace("_", "").lower() in str(error).replace("_", "").lower()


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_are_frozen_and_have_a_public_name(kind):
    options = kind()
    assert not hasattr(options, "__dict__")
    for field in fields(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(options, field.name, None)
    with pytest.raises(TypeError):
        kind(no_such_option=1)
    assert getattr(voicecore, kind.__name__) is kind
    assert kind() == kind() and hash(kind()) == hash(kind())


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_value_of_another_type_is_refused_by_the_fields_name(kind, field):
    hint = hint_of(kind, field)
    tried = [value for value in STRANGERS if not fits(value, hint)]
    assert tried
    for value in tried:
        with pytest.raises(ConfigurationError) as caught:
            kind(**{field.name: value})
        assert names(caught.value, field.name), f"{field.name}={value!r}: {caught.value}"


@pytest.mark.parametrize(("kind", "field"), of_kind(float, wanted=True))
def test_no_fraction_is_without_bounds(kind, field):
    for value in NO_NUMBERS:
        with pytest.raises(ConfigurationError) as caught:
            kind(**{field.name: value})
        assert names(caught.value, field.name)


@pytest.mark.parametrize(("kind", "field"), of_kind(NoneType, wanted=False))
def test_what_must_be_set_cannot_be_unset(kind, field):
    with pytest.raises(ConfigurationError) as caught:
        kind(**{field.name: None})
    assert names(caught.value, field.name)
