"""Training examples out of a log: what a model was asked and said, and how the tests judged that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: Questions that the tests of the run judge.
_TESTED = ("coding.write", "coding.correct", "coding.tests")
#: Questions that the end of the run judges.
_ENDED = ("coding.plan",)

_SCORES = {"test.passed": 1.0, "test.failed": 0.0}
_ENDS = {"run.completed": 1.0, "run.failed": 0.0, "run.cancelled": None}


@dataclass(eq=False, slots=True)
class ExampleLines:
    """Takes the lines of an export, and writes a line for each answer that was used.

    `{"question", "inputs", "outputs", "model", "run_id", "score"}`: the score is 1 if the next tests passed, or the run completed
    that was planned so, else 0; null where nothing judges. What is open at the end is written by `close`.
    """

    write_line: Callable[[bytes], object]
    count: int = 0
    _waiting: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def write(self, line: bytes) -> int:
        """Take one line."""
        if line.startswith(b'{"position"'):
            envelope = json.loads(line)
            self._take(envelope["run_id"], envelope["event"])
        return len(line)

    def close(self) -> None:
        """Write what nobody has judged."""
        for run_id in list(self._waiting):
            self._judge(run_id, "", None)

    def _take(self, run_id: str, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "model.answered" and event.get("fields"):
            example = {
                "question": event.get("question", ""),
                "inputs": event.get("inputs", {}),
                "outputs": event["fields"],
                "model": event.get("model", ""),
                "run_id": run_id,
            }
            self._waiting.setdefault(run_id, []).append(example)
        elif kind in _SCORES:
            self._judge(run_id, kind, _SCORES[kind])
        elif kind in _ENDS:
            self._judge(run_id, "", _ENDS[kind])

    def _judge(self, run_id: str, tests: str, score: float | None) -> None:
        """Write the examples that this judges; `tests` judge only what they tested."""
        kept = []
        for example in self._waiting.pop(run_id, []):
            tested = example["question"] in _TESTED
            if tests and not tested:
                kept.append(example)
                continue
            judged = tested if tests else example["question"] in _ENDED
            made = {**example, "score": score if judged else None}
            self.write_line(json.dumps(made, ensure_ascii=False).encode() + b"\n")
            self.count += 1
        if kept:
            self._waiting[run_id] = kept
