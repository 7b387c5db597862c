"""Rows as the first version of the tables in PostgreSQL had them, written past every daemon.

The text is that of then, and is never brought up to date: what a newer version adds has a default,
or a box of an older one cannot write beside it.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from zlib import crc32

import psycopg

from penstock.words.values import new_event_id

_INSERT_RUN = (
    "INSERT INTO runs (key, run_id, kind, priority, place, state, group_name, parent_id, root_id,"
    " depth, retry_of, open_prerequisites, timeout, on_restart, preemptible, created_at, reason, life,"
    " token, attempt, used_seconds, code_version, cancel_requested, wants_slot, sequence,"
    " last_position, clock, host, started_at, ended_at, outcome) VALUES (%s, %s, 'command', 20, %s,"
    " 'queued', NULL, NULL, %s, 0, NULL, 0, NULL, 'requeue', 0, %s, '', NULL, 0, 0, 0.0, -1, NULL, 0, 1,"
    " %s, %s, '', NULL, NULL, NULL)"
)
_INSERT_SPEC = (
    "INSERT INTO specs (key, digest, inputs, shown, labels, after)"
    " VALUES (%s, %s, %s, '', '{}', '[]')"
)
_INSERT_EVENT = (
    "INSERT INTO events (position, run, sequence, event_id, at, type, clock, causation, code_version,"
    " body, checksum) VALUES (%s, %s, 1, %s, %s, 'run.queued', %s, NULL, 0, %s, %s)"
)
_CLOCK = '{"older/1":1}'


def write_older_run(url: str, schema: str, run_id: str, words: list[str]) -> int:
    """Queue this command as a box of the first version does: the position. psycopg.Error."""
    inputs: dict[str, object] = {
        "argv": words, "shell": None, "cwd": None, "env": {}, "exit_codes_ok": [0],
    }  # fmt: skip
    body = json.dumps(
        {
            "type": "run.queued", "kind": "command", "priority": 20, "inputs": inputs, "labels": {},
            "after": [], "group": None, "timeout": None, "parent_id": None, "retry_of": None,
            "traceparent": None,
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip
    told = json.dumps(inputs, separators=(",", ":")).encode()
    with closing(psycopg.connect(url, options=f"-c search_path={schema}")) as db:
        head, numbered = _ask(db, "SELECT head, numbered FROM log FOR UPDATE")
        (highest,) = _ask(db, "SELECT max(key) FROM runs")
        key, position = 1 + max(numbered, highest), head + 1
        at, event_id = time.time_ns() // 1000, new_event_id().bytes
        sum_ = crc32(
            body,
            crc32(
                f"{position} {key} 1 {at} 0 run.queued {_CLOCK} ".encode() + event_id
            ),
        )
        db.execute(_INSERT_RUN, (key, run_id, position, run_id, at, position, _CLOCK))
        db.execute(_INSERT_SPEC, (key, hashlib.sha256(told).digest(), told))
        values = (position, key, event_id, at, _CLOCK, body, sum_)
        db.execute(_INSERT_EVENT, values)
        db.execute("UPDATE log SET head = %s, changes = changes + 1", (position,))
        db.commit()
    return position


def _ask(db: psycopg.Connection[tuple[int, ...]], sql: str) -> tuple[int, ...]:
    row = db.execute(sql).fetchone()
    assert row is not None
    return row
