"""One thing asked about a run where it is: of the daemon, or of an embedded one's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from penstock.cli.archives import find_log
from penstock.cli.session import Session
from penstock.client.sync import SyncClient

if TYPE_CHECKING:
    from penstock.cli.history import RunSource

T = TypeVar("T")


def call_source(
    session: Session,
    run_id: str,
    live: Callable[[SyncClient], T],
    kept: Callable[[RunSource], T],
) -> T:
    """What `kept` makes of the embedded log that has this run, else `live` of the daemon."""
    path = find_log(session, run_id)
    if path is None:
        return session.call(live)
    # What reads a log without a daemon is heavy, and rarely needed.
    from penstock.cli.history import open_log

    with open_log(session, path) as source:
        return kept(source)
