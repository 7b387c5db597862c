"""What clients send and what they get, as frozen models: the contract of every surface.

What is sent refuses unknown fields by name, so that a mistyped one is noticed. What is received
stands in `penstock.replies` and can be imported from here too.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

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
)

from penstock.errors import Refused
from penstock.events import DAEMON_STREAM
from penstock.priority import Priority, parse_priority
from penstock.replies import ByeFrame as ByeFrame
from penstock.replies import CancelReceipt as CancelReceipt
from penstock.replies import EventsFrame as EventsFrame
from penstock.replies import EventsPage as EventsPage
from penstock.replies import Frame as Frame
from penstock.replies import GapFrame as GapFrame
from penstock.replies import HealthReply as HealthReply
from penstock.replies import HelloFrame as HelloFrame
from penstock.replies import Problem as Problem
from penstock.replies import ReadyFrame as ReadyFrame
from penstock.replies import RunReply as RunReply
from penstock.replies import RunsPage as RunsPage
from penstock.replies import SubmitReply as SubmitReply
from penstock.replies import TaskReply as TaskReply
from penstock.replies import WhyReply as WhyReply
from penstock.replies import frame_adapter as frame_adapter
from penstock.values import JsonObject, RunId, VectorClock, Version

#: Labels are for finding runs, not for carrying data.
MOST_LABELS = 32
LONGEST_LABEL_KEY = 63
LONGEST_LABEL_VALUE = 255
#: Every prerequisite is looked up in the commit that accepts the run.
MOST_PREREQUISITES = 100
#: A name that appears in lists and logs.
LONGEST_NAME = 200
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


_PRIORITY_SCHEMA = {
    "anyOf": [
        {"enum": [p.name for p in Priority]},
        {"enum": [p.value for p in Priority]},
    ]
}
PriorityName = Annotated[
    Priority,
    BeforeValidator(_priority),
    PlainSerializer(lambda priority: priority.name, return_type=str),
    WithJsonSchema(_PRIORITY_SCHEMA),
]
NewRunId = Annotated[RunId, AfterValidator(_not_reserved)]
Text = Annotated[str, AfterValidator(_not_blank)]
Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_not_blank)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class Sent(BaseModel):
    """Base of what clients send."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- what clients send


class SubmitRequest(Sent):
    """`POST /runs`."""

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

    @field_validator("after")
    @classmethod
    def _each_once_and_never_itself(
        cls, after: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        if info.data.get("run_id") in after:
            raise ValueError("a run cannot wait for itself")
        return tuple(dict.fromkeys(after))


class CancelRequest(Sent):
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] = "requested"


class GroupRequest(Sent):
    """Which part of the queue; None: all of it."""

    group: Name | None = None


class PauseRequest(GroupRequest):
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] = ""


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
    overflow: Overflow | None = None


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
