"""The error tree: short, and its docstrings are its messages."""

from __future__ import annotations

import inspect

import pytest

from penstock.words import errors
from penstock.words.errors import PenstockError, Refused

TREE = [
    c
    for c in vars(errors).values()
    if inspect.isclass(c) and issubclass(c, PenstockError)
]
EVERY = pytest.mark.parametrize("cls", TREE)


@EVERY
def test_an_error_without_words_says_its_docstring(cls: type[PenstockError]) -> None:
    doc = (cls.__doc__ or "").strip()
    assert doc.endswith(".")
    assert "\n" not in doc
    if not issubclass(cls, Refused):
        assert str(cls()) == doc


@EVERY
def test_the_tree_is_at_most_three_deep(cls: type[PenstockError]) -> None:
    assert cls.__mro__.index(PenstockError) <= 2
    assert len(cls.__bases__) == 1


def test_an_error_carries_what_a_caller_can_act_on() -> None:
    error = errors.RunNotFound("no run r1", run_id="r1")
    assert str(error) == "no run r1"
    assert error.facts == {"run_id": "r1"}


@pytest.mark.parametrize("cls", [c for c in TREE if issubclass(c, Refused)])
def test_a_refusal_names_its_field(cls: type[Refused]) -> None:
    error = cls("timeout", "must not be negative", limit=0)
    assert str(error) == "timeout: must not be negative"
    assert error.field == "timeout"
    assert error.facts == {"field": "timeout", "limit": 0}
