"""The submit form: fields from a schema, JSON from what was typed. TU-03."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.words.errors import Refused
from penstock_tui.form import FormField, fields_of, inputs_of, read

SCHEMA: dict[str, Any] = {
    "$defs": {"Mode": {"enum": ["fast", "slow"], "type": "string"}},
    "properties": {
        "cwd": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "default": None,
            "description": "where",
        },
        "argv": {"type": "array", "items": {"type": "string"}},
        "env": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "default": {},
        },
        "mode": {"$ref": "#/$defs/Mode", "default": "fast"},
        "full": {"type": "boolean", "default": True},
        "count": {"type": "integer", "default": 3},
        "codes": {"type": "array", "items": {"type": "integer"}, "default": [0, 3]},
        "extra": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["argv"],
}


def test_fields_come_from_the_schema_required_ones_first() -> None:
    fields = {field.name: field for field in fields_of(SCHEMA)}
    assert next(iter(fields)) == "argv"
    assert {name: field.kind for name, field in fields.items()} == {
        "argv": "words", "cwd": "text", "env": "pairs", "mode": "choice", "full": "flag",
        "count": "integer", "codes": "integers", "extra": "json",
    }  # fmt: skip
    assert fields["mode"].choices == ("fast", "slow")
    assert fields["full"].default == "true"
    assert fields["codes"].default == "0 3"
    assert read(fields["codes"], "0 1 2") == [0, 1, 2]
    assert fields["cwd"].help == "where"


def test_what_is_typed_becomes_json_and_defaults_are_left_out() -> None:
    typed = {
        "argv": "make 'a b'",
        "cwd": "",
        "env": "A=1 B='x y'",
        "mode": "slow",
        "full": "true",
        "count": "4",
    }
    assert inputs_of(fields_of(SCHEMA), typed) == {
        "argv": ["make", "a b"],
        "env": {"A": "1", "B": "x y"},
        "mode": "slow",
        "count": 4,
    }


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "x"),
        ("pairs", "A"),
        ("json", "{"),
        ("words", "'open"),
        ("flag", "yes"),
    ],
)
def test_bad_text_is_refused_by_the_fields_name(kind: Any, text: str) -> None:
    with pytest.raises(Refused, match=r"^field: "):
        read(FormField("field", kind), text)


def test_a_needed_field_left_empty_is_refused() -> None:
    with pytest.raises(Refused, match=r"argv: is needed"):
        inputs_of(fields_of(SCHEMA), {"argv": "  "})
