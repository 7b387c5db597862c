"""Between the tables of a log and the values of the port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic_core
from pydantic_core import from_json

from penstock.log.checksum import checksum_of
from penstock.log.filters import RunFilter
from penstock.log.kept import AskRow, RunRow, TreeRun
from penstock.log.tables.db import Statements
from penstock.words.errors import LogDamaged
from penstock.words.lifecycle import (
    OPEN_STATES,
    QUEUED_STATES,
    State,
)
from penstock.words.recorded import Recorded
from penstock.words.sentences import about
from penstock.words.values import to_moment


def state_in(states: Iterable[State]) -> str:
    """The SQL for a run in one of these states; none of their names has a quote."""
    return f"state IN ({', '.join(map(repr, states))})"


#: As the partial index of the line has it: other words for the same would not use it.
IN_LINE = state_in(QUEUED_STATES)

#: Begins the names in `meta` of the folders that forgotten runs left: of this box, and not the log's.
FOLDER_OF = "folder:"
#: Such names, by what may follow their last character.
FOLDERS = (
    f"name >= '{FOLDER_OF}' AND name < '{FOLDER_OF[:-1]}{chr(ord(FOLDER_OF[-1]) + 1)}'"
)

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: The columns of RunRow, in its order, and where they stand.
_RUN_COLUMNS = (
    "runs.key", "run_id", "kind", "inputs", "digest", "shown", "priority", "place", "state",
    "reason", "life", "token", "attempt", "group_name", "parent_id", "root_id", "retry_of", "after",
    "open_prerequisites", "timeout", "used_seconds", "code_version", "cancel_requested", "sequence",
    "last_position", "host", "labels", "on_restart", "preemptible", "needs", "origin", "created_at",
    "started_at", "ended_at", "outcome",
)  # fmt: skip
SELECT_RUNS = f"SELECT {', '.join(_RUN_COLUMNS)} FROM runs CROSS JOIN specs ON specs.key = runs.key"

# Left to itself SQLite takes the index by place, and reads every run that ever was.
SELECT_OPEN_KEYS = "SELECT key, run_id FROM runs INDEXED BY runs_state WHERE ended_at IS NULL AND key > 0 ORDER BY place"

#: The columns of a fact, in the order of its checksum.
EVENT_COLUMNS = (
    "position", "run", "sequence", "event_id", "at", "type", "clock", "causation", "code_version",
    "body", "checksum",
)  # fmt: skip
INSERT_EVENT = (
    f"INSERT INTO events ({', '.join(EVENT_COLUMNS)})"
    f" VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"
)
SELECT_EVENTS = (
    "SELECT position, run_id, events.sequence, event_id, at, events.clock, causation,"
    " events.code_version, type, body, run, checksum FROM events CROSS JOIN runs ON runs.key = events.run"
)

# Whatever speaks of a receipt may have one; which do is seen once they are read.
_SELECT_TREE = """
WITH RECURSIVE tree(key, run_id) AS (
    SELECT key, run_id FROM runs WHERE run_id = ? AND key > 0
    UNION ALL SELECT runs.key, runs.run_id FROM tree CROSS JOIN runs ON runs.parent_id = tree.run_id
)
SELECT runs.run_id, ended_at, outcome, host
FROM tree CROSS JOIN runs ON runs.key = tree.key
WHERE ended_at IS NULL OR outcome LIKE '%"receipt"%' OR runs.run_id = ?
ORDER BY runs.key
"""

_SELECT_ASKS = (
    "SELECT run_id, name, question, choices, default_answer, expires_at, asks.state, answer,"
    " answered_by, raised_at FROM asks CROSS JOIN runs ON runs.key = asks.run"
)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970: what every time column holds."""
    return (moment - _UNIX) // _MICROSECOND


def command_line(shown: str, inputs: bytes) -> str:
    """What a run was asked for, for who looks for words of it; "" for what cannot be read."""
    try:
        asked = from_json(shown or inputs)
        return about(asked) if isinstance(asked, dict) else ""
    except ValueError:
        return ""


