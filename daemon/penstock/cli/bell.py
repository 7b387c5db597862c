"""Being told where one looks or listens: a terminal's bell, its notification, its title."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from penstock.cli.notes import RunNotes
from penstock.cli.output import command_terminal
from penstock.cli.run_end import end_line
from penstock.cli.session import Session
from penstock.words.display import cut
from penstock.words.errors import Refused
from penstock.words.text import neutralise

#: Seconds that a run lasted at least of whose end a bell tells: who waits for less still looks.
RING_SECONDS = 30.0
#: The variable that says other seconds, or `never`.
VARIABLE = "PENSTOCK_RING"
#: Columns of a notification; some have no more.
MOST_COLUMNS = 100
#: Terminals that notify by the sequence of rxvt, and those that only ring.
_NOTIFYING = ("rxvt", "foot")
_RINGING = ("dumb", "linux", "screen", "tmux")


def ring_seconds(environ: Mapping[str, str]) -> float | None:
    """How long a run must have lasted; None: nobody wants a bell. What cannot be read is the usual time."""
    said = environ.get(VARIABLE, "")
    if said == "never":
        return None
    try:
        return float(said) if said else RING_SECONDS
    except ValueError:
        return RING_SECONDS


def ring_end(
    notes: RunNotes, environ: Mapping[str, str], *, always: bool = False
) -> None:
    """Ring on the terminal of stderr if the run that has ended was long; `always`: however short it was."""
    ended, fact = notes.exit, notes.end
    if ended is None or fact is None or not sys.stderr.isatty():
        return
    least = 0.0 if always else ring_seconds(environ)
    lasted = 0.0 if notes.began is None else (fact.at - notes.began).total_seconds()
    if least is None or lasted < least:
        return
    mark, how = end_line(notes, ended)
    command_terminal(notification(environ, f"{mark.text}{how}"))


class AskBell:
    """Rings on the terminal of stderr when a run that is told there asks something, once for each question."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._rung: set[tuple[str, str]] = set()

    def see(self, notes: RunNotes) -> None:
        """Ring, if what it asks is news."""
        news = {(notes.run_id, name) for name in notes.asks} - self._rung
        self._rung |= news
        if not news or not sys.stderr.isatty() or ring_seconds(self._environ) is None:
            return
        question = next(q for n, q in notes.asks.items() if (notes.run_id, n) in news)
        said = f"? {notes.name or notes.run_id}  {question}"
        command_terminal(notification(self._environ, said))


def notification(environ: Mapping[str, str], text: str) -> str:
    """What tells a terminal: a bell for all, and a notification for those that have them.

    Within tmux and screen only the bell comes through. The text may be anybody's.
    """
    term = environ.get("TERM", "dumb")
    if environ.get("TMUX") or term.startswith(_RINGING):
        return "\a"
    # A semicolon ends a part of it, and a digit at its beginning asks some terminals for something else.
    said = cut(f"penstock: {neutralise(text)}".replace(";", ","), MOST_COLUMNS)
    if environ.get("VTE_VERSION") or term.startswith(_NOTIFYING):
        return f"\x1b]777;notify;penstock;{said}\x1b\\\a"
    return f"\x1b]9;{said}\x1b\\\a"


@dataclass
class Titles:
    """The title of the terminal while a run is watched there."""

    shown: bool
    _last: str = ""

    def see(self, notes: RunNotes) -> None:
        """Show how far the run is, if that is news."""
        text = title_of(notes)
        if self.shown and text != self._last:
            self._last = text
            command_terminal(f"\x1b]2;{cut(neutralise(text), MOST_COLUMNS)}\x1b\\")


@contextmanager
def open_titles(environ: Mapping[str, str]) -> Iterator[Titles]:
    """What sets the title of the terminal of stderr, which has its own again afterwards."""
    mute = environ.get("TERM", "dumb").startswith(("dumb", "linux"))
    titles = Titles(shown=sys.stderr.isatty() and not mute)
    if titles.shown:
        command_terminal("\x1b[22;2t")
    try:
        yield titles
    finally:
        if titles.shown:
            command_terminal("\x1b[23;2t")


def leave_bell(session: Session, run_id: str) -> None:
    """Have a process of its own wait for the run, and ring on this terminal when it ends.

    Refused without a terminal. It ends with the terminal, and holds nothing that is piped from us.
    """
    try:
        terminal = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
    except OSError:
        why = "needs a terminal to ring on; a hook tells you elsewhere"
        raise Refused("--notify", why) from None
    # Late: every `follow` and `wait` reads this module.
    import subprocess

    said = [("--url", session.url), ("--config", session.config_file)]
    options = [word for name, value in said if value for word in (name, value)]
    argv = [sys.executable, "-m", "penstock.cli.main", *options, "wait", "--ring"]
    try:
        subprocess.Popen(
            [*argv, "--quiet", run_id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            env=dict(session.environ),
            # Ctrl-C is for what runs in front.
            process_group=0,
        )
    finally:
        os.close(terminal)


def title_of(notes: RunNotes) -> str:
    """`▶ 62 % build`."""
    share = "" if notes.progress is None else f"{notes.progress * 100:.0f} % "
    return f"▶ {share}{notes.name or notes.run_id}"
