"""A question with all that one should see before one answers it, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.cli.diff_lines import show_diff
from penstock.cli.output import Word, local_time, show_line
from penstock.words.ask_details import AskDetails

#: Lines of a diff that stand below a question.
MOST_LINES = 30


def show_question(
    event: Any, who: str = "", *, whole: bool = False, err: bool = True
) -> bool:
    """Show it, with its diff: whether that was cut."""
    # An agent's questions begin with its name.
    whose = f"{who}: " if who and not event.question.startswith(f"{who} ") else ""
    show_line(Word("? ", "magenta"), f"{whose}{event.question}", err=err)
    cut = show_details(details_of(event), event.question, whole=whole, err=err)
    _show_end(event, err=err)
    return cut


def details_of(event: Any) -> AskDetails:
    """What it is about; nothing where it does not say that in a form that is known."""
    said = getattr(event, "details", None)
    return AskDetails.read(said if isinstance(said, Mapping) else {})


def show_details(details: AskDetails, question: str, *, whole: bool, err: bool) -> bool:
    """Show what a question is about: whether its diff was cut."""
    for name, value in dict.fromkeys(details.particulars(question)):
        if name == "command":
            show_line("  $ ", value, err=err)
        elif name != "tool":
            show_line(f"  {name}: ", value, err=err)
    if not details.diff:
        return False
    most = None if whole else MOST_LINES
    left = show_diff(details.diff, most=most, margin="  ", err=err)
    if left:
        show_line(Word(f"  … {left} more lines", "bright_black"), err=err)
    return bool(left)


def _show_end(event: Any, *, err: bool) -> None:
    """What becomes of it if nobody answers."""
    until, default = getattr(event, "expires_at", None), getattr(event, "default", None)
    if until:
        what = f"it is {default}" if default else "it is given up"
        moment = local_time(until if isinstance(until, str) else until.isoformat())
        show_line(
            Word(f"  unless answered until {moment} {what}", "bright_black"), err=err
        )