#: A list of numbers, and one of words, that a statement is given as JSON.
NUMBERS = "(SELECT CAST(value AS BIGINT) FROM json_each(?))"
WORDS = "(SELECT value FROM json_each(?))"


def to_json(value: Any) -> str:
    """Compact JSON, as text columns hold it; `json.dumps` costs eight times as much per clock."""
    return pydantic_core.to_json(value).decode()


def shown_beside(inputs: bytes, shown: Mapping[str, Any]) -> str:
    """What surfaces show, as it stands beside the inputs: only where it differs from them."""
    return "" if from_json(inputs) == shown else to_json(dict(shown))


def group_key(group: str | None) -> str:
    """The name of a group, or of the whole queue, in the tables of pauses and slots.

    A group's name may be anything, so the whole queue is the name without a prefix.
    """
    return "" if group is None else f"group:{group}"


def group_of_key(key: str) -> str | None:
    """The group, None for the whole queue."""
    return key.removeprefix("group:") if key else None


#: Begins the names of boxes in the table of pauses: one that is drained starts nothing.
BOX_OF = "box:"
#: Begins the names of groups there that take no new runs, as `group_key` has them after it.
DRAIN_OF = "drain:"


def find_columns(db: Statements, keys: Sequence[int]) -> list[tuple[Any, ...]]:
    """Rows of SELECT_RUNS of these runs."""
    sql = f"{SELECT_RUNS} WHERE runs.key IN {NUMBERS}"
    return db.execute(sql, (to_json(list(keys)),)).fetchall()


def run_columns(columns: tuple[Any, ...]) -> dict[str, Any]:
    """One row of SELECT_RUNS by the names of RunRow, still as the table has it."""
    return dict(zip(RunRow.__dataclass_fields__, columns, strict=True))


def run_row(columns: tuple[Any, ...]) -> RunRow:
    """One row of SELECT_RUNS as the port shows it."""
    return row_of(run_columns(columns))


def row_of(columns: Mapping[str, Any]) -> RunRow:
    """Such columns, by name, as the port shows them. LogDamaged if one holds what it cannot."""
    try:
        return _decoded(columns)
    except (ValueError, TypeError) as error:
        run_id = str(columns["run_id"])
        raise LogDamaged(
            f"the log is damaged: the row of the run {run_id!r} is malformed",
            run_id=run_id,
        ) from error


def _decoded(columns: Mapping[str, Any]) -> RunRow:
    values = dict(columns)
    # No text of its own: the inputs are shown whole.
    values["shown"] = from_json(values["shown"] or values["inputs"])
    values["labels"] = from_json(values["labels"])
    values["needs"] = (
        {} if values["needs"] is None else dict(from_json(values["needs"]))
    )
    values["after"] = tuple(from_json(values["after"]))
    values["outcome"] = (
        from_json(values["outcome"]) if values["outcome"] is not None else None
    )
    # Below 0 stands "no code yet", so that version 0 can be taken once.
    values["code_version"] = max(0, values["code_version"])
    values["preemptible"] = bool(values["preemptible"])
    for name in ("created_at", "started_at", "ended_at"):
        values[name] = to_moment(values[name]) if values[name] is not None else None
    return RunRow(**values)


def recorded(columns: tuple[Any, ...]) -> Recorded:
    """One row of SELECT_EVENTS as the port shows it. LogDamaged if it is not what was written."""
    if (why := damage_of(columns)) is not None:
        run_id, position = str(columns[1]), columns[0]
        raise LogDamaged(
            f"the log is damaged: the fact {position} of the run {run_id!r} {why};"
            " `penstock audit` tells more",
            run_id=run_id,
        )
    return unchecked(columns)


def unchecked(columns: tuple[Any, ...]) -> Recorded:
    """As `recorded`, of a row that may be damaged; what is asked of it may then raise anything."""
    return Recorded(*columns[:10])


