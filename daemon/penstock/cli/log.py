"""The log as a whole: written to a file and back, shortened, checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

import click

from penstock.cli.flags import Finite
from penstock.cli.output import emit, json_lines, say, show_line
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.words.address import Paths
from penstock.words.errors import LogDamaged, PenstockError, StartRefused
from penstock.words.problems import Exit

if TYPE_CHECKING:
    from penstock.log.store import Store
    from penstock.log.writes import (
        Prune,
        Pruned,
    )
    from penstock.words.config import Config

#: A date of so many days ago exists; no log is as old.
MOST_DAYS = 36_500

_database = click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This file instead of the daemon's own.",
)


@click.command()
@click.argument("out", type=click.File("wb", lazy=True), default="-")
@_database
@click.option(
    "--with-secrets", is_flag=True, help="With the values of --env, as runs got them."
)
@click.option(
    "--json", is_flag=True, expose_value=False, help="It is NDJSON in any case."
)
@pass_session
def export(
    session: Session, out: BinaryIO, database: Path | None, with_secrets: bool
) -> None:
    """Write the log as NDJSON to OUT, or stdout; the daemon may be running.

    Values of inputs that are shown nowhere, such as those of --env, are left out.
    """
    from penstock.log.export import export_file

    path = database or session.paths().database
    with readable(path):
        count = export_file(path, json_lines(out), with_secrets=with_secrets)
    without = "" if with_secrets else ", without the values of --env (--with-secrets)"
    say(f"{count} facts exported{without}")


@click.command("import")
@click.argument("source", type=click.File("rb"), default="-")
@_database
@json_option
@pass_session
def import_(
    session: Session, source: BinaryIO, database: Path | None, as_json: bool
) -> None:
    """Read an export into an empty log, of a daemon that is not running."""
    from penstock.log.export import import_file
    from penstock.log.sqlite.database import hold_lock

    paths = session.paths()
    path = database or paths.database
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Another file than the daemon's own is nobody's but ours.
    lock = paths.lock if database is None else path.with_name(f"{path.name}.lock")
    with hold_lock(lock), readable(path):
        count = import_file(path, source)
    if as_json:
        emit({"database": str(path), "events": count})
    else:
        say(f"{count} facts imported into {path}")


@click.command()
@_database
@json_option
@pass_session
def audit(session: Session, database: Path | None, as_json: bool) -> None:
    """Read the whole log and check that every law was kept; the daemon may be running.

    Exits 1 if one was not.
    """
    from penstock.log.audit import audit_file

    path = database or session.paths().database
    with readable(path):
        checked = audit_file(path)
    findings = [str(finding) for finding in checked.findings]
    if as_json:
        emit({"facts": checked.facts, "findings": findings})
    else:
        for finding in findings:
            show_line(finding)
        say(f"{checked.facts} facts, {len(findings)} findings")
    if findings:
        raise click.exceptions.Exit(Exit.RUN_FAILED)


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
            paths.database, life=secrets.token_hex(8), alone=True
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


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What is amiss with a file that SQLite cannot use, as a sentence that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise StartRefused(f"the log {path} cannot be read: {error}") from None
    except LogDamaged as error:
        raise LogDamaged(f"{path}: {error}") from None


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
