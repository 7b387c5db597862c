"""What a log in PostgreSQL needs beside the base; imports nothing of it."""

from __future__ import annotations

from penstock.words.errors import StartRefused


def require_psycopg() -> None:
    """StartRefused without the extra that speaks to a PostgreSQL."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise StartRefused(
            f"the log is in a PostgreSQL, and psycopg cannot be used ({error}); install"
            " `penstock[postgresql]`"
        ) from None