def damage_of(columns: tuple[Any, ...]) -> str | None:
    """How a row of SELECT_EVENTS is seen not to be what was written; None if it is whole."""
    (position, _, sequence, event_id, at, clock, causation, version, type_, body, run, known) = columns  # fmt: skip
    try:
        if known is None:
            return _malformed(event_id, at, clock, causation, body)
        found = checksum_of(
            position, run, sequence, event_id, at, type_, clock, causation, version, body
        )  # fmt: skip
    # A column may hold anything once a page was overwritten.
    except (TypeError, ValueError):
        return "is malformed"
    return None if found == known else "does not agree with its checksum"


def _malformed(
    event_id: bytes, at: int, clock: str, causation: bytes | None, body: bytes
) -> str | None:
    """What can be seen of a fact that was recorded without a checksum; ValueError, TypeError too."""
    from_json(body)
    from_json(clock)
    to_moment(at)
    sizes = {len(event_id), 16 if causation is None else len(causation)}
    return None if sizes == {16} else "is malformed"


def find_tree(db: Statements, run_id: str) -> list[TreeRun]:
    """See `Store.tree`."""
    runs = []
    for found, ended_at, outcome, box in db.execute(_SELECT_TREE, (run_id, run_id)):
        receipt = None if outcome is None else _receipt_of(outcome)
        if ended_at is None or receipt is not None or found == run_id:
            ended = None if ended_at is None else to_moment(ended_at)
            runs.append(TreeRun(found, ended, receipt, box))
    return runs


def _receipt_of(outcome: str) -> Mapping[str, Any] | None:
    details = from_json(outcome).get("details")
    return details.get("receipt") if isinstance(details, dict) else None


def find_asks(db: Statements, run_id: str | None, only_open: bool) -> list[AskRow]:
    """The questions of one run or of all, in the order they were raised."""
    where, values = ["TRUE"], []
    if only_open:
        where.append("asks.state = 'open'")
    if run_id is not None:
        where.append("asks.run = (SELECT key FROM runs WHERE run_id = ?)")
        values.append(run_id)
    sql = f"{_SELECT_ASKS} WHERE {' AND '.join(where)} ORDER BY raised_at, name"
    cursor = db.execute(sql, values)
    return [ask_row(columns) for columns in cursor]


def ask_row(columns: tuple[Any, ...]) -> AskRow:
    """One row of the asks table as the port shows it."""
    run_id, name, question, choices, default, expires, state, answer, by, raised = (
        columns
    )
    return AskRow(
        run_id=run_id,
        name=name,
        question=question,
        choices=tuple(from_json(choices)),
        default=default,
        expires_at=to_moment(expires) if expires is not None else None,
        state=state,
        answer=answer,
        answered_by=by,
        raised_at=to_moment(raised),
    )


def page(rows: Iterable[tuple[Any, ...]], max_bytes: int) -> Iterator[Recorded]:
    """Rows of SELECT_EVENTS up to `max_bytes` of bodies, but always the first."""
    used = 0
    for columns in rows:
        fact = recorded(columns)
        used += len(fact.body)
        if used > max_bytes and used > len(fact.body):
            return
        yield fact


_LAST_CHARACTER = "\U0010ffff"

#: Runs that are looked at by place before the index of labels is asked: a page and some more.
NEWEST = 2000


def find_place(db: Statements, before: int | None, count: int) -> int | None:
    """See `Store.place_of`."""
    where = "" if before is None else "AND place < ?"
    sql = f"SELECT place FROM runs WHERE key > 0 {where} ORDER BY place DESC LIMIT 1 OFFSET ?"
    values = (count,) if before is None else (before, count)
    found = db.execute(sql, values).fetchone()
    return None if found is None else int(found[0])


