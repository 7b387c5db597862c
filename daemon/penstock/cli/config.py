"""`penstock config`: every setting, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from penstock.cli.output import emit, say, table
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.config_reference import ConfigKey, find_key
from penstock.words.errors import NotFound

#: Settings whose values are nobody's business on a screen.
_SECRET = ("key", "token", "secret", "password")


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
        raise NotFound(f"there is no setting {key!r}")
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
