"""Re-reading a whole log, and the laws that it must show to have been kept.

A finding is a fact about the log, not an error: the audit reads to the end and reports all of them.
Memory is bounded by what is open and by the number of events (one id each), not by their bodies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.log.kept import Bounds, RunRow
from penstock.log.sqlite.whole_file import read_whole_file
from penstock.log.tables.callers import COUNT_UNUSED, LOST_ENVIRONMENTS
from penstock.log.tables.db import Statements
from penstock.log.tables.output_window import PIECE, Window, kept_size
from penstock.log.tables.rows import damage_of, run_columns, run_row, unchecked
from penstock.log.tables.run_head import head_of
from penstock.log.tables.whole_log import WholeLog
from penstock.words.errors import LogDamaged
from penstock.words.events import (
    DAEMON_STREAM,
    ArtifactCompleted,
    ArtifactPartial,
    UnknownEvent,
)
from penstock.words.lifecycle import (
    MOVING_TYPES,
    QUEUED_STATES,
    TERMINAL_STATES,
    IllegalTransition,
    State,
    next_state,
)
from penstock.words.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Finding:
    """A law that does not hold, where, and how it is seen."""

    law: str
    run_id: str
    position: int
    what: str

    def __str__(self) -> str:
        return f"{self.law}: {self.run_id or 'the log'} at {self.position}: {self.what}"


@dataclass(slots=True)
class _Story:
    """What is remembered of one run while its facts are read."""

    state: State | None = None
    sequence: int = 0
    position: int = 0
    attempt: int = 0
    cancel_requested: str | None = None
    clock: dict[str, int] = field(default_factory=dict)
    texts: dict[tuple[str, int], JoinedText] = field(default_factory=dict)
    #: Bytes of output found in the beginning and after it.
    head: int = 0
    tail: int = 0


@dataclass(slots=True)
class Audit:
    """Takes every fact in position order, then every run's row; `finish` gives the findings."""

    bounds: Bounds
    #: The windows over what runs printed, by their ids.
    windows: Mapping[str, Window] = field(default_factory=dict)
    facts: int = 0
    findings: list[Finding] = field(default_factory=list)
    _position: int = 0
    _stories: dict[str, _Story] = field(default_factory=dict)
    _ids: set[int] = field(default_factory=set)
    _causes: list[tuple[int, Recorded]] = field(default_factory=list)

    def take(self, fact: Recorded) -> None:
        """The next fact of the log."""
        self.facts += 1
        self._place(fact)
        story = self._stories.setdefault(fact.run_id, _Story())
        self._order(story, fact)
        self._clock(story, fact)
        self._move(story, fact)
        self._text(story, fact)
        if fact.type == PIECE and fact.run_id in self.windows:
            self._piece(story, fact, self.windows[fact.run_id])
        if fact.causation_id is not None and fact.causation_id.int not in self._ids:
            self._causes.append((fact.causation_id.int, fact))
        if fact.event_id.int in self._ids:
            self._find("unique ids", fact, f"the id {fact.event_id} is repeated")
        self._ids.add(fact.event_id.int)

    def unreadable(self, columns: tuple[Any, ...], what: str) -> None:
        """A row of SELECT_EVENTS that is not what was written."""
        position, run_id = columns[0], str(columns[1])
        self.findings.append(Finding("whole facts", run_id, position, f"it {what}"))

    def _find(self, law: str, fact: Recorded, what: str) -> None:
        self.findings.append(Finding(law, fact.run_id, fact.position, what))

    def _place(self, fact: Recorded) -> None:
        expected = self._position + 1
        self._position = fact.position
        # What was pruned leaves holes, but only below the floor.
        holes_allowed = fact.position > expected and fact.position <= self.bounds.floor
        if fact.position != expected and not holes_allowed:
            self._find("dense positions", fact, f"came where {expected} should be")

    def _order(self, story: _Story, fact: Recorded) -> None:
        if fact.sequence != story.sequence + 1:
            what = f"sequence {fact.sequence} came where {story.sequence + 1} should be"
            self._find("dense sequences", fact, what)
        story.sequence, story.position = fact.sequence, fact.position

    def _clock(self, story: _Story, fact: Recorded) -> None:
        clock = dict(fact.clock)
        # The daemon's own stream begins anew with each life, or its clock would grow for ever.
        known = (
            story.clock if fact.run_id != DAEMON_STREAM else story.clock.keys() & clock
        )
        back = [name for name in known if clock.get(name, -1) < story.clock[name]]
        if back or clock == story.clock:
            what = f"its clock {clock} does not follow {story.clock}"
            self._find("monotonic clocks", fact, what)
        story.clock = clock

    def _move(self, story: _Story, fact: Recorded) -> None:
        if story.state in TERMINAL_STATES:
            what = f"{fact.type} was recorded after the run was {story.state}"
            self._find("one terminal", fact, what)
            return
        if fact.run_id == DAEMON_STREAM:
            return
        if fact.type == "run.cancel_requested":
            story.cancel_requested = getattr(fact.event, "reason", "")
        if fact.type not in MOVING_TYPES:
            if story.state is None:
                self._find("legal transitions", fact, f"{fact.type} before run.queued")
            return
        overruled = fact.type in {"run.completed", "run.failed"}
        if overruled and story.cancel_requested is not None:
            self._find("a cancel wins", fact, f"{fact.type} after a cancel request")
        if fact.type in {"run.started", "run.resumed"}:
            story.attempt = getattr(fact.event, "attempt", 0)
        try:
            story.state = next_state(story.state, fact.type)
        except IllegalTransition as error:
            self._find("legal transitions", fact, str(error))

    def _piece(self, story: _Story, fact: Recorded, window: Window) -> None:
        size = kept_size(fact.body)
        if fact.position <= window.head_end:
            story.head += size
        elif fact.position > window.edge:
            story.tail += size
        elif size:
            what = f"its {size} bytes are kept, and the window has left it"
            self._find("rolling windows", fact, what)

    def _text(self, story: _Story, fact: Recorded) -> None:
        if not fact.type.startswith("artifact."):
            return
        event = fact.event
        if isinstance(event, ArtifactPartial):
            key = (event.artifact_id, event.attempt)
            story.texts.setdefault(key, JoinedText()).add(event.text)
        elif isinstance(event, ArtifactCompleted):
            text = story.texts.pop((event.artifact_id, event.attempt), JoinedText())
            if not text.agrees(event.size, event.sha256):
                what = f"{event.artifact_id}: its pieces are {text.size} bytes of {event.size}"
                self._find("whole artifacts", fact, what)
        elif isinstance(event, UnknownEvent):
            self._find("readable facts", fact, event.problem)

    def compare(self, row: RunRow) -> None:
        """One run's row, after all facts."""
        story = self._stories.pop(row.run_id, None)
        expected: dict[str, Any] = {}
        if story is not None:
            expected = {
                "state": story.state,
                "sequence": story.sequence,
                "last_position": story.position,
                "attempt": story.attempt,
            }
        kept = {name: getattr(row, name) for name in expected}
        window = self.windows.get(row.run_id, Window())
        if story is not None and (story.head, story.tail) != (window.head, window.tail):
            what = (
                f"the window has {window.head} and {window.tail} bytes of output,"
                f" its facts {story.head} and {story.tail}"
            )
            self._finding("rolling windows", row, what)
        ended = row.state in TERMINAL_STATES
        whole = (row.ended_at is not None) == ended == _tells_end(row.outcome)
        asked = story is not None and _in_a_column(
            story.cancel_requested
        ) != _in_a_column(row.cancel_requested)
        if story is None or kept != expected or not whole or asked:
            what = (
                f"the row says {kept or row.state}, its facts {expected or 'nothing'}"
            )
            self._row_finding(row, what)
        if (ended or row.state in QUEUED_STATES) and row.life is not None:
            self._row_finding(row, f"it is {row.state} and owned by {row.life}")

    def _row_finding(self, row: RunRow, what: str) -> None:
        self._finding("rows agree with facts", row, what)

    def _finding(self, law: str, row: RunRow, what: str) -> None:
        self.findings.append(Finding(law, row.run_id, row.last_position, what))

    def malformed_row(self, columns: dict[str, Any], what: str) -> None:
        """A run's row that cannot be read."""
        self._stories.pop(columns["run_id"], None)
        self.findings.append(
            Finding("rows agree with facts", str(columns["run_id"]), 0, what)
        )

    def stop(self, what: str) -> None:
        """The rest of the log cannot be read."""
        where = f"what follows cannot be read: {what}"
        self.findings.append(Finding("whole file", "", self._position, where))

    def finish(self) -> list[Finding]:
        """All findings, once every fact and row was taken."""
        for cause, fact in self._causes:
            if cause in self._ids:
                self._find("causes come first", fact, "its cause has a higher position")
            elif self.bounds.floor <= 1:
                self._find("causes exist", fact, "its cause is not in the log")
        self._stories.pop(DAEMON_STREAM, None)
        for run_id, story in self._stories.items():
            what = "there are facts and no row"
            self.findings.append(
                Finding("rows agree with facts", run_id, story.position, what)
            )
        if self._position != self.bounds.head and self.bounds.head >= self.bounds.floor:
            what = f"the head is {self.bounds.head}, the last fact {self._position}"
            self.findings.append(Finding("dense positions", "", self._position, what))
        return self.findings


