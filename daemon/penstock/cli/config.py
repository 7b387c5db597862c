"""`penstock config`: every setting, what it is by the fields of `Config`, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

import click
from pydantic.fields import FieldInfo

from penstock.cli.output import emit, say, table
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.config import Config, Section, Unit
from penstock.words.errors import NotFound
from penstock.words.near_words import did_you_mean

#: Settings whose values are nobody's business on a screen.
_SECRET = ("key", "token", "secret", "password")


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
    if section.of_each is not None:
        yield from config_keys(section.of_each, f"{prefix}*.")


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


@click.command()
@click.argument("key", required=False)
@json_option
@pass_session
def config(session: Session, key: str | None, as_json: bool) -> None:
    """Every setting with its value and where it came from; or one, by its name."""
    values, sources = session.config()
    rows = [
        {
            "key": name,
            "value": value,
            "source": _source(name, sources),
            **_about(find_key(name)),
        }
        for name, value in _flat(values.model_dump(mode="json"))
        if key is None or name == key or name.startswith(f"{key}.")
    ]
    if not rows:
        known = [name for name, _ in _flat(values.model_dump(mode="json"))]
        hint = did_you_mean(str(key), known)
        raise NotFound(f"there is no setting {key!r}{hint}")
    if as_json:
        for row in rows:
            emit(row)
        return
    _say_file(session)
    if key is not None and (told := find_key(key)) is not None:
        say(f"{told.key}: {told.reason} ({told.unit}; default: {told.default})")
    table(
        ("KEY", "VALUE", "SOURCE"),
        (
            (row["key"], json.dumps(row["value"], ensure_ascii=False), row["source"])
            for row in rows
        ),
    )


def _about(told: ConfigKey | None) -> dict[str, str]:
    """What a setting is, beside its value."""
    if told is None:
        return {}
    return {"unit": told.unit, "default": told.default, "reason": told.reason}


def _say_file(session: Session) -> None:
    """Where the config file is, or would be."""
    from penstock.words.config_sources import config_path

    file = Path(session.config_file or config_path(session.environ))
    say(
        f"the config file is {file}{'' if file.exists() else ', and there is none yet'}"
    )


def _source(name: str, sources: dict[str, str]) -> str:
    """Where a setting came from; a table's source is that of its parts."""
    found = next(
        (s for key, s in sources.items() if name == key or name.startswith(f"{key}.")),
        "",
    )
    return found or "default"


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{name}.")
        elif (
            any(word in name for word in _SECRET)
            and not name.endswith("_env")
            and value
        ):
            rows.append((prefix + name, "(not shown)"))
        else:
            rows.append((prefix + name, value))
    return rows
