"""Reads a log in a PostgreSQL as it grows, past every daemon, and audits each fact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

import psycopg

from penstock.log.audit import Audit, Finding
from penstock.log.kept import Bounds, RunRow
from penstock.log.postgresql.engine import PostgresDb
from penstock.log.tables.output_window import Window
from penstock.log.tables.rows import SELECT_EVENTS, SELECT_RUNS, recorded, run_row
from penstock.words.events import DAEMON_STREAM
from penstock.words.recorded import Recorded

#: Facts that are read at once.
PAGE = 1000
_STRANDED = (
    "SELECT run_id FROM runs WHERE key > 0 AND ended_at IS NULL AND life IS NOT NULL"
    " AND life NOT IN (SELECT life FROM boxes WHERE state = 'here')"
)
_WINDOWS = (
    "SELECT run_id, head, head_end, tail, edge FROM windows"
    " JOIN runs ON runs.key = windows.run"
)


@dataclass(slots=True)
class LogWatch:
    """A place in the log; what was read up to it is audited, and begins anew with the log's epoch."""

    url: str
    schema: str
    epoch: str = ""
    position: int = 0
    facts: int = 0
    audit: Audit = field(default_factory=lambda: Audit(Bounds(1, 0)))
    found: list[Finding] = field(default_factory=list)
    #: The server is another one: begin at the beginning.
    anew: bool = True
    #: Facts of the daemons themselves, by type.
    daemons: dict[str, int] = field(default_factory=dict)

    def read(self) -> tuple[list[Recorded], bool]:
        """What came since the last time, nothing of a log that is read anew; and whether the server told all."""
        facts: list[Recorded] = []
        with closing(PostgresDb(self.url, self.schema, "drill")) as db:
            try:
                ((epoch,),) = db.execute("SELECT epoch FROM log").fetchall()
                self.anew = anew = self.anew or epoch != self.epoch
                if anew:
                    self.epoch, self.position = epoch, 0
                    self.found += self.audit.findings
                    self.audit = Audit(Bounds(1, 0))
                facts.extend(self._new(db))
                self.anew = False
            except psycopg.Error:
                return ([] if self.anew else facts), False
        return ([] if anew else facts), True

    def findings(self) -> list[str]:
        """What was found in the facts that were read since this was last asked."""
        found = [*self.found, *self.audit.findings]
        self.found, self.audit.findings = [], []
        return [f"audit: {finding}" for finding in found]

    def _new(self, db: PostgresDb) -> Iterator[Recorded]:
        sql = f"{SELECT_EVENTS} WHERE position > ? ORDER BY position LIMIT ?"
        while True:
            rows = db.execute(sql, (self.position, PAGE)).fetchall()
            for columns in rows:
                fact = recorded(columns)
                self.audit.take(fact)
                self.position = fact.position
                self.facts += 1
                if fact.run_id == DAEMON_STREAM:
                    self.daemons[fact.type] = self.daemons.get(fact.type, 0) + 1
                yield fact
            if len(rows) < PAGE:
                return

    def stranded(self) -> list[str]:
        """Runs that execute, as their rows say, by the word of a daemon that is not there."""
        with closing(PostgresDb(self.url, self.schema, "drill")) as db:
            with suppress(psycopg.Error):
                return [run_id for (run_id,) in db.execute(_STRANDED).fetchall()]
        return ["the server is away"]

    def rows(self) -> list[RunRow]:
        """Every run as its row has it. psycopg.Error while the server is away."""
        with closing(PostgresDb(self.url, self.schema, "drill")) as db:
            sql = f"{SELECT_RUNS} WHERE runs.key > 0 ORDER BY runs.key"
            return [run_row(columns) for columns in db.execute(sql).fetchall()]

    def lines(self) -> Iterator[str]:
        """Every fact, for people."""
        with closing(PostgresDb(self.url, self.schema, "drill")) as db:
            for columns in db.execute(f"{SELECT_EVENTS} ORDER BY position").fetchall():
                fact = recorded(columns)
                yield f"{fact.position} {fact.at} {fact.run_id} {fact.body.decode()}"

    def whole(self) -> list[Finding]:
        """The audit of all of it, rows too, as one moment; the daemons may be there."""
        with closing(PostgresDb(self.url, self.schema, "drill")) as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            ((floor, head),) = db.execute("SELECT floor, head FROM log").fetchall()
            windows = {run_id: Window(*values) for run_id, *values in db.execute(_WINDOWS)}  # fmt: skip
            audit = Audit(Bounds(floor, head), windows)
            for columns in db.execute(f"{SELECT_EVENTS} ORDER BY position").fetchall():
                audit.take(recorded(columns))
            sql = f"{SELECT_RUNS} WHERE runs.key > 0 ORDER BY runs.key"
            for columns in db.execute(sql).fetchall():
                audit.compare(run_row(columns))
        return audit.finish()
