"""What tools take and give, as models. The descriptions are written for a model to read."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from penstock.words.api import (
    LONGEST_REASON,
    OneRunId,
    PriorityName,
    Sent,
    TaskRequest,
    Text,
)
from penstock.words.config import KIB
from penstock.words.priority import Priority
from penstock.words.values import RunId

#: Hosts give a tool call about a minute; a wait must be over before that.
LONGEST_WAIT = 45.0
#: Entries of a page, and how many come unasked: a model reads all that it gets.
LONGEST_PAGE = 500
USUAL_RUNS = 20
USUAL_EVENTS = 100
#: Bytes of a page of events: a result is sent twice, as text and as JSON, in one frame, and clients
#: take frames of 1 MiB.
PAGE_BYTES = 256 * KIB

#: Lines of the end of an output, and how many come unasked; bytes they are made of, and characters
#: of one: together as much as a page.
LONGEST_TAIL = 1000
USUAL_TAIL = 100
TAIL_BYTES = 64 * KIB
LONGEST_LINE = 2000

#: Not the daemon's own stream, which has events and is no run.
Run = Annotated[OneRunId, Field(description="The run's id, as start_run returned it.")]
#: A position; the log counts in 63 bits.
LARGEST_CURSOR = 2**63 - 1
Cursor = Annotated[int, Field(ge=0, le=LARGEST_CURSOR)]


class Arguments(Sent):
    """Base of what a tool takes: unknown fields are refused with their name."""


class NoArguments(Arguments):
    pass


class OneRun(Arguments):
    run_id: Run


class WaitRun(Arguments):
    run_id: Run
    seconds: Annotated[
        float,
        Field(ge=0, le=LONGEST_WAIT, allow_inf_nan=False),
        Field(description="How long to wait at most, in seconds; 45 is the longest."),
    ] = LONGEST_WAIT
    until: Annotated[
        Literal["asks", "ended"],
        Field(
            description="asks: return when the run has ended or has an open question, at once if"
            " it has one already. ended: let questions be answered by others meanwhile."
        ),
    ] = "asks"


class ListRuns(Arguments):
    q: Annotated[
        str,
        Field(
            description="Which runs: terms like state:running (also open, ended, failed …),"
            " prio:high, kind:command, label:key=value, group:NAME, parent:RUN_ID, a word that"
            " must occur, !word for one that must not. All must hold. Empty: every run."
        ),
    ] = ""
    limit: Annotated[
        int, Field(ge=1, le=LONGEST_PAGE, description="How many runs at most.")
    ] = USUAL_RUNS
    before: Annotated[
        Cursor | None,
        Field(
            description="`next` of the page before, to read on; null for the newest."
        ),
    ] = None


class CancelRun(Arguments):
    run_id: Run
    reason: Annotated[
        str,
        Field(max_length=LONGEST_REASON, description="Why; recorded with the run."),
    ] = "requested"
    wait: Annotated[
        bool,
        Field(
            description="Wait, a few seconds at most, until nothing of the run is left, so that"
            " the receipt proves it."
        ),
    ] = True


class AnswerAsk(Arguments):
    run_id: Run
    name: Annotated[
        str, Field(description="The question's name, from `asks` of get_run.")
    ]
    answer: Annotated[
        str, Field(description="The answer; one of `choices` if the question has any.")
    ]


class ReadEvents(Arguments):
    run_id: Annotated[
        RunId | None,
        Field(description="Of which run; null for the events of all runs."),
    ] = None
    after: Annotated[
        Cursor,
        Field(
            description="Where to read on: `next` of the page before, or 0 for the beginning."
        ),
    ] = 0
    after_id: Annotated[
        UUID | None,
        Field(
            description="The event_id of the event at `after`, if known: the page tells by"
            " `gap.put_back` when the log does not hold it any more."
        ),
    ] = None
    limit: Annotated[
        int, Field(ge=1, le=LONGEST_PAGE, description="How many events at most.")
    ] = USUAL_EVENTS


class ReadOutput(Arguments):
    run_id: Run
    tail: Annotated[
        int,
        Field(ge=1, le=LONGEST_TAIL, description="How many of the last lines at most."),
    ] = USUAL_TAIL
    after: Annotated[
        Cursor,
        Field(
            description="Only what was printed since: `next` of the call before, or 0 for all."
        ),
    ] = 0
    stream: Annotated[
        Literal["all", "stdout", "stderr"],
        Field(description="Of what the run printed: all, stdout or stderr."),
    ] = "all"


class CodingTask(Arguments):
    prompt: Annotated[
        Text, Field(description="What to build or change, in plain words.")
    ]
    answers: Annotated[
        tuple[str, ...],
        Field(description="Answers given in advance to questions about the task."),
    ] = ()
    priority: Annotated[
        PriorityName,
        Field(description="CRITICAL, HIGH, MEDIUM, LOW or BACKGROUND."),
    ] = Priority.MEDIUM

    def task(self) -> TaskRequest:
        """The task as every surface submits it."""
        return TaskRequest(
            prompt=self.prompt, answers=self.answers, priority=self.priority
        )


class OneTask(Arguments):
    task_id: Annotated[
        OneRunId, Field(description="The task's id, as start_coding_task returned it.")
    ]


# -- what tools give


class QueueStatus(BaseModel):
    """How full the daemon is."""

    queued: int
    capacity: int
    queued_by_priority: dict[str, int]
    running: int
    slots: int
    parked: Annotated[int, Field(description="Runs that wait without holding a slot.")]
    waiting_submits: int
    paused: Annotated[
        tuple[dict[str, Any], ...],
        Field(
            description="What starts no runs, and why; group null: all of the queue."
        ),
    ] = ()
    draining: Annotated[
        tuple[str | None, ...], Field(description="Groups that take no new runs in.")
    ] = ()
    groups: Annotated[
        dict[str, dict[str, int]],
        Field(description="By group: slots, running and queued runs."),
    ] = {}


class Printed(BaseModel):
    """The last lines that a run printed, as a person would see them, without colours."""

    run_id: str
    state: str
    text: str
    lines: Annotated[int, Field(description="How many lines `text` has.")]
    earlier: Annotated[
        bool,
        Field(
            description="Whether it printed more before these lines; a larger `tail` shows it."
        ),
    ]
    missing_bytes: Annotated[
        int, Field(description="Bytes among these lines that are no longer kept.")
    ]
    next: Annotated[
        int, Field(description="As `after`, it gives what is printed from now on.")
    ]


class Pipelines(BaseModel):
    """The kinds of run, each with the schemas of its inputs and its output."""

    pipelines: list[dict[str, Any]]


class Answered(BaseModel):
    """The answer that the run was given."""

    run_id: str
    name: str
    answer: str
