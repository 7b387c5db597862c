"""The rolling window over what a run printed: its beginning is kept, and of the rest its end.

Pieces of output that the window has left are emptied in place, in the transaction that records the
piece which pushed them out: the fact stays, with its position, sequence and id, and says how many
bytes it held. Nothing else in the log is ever changed, and this only once.

A run whose output has not outgrown its beginning has no row here: what it printed is counted anew
when a life of the daemon first records a piece of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from penstock.log.checksum import checksum_of
from penstock.log.tables.db import Statements
from penstock.log.tables.rows import INSERT_EVENT, damage_of
from penstock.words.config import MIB
from penstock.words.events import Log, encode_event, parse_event
from penstock.words.printed import held_bytes, size_of

PIECE = "log"


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """Bytes kept of what a run prints: of its beginning, and of its end."""

    head_bytes: int = 2 * MIB
    tail_bytes: int = 6 * MIB


#: What is kept where nothing else is configured.
LIMITS = WindowLimits()


@dataclass(slots=True)
class Window:
    """The window of one run: what is kept of its output, in bytes, and where it stands."""

    #: Bytes of the beginning, and the position of its last piece once there is more.
    head: int = 0
    head_end: int = 0
    #: Bytes kept after the beginning, and the position up to which pieces after it are emptied.
    tail: int = 0
    edge: int = 0

    def add(self, position: int, size: int, head_bytes: int) -> None:
        """Another piece, at this position."""
        if not self.head_end:
            if self.head < head_bytes:
                self.head += size
                return
            self.head_end = self.edge = position - 1
        self.tail += size


def kept_size(body: bytes) -> int:
    """How many bytes of output a body holds; 0 once it was emptied, or if it is no piece."""
    try:
        return held_bytes(from_json(body))
    except (ValueError, TypeError, AttributeError):
        return 0


_FIND = "SELECT head, head_end, tail, edge FROM windows WHERE run = ?"
_PIECES = (
    "SELECT position, body FROM events WHERE run = ? AND type = 'log' ORDER BY position"
)


def load_window(db: Statements, run: int, limits: WindowLimits) -> Window:
    """The window of the run of this key as the tables have it."""
    if found := db.execute(_FIND, (run,)).fetchone():
        return Window(*found)
    window = Window()
    for position, body in db.execute(_PIECES, (run,)):
        window.add(position, kept_size(body), limits.head_bytes)
    return window


_KEEP = (
    "INSERT INTO windows (run, head, head_end, tail, edge) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (run) DO UPDATE SET head = excluded.head, head_end = excluded.head_end,"
    " tail = excluded.tail, edge = excluded.edge"
)


def save_window(db: Statements, run: int, window: Window) -> None:
    """Keep where the window stands, in the transaction that moved it."""
    values = (run, window.head, window.head_end, window.tail, window.edge)
    db.execute(_KEEP, values)


# In the order of SELECT_EVENTS, whose checks are those of every read.
_OLDEST = (
    "SELECT position, '', sequence, event_id, at, clock, causation, code_version, type, body, run,"
    " checksum FROM events WHERE run = ? AND position > ? AND position < ? AND type = 'log'"
    " ORDER BY position LIMIT 1"
)


def empty_oldest(
    db: Statements, run: int, window: Window, newest: int, limits: WindowLimits
) -> None:
    """Empty the oldest pieces after the beginning until what is kept after it is within bounds.

    The piece at the position `newest`, just recorded, stays however large it is.
    """
    while window.tail > limits.tail_bytes:
        row = db.execute(_OLDEST, (run, window.edge, newest)).fetchone()
        if row is None:
            return
        # What is damaged is left for the audit to tell: to empty it would wipe the trace.
        if damage_of(row) is None:
            _empty(db, row)
        window.tail -= kept_size(row[9])
        window.edge = row[0]


def _empty(db: Statements, row: tuple[Any, ...]) -> None:
    """Empty one piece; one that is empty already stays as it is."""
    (position, _, sequence, event_id, at, clock, causation, version, type_, body, run, _) = row  # fmt: skip
    piece = parse_event(from_json(body))
    if not isinstance(piece, Log) or piece.emptied:
        return
    emptied = encode_event(Log(stream=piece.stream, bytes=size_of(piece), emptied=True))
    checksum = checksum_of(
        position, run, sequence, event_id, at, type_, clock, causation, version, emptied
    )
    # As a row of its own: an update that makes a row smaller leaves its page as empty as it gets.
    db.execute("DELETE FROM events WHERE position = ?", (position,))
    columns = (position, run, sequence, event_id, at, type_, clock, causation, version)
    db.execute(INSERT_EVENT, (*columns, emptied, checksum))
