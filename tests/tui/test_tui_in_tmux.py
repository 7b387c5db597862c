"""TU-04: the dashboard as people have it, in a terminal of 256 colours that changes its size."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.tmux import PATIENCE, TmuxWindow
from fakes.tui_processes import DaemonProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here"),
]

#: Navy, which dark greys must not become.
NAVY = re.compile(r"[34]8;5;1[78]m")


class Window(TmuxWindow):
    """A dashboard in a tmux of its own."""

    def __init__(self, folder: Path, daemon: DaemonProcess, pager: str) -> None:
        command = (
            f"env -u COLORTERM PAGER={shlex.quote(pager)}"
            f" TERM=screen-256color {sys.executable}"
            f" -m penstock_tui.main --url {daemon.address.base}; echo left with $?; cat"
        )
        super().__init__(folder, command, 40, 120)

    def shows(self, *texts: str, last: str = "") -> list[str]:
        """Wait until all of them stand there, and the last line begins so: the lines of the screen."""
        give_up = time.monotonic() + PATIENCE
        while True:
            seen = self.screen()
            lines = seen.splitlines() or [""]
            if all(text in seen for text in texts) and lines[-1].startswith(last):
                return lines
            assert time.monotonic() < give_up, f"{texts} are not in\n{seen}"
            time.sleep(0.05)


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """One that says when it has shown all, and waits for a line."""
    script = tmp_path / "pager"
    script.write_text("cat\necho 'that was all'\nhead -1 </dev/tty\n")
    return f"sh {script}"


@pytest.fixture
def window(tmp_path: Path, busy: DaemonProcess, pager: str) -> Iterator[Window]:
    window = Window(tmp_path, busy, pager)
    try:
        yield window
    finally:
        window.close()


def test_every_size_shows_what_runs_and_how_to_quit(window: Window) -> None:
    """TU-04: from a large screen to a phone's."""
    for width, height in ((200, 50), (120, 40), (80, 24), (60, 16), (46, 30)):
        window.resize(height, width)
        told = ("5/5 running", "NEEDS YOU", "RUNNING", "q Quit")
        assert len(window.shows(*told, last="⏎ Open")) == height
    # The colours are those of the palette; a dark grey is a grey.
    drawn = window.do("capture-pane", "-p", "-e")
    assert "8;5;" in drawn
    assert "8;2;" not in drawn
    assert not NAVY.search(drawn)
    window.press("q")
    window.shows("left with 0")


@pytest.mark.parametrize("leave", ["Enter", "C-c"])
def test_the_output_of_a_run_in_the_users_own_pager_and_back(
    window: Window, leave: str
) -> None:
    """TU-03: Ctrl-C is the pager's."""
    window.shows("RUNNING")
    window.press("Enter")
    window.shows("Details")
    window.press("|")
    window.shows("that was all")
    window.press(leave)
    window.shows("Details")
    window.press("q")
    window.shows("left with 0")


@pytest.mark.parametrize(
    ("pager", "why"),
    [("no-such-pager", "No such file"), ("less '", "No closing quotation")],
)
def test_of_a_pager_that_cannot_be_started_is_told_why(
    window: Window, why: str
) -> None:
    """TU-03: and the dashboard goes on."""
    window.shows("RUNNING")
    window.press("Enter")
    window.shows("Details")
    window.press("|")
    window.shows("Details", why)
    window.press("q")
    window.shows("left with 0")