def audit_log(
    facts: Iterable[Recorded],
    rows: Iterable[RunRow],
    bounds: Bounds,
    windows: Mapping[str, Window],
) -> Audit:
    """The audit of a whole log: its facts in position order, and all its rows."""
    audit = Audit(bounds, windows)
    for fact in facts:
        audit.take(fact)
    for row in rows:
        audit.compare(row)
    audit.finish()
    return audit


def audit_whole(log: WholeLog) -> Audit:
    """The audit of a whole log, as its engine has it.

    What cannot be read is a finding too. After a page that cannot, only the engine's own check goes
    on: laws about what nobody can see would be found broken by the hundred. LogDamaged without a
    head.
    """
    meta = log.meta()
    reported = log.own_check()
    audit = Audit(Bounds(meta["floor"], meta["head"]), log.windows())
    audit.findings += [Finding("whole file", "", 0, text) for text in reported]
    try:
        for columns in log.events():
            _take_row(audit, columns)
        malformed = _malformed_heads(log)
        for columns in log.runs():
            _compare_row(audit, columns, malformed)
    except Exception as error:
        if (why := log.damage_of(error)) is None:
            raise
        audit.stop(why)
        return audit
    if "callers" in log.tables():
        _check_environments(log, audit)
    audit.finish()
    return audit


