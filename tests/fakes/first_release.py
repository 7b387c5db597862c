"""A log as the first release wrote it, with as many runs as are wanted.

`python tests/fakes/first_release.py FILE [RUNS]` makes one by hand.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

#: What that release left behind; see there.
DUMP = Path(__file__).with_suffix(".sql")
#: Runs in it, and facts of the one that is repeated.
RUNS = 5
_FACTS = 7


def make_first_log(path: Path, runs: int = RUNS) -> None:
    """Write such a log, in WAL mode; runs beyond the five of the dump have completed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(DUMP.read_text(encoding="utf-8"))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN")
        for number in range(RUNS + 1, runs + 1):
            _repeat(db, number)
        (head,) = db.execute("SELECT max(position) FROM events").fetchone()
        db.execute("UPDATE meta SET value = ? WHERE name = 'head'", (head,))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _repeat(db: sqlite3.Connection, number: int) -> None:
    """The story of the run `done` once more, after all that is there."""
    (head,) = db.execute("SELECT max(position) FROM events").fetchone()
    life = "vm/74b5312cd0d699f3"
    moved = {
        "n": number,
        "id": f"again-{number}",
        "first": head + 1,
        "last": head + _FACTS,
        "clock": f'{{"{life}":{head + _FACTS}}}',
    }
    _copy_row(
        db, "runs", moved,
        key=":n", run_id=":id", root_id=":id", place=":first", last_position=":last", clock=":clock",
    )  # fmt: skip
    _copy_row(db, "specs", moved, key=":n")
    db.executemany(
        "INSERT INTO events SELECT ?, ?, sequence, ?, at, type, ?, NULL, code_version, body"
        " FROM events WHERE run = 1 AND sequence = ?",
        _facts(number, head, life),
    )


def _facts(number: int, head: int, life: str) -> Iterator[tuple[Any, ...]]:
    for sequence in range(1, _FACTS + 1):
        at = head + sequence
        # Ids of that release begin with the time; these come after all of them.
        event_id = b"\xff" + at.to_bytes(15)
        yield at, number, event_id, f'{{"{life}":{at}}}', sequence


def _copy_row(
    db: sqlite3.Connection, table: str, values: dict[str, Any], **changed: str
) -> None:
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(changed.get(name, name) for name in names)
    db.execute(
        f"INSERT INTO {table} SELECT {columns} FROM {table} WHERE key = 1", values
    )


if __name__ == "__main__":
    make_first_log(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else RUNS)
