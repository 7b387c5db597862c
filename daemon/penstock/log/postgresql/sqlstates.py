"""What each code of a server (SQLSTATE) means for a log: one of few things, and what is to be done about it.

A code that is not listed means what its class does (its first two characters), and one of a class that is not
listed either is waited for: a server may always say what nobody foresaw, and nothing is lost meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple


class Meaning(Enum):
    """What a daemon makes of a code. But for the last three it waits, within its lease, and tells what for."""

    #: The session is over, or is not what it was: another one is made.
    SESSION = auto()
    #: The server is busy, or full, or somebody stopped the statement.
    BUSY = auto()
    #: A right is missing, or something was set up that does not let us do this: somebody must see to it.
    SET_UP = auto()
    #: Nobody has said what it means.
    UNKNOWN = auto()
    #: What was given is taken never: the write is refused, and whoever asked for it is told.
    REFUSED = auto()
    #: A table, a column or the schema is not there, if this user may look: the log is another, or none.
    MISSING = auto()
    #: What the server has is damaged.
    DAMAGED = auto()


class SqlState(NamedTuple):
    """The meaning of a code or a class, and for people what to do; "" where the server says it all."""

    meaning: Meaning
    advice: str = ""


#: For whoever meets a pooler: sessions must be a daemon's own.
POOLER = "if that is pgbouncer: name the server itself, since a log needs sessions of its own"
_THEIRS = (
    "a trigger, rule, policy or function of somebody's is on the tables of the log: take it away,"
    " or have it let the daemon's user pass"
)
_CONSTRAINT = "somebody's constraint is on the tables of the log, or it holds what it should not: `penstock audit`"
_RIGHTS = "see to the rights and memberships of the daemon's user"
_STATEMENT = "the server does not know such a statement: is it a PostgreSQL, and are all tables as they were?"
_OWNER = "the user must own the schema, or may `CREATE` in the database where there is none yet"
_TURN = "another session is in it: a move, an import, or somebody's open transaction"
_GONE = "if nobody can say where it went, put the database back from a backup"
_ROOM = "make room on the server's disk; until then nothing is taken in"
_PRIMARY = "name the primary, or several hosts with `target_session_attrs=read-write`"
#: For whoever finds no place left.
SLOTS = "a daemon has six connections: raise max_connections"

#: By code, or by class: the first two characters of a code.
MEANINGS: Mapping[str, SqlState] = {
    "08": SqlState(Meaning.SESSION),
    "09": SqlState(Meaning.SET_UP, _THEIRS),
    # That a plan's result has changed is said so too: tables were altered under a session.
    "0A": SqlState(Meaning.SESSION, _STATEMENT),
    "0B": SqlState(Meaning.SESSION),
    "0L": SqlState(Meaning.SET_UP, _RIGHTS),
    "0P": SqlState(Meaning.SET_UP, _RIGHTS),
    "20": SqlState(Meaning.SET_UP, _THEIRS),
    "21": SqlState(Meaning.SET_UP, _THEIRS),
    "22": SqlState(Meaning.REFUSED),
    "23": SqlState(Meaning.REFUSED, _CONSTRAINT),
    "24": SqlState(Meaning.SESSION),
    "25": SqlState(Meaning.SESSION),
    "25006": SqlState(Meaning.SET_UP, _PRIMARY),
    "26": SqlState(Meaning.SESSION, POOLER),
    "27": SqlState(Meaning.SET_UP, _THEIRS),
    "28": SqlState(Meaning.SET_UP, _RIGHTS),
    "2B": SqlState(Meaning.SET_UP, _RIGHTS),
    "2D": SqlState(Meaning.SESSION),
    "2F": SqlState(Meaning.SET_UP, _THEIRS),
    "34": SqlState(Meaning.SESSION, POOLER),
    "38": SqlState(Meaning.SET_UP, _THEIRS),
    "39": SqlState(Meaning.SET_UP, _THEIRS),
    "3B": SqlState(Meaning.SESSION),
    "3D": SqlState(Meaning.SET_UP),
    "3F": SqlState(Meaning.MISSING, _GONE),
    "40": SqlState(Meaning.BUSY),
    "40003": SqlState(Meaning.SESSION),
    "42": SqlState(Meaning.SET_UP, _STATEMENT),
    "42501": SqlState(Meaning.SET_UP, _OWNER),
    "42703": SqlState(Meaning.MISSING, _GONE),
    "42P01": SqlState(Meaning.MISSING, _GONE),
    "42P03": SqlState(Meaning.SESSION, POOLER),
    "42P05": SqlState(Meaning.SESSION, POOLER),
    "44": SqlState(Meaning.REFUSED, _CONSTRAINT),
    "53": SqlState(Meaning.BUSY),
    "53100": SqlState(Meaning.BUSY, _ROOM),
    "53300": SqlState(Meaning.BUSY, SLOTS),
    "54": SqlState(Meaning.REFUSED),
    "55": SqlState(Meaning.BUSY),
    "55P03": SqlState(Meaning.BUSY, _TURN),
    "57": SqlState(Meaning.SESSION),
    "57014": SqlState(Meaning.BUSY),
    "58": SqlState(Meaning.BUSY, "see to the server's disk and its own log"),
    "72": SqlState(Meaning.BUSY),
    "F0": SqlState(
        Meaning.SET_UP, "see to the server's files of settings, and its own log"
    ),
    "HV": SqlState(Meaning.SET_UP, _THEIRS),
    "P0": SqlState(Meaning.SET_UP, _THEIRS),
    "XX001": SqlState(Meaning.DAMAGED),
    "XX002": SqlState(Meaning.DAMAGED),
}
_UNKNOWN = SqlState(Meaning.UNKNOWN)
#: Codes after which a commit may have been done all the same; so may one that got no code.
_UNSURE = ("08", "40003", "57P")


def row_of(code: str) -> SqlState:
    """What a code means: its own line, or its class's, or that nobody knows."""
    return MEANINGS.get(code) or MEANINGS.get(code[:2]) or _UNKNOWN


def leaves_unsure(code: str | None) -> bool:
    """Whether a COMMIT that was answered so may have been done."""
    return code is None or code.startswith(_UNSURE)
