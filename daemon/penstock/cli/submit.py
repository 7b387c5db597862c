"""`penstock submit KIND …`: start a run and print its id."""

from __future__ import annotations

from penstock.cli.kind_commands import Kinds, submit_only

submit = Kinds(
    submit_only,
    name="submit",
    help="Start a run on the running daemon and print its id.",
)
