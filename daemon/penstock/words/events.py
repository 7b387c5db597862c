"""The vocabulary of facts: one frozen class per fact, one union.

A fact says what happened, never what should. What the store adds when it records a fact (position,
sequence, clock) stands around it, in `penstock.words.recorded`.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

from penstock.words.terminal_types import TERMINAL_TYPES as TERMINAL_TYPES
from penstock.words.values import (
    JsonObject,
    JsonValue,
    Moment,
    VectorClock,
    Version,
)
from penstock.words.wait_reason import Waiting, WaitingKind, read_reason

#: Facts about the daemon itself, and not about one run, stand in this stream.
DAEMON_STREAM = "daemon"

#: One fact may carry at most this many bytes of JSON: a slow reader must be able to take it whole.
LARGEST_EVENT_BYTES = 8 * 1024 * 1024


class Fact(BaseModel):
    """What every fact has in common: it is frozen and has no unknown fields.

    A field may be added, with a default, if who does not know it takes the fact for what it is without it:
    boxes of older releases fold it, and execute runs by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- the life of a run


class RunQueued(Fact):
    """The run was accepted. Secret values are left out of `inputs`."""

    type: Literal["run.queued"] = "run.queued"
    kind: str
    priority: int
    inputs: JsonObject = {}
    labels: dict[str, str] = {}
    after: tuple[str, ...] = ()
    group: str | None = None
    timeout: float | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    #: Where it was asked for in somebody's trace, by W3C Trace Context.
    traceparent: str | None = None
    #: It starts no earlier; it is put aside until somebody enqueues it.
    not_before: Moment | None = None
    stashed: bool = False
    #: How often it is executed again after a failure, and the seconds before the first time.
    retries: Annotated[int, Field(ge=0)] = 0
    backoff: Annotated[float, Field(ge=0)] = 0.0
    #: What it asks of the box that executes it, and the box it was submitted at.
    needs: dict[str, str] = {}
    origin: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most runs have none of these, and a reader of an older version knows none of them."""
        data: dict[str, Any] = serialize(self)
        for name in _SELDOM:
            if not data.get(name):
                data.pop(name, None)
        return data


_SELDOM = ("not_before", "stashed", "retries", "backoff", "needs", "origin")


class RunStarted(Fact):
    """The first claim: from here on the run has an owner."""

    type: Literal["run.started"] = "run.started"
    kind: str
    #: Read from logs of old and never written: they are those of `run.queued`.
    inputs: JsonObject = Field(default={}, exclude=True)
    attempt: int = 1
    #: The box that executes it; "" in logs of older versions.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class RunResumed(Fact):
    """A later claim, or the slot taken again after waiting."""

    type: Literal["run.resumed"] = "run.resumed"
    attempt: int
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


def _without_no_box(data: dict[str, Any]) -> dict[str, Any]:
    if not data.get("box"):
        data.pop("box", None)
    return data


class RunWaiting(Fact):
    """The run gave its slot back until something happens; made by `RunWaiting.of`.

    `reason` says in words what `kind` and `subject` say; older versions recorded nothing else.
    """

    type: Literal["run.waiting"] = "run.waiting"
    reason: str
    kind: WaitingKind = "other"
    subject: str = ""
    #: When the wait is thought to be over, where that is known.
    until: Moment | None = None

    @classmethod
    def of(cls, waiting: Waiting) -> RunWaiting:
        """The fact that the run waits for this."""
        return cls(reason=waiting.reason, **asdict(waiting))

    @model_validator(mode="before")
    @classmethod
    def _of_old(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "kind" in data:
            return data
        if not isinstance(reason := data.get("reason"), str):
            return data
        return {**data, **asdict(read_reason(reason))}

    @property
    def waiting(self) -> Waiting:
        """What for."""
        return Waiting(self.kind, self.subject, self.until)

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        if self.until is None:
            data.pop("until", None)
        return data


class RunPreempted(Fact):
    type: Literal["run.preempted"] = "run.preempted"
    by: str


class RunRequeued(Fact):
    """The run stands in line again. After a failure (`retry`): not before that moment, and why."""

    type: Literal["run.requeued"] = "run.requeued"
    reason: Literal["shutdown", "crash", "preempted", "retry"]
    not_before: Moment | None = None
    error: str = ""
    #: It was paused, and is put aside now.
    stashed: bool = False

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        if self.not_before is None:
            data.pop("not_before", None)
            data.pop("error", None)
        if not self.stashed:
            data.pop("stashed", None)
        return data


class RunPaused(Fact):
    """Its program stands still until `run.continued`; its slot stays its own, its time does not count."""

    type: Literal["run.paused"] = "run.paused"


class RunContinued(Fact):
    type: Literal["run.continued"] = "run.continued"


class RunRearranged(Fact):
    """Somebody changed how a run waits in line; what is null stays as it was."""

    type: Literal["run.rearranged"] = "run.rearranged"
    priority: int | None = None
    #: Its place among runs of its priority from now on: lower goes first.
    turn: int | None = None
    #: Whether it is put aside; where this is told, `not_before` is what holds from now on.
    stashed: bool | None = None
    not_before: Moment | None = None


class RunEdited(Fact):
    """Somebody changed what a run is to do, before it began. Secret values are left out."""

    type: Literal["run.edited"] = "run.edited"
    inputs: JsonObject


class RunCancelRequested(Fact):
    type: Literal["run.cancel_requested"] = "run.cancel_requested"
    reason: str


class RunCompleted(Fact):
    type: Literal["run.completed"] = "run.completed"
    result: JsonValue = None
    details: JsonObject = {}


class RunFailed(Fact):
    type: Literal["run.failed"] = "run.failed"
    reason: str
    error: str
    details: JsonObject = {}


class RunCancelled(Fact):
    type: Literal["run.cancelled"] = "run.cancelled"
    reason: str
    details: JsonObject = {}


# -- what a pipeline reports


class PlanCompleted(Fact):
    type: Literal["plan.completed"] = "plan.completed"
    modules: tuple[JsonObject, ...] = ()
    summary: str = ""


class ModuleStarted(Fact):
    type: Literal["module.started"] = "module.started"
    module: str


class ModuleIterated(Fact):
    type: Literal["module.iterated"] = "module.iterated"
    module: str
    iteration: int


class CodeGenerated(Fact):
    """New code; the envelope's `code_version` is its number."""

    type: Literal["code.generated"] = "code.generated"
    module: str = ""
    code_hash: str | None = None
    files: tuple[str, ...] = ()


