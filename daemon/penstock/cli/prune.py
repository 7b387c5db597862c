"""`penstock prune`: forget old ended runs while no daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click

from penstock.cli.options import Finite
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.words.address import Paths
from penstock.words.errors import PenstockError, StartRefused

if TYPE_CHECKING:
    from penstock.log.store import Store
    from penstock.log.writes import (
        Prune,
        Pruned,
    )
    from penstock.words.config import Config


#: A date of so many days ago exists; no log is as old.
MOST_DAYS = 36_500


@click.command()
@click.option(
    "--older-than",
    type=Finite(0, MOST_DAYS),
    metavar="DAYS",
    help="Default: retention_seconds.",
)
@click.option(
    "--keep", type=click.IntRange(0), metavar="N", help="Default: retention_runs."
)
@json_option
@pass_session
def prune(
    session: Session, older_than: float | None, keep: int | None, as_json: bool
) -> None:
    """Forget old ended runs, while no daemon is running; a running one does so by itself."""
    import secrets

    from penstock.cli.history import open_file

    config, _ = session.config()
    paths = session.paths(config)
    seconds = config.retention_seconds if older_than is None else older_than * 86400
    before = datetime.now(UTC) - timedelta(seconds=seconds)

    async def work() -> list[str]:
        async with open_file(
            paths.database,
            life=secrets.token_hex(8),
            alone=True,
            migration_copy=config.migration_copy,
        ) as store:
            return await _prune(store, config, paths, seconds, keep)

    forgotten: list[str] = []
    if paths.database.exists():
        with _no_daemon(paths.lock):
            forgotten = run_async(work)
    _show_forgotten(forgotten + forget_embedded(paths, before), as_json)


@contextmanager
def _no_daemon(lock: Path) -> Iterator[None]:
    """Keep daemons away. StartRefused says what to do about the one there is."""
    from penstock.log.sqlite.database import hold_lock

    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(lock))
        except StartRefused as error:
            raise StartRefused(
                f"{error}; it forgets old runs by itself, as retention_seconds and retention_runs"
                " say, and `penstock shutdown` makes way for a prune by hand"
            ) from None
        yield


async def _prune(
    store: Store, config: Config, paths: Paths, older_than: float, keep: int | None
) -> list[str]:
    """As many of the daemon's own rounds as there are."""
    from penstock.runs.pruning import Pruning, newest_fact_at
    from penstock.service.environment import remove_folder

    async def commit(write: Prune) -> Pruned:
        [result] = await store.commit([write])
        if isinstance(result, PenstockError):
            raise result
        return result

    pruning = Pruning(config, commit, remove_folder, paths.workspace)
    now = datetime.now(UTC)
    # A clock that is ahead must not make everything old.
    reference = min(now, await newest_fact_at(store) or now)
    forgotten: list[str] = []
    more = True
    while more:
        some, more = await pruning.round(reference, older_than=older_than, keep=keep)
        forgotten += some
    return forgotten


def forget_embedded(paths: Paths, before: datetime) -> list[str]:
    """Remove the logs of embedded daemons that were last written before then; the files' names.

    What a killed one left of its run's folder goes with the log.
    """
    from penstock.log.sqlite.database import hold_inode, hold_lock
    from penstock.service.environment import remove_tree

    removed: list[str] = []
    for file in sorted(paths.embedded.glob("*.db")):
        if file.stat().st_mtime >= before.timestamp():
            continue
        lock = file.with_suffix(".lock")
        try:
            with hold_lock(lock), hold_inode(file):
                for name in (
                    f"{file.name}-wal",
                    f"{file.name}-shm",
                    # Copies of before it was migrated.
                    *(
                        copy.name
                        for copy in file.parent.glob(f"{escape(file.name)}.v*")
                    ),
                    file.name,
                    lock.name,
                ):
                    file.with_name(name).unlink(missing_ok=True)
        except StartRefused:
            # Its daemon is at work; a run may be silent for as long as it likes.
            continue
        folder = paths.workspace(unquote(file.stem))
        try:
            remove_tree(folder)
        except OSError as error:
            say(f"the folder {folder} of a forgotten run is left: {error}")
        removed.append(file.stem)
    return removed


def _show_forgotten(names: list[str], as_json: bool) -> None:
    if as_json:
        emit({"runs": names})
    else:
        say(f"{len(names)} runs forgotten")
