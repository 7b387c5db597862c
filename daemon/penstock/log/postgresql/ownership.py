"""Opening a log in PostgreSQL: what a start refuses, and how the one daemon of a box is proven.

Each box has a row, with the life of its daemon and a lease that each of its commits renews. Who has none
writes nothing more: neither one that was cut off for longer, nor one whose box has another by now.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg

import penstock
from penstock.log.postgresql.dialect import NOW
from penstock.log.postgresql.engine import PostgresDb
from penstock.log.postgresql.schema import prepare
from penstock.log.postgresql.server_words import tell
from penstock.words.errors import LogInUse, PenstockError, StartRefused

log = logging.getLogger("penstock.record")

#: The oldest server that is taken, as it tells its version.
OLDEST_SERVER = 120000
#: Seconds for which a start waits for its turn while others have it: by then the server has taken it from
#: whoever stands still, and it is less than a service manager gives a start.
START_TURN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Owner:
    """The daemon that opens a log: its life, and the box that it is on by name and for sure.

    `folder` is where its state is, which one daemon of a machine has at a time.
    """

    life: str
    box: str
    machine: str
    folder: str = ""
    #: Seconds that it is taken to be there without a word.
    lease_seconds: float = 120.0
    #: What others are told of it.
    slots: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    accept: str = "self"
    #: Settings that boxes of one log should agree on, as JSON takes them: who differs is told by `doctor`.
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Whether it is refused while another box has the log: for who is no daemon.
    alone: bool = False


@dataclass(frozen=True, slots=True)
class StartPatience:
    """How a start waits for its turn. `tell` and `stopped` are called in the store's thread."""

    #: Is told what is waited for.
    tell: Callable[[str], None] = lambda _: None
    #: Whether to wait no more.
    stopped: Callable[[], bool] = lambda: False
    seconds: float = START_TURN_SECONDS


#: With nobody who listens.
UNHEARD = StartPatience()


