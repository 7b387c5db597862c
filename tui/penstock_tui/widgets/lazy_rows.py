"""The rows and columns of a table: a row is made when it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

#: What the keys of headings begin with; no id of a run does.
HEADING = "\N{NULL}"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """`width` 0 shares what is left; `wanted_from` is the table width from which it is shown.

    `only_if_any`: not while no row has anything for it.
    """

    title: str
    width: int
    wanted_from: int = 0
    right: bool = False
    toned: bool = False
    only_if_any: bool = False


class Row(NamedTuple):
    """One line: cells are harmless text, `tone` colours the toned columns."""

    key: str
    cells: tuple[str, ...]
    tone: str = ""
    #: It tells what follows, in its only cell, and the cursor passes it by.
    heading: bool = False


class LazyRows(Sequence[Row]):
    """Rows that are made when they are looked at, and kept as they were then."""

    def __init__(self, keys: Sequence[str], make: Callable[[str], Row]) -> None:
        self.keys = keys
        self._make = make
        self._made: dict[int, Row] = {}

    @classmethod
    def of(cls, rows: Sequence[Row]) -> LazyRows:
        """Rows that are there already."""
        by_key = {row.key: row for row in rows}
        return cls(tuple(by_key), by_key.__getitem__)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self._made.get(index)
        if row is None:
            row = self._made[index] = self._make(self.keys[index])
        return row

    def as_drawn(self, index: int) -> Row | None:
        """The row as it was when it was looked at; None if it never was."""
        return self._made.get(index)