def _check_environments(db: Statements, audit: Audit) -> None:
    """Every run has the environment it was given, and none is kept that no run has any more."""
    for run_id, number in db.execute(LOST_ENVIRONMENTS):
        what = "the environment it was given is not there"
        audit.findings.append(Finding("environments of runs", run_id, number, what))
    (unused,) = db.execute(COUNT_UNUSED).fetchone()
    if unused:
        what = f"{unused} environments are kept that no run has"
        audit.findings.append(Finding("environments of runs", "", 0, what))


def _take_row(audit: Audit, columns: tuple[Any, ...]) -> None:
    why = damage_of(columns)
    if why is not None:
        audit.unreadable(columns, why)
    try:
        audit.take(unchecked(columns))
    except (ValueError, TypeError, AttributeError):
        # What it holds is no fact; that it is damaged may have been reported already.
        if why is None:
            audit.unreadable(columns, "is malformed")


def _malformed_heads(log: WholeLog) -> dict[str, str]:
    """The runs whose rows no daemon takes, and why; all in one go, since a server is a way away."""
    malformed: dict[str, str] = {}
    for columns in log.heads():
        try:
            head_of(columns)
        except LogDamaged as error:
            malformed[str(error.facts["run_id"])] = str(error)
    return malformed


def _compare_row(
    audit: Audit, columns: tuple[Any, ...], malformed: Mapping[str, str]
) -> None:
    named = run_columns(columns)
    try:
        row = run_row(columns)
    except LogDamaged as error:
        audit.malformed_row(named, str(error))
        return
    if (why := malformed.get(row.run_id)) is not None:
        audit.malformed_row(named, why)
    else:
        audit.compare(row)


def audit_file(path: Path) -> Audit:
    """The audit of a database file, live or a copy, as one moment of it; nothing is written.

    NotFound without a file; sqlite3.Error or LogDamaged when nothing of it can be read;
    StartRefused if it is of a version whose rows are not those of this one.
    """
    with read_whole_file(path) as log:
        return audit_whole(log)


@dataclass(slots=True)
class JoinedText:
    """A text put together from its pieces, of which only size in UTF-8 bytes and SHA-256 are kept."""

    size: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, piece: str) -> None:
        """The next piece."""
        encoded = piece.encode("utf-8", "replace")
        self.size += len(encoded)
        self._digest.update(encoded)

    def agrees(self, size: int, sha256: str) -> bool:
        """Whether this is the text that was said to be whole."""
        return self.size == size and self._digest.hexdigest() == sha256


def _in_a_column(text: str | None) -> str | None:
    """A text as every engine keeps it: one of them takes no NUL, which the fact may have."""
    return text and text.replace("\0", "\ufffd")


def _tells_end(outcome: Mapping[str, Any] | None) -> bool:
    """Whether this is how a run ended: one that goes on keeps at most what may be left of it."""
    return outcome is not None and outcome.keys() != {"left"}
