"""The daemon itself: run it, stop it, ask how it is."""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
from pathlib import Path
from typing import Any

import click

from penstock.cli.output import emit, fields, local_time, say, table
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.cli.units import SERVICE, SOCKET, unit_folder
from penstock.client import Client
from penstock.words.errors import DaemonUnreachable, PenstockError, Refused
from penstock.words.holder import read_holder
from penstock.words.problems import Exit

#: Seconds a stop may take: the daemon's own bounds add up to less.
SHUTDOWN_SECONDS = 30.0


@click.command()
@click.option("--host", help="Listen on this address.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="And this port.  [default: 9876]"
)
@click.option("--no-auth", is_flag=True, help="Ask for no token; on loopback only.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Keep the log here.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-json", is_flag=True, help="Log lines as JSON.")
@pass_session
def serve(session: Session, /, no_auth: bool, log_json: bool, **flags: Any) -> None:
    """Run the daemon in the foreground until SIGTERM, a hang-up or Ctrl-C."""
    from penstock.cli.logs import open_log_writer
    from penstock.service.daemon import serve as serve_daemon
    from penstock.service.systemd import take_supervision

    supervision = take_supervision(os.environ)
    flags |= {
        "auth": False if no_auth else None,
        "log_json": True if log_json else None,
    }
    config, _ = session.config(flags)
    # The manager's watchdog ends a hung daemon by SIGABRT: its stacks are then the last of its log.
    faulthandler.enable()
    with open_log_writer(config, session.environ) as writer:
        try:
            run_async(
                lambda: serve_daemon(config, log_writer=writer, supervision=supervision)
            )
        except PenstockError:
            raise
        except Exception:
            # The sentence at the end is for a person; whoever mends it reads the log.
            logging.getLogger("penstock").critical("not foreseen", exc_info=True)
            raise


@click.command()
@click.option(
    "--cancel-all", is_flag=True, help="Cancel every run first, queued ones too."
)
@json_option
@pass_session
def shutdown(session: Session, cancel_all: bool, as_json: bool) -> None:
    """Stop the daemon of this state folder; queued runs are kept for its next start."""
    if session.named:
        raise Refused(
            "--url", "a daemon is stopped on its own box; leave the address out"
        )
    pid = read_pid(session.paths().lock)
    cancelled = session.ask(_cancel_all) if cancel_all else 0
    stop(pid)
    if as_json:
        emit({"pid": pid, "cancelled": cancelled})
    else:
        say(f"the daemon (pid {pid}) has stopped")
        if (unit_folder(session.environ) / SOCKET).exists():
            how = f"`systemctl --user stop {SOCKET} {SERVICE}` keeps it down"
            say(f"the next client starts it again, since it is a service; {how}")


@click.command()
@json_option
@pass_session
def health(session: Session, as_json: bool) -> None:
    """Whether the daemon is well; exits 1 if it is not."""
    told = session.ask(lambda client: client.health())
    if as_json:
        emit(told)
    else:
        fields(told)
    raise click.exceptions.Exit(Exit.OK if told["status"] == "ok" else Exit.RUN_FAILED)


@click.command()
@json_option
@pass_session
def clients(session: Session, as_json: bool) -> None:
    """Who reads the log now, and how far behind."""
    rows = session.ask(lambda client: client.get("clients"))["clients"]
    if as_json:
        for row in rows:
            emit(row)
        return
    heads = ("NAME", "KIND", "RUN", "CURSOR", "LAG", "DROPPED", "SINCE")
    table(
        heads,
        (
            (
                row["name"],
                row["kind"],
                row["run_id"] or "all",
                str(row["cursor"]),
                str(row["lag"]),
                str(row["dropped"]),
                local_time(row["since"]),
            )
            for row in rows
        ),
    )


def read_pid(lock: Path) -> int:
    """The process that holds the daemon's lock. DaemonUnreachable if nobody does."""
    holder = read_holder(lock)
    if holder is None:
        raise DaemonUnreachable("no daemon is running")
    if holder.pid is None:
        raise DaemonUnreachable(f"the lock {lock} is held, and does not say by whom")
    return holder.pid


def stop(pid: int) -> None:
    """End a process and see it gone; by a handle, so that no stranger with its pid is hit."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        gone, _, _ = select.select([handle], [], [], SHUTDOWN_SECONDS)
    finally:
        os.close(handle)
    if not gone:
        raise DaemonUnreachable(f"the daemon (pid {pid}) does not stop; see its log")


async def _cancel_all(client: Client) -> int:
    """Cancel what is open until nothing is; how many that were."""
    count = 0
    while rows := (await client.runs("state:open", limit=500))["runs"]:
        for row in rows:
            await client.cancel(row["run_id"], "shutdown", wait=True)
        count += len(rows)
    return count
