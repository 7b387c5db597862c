"""What a program shows on a terminal, read until it is over; a program that goes on is a failure and no hang."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable

#: Seconds for a program on a terminal, and all that holds it.
PATIENCE = 60


def read_terminal(
    ours: int,
    process: subprocess.Popen[bytes],
    on_news: Callable[[bytes], object] = lambda _sent: None,
    patience: float = PATIENCE,
) -> bytes:
    """All that is sent until nobody holds the other end any more; `ours` is closed then.

    `on_news` gets what was sent so far, each time that there is more. AssertionError after `patience`
    seconds, and the program is killed.
    """
    sent, give_up = b"", time.monotonic() + patience
    try:
        while select.select([ours], [], [], max(0.0, give_up - time.monotonic()))[0]:
            try:
                sent += os.read(ours, 65536)
            except OSError:
                return sent
            on_news(sent)
    finally:
        os.close(ours)
    process.kill()
    process.wait(PATIENCE)
    raise AssertionError(f"it goes on: {sent!r}")
