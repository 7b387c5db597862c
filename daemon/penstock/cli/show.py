"""`penstock show`: one run as it stands."""

from __future__ import annotations

import click

from penstock.cli.options import run_argument
from penstock.cli.output import emit, fields, local_time, show_line
from penstock.cli.run_lookup import call_source
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@run_argument
@json_option
@pass_session
def show(session: Session, run_id: str, as_json: bool) -> None:
    """One run as it stands; runs of embedded daemons are found too."""
    view = call_source(
        session,
        run_id,
        live=lambda client: client.run(run_id),
        kept=lambda source: source.view(run_id),
    )
    if as_json:
        emit(view)
        return
    times = {
        name: local_time(view.get(name))
        for name in ("created_at", "started_at", "ended_at")
    }
    first = {
        name: view.get(name) for name in ("run_id", "kind", "state", "reason", "error")
    }
    rest = {
        name: value for name, value in view.items() if name not in {**first, **times}
    }
    for name in ("tokens_in", "tokens_out", "cost", "model_seconds", "leftover"):
        # Most runs ask no model, and leave nothing behind.
        rest[name] = rest.get(name) or None
    if view.get("progress") is not None:
        rest["progress"] = f"{view['progress']:.0%}"
    hidden = (
        "sequence",
        "position",
        "last_at",
        "stale",
        "anomalies",
        "details",
        "code_version",
        "output_tail",
    )
    fields({**first, **times, **{k: v for k, v in rest.items() if k not in hidden}})
    if tail := view.get("output_tail"):
        show_line("output_tail")
        for line in tail:
            show_line(f"  {line}")
