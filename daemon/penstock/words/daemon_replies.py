"""What answers tell that is not one run: questions, verdicts, the queue, kinds, models, readers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from penstock.words.api import Received
from penstock.words.box_standing import BoxStanding
from penstock.words.values import Moment


class QuestionReply(Received):
    """A question of a run."""

    run_id: str
    name: str
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    expires_at: Moment | None = None
    state: Literal["open", "answered", "withdrawn", "closed"]
    answer: str | None = None
    answered_by: str | None = None
    raised_at: Moment
    #: What one should see before one answers, while it is open.
    details: dict[str, Any] = Field(default_factory=dict)


class QuestionsReply(Received):
    """Open questions of all runs, newest last."""

    asks: tuple[QuestionReply, ...]


class DismissalsReply(Received):
    """Failures that somebody has seen, the newest last; no other screen needs to tell of them."""

    runs: tuple[str, ...]


class AnswerReply(Received):
    """The answer that the run was given."""

    run_id: str
    name: str
    answer: str


class PageCodeReply(Received):
    """The address that lets one browser in, once, for so many seconds."""

    url: str
    seconds: float


class PageKeyReply(Received):
    """What a page shows from now on; none where no token is asked for."""

    key: str | None


class CheckReply(Received):
    """One comparison of a report with the code as it is now."""

    name: Literal["version", "clock", "hash"]
    found: Literal["agrees", "undecided", "fails"]
    why: str


class VerdictReply(Received):
    """What became of a bug report; `failed` is the check that decided against it."""

    verdict: Literal["valid", "stale", "invalid"]
    checks: tuple[CheckReply, ...]
    failed: str | None = None
    position: int


class PausedReply(Received):
    """What starts no runs; group null: all of the queue."""

    group: str | None = None
    reason: str | None = None


class QueueReply(Received):
    """How full the daemon is."""

    queued: int
    capacity: int
    queued_by_priority: dict[str, int]
    running: int
    slots: int
    #: Runs that wait without holding a slot.
    parked: int
    waiting_submits: int
    late_outcomes: int
    open_runs: int
    paused: tuple[PausedReply, ...] = ()
    #: Groups that take no new runs in; null: the queue.
    draining: tuple[str | None, ...] = ()
    #: Boxes that start nothing more.
    drained_boxes: tuple[str, ...] = ()
    #: Runs that other boxes execute; `running` and `slots` are those of the one that answers.
    elsewhere: int = 0
    #: By group: slots, running and queued runs.
    groups: dict[str, dict[str, int]]


class BoxReply(Received):
    """A box that shares the log, and how it stands; seconds are by the clock of the log's server."""

    box: str
    standing: BoxStanding
    #: Whether it is the one that answers.
    own: bool = False
    running: int
    slots: int
    labels: dict[str, str] = Field(default_factory=dict)
    #: Whose runs it executes: those submitted there (`self`), or everybody's (`team`).
    accept: str = ""
    version: str
    #: The start of its daemon that was seen last.
    life: str
    seen_at: Moment
    silent_seconds: float = 0.0
    #: How long it is taken to be there without a word, and how much of that is left; null: one daemon
    #: alone writes the log.
    lease_seconds: float | None = None
    lease_left: float | None = None


class BoxesReply(Received):
    """The boxes that share the log, by name; of a log that one daemon alone writes, its own."""

    boxes: tuple[BoxReply, ...]


class ScheduleReply(Received):
    """Something that is run again and again."""

    # `nowhere` is sent only where there is something to say.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)
    name: str
    timing: str
    zone: str
    kind: str
    inputs: dict[str, Any]
    made_at: Moment
    #: Its next run, and the id that this will have.
    due: Moment
    next_run: str
    last_run: str | None = None
    #: How many due times made no run.
    skipped: int = 0
    #: Why no box that is known will start its runs; said where it was just made, and is so.
    nowhere: str | None = None


class SchedulesReply(Received):
    """All schedules, by name."""

    schedules: tuple[ScheduleReply, ...]


class KindReply(Received):
    """A kind of run, with the JSON schemas of its inputs and its output."""

    name: str
    summary: str
    needs_model: bool
    on_restart: str
    preemptible: bool
    milestones: tuple[str, ...] = ()
    inputs: dict[str, Any]
    output: dict[str, Any]


class KindsReply(Received):
    """What can be run, by name."""

    pipelines: tuple[KindReply, ...]


class ModelReply(Received):
    """A configured model, and how it did so far; null: not known before its first answer."""

    model: str
    url: str
    window: int
    window_assumed: bool
    problem: str = ""
    requests: int
    failures: int
    active: int
    waiting: int
    tokens_per_second: float | None = None
    reported_per_estimated: float | None = None


class ModelsReply(Received):
    """The configured models, small to large."""

    models: tuple[ModelReply, ...]


class ReaderReply(Received):
    """Who reads a stream, up to where, and how many facts it has not been given."""

    name: str
    kind: str
    run_id: str | None = None
    cursor: int
    lag: int
    overflow: str
    dropped: int
    since: Moment


class ReadersReply(Received):
    """All who read streams, and where the log ends."""

    clients: tuple[ReaderReply, ...]
    head: int
