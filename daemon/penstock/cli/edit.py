"""`penstock edit`: what a run is to do, changed before it begins."""

from __future__ import annotations

import json
from typing import Any

import click

from penstock.cli.options import JsonText, named_run_argument
from penstock.cli.output import say
from penstock.cli.rearranging import show_place
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import Refused


@click.command()
@named_run_argument
@click.option(
    "--inputs",
    type=JsonText(),
    metavar="JSON|@FILE",
    help="What is to change, as a JSON object; null takes a field out. No editor is opened.",
)
@json_option
@pass_session
def edit(session: Session, run_id: str, inputs: Any, as_json: bool) -> None:
    """Change the inputs of a run that has not begun, in $VISUAL or $EDITOR.

    What is not shown of them, as secrets, stays as it is.
    """
    if inputs is None:
        shown = session.call(lambda client: client.run(run_id))["inputs"]
        inputs = _edited(shown)
    if not isinstance(inputs, dict):
        raise Refused("inputs", "must be a JSON object")
    if not inputs:
        say("nothing was changed")
        return
    told = session.call(lambda client: client.edit(run_id, inputs))
    show_place(session, told, as_json=as_json)


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
