"""A form from a JSON schema: which fields there are, and what was typed as JSON. Values in, values out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.words.durations import parse_span, span_in_words
from penstock.words.errors import Refused

FieldKind = Literal[
    "text",
    "words",
    "pairs",
    "integers",
    "integer",
    "number",
    "span",
    "flag",
    "choice",
    "json",
]


@dataclass(frozen=True, slots=True)
class FormField:
    """One line of a form. `default` is what stands in it at first, as text."""

    name: str
    kind: FieldKind
    help: str = ""
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()


def fields_of(schema: Mapping[str, Any]) -> list[FormField]:
    """The fields of an object's schema, required ones first."""
    required = set(schema.get("required", ()))
    fields = [
        _field(name, part, schema, required=name in required)
        for name, part in schema.get("properties", {}).items()
    ]
    return sorted(fields, key=lambda field: not field.required)


def read(field: FormField, text: str) -> Any:
    """What was typed, as JSON; None if nothing was. Refused names the field."""
    if not text.strip():
        if field.required:
            raise Refused(field.name, "is needed")
        return None
    try:
        return _READERS[field.kind](text)
    except ValueError as error:
        raise Refused(field.name, str(error)) from None


def inputs_of(fields: list[FormField], typed: Mapping[str, str]) -> dict[str, Any]:
    """The inputs a filled form stands for; what was left empty, or at its default, is left out."""
    inputs = {}
    for field in fields:
        text = typed.get(field.name, "")
        value = read(field, text)
        if value is not None and (field.required or text != field.default):
            inputs[field.name] = value
    return inputs


def _field(
    name: str, part: Mapping[str, Any], schema: Mapping[str, Any], *, required: bool
) -> FormField:
    shape = _shape(part, schema)
    kind, choices = _kind(shape)
    about = part.get("description") or shape.get("description") or ""
    default = part.get("default")
    return FormField(
        name,
        kind,
        " ".join(str(about).split()),
        required,
        written(kind, default),
        choices,
    )


def _shape(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part itself behind references and `or null`."""
    while True:
        if ref := part.get("$ref"):
            part = schema.get("$defs", {}).get(str(ref).rsplit("/", 1)[-1], {})
        elif choices := [p for p in _options(part) if p.get("type") != "null"]:
            part = choices[0]
        else:
            return part


def _options(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from part.get("anyOf", part.get("oneOf", part.get("allOf", ())))


def _kind(shape: Mapping[str, Any]) -> tuple[FieldKind, tuple[str, ...]]:
    if shape.get("enum"):
        return "choice", tuple(str(choice) for choice in shape["enum"])
    if "const" in shape:
        return "choice", (str(shape["const"]),)
    match shape.get("type"):
        case "string":
            return "text", ()
        case "boolean":
            return "flag", ("false", "true")
        case "integer":
            return "integer", ()
        case "number":
            return "number", ()
        case "array" if _is_text(shape.get("items", {})):
            return "words", ()
        case "array" if _items(shape).get("type") == "integer":
            return "integers", ()
        case "object" if _is_text(shape.get("additionalProperties", {})):
            return "pairs", ()
    return "json", ()


def _items(shape: Mapping[str, Any]) -> Mapping[str, Any]:
    items = shape.get("items", {})
    return items if isinstance(items, Mapping) else {}


def _is_text(shape: object) -> bool:
    return isinstance(shape, Mapping) and shape.get("type") == "string"


def written(kind: FieldKind, value: Any) -> str:
    """A value of JSON as it is typed; "" for none."""
    if value is None or value in ([], {}, ()):
        return ""
    if kind == "words":
        return shlex.join(value)
    if kind == "pairs":
        return shlex.join(f"{name}={said}" for name, said in value.items())
    if kind == "span":
        return span_in_words(float(value))
    if kind == "integers":
        return " ".join(str(number) for number in value)
    return value if isinstance(value, str) else json.dumps(value)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is true or false")
    return text == "true"


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is not NAME=VALUE")
        pairs[name] = value
    return pairs


_READERS: dict[FieldKind, Any] = {
    "text": str,
    "words": shlex.split,
    "pairs": _pairs,
    "integers": lambda text: [int(word) for word in text.split()],
    "integer": int,
    "number": float,
    "span": parse_span,
    "flag": _flag,
    "choice": str,
    "json": json.loads,
}
HINTS: dict[FieldKind, str] = {
    "text": "text",
    "words": "words, quoted as in a shell",
    "pairs": "NAME=VALUE NAME=VALUE",
    "integers": "whole numbers",
    "integer": "a whole number",
    "number": "a number",
    "span": "90s, 5m, 3h",
    "flag": "",
    "choice": "",
    "json": "JSON",
}

#: What is not typed as it is meant: how, is said before what it is for.
_WRITTEN_SO = frozenset({"words", "pairs", "json"})


def hint_of(field: FormField) -> str:
    """What stands in an empty line of the form."""
    hint = HINTS[field.kind]
    if field.help and field.kind in _WRITTEN_SO:
        return f"{hint}: {field.help}"
    return field.help or hint
