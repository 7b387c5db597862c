"""The flags of a kind, made of the schema of its inputs; and paths as the caller means them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import click

from penstock.cli.options import Finite, JsonText
from penstock.words.errors import Refused

Schema = Mapping[str, Any]


def options_of(schema: Schema, *, skip: Iterable[str] = ()) -> list[click.Parameter]:
    """One option per property. What is required is told, and left to the daemon to insist on."""
    required = set(schema.get("required", ()))
    return [
        _option(name, _plain(prop, schema), name in required)
        for name, prop in schema.get("properties", {}).items()
        if name not in skip
    ]


def path_names(schema: Schema) -> frozenset[str]:
    """The properties that are paths: they are made absolute, the daemon stands elsewhere."""
    return frozenset(
        name
        for name, prop in schema.get("properties", {}).items()
        if str(_plain(prop, schema).get("format", "")).endswith("path")
    )


def absolute(text: str) -> str:
    """A path as seen from the caller's folder; `~` is the caller's home.

    Refused if that folder was removed, unless the path needs none.
    """
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        try:
            path = os.path.join(os.getcwd(), path)
        except FileNotFoundError:
            why = "the folder you stand in was removed; go to another"
            raise Refused(text, why) from None
    return os.path.normpath(path)


def _plain(prop: Schema, schema: Schema) -> Schema:
    """The property without its null alternative and with references followed."""
    outer = {k: v for k, v in prop.items() if k in ("description", "default")}
    for choice in prop.get("anyOf", ()):
        if choice.get("type") != "null":
            return {**_plain(choice, schema), **outer}
    if reference := prop.get("$ref"):
        found = schema.get("$defs", {}).get(str(reference).rsplit("/", 1)[-1], {})
        return {**found, **outer}
    return prop


def _option(name: str, prop: Schema, required: bool) -> click.Option:
    flag = "--" + name.replace("_", "-")
    # Schemas speak of JSON; a flag that stands for null is one that is not given.
    described = str(prop.get("description", "")).replace("; null: ", "; without it: ")
    help_text = described + (" (required)" if required else "")
    default = prop.get("default")
    if isinstance(default, int | float | str) and not isinstance(default, bool):
        # Told here only: what is not given is left out, and the daemon's own default holds.
        help_text += f"  [default: {default}]"
    common: dict[str, Any] = {"help": help_text, "default": None}
    kind = prop.get("type")
    if "enum" in prop:
        return click.Option(
            [flag, name], type=click.Choice([str(v) for v in prop["enum"]]), **common
        )
    if kind == "boolean":
        return click.Option([f"{flag}/--no-{flag[2:]}", name], **common)
    if kind == "array" and prop.get("items", {}).get("type") == "string":
        return click.Option(
            [flag, name], multiple=True, help=help_text + " (repeatable)"
        )
    types: dict[str, Any] = {"integer": int, "number": Finite(), "string": str}
    return click.Option([flag, name], type=types.get(str(kind), JsonText()), **common)


def located(text: str) -> str:
    """A path made absolute; what names another place is left as it is."""
    if "://" in text or (":" in text.split("/")[0] and not os.path.exists(text)):
        return text
    return absolute(text)
