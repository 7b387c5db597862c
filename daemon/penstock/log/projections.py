"""Projections: the state of a run, folded from its facts one by one, in their order.

Live and replay use the same fold, in the daemon, in clients and in the dashboard. A type that is
not named in the table of effects changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from penstock.words import events as e
from penstock.words.errors import PenstockError
from penstock.words.events import UnknownEvent
from penstock.words.lifecycle import (
    MOVING_TYPES,
    PARKED_STATES,
    TERMINAL_STATES,
    IllegalTransition,
    State,
    next_state,
)
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.run_exit import RunExit, exit_json, exit_of_run, read_exit
from penstock.words.sentences import model_doing
from penstock.words.values import format_time
from penstock.words.wait_reason import Waiting, read_reason


class BrokenStory(PenstockError):
    """A run's facts are not in sequence: one is repeated or missing."""

    def __init__(self, run_id: str, sequence: int, expected: int) -> None:
        what = (
            "is repeated" if sequence < expected else f"came where {expected} should be"
        )
        super().__init__(f"run {run_id}: sequence {sequence} {what}", run_id=run_id)
        self.sequence = sequence


@dataclass(slots=True)
class RunView:
    """One run, as its facts up to `sequence` tell it."""

    run_id: str
    kind: str = ""
    state: State | None = None
    priority: int = Priority.MEDIUM
    reason: str = ""
    #: What it waits for without its slot, and the run that took it: `reason` in values.
    waiting: Waiting | None = None
    preempted_by: str | None = None
    progress: float | None = None
    step: str | None = None
    result: Any = None
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    #: How it had ended when it was told without its `details`, as lists do.
    known_exit: RunExit | None = field(default=None, compare=False)
    #: Processes that its programs left behind; they were ended.
    leftover: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_at: datetime | None = None
    code_version: int = 0
    code_hash: str | None = None
    #: The vector clock at the newest code: what a bug report is held against.
    code_clock: Mapping[str, int] = field(default_factory=dict)
    sequence: int = 0
    position: int = 0
    #: Place in the line: the position of its `run.queued`, kept over releases.
    place: int = 0
    attempt: int = 0
    #: The box that executes it, or did last; "" before its first execution.
    box: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    after: tuple[str, ...] = ()
    timeout: float | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    #: It starts no earlier; it is put aside until somebody enqueues it.
    not_before: datetime | None = None
    stashed: bool = False
    #: Its place among runs of its priority, where somebody changed it.
    turn: int | None = None
    #: How often it is executed again after a failure, the seconds before the first time, how often
    #: it was, and why it last had to be.
    retries: int = 0
    backoff: float = 0.0
    retried: int = 0
    last_error: str = ""
    #: How often a crash of the daemon cut it off, and it was put in line again.
    crashes: int = 0
    traceparent: str | None = None
    #: What it asks of the box that executes it, and the box it was submitted at.
    needs: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    cancel_requested: str | None = None
    asks: dict[str, AskView] = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, ArtifactView] = field(default_factory=dict)
    milestones: list[str] = field(default_factory=list)
    #: What its requests to models came to: tokens, money in the prices' currency, seconds.
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    model_seconds: float = 0.0
    #: What its model does now, in words; "" while none is asked.
    model_doing: str = ""
    corrections_open: int = 0
    stale: int = 0
    anomalies: int = 0
    unknown: int = 0

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def exit(self) -> RunExit | None:
        """What a command that ends as the run did exits with; None while it has not ended."""
        return self.known_exit or exit_of_run(
            self.kind, self.state, self.reason, self.details, self.result
        )

    def apply(self, fact: Recorded) -> None:
        """Take the next fact. BrokenStory unless its sequence follows the last one."""
        if fact.sequence != self.sequence + 1:
            raise BrokenStory(self.run_id, fact.sequence, self.sequence + 1)
        self.sequence = fact.sequence
        self.position = fact.position
        self.last_at = fact.at
        if fact.type in MOVING_TYPES:
            self._move(fact)
        effect = EFFECTS.get(fact.type)
        if effect is None:
            return
        event = fact.event
        if isinstance(event, UnknownEvent):
            self.unknown += 1
            if fact.type == "run.queued":
                # Whatever else it says: it is a run, and waits since then.
                self.created_at = fact.at
        else:
            effect(self, fact, event)

    def _move(self, fact: Recorded) -> None:
        self.waiting = self.preempted_by = None
        self.model_doing = ""
        try:
            self.state = next_state(self.state, fact.type)
        except IllegalTransition:
            self.anomalies += 1

    def to_json(self) -> dict[str, Any]:
        """The body of `GET /runs/{id}`."""
        told = {name: getattr(self, name) for name in _TOLD}
        for name, form in _FORMS.items():
            told[name] = form.write(told[name])
        return {**told, **exit_json(self.exit)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunView:
        """The view that `to_json` wrote, ready for the facts after its `sequence`.

        Recorded step results are not part of it: only the run itself needs them. A daemon of another
        version may tell more than is known here, which is left out, or less.
        """
        told = {name: data[name] for name in _TOLD if name in data}
        for name in told.keys() & _FORMS.keys():
            told[name] = _FORMS[name].read(told[name])
        view = cls(**told)
        view.known_exit = read_exit(data)
        if view.state in PARKED_STATES:
            waiting = read_reason(view.reason)
            # One that only words tell may be a preemption.
            view.waiting = None if waiting.kind == "other" else waiting
        return view


def fold(facts: Iterable[Recorded], run_id: str = "") -> RunView:
    """The view of one run after these facts; an empty view for none."""
    view = RunView(run_id)
    for fact in facts:
        if not view.run_id:
            view.run_id = fact.run_id
        view.apply(fact)
    return view


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


def _parse_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _ask_json(ask: AskView) -> dict[str, Any]:
    return {
        "name": ask.name,
        "question": ask.question,
        "choices": list(ask.choices),
        "default": ask.default,
        "expires_at": _time(ask.expires_at),
        "answer": ask.answer,
        "answered_by": ask.answered_by,
        "withdrawn": ask.withdrawn,
        "details": dict(ask.details),
    }


def _ask_from_json(data: Mapping[str, Any]) -> AskView:
    times = {
        "expires_at": _parse_time(data.get("expires_at")),
        "choices": tuple(data.get("choices") or ()),
    }
    return AskView(**{**_known(AskView, data), **times})


def _known(
    cls: type[AskView | ArtifactView], data: Mapping[str, Any]
) -> dict[str, Any]:
    return {name: data[name] for name in cls.__dataclass_fields__ if name in data}


def _artifact_json(artifact: ArtifactView) -> dict[str, Any]:
    return {name: getattr(artifact, name) for name in ArtifactView.__dataclass_fields__}


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
    #: Why the run takes no answer any more.
    withdrawn: str | None = None
    #: What one should see before one answers. Kept while it is open: a run may ask a thousand times.
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return self.answer is None and self.withdrawn is None


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """How far an artifact has come: characters so far, bytes once complete."""

    artifact_id: str
    attempt: int = 1
    characters: int = 0
    size: int | None = None
    sha256: str | None = None
    path: str | None = None


class _Form(NamedTuple):
    """How a field stands in JSON."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


_MOMENT = _Form(_time, _parse_time)
_DICT = _Form(dict, lambda told: told)
#: Those that JSON has otherwise, or that must not be shared with who reads them.
_FORMS = {
    "priority": _Form(
        lambda priority: Priority(priority).name,
        lambda named: Priority.__members__.get(str(named), Priority.MEDIUM),
    ),
    "created_at": _MOMENT,
    "started_at": _MOMENT,
    "ended_at": _MOMENT,
    "last_at": _MOMENT,
    "not_before": _MOMENT,
    "details": _DICT,
    "labels": _DICT,
    "needs": _DICT,
    "inputs": _DICT,
    "after": _Form(list, lambda after: tuple(after or ())),
    "milestones": _Form(list, lambda milestones: list(milestones or ())),
    "asks": _Form(
        lambda asks: [_ask_json(ask) for ask in asks.values()],
        lambda asks: {ask.name: ask for ask in map(_ask_from_json, asks or ())},
    ),
    "artifacts": _Form(
        lambda artifacts: [_artifact_json(one) for one in artifacts.values()],
        lambda artifacts: {
            one["artifact_id"]: ArtifactView(**_known(ArtifactView, one))
            for one in artifacts or ()
        },
    ),
}
#: What nobody asks for: what only the run itself needs, or its place on the way, or what others say in words.
_UNTOLD = frozenset({
    "waiting", "preempted_by", "known_exit", "code_hash", "code_clock", "crashes", "traceparent", "steps",
    "corrections_open", "unknown",
})  # fmt: skip
_TOLD = tuple([name for name in RunView.__dataclass_fields__ if name not in _UNTOLD])


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
    view.not_before = event.not_before
    view.stashed = event.stashed
    view.retries = event.retries
    view.backoff = event.backoff
    view.traceparent = event.traceparent
    view.needs = event.needs
    view.origin = event.origin
    view.created_at = fact.at
    view.place = fact.position


def _started(view: RunView, fact: Recorded, event: e.RunStarted) -> None:
    view.attempt = event.attempt
    view.box = event.box or view.box
    view.started_at = fact.at
    view.reason = ""
    view.not_before = None


def _resumed(view: RunView, _fact: Recorded, event: e.RunResumed) -> None:
    view.attempt = event.attempt
    view.box = event.box or view.box
    view.reason = ""
    view.not_before = None


def _waiting(view: RunView, _fact: Recorded, event: e.RunWaiting) -> None:
    view.reason = event.reason
    view.waiting = event.waiting


def _preempted(view: RunView, _fact: Recorded, event: e.RunPreempted) -> None:
    view.preempted_by = event.by
    view.reason = f"preempted by {event.by}"


def _requeued(view: RunView, _fact: Recorded, event: e.RunRequeued) -> None:
    view.reason = event.reason
    view.stashed = event.stashed
    view.crashes += event.reason == "crash"
    if event.not_before is not None:
        view.not_before = event.not_before
        view.retried += 1
        view.last_error = event.error


def _rearranged(view: RunView, _fact: Recorded, event: e.RunRearranged) -> None:
    if event.priority is not None:
        view.priority = event.priority
    if event.turn is not None:
        view.turn = event.turn
    if event.stashed is not None:
        view.stashed = event.stashed
        view.not_before = event.not_before


def _edited(view: RunView, _fact: Recorded, event: e.RunEdited) -> None:
    view.inputs = event.inputs


def _cancel_requested(
    view: RunView, _fact: Recorded, event: e.RunCancelRequested
) -> None:
    view.cancel_requested = event.reason


def _completed(view: RunView, fact: Recorded, event: e.RunCompleted) -> None:
    view.details = event.details
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


def _process_exited(view: RunView, _fact: Recorded, event: e.ProcessExited) -> None:
    view.leftover += event.leftover


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
        event.name,
        event.question,
        event.choices,
        event.default,
        event.expires_at,
        details=event.details,
    )


def _ask_answered(view: RunView, _fact: Recorded, event: e.AskAnswered) -> None:
    ask = _asked(view, event.name)
    view.asks[event.name] = replace(ask, answer=event.answer, answered_by=event.by)


def _ask_withdrawn(view: RunView, _fact: Recorded, event: e.AskWithdrawn) -> None:
    ask = _asked(view, event.name)
    view.asks[event.name] = replace(ask, withdrawn=event.reason)


def _asked(view: RunView, name: str) -> AskView:
    """The question that is not open any more."""
    ask = view.asks.get(name)
    if ask is None:
        view.anomalies += 1
        ask = AskView(name, "")
    return replace(ask, details={})


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
    view.model_doing = ""


def _model_progress(view: RunView, _fact: Recorded, event: e.ModelProgress) -> None:
    view.model_doing = model_doing(event)


EFFECTS: dict[str, Callable[[RunView, Recorded, Any], None]] = {
    "run.queued": _queued,
    "run.started": _started,
    "run.resumed": _resumed,
    "run.waiting": _waiting,
    "run.preempted": _preempted,
    "run.requeued": _requeued,
    "run.rearranged": _rearranged,
    "run.edited": _edited,
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
    "ask.withdrawn": _ask_withdrawn,
    "artifact.partial": _artifact_partial,
    "artifact.completed": _artifact_completed,
    "model.used": _model_used,
    "model.progress": _model_progress,
    "process.exited": _process_exited,
}
