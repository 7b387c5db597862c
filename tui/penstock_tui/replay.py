"""A copied log, shown as it stood at any position."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from penstock.words.errors import StartRefused
from penstock.words.recorded import Recorded
from penstock_tui.state import DashboardState
from penstock_tui.widgets.scrubber import ReplayState
from penstock_tui.wording import clock_time

#: Facts between two kept states: going back refolds at most this many.
CHECKPOINT = 2000
#: Facts of a log that are shown, the newest; a copy is for looking at what happened lately.
MOST_FACTS = 200_000


class Replay:
    """Moves a model over recorded facts. Going forward folds, going back refolds from a checkpoint."""

    def __init__(self, facts: Sequence[Recorded], name: str) -> None:
        self.name = name
        self.model = DashboardState(phase="replay", epoch="replay")
        self._facts = facts
        self._index = 0
        self._checkpoints: dict[int, DashboardState] = {0: self.model.copy()}
        self.to(len(facts))

    def now(self) -> datetime:
        """The time at the position shown: elapsed times are those of then."""
        return self._facts[self._index - 1].at if self._index else datetime.now(UTC)

    def state(self) -> ReplayState:
        first = self._facts[0].position if self._facts else 0
        last = self._facts[-1].position if self._facts else 0
        return ReplayState(
            self.model.position, first, last, clock_time(self.now(), millis=True)
        )

    def move(self, by: int) -> None:
        """Go some facts forward, or back."""
        self.to(self._index + by)

    def to(self, index: int) -> None:
        """Show the state after that many facts."""
        index = min(len(self._facts), max(0, index))
        if index < self._index:
            self._index = max(at for at in self._checkpoints if at <= index)
            self._restore(self._checkpoints[self._index])
        while self._index < index:
            self.model.apply(self._facts[self._index])
            self._index += 1
            if self._index % CHECKPOINT == 0 and self._index not in self._checkpoints:
                self._checkpoints[self._index] = self.model.copy()
        self.model.version += 1

    def facts(self, run_id: str) -> list[Recorded]:
        """A run's facts up to the position shown."""
        return [fact for fact in self._facts[: self._index] if fact.run_id == run_id]

    def _restore(self, kept: DashboardState) -> None:
        """Put the kept state into the model the screens look at."""
        version, epoch = self.model.version, self.model.epoch
        # What screens wait at is theirs, whatever the position.
        watched, again = self.model.watched, kept.copy()
        for name in DashboardState.__slots__:
            setattr(self.model, name, getattr(again, name))
        self.model.watched = watched
        self.model.version = version + 1
        # Another epoch makes the screens start over instead of adding to what they show.
        self.model.epoch = f"{epoch}'" if len(epoch) < 100 else "replay"


def open_replay(path: Path) -> Replay:
    """The replay of a copied database or of an NDJSON export. StartRefused if it is neither."""
    if not path.is_file():
        raise StartRefused(f"{path} is not there")
    try:
        facts = _read(path)
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise StartRefused(f"{path} is not a log of penstock: {error}") from None
    return Replay(facts, path.name)


def open_far_replay(url: str, schema: str) -> Replay:
    """The replay of a log in a PostgreSQL, as it is now. StartRefused, NotFound."""
    from penstock.log.tables.rows import SELECT_EVENTS, unchecked

    try:
        from penstock.log.postgresql.whole_schema import read_whole_schema
    except ImportError as error:
        raise StartRefused(
            f"psycopg cannot be used ({error}); install `penstock[postgresql]`"
        ) from None
    with read_whole_schema(url, schema) as log:
        sql = f"{SELECT_EVENTS} ORDER BY position DESC LIMIT ?"
        rows = log.execute(sql, (MOST_FACTS,)).fetchall()
    return Replay([unchecked(row) for row in reversed(rows)], schema)


def _read(path: Path) -> list[Recorded]:
    with path.open("rb") as file:
        if file.read(16).startswith(b"SQLite format 3"):
            return read_database(path)
    return read_export(path)


def read_export(path: Path) -> list[Recorded]:
    """The facts of an export, or of any lines of envelopes: what else an export holds is for an import."""
    with path.open(encoding="utf-8") as file:
        rows = (json.loads(line) for line in file if line.strip())
        facts = deque(
            (Recorded.from_wire(row) for row in rows if not _is_for_imports(row)),
            maxlen=MOST_FACTS,
        )
    return list(facts)


def _is_for_imports(row: Any) -> bool:
    """Whether it is the header of an export, or a row of one of its tables."""
    return isinstance(row, dict) and not row.keys().isdisjoint({"format", "table"})


def read_database(path: Path) -> list[Recorded]:
    """The newest facts of a copied database, which is opened for reading only."""
    # Beside a write-ahead log the newest facts stand there; without one, nothing may be written.
    mode = (
        "mode=ro"
        if path.with_name(f"{path.name}-wal").exists()
        else "mode=ro&immutable=1"
    )
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as db:
        rows = db.execute(_NEWEST, (MOST_FACTS,)).fetchall()
    return [_recorded(row) for row in reversed(rows)]


_NEWEST = (
    "SELECT position, run_id, events.sequence, event_id, at, events.clock, causation,"
    " events.code_version, type, body FROM events JOIN runs ON runs.key = events.run"
    " ORDER BY position DESC LIMIT ?"
)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def _recorded(row: tuple[Any, ...]) -> Recorded:
    (
        position,
        run_id,
        sequence,
        event_id,
        at,
        clock,
        causation,
        code_version,
        type_,
        body,
    ) = row
    return Recorded(
        position=position,
        run_id=run_id,
        sequence=sequence,
        event_id=UUID(bytes=event_id),
        at=_UNIX + timedelta(microseconds=at),
        clock=json.loads(clock),
        causation_id=UUID(bytes=causation) if causation is not None else None,
        code_version=max(0, code_version),
        type=type_,
        body=bytes(body),
    )
