"""Many rows by one statement: each of its parameters is an array, the column of all of them.

A statement for each row has the server begin and end it so often, and the library wait for as many answers;
in arrays a hundred facts are half of that work. Arrays are put together here, since the library looks at
each element by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from penstock.log.tables.rows import INSERT_EVENT

#: Rows from which on that is less work.
MANY = 16


class NumberColumn(NamedTuple):
    """A column of numbers, none of which is missing."""

    values: tuple[int, ...]


class BinaryColumn(NamedTuple):
    """A column of bytes, or None."""

    values: tuple[bytes | None, ...]


class TextColumn(NamedTuple):
    """A column of texts."""

    values: tuple[str, ...]


Column = type[NumberColumn] | type[BinaryColumn] | type[TextColumn]
_NAMES: Mapping[Column, str] = {
    NumberColumn: "int8",
    BinaryColumn: "bytea",
    TextColumn: "text",
}
#: Statements that may be sent so, and what their columns hold.
TYPES_OF: Mapping[str, tuple[Column, ...]] = {
    INSERT_EVENT: (
        NumberColumn, NumberColumn, NumberColumn, BinaryColumn, NumberColumn, TextColumn,
        TextColumn, BinaryColumn, NumberColumn, BinaryColumn, NumberColumn,
    )
}  # fmt: skip

# How an array begins on the wire: dimensions, whether it has NULLs, what its elements are; then the
# number of elements, and that of the first. Before each stands its length, which is -1 for a NULL.
_HEAD = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)
_INT8, _BYTEA, _TEXT = 20, 17, 25


class _NumberDumper(Dumper):
    format, oid = Format.BINARY, 1016

    def dump(self, obj: Any) -> bytes:
        count = len(obj.values)
        flat = [8] * (2 * count)
        flat[1::2] = obj.values
        head = _HEAD.pack(1, 0, _INT8, count, 1)
        return head + struct.pack(">" + "iq" * count, *flat)


def _array(kind: int, values: Sequence[bytes | None]) -> bytes:
    parts = [_HEAD.pack(1, 1, kind, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts += (_LENGTH(len(value)), value)
    return b"".join(parts)


class _BinaryDumper(Dumper):
    format, oid = Format.BINARY, 1001

    def dump(self, obj: Any) -> bytes:
        return _array(_BYTEA, obj.values)


class _TextDumper(Dumper):
    format, oid = Format.BINARY, 1009

    def dump(self, obj: Any) -> bytes:
        # As any text of ours: PostgreSQL takes no NUL in one.
        return _array(
            _TEXT, [value.replace("\0", "\ufffd").encode() for value in obj.values]
        )


def register_columns(made: psycopg.Connection[Any]) -> None:
    """Have a connection take such columns."""
    for column, dumper in (
        (NumberColumn, _NumberDumper),
        (BinaryColumn, _BinaryDumper),
        (TextColumn, _TextDumper),
    ):
        made.adapters.register_dumper(column, dumper)


@cache
def by_columns(sql: str, types: tuple[Column, ...]) -> bytes:
    """An `INSERT INTO … VALUES (?, …)` that takes columns."""
    into, _, _ = sql.partition(" VALUES ")
    given = [f"${n}::{_NAMES[type_]}[]" for n, type_ in enumerate(types, 1)]
    return f"{into} SELECT * FROM unnest({', '.join(given)})".encode()


def columns_of(rows: Sequence[Sequence[Any]], types: Sequence[Column]) -> list[Any]:
    """The parameters for these rows."""
    columns = zip(*rows, strict=True)
    return [type_(values) for type_, values in zip(types, columns, strict=True)]