def this_machine() -> str:
    """What tells this machine from any other, whatever it is called."""
    machine = ""
    with suppress(OSError, UnicodeDecodeError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return machine or os.uname().nodename


def place_of(url: str, schema: str) -> str:
    """Where a log is, for people: nothing that is secret."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    host = parts.netloc.rpartition("@")[2] or asked.get("host", "")
    if not host and "service" in asked:
        host = f"of the service {asked['service']}"
    path = parts.path.rstrip("/")
    return f"schema {schema} of the PostgreSQL {host}{path}"


def open_log(
    db: PostgresDb, owner: Owner, where: str, patience: StartPatience = UNHEARD
) -> None:
    """Make the tables, or migrate them, and take the log. StartRefused, LogInUse."""
    try:
        check_server(db, where)
        db.on_renewed(_wait_turn(db, owner, where, patience))
    except psycopg.Error as error:
        db.close()
        raise StartRefused(
            f"the log in the {where} cannot be opened: {tell(error)}"
        ) from None
    except PenstockError:
        db.close()
        raise


def _wait_turn(
    db: PostgresDb, owner: Owner, where: str, patience: StartPatience
) -> int:
    """As `_take_log`, once others make way."""
    give_up = time.monotonic() + patience.seconds
    told = False
    while True:
        try:
            return _take_log(db, owner, where)
        except psycopg.errors.LockNotAvailable:
            if patience.stopped() or time.monotonic() >= give_up:
                raise
            db.rollback()
        patience.tell("waiting for the log's turn")
        if not told:
            log.warning(
                "waiting for the log's turn, for %g s at most: others write, or a session has it",
                patience.seconds,
            )
        told = True


def _take_log(db: PostgresDb, owner: Owner, where: str) -> int:
    """The tables and the log, in one turn; as of `_take_box`."""
    db.begin()
    prepare(db, db.schema, owner.machine, owner.folder)
    asked_at = _take_box(db, owner, where)
    if owner.alone:
        refuse_others(db, where, but=owner)
    db.execute("COMMIT")
    db.end_turn()
    return asked_at


def check_server(db: PostgresDb, where: str) -> None:
    """StartRefused unless this is a server that keeps what it acknowledges."""
    version = db.connection.info.server_version
    if version < OLDEST_SERVER:
        raise StartRefused(
            f"the server of the {where} is PostgreSQL {version // 10000}; this needs 12 or newer"
        )

    def shown(name: str) -> str:
        return str(db.execute("SELECT current_setting(?)", (name,)).fetchone()[0])

    lost = db.lost_settings()
    if lost:
        raise StartRefused(
            f"the sessions of the {where} are not this daemon's own: {', '.join(lost)} did not come through"
            " (pgbouncer, or another pooler?); name the server itself"
        )
    if (encoding := shown("server_encoding")) != "UTF8":
        raise StartRefused(
            f"the database of the {where} is in {encoding}, which cannot hold every text; make one with"
            " `createdb --encoding UTF8 --locale C --template template0`"
        )
    if shown("transaction_read_only") == "on":
        raise StartRefused(
            f"the server of the {where} takes no writes (a standby, or read-only); name the primary, or"
            " several hosts with `target_session_attrs=read-write`"
        )
    if shown("fsync") == "off":
        raise StartRefused(
            f"the server of the {where} has `fsync = off`, so that a power cut takes what was"
            " acknowledged; set it to on"
        )
    if shown("synchronous_commit") == "off":
        raise StartRefused(
            f"the server of the {where} has `synchronous_commit = off`, so that a crash takes what was"
            " acknowledged; set it to on for this user or database"
        )


def refuse_others(db: PostgresDb, where: str, *, but: Owner | None = None) -> None:
    """LogInUse while a box has a valid lease; `but`: one whose daemon is proven to be gone may have."""
    sql = f"SELECT box, machine, folder, (until - {NOW}) / 1e6 FROM boxes WHERE state = 'here' AND until > {NOW}"
    for box, machine, folder, left in db.execute(sql).fetchall():
        if but is None or (machine, folder) != (but.machine, but.folder):
            raise LogInUse(
                f"the daemon of the box {box} has the log in the {where}; `penstock shutdown` there makes"
                f" way, and if it is gone, its lease is over in {left:.0f} s"
            )


def _take_box(db: PostgresDb, owner: Owner, where: str) -> int:
    """Have the row of the box, under the turn. LogInUse if another daemon may be on it.

    When its lease was asked for, in nanoseconds of CLOCK_BOOTTIME.
    """
    log = db.execute("SELECT epoch, timeline FROM log FOR UPDATE").fetchone()
    if log is None:
        raise StartRefused(f"the log in the {where} is damaged: its one row is missing")
    db.epoch, timeline = log
    if timeline != db.timeline:
        db.note_failover()
    _check_free(db, owner, where)
    columns = {**_told_of(owner), "era": db.era}
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns)
    sql = (
        f"INSERT INTO boxes (box, state, seen, until, {names})"
        f" VALUES (?, 'here', {NOW}, {NOW} + (?::float8 * 1000000)::bigint, {marks})"
        " ON CONFLICT (box) DO UPDATE SET state = 'here', seen = excluded.seen, until = excluded.until,"
        f" commits = 0, {changed}"
    )
    asked_at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    db.execute(sql, (owner.box, owner.lease_seconds, *columns.values()))
    db.execute("UPDATE log SET changes = changes + 1")
    return asked_at


def _check_free(db: PostgresDb, owner: Owner, where: str) -> None:
    """LogInUse if the box's name is that of another daemon whose lease is not over."""
    sql = f"SELECT machine, folder, life, (until - {NOW}) / 1e6 FROM boxes WHERE box = ? AND state = 'here'"
    found = db.execute(sql, (owner.box,)).fetchone()
    if found is None:
        return
    machine, folder, life, left = found
    # The same state folder on the same machine: its lock proves that the daemon before us is gone. An older
    # release told no folder.
    same = machine == owner.machine and folder in {"", owner.folder}
    if not same and left > 0:
        raise LogInUse(
            f"the log in the {where} has a box {owner.box} already, whose daemon ({life}) is another"
            f" machine's or state folder's; give this one another name (`box`); if that one is gone"
            f" for good, it may have the name in {left:.0f} s"
        )


def _told_of(owner: Owner) -> dict[str, Any]:
    """The columns of its box's row that tell of the daemon itself."""
    return {
        "machine": owner.machine,
        "folder": owner.folder,
        "life": owner.life,
        "lease_seconds": owner.lease_seconds,
        "slots": owner.slots,
        "labels": json.dumps(dict(owner.labels), sort_keys=True),
        "accept": owner.accept,
        "settings": json.dumps(dict(owner.settings), sort_keys=True),
        "version": penstock.__version__,
    }
