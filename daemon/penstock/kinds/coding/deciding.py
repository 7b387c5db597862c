"""What a coding run does next. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from penstock.pipeline import (
    BugReported,
    CodeMark,
    InterventionReceived,
    Recorded,
    judge_staleness,
)

#: Causes of a correction, the most urgent first: a person's word goes before everything else.
CauseKind = Literal["intervention", "bug report", "tests"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the code is corrected."""

    kind: CauseKind
    text: str
    module: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to correct, nothing if the code is done; `upto` is the sequence up to which was looked."""

    causes: tuple[Cause, ...]
    upto: int
    #: Reports that were valid when they came, and are about replaced code by now.
    overtaken: int = 0

    def to_json(self) -> dict[str, Any]:
        """The decision as it is recorded."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Decision:
        """A recorded decision."""
        causes = tuple(Cause(**cause) for cause in data["causes"])
        return cls(causes, data["upto"], data["overtaken"])

    @property
    def problem(self) -> str:
        """The causes as the model is told them."""
        titles = {
            "intervention": "The user says",
            "bug report": "A bug was reported",
            "tests": "The tests fail",
        }
        return "\n\n".join(f"{titles[c.kind]}:\n{c.text}" for c in self.causes)


def decide(
    facts: Iterable[Recorded],
    *,
    heard: int,
    decided: int,
    current: CodeMark,
    failure: str | None,
) -> Decision:
    """The decision on these facts of the run.

    `heard` is the sequence up to which the user's words were told to a model, `decided` the one up
    to which reports were looked at; `failure` is what failing tests said.
    """
    words: list[Cause] = []
    reports: list[Cause] = []
    upto, overtaken = decided, 0
    for fact in facts:
        upto = max(upto, fact.sequence)
        if fact.type == "intervention.received" and fact.sequence > heard:
            words.append(Cause("intervention", words_of([fact])))
        elif fact.type == "bug.reported" and fact.sequence > decided:
            cause = _cause_of(fact, current)
            reports += [cause] if cause is not None else []
            overtaken += cause is None and _verdict_of(fact) == "valid"
    tests = [] if failure is None else [Cause("tests", failure)]
    return Decision((*words, *reports, *tests), upto, overtaken)


def words_of(facts: Sequence[Recorded]) -> str:
    """What the user said since the run began, in order."""
    events = [fact.event for fact in facts if fact.type == "intervention.received"]
    return "\n".join(e.text for e in events if isinstance(e, InterventionReceived))


def mark_of(fact: Recorded | None, code_hash: str | None) -> CodeMark:
    """The code that a fact made; version 0 for none."""
    if fact is None:
        return CodeMark()
    return CodeMark(fact.code_version, fact.clock, code_hash)


def _verdict_of(fact: Recorded) -> str | None:
    event = fact.event
    return event.verdict if isinstance(event, BugReported) else None


def _cause_of(fact: Recorded, current: CodeMark) -> Cause | None:
    """A report that counts still: the code may have been corrected since it was judged."""
    event = fact.event
    if not isinstance(event, BugReported) or event.verdict != "valid":
        return None
    mark = CodeMark(event.version, event.clock, event.code_hash)
    if judge_staleness(mark, current).verdict != "valid":
        return None
    return Cause("bug report", event.text, event.module)
