"""`penstock prune`: forget old ended runs while no daemon runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import (
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from penstock.cli.chosen_log import server_options
from penstock.cli.options import Finite
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.log.postgresql.extra import require_psycopg
from penstock.service.machine import make_state
from penstock.words.address import Paths
from penstock.words.errors import LogInUse, PenstockError, Refused, StartRefused
from penstock.words.exit_codes import Exit

if TYPE_CHECKING:
    from penstock.log.results import Pruned
    from penstock.log.store import Store
    from penstock.log.writes import Prune
    from penstock.runs.retention import PruneRound
    from penstock.words.config import Config


#: A date of so many days ago exists; no log is as old.
MOST_DAYS = 36_500


@click.command()
@click.option(
    "--older-than",
    type=Finite(0, MOST_DAYS),
    metavar="DAYS",
    help="Forget what ended longer ago, however few there are.  Default: retention_seconds.",
)
@click.option(
    "--keep",
    type=click.IntRange(0),
    metavar="N",
    help="Forget younger ones too, but for the newest N; 0 keeps no ended run.  Default: retention_runs.",
)
@server_options
@json_option
@pass_session
def prune(
    session: Session,
    older_than: float | None,
    keep: int | None,
    store: str | None,
    schema: str | None,
    as_json: bool,
) -> None:
    """Forget old ended runs, while no daemon is running; a running one does so by itself.

    A run is forgotten if it is too old, or one too many, or while the log is too large; one that
    has not ended never is. The logs of runs that were made without the daemon go by age alone.

    Exits with 1 if a folder had to be left, or a run whose log is damaged; the next prune, of the
    daemon too, tries them again.
    """
    config, _ = session.config({"store": store, "store_schema": schema})
    paths = session.paths(config)
    seconds = config.retention_seconds if older_than is None else older_than * 86400
    logs = [_EmbeddedLog(file, newest_moment(file)) for file in _embedded(paths)]

    async def work() -> _Done:
        async with _open_store(config, paths) as opened:
            return await _prune(opened, config, paths, seconds, keep)

    done = _Done()
    if config.store is not None:
        # Of a log on a server there may be no folder yet.
        make_state(paths)
    if config.store is not None or paths.database.exists():
        with _no_daemon(paths.lock):
            done = run_async(work)
    # A clock that is ahead must not make everything old.
    newest = max([*(log.newest for log in logs), *done.newest], default=None)
    reference = min(datetime.now(UTC), newest) if newest else datetime.now(UTC)
    for log in logs:
        if log.newest < reference - timedelta(seconds=seconds):
            _forget_embedded(paths, log.file, done)
    _show(done, as_json)
    raise click.exceptions.Exit(Exit.RUN_FAILED if done.left or done.damaged else 0)


@dataclass(frozen=True, slots=True)
class _EmbeddedLog:
    file: Path
    newest: datetime


@dataclass(slots=True)
class _Done:
    """What was done, and what was not."""

    forgotten: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    #: When the newest fact of the daemon's log was recorded, if it has one.
    newest: list[datetime] = field(default_factory=list)


@asynccontextmanager
async def _open_store(config: Config, paths: Paths) -> AsyncIterator[Store]:
    """The log of the daemon that is not there, to write into it."""
    import secrets

    from penstock.cli.history import open_file

    life = secrets.token_hex(8)
    if config.store is None:
        async with open_file(
            paths.database, life, alone=True, migration_copy=config.migration_copy
        ) as store:
            yield store
        return
    require_psycopg()
    from penstock.log.postgresql.ownership import Owner, this_machine
    from penstock.log.postgresql.store import open_postgresql
    from penstock.log.sqlite.store import threads
    from penstock.log.tables.queries import READERS
    from penstock.service.environment import box_of

    async with open_postgresql(
        config.store,
        schema=config.store_schema,
        # The box whose lock we hold, as its next daemon.
        owner=Owner(
            life,
            box_of(config),
            this_machine(),
            str(paths.lock.parent),
            alone=True,
        ),
        run_blocking=threads(1),
        run_reading=threads(READERS),
    ) as far_store:
        yield far_store


@contextmanager
def _no_daemon(lock: Path) -> Iterator[None]:
    """Keep daemons of this box away. LogInUse says what to do about any that there is."""
    from penstock.log.sqlite.database import hold_lock

    try:
        with hold_lock(lock):
            yield
    except LogInUse as error:
        raise LogInUse(
            f"{error}; it forgets old runs by itself, as retention_seconds and retention_runs"
            " say, and `penstock shutdown` makes way for a prune by hand"
        ) from None


async def _prune(
    store: Store, config: Config, paths: Paths, older_than: float, keep: int | None
) -> _Done:
    """As many of the daemon's own rounds as there are."""
    from penstock.log.outage import waited_for
    from penstock.runs.retention import Pruning, newest_fact_at
    from penstock.service.environment import remove_folder

    async def commit(write: Prune) -> Pruned:
        try:
            [result] = await store.commit([write])
        except Refused as error:
            # Who asked has given nothing that could be refused.
            raise waited_for(error) from error
        if isinstance(result, PenstockError):
            raise result
        return result

    pruning = Pruning(config, commit, remove_folder, paths.workspace, say)
    now = datetime.now(UTC)
    newest = await newest_fact_at(store)
    # A clock that is ahead must not make everything old.
    reference = min(now, newest or now)
    done = _Done(newest=[newest] if newest else [])
    more = True
    while more:
        some: PruneRound = await pruning.round(
            reference, older_than=older_than, keep=keep
        )
        done.forgotten += some.forgotten
        # Each round tries all of them, so the last one knows.
        done.left, done.damaged, more = some.left, some.damaged, some.more
    return done


