"""What a server says, in one line, with what is to be done about it where that is known."""

from __future__ import annotations

import psycopg

# By what a connection that was not made is told: such errors have no code.
_PASSWORD = (
    "its password stands in a service file, or in ~/.pgpass, which nobody else may read, as"
    " HOST:PORT:DATABASE:USER:PASSWORD"
)
_POOLER = "if that is pgbouncer: name the server itself, since a log needs sessions of its own"
_SIGNER = (
    "`sslrootcert=FILE` in the address names the certificate of who signed the server's"
)
_BY_WORDS = {
    "password authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    "unsupported startup parameter": _POOLER,
    "certificate verify failed": _SIGNER,
    "root certificate file": _SIGNER,
    "does not support SSL": "turn TLS on there, or say `sslmode=disable` where nobody else can listen",
    "does not match host name": (
        "name the server as its certificate does; `hostaddr=…` says where it is"
    ),
    "not permitted to log in": "`ALTER ROLE … LOGIN`",
    "no pg_hba.conf entry": "the server's pg_hba.conf lets nobody in like this",
    "too many clients": "a daemon has six connections: raise max_connections",
    "connection slots": "a daemon has six connections: raise max_connections",
    '" does not exist': "make the database: `createdb`; or the user: `createuser`",
}
# By the code of what a server answers.
_BY_CODE = {
    "42501": "the user must own the schema, or may `CREATE` in the database where there is none yet",
    "55P03": "another session is in it: a move, an import, or somebody's open transaction",
    "42P01": "if nobody can say where it went, put the database back from a backup",
    "42P05": _POOLER,
    "26000": _POOLER,
    "53100": "make room on the server's disk; until then nothing is taken in",
    "25006": "name the primary, or several hosts with `target_session_attrs=read-write`",
}


def tell(error: psycopg.Error) -> str:
    """The sentence of an error, which names no password: libpq tells none."""
    said = " ".join(str(error).split()) or type(error).__name__
    code = error.sqlstate
    found = (advice for words, advice in _BY_WORDS.items() if words in said)
    advice = next(found, "") if code is None else _BY_CODE.get(code, "")
    return f"{said} ({advice})" if advice else said
