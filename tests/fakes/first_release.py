"""A log as the first release wrote it, with as many runs as are wanted.

`python tests/fakes/first_release.py FILE [RUNS]` makes one by hand.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

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
        if runs > RUNS:
            _repeat(db, runs)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _repeat(db: sqlite3.Connection, runs: int) -> None:
    """The story of the run `done` again and again, after all that is there, up to so many runs."""
    (head,) = db.execute("SELECT max(position) FROM events").fetchone()
    values = {
        "head": head,
        "most": runs,
        "known": RUNS,
        "facts": _FACTS,
        "life": "vm/74b5312cd0d699f3",
    }
    db.execute(
        "CREATE TEMP TABLE more AS WITH RECURSIVE count(n) AS"
        " (SELECT :known + 1 UNION ALL SELECT n + 1 FROM count WHERE n < :most)"
        " SELECT n, :head + (n - :known - 1) * :facts AS before FROM count",
        values,
    )
    for table in ("runs", "specs"):
        changed = {
            "key": "n",
            "run_id": "'again-' || n",
            "root_id": "'again-' || n",
            "place": "before + 1",
            "last_position": "before + :facts",
            "clock": """'{"' || :life || '":' || (before + :facts) || '}'""",
        }
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        columns = ", ".join(changed.get(name, f"old.{name}") for name in names)
        db.execute(f"CREATE TEMP TABLE old AS SELECT * FROM {table} WHERE key = 1")
        db.execute(
            f"INSERT INTO {table} SELECT {columns} FROM more CROSS JOIN old", values
        )
        db.execute("DROP TABLE old")
    db.execute("CREATE TEMP TABLE old AS SELECT * FROM events WHERE run = 1")
    db.execute(
        "INSERT INTO events SELECT before + sequence, n, sequence,"
        # Ids of that release begin with the time; these come after all of them.
        " CAST(printf('again-%010d', before + sequence) AS BLOB), at, type,"
        """ '{"' || :life || '":' || (before + sequence) || '}', NULL, code_version, body"""
        " FROM more CROSS JOIN old",
        values,
    )
    db.execute(
        "UPDATE meta SET value = (SELECT max(position) FROM events) WHERE name = 'head'"
    )


if __name__ == "__main__":
    make_first_log(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else RUNS)
