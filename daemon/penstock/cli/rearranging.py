"""What the verbs do that change how runs wait in line: ask for each, and say how it is then."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import click

from penstock.cli.output import emit, say
from penstock.cli.session import Session
from penstock.client.sync import SyncClient
from penstock.words.error_codes import exit_code_of
from penstock.words.errors import DaemonUnreachable, PenstockError


def rearrange(
    session: Session, run_ids: Iterable[str], wanted: dict[str, Any], *, as_json: bool
) -> None:
    """Ask this of every run; what one refuses does not keep the others from it."""
    codes: list[int] = []
    for run_id in run_ids:
        try:
            asked = partial(SyncClient.rearrange, run_id=run_id, **wanted)
            told = session.call(asked)
        except DaemonUnreachable:
            raise
        except PenstockError as error:
            say(f"{run_id}: {error}")
            codes.append(exit_code_of(error))
            continue
        show_place(session, told, as_json=as_json)
    if codes:
        raise click.exceptions.Exit(codes[0])


def show_place(session: Session, told: dict[str, Any], *, as_json: bool) -> None:
    """How a run is now: as data, or on stderr why it waits."""
    if as_json:
        emit(told)
        return
    why = session.call(lambda client: client.why(told["run_id"]))
    say(f"{told['run_id']} ({told['priority']}) is {why['state']}. {why['text']}")
