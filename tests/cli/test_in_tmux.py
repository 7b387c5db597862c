"""PT-05: `penstock run --tty` by hand, in a terminal as people have one: a shell in tmux."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon
from fakes.tmux import PATIENCE, TmuxWindow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here"),
]

ROWS, COLS = 30, 100
RCFILE = f"""
PS1='outer $?> '
python={sys.executable}
penstock() {{ "$python" -m penstock.cli.main "$@"; }}
before=$(stty -g)
restored() {{ [ "$(stty -g)" = "$before" ] && echo is as it was || echo is otherwise; }}
"""
INNER = "penstock run --tty --id r --env PS1='inner> ' -- bash --norc"
#: Takes the whole screen as an editor does, with colours, keypad and without a cursor, until `q`.
FULL_SCREEN = """
import curses
def show(screen):
    curses.curs_set(0)
    curses.start_color()
    curses.init_pair(1, curses.COLOR_GREEN, curses.COLOR_BLACK)
    said = "nothing"
    while True:
        rows, cols = screen.getmaxyx()
        screen.erase()
        screen.border()
        screen.addstr(1, 2, f"whole screen of {rows} x {cols}", curses.color_pair(1))
        screen.addstr(2, 2, f"last key: {said}")
        screen.addstr(rows - 2, 2, "at the foot")
        key = screen.getch()
        if key == ord("q"):
            return
        said = curses.keyname(key).decode()
curses.wrapper(show)
print("left the screen")
"""


class Tmux(TmuxWindow):
    """One window, on which a shell runs."""

    def __init__(self, folder: Path) -> None:
        rcfile = folder / "rcfile"
        rcfile.write_text(RCFILE)
        shell = f"exec bash --noprofile --rcfile {rcfile}"
        super().__init__(folder, shell, ROWS, COLS)

    def type(self, text: str) -> None:
        """Type a line."""
        self.do("send-keys", "-l", text)
        self.press("Enter")

    def shows(self, pattern: str) -> str:
        """Wait until the screen does, at the beginning of a line: all that it shows."""
        give_up = time.monotonic() + PATIENCE
        while not re.search(f"(?m)^{pattern}", screen := self.screen()):
            assert time.monotonic() < give_up, f"{pattern!r} is not in\n{screen}"
            time.sleep(0.05)
        return screen

    def says(self, line: str, pattern: str) -> str:
        """Clear the screen, type a line, and wait for what is said to it."""
        self.type(f"clear; {line}")
        return self.shows(pattern)

    def state(self) -> str:
        """Whether the cursor is seen, the other screen shown, and the keypad switched."""
        return self.do(
            "display", "-p", "#{cursor_flag} #{alternate_on} #{keypad_flag}"
        ).strip()


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with open_tmux(tmp_path) as window:
        yield window


@contextmanager
def open_tmux(folder: Path) -> Iterator[Tmux]:
    window = Tmux(folder)
    try:
        window.shows(r"outer 0>$")
        yield window
    finally:
        window.close()


def is_usable(tmux: Tmux) -> None:
    """Size, a new size, and Ctrl-C, with a shell as the program."""
    tmux.type(INNER)
    tmux.shows("inner>$")
    tmux.says("stty size", f"{ROWS} {COLS}$")
    tmux.type("until stty size | grep '^20 70$'; do sleep 0.1; done")
    tmux.resize(20, 70)
    tmux.shows("20 70$")
    tmux.says("echo be''gun; sleep 1000", "begun$")
    tmux.press("C-c")
    tmux.shows(r"\^C\n+inner>$")


def test_a_shell_is_left_and_come_back_to(real_daemon: RealDaemon, tmux: Tmux) -> None:
    """PT-05: typed at, resized, interrupted, left by the keys, attached to again, and ended."""
    is_usable(tmux)
    tmux.press("C-\\", "C-\\")
    tmux.shows("penstock: detached; r goes on: `penstock attach r` comes back$")
    tmux.says("restored", "is as it was$")
    tmux.says("penstock attach r", "begun$")
    tmux.says("echo still $PPID alive", r"still \d+ alive$")
    tmux.type("exit 7")
    tmux.shows("outer 7>$")
    tmux.says("restored", "is as it was$")


def test_words_that_nobody_reads_leave_no_terminal_raw(
    real_daemon: RealDaemon, tmux: Tmux
) -> None:
    """PT-05: where stderr is a pipe that broke."""
    tmux.type("penstock run --tty --id r -- cat 2> >(:)")
    tmux.type("word")
    tmux.shows("word\nword$")
    tmux.press("C-\\", "C-\\")
    tmux.shows(r"outer \d+>$")
    tmux.says("restored", "is as it was$")


def test_a_shell_without_a_daemon_is_not_left(tmux: Tmux) -> None:
    """PT-05: the keys say why, and the program goes on."""
    is_usable(tmux)
    tmux.press("C-\\", "C-\\")
    tmux.shows("penstock: this run lives in this command, and ends with it")
    tmux.says("echo still $PPID alive", r"still \d+ alive$")
    tmux.type("exit 7")
    tmux.shows("outer 7>$")
    tmux.says("restored", "is as it was$")


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "embedded"])
def test_a_program_that_takes_the_whole_screen_gives_it_back(
    start_daemon: Callable[..., RealDaemon], tmux: Tmux, tmp_path: Path, daemon: bool
) -> None:
    """PT-05: drawn anew for who comes back; what was on the screen before is on it again."""
    if daemon:
        start_daemon()
    (tmp_path / "show.py").write_text(FULL_SCREEN)
    # A line that wraps on the smaller screen pushes what was before it out of what tmux keeps.
    tmux.type(f"cd {tmp_path}")
    tmux.says("echo what was there before", "what was there before$")
    tmux.type("penstock run --tty --id r -- $python show.py")
    screen = tmux.shows(f"│ whole screen of {ROWS} x {COLS}")
    assert "what was there before" not in screen
    assert tmux.state().split()[:2] == ["0", "1"]
    tmux.press("Up")
    tmux.shows("│ last key: KEY_UP")
    tmux.resize(20, 70)
    screen = tmux.shows("│ whole screen of 20 x 70")
    assert screen.splitlines()[18].startswith("│ at the foot")
    if daemon:
        tmux.press("x")
        drawn = tmux.shows("│ last key: x")
        tmux.press("C-\\", "C-\\")
        assert "what was there before" in tmux.shows("penstock: detached")
        assert tmux.state() == "1 0 0"
        tmux.type("penstock attach r")
        assert tmux.shows("│ last key: x") == drawn
        assert tmux.state().split()[:2] == ["0", "1"]
    tmux.press("q")
    assert "what was there before" in tmux.shows("left the screen$")
    tmux.shows("outer 0>$")
    assert tmux.state() == "1 0 0"
    tmux.says("restored", "is as it was$")
