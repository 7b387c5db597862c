"""The vocabulary of facts: one frozen class per fact, one union, one envelope.

A fact says what happened, never what should. What the store adds when it records a fact (position,
sequence, clock) stands in the envelope around it.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import from_json, to_json

from penstock.clocks import Clock, check_clock

#: Facts about the daemon itself, and not about one run, stand in this stream.
DAEMON_STREAM = "daemon"

#: One fact may carry at most this many bytes of JSON: a slow reader must be able to take it whole.
LARGEST_EVENT_BYTES = 8 * 1024 * 1024

#: Characters in a run id: it is part of file names and URLs.
LONGEST_RUN_ID = 200

# Deeper payloads are refused; a cycle has no depth, so this finds cycles too.
_DEEPEST_PAYLOAD = 100

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def check_json(value: Any, depth: int = 0) -> Any:
    """A deep copy of `value` if it is JSON; ValueError says what is not."""
    if depth > _DEEPEST_PAYLOAD:
        raise ValueError(f"nested deeper than {_DEEPEST_PAYLOAD} levels, or a cycle")
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and infinity are not JSON")
        return value
    # An abstract class is slow to ask, and nearly all mappings are plain ones.
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101
        if not all(isinstance(key, str) for key in value):
            raise ValueError("the keys of a JSON object are strings")
        return {key: check_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [check_json(item, depth + 1) for item in value]
    raise ValueError(f"{type(value).__name__} is not JSON")


def check_run_id(value: Any) -> str:
    """The run id in its one form; ValueError says why it is refused.

    Path separators and control characters become `-`, and the text is NFC, so ids that look alike
    are alike.
    """
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if "\0" in value:
        raise ValueError("must not contain NUL")
    text = unicodedata.normalize("NFC", value)
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > LONGEST_RUN_ID:
        raise ValueError(
            f"must have at most {LONGEST_RUN_ID} characters, has {len(text)}"
        )
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ValueError("must be valid Unicode")
    text = "".join(
        "-" if c in "/\\" or unicodedata.category(c) == "Cc" else c for c in text
    )
    return "-" * len(text) if text in {".", ".."} else text


# Ids must differ and need not be hard to guess, so the kernel is asked for a seed and not for
# every one of them.
_noise = random.Random(os.urandom(32))


def new_event_id() -> UUID:
    """A UUIDv7 (RFC 9562): time-ordered, so the unique index grows at one end."""
    stamp = time.time_ns() // 1_000_000
    noise = _noise.getrandbits(74)
    return UUID(
        int=stamp << 80
        | 0x7000 << 64
        | (noise >> 62) << 64
        | 0x2 << 62
        | noise & (1 << 62) - 1
    )


def to_moment(micros: int) -> datetime:
    """The aware time in UTC of so many microseconds since 1970."""
    return _UNIX + timedelta(microseconds=micros)


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: the one form on every surface."""
    return (
        moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


JsonValue = Annotated[Any, AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]
RunId = Annotated[str, BeforeValidator(check_run_id)]
Moment = Annotated[
    AwareDatetime,
    AfterValidator(lambda moment: moment.astimezone(UTC)),
    PlainSerializer(format_time, return_type=str, when_used="json"),
]
Version = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
VectorClock = Annotated[dict[str, int], BeforeValidator(check_clock)]


class Fact(BaseModel):
    """What every fact has in common: it is frozen and has no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- the life of a run


class RunQueued(Fact):
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


class RunStarted(Fact):
    """The first claim: from here on the run has an owner. Secret values are left out of `inputs`."""

    type: Literal["run.started"] = "run.started"
    kind: str
    inputs: JsonObject = {}
    attempt: int = 1


class RunResumed(Fact):
    """A later claim, or the slot taken again after waiting."""

    type: Literal["run.resumed"] = "run.resumed"
    attempt: int


class RunWaiting(Fact):
    """The run gave its slot back until something happens."""

    type: Literal["run.waiting"] = "run.waiting"
    reason: str


class RunPreempted(Fact):
    type: Literal["run.preempted"] = "run.preempted"
    by: str


class RunRequeued(Fact):
    type: Literal["run.requeued"] = "run.requeued"
    reason: Literal["shutdown", "crash", "preempted"]


class RunCancelRequested(Fact):
    type: Literal["run.cancel_requested"] = "run.cancel_requested"
    reason: str


class RunCompleted(Fact):
    type: Literal["run.completed"] = "run.completed"
    result: JsonValue = None


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
    """A line, or a few, of a process's output or of a pipeline's own words."""

    type: Literal["log"] = "log"
    text: str
    stream: Literal["stdout", "stderr", "pipeline"] = "pipeline"


class LogTruncated(Fact):
    """The middle of an output was not kept."""

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


# -- people


class AskRaised(Fact):
    type: Literal["ask.raised"] = "ask.raised"
    name: str
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    expires_at: Moment | None = None


class AskAnswered(Fact):
    type: Literal["ask.answered"] = "ask.answered"
    name: str
    answer: str
    by: str


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


class BackpressureCleared(Fact):
    type: Literal["backpressure.cleared"] = "backpressure.cleared"
    gauge: str
    used: int
    capacity: int


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


class DaemonStopping(Fact):
    type: Literal["daemon.stopping"] = "daemon.stopping"
    reason: str = ""


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
    | RunCancelRequested | Terminal | PlanCompleted | ModuleStarted | ModuleIterated
    | CodeGenerated | TestStarted | TestPassed | TestFailed | BugReported | CorrectionStarted
    | CorrectionCompleted | AnalysisCompleted | StepCompleted | StepFailed | Milestone | Progress
    | ArtifactPartial | ArtifactCompleted | Log | LogTruncated | ProcessStarted | ProcessExited
    | ModelUsed
    | AskRaised | AskAnswered | InterventionReceived | BackpressureRaised | BackpressureCleared
    | SubscriberLagged | QueuePaused | QueueResumed | DaemonStarted | DaemonStopping
)  # fmt: skip
Event = Annotated[KnownEvent, Field(discriminator="type")]
AnyEvent = KnownEvent | UnknownEvent

EVENT_CLASSES: dict[str, type[Fact]] = {
    cls.model_fields["type"].default: cls for cls in get_args(KnownEvent)
}
TERMINAL_TYPES = frozenset({"run.completed", "run.failed", "run.cancelled"})

#: May be coalesced, and dropped while the store is unavailable; no other fact may.
DROPPABLE_TYPES = frozenset({"log", "progress", "artifact.partial"})

event_adapter: TypeAdapter[KnownEvent] = TypeAdapter(Event)


def parse_event(data: Mapping[str, Any]) -> AnyEvent:
    """The fact in `data` (a JSON object with `type`); whatever does not fit becomes UnknownEvent.

    Nothing that was recorded may crash its reader, so this takes any JSON value.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        return unknown({"type": ""}, "not a JSON object with a type")
    cls = EVENT_CLASSES.get(data["type"])
    if cls is None:
        return unknown(data)
    try:
        return cls.model_validate(data)  # type: ignore[return-value]
    except ValidationError as error:
        return unknown(data, str(error))


def encode_event(event: AnyEvent) -> bytes:
    """The fact as JSON. The class's own serializer costs 2.4x less than the union's."""
    return type(event).__pydantic_serializer__.to_json(event)


class Envelope(BaseModel):
    """A recorded fact as every surface shows it. `position` 0 means: not recorded yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    position: Version = 0
    run_id: RunId
    sequence: Version = 0
    event_id: UUID = Field(default_factory=new_event_id)
    at: Moment
    clock: VectorClock = {}
    causation_id: UUID | None = None
    code_version: Version = 0
    event: Event


class Recorded:
    """A recorded fact as the store keeps it: hot fields as columns, the fact itself as JSON.

    Views fold the columns and parse `body` only where they must; the wire form is put together
    from the same bytes. Columns may be given as the store has them (an id as bytes, a time in
    microseconds, a clock as JSON): they are read when they are asked for, and most never are. Not to
    be changed once made.
    """

    __slots__ = (
        "_at", "_causation_id", "_clock", "_event_id", "_wire", "body", "code_version", "position",
        "run_id", "sequence", "type",
    )  # fmt: skip

    def __init__(
        self,
        position: int,
        run_id: str,
        sequence: int,
        event_id: UUID | bytes,
        at: datetime | int,
        clock: Clock | str,
        causation_id: UUID | bytes | None,
        code_version: int,
        type: str,  # noqa: A002  (the field's name on every surface)
        body: bytes,
    ) -> None:
        self.position: Final = position
        self.run_id: Final = run_id
        self.sequence: Final = sequence
        self.code_version: Final = code_version
        self.type: Final = type
        self.body: Final = body
        self._event_id = event_id
        self._at = at
        self._clock = clock
        self._causation_id = causation_id
        self._wire: bytes | None = None

    @property
    def event_id(self) -> UUID:
        """The fact's id."""
        if isinstance(self._event_id, bytes):
            self._event_id = UUID(bytes=self._event_id)
        return self._event_id

    @property
    def at(self) -> datetime:
        """When it happened, in UTC."""
        if isinstance(self._at, int):
            self._at = to_moment(self._at)
        return self._at

    @property
    def clock(self) -> Clock:
        """What was known when it happened."""
        clock = self._clock
        if isinstance(clock, str):
            self._clock = clock = from_json(clock)
        return clock

    @property
    def causation_id(self) -> UUID | None:
        """The id of the fact that caused this one."""
        if isinstance(self._causation_id, bytes):
            self._causation_id = UUID(bytes=self._causation_id)
        return self._causation_id

    def _columns(self) -> tuple[object, ...]:
        return (
            self.position, self.run_id, self.sequence, self.event_id, self.at, self.clock,
            self.causation_id, self.code_version, self.type, self.body,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recorded):
            return NotImplemented
        return self._columns() == other._columns()

    # A clock has no hash, and so its fact has none.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Recorded{self._columns()}"

    @property
    def event(self) -> AnyEvent:
        """The fact, parsed anew."""
        try:
            event = parse_event(from_json(self.body))
        except ValueError as error:
            return unknown({"type": self.type}, str(error))
        return event if event.type else unknown({"type": self.type}, "no fact")

    def wire(self) -> bytes:
        """The envelope as one JSON object without a newline; encoded once, however many read it."""
        if self._wire is None:
            cause, clock = self.causation_id, self._clock
            self._wire = (
                b'{"position":%d,"run_id":%b,"sequence":%d,"event_id":"%b","at":"%b","clock":%b,'
                b'"causation_id":%b,"code_version":%d,"event":%b}'
                % (
                    self.position,
                    to_json(self.run_id),
                    self.sequence,
                    str(self.event_id).encode(),
                    format_time(self.at).encode(),
                    clock.encode() if isinstance(clock, str) else to_json(clock),
                    b"null" if cause is None else b'"%b"' % str(cause).encode(),
                    self.code_version,
                    self.body,
                )
            )
        return self._wire

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Recorded:
        """The envelope read from a surface; the fact may be of a type this version does not know."""
        body = data["event"]
        return cls(
            position=data["position"],
            run_id=data["run_id"],
            sequence=data["sequence"],
            event_id=UUID(data["event_id"]),
            at=datetime.fromisoformat(data["at"]),
            clock=check_clock(data["clock"]),
            causation_id=UUID(data["causation_id"]) if data["causation_id"] else None,
            code_version=data["code_version"],
            type=str(body.get("type", "")),
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        )
