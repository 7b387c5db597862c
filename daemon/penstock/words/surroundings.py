"""What a run's programs find around them: the environment, umask and folder of who asked for it.

An environment travels and is kept as the kernel has it, `NAME=VALUE` and a NUL for each: its values
need be no text, and no name can hold what would end it. It may hold every secret of its user, so it
is no part of what a run is, and is shown nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.words.errors import Refused, TooLarge

#: What a build expects to find as its user has it. Anything else may be a secret and is named.
PASSED_ON = frozenset({
    "PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TERM", "VIRTUAL_ENV", "SSH_AUTH_SOCK",
})  # fmt: skip
PASSED_ON_PREFIX = "LC_"

#: Beginning of the names that are ours: another daemon's settings, its token, another run's id.
OURS = "PENSTOCK_"

#: Where a message of MCP that starts a run says what `POST /runs` calls `caller`.
CALLER_IN_META = "penstock/caller"

#: Names that a refusal lists, the largest values first.
_MOST_NAMED = 3


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The values that may be passed on."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIX)
    }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Those of a caller. `environ` is None where the log does not hold it: it came from an export."""

    environ: bytes | None = field(repr=False)
    umask: int | None = None
    #: The folder of a run whose inputs name none; kept with them, and not here.
    cwd: str | None = None


def pack_environ(environ: Mapping[str, str]) -> bytes:
    """The environment as the kernel has it; values that are no text are the bytes they were."""
    return b"".join(
        os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items()
    )


def unpack_environ(packed: bytes) -> dict[str, str]:
    """The environment as `os.environ` would have it. Refused for a variable without a name."""
    environ = {}
    for piece in packed.split(b"\0"):
        name, equals, value = piece.partition(b"=")
        if name and equals:
            environ[os.fsdecode(name)] = os.fsdecode(value)
        elif piece:
            raise Refused("caller.environ", "a variable has no name")
    return environ


def check_environment(packed: bytes, *, listed: bool, limit: int) -> bytes:
    """What is kept of a caller's environment: nothing that is ours, and if `listed` a few names only.

    Refused for a variable without a name, TooLarge above `limit` bytes with the largest ones.
    """
    environ = {
        name: value
        for name, value in unpack_environ(packed).items()
        if not name.startswith(OURS)
    }
    if listed:
        environ = passed_on(environ)
    kept = pack_environ(environ)
    if len(kept) <= limit:
        return kept
    sizes = {name: len(os.fsencode(value)) for name, value in environ.items()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_MOST_NAMED]
    told = ", ".join(f"{name!r} ({sizes[name]} bytes)" for name in largest)
    raise TooLarge(
        "caller.environ",
        f"the environment has {len(kept)} bytes; max_environment_bytes is {limit}; the largest"
        f' variables: {told}; unset one, or set env = "listed"',
        limit=limit,
    )
