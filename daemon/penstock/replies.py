"""What clients get: replies and frames.

Unknown fields are ignored, so that an older client can talk to a newer daemon.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from penstock.values import Moment


class Received(BaseModel):
    """Base of what clients get."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SubmitReply(Received):
    run_id: str
    kind: str
    state: str
    priority: str
    sequence: int
    position: int
    websocket_url: str


class RunReply(Received):
    """`GET /runs/ID`: the row and the folded view as one object; None is null."""

    run_id: str
    kind: str
    state: str
    priority: str
    reason: str = ""
    progress: float | None = None
    step: str | None = None
    result: Any = None
    error: str | None = None
    created_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None
    code_version: int = 0
    #: How many facts the run has, and where the last one stands in the log.
    sequence: int
    position: int = 0
    #: Place in the line; the next page of a list is `before` the smallest place.
    place: int = 0
    attempt: int = 0
    inputs: dict[str, Any] = {}
    labels: dict[str, str] = {}
    after: tuple[str, ...] = ()
    group: str | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    timeout: float | None = None
    used_seconds: float = 0.0
    on_restart: str | None = None
    cancel_requested: str | None = None
    #: What the run's requests to models came to: tokens, money in the prices' currency, seconds.
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    model_seconds: float = 0.0


class RunsPage(Received):
    """Newest first; `next` is the next `before`, None on the last page."""

    runs: tuple[RunReply, ...]
    next: int | None = None


class EventsPage(Received):
    """`next` is the next `after`. The envelopes stay plain objects: Recorded.from_wire reads them."""

    events: tuple[dict[str, Any], ...]
    next: int
    more: bool = False


class TaskReply(Received):
    task_id: str
    status: str
    websocket_url: str


class CancelReceipt(Received):
    """What became of a cancel. `gone_at` is None until nothing of the run is left."""

    run_id: str
    outcome: Literal["cancelled", "already_terminal", "tombstoned"]
    requested_at: Moment
    gone_at: Moment | None = None
    method: Literal["cgroup", "subreaper", "session", "none"] = "none"
    pids: tuple[int, ...] = ()
    #: "unknown": the one who could tell has died too.
    survivors: tuple[int, ...] | Literal["unknown"] = ()


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


class Problem(BaseModel):
    """An error as RFC 9457 has it; further members carry what a caller can act on."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""


# -- frames of a stream


class HelloFrame(Received):
    type: Literal["hello"] = "hello"
    daemon: str
    epoch: str
    life: str
    head: int
    floor: int


class EventsFrame(Received):
    type: Literal["events"] = "events"
    events: tuple[dict[str, Any], ...]


class GapFrame(Received):
    """The facts from `first` to `last` are not sent: pruned, or dropped for a slow reader."""

    type: Literal["gap"] = "gap"
    first: int
    last: int
    dropped: int | None = None


class ReadyFrame(Received):
    """All that was recorded before the reader came has been sent."""

    type: Literal["ready"] = "ready"
    head: int


class ByeFrame(Received):
    type: Literal["bye"] = "bye"
    reason: str = ""


Frame = Annotated[
    HelloFrame | EventsFrame | GapFrame | ReadyFrame | ByeFrame,
    Field(discriminator="type"),
]
frame_adapter: TypeAdapter[Frame] = TypeAdapter(Frame)
