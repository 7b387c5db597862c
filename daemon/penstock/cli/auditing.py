"""Whether a log keeps the laws: dense numbers, one end per run, nothing after it."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.events import DAEMON_STREAM, TERMINAL_TYPES, Recorded

#: Findings kept: a log with more is broken beyond doubt.
MOST_FINDINGS = 1000


@dataclass(slots=True)
class Audit:
    """Takes every fact of a log above `after`, in order; says what is wrong."""

    after: int = 0
    facts: int = 0
    runs: int = 0
    ended: int = 0
    findings: list[str] = field(default_factory=list)
    #: What was pruned: a run may begin in the middle of its story.
    pruned: bool = False
    _last: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def begin_at(self, floor: int) -> None:
        """Everything below `floor` was pruned, by rule."""
        self.after, self.pruned = max(self.after, floor - 1), floor > 1

    def take(self, fact: Recorded) -> None:
        """The next fact."""
        self.facts += 1
        if fact.position != self.after + 1:
            self._find(f"position {fact.position} comes after {self.after}")
        self.after = fact.position
        sequence, has_ended = self._last.get(fact.run_id, (0, False))
        first = fact.run_id not in self._last
        if fact.sequence != sequence + 1 and not (first and self.pruned):
            self._find(
                f"{fact.run_id}: sequence {fact.sequence} comes after {sequence}"
            )
        if has_ended:
            self._find(f"{fact.run_id}: {fact.type} was recorded after the end")
        ends = fact.type in TERMINAL_TYPES
        self._last[fact.run_id] = fact.sequence, has_ended or ends
        if fact.run_id != DAEMON_STREAM:
            self.runs += first
            self.ended += ends and not has_ended

    @property
    def open_runs(self) -> list[str]:
        """Runs without an end as yet."""
        return [
            run_id
            for run_id, (_, has_ended) in self._last.items()
            if not has_ended and run_id != DAEMON_STREAM
        ]

    def _find(self, text: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(text)
