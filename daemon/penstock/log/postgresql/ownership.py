"""Opening a log in PostgreSQL: what a start refuses, and how the one daemon of a log is proven.

The session that writes holds an advisory lock, which the server gives back when that session is
gone, however it ended. The row of the log names the daemon as well, and every commit looks: a daemon
that was cut off and comes back after another took its place writes nothing more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psycopg

from penstock.log.postgresql.engine import PostgresDb
from penstock.log.postgresql.schema import prepare
from penstock.log.postgresql.server_words import tell
from penstock.words.errors import LogInUse, PenstockError, StartRefused

#: The oldest server that is taken, as it tells its version.
OLDEST_SERVER = 120000


@dataclass(frozen=True, slots=True)
class Owner:
    """The daemon that opens a log: its life, and the box that it is on by name and for sure."""

    life: str
    box: str
    machine: str


def this_box(life: str) -> Owner:
    """Who a daemon on this box is."""
    machine = ""
    with suppress(OSError, UnicodeDecodeError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    name = os.uname().nodename
    return Owner(life, name, machine or name)


def place_of(url: str, schema: str) -> str:
    """Where a log is, for people: nothing that is secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get(
        "host", ""
    )
    return f"schema {schema} of the PostgreSQL {host}{parts.path}"


def open_log(db: PostgresDb, owner: Owner, where: str) -> None:
    """Make the tables, or migrate them, and take the log. StartRefused, LogInUse."""
    try:
        check_server(db, where)
        db.begin()
        prepare(db, db.schema)
        _take(db, owner, where)
        db.execute("COMMIT")
        db.end_turn()
    except psycopg.Error as error:
        db.close()
        raise StartRefused(
            f"the log in the {where} cannot be opened: {tell(error)}"
        ) from None
    except PenstockError:
        db.close()
        raise


def check_server(db: PostgresDb, where: str) -> None:
    """StartRefused unless this is a server that keeps what it acknowledges."""
    version = db.connection.info.server_version
    if version < OLDEST_SERVER:
        raise StartRefused(
            f"the server of the {where} is PostgreSQL {version // 10000}; this needs 12 or newer"
        )

    def shown(name: str) -> str:
        return str(db.execute("SELECT current_setting(?)", (name,)).fetchone()[0])

    if lost := db.lost_settings():
        raise StartRefused(
            f"the sessions of the {where} are not this daemon's own: {', '.join(lost)} did not come through"
            " (pgbouncer, or another pooler?); name the server itself"
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


def _take(db: PostgresDb, owner: Owner, where: str) -> None:
    # Before the row is locked, which who has the log needs for each commit.
    claimed = db.wait_to_claim()
    found = db.execute("SELECT owner, box, machine FROM log FOR UPDATE").fetchone()
    if found is None:
        raise StartRefused(f"the log in the {where} is damaged: its one row is missing")
    life, box, machine = found
    if not claimed:
        if not life:
            # It gave the log back, or a person took it from one that still runs.
            raise LogInUse(
                f"the log in the {where} is nobody's, and yet a session has it, of the box {box} by its last"
                " word; once its daemon is gone, try again"
            )
        raise LogInUse(
            f"the daemon of the box {box} ({life}) has the log in the {where}"
        )
    if life and machine != owner.machine:
        raise StartRefused(
            f"the log in the {where} is that of the box {box}, whose daemon did not end in order: start"
            f" it there. Once that box is off for good, `UPDATE {db.schema}.log SET owner = ''` lets"
            " another have it"
        )
    sql = "UPDATE log SET owner = ?, box = ?, machine = ?, changes = changes + 1"
    db.execute(sql, (owner.life, owner.box, owner.machine))
