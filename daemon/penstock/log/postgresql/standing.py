"""How a server that keeps a log stands: asked by who looks, and changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from pydantic_core import from_json

from penstock.log.postgresql.dialect import NOW
from penstock.log.postgresql.engine import PostgresDb
from penstock.log.postgresql.ownership import place_of
from penstock.log.postgresql.schema import versions_of
from penstock.log.postgresql.server_words import tell
from penstock.words.errors import StartRefused

#: What of the server's own settings tells whether it keeps what it acknowledges.
SETTINGS = (
    "server_version", "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names",
    "transaction_read_only", "server_encoding",
)  # fmt: skip

#: Seconds after which a view is an old one. The rows that each commit changes are found among all their
#: versions since then: after 12,000 commits a statement takes half a millisecond more.
OLD_VIEW_SECONDS = 600.0

_OLD_VIEWS = """
SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND coalesce(backend_xmin, backend_xid) IS NOT NULL AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - ?::float8 * interval '1 second'
ORDER BY xact_start
"""


@dataclass(frozen=True, slots=True)
class BoxOnServer:
    """A box that has a lease, or had one when it was seen last."""

    box: str
    version: str
    #: Seconds until its lease is over; below 0, since when it is.
    lease_left: float
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OldView:
    """A session that sees the database as it was long ago, so that no row that changed since is cleared away."""

    pid: int
    application: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ServerStanding:
    """What a server says of itself."""

    where: str
    #: The version of the log's tables; None: there are none.
    tables: int | None
    #: The version that a release must know to go on with them.
    needed: int
    settings: Mapping[str, str]
    #: What a session was told at its beginning, and did not come through.
    lost: Sequence[str]
    #: Whether what is said on the way is for nobody else: TLS, or no network at all.
    private: bool
    #: Seconds by which this box's clock is ahead of the server's.
    clock_ahead: float
    boxes: Sequence[BoxOnServer]
    #: Sessions that hold on to an old view, the oldest first; of others' only what this user may see.
    old_views: Sequence[OldView] = ()


def look_at_server(url: str, schema: str) -> ServerStanding:
    """Ask it, within bounds. StartRefused if it cannot be asked."""
    db, where = PostgresDb(url, schema), place_of(url, schema)
    try:
        with closing(db):
            return _ask(db, where)
    except psycopg.Error as error:
        raise StartRefused(
            f"the log in the {where} cannot be looked at: {tell(error)}"
        ) from None


def _ask(db: PostgresDb, where: str) -> ServerStanding:
    sql = "SELECT name, current_setting(name) FROM json_array_elements_text(?::json) AS of(name)"
    (now,) = db.execute(f"SELECT {NOW}").fetchone()
    ahead = time.time() - now / 1e6
    settings = dict(db.execute(sql, (json.dumps(SETTINGS),)).fetchall())
    tables, needed, boxes = None, 0, list[BoxOnServer]()
    if db.execute("SELECT to_regclass('log')").fetchone()[0] is not None:
        needed, tables = versions_of(db)
    if db.execute("SELECT to_regclass('boxes')").fetchone()[0] is not None:
        boxes = _find_boxes(db)
    info = db.connection.info
    nearby = info.host.startswith("/") or info.hostaddr.startswith(("127.", "::1"))
    private = nearby or db.connection.pgconn.ssl_in_use
    views = [OldView(*row) for row in db.execute(_OLD_VIEWS, (OLD_VIEW_SECONDS,))]
    return ServerStanding(
        where,
        tables,
        needed,
        settings,
        db.lost_settings(),
        private,
        ahead,
        boxes,
        views,
    )


def _find_boxes(db: PostgresDb) -> list[BoxOnServer]:
    sql = (
        f"SELECT box, version, ((until - {NOW}) / 1e6)::float8, settings FROM boxes"
        " WHERE state = 'here' ORDER BY box"
    )
    return [
        BoxOnServer(box, version, left, from_json(settings))
        for box, version, left, settings in db.execute(sql)
    ]
