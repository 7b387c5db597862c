"""What a daemon knows of the others that write its log: that they wrote, and which of them are gone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import psycopg
import trio
from pydantic_core import from_json

from penstock.concurrency.threads import RunBlocking
from penstock.log.kept import BoxRow, Forsaken
from penstock.log.postgresql.dialect import NOW
from penstock.log.postgresql.engine import (
    IDLE_PART,
    IDLE_SECONDS,
    PostgresDb,
    channel_of,
)
from penstock.log.postgresql.server_words import tell
from penstock.log.tables.db import Statements

log = logging.getLogger("penstock.boxes")

#: What is told of a server that no longer keeps what it acknowledges.
NO_FSYNC = "the server has `fsync = off` by now: a power cut takes what was acknowledged; set it to on"

_OVERDUE = f"SELECT box, life FROM boxes WHERE state = 'here' AND until <= {NOW}"
#: Seconds between two tries to listen.
PAUSE_SECONDS = 1.0

# What executes by the word of a box without a valid lease; what an earlier life of a box that is there
# left is that box's own affair.
_FORSAKEN = (
    "SELECT run_id FROM runs LEFT JOIN boxes ON boxes.box = runs.host"
    " WHERE ended_at IS NULL AND runs.key > 0 AND runs.life IS NOT NULL"
    f" AND (boxes.state IS NULL OR boxes.state <> 'here' OR boxes.until <= {NOW})"
)
_BOXES = (
    f"SELECT box, machine, life, state, (({NOW} - seen) / 1e6)::float8, ((until - {NOW}) / 1e6)::float8,"
    " lease_seconds, slots, labels, accept, version FROM boxes ORDER BY box"
)
# What the server should have ended by itself, and does not once it was sent a Flush after a Sync, as psycopg
# does at the end of a pipeline: then it forgets that a session stands still within a transaction.
_STUCK = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity AS activity JOIN boxes"
    " ON strpos(application_name, right(life, 16)) > 0"
    " WHERE datname = current_database() AND usename = current_user AND activity.state <> 'idle'"
    " AND wait_event IN ('ClientRead', 'ClientWrite')"
    " AND clock_timestamp() - state_change"
    f" > least({IDLE_SECONDS}, lease_seconds * {IDLE_PART}) * interval '1 second'"
)
_OURS = f"SELECT epoch, life, state, until > {NOW} FROM log LEFT JOIN boxes ON box = ?"


class PostgresSharing:
    """See `Sharing`. The listener is a connection of its own, made when it is needed and anew once it was lost."""

    def __init__(
        self,
        box: str,
        lease_seconds: float,
        listener: PostgresDb,
        writer: PostgresDb,
        read: Callable[..., Awaitable[Any]],
        run_reading: RunBlocking,
    ) -> None:
        self.box = box
        self.lease_seconds = lease_seconds
        self._listener = listener
        self._writer = writer
        self._read = read
        self._run_reading = run_reading
        self._listening = False
        #: How often in a row nothing could be heard.
        self._deaf = 0
        self.amiss: str | None = None

    async def wait_written(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            try:
                while not await self._run_reading(self._heard_another):
                    await trio.lowlevel.wait_readable(
                        self._listener.connection.fileno()
                    )
            except (psycopg.Error, OSError) as error:
                self._tell_deaf(error)
                # What is told now is not heard: whoever waits looks by itself.
                self._listener.close()
                await trio.sleep(min(seconds, PAUSE_SECONDS))
                return False
        self._deaf = 0
        return True

    def _tell_deaf(self, error: psycopg.Error | OSError) -> None:
        """Once: a session that was lost is made again, and it is tried every second."""
        self._deaf += 1
        if self._deaf == 2:
            why = tell(error) if isinstance(error, psycopg.Error) else str(error)
            log.warning("what other boxes write is looked for, and not heard: %s", why)

    def _heard_another(self) -> bool:
        """Listen, and tell whether another daemon has told of facts since this was asked."""
        db = self._listener
        if not (self._listening and db.connected):
            db.execute(f'LISTEN "{channel_of(db.schema)}"')
            self._listening = True
            # What was told before is not heard.
            return True
        heard = [told.payload for told in db.connection.notifies(timeout=0)]
        return any(box != self.box for box in heard)

    async def forsaken(self) -> Forsaken:
        found: Forsaken
        found, fsync = await self._read(_forsaken)
        self._note_fsync(fsync)
        return found

    def _note_fsync(self, fsync: str) -> None:
        """A start is refused where it is off; it may be turned off later, by no more than a reload."""
        amiss = NO_FSYNC if fsync == "off" else None
        if amiss != self.amiss:
            log.warning("%s", amiss or "the server has `fsync` on again")
        self.amiss = amiss

    def why_not_ours(self, db: Statements, epoch: str) -> str | None:
        """Why this daemon must write nothing more; None: it may."""
        row = db.execute(_OURS, (self.box,)).fetchone()
        if row is None:
            return "the log is no longer what it was: its one row is missing"
        found, life, state, valid = row
        if found != epoch:
            return "the log has another epoch: commits were lost, or an older copy is there"
        if life != self._writer.life:
            return f"the box {self.box} has another daemon by now ({life or 'none'})"
        if state != "here" or not valid:
            return f"the lease of the box {self.box} is over"
        return None


def find_boxes(db: Statements) -> list[BoxRow]:
    """See `Store.boxes`."""
    names = [f.name for f in fields(BoxRow) if f.name != "draining"]
    rows = []
    for columns in db.execute(_BOXES):
        named = dict(zip(names, columns, strict=True))
        named["labels"] = from_json(named["labels"])
        rows.append(BoxRow(**named))
    return rows


def _forsaken(db: Statements) -> tuple[Forsaken, str]:
    """And whether the server has its writes brought to the disk."""
    # First: a daemon that is stopped within its turn keeps all others from renewing.
    db.execute(_STUCK)
    runs = frozenset(run_id for (run_id,) in db.execute(_FORSAKEN))
    # After them: each question has a moment of its own, and a loss is noted before its runs are given back.
    boxes = [(box, life) for box, life in db.execute(_OVERDUE)]
    (fsync,) = db.execute("SELECT current_setting('fsync')").fetchone()
    return Forsaken(tuple(boxes), runs), fsync
