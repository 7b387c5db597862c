"""`penstock apply`: what a run changed, put into one's own tree."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from penstock.cli.changes import Changes, file_json, read_changes
from penstock.cli.history import ask_source
from penstock.cli.kind_flags import absolute
from penstock.cli.options import named_run_argument
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session
from penstock.cli.users_tree import BEFORE, UsersTree, find_tree, same_repository
from penstock.words.errors import Conflict, Refused
from penstock.words.text import neutralise

#: Names of files that a sentence has room for.
MOST_NAMES = 8


@click.command()
@named_run_argument
@click.option(
    "--into", metavar="FOLDER", help="A folder of the tree.  [default: this one, if it is of the run's repository; else that]",
)  # fmt: skip
@click.option("--yes", "-y", is_flag=True, help="Change files that you have changed too, without asking.")  # fmt: skip
@click.option(
    "--overwrite", is_flag=True,
    help=f"Where it does not fit take the run's files, without asking; yours stay beside them, *{BEFORE}.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Only say whether it fits; exit 4 if not.")
@json_option
@pass_session
def apply(
    session: Session,
    run_id: str,
    into: str | None,
    yes: bool,
    overwrite: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Put what a run changed into your tree: all of it or nothing, and nothing is committed.

    Where your own changes would be mixed with it, or stand in its way, you are asked; without a terminal it
    is refused.

    \b
    Examples: penstock apply 12
              penstock apply 12 --into ~/src/app
    """
    changes = ask_source(session, run_id, lambda source: read_changes(source, run_id))
    tree = _tree_for(changes, session, into)
    patching = Patching(changes, tree)
    told = {"run_id": run_id, "into": str(tree.root), "files": [file_json(f) for f in changes.files]}  # fmt: skip
    if not changes.files:
        _tell(f"{run_id} changed nothing", {**told, "applied": False}, as_json)
        return
    if patching.is_in:
        _tell(f"{tree.root} has these changes already", {**told, "applied": False}, as_json)  # fmt: skip
        return
    asking = not as_json and sys.stdin.isatty() and sys.stderr.isatty()
    if check:
        patching.require_fit()
        _tell(f"it fits: {changes.size}", {**told, "applied": False}, as_json)  # fmt: skip
        return
    kept = patching.put_in(yes=yes, overwrite=overwrite, asking=asking)
    for copy in kept:
        say(f"yours is {copy}")
    done = f"{changes.size}  in {tree.root}; `git -C {tree.root} diff` shows it"
    _tell(
        done, {**told, "applied": True, "kept": [str(copy) for copy in kept]}, as_json
    )


class Patching:
    """A patch, and a tree that it is to go into."""

    def __init__(self, changes: Changes, tree: UsersTree) -> None:
        self._changes, self._tree = changes, tree
        self._head = str(changes.result.get("head") or "")
        self._patch = self._exact()
        #: Each file, by the name it has and the one it had.
        self._files = [
            (file.path, file.before) if file.word == "renamed" else (file.path,)
            for file in changes.files
        ]

    @property
    def is_in(self) -> bool:
        """Whether all of it is in the tree already."""
        return self._tree.fits(self._patch, reverse=True) and not self._tree.fits(self._patch)  # fmt: skip

    def require_fit(self) -> None:
        """Conflict names the files whose part does not fit."""
        if misfits := self._misfits():
            raise Conflict(f"it does not fit: {_names(misfits)}")

    def put_in(self, *, yes: bool, overwrite: bool, asking: bool) -> list[Path]:
        """Do it, with a person's leave where that is needed: the copies of what was overwritten."""
        misfits = self._misfits()
        if misfits:
            self._allow_overwriting(misfits, overwrite=overwrite, asking=asking)
        flat = [name for names in self._files if names not in misfits for name in names]
        mixed = self._tree.changed(flat)
        if mixed:
            _allow(
                f"you have changed files that it changes too, and it fits all the same: {_shortened(mixed)}",
                "--yes", "change them", given=yes or overwrite, asking=asking,
            )  # fmt: skip
        kept = [
            copy for names in misfits for name in names
            if (copy := self._tree.keep(name)) is not None
        ]  # fmt: skip
        if len(misfits) < len(self._files):
            self._tree.put_in(self._patch, misfits)
        for names in misfits:
            for name in names:
                self._tree.take(self._head, name)
        return kept

    def _allow_overwriting(
        self, misfits: Sequence[tuple[str, ...]], *, overwrite: bool, asking: bool
    ) -> None:
        what = f"it does not fit: {_names(misfits)}"
        if not self._tree.has_commit(self._head):
            raise Conflict(
                f"{what}; bring the tree nearer to where the run began, or merge by hand"
            )
        question = f"take the run's version of {'it' if len(misfits) == 1 else 'these'}, yours kept as *{BEFORE}"  # fmt: skip
        _allow(what, "--overwrite", question, given=overwrite, asking=asking)

    def _exact(self) -> bytes:
        """The patch to the byte, where the run's commits are here: a text holds no bytes that are none."""
        base = str(self._changes.result.get("base") or "")
        if self._tree.has_commit(base) and self._tree.has_commit(self._head):
            return self._tree.patch_between(base, self._head)
        return self._changes.patch.encode()

    def _misfits(self) -> list[tuple[str, ...]]:
        if self._tree.fits(self._patch):
            return []
        found = self._tree.misfits(self._patch, self._files)
        # One by one they fit, and together they do not: none is put in by halves.
        return found or list(self._files)


def _tree_for(changes: Changes, session: Session, into: str | None) -> UsersTree:
    """Whose tree is meant. Refused if there is none."""
    if into is not None:
        tree = find_tree(absolute(into), session.environ)
        if tree is None:
            raise Refused("--into", f"{into} is in no tree of git")
        return tree
    inputs = changes.view.get("inputs", {})
    said = inputs.get("repository") or inputs.get("repo")
    own = find_tree(os.path.expanduser(said), session.environ) if isinstance(said, str) else None  # fmt: skip
    here = find_tree(".", session.environ)
    if own is None:
        if here is None:
            raise Refused("--into", "say which tree: neither this folder nor the run's repository is one")  # fmt: skip
        return here
    if here is not None and same_repository(here, own):
        return here
    return own


def _allow(what: str, flag: str, question: str, *, given: bool, asking: bool) -> None:
    """Whether a person allows it. Conflict if not, or if nobody can be asked."""
    if given:
        return
    if not asking:
        raise Conflict(f"{what}; {flag} does it")
    say(what)
    if not click.confirm(neutralise(question), err=True):
        raise Conflict("nothing was changed")


def _names(misfits: Sequence[tuple[str, ...]]) -> str:
    return _shortened([names[0] for names in misfits])


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _tell(sentence: str, told: dict[str, object], as_json: bool) -> None:
    if as_json:
        emit(told)
    else:
        say(sentence)
