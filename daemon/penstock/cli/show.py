"""`penstock show`: one run as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from penstock.cli.options import run_argument
from penstock.cli.output import emit, fields, local_time, show_line
from penstock.cli.run_lookup import call_source
from penstock.cli.session import Session, json_option, pass_session

#: What stands first.
_FIRST = ("run_id", "kind", "state", "reason", "error")
_TIMES = ("created_at", "started_at", "ended_at")
#: Most runs ask no model, and leave nothing behind.
_SELDOM = ("tokens_in", "tokens_out", "cost", "model_seconds", "leftover")
#: Of use to programs only, or told elsewhere.
_HIDDEN = frozenset({
    "sequence", "position", "last_at", "stale", "anomalies", "details", "code_version", "output_tail",
})  # fmt: skip


@click.command()
@run_argument
@json_option
@pass_session
def show(session: Session, run_id: str, as_json: bool) -> None:
    """One run as it stands; runs of embedded daemons are found too.

    Example: penstock show 12
    """
    view = call_source(
        session,
        run_id,
        live=lambda client: client.run(run_id),
        kept=lambda source: source.view(run_id),
    )
    if as_json:
        emit(view)
        return
    fields(described(view))
    if tail := view.get("output_tail"):
        show_line("output_tail")
        for line in tail:
            show_line(f"  {line}")


def described(view: Mapping[str, Any]) -> dict[str, Any]:
    """What a person is told of a run, in the order in which it is."""
    told = {name: view.get(name) for name in _FIRST}
    told |= {name: local_time(view.get(name)) for name in _TIMES}
    told |= {k: v for k, v in view.items() if k not in told and k not in _HIDDEN}
    for name in _SELDOM:
        told[name] = told.get(name) or None
    if view.get("progress") is not None:
        told["progress"] = f"{view['progress']:.0%}"
    return told
