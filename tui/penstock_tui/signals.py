"""Signals that end the dashboard as its own key does, so that the terminal is restored."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

#: A TERM, or a closed terminal.
QUIT_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def on_quit_signals(act: Callable[[], None] | None) -> None:
    """Do this when told to end; None: what a signal does by itself again."""
    loop = asyncio.get_running_loop()
    for number in QUIT_SIGNALS:
        try:
            if act is None:
                loop.remove_signal_handler(number)
            else:
                loop.add_signal_handler(number, act)
        except (RuntimeError, ValueError):
            return  # not in the main thread: a test, or a server of terminals