def _embedded(paths: Paths) -> list[Path]:
    # To open what is no file, a FIFO above all, might wait for ever.
    return sorted(file for file in paths.embedded.glob("*.db") if file.is_file())


def newest_moment(file: Path) -> datetime:
    """When the newest fact of a log was recorded; of one that tells none, when it was written."""
    from penstock.words.values import to_moment

    found = _ask(file, "SELECT at FROM events ORDER BY position DESC LIMIT 1")
    with suppress(TypeError, OverflowError):
        if found:
            return to_moment(found[0][0])
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except FileNotFoundError:
        # Its daemon, or another prune, has just taken it away.
        return datetime.now(UTC)


def _ask(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a log that may be damaged, or no log at all; then there are none."""
    # Late: mostly there is no such file.
    import sqlite3

    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            return db.execute(sql).fetchall()
    except sqlite3.Error:
        return []


def _forget_embedded(paths: Paths, file: Path, done: _Done) -> None:
    """Remove the log of an embedded daemon, and before it the folders of its runs.

    A log whose folders cannot be removed stays: it is what the next prune knows them by.
    """
    from penstock.log.sqlite.database import hold_inode, hold_lock

    lock, name = file.with_suffix(".lock"), unquote(file.stem)
    try:
        with hold_lock(lock), hold_inode(file):
            if not _remove_folders(paths, {name, *_runs_of(file)}):
                done.left.append(name)
                return
            for part in (
                f"{file.name}-wal",
                f"{file.name}-shm",
                # Copies of before it was migrated.
                *(copy.name for copy in file.parent.glob(f"{escape(file.name)}.v*")),
                file.name,
                lock.name,
            ):
                file.with_name(part).unlink(missing_ok=True)
    except LogInUse:
        # Its daemon is at work; a run may be silent for as long as it likes.
        return
    except (StartRefused, OSError) as error:
        say(f"the log {file} is left: {error}")
        done.left.append(name)
        return
    done.forgotten.append(name)


def _runs_of(file: Path) -> set[str]:
    """The runs of a log: a killed daemon left folders of the children of its run too."""
    rows = _ask(file, "SELECT run_id FROM runs WHERE key > 0")
    return {run_id for (run_id,) in rows if isinstance(run_id, str)}


def _remove_folders(paths: Paths, run_ids: set[str]) -> bool:
    """Whether they are gone; each that is not is told."""
    from penstock.service.environment import remove_tree

    gone = True
    for run_id in sorted(run_ids):
        folder = paths.workspace(run_id)
        try:
            remove_tree(folder)
        except OSError as error:
            say(f"the folder {folder} of a run is left, and its log: {error}")
            gone = False
    return gone


def _show(done: _Done, as_json: bool) -> None:
    if as_json:
        emit({"runs": done.forgotten, "left": done.left, "damaged": done.damaged})
        return
    rest = [f"{len(done.left)} folders left"] if done.left else []
    rest += [f"{len(done.damaged)} damaged runs kept"] if done.damaged else []
    say(", ".join([f"{len(done.forgotten)} runs forgotten", *rest]))