class TestStarted(Fact):
    type: Literal["test.started"] = "test.started"
    module: str = ""
    argv: tuple[str, ...] = ()


class TestPassed(Fact):
    type: Literal["test.passed"] = "test.passed"
    module: str = ""
    summary: str = ""


class TestFailed(Fact):
    type: Literal["test.failed"] = "test.failed"
    module: str = ""
    reason: str = "failed"
    summary: str = ""


class BugReported(Fact):
    """A report about one version of the code, with the verdict the staleness rule gave it."""

    type: Literal["bug.reported"] = "bug.reported"
    text: str
    module: str = ""
    version: Version = 0
    clock: VectorClock = {}
    code_hash: str | None = None
    verdict: Literal["valid", "stale", "invalid"] | None = None


class CorrectionStarted(Fact):
    type: Literal["correction.started"] = "correction.started"
    module: str = ""
    cause: str = ""


class CorrectionCompleted(Fact):
    """Corrected code; the envelope's `code_version` is its number."""

    type: Literal["correction.completed"] = "correction.completed"
    module: str = ""
    code_hash: str | None = None
    files: tuple[str, ...] = ()


class AnalysisCompleted(Fact):
    type: Literal["analysis.completed"] = "analysis.completed"
    findings: tuple[JsonObject, ...] = ()
    summary: str = ""


class StepCompleted(Fact):
    """A named durable unit ended; a resumed run reuses `result` and does not do it again."""

    type: Literal["step.completed"] = "step.completed"
    name: str
    result: JsonValue = None
    child_id: str | None = None


class StepFailed(Fact):
    type: Literal["step.failed"] = "step.failed"
    name: str
    error: str
    child_id: str | None = None


class Milestone(Fact):
    type: Literal["milestone"] = "milestone"
    name: str
    metadata: JsonObject = {}


class Progress(Fact):
    type: Literal["progress"] = "progress"
    step: str
    fraction: Annotated[float, Field(ge=0, le=1)] | None = None


class ArtifactPartial(Fact):
    """The next piece of a text; the pieces of the newest attempt joined are the artifact."""

    type: Literal["artifact.partial"] = "artifact.partial"
    artifact_id: str
    text: str
    attempt: int = 1


class ArtifactCompleted(Fact):
    """The artifact is whole: its size in UTF-8 bytes and its SHA-256."""

    type: Literal["artifact.completed"] = "artifact.completed"
    artifact_id: str
    size: int
    sha256: str
    path: str | None = None
    attempt: int = 1


