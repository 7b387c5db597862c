"""What surfaces are asked and what they answer: requests, replies and the frames of streams."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from penstock.words.error_status import OWN_MEMBERS, detail_of, row_of, type_of
from penstock.words.errors import PenstockError, Refused
from penstock.words.events import DAEMON_STREAM
from penstock.words.priority import Priority, parse_priority
from penstock.words.run_exit import ExitFrom
from penstock.words.run_id import MOST_DISMISSED_AT_ONCE, check_new_run_id
from penstock.words.surroundings import Surroundings
from penstock.words.text import find_nul
from penstock.words.trace_context import read_traceparent
from penstock.words.values import (
    JsonObject,
    Moment,
    RunId,
    VectorClock,
    Version,
    check_json,
)


class Received(BaseModel):
    """Base of what clients get. Every field is sent, so a description of it requires them all."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_serialization_defaults_required=True
    )


class SubmitReply(Received):
    # `live` is sent to those alone who asked for it.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)
    run_id: str
    #: What people type: no other run of the log has it, or will have.
    number: int = 0
    kind: str
    state: str
    priority: str
    sequence: int
    position: int
    websocket_url: str
    #: False: this id had these inputs before, and its run is the answer.
    created: bool = True
    created_at: Moment | None = None
    #: `GET /runs/ID/live` tells this client, if it comes within seconds, all that the run prints.
    live: bool = False


class RunSummary(Received):
    """A run as lists show it; None is null."""

    run_id: str
    #: What people type: no other run of the log has it, or will have. 0: of an older daemon.
    number: int = 0
    kind: str
    state: str
    priority: str
    reason: str = ""
    progress: float | None = None
    step: str | None = None
    #: What its model does now, in words; "" while none is asked.
    model_doing: str = ""
    result: Any = None
    error: str | None = None
    #: What `penstock run` exits with, and who gave it; null until the run has ended.
    exit_code: int | None = None
    exit_from: ExitFrom | None = None
    created_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None
    code_version: int = 0
    #: How many facts the run has, and where the last one stands in the log.
    sequence: int
    position: int = 0
    #: Place in the line; the next page of a list is `before` the smallest place.
    place: int = 0
    #: Its place among runs of its priority, where somebody changed it.
    turn: int | None = None
    attempt: int = 0
    #: The box that executes it, or did last; "" before its first execution.
    box: str = ""
    inputs: dict[str, Any] = {}
    labels: dict[str, str] = {}
    after: tuple[str, ...] = ()
    group: str | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    #: It starts no earlier; it is put aside until it is enqueued.
    not_before: Moment | None = None
    stashed: bool = False
    #: How often an open run is executed again after failures, and how often it was.
    retries: int = 0
    retried: int = 0
    timeout: float | None = None
    #: Executing seconds of its executions that are over.
    used_seconds: float = 0.0
    on_restart: str | None = None
    #: What it asks of the box that executes it, and the box it was submitted at where there may be several.
    needs: dict[str, str] = {}
    origin: str = ""
    cancel_requested: str | None = None


class NamedRun(Received):
    """What tells a run from others, for whoever chooses among them."""

    run_id: str
    number: int = 0
    kind: str
    state: str
    priority: str
    #: What people call it, and what it was asked for.
    name: str | None = None
    about: str = ""
    parent_id: str | None = None


class SelectionReply(Received):
    """The runs that a word means, newest first."""

    runs: tuple[NamedRun, ...]


class AskReply(Received):
    """A question of the run; open while `answer` and `withdrawn` are null."""

    name: str
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    expires_at: Moment | None = None
    answer: str | None = None
    answered_by: str | None = None
    #: Why the run takes no answer any more.
    withdrawn: str | None = None
    #: What one should see before one answers, while it is open.
    details: dict[str, Any] = {}


class ArtifactReply(Received):
    """How far an artifact has come: characters so far, bytes once it is complete."""

    artifact_id: str
    attempt: int = 1
    characters: int = 0
    size: int | None = None
    sha256: str | None = None
    path: str | None = None


