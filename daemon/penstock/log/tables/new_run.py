"""The rows of a new run, before they are in the tables."""

from __future__ import annotations

from typing import Any, NamedTuple

#: The columns of `runs` that a new row is given: it may have moved on before it is written.
NEW_RUN = (
    "key", "run_id", "kind", "priority", "place", "state", "group_name", "parent_id", "root_id",
    "depth", "retry_of", "open_prerequisites", "timeout", "on_restart", "preemptible", "created_at",
    "reason", "life", "token", "attempt", "used_seconds", "code_version", "cancel_requested",
    "wants_slot", "sequence", "last_position", "clock", "host", "started_at", "ended_at", "outcome",
    "needs", "origin",
)  # fmt: skip
INSERT_RUN = (
    f"INSERT INTO runs ({', '.join(NEW_RUN)}) VALUES ({', '.join('?' * len(NEW_RUN))})"
)
INSERT_SPEC = "INSERT INTO specs (key, digest, inputs, shown, labels, after) VALUES (?, ?, ?, ?, ?, ?)"
#: What a run has that nothing happened to.
FRESH: dict[str, Any] = {
    "reason": "", "life": None, "token": 0, "attempt": 0, "used_seconds": 0.0, "code_version": -1,
    "cancel_requested": None, "wants_slot": 0, "sequence": 0, "last_position": 0, "clock": "{}",
    "host": "", "started_at": None, "ended_at": None, "outcome": None,
}  # fmt: skip


class NewRun(NamedTuple):
    """Columns of `runs` by name, and the row of `specs`: key, digest, inputs, shown, labels, after."""

    row: dict[str, Any]
    spec: tuple[int, bytes, bytes, str, str, str]


def whole_row(new: NewRun) -> dict[str, Any]:
    """Both rows by the names of RunRow, as `rows.run_columns` would read them from the tables."""
    columns = dict(new.row)
    columns["group"] = columns.pop("group_name")
    for name in ("depth", "wants_slot", "clock"):
        del columns[name]
    names = ("digest", "inputs", "shown", "labels", "after")
    return {**columns, **dict(zip(names, new.spec[1:], strict=True))}