class Log(Fact):
    """A piece of a process's output, or of a pipeline's own words, as it was read; see `printed`.

    Exactly one of: `text`, where the bytes are UTF-8; `base64`, where they are not; or, once the
    log's window has rolled over it, the number of `bytes` that it held, and `emptied`.
    """

    type: Literal["log"] = "log"
    text: str | None = None
    base64: str | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    emptied: Literal[True] | None = None
    stream: Literal["stdout", "stderr", "pipeline"] = "pipeline"

    @model_validator(mode="after")
    def _check_form(self) -> Log:
        forms = (self.text, self.base64, self.emptied)
        if sum(form is not None for form in forms) != 1:
            raise ValueError("exactly one of text, base64 and emptied is given")
        if (self.bytes is None) != (self.emptied is None):
            raise ValueError("bytes are counted when a piece is emptied, and only then")
        if self.base64 is not None:
            a2b_base64(self.base64, strict_mode=True)
        return self

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            name: value for name, value in serialize(self).items() if value is not None
        }


class LogTruncated(Fact):
    """The middle of an output was not kept; in logs of older versions, and never written."""

    type: Literal["log.truncated"] = "log.truncated"
    stream: Literal["stdout", "stderr", "pipeline"] = "stdout"
    dropped_bytes: int


class ProcessStarted(Fact):
    """Enough to find the process again, and to know it from a stranger with the same pid."""

    type: Literal["process.started"] = "process.started"
    pid: int
    start_time: int
    boot_id: str
    method: Literal["cgroup", "subreaper", "session"]
    cgroup: str | None = None
    argv: tuple[str, ...] = ()


class ProcessExited(Fact):
    type: Literal["process.exited"] = "process.exited"
    pid: int
    exit_code: int | None = None
    signal: int | None = None
    #: Processes it had left behind when it exited; they were ended.
    leftover: int = 0
    survivors: tuple[int, ...] | Literal["unknown"] = ()


class ModelUsed(Fact):
    """One answer was asked of a model, finished or not: what it took, and what it cost."""

    type: Literal["model.used"] = "model.used"
    model: str
    tokens_in: Annotated[int, Field(ge=0)] = 0
    tokens_out: Annotated[int, Field(ge=0)] = 0
    #: In the currency of the configured prices.
    cost: Annotated[float, Field(ge=0)] = 0.0
    #: How long the request took.
    seconds: Annotated[float, Field(ge=0)] = 0.0


class SentMessage(BaseModel):
    """One message of a prompt, as it was sent; `left_out` characters of its middle were not kept."""

    model_config = ConfigDict(frozen=True)
    role: str
    content: str
    left_out: Annotated[int, Field(ge=0)] = 0


class ModelAnswered(Fact):
    """One exchange with a model: what it was sent, what it said, and why that could not be used."""

    type: Literal["model.answered"] = "model.answered"
    #: What was asked, as `coding.plan`; the number of the answer to it.
    question: str = ""
    attempt: int = 1
    model: str = ""
    sent: tuple[SentMessage, ...] = ()
    said: str = ""
    #: What it thought before, where that is told apart.
    thoughts: str = ""
    #: Characters of both that were not kept.
    left_out: Annotated[int, Field(ge=0)] = 0
    #: "": the answer was used.
    refused: str = ""
    finish_reason: str = ""
    #: The question's inputs and the answer's fields as values, unless they are large.
    inputs: JsonObject = {}
    fields: JsonObject = {}


class ModelProgress(Fact):
    """What a model does now: it reads its prompt, thinks, or writes; so many tokens by now."""

    type: Literal["model.progress"] = "model.progress"
    phase: Literal["reading", "thinking", "writing"]
    tokens: Annotated[int, Field(ge=0)] = 0
    #: Of a prompt that is being read: how many are read already, where the server tells.
    read: int | None = None
    #: Tokens a second in this phase.
    per_second: float | None = None


# -- coding agents


class AgentSaid(Fact):
    """The next piece of what an agent says; pieces of the same `message` are joined."""

    type: Literal["agent.said"] = "agent.said"
    message: str
    #: What it says, what it thinks, and what it was told.
    role: Literal["agent", "thought", "user"] = "agent"
    text: str


#: What a tool of an agent does, as the Agent Client Protocol tells it; "other" is all else.
ToolKind = Literal[
    "read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other",
]  # fmt: skip


class ToolCalled(Fact):
    """An agent begins to use a tool; `asked`: it was allowed to by an answer or a rule."""

    type: Literal["tool.called"] = "tool.called"
    call: str
    title: str = ""
    tool: ToolKind = "other"
    paths: tuple[str, ...] = ()
    input: JsonObject = {}
    asked: bool = False