class RunReply(RunSummary):
    """`GET /runs/ID`: what is kept of the run, and what its events tell, as one object."""

    #: Facts of its end; `receipt` is what was proven of its own processes.
    details: dict[str, Any] = {}
    #: Processes that its programs left behind; they were ended.
    leftover: int = 0
    last_at: Moment | None = None
    #: The last lines that a failed run printed, without colours; `GET /runs/ID/output` has all.
    output_tail: tuple[str, ...] = ()
    asks: tuple[AskReply, ...] = ()
    artifacts: tuple[ArtifactReply, ...] = ()
    milestones: tuple[str, ...] = ()
    #: What the run's requests to models came to: tokens, money in the prices' currency, seconds.
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    model_seconds: float = 0.0
    #: Seconds before the first time it is executed again, and why it last had to be.
    backoff: float = 0.0
    last_error: str = ""
    #: Stale reports, and events that its state did not allow.
    stale: int = 0
    anomalies: int = 0


class RunsPage(Received):
    """Newest first; `next` is the next `before`, None on the last page.

    A page that looks for words ends after 20,000 runs: it may have few runs, or none, and a `next`.
    """

    runs: tuple[RunSummary, ...]
    next: int | None = None


class EventsPage(Received):
    """`next` is the next `after`. The envelopes stay plain objects: Recorded.from_wire reads them."""

    events: tuple[dict[str, Any], ...]
    next: int
    more: bool = False
    #: What is missing before these events; None if nothing is.
    gap: GapFrame | None = None


class TaskReply(RunReply):
    """A task as its clients know it: the run, and the names of the original interface."""

    task_id: str
    status: str
    websocket_url: str


class CancelReceipt(Received):
    """What became of a cancel. `gone_at` is None until nothing of the run is left; `survivors` could
    not be ended.
    """

    run_id: str
    outcome: Literal["cancelled", "already_terminal", "tombstoned"]
    requested_at: Moment
    gone_at: Moment | None = None
    #: How the end of its processes is proven. `lease`: its box was lost, and what runs there ends by itself
    #: before the lease of its daemon does.
    method: Literal["cgroup", "subreaper", "session", "lease", "none"] = "none"
    pids: tuple[int, ...] = ()
    #: "unknown": the one who could tell has died too.
    survivors: tuple[int, ...] | Literal["unknown"] = ()
    #: The box that executed the run last; "": none did.
    box: str = ""
    #: Of a request to a model that was cut off: whether its server works on it no more. null: there was
    #: none, or the server does not tell.
    model_slot: Literal["free", "busy"] | None = None

    @property
    def proves_end(self) -> bool:
        """Whether it is proven that nothing of the run is left."""
        return self.gone_at is not None

    @property
    def under_way(self) -> bool:
        """Whether the run is still being ended, as far as this receipt knows."""
        return self.outcome == "cancelled" and not self.proves_end


class StdinReply(Received):
    """What became of a piece of input: bytes that were taken, and whether more would be."""

    run_id: str
    bytes: int
    open: bool


class WhyReason(Received):
    """A word for programs, a sentence for people, and the runs it speaks of."""

    code: str
    text: str
    runs: tuple[str, ...] = ()


class WhyReply(Received):
    """Why a run is where it is; `text` is all sentences together."""

    run_id: str
    state: str
    reasons: tuple[WhyReason, ...]
    text: str


class WhysReply(Received):
    """Why each of several runs is where it is; those that nobody knows are left out."""

    runs: tuple[WhyReply, ...]
    #: Numbers of the runs that the reasons speak of.
    numbers: dict[str, int]


class HealthReply(Received):
    status: Literal["ok", "degraded"]
    reasons: tuple[str, ...] = ()
    version: str
    epoch: str
    #: Seconds since the start.
    uptime: float
    queue: dict[str, Any] = {}
    models: dict[str, Any] = {}
    #: How many bytes the log takes on disk.
    store: dict[str, Any] = {}
    #: Where several boxes share the log: for how many seconds this one is taken to be there without a
    #: word, and how many of them are left.
    lease: dict[str, float] = {}


