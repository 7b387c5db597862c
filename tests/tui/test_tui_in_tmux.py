"""TU-04: the dashboard as people have it, in a terminal of 256 colours that changes its size."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.tui_processes import DaemonProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here"),
]

#: Seconds for something to be seen.
PATIENCE = 30.0
#: Navy, which dark greys must not become.
NAVY = re.compile(r"[34]8;5;1[78]m")


class Window:
    """A dashboard in a tmux of its own."""

    def __init__(self, folder: Path, daemon: DaemonProcess) -> None:
        self._words = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        pager = folder / "pager"
        pager.write_text("cat\necho 'that was all'\nhead -1 </dev/tty\n")
        command = (
            f"env -u COLORTERM PAGER='sh {pager}'"
            f" TERM=screen-256color {sys.executable}"
            f" -m penstock_tui.main --url {daemon.address.base}; echo left with $?; cat"
        )
        self.do("new-session", "-d", "-x", "120", "-y", "40", command)
        self.do("set", "-g", "status", "off")

    def do(self, *words: str) -> str:
        done = subprocess.run(
            [*self._words, *words],
            env=dict(os.environ),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
            text=True,
        )
        return done.stdout

    def shows(self, *texts: str, last: str = "") -> list[str]:
        """Wait until all of them stand there, and the last line begins so: the lines of the screen."""
        give_up = time.monotonic() + PATIENCE
        while True:
            seen = self.do("capture-pane", "-p")
            lines = seen.splitlines() or [""]
            if all(text in seen for text in texts) and lines[-1].startswith(last):
                return lines
            assert time.monotonic() < give_up, f"{texts} are not in\n{seen}"
            time.sleep(0.05)


@pytest.fixture
def window(tmp_path: Path, busy: DaemonProcess) -> Iterator[Window]:
    window = Window(tmp_path, busy)
    try:
        yield window
    finally:
        window.do("kill-server")


def test_every_size_shows_what_runs_and_how_to_quit(window: Window) -> None:
    """TU-04: from a large screen to a phone's."""
    for width, height in ((200, 50), (120, 40), (80, 24), (60, 16), (46, 30)):
        window.do("resize-window", "-x", str(width), "-y", str(height))
        told = ("5/5 running", "NEEDS YOU", "RUNNING", "q Quit")
        assert len(window.shows(*told, last="⏎ Open")) == height
    # The colours are those of the palette; a dark grey is a grey.
    drawn = window.do("capture-pane", "-p", "-e")
    assert "8;5;" in drawn
    assert "8;2;" not in drawn
    assert not NAVY.search(drawn)
    # The output of a run in the user's own pager, and back.
    window.do("resize-window", "-x", "120", "-y", "40")
    window.do("send-keys", "Enter")
    window.shows("Details")
    window.do("send-keys", "|")
    window.shows("that was all")
    window.do("send-keys", "Enter")
    window.shows("Details")
    window.do("send-keys", "q")
    window.shows("left with 0")
