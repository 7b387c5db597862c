"""A tmux of its own with one window, in which something runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: Seconds until something must be on the screen; a loaded box may take its time.
PATIENCE = 60.0


class TmuxWindow:
    """Made with what runs in it; `close` ends that."""

    def __init__(self, folder: Path, command: str, rows: int, cols: int) -> None:
        self._words = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        size = ("-x", str(cols), "-y", str(rows))
        self.do("new-session", "-d", *size, command, ";", "set", "-g", "status", "off")
        self.resize(rows, cols)

    def do(self, *words: str) -> str:
        """What tmux says to a command of its own."""
        done = subprocess.run(
            [*self._words, *words],
            # Ours as Python has it: readline, which pytest loads, sets LINES and COLUMNS behind it.
            env=dict(os.environ),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
            text=True,
        )
        return done.stdout

    def close(self) -> None:
        """End the shell and what runs on it, as a closed window does."""
        self.do("kill-server")

    def resize(self, rows: int, cols: int) -> None:
        self.do("resize-window", "-x", str(cols), "-y", str(rows))

    def press(self, *keys: str) -> None:
        self.do("send-keys", *keys)

    def screen(self) -> str:
        """What is seen."""
        return self.do("capture-pane", "-p")
