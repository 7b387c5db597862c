"""Other inputs for a run, in an editor or as JSON; what is not shown of them stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from penstock.cli.options import JsonText
from penstock.cli.session import Session
from penstock.words.errors import Refused

Command = Callable[..., Any]


def inputs_option(command: Command) -> Command:
    """What is to change, for who wants no editor."""
    return click.option(
        "--inputs",
        type=JsonText(),
        metavar="JSON|@FILE",
        help="What is to change, as a JSON object; null takes a field out. No editor is opened.",
    )(command)


def wanted_changes(session: Session, run_id: str, inputs: Any) -> dict[str, Any]:
    """The fields that are to be others: those of `inputs`, or what a person changed in the editor."""
    if inputs is None:
        inputs = _edited(session.call(lambda client: client.run(run_id))["inputs"])
    if not isinstance(inputs, dict):
        raise Refused("inputs", "must be a JSON object")
    return inputs


def _edited(shown: dict[str, Any]) -> dict[str, Any]:
    """What a person changed in the editor, field by field."""
    text = click.edit(
        json.dumps(shown, ensure_ascii=False, indent=2) + "\n", extension=".json"
    )
    if text is None:
        return {}
    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise Refused("inputs", f"what was written is no JSON: {error}") from None
    if not isinstance(wanted, dict):
        raise Refused("inputs", "must be a JSON object")
    gone: dict[str, Any] = dict.fromkeys(shown.keys() - wanted.keys())
    changed = {n: v for n, v in wanted.items() if n not in shown or shown[n] != v}
    return {**gone, **changed}
