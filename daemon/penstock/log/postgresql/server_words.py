"""What a server says, in one line, with what is to be done about it where that is known."""

from __future__ import annotations

import psycopg

from penstock.log.postgresql.sqlstates import POOLER, SLOTS, Meaning, row_of

# By what a connection that was not made is told: such errors have no code.
_PASSWORD = (
    "its password stands in a service file, or in ~/.pgpass, which nobody else may read, as"
    " HOST:PORT:DATABASE:USER:PASSWORD"
)
_SIGNER = (
    "`sslrootcert=FILE` in the address names the certificate of who signed the server's"
)
_BY_WORDS = {
    "password authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    "unsupported startup parameter": POOLER,
    # The newest of those that a session begins with.
    'unrecognized configuration parameter "tcp_user_timeout"': (
        "the server is older than PostgreSQL 12, which is needed"
    ),
    "certificate verify failed": _SIGNER,
    "root certificate file": _SIGNER,
    "does not support SSL": "turn TLS on there, or say `sslmode=disable` where nobody else can listen",
    "does not match host name": (
        "name the server as its certificate does; `hostaddr=…` says where it is"
    ),
    "not permitted to log in": "`ALTER ROLE … LOGIN`",
    "no pg_hba.conf entry": "the server's pg_hba.conf lets nobody in like this",
    "too many clients": SLOTS,
    "connection slots": SLOTS,
    '" does not exist': "make the database: `createdb`; or the user: `createuser`",
}


def meaning_of(error: psycopg.Error) -> Meaning:
    """What is to be made of an error, whether the server said it or the library."""
    if error.sqlstate is not None:
        return row_of(error.sqlstate).meaning
    if isinstance(error, psycopg.DataError):
        return Meaning.REFUSED
    lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return Meaning.SESSION if lost else Meaning.UNKNOWN


def tell(error: psycopg.Error) -> str:
    """The sentence of an error, which names no password: libpq tells none.

    Without what a server adds to it: there it tells rows as they are.
    """
    words = error.diag.message_primary or str(error)
    said = " ".join(words.split()) or type(error).__name__
    code = error.sqlstate
    if code is None:
        found = (advice for words, advice in _BY_WORDS.items() if words in said)
        advice = next(found, "")
        return f"{said} ({advice})" if advice else said
    advice = row_of(code).advice
    return f"{said} ({code}: {advice})" if advice else f"{said} ({code})"
