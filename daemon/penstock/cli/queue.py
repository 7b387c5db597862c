"""The queue: how full it is, pause, resume and drain, and why a run waits."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.completing import complete_run
from penstock.cli.output import emit, fields, say, show_line, table
from penstock.cli.session import Session, json_option, pass_session

group_option = click.option(
    "--group", "-g", help="Only this group of the configuration."
)


@click.command()
@json_option
@pass_session
def queue(session: Session, as_json: bool) -> None:
    """How many runs queue and execute, and what is paused."""
    told = session.ask(lambda client: client.get("queue"))
    if as_json:
        emit(told)
        return
    by_priority = told["queued_by_priority"].items()
    fields({
        "running": f"{told['running']} of {told['slots']} slots",
        "queued": f"{told['queued']} of {told['capacity']}",
        "by priority": ", ".join(f"{n} {name}" for name, n in by_priority if n),
        "waiting": f"{told['parked']} without a slot" if told["parked"] else "",
        "submits": f"{told['waiting_submits']} in line" if told["waiting_submits"] else "",
    })  # fmt: skip
    if told["groups"]:
        rows = [
            (name, str(row["running"]), str(row["slots"]), str(row["queued"]))
            for name, row in told["groups"].items()
        ]
        table(("GROUP", "RUNNING", "SLOTS", "QUEUED"), rows)
    _say_held(told)


@click.command()
@group_option
@click.option("--reason", default="", help="Told to everybody who asks why.")
@json_option
@pass_session
def pause(session: Session, group: str | None, reason: str, as_json: bool) -> None:
    """Start no more runs until `resume`; what executes goes on, and submits queue up.

    A pause is kept over restarts of the daemon.
    """
    told = session.ask(lambda client: client.pause(group, reason))
    _tell(told, as_json)


@click.command()
@group_option
@json_option
@pass_session
def resume(session: Session, group: str | None, as_json: bool) -> None:
    """Start runs again after `pause`, and take them in again after `drain`."""
    told = session.ask(lambda client: client.resume(group))
    _tell(told, as_json)


@click.command()
@group_option
@click.option("--no-wait", is_flag=True, help="Do not wait for the runs that are left.")
@json_option
@pass_session
def drain(session: Session, group: str | None, no_wait: bool, as_json: bool) -> None:
    """Take no new runs in, and wait until none runs or is queued.

    New ones are refused until `resume`, or until the daemon starts again. Ctrl-C ends the waiting
    and not the drain.
    """
    try:
        told = session.ask(lambda client: client.drain(group, wait=not no_wait))
    except KeyboardInterrupt:
        say("the drain goes on; `penstock resume` ends it")
        raise
    _tell(told, as_json)


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@json_option
@pass_session
def why(session: Session, run_id: str, as_json: bool) -> None:
    """Why a run is where it is: what it waits for, and what stands before it."""
    told = session.ask(lambda client: client.why(run_id))
    if as_json:
        emit(told)
        return
    show_line(f"{told['run_id']} is {told['state']}.")
    for reason in told["reasons"]:
        show_line(reason["text"])


def _tell(told: dict[str, Any], as_json: bool) -> None:
    """How the queue is after a change."""
    if as_json:
        emit(told)
        return
    say(f"{told['running']} running, {told['queued']} queued")
    _say_held(told)


def _say_held(told: dict[str, Any]) -> None:
    for row in told["paused"]:
        because = f": {row['reason']}" if row["reason"] else ""
        say(f"{_name(row['group'])} is paused{because}")
    for group in told["draining"]:
        say(f"{_name(group)} is drained; `penstock resume` takes runs in again")


def _name(group: str | None) -> str:
    return "the queue" if group is None else f"the group {group}"