class ToolEnded(Fact):
    """What came of it: the end of its output, and what it changed as a unified diff."""

    type: Literal["tool.ended"] = "tool.ended"
    call: str
    status: Literal["completed", "failed", "cancelled"]
    output: str = ""
    diff: str = ""


class PlanEntry(BaseModel):
    """A thing that an agent means to do."""

    model_config = ConfigDict(frozen=True)
    content: str
    status: Literal["pending", "in_progress", "completed"] = "pending"
    priority: Literal["high", "medium", "low"] = "medium"


class PlanUpdated(Fact):
    """What an agent means to do by now, whole."""

    type: Literal["plan.updated"] = "plan.updated"
    entries: tuple[PlanEntry, ...] = ()


# -- people


class AskRaised(Fact):
    type: Literal["ask.raised"] = "ask.raised"
    name: str
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    expires_at: Moment | None = None
    #: What one should see before one answers; of an agent's: tool, title, command, paths, diff.
    details: JsonObject = {}

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        if not self.details:
            data.pop("details", None)
        return data


class AskAnswered(Fact):
    type: Literal["ask.answered"] = "ask.answered"
    name: str
    answer: str
    by: str


class AskWithdrawn(Fact):
    """Who asked needs no answer any more; the question takes none."""

    type: Literal["ask.withdrawn"] = "ask.withdrawn"
    name: str
    reason: str


class InterventionReceived(Fact):
    type: Literal["intervention.received"] = "intervention.received"
    text: str


# -- the daemon


class BackpressureRaised(Fact):
    type: Literal["backpressure.raised"] = "backpressure.raised"
    gauge: str
    level: Literal["warning", "critical"]
    used: int
    capacity: int
    #: The box whose gauge it is, of a log that several share.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class BackpressureCleared(Fact):
    type: Literal["backpressure.cleared"] = "backpressure.cleared"
    gauge: str
    used: int
    capacity: int
    #: The box whose gauge it is, of a log that several share.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class SubscriberLagged(Fact):
    type: Literal["subscriber.lagged"] = "subscriber.lagged"
    subscriber: str
    dropped: int


class QueuePaused(Fact):
    type: Literal["queue.paused"] = "queue.paused"
    group: str | None = None
    reason: str = ""


class QueueResumed(Fact):
    type: Literal["queue.resumed"] = "queue.resumed"
    group: str | None = None


class QueueDrained(Fact):
    """The queue (null) or a group takes no new runs until `queue.opened`; those there are go on."""

    type: Literal["queue.drained"] = "queue.drained"
    group: str | None = None
    #: Where it was said, of a log that several boxes share.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class QueueOpened(Fact):
    type: Literal["queue.opened"] = "queue.opened"
    group: str | None = None


class SlotsChanged(Fact):
    """The queue (null) or a group has other slots; null: those of the configuration again.

    Of a log that several boxes share the slots of a group are for all together, and those of the queue
    the `box`'s.
    """

    type: Literal["slots.changed"] = "slots.changed"
    group: str | None = None
    slots: int | None = None
    #: Of a log that several boxes share, the one whose slots these are: each has its own.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class FailuresDismissed(Fact):
    """Somebody has seen how these runs failed: they need nobody any more."""

    type: Literal["failures.dismissed"] = "failures.dismissed"
    runs: tuple[str, ...]
    #: Where it was said, of a log that several boxes share.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class ScheduleSet(Fact):
    """Something is to be run again and again, first at `due`. Secret values are left out."""

    type: Literal["schedule.set"] = "schedule.set"
    name: str
    timing: str
    zone: str = "UTC"
    kind: str
    inputs: JsonObject = {}
    due: Moment | None = None


class ScheduleRemoved(Fact):
    type: Literal["schedule.removed"] = "schedule.removed"
    name: str


class ScheduleSkipped(Fact):
    """A due time made no run."""

    type: Literal["schedule.skipped"] = "schedule.skipped"
    name: str
    due: Moment
    reason: str


class BoxLost(Fact):
    """A box kept silent for longer than its lease; what it executed is taken over by the others."""

    type: Literal["box.lost"] = "box.lost"
    box: str
    #: The start of its daemon that had the lease.
    life: str
    #: Since it last renewed its lease, by the clock of the log's server.
    silent_seconds: Annotated[float, Field(ge=0)]
    #: The box that found it lost.
    by: str = ""


class BoxForgotten(Fact):
    """Nobody tells of a box any more that has no lease and no open runs of its own; it may come back."""

    type: Literal["box.forgotten"] = "box.forgotten"
    box: str
    #: The box that was told to.
    by: str = ""


class BoxDrained(Fact):
    """A box starts no more runs until `box.resumed`; what it executes goes on."""

    type: Literal["box.drained"] = "box.drained"
    box: str


