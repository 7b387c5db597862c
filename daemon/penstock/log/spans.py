"""Spans of runs, executions, steps, requests to models and programs, made from recorded facts.

A span is told when it has ended, whole. Of what ended while nobody listened nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from penstock.log.projections import RunView
from penstock.words.events import (
    TERMINAL_TYPES,
    ModelUsed,
    ProcessExited,
    ProcessStarted,
    RunFailed,
    RunRequeued,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
)
from penstock.words.recorded import Recorded
from penstock.words.trace_context import (
    TraceContext,
    context_of_run,
    execution_context,
    read_traceparent,
)

Attribute: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, Attribute]

#: The types of facts that spans are made of; the bodies of all others are left alone.
_TOLD = frozenset({
    "run.queued", "run.started", "run.resumed", "run.requeued", "model.used", "process.started",
    "process.exited", "step.completed", "step.failed",
}) | TERMINAL_TYPES  # fmt: skip


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """A stretch of time with a name. `error` says why it is one that failed."""

    context: TraceContext
    parent: TraceContext | None
    name: str
    began: datetime
    ended: datetime
    attributes: Attributes = field(default_factory=dict)
    error: str | None = None
    #: `client` for what was asked of somebody else.
    kind: Literal["internal", "client", "consumer"] = "internal"


@dataclass(eq=False, slots=True)
class _Open:
    """A run that has not ended, as far as its spans need it."""

    kind: str
    created_at: datetime
    parent: TraceContext | None
    context: TraceContext
    attributes: dict[str, Attribute]
    attempt: int = 0
    #: When the execution that goes on was begun; None: none does.
    began: datetime | None = None
    #: When the newest step ended: what comes after it began there.
    stepped: datetime | None = None
    processes: dict[int, tuple[datetime, ProcessStarted]] = field(default_factory=dict)

    @property
    def execution(self) -> TraceContext:
        return execution_context(self.context, self.attempt)


class SpanMaker:
    """Takes facts in their order and gives the spans that each of them ends."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def take(self, fact: Recorded, view: RunView) -> list[TraceSpan]:
        """The spans that end with this fact of a run; the view has the fact in it."""
        if fact.type not in _TOLD or view.created_at is None:
            return []
        run = self._open.get(fact.run_id)
        if run is None:
            run = self._open[fact.run_id] = _open_of(view, view.created_at)
        event = fact.event
        if fact.type in TERMINAL_TYPES:
            del self._open[fact.run_id]
            return _end_run(run, fact)
        if isinstance(event, RunStarted | RunResumed):
            run.attempt, run.began, run.stepped = event.attempt, fact.at, None
            return []
        if isinstance(event, RunRequeued):
            return _end_execution(run, fact.at, f"requeued: {event.reason}")
        return _part_of(run, fact)


def _open_of(view: RunView, created_at: datetime) -> _Open:
    """A run as it is first seen. None of its executions goes on: those of an earlier life ended with it."""
    return _Open(
        view.kind,
        created_at,
        read_traceparent(view.traceparent or ""),
        context_of_run(view.run_id, created_at, view.traceparent),
        _about(view),
    )


def _about(run: RunView) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "penstock.run.id": run.run_id,
        "penstock.run.kind": run.kind,
        "penstock.run.priority": run.priority,
    }
    for name in ("group", "parent_id", "retry_of"):
        if value := getattr(run, name):
            attributes[f"penstock.run.{name}"] = value
    for name, value in run.labels.items():
        attributes[f"penstock.label.{name}"] = value
    return attributes


def _part_of(run: _Open, fact: Recorded) -> list[TraceSpan]:
    """What was done in an execution, and has ended."""
    event = fact.event
    if isinstance(event, ModelUsed):
        return [_model_span(run, fact, event)]
    if isinstance(event, ProcessStarted):
        run.processes[event.pid] = (fact.at, event)
    elif isinstance(event, ProcessExited):
        begun = run.processes.pop(event.pid, None)
        if begun is not None:
            return [_process_span(run, fact, event, *begun)]
    elif isinstance(event, StepCompleted | StepFailed):
        return [_step_span(run, fact, event)]
    return []


def _model_span(run: _Open, fact: Recorded, event: ModelUsed) -> TraceSpan:
    """By the conventions for generative AI."""
    return TraceSpan(
        run.execution.below(str(fact.event_id)),
        run.execution,
        f"chat {event.model}",
        fact.at - timedelta(seconds=event.seconds),
        fact.at,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": event.model,
            "gen_ai.usage.input_tokens": event.tokens_in,
            "gen_ai.usage.output_tokens": event.tokens_out,
            "penstock.model.cost": event.cost,
        },
        kind="client",
    )


def _process_span(
    run: _Open,
    fact: Recorded,
    exited: ProcessExited,
    began: datetime,
    started: ProcessStarted,
) -> TraceSpan:
    name = (started.argv or ("program",))[0].rpartition("/")[2]
    attributes: dict[str, Attribute] = {
        "process.pid": started.pid,
        "process.executable.name": name,
    }
    error = None
    if exited.exit_code is not None:
        attributes["process.exit.code"] = exited.exit_code
        error = f"exit status {exited.exit_code}" if exited.exit_code else None
    elif exited.signal is not None:
        attributes["penstock.process.signal"] = exited.signal
        error = f"ended by signal {exited.signal}"
    context = run.execution.below(f"process {started.pid} {started.start_time}")
    return TraceSpan(context, run.execution, name, began, fact.at, attributes, error)


def _step_span(
    run: _Open, fact: Recorded, event: StepCompleted | StepFailed
) -> TraceSpan:
    """No fact says when a step began: at the end of the one before it, as steps mostly do."""
    began = run.stepped or run.began or fact.at
    run.stepped = fact.at
    return TraceSpan(
        run.execution.below(str(fact.event_id)),
        run.execution,
        f"step {event.name}",
        began,
        fact.at,
        error=event.error if isinstance(event, StepFailed) else None,
    )


def _end_execution(run: _Open, at: datetime, why: str | None) -> list[TraceSpan]:
    if run.began is None:
        return []
    context, began = run.execution, run.began
    run.began = None
    run.processes.clear()
    attributes = {"penstock.run.attempt": run.attempt}
    name = f"execute {run.kind}"
    return [TraceSpan(context, run.context, name, began, at, attributes, why)]


def _end_run(run: _Open, fact: Recorded) -> list[TraceSpan]:
    event, state = fact.event, fact.type.partition(".")[2]
    error = event.error if isinstance(event, RunFailed) else None
    return [
        *_end_execution(run, fact.at, error),
        TraceSpan(
            run.context,
            run.parent,
            f"run {run.kind}",
            run.created_at,
            fact.at,
            {**run.attributes, "penstock.run.state": state},
            error,
            kind="consumer",
        ),
    ]
