"""`penstock edit`: what a run is to do, changed before it begins."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.changed_inputs import inputs_option, wanted_changes
from penstock.cli.options import named_run_argument
from penstock.cli.output import say
from penstock.cli.rearranging import show_place
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@named_run_argument
@inputs_option
@json_option
@pass_session
def edit(session: Session, run_id: str, inputs: Any, as_json: bool) -> None:
    """Change the inputs of a run that has not begun, in $VISUAL or $EDITOR.

    What is not shown of them, as secrets, stays as it is.
    """
    changes = wanted_changes(session, run_id, inputs)
    if not changes:
        say("nothing was changed")
        return
    told = session.call(lambda client: client.edit(run_id, changes))
    show_place(session, told, as_json=as_json)