class BoxResumed(Fact):
    type: Literal["box.resumed"] = "box.resumed"
    box: str


class DaemonStarted(Fact):
    """A start of the daemon, and what boot repair found and did."""

    type: Literal["daemon.started"] = "daemon.started"
    version: str
    life: str
    requeued: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    ended_pids: tuple[int, ...] = ()
    #: Why the log was found put back, and was given a new epoch; empty when it was not.
    put_back: str = ""
    #: Where, of a log that several boxes share.
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class DaemonStopping(Fact):
    type: Literal["daemon.stopping"] = "daemon.stopping"
    reason: str = ""
    box: str = ""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_no_box(serialize(self))


class UnknownEvent(BaseModel):
    """A fact of a type, or a shape, that this version does not know; kept as it came."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str
    # Private, because a newer daemon may well have a field of this name.
    _problem: str = PrivateAttr(default="")

    @property
    def problem(self) -> str:
        """Why it was not understood; empty if its type is unknown."""
        return self._problem


def unknown(data: Mapping[str, Any], problem: str = "") -> UnknownEvent:
    """The fact kept as it came, and why it was not understood."""
    event = UnknownEvent.model_validate(dict(data))
    event._problem = problem
    return event


Terminal = RunCompleted | RunFailed | RunCancelled

KnownEvent = (
    RunQueued | RunStarted | RunResumed | RunWaiting | RunPreempted | RunRequeued
    | RunPaused | RunContinued | RunRearranged | RunEdited | RunCancelRequested | Terminal | PlanCompleted | ModuleStarted | ModuleIterated
    | CodeGenerated | TestStarted | TestPassed | TestFailed | BugReported | CorrectionStarted
    | CorrectionCompleted | AnalysisCompleted | StepCompleted | StepFailed | Milestone | Progress
    | ArtifactPartial | ArtifactCompleted | Log | LogTruncated | ProcessStarted | ProcessExited
    | ModelUsed | ModelAnswered | ModelProgress
    | AgentSaid | ToolCalled | ToolEnded | PlanUpdated
    | AskRaised | AskAnswered | AskWithdrawn | InterventionReceived | BackpressureRaised | BackpressureCleared
    | SubscriberLagged | QueuePaused | QueueResumed | QueueDrained | QueueOpened | SlotsChanged | FailuresDismissed
    | ScheduleSet | ScheduleRemoved | ScheduleSkipped | BoxLost | BoxForgotten | BoxDrained | BoxResumed
    | DaemonStarted | DaemonStopping
)  # fmt: skip
Event = Annotated[KnownEvent, Field(discriminator="type")]
AnyEvent = KnownEvent | UnknownEvent

EVENT_CLASSES: dict[str, type[Fact]] = {
    cls.model_fields["type"].default: cls for cls in get_args(KnownEvent)
}

#: May be coalesced, and dropped while the store is unavailable; no other fact may.
DROPPABLE_TYPES = frozenset({
    "log", "progress", "artifact.partial", "model.progress",
})  # fmt: skip


def parse_event(data: Mapping[str, Any]) -> AnyEvent:
    """The fact in `data` (a JSON object with `type`); whatever does not fit becomes UnknownEvent.

    Nothing that was recorded may crash its reader, so this takes any JSON value. Fields that a newer
    release added to a fact are passed over: it is still what it was.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        return unknown({"type": ""}, "not a JSON object with a type")
    cls = EVENT_CLASSES.get(data["type"])
    if cls is None:
        return unknown(data)
    try:
        return cls.model_validate(data)  # type: ignore[return-value]
    except ValidationError as error:
        known = _known_part(data, error)
        return unknown(data, str(error)) if known is None else parse_event(known)


def _known_part(
    data: Mapping[str, Any], error: ValidationError
) -> dict[str, Any] | None:
    """The fact without fields of its own that only a newer release knows; None if more is amiss than these."""
    newer = set()
    for problem in error.errors(include_url=False, include_context=False):
        if problem["type"] != "extra_forbidden" or len(problem["loc"]) > 1:
            return None
        newer.add(problem["loc"][0])
    return {name: value for name, value in data.items() if name not in newer}


def encode_event(event: AnyEvent) -> bytes:
    """The fact as JSON. The class's own serializer costs 2.4x less than the union's."""
    # Most facts are pieces of output, and what leaves out their empty fields costs as much again.
    if type(event) is Log and event.text is not None:
        return b'{"type":"log","text":%b,"stream":"%b"}' % (
            to_json(event.text),
            event.stream.encode(),
        )
    return type(event).__pydantic_serializer__.to_json(event)
