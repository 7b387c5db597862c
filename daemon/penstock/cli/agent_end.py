"""What is said when an agent's run is over: what it changed, where that lies, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.cli.changes import size_in_words
from penstock.cli.output import say
from penstock.words.sentences import number


def say_changes(run: str, result: Any) -> None:
    """Say it; nothing of a run that did not come to its result. `run` is what it can be named by."""
    if not isinstance(result, dict):
        return
    if line := spent_line(result):
        say(line)
    if line := changes_line(run, result):
        say(line)


def spent_line(result: dict[str, Any]) -> str:
    """`2 turns, 48.2k tokens, 0.31 spent`; "" where nothing is told."""
    said = []
    if turns := result.get("turns"):
        said.append(f"{turns} turn{'' if turns == 1 else 's'}")
    if tokens := result.get("tokens"):
        said.append(f"{number(tokens)} tokens")
    if cost := result.get("cost"):
        said.append(f"{cost:.2g} spent")
    if denied := result.get("denied"):
        said.append(f"{denied} denied")
    return ", ".join(said)


def changes_line(run: str, result: dict[str, Any]) -> str:
    """What it changed and how to get it."""
    if not (files := result.get("files")):
        return "nothing was changed"
    much = size_in_words(len(files), result.get("added", 0), result.get("removed", 0))
    branch = f", branch {result['branch']}" if result.get("branch") else ""
    return f"{much}{branch}: `penstock diff {run}`, `penstock apply {run}`"


def several_line(runs: Sequence[str]) -> str:
    """What can be done with what several changed."""
    return f"`penstock diff {runs[0]}` shows one of them, `penstock apply {runs[0]}` takes it"
