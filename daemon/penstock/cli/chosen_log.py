"""The log that a verb reads or writes without the daemon: a file, or a schema of a PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.output import say
from penstock.cli.session import Session
from penstock.log.postgresql.extra import require_psycopg
from penstock.words.errors import LogDamaged, StartRefused

# What reads a log without a daemon is heavy, and rarely needed.
if TYPE_CHECKING:
    from penstock.log.tables.whole_log import FillableLog, WholeLog

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This file instead of the daemon's own log.",
)
_SERVER = (
    click.option(
        "--store",
        metavar="URL",
        help="The log in this PostgreSQL instead, as `postgresql://USER@HOST/DATABASE`; no password.",
    ),
    click.option(
        "--schema",
        metavar="NAME",
        help="The schema of that PostgreSQL.  Default: store_schema.",
    ),
)


def log_options(verb: F) -> F:
    """`--database`, `--store` and `--schema`, of which `choose_log` makes a log."""
    return _FILE(server_options(verb))


def server_options(verb: F) -> F:
    """`--store` and `--schema`: settings for one call."""
    for option in reversed(_SERVER):
        verb = option(verb)
    return verb


@dataclass(frozen=True, slots=True)
class FileLog:
    """A log in a file; `lock` keeps daemons away from it."""

    path: Path
    lock: Path

    def tell(self) -> str:
        """Where the log is, for people."""
        return str(self.path)

    @contextmanager
    def reading(self) -> Iterator[WholeLog]:
        """The log as one moment of it; the daemon may be running."""
        from penstock.log.sqlite.whole_file import read_whole_file

        with readable(self.path), read_whole_file(self.path) as log:
            yield log

    @contextmanager
    def filling(self) -> Iterator[FillableLog]:
        """The log, made if there is none, while no daemon has it."""
        from penstock.log.sqlite.database import hold_lock
        from penstock.log.sqlite.whole_file import fill_whole_file

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"the folder {self.path.parent} cannot be made: {error.strerror}"
            raise StartRefused(why) from None
        with (
            hold_lock(self.lock),
            readable(self.path),
            fill_whole_file(self.path) as log,
        ):
            yield log

    def say_if_older(self) -> None:
        """A word on a log of an older version, which is read as it is."""
        from penstock.log.sqlite.migrations import log_version
        from penstock.log.sqlite.schema import VERSION

        if (found := log_version(self.path)) is not None and found < VERSION:
            say(
                f"the log {self.path} has schema version {found}; it is read as it is, and the daemon"
                f" migrates it to {VERSION} when it starts"
            )


@dataclass(frozen=True, slots=True)
class ServerLog:
    """A log in this schema of a PostgreSQL."""

    url: str
    schema: str

    def tell(self) -> str:
        """Where the log is, for people."""
        require_psycopg()
        from penstock.log.postgresql.ownership import place_of

        return f"the {place_of(self.url, self.schema)}"

    def reading(self) -> AbstractContextManager[WholeLog]:
        """As of a file."""
        require_psycopg()
        from penstock.log.postgresql.whole_schema import read_whole_schema

        return read_whole_schema(self.url, self.schema)

    def filling(self) -> AbstractContextManager[FillableLog]:
        """As of a file."""
        require_psycopg()
        from penstock.log.postgresql.whole_schema import fill_whole_schema

        return fill_whole_schema(self.url, self.schema)

    def say_if_older(self) -> None:
        """One that is older is not read."""


def choose_log(
    session: Session, database: Path | None, store: str | None, schema: str | None
) -> FileLog | ServerLog:
    """The log that the options name, else that of the configured daemon. StartRefused."""
    if database is not None:
        if store or schema:
            raise click.UsageError("--database names a file, and --store a server")
        # Another file than the daemon's own is nobody's but ours.
        return FileLog(database, database.with_name(f"{database.name}.lock"))
    config, _ = session.config({"store": store, "store_schema": schema})
    if config.store is not None:
        return ServerLog(config.store, config.store_schema)
    if schema:
        raise click.UsageError("--schema wants a --store, or a configured one")
    paths = session.paths(config)
    return FileLog(paths.database, paths.lock)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What is amiss with a file that SQLite cannot use, as a sentence that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise StartRefused(f"the log {path} cannot be read: {error}") from None
    except LogDamaged as error:
        raise LogDamaged(f"{path}: {error}") from None
