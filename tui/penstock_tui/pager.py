"""The user's own pager, in the terminal that the dashboard leaves to it meanwhile."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

#: Where `PAGER` names none: it shows colours, and leaves the terminal as it was.
DEFAULT_PAGER = ("less", "-R")


def show_in_pager(text: bytes) -> str:
    """Have it shown, until the pager ends: what kept it from that, in words, or "".

    It raises nothing: Textual takes the terminal back only from what has ended well.
    """
    try:
        words = shlex.split(os.environ.get("PAGER", "")) or [*DEFAULT_PAGER]
        with _ctrl_c_left_alone():
            subprocess.run(words, input=text, check=False)
    except (OSError, ValueError) as error:
        return f"PAGER: {error}"
    return ""


@contextmanager
def _ctrl_c_left_alone() -> Iterator[None]:
    """In a pager it ends a search; its terminal tells us too. What is started has it as by default."""
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
