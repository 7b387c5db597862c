"""What each type of fact changes in the view of its run; a type not named here changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock.words import events as e
from penstock.words.recorded import Recorded

if TYPE_CHECKING:
    from penstock.record.views import RunView


@dataclass(frozen=True, slots=True)
class AskView:
    """A question as the run's facts tell it."""

    name: str
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    expires_at: datetime | None = None
    answer: str | None = None
    answered_by: str | None = None

    @property
    def open(self) -> bool:
        return self.answer is None


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """How far an artifact has come: characters so far, bytes once complete."""

    artifact_id: str
    attempt: int = 1
    characters: int = 0
    size: int | None = None
    sha256: str | None = None
    path: str | None = None


def _queued(view: RunView, fact: Recorded, event: e.RunQueued) -> None:
    view.kind = event.kind
    view.priority = event.priority
    view.inputs = event.inputs
    view.labels = event.labels
    view.after = event.after
    view.group = event.group
    view.timeout = event.timeout
    view.parent_id = event.parent_id
    view.retry_of = event.retry_of
    view.created_at = fact.at
    view.place = fact.position


def _started(view: RunView, fact: Recorded, event: e.RunStarted) -> None:
    view.attempt = event.attempt
    view.started_at = fact.at
    view.inputs = event.inputs
    view.reason = ""


def _resumed(view: RunView, _fact: Recorded, event: e.RunResumed) -> None:
    view.attempt = event.attempt
    view.reason = ""


def _waiting(view: RunView, _fact: Recorded, event: e.RunWaiting) -> None:
    view.reason = event.reason


def _preempted(view: RunView, _fact: Recorded, event: e.RunPreempted) -> None:
    view.reason = f"preempted by {event.by}"


def _requeued(view: RunView, _fact: Recorded, event: e.RunRequeued) -> None:
    view.reason = event.reason


def _cancel_requested(
    view: RunView, _fact: Recorded, event: e.RunCancelRequested
) -> None:
    view.cancel_requested = event.reason


def _completed(view: RunView, fact: Recorded, event: e.RunCompleted) -> None:
    view.result = event.result
    view.progress = 1.0
    view.reason = ""
    view.ended_at = fact.at


def _failed(view: RunView, fact: Recorded, event: e.RunFailed) -> None:
    view.reason = event.reason
    view.error = event.error
    view.details = event.details
    view.ended_at = fact.at


def _cancelled(view: RunView, fact: Recorded, event: e.RunCancelled) -> None:
    view.reason = event.reason
    view.details = event.details
    view.ended_at = fact.at


def _new_code(view: RunView, fact: Recorded, code_hash: str | None) -> None:
    """The newest version stays; a fact about an older one is stale (VW-02, VW-03)."""
    if view.code_version and fact.code_version <= view.code_version:
        view.stale += 1
        return
    view.code_version = fact.code_version
    view.code_hash = code_hash
    view.code_clock = fact.clock


def _code_generated(view: RunView, fact: Recorded, event: e.CodeGenerated) -> None:
    _new_code(view, fact, event.code_hash)


def _correction_started(
    view: RunView, _fact: Recorded, _event: e.CorrectionStarted
) -> None:
    view.corrections_open += 1


def _correction_completed(
    view: RunView, fact: Recorded, event: e.CorrectionCompleted
) -> None:
    if view.corrections_open:
        view.corrections_open -= 1
    else:
        view.anomalies += 1
    _new_code(view, fact, event.code_hash)


def _bug_reported(view: RunView, _fact: Recorded, event: e.BugReported) -> None:
    if event.verdict == "stale" or event.version < view.code_version:
        view.stale += 1


def _progress(view: RunView, _fact: Recorded, event: e.Progress) -> None:
    view.step = event.step
    view.progress = event.fraction


def _milestone(view: RunView, _fact: Recorded, event: e.Milestone) -> None:
    view.milestones.append(event.name)


def _step_completed(view: RunView, _fact: Recorded, event: e.StepCompleted) -> None:
    view.steps[event.name] = event.result
    view.step = event.name


def _step_failed(view: RunView, _fact: Recorded, event: e.StepFailed) -> None:
    view.step = event.name


def _ask_raised(view: RunView, _fact: Recorded, event: e.AskRaised) -> None:
    view.asks[event.name] = AskView(
        event.name, event.question, event.choices, event.default, event.expires_at
    )


def _ask_answered(view: RunView, _fact: Recorded, event: e.AskAnswered) -> None:
    ask = view.asks.get(event.name)
    if ask is None:
        view.anomalies += 1
        ask = AskView(event.name, "")
    view.asks[event.name] = replace(ask, answer=event.answer, answered_by=event.by)


def _artifact_partial(view: RunView, _fact: Recorded, event: e.ArtifactPartial) -> None:
    artifact = view.artifacts.get(event.artifact_id)
    if artifact is None or artifact.attempt != event.attempt:
        artifact = ArtifactView(event.artifact_id, event.attempt)
    characters = artifact.characters + len(event.text)
    view.artifacts[event.artifact_id] = replace(artifact, characters=characters)


def _artifact_completed(
    view: RunView, _fact: Recorded, event: e.ArtifactCompleted
) -> None:
    artifact = view.artifacts.get(event.artifact_id) or ArtifactView(event.artifact_id)
    view.artifacts[event.artifact_id] = replace(
        artifact,
        attempt=event.attempt,
        size=event.size,
        sha256=event.sha256,
        path=event.path,
    )


def _model_used(view: RunView, _fact: Recorded, event: e.ModelUsed) -> None:
    view.tokens_in += event.tokens_in
    view.tokens_out += event.tokens_out
    view.cost += event.cost
    view.model_seconds += event.seconds


EFFECTS: dict[str, Callable[[RunView, Recorded, Any], None]] = {
    "run.queued": _queued,
    "run.started": _started,
    "run.resumed": _resumed,
    "run.waiting": _waiting,
    "run.preempted": _preempted,
    "run.requeued": _requeued,
    "run.cancel_requested": _cancel_requested,
    "run.completed": _completed,
    "run.failed": _failed,
    "run.cancelled": _cancelled,
    "code.generated": _code_generated,
    "correction.started": _correction_started,
    "correction.completed": _correction_completed,
    "bug.reported": _bug_reported,
    "progress": _progress,
    "milestone": _milestone,
    "step.completed": _step_completed,
    "step.failed": _step_failed,
    "ask.raised": _ask_raised,
    "ask.answered": _ask_answered,
    "artifact.partial": _artifact_partial,
    "artifact.completed": _artifact_completed,
    "model.used": _model_used,
}
