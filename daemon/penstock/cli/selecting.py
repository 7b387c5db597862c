"""Which runs the words of a command line mean. The daemon knows; here stands what is done without a word.

A run that was made without the daemon is known by its id alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from penstock.cli.archives import find_log, one_form
from penstock.cli.output import say
from penstock.cli.session import Session
from penstock.words.display import cut
from penstock.words.errors import (
    DaemonUnreachable,
    NotFound,
    PenstockError,
    Refused,
    RunNotFound,
)

#: Runs that are named for somebody who has named none.
MOST_CANDIDATES = 8
#: Columns of what a run was asked for, where it is one of several.
MOST_COLUMNS = 40
#: verb -> which runs it may be about; "@open" for all others.
_CANDIDATES: Mapping[str, str] = {
    "retry": "@failed",
    "artifacts": "@all",
    "context": "@all",
}
# What no id looks like: anything else may be the id of a run that was made without the daemon.
_NO_ID = re.compile(r"@.*|#?[0-9]+|.*[ :].*|", re.DOTALL)


def select_one(session: Session, word: str | None) -> str:
    """The one run that is meant; without a word the one that runs, else the newest.

    RunNotFound, Refused as the daemon says it, and Refused for a word that means several.
    """
    runs = _ask(session, word or "", alone=True)
    if len(runs) > 1:
        raise Refused("ID", f"{word!r} means {len(runs)} runs: {_names(runs)}")
    if not word and sys.stderr.isatty():
        say(f"this is {_name(runs[0])}")
    run_id: str = runs[0]["run_id"]
    return run_id


def select(session: Session, words: Iterable[str]) -> dict[str, int]:
    """All runs that are meant, each once, in the order of the words: their ids and numbers.

    The number is 0 for what the daemon does not know: the id of a run that was made without it, or of none.
    """
    rows = [run for word in words for run in _ask(session, word)]
    return {run["run_id"]: run["number"] for run in rows}


def select_named(session: Session, words: tuple[str, ...], verb: str) -> dict[str, int]:
    """The same for a verb that changes runs: whoever names none is told, or asked on a terminal, which.

    An empty word names none: a shell makes it of a variable that is not set.
    """
    named = bool(words) and all(words)
    return select(session, words if named else (ask_for_run(session, verb),))


def select_named_one(session: Session, word: str | None, verb: str) -> str:
    """The one run that is meant, as `select_named`."""
    return select_one(session, word or ask_for_run(session, verb))


def ask_for_run(session: Session, verb: str) -> str:
    """The word of the person at the terminal; elsewhere a usage error that names the candidates."""
    try:
        runs = _ask(session, _CANDIDATES.get(verb, "@open"))
    except PenstockError:
        runs = []
    if not runs:
        raise click.UsageError(f"say which run: `penstock {verb} ID`")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"say which run: {_names(runs)}")
    for run in runs[:MOST_CANDIDATES]:
        say(_name(run))
    word: str = click.prompt(f"{verb} which run", err=True)
    return word


def is_known(session: Session, run_id: str) -> bool:
    """Whether there is a run of this id, with the daemon or without it."""
    if find_log(session, run_id) is not None:
        return True
    try:
        session.call(lambda client: client.run(run_id))
    except RunNotFound:
        return False
    return True


def _ask(session: Session, word: str, *, alone: bool = False) -> list[dict[str, Any]]:
    """What the daemon says of a word; an id that it does not know is left to whoever looks elsewhere.

    `alone`: nobody waits for other runs meanwhile, so that it is an error if it is nowhere else either.
    """
    itself = [{"run_id": word, "number": 0, "state": "", "kind": "", "name": None}]
    may_be_id = _NO_ID.fullmatch(word) is None
    if may_be_id and _has_log(session, word):
        return itself
    try:
        runs: list[dict[str, Any]] = session.call(lambda client: client.select(word))[
            "runs"
        ]
    except (NotFound, DaemonUnreachable) as error:
        # What may have been meant is known here alone.
        if alone and isinstance(error, RunNotFound) and not find_log(session, word):
            raise
        # An older daemon has nothing at this address.
        if may_be_id or not isinstance(error, RunNotFound | DaemonUnreachable):
            return itself
        raise
    if may_be_id and runs[0]["run_id"] != one_form(word) and find_log(session, word):
        return itself
    return runs


def _has_log(session: Session, run_id: str) -> bool:
    """Whether a log is named after this run."""
    if session.named:
        return False
    return session.paths().embedded_database(one_form(run_id)).exists()


def _names(runs: list[dict[str, Any]]) -> str:
    more = "" if len(runs) <= MOST_CANDIDATES else ", …"
    return ", ".join(map(_name, runs[:MOST_CANDIDATES])) + more


def _name(run: Mapping[str, Any]) -> str:
    """A run as one line: `12 tests: pytest -q (running)`."""
    what = run["name"] or run["run_id"]
    if about := run.get("about"):
        what += f": {cut(about, MOST_COLUMNS)}"
    return f"{run['number']} {what} ({run['state']})"
