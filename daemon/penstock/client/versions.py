"""What a client says of a daemon of another version; both go on, as far as they understand each other.

The daemon names itself in a header of each answer and in the greeting of each stream, so this costs no
request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.words.errors import PenstockError, Refused
from penstock.words.version_order import compare

#: How the daemon names itself in the `Server` header.
PRODUCT = "penstock/"
#: Letters of a version that are shown: what answers may be anybody.
MOST_LETTERS = 40
#: Fields of a submit that this command fills in by itself and older daemons refuse, and what stands
#: below them; and how daemons say that they do not know one.
_NEWER: Mapping[str, frozenset[str]] = {
    "caller": frozenset({"", "environ", "umask", "cwd"}),
    "inputs": frozenset({"stdin", "stderr", "tty"}),
}
_NOT_KNOWN = ("unknown field", "Extra inputs are not permitted")


def version_in(server: str | None) -> str | None:
    """The version in a `Server` header; None if it names no daemon of ours."""
    if server is None or not server.startswith(PRODUCT):
        return None
    return server.removeprefix(PRODUCT)[:MOST_LETTERS]


def tell_difference(daemon: str, own: str, restart: str) -> str:
    """One sentence on a daemon of another version, and what to do; empty for the same one.

    `restart` is how this daemon is started anew.
    """
    match compare(daemon, own):
        case "older":
            return f"daemon {daemon} is older than this penstock {own}: restart it with {restart}"
        case "newer":
            return f"daemon {daemon} is newer than this penstock {own}: install its version here too"
        case "other":
            return f"daemon {daemon} and this penstock {own} differ: restart it with {restart}"
    return ""


def not_known(error: PenstockError, sent: Any) -> Refused | None:
    """What to raise where a daemon refuses a field that we sent as one that it does not know.

    Only another version does so; None for any other error, and for a field of somebody else's.
    """
    if not isinstance(error, Refused) or not isinstance(sent, Mapping):
        return None
    first, _, rest = error.field.partition(".")
    if first not in _NEWER or not any(words in str(error) for words in _NOT_KNOWN):
        return None
    if rest.split(".")[0] not in _NEWER[first]:
        return None
    why = (
        f"the daemon does not know {error.field!r}, which this penstock sends: it is of another"
        " version; restart it"
    )
    return Refused(error.field, why)
