"""What a run changed: its patch, and what people are told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.cli.history import RunSource
from penstock.cli.run_lines import name_of
from penstock.cli.run_texts import read_text
from penstock.words.errors import Conflict, NotFound
from penstock.words.run_id import AGENT_LABEL
from penstock.words.unified_diff import FileDiff, change_in_words, read_diff

#: The text in which kinds that change a tree tell what they did, unless their result names another.
PATCH = "changes.patch"


@dataclass(frozen=True, slots=True)
class Changes:
    """What one run changed; `view` is the run as the daemon tells it."""

    view: Mapping[str, Any]
    patch: str
    files: Sequence[FileDiff]

    @property
    def run_id(self) -> str:
        return str(self.view["run_id"])

    @property
    def result(self) -> Mapping[str, Any]:
        """What the run says of itself; empty for one that did not come to it."""
        result = self.view.get("result")
        return result if isinstance(result, dict) else {}

    @property
    def size(self) -> str:
        """How much it is, in words."""
        return size_in_words(len(self.files), *lines_of(self.files))

    @property
    def who(self) -> str:
        """Whose it is: the agent's name, else the run's."""
        agent = self.view.get("labels", {}).get(AGENT_LABEL)
        return str(agent or self.result.get("agent") or name_of(self.view))


def read_changes(source: RunSource, run_id: str) -> Changes:
    """The patch of a run. NotFound if it made none, Conflict if it has not come to that yet."""
    view = source.view(run_id)
    said = Changes(view, "", ()).result.get("patch")
    name = said if isinstance(said, str) and said else PATCH
    known = {told["artifact_id"]: told for told in view.get("artifacts", ())}
    told = known.get(name)
    if told is None or told["size"] is None:
        if view.get("ended_at") is None:
            raise Conflict(
                f"{run_id} has not ended, and tells its changes at its end: `penstock follow {run_id}`"
            )
        if told is None:
            raise NotFound(f"{run_id} has made no patch")
    patch = read_text(source, run_id, told)
    return Changes(view, patch, read_diff(patch))


def read_any_changes(source: RunSource, run_id: str) -> Changes:
    """The same beside others: nothing of a run that has none."""
    try:
        return read_changes(source, run_id)
    except (NotFound, Conflict):
        return Changes(source.view(run_id), "", ())


def lines_of(files: Sequence[FileDiff]) -> tuple[int, int]:
    """How many lines came in all of them, and how many went."""
    return sum(file.added for file in files), sum(file.removed for file in files)


def size_in_words(files: int, added: int, removed: int) -> str:
    """`3 files  +12 -4`, with a sign of minus."""
    count = f"{files} file{'' if files == 1 else 's'}"
    return f"{count}  {change_in_words(added, removed)}".rstrip()


def file_json(file: FileDiff) -> dict[str, Any]:
    """What happened to a file, as data."""
    told = {"path": file.path, "change": file.word, "added": file.added, "removed": file.removed}  # fmt: skip
    if file.word == "renamed":
        told["before"] = file.before
    return {**told, "binary": True} if file.binary else told
