"""What every setting is, read from the fields of `Config`: name, unit, default and reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from pydantic.fields import FieldInfo

from penstock.words.config import Config, Section, Unit


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """What is said of one setting. `*` in a key stands for a name, or for each of a list."""

    key: str
    #: What a number counts, the words there are, or the sort of value.
    unit: str
    #: As JSON, which is also how the environment has it; or `none`, or `required`.
    default: str
    reason: str


def config_keys(
    section: type[Section] = Config, prefix: str = ""
) -> Iterator[ConfigKey]:
    """Every setting, in the order of the fields; a table's own come after it."""
    for name, field in section.model_fields.items():
        inner, many = _section_in(field.annotation)
        if inner is None or many:
            yield ConfigKey(
                prefix + name,
                _unit_of(field),
                "required" if field.is_required() else _text(field.default),
                field.description or "",
            )
        if inner is not None:
            yield from config_keys(inner, f"{prefix}{name}.{'*.' if many else ''}")


def find_key(key: str) -> ConfigKey | None:
    """What is said of this key, or of the table that it stands in."""
    known = list(config_keys())
    fitting = [s for s in known if fnmatchcase(key, s.key)]
    around = [s for s in known if key.startswith(f"{s.key}.")]
    return next(iter(fitting or around), None)


def _text(default: Any) -> str:
    return "none" if default is None else json.dumps(default, ensure_ascii=False)


def _section_in(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The table that a field holds, and whether it may hold several."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    found = (_section_in(part)[0] for part in get_args(annotation))
    return next((inner for inner in found if inner is not None), None), True


def _unit_of(field: FieldInfo) -> str:
    units = [part for part in field.metadata if isinstance(part, Unit)]
    for part in get_args(field.annotation):
        units += [x for x in getattr(part, "__metadata__", ()) if isinstance(x, Unit)]
    if units:
        return units[0].name
    text = str(field.annotation)
    if words := _words_of(field.annotation):
        return ", ".join(words)
    sorts = (("bool", "true or false"), ("dict", "table"), ("tuple", "list"),
             ("Path", "path"), ("int", "number"), ("float", "number"))  # fmt: skip
    return next((said for part, said in sorts if part in text), "text")


def _words_of(annotation: Any) -> tuple[str, ...]:
    """The words of a Literal, wherever it stands."""
    parts = get_args(annotation)
    if parts and all(isinstance(part, str) for part in parts):
        return parts
    return next(filter(None, map(_words_of, parts)), ())
