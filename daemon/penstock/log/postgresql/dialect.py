"""The common text of statements, as PostgreSQL spells it.

What is left out are hints, by which SQLite is told a plan: which index to use, and in which order to
join. What is spelled otherwise are parameters, lists and objects that come as JSON, and a join that a
comment says to make row by row.
"""

from __future__ import annotations

import re
from functools import cache

#: Microseconds by the server's clock, by which all leases are judged.
NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

_INDEX = re.compile(r" INDEXED BY \w+")
_OUTER = re.compile(r"CROSS JOIN (\w+ ON )")
# Where a few rows are wanted that the server takes for many, it reads a table whole to join it: its guess of
# facts between two positions is a share of all. Limited, the row of each is found by the key.
_EACH = re.compile(r"LEFT JOIN (\w+) ON (\1\.key = \w+\.\w+) /\* one by one \*/")
_LIST = re.compile(r"json_each\(\?\)")
_OBJECT = re.compile(r"json_each\((\w+)\)")


@cache
def translate(sql: str) -> bytes:
    """One statement: `?` → `$1`, `$2` …; no text of ours has a question mark in quotes."""
    text = _OUTER.sub(r"JOIN \1", _INDEX.sub("", sql))
    each = r"LEFT JOIN LATERAL (SELECT * FROM \1 WHERE \2 LIMIT 1) AS \1 ON TRUE"
    text = _EACH.sub(each, text)
    text = _LIST.sub("json_array_elements_text(?::json)", text)
    text = _OBJECT.sub(r"json_each_text(\1::json)", text)
    first, *others = text.split("?")
    return (first + "".join(f"${n}{part}" for n, part in enumerate(others, 1))).encode()


def within_bytes(sql: str) -> str:
    """The rows of a statement up to so many bytes of their bodies, but always the first.

    The sum is made where the rows are: they are not sent to be counted. Its parameter is the last.
    """
    return (
        "SELECT position, run_id, sequence, event_id, at, clock, causation, code_version, type,"
        " body, run, checksum FROM (SELECT page.*, sum(octet_length(body)) OVER (ORDER BY position)"
        f" AS used FROM ({sql}) AS page) AS counted"
        " WHERE used <= ? OR used = octet_length(body) ORDER BY position"
    )
