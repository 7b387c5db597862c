"""A log in a PostgreSQL as the first release that could keep one there left it."""

from __future__ import annotations

from pathlib import Path

from fakes.postgres import PostgresServer

#: Its tables and rows, in the schema `first`; see there.
DUMP = Path(__file__).with_suffix(".sql")
#: The box and the machine it was on, and the version of its tables.
BOX, VERSION = "here", 1


def make_first_schema(server: PostgresServer) -> str:
    """Put such a log into a schema of its own, whose name is given."""
    schema = server.new_schema()
    text = DUMP.read_text(encoding="utf-8")
    text = text.replace("first.", f"{schema}.")
    server.ask(text.replace("CREATE SCHEMA first;", f"CREATE SCHEMA {schema};"))
    return schema