class Problem(BaseModel):
    """An error as RFC 9457 has it; further members carry what a caller can act on."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""


def problem_of(error: PenstockError) -> tuple[int, Problem]:
    """The HTTP status and the document; facts that are JSON become members of it."""
    row = row_of(error)
    detail = detail_of(error)
    members = _members(error.facts) if row.told else {}
    problem = Problem(
        type=type_of(type(error)),
        title=row.title,
        status=row.status,
        detail=detail,
        **members,
    )
    return row.status, problem


def _members(facts: dict[str, Any]) -> dict[str, Any]:
    members = {}
    for name, value in facts.items():
        if name in OWN_MEMBERS:
            continue
        try:
            members[name] = check_json(value)
        except ValueError:
            # A fact that is not JSON is for the log, not for the caller.
            continue
    return members


# -- frames of a stream


class HelloFrame(Received):
    type: Literal["hello"] = "hello"
    daemon: str
    epoch: str
    life: str
    head: int
    floor: int
    #: False: there is no run of the id that was asked for, yet; its events are sent when it comes.
    known: bool = True


class EventsFrame(Received):
    type: Literal["events"] = "events"
    events: tuple[dict[str, Any], ...]


class GapFrame(Received):
    """The facts from `first` to `last` are not sent: pruned, or dropped for a slow reader.

    `put_back`: the reader's own facts from `first` on are not of this log, which was put back since
    they were sent, or is another one; it begins anew, or goes on with what this log has there.
    """

    type: Literal["gap"] = "gap"
    first: int
    last: int
    dropped: int | None = None
    put_back: bool = False


class ReadyFrame(Received):
    """All that was recorded before the reader came has been sent."""

    type: Literal["ready"] = "ready"
    head: int


class ByeFrame(Received):
    type: Literal["bye"] = "bye"
    reason: str = ""


#: Labels are for finding runs, not for carrying data.
MOST_LABELS = 32
LONGEST_LABEL_KEY = 63
LONGEST_LABEL_VALUE = 255
#: Every prerequisite is looked up in the commit that accepts the run.
MOST_PREREQUISITES = 100
#: Runs that are explained by one request: each is a look at the whole line.
MOST_EXPLAINED_AT_ONCE = 20
#: A name that appears in lists and logs.
LONGEST_NAME = 200
#: It is a part of run ids, beside a due time.
LONGEST_SCHEDULE_NAME = 150
#: More would be a mistake: every one is a process, and a task.
MOST_SLOTS = 10_000
#: A sentence that is kept with the run.
LONGEST_REASON = 2000

Overflow = Literal["catch_up", "drop_oldest", "disconnect"]


def _priority(value: object) -> Priority:
    try:
        return parse_priority(value)
    except Refused as error:
        raise ValueError(str(error).removeprefix("priority: ")) from None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _not_reserved(run_id: str) -> str:
    if run_id == DAEMON_STREAM:
        raise ValueError(f"{DAEMON_STREAM!r} is the daemon's own stream")
    return run_id


def _from_base64(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be base64")
    return base64.b64decode(value, validate=True)


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must be an absolute path")
    return path


def _traceparent(text: str) -> str:
    if read_traceparent(text) is None:
        raise ValueError("must be a traceparent of W3C Trace Context: 00-TRACE-SPAN-01")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MOST_LABELS:
        raise ValueError(f"at most {MOST_LABELS} labels, got {len(labels)}")
    for key, value in labels.items():
        if not key.strip() or len(key) > LONGEST_LABEL_KEY:
            raise ValueError(f"a label's key has 1 to {LONGEST_LABEL_KEY} characters")
        if len(value) > LONGEST_LABEL_VALUE:
            raise ValueError(
                f"the label {key!r} has more than {LONGEST_LABEL_VALUE} characters"
            )
    return labels


#: Their numbers are taken too; makers of clients and of models want one type.
_PRIORITY_SCHEMA = {"type": "string", "enum": [p.name for p in Priority]}
PriorityName = Annotated[
    Priority,
    BeforeValidator(_priority),
    PlainSerializer(lambda priority: priority.name, return_type=str),
    WithJsonSchema(_PRIORITY_SCHEMA),
]
#: The id of a run that there may be.
OneRunId = Annotated[RunId, AfterValidator(_not_reserved)]
#: The id that somebody chose for a new run.
NewRunId = Annotated[
    str, BeforeValidator(check_new_run_id), AfterValidator(_not_reserved)
]
_NOT_BLANK_SCHEMA: dict[str, Any] = {"pattern": r"\S"}
Text = Annotated[
    str, AfterValidator(_not_blank), Field(json_schema_extra=_NOT_BLANK_SCHEMA)
]
Name = Annotated[
    str,
    Field(max_length=LONGEST_NAME, json_schema_extra=_NOT_BLANK_SCHEMA),
    AfterValidator(_not_blank),
]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
#: Ten years: more is a mistake, and no calendar has the moment.
LONGEST_DELAY = 10 * 366 * 86_400
Delay = Annotated[
    float, Field(ge=0, le=LONGEST_DELAY, allow_inf_nan=False, strict=True)
]
#: More is no patience but a loop, which `penstock every` is for.
MOST_RETRIES = 1000


class Sent(BaseModel):
    """Base of what clients send, on every surface: no unknown fields, and no NUL in any text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _without_nul(self) -> Self:
        if (place := find_nul(dict(self))) is not None:
            nul = PydanticCustomError("nul", "must not contain NUL")
            found = InitErrorDetails(type=nul, loc=place, input=None)
            raise ValidationError.from_exception_data(type(self).__name__, [found])
        return self


