"""This command's own standard input, as far as a run's program gets it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from penstock.client.sync import SyncClient
from penstock.descriptors import read_some
from penstock.words.errors import (
    Conflict,
    DaemonUnreachable,
    PenstockError,
    Terminal,
)

STDIN = 0
#: Bytes of one read: the capacity of a pipe.
PIECE_BYTES = 64 * 1024


def is_piped() -> bool:
    """Whether standard input has something to give: a pipe or a file, no terminal and not /dev/null."""
    try:
        found = os.fstat(STDIN)
        null = os.stat(os.devnull)
    except OSError:  # it is closed
        return False
    nothing = stat.S_ISCHR(found.st_mode) and found.st_rdev == null.st_rdev
    return not nothing and not os.isatty(STDIN)


def read_pieces() -> Iterator[bytes]:
    """Standard input, read no faster than it is wanted; closed to us, it is empty."""
    while piece := read_some(STDIN, PIECE_BYTES):
        yield piece


def forward(client: SyncClient, run_id: str, tell: Callable[[str], None]) -> None:
    """Send standard input to the run's program, and its end; what the program leaves is left.

    `tell` is given what went wrong, if nobody else tells it.
    """
    try:
        client.send_stdin(run_id, read_pieces(), eof=True)
    except (Terminal, DaemonUnreachable):
        # Who follows the run tells its end, and how the daemon fares.
        return
    except Conflict as error:
        tell(f"{run_id} gets no input from here: {error}")
        if "box" in error.facts:
            # It would wait for ever for what nobody can send it, its end included.
            with suppress(PenstockError):
                client.cancel(run_id, "what is piped in here does not reach its box")
    except PenstockError as error:
        tell(f"{run_id} gets no input from here: {error}")
