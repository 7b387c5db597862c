"""The log as a whole: written to a file and back, shortened, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from penstock.cli.auditing import Audit
from penstock.cli.output import emit, fields, say
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.client import Client
from penstock.events import Recorded
from penstock.problems import Exit

if TYPE_CHECKING:
    from penstock.config import Config
    from penstock.record.store import Store

_database = click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This file instead of the daemon's own.",
)


@click.command()
@click.argument("out", type=click.File("wb", lazy=True), default="-")
@_database
@click.option(
    "--json", is_flag=True, expose_value=False, help="It is NDJSON in any case."
)
@pass_session
def export(session: Session, out: BinaryIO, database: Path | None) -> None:
    """Write the log as NDJSON to OUT, or stdout; the daemon may be running."""
    from penstock.record.export import export_file

    count = export_file(database or session.paths().database, out)
    say(f"{count} facts exported")


@click.command("import")
@click.argument("source", type=click.File("rb"), default="-")
@_database
@json_option
@pass_session
def import_(
    session: Session, source: BinaryIO, database: Path | None, as_json: bool
) -> None:
    """Read an export into an empty log, of a daemon that is not running."""
    from penstock.record.export import import_file
    from penstock.record.lock import hold_lock

    paths = session.paths()
    path = database or paths.database
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Another file than the daemon's own is nobody's but ours.
    lock = paths.lock if database is None else path.with_name(f"{path.name}.lock")
    with hold_lock(lock):
        count = import_file(path, source)
    if as_json:
        emit({"database": str(path), "events": count})
    else:
        say(f"{count} facts imported into {path}")


@click.command()
@json_option
@pass_session
def audit(session: Session, as_json: bool) -> None:
    """Check the whole log: numbers without holes, one end per run, nothing after it.

    Exits 1 if a law is broken.
    """
    checked = session.ask(_audit)
    report = {
        "facts": checked.facts,
        "runs": checked.runs,
        "ended": checked.ended,
        "open": checked.open_runs,
        "findings": checked.findings,
    }
    emit(report) if as_json else fields(report)
    if checked.findings:
        raise click.exceptions.Exit(Exit.RUN_FAILED)
    if not as_json:
        say("every law is kept")


async def _audit(client: Client) -> Audit:
    """Read the log to its present end."""
    audit = Audit()
    while True:
        page = await client.events(after=audit.after)
        if gap := page.get("gap"):
            audit.begin_at(gap["last"] + 1)
        if not page["events"]:
            return audit
        for data in page["events"]:
            audit.take(Recorded.from_wire(data))


@click.command()
@click.option(
    "--older-than", type=float, metavar="DAYS", help="Default: retention_seconds."
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

    from penstock.cli.sources import open_file
    from penstock.record.lock import hold_lock

    config, _ = session.config()
    paths = session.paths(config)
    seconds = config.retention_seconds if older_than is None else older_than * 86400
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    kept = config.retention_runs if keep is None else keep

    async def work() -> list[str]:
        async with open_file(paths.database, life=secrets.token_hex(8)) as store:
            return await _prune(store, config, before, kept)

    if not paths.database.exists():
        say("there is no log yet")
        return
    with hold_lock(paths.lock):
        forgotten = run_async(work)
    if as_json:
        emit({"runs": forgotten})
    else:
        say(f"{len(forgotten)} runs forgotten")


async def _prune(
    store: Store, config: Config, before: datetime, keep: int
) -> list[str]:
    from penstock.errors import PenstockError
    from penstock.record.store import Prune, Pruned

    forgotten: list[str] = []
    more = True
    while more:
        decision = Prune(
            before=before,
            keep=keep,
            max_bytes=config.max_store_bytes,
            tombstones_before=datetime.now(UTC)
            - timedelta(seconds=config.tombstone_seconds),
            max_tombstones=config.max_tombstones,
        )
        [outcome] = await store.commit([decision])
        if isinstance(outcome, PenstockError):
            raise outcome
        assert isinstance(outcome, Pruned)
        forgotten += outcome.runs
        more = outcome.more
    return forgotten