# -- what clients send


class Timed(Sent):
    """What may be wanted no earlier than at a moment."""

    #: It starts no earlier: a moment, or so many seconds from now by the daemon's clock.
    not_before: Moment | None = None
    delay: Delay | None = None

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if self.not_before is not None and self.delay is not None:
            raise ValueError("delay and not_before say the same: give one")
        return self


class SubmitRequest(Timed):
    """A run that is wanted, as every surface takes it."""

    kind: Name
    inputs: JsonObject = {}
    priority: PriorityName = Priority.MEDIUM
    #: None: the daemon makes one. The same id with the same inputs is the same run.
    run_id: NewRunId | None = None
    after: Annotated[tuple[RunId, ...], Field(max_length=MOST_PREREQUISITES)] = ()
    group: Name | None = None
    #: Seconds of executing time; 0 fails at once.
    timeout: Seconds | None = None
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = {}
    #: None: as the kind has it.
    on_restart: Literal["requeue", "fail", "ask"] | None = None
    #: It is put aside until it is enqueued.
    stashed: bool = False
    #: How often it is executed again after a failure, and the seconds before the first time: each
    #: later one waits twice as long as the one before it, up to an hour.
    retries: Annotated[int, Field(ge=0, le=MOST_RETRIES, strict=True)] = 0
    backoff: Delay = 10.0
    #: Labels that it asks of the box that executes it; `box` is its name.
    needs: Annotated[dict[str, str], AfterValidator(_labels)] = {}
    #: Its files are on all boxes, so that it may execute at any that has what it needs.
    anywhere: bool = False

    #: Where this is asked for in a trace, as W3C Trace Context writes it: `00-TRACE-SPAN-01`.
    traceparent: Annotated[str, AfterValidator(_traceparent)] | None = None

    def in_trace(self, said: str | None) -> Self:
        """This request where a header says that it is asked for, unless it says so itself.

        A header that is no traceparent is overlooked, as W3C Trace Context has it.
        """
        if self.traceparent is not None or read_traceparent(said or "") is None:
            return self
        return self.model_copy(update={"traceparent": said})

    @field_validator("after")
    @classmethod
    def _each_once_and_never_itself(
        cls, after: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        if info.data.get("run_id") in after:
            raise ValueError("a run cannot wait for itself")
        return tuple(dict.fromkeys(after))


class ChildRequest(SubmitRequest):
    """A run below another: its id begins with that of its parent, which an older daemon may have taken."""

    run_id: OneRunId | None = None


_Environment = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
    Field(repr=False),
]


class CallerFields(Sent):
    """Where a run was asked for: what its programs find around them. No part of what the run is."""

    #: `NAME=VALUE` and a NUL for each variable, in base64. Kept until the run is forgotten, and never shown.
    environ: _Environment
    #: None: the daemon's.
    umask: Annotated[int, Field(ge=0, le=0o777, strict=True)] | None = None
    #: The folder of a run whose inputs name none.
    cwd: Annotated[str, AfterValidator(_absolute)] | None = None

    def surroundings(self) -> Surroundings:
        """As runs are given them."""
        return Surroundings(self.environ, self.umask, self.cwd)


class RunRequest(SubmitRequest):
    """`POST /runs`. Without `caller` programs get a few of the daemon's own variables."""

    caller: CallerFields | None = None


class RearrangeRequest(Timed):
    """How a run is to wait in line from now on; what is not said stays as it is."""

    priority: PriorityName | None = None
    move: Literal["first", "last"] | None = None
    #: Put aside, or put in line: then at once, or at the moment that is said with it.
    stashed: bool | None = None

    @model_validator(mode="after")
    def _waits_for_one_thing(self) -> Self:
        if self.stashed and (self.not_before is not None or self.delay is not None):
            raise ValueError("a stashed run waits for no moment")
        return self


