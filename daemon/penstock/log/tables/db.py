"""The seam between what is decided about a log and the engine that keeps it.

Handlers, transaction and rows are written once, in one text of SQL that each engine takes: `?` for a
value, `ON CONFLICT`, and what SQLite alone knows (the index to use, `CROSS JOIN` for an order,
`json_each`) only in the forms that another engine can leave out or spell its own way, see
`postgresql/dialect`. Whatever else engines do not share is a method here.

A statement costs a round trip where the engine is elsewhere, so what is called here is counted: a commit
has as many statements for one decision as for a hundred, see `transaction`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """What a query found."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Statements(Protocol):
    """What takes statements: a connection, whoever it belongs to."""

    def execute(self, sql: str, values: Any = (), /) -> Rows:
        """One statement; every value is a parameter."""
        ...


class Db(Statements, Protocol):
    """The one writing connection; a transaction lies between `lock` and `save`."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """One statement for each of these rows, sent in one go, at the latest before the next statement."""
        ...

    #: Whether runs may be claimed in this turn; never asked outside of one.
    may_claim: bool

    def lock(self) -> bool:
        """Begin, as the one writer: nobody else writes until `save`.

        Whether the tables are as this connection left them; if not, what was remembered of them is
        to be forgotten.
        """
        ...

    @property
    def untold(self) -> bool:
        """Whether others changed something, since this connection looked, of which their facts say nothing."""
        ...

    def mark_untold(self) -> None:
        """Have others told so, with the commit."""
        ...

    def save(self) -> None:
        """Commit: durable when it returns."""
        ...

    def meta(self, name: str) -> Any:
        """What the log says of itself: `epoch`, `head`, `floor`, `numbered`."""
        ...

    def set_meta(self, name: str, value: int) -> None:
        """Have it say something else, with the commit."""
        ...

    def clock(self) -> int:
        """Microseconds since 1970 by the clock that leases are judged by."""
        ...

    def used_bytes(self) -> int:
        """Bytes the log takes, without what is free for use again."""
        ...

    def tells_of_damage(self, error: Exception) -> bool:
        """Whether an error says that something was found which cannot have been written."""
        ...
