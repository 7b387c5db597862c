"""A log as a whole, whichever engine keeps it: for who reads or makes all of it without a daemon."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

from penstock.log.tables.db import Statements
from penstock.log.tables.output_window import Window

#: The tables that a log is made of, but for that of its facts, and an order of each that no engine
#: sees otherwise.
ORDERS = {
    "runs": "key",
    "specs": "key",
    "prerequisites": "prerequisite, run",
    "asks": "run, name",
    "tombstones": "run_id",
    "pauses": "name",
    "windows": "run",
    "callers": "run",
    "plans": "run",
    "slots": "name",
}
#: Those that hold environments, which no export has.
SECRET_ORDERS = {"environments": "key", "schedules": "name"}


class WholeLog(Statements, Protocol):
    """One moment of a log, whatever is written meanwhile. Rows are streamed, however many there are."""

    def version(self) -> int:
        """The version of its tables, as exports have it: that of the file of SQLite which has the same."""
        ...

    def meta(self) -> dict[str, Any]:
        """What the log says of itself: `epoch`, `head`, `floor`, and `log` if its epoch has changed.

        LogDamaged if one is missing.
        """
        ...

    def tables(self) -> Collection[str]:
        """The tables it has; an older log has fewer."""
        ...

    def rows(self, table: str, order: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
        """The names of a table's columns, and its rows."""
        ...

    def events(self) -> Iterator[tuple[Any, ...]]:
        """Rows as SELECT_EVENTS has them, by position."""
        ...

    def runs(self) -> Iterator[tuple[Any, ...]]:
        """Rows as SELECT_RUNS has them, by key."""
        ...

    def heads(self) -> Iterator[tuple[Any, ...]]:
        """Rows as SELECT_HEADS has them."""
        ...

    def windows(self) -> dict[str, Window]:
        """The windows over what runs printed, by the ids of their runs."""
        ...

    def own_check(self) -> list[str]:
        """What the engine itself finds amiss, a line each. An error of it if a table is missing."""
        ...

    def damage_of(self, error: Exception) -> str | None:
        """The engine's word if an error says that something was found which cannot have been written."""
        ...


class FillableLog(WholeLog, Protocol):
    """A log within the transaction that fills it."""

    def set_meta(self, name: str, value: Any) -> None:
        """Have the log say something else of itself."""
        ...

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; none if there is no such table."""
        ...

    def insert(
        self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Add rows, as many as there are. What no column takes is one of REFUSALS, or an error of `refuses`."""
        ...

    def odd_value(self, table: str) -> str | None:
        """A value that is not of its column's type, in words; None: there is none."""
        ...

    def refuses(self, error: Exception) -> bool:
        """Whether the engine says that it was given what no such table can hold."""
        ...