def find_runs(db: Statements, wanted: RunFilter) -> Iterator[tuple[Any, ...]]:
    """Rows of SELECT_RUNS that a filter wants, newest first."""
    if not wanted.labels:
        yield from db.execute(*select_runs(wanted))
        return
    # Labels that many runs have are on the newest pages; others are looked for in their index,
    # which knows nothing of places.
    middle = find_place(db, wanted.before, NEWEST)
    above = wanted.above if middle is None else max(middle, wanted.above)
    left = wanted.limit
    for row in db.execute(*select_runs(replace(wanted, above=above))):
        left -= 1
        yield row
    if left > 0 and above > wanted.above:
        older = replace(wanted, before=above + 1, limit=left)
        yield from db.execute(*select_runs(older, by_labels=True))


_BY_STATE = "runs INDEXED BY runs_state"
# SQLite's own for `run_id TEXT NOT NULL UNIQUE`.
_BY_ID = "runs INDEXED BY sqlite_autoindex_runs_1"
_BY_LABELS = "specs INDEXED BY specs_labels CROSS JOIN runs ON runs.key = specs.key"


def select_runs(
    wanted: RunFilter, *, by_labels: bool = False
) -> tuple[str, list[object]]:
    """The statement that finds such runs, and its values: no value is ever part of the SQL.

    Keys are chosen first, so that the large columns are read of those alone which are shown.
    """
    where, values = _conditions(wanted)
    source = "runs"
    looks_at_specs = bool(wanted.labels or wanted.words or wanted.without)
    if wanted.begins:
        source = _BY_ID
    elif by_labels:
        # As the partial index has it.
        where.append("labels <> '{}'")
        source = _BY_LABELS
    elif wanted.states and wanted.states.issubset(OPEN_STATES):
        where.append("ended_at IS NULL")
        source = _BY_STATE
    if looks_at_specs and not (by_labels and not wanted.begins):
        source += " CROSS JOIN specs ON specs.key = runs.key"
    keys = (
        f"SELECT runs.key FROM {source} WHERE {' AND '.join(where)}"
        " ORDER BY place DESC LIMIT ?"
    )
    sql = f"{SELECT_RUNS} WHERE runs.key IN ({keys}) ORDER BY place DESC"
    return sql, [*values, wanted.limit]


def _conditions(wanted: RunFilter) -> tuple[list[str], list[object]]:
    """What must hold of a run, all of it."""
    where: list[str] = ["place > ?"]
    values: list[object] = [wanted.above]
    for column, allowed in (
        ("state", wanted.states),
        ("kind", wanted.kinds),
        ("priority", wanted.priorities),
        ("group_name", wanted.groups),
        ("host", wanted.boxes),
        ("parent_id", wanted.parents),
    ):
        if allowed:
            where.append(f"{column} IN {NUMBERS if column == 'priority' else WORDS}")
            values.append(to_json(sorted(allowed)))
    for label in wanted.labels.items():
        where.append(
            "EXISTS (SELECT 1 FROM json_each(labels) AS one WHERE one.key = ? AND one.value = ?)"
        )
        values.extend(label)
    text = (
        "fold(run_id || char(10) || kind || char(10) || state || char(10) || labels || char(10)"
        " || command_line(shown, inputs))"
    )
    for words, test in ((wanted.words, "> 0"), (wanted.without, "= 0")):
        for word in words:
            where.append(f"instr({text}, ?) {test}")
            values.append(word.casefold())
    if wanted.number is not None:
        where.append("runs.key = ?")
        values.append(wanted.number)
    if wanted.begins:
        # Whatever follows in an id, no character is above the last one there is.
        where.append("run_id >= ? AND run_id < ?")
        values.extend((wanted.begins, wanted.begins + _LAST_CHARACTER))
    if wanted.top:
        where.append("parent_id IS NULL")
    if wanted.untried:
        where.append(
            "run_id NOT IN (SELECT retry_of FROM runs WHERE retry_of IS NOT NULL)"
        )
    if wanted.before is not None:
        where.append("place < ?")
        values.append(wanted.before)
    return where, values