class EditRequest(Sent):
    """The inputs that change; those set to null are taken out."""

    inputs: JsonObject


class RetryRequest(Sent):
    """What is another this time: inputs, of which those set to null are taken out, and where it may execute."""

    inputs: JsonObject = {}
    #: Labels that it asks for beside those that it asked for, or in their place; `box` is a box by its name.
    needs: Annotated[dict[str, str], AfterValidator(_labels)] = {}
    #: Its files are on all boxes, so that it may execute at any that has what it needs.
    anywhere: bool = False


class SlotsRequest(Sent):
    """How many runs may execute at once from now on; null: as the configuration has it."""

    group: Name | None = None
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS, strict=True)] | None = None
    #: Whose slots those of the queue are, where boxes share it; null: those of the box that is asked.
    box: Name | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.box is not None and self.group is not None:
            raise ValueError("name a group or a box")
        return self


def _schedule_name(name: str) -> str:
    name = check_new_run_id(name)
    if len(name) > LONGEST_SCHEDULE_NAME:
        raise ValueError(f"must have at most {LONGEST_SCHEDULE_NAME} characters")
    return name


class ScheduleRequest(Sent):
    """A run that is wanted again and again."""

    #: Ids of its runs begin with it.
    name: Annotated[str, BeforeValidator(_schedule_name)]
    #: A span (`90m`, `1d`), or a line of cron (`30 2 * * *`).
    timing: Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_not_blank)]
    #: By whose clock a line of cron is read.
    zone: Name = "UTC"
    run: RunRequest
    #: One of this name is changed, and begins anew.
    replace: bool = False


class CancelRequest(Sent):
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] = "requested"


class GroupRequest(Sent):
    """Which part of the queue; None: all of it."""

    group: Name | None = None


class DrainRequest(GroupRequest):
    """What takes nothing new: the queue, a group of it, or a box, which starts nothing more."""

    box: Name | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.box is not None and self.group is not None:
            raise ValueError("name a group or a box")
        return self


class PauseRequest(GroupRequest):
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] = ""


class WhyRequest(Sent):
    """Runs that somebody looks at, and asks of each why it is where it is."""

    runs: Annotated[tuple[RunId, ...], Field(max_length=MOST_EXPLAINED_AT_ONCE)]


class DismissalsRequest(Sent):
    """Failures that somebody has seen."""

    runs: Annotated[tuple[RunId, ...], Field(max_length=MOST_DISMISSED_AT_ONCE)]


class AnswerRequest(Sent):
    answer: str


class InterventionRequest(Sent):
    text: Text


class BugReportRequest(Sent):
    """A report about one version of a run's code; it is judged, and the verdict is the answer."""

    text: Text
    module: str = ""
    version: Version
    clock: VectorClock = {}
    code_hash: str | None = None


class TaskRequest(Sent):
    """`POST /tasks`: the coding request. The prompt is kept exactly."""

    prompt: Text
    answers: tuple[str, ...] = ()
    priority: PriorityName = Priority.MEDIUM


class OpenFrame(Sent):
    """The first frame of a WebSocket client; None leaves what the address said."""

    type: Literal["open"] = "open"
    token: Annotated[str | None, Field(repr=False)] = None
    after: Version | None = None
    #: The event id of the fact at `after`, for a log that may have been put back meanwhile.
    after_id: UUID | None = None
    overflow: Overflow | None = None


#: Rows or columns of a terminal at most; 0 is what terminals usually have.
LARGEST_SIDE = 1000
Side = Annotated[int, Field(ge=0, le=LARGEST_SIDE)]


class TerminalFrame(OpenFrame):
    """What a client attached to a terminal says beside what is typed: its rows and columns."""

    resize: tuple[Side, Side] | None = None


# -- reading

M = TypeVar("M", bound=BaseModel)


def read_json(model: type[M], body: bytes | str, *, empty: bytes | None = None) -> M:
    """A request's body as `model`; `empty` stands for a body of no bytes. Refused names the field."""
    try:
        return model.model_validate_json(
            empty if empty is not None and not body else body
        )
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError, *, at: str = "") -> Refused:
    """The first thing that does not fit, by its field below `at`; "body" if it is the whole."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in (at, *first["loc"]) if part != "") or "body"
    if first["type"] == "extra_forbidden":
        return Refused(field, "unknown field")
    return Refused(field, first["msg"].removeprefix("Value error, "))
