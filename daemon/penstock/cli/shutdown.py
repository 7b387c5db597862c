"""`penstock shutdown`: stop the daemon; queued runs are kept."""

from __future__ import annotations

import os
import select
import signal

import click

from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session, read_pid
from penstock.cli.units import SERVICE, SOCKET, unit_folder
from penstock.client.sync import SyncClient
from penstock.words.errors import DaemonUnreachable, Refused

#: Seconds a stop may take: the daemon's own bounds add up to less.
SHUTDOWN_SECONDS = 30.0


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
    cancelled = session.call(_cancel_all) if cancel_all else 0
    stop(pid)
    if as_json:
        emit({"pid": pid, "cancelled": cancelled})
    else:
        say(f"the daemon (pid {pid}) has stopped")
        if (unit_folder(session.environ) / SOCKET).exists():
            how = f"`systemctl --user stop {SOCKET} {SERVICE}` keeps it down"
            say(f"the next client starts it again, since it is a service; {how}")


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


def _cancel_all(client: SyncClient) -> int:
    """Cancel what is open until nothing is; how many that were."""
    count = 0
    while rows := client.runs("state:open", limit=500)["runs"]:
        for row in rows:
            client.cancel(row["run_id"], "shutdown", wait=True)
        count += len(rows)
    return count
