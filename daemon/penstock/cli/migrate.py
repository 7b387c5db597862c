"""`penstock migrate`: the log moves from its file to a PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.chosen_log import ServerLog, readable
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import Conflict, NotFound

if TYPE_CHECKING:
    from penstock.words.config import Config

#: Seconds between two words on the progress.
TELL_SECONDS = 2.0


@click.command()
@click.option(
    "--to",
    "store",
    metavar="URL",
    help="The PostgreSQL, as `postgresql://USER@HOST/DATABASE`; no password.  Default: store.",
)
@click.option(
    "--schema",
    metavar="NAME",
    help="Its schema, which must be empty or not there.  Default: store_schema.",
)
@click.option(
    "--undo",
    is_flag=True,
    help="Take the file, as it was when it was moved, for the log again.",
)
@json_option
@pass_session
def migrate(
    session: Session, store: str | None, schema: str | None, undo: bool, as_json: bool
) -> None:
    """Move the daemon's log from its file to a PostgreSQL, while no daemon is running.

    It is the same log there: runs, facts, schedules, pauses and environments, in one transaction, and
    each row is read back and compared. The file stays, marked as moved, and no daemon takes it any more.
    """
    config, _ = session.config({"store": store, "store_schema": schema})
    file = session.paths(config).database
    if not file.is_file():
        raise NotFound(f"there is no database {file}")
    from penstock.log.sqlite.database import hold_lock

    with hold_lock(session.paths(config).lock), readable(file):
        if undo:
            _undo(file)
            return
        if config.store is None:
            raise click.UsageError("--to URL names the PostgreSQL, or `store` does")
        place = ServerLog(config.store, config.store_schema)
        facts, found = _move(file, config, place)
    if as_json:
        emit({"database": place.tell(), "events": facts, "findings": found})
        return
    say(f"{facts} facts are in {place.tell()} now; {file} is kept, and marked as moved")
    if found:
        say(f"{len(found)} findings of `penstock audit` moved with them, as they were")
    say(f'set `store = "{place.url}"` and start the daemon{_with_schema(place)}')


def _with_schema(place: ServerLog) -> str:
    from penstock.words.config import Config

    usual = Config().store_schema
    return "" if place.schema == usual else f', with `store_schema = "{place.schema}"`'


def _move(file: Path, config: Config, place: ServerLog) -> tuple[int, list[str]]:
    """The number of facts, and what an audit finds before and after."""
    from penstock.log.sqlite.elsewhere import mark_moved
    from penstock.log.sqlite.whole_file import WholeFile
    from penstock.log.whole_copy import copy_whole, is_there, settle
    from penstock.service.environment import box_of

    progress = _Progress()
    with _opened(file, config) as db:
        db.execute("BEGIN IMMEDIATE")
        source, found = WholeFile(db), list[str]()
        with place.filling() as target:
            try:
                there = is_there(source, target)
                if not there:
                    found = copy_whole(source, target, progress.tell)
                    settle(target, box_of(config))
            except Conflict as error:
                raise Conflict(
                    f"the {place.tell().removeprefix('the ')}: {error}"
                ) from None
        if there:
            say("it was moved already, but for the mark in the file")
        mark_moved(db, place.tell())
        (facts,) = db.execute("SELECT count(*) FROM events").fetchone()
        db.execute("COMMIT")
    return facts, found


@contextmanager
def _opened(file: Path, config: Config) -> Iterator[sqlite3.Connection]:
    """The file, for nobody else, and of this version."""
    from penstock.log.sqlite.database import open_database
    from penstock.log.sqlite.migrations import MigrationPolicy

    policy = MigrationPolicy(copy=config.migration_copy, tell=say)
    (db,) = open_database(file, 0, migration=policy)
    with closing(db):
        yield db


def _undo(file: Path) -> None:
    from penstock.log.sqlite.database import hold_inode
    from penstock.log.sqlite.elsewhere import find_moved, unmark
    from penstock.log.sqlite.older_logs import find_meta

    with (
        hold_inode(file),
        closing(sqlite3.connect(file, isolation_level=None)) as db,
    ):
        where = find_moved(db)
        if where is None:
            raise Conflict(f"the log {file} was not moved")
        meta = find_meta(db)
        unmark(db, meta.get("log", meta["epoch"]))
    say(
        f"the log {file} goes on here from when it was moved to {where}; see that no daemon goes on there,"
        " or its open runs are executed at both"
    )


@dataclass(slots=True)
class _Progress:
    """Told on stderr now and then: a log of years takes minutes."""

    _told: float = field(default_factory=time.monotonic)

    def tell(self, table: str, done: int, count: int) -> None:
        """How far it is."""
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            say(f"{table}: {done} of {count}" if count else table)
