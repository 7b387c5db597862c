"""What tools take and give, as models. The descriptions are written for a model to read."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from penstock.words.api import (
    LONGEST_REASON,
    Name,
    OneRunId,
    PriorityName,
    Sent,
    SubmitRequest,
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
#: Bytes of a page of events: a result is one frame, and clients take frames of 1 MiB.
PAGE_BYTES = 256 * KIB

#: Lines of the end of an output, and how many come unasked; bytes they are made of, and characters
#: of one: together as much as a page.
LONGEST_TAIL = 1000
USUAL_TAIL = 100
TAIL_BYTES = 64 * KIB
LONGEST_LINE = 2000

#: Not the daemon's own stream, which has events and is no run.
Run = Annotated[OneRunId, Field(description="The run's id.")]
#: A position; the log counts in 63 bits.
LARGEST_CURSOR = 2**63 - 1
Cursor = Annotated[int, Field(ge=0, le=LARGEST_CURSOR)]


class Arguments(Sent):
    """Base of what a tool takes: unknown fields are refused with their name."""


class NoArguments(Arguments):
    pass


class OneRun(Arguments):
    run_id: Run


class RetryRun(OneRun):
    needs: dict[str, str] = Field(
        default_factory=dict, description="Other labels to ask of its box."
    )
    anywhere: Annotated[bool, Field(description="Its files are on every box.")] = False


class ListPipelines(Arguments):
    kind: Annotated[
        str | None, Field(description="Only this one; leave out for all.")
    ] = None


class StartRun(SubmitRequest):
    """A run, or with `every` a schedule of runs."""

    #: None: one run. Its name is then the `run_id`, and a line of cron is of the daemon's own clock.
    every: str | None = None


QueueAction = Literal[
    "pause",
    "resume",
    "slots",
    "first",
    "last",
    "priority",
    "stash",
    "enqueue",
    "unschedule",
]


#: Those that are about a run in line.
OF_QUEUED = frozenset({"first", "last", "priority", "stash", "enqueue"})


class ChangeQueue(Arguments):
    action: Annotated[
        QueueAction,
        Field(
            description="pause, resume: run_id, group or all; slots: group or all; unschedule:"
            " value; others: a queued run_id."
        ),
    ]
    run_id: Annotated[OneRunId | None, Field(description="The run's id.")] = None
    group: Annotated[Name | None, Field(description="Only these.")] = None
    value: Annotated[
        str,
        Field(
            max_length=LONGEST_REASON,
            description="How many slots, which priority or schedule, or why.",
        ),
    ] = ""


class WaitRun(Arguments):
    run_id: Run
    seconds: Annotated[
        float,
        Field(ge=0, le=LONGEST_WAIT, allow_inf_nan=False),
        Field(description="At most this long; 45 unless said."),
    ] = LONGEST_WAIT
    until: Annotated[
        Literal["asks", "ended"],
        Field(description="asks: return at a question too. ended: others answer it."),
    ] = "asks"


class ListRuns(Arguments):
    q: Annotated[
        str,
        Field(
            description="Terms that must all hold: state:running (open, ended, failed …),"
            " kind:command, prio:high, label:key=value, group:NAME, box:NAME, parent:RUN_ID, a word, !word."
        ),
    ] = ""
    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE, description="At most.")] = (
        USUAL_RUNS
    )
    before: Annotated[
        Cursor | None,
        Field(description="`next` of the page before."),
    ] = None


class CancelRun(Arguments):
    run_id: Run
    reason: Annotated[
        str,
        Field(max_length=LONGEST_REASON, description="Why."),
    ] = "requested"
    wait: Annotated[
        bool,
        Field(description="Wait until nothing of it is left."),
    ] = True


class GiveAnswer(Arguments):
    run_id: Run
    name: Annotated[str, Field(description="From `asks` of the run.")]
    answer: Annotated[str, Field(description="One of `choices`, if there are any.")]


class ReadEvents(Arguments):
    run_id: Annotated[
        RunId | None,
        Field(description="Leave out for all runs."),
    ] = None
    after: Annotated[
        Cursor,
        Field(description="`next` of the page before; 0: the beginning."),
    ] = 0
    after_id: Annotated[
        UUID | None,
        Field(
            description="The event_id at `after`, if known: `gap.put_back` tells if it is lost."
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE, description="At most.")] = (
        USUAL_EVENTS
    )


class ReadOutput(Arguments):
    run_id: Run
    tail: Annotated[
        int,
        Field(ge=1, le=LONGEST_TAIL, description="Last lines; 100 unless said."),
    ] = USUAL_TAIL
    after: Annotated[
        Cursor,
        Field(description="Only what was printed since; `next` of the call before."),
    ] = 0
    stream: Annotated[
        Literal["all", "stdout", "stderr"],
        Field(description="Which stream."),
    ] = "all"


class CodingTask(Arguments):
    prompt: Annotated[Text, Field(description="What to build or change.")]
    answers: Annotated[
        tuple[str, ...], Field(description="Answers to its questions, in advance.")
    ] = ()
    repository: Annotated[
        str | None,
        Field(description="Absolute path of a git repository to work on a copy of."),
    ] = None
    out: Annotated[
        str | None,
        Field(description="Absolute path of a folder for the files."),
    ] = None
    tests: Annotated[
        tuple[str, ...] | None,
        Field(description="Program and arguments of the tests."),
    ] = None
    branch: Annotated[
        str | None,
        Field(description="A new branch for the result."),
    ] = None
    priority: Annotated[PriorityName, Field(description="Who goes first.")] = (
        Priority.MEDIUM
    )

    def task(self) -> TaskRequest:
        """The task as every surface submits it."""
        return TaskRequest(
            prompt=self.prompt, answers=self.answers, priority=self.priority
        )

    def more(self) -> dict[str, Any]:
        """The inputs of the kind that a task of REST has no word for."""
        names = {"repository", "out", "tests", "branch"}
        return self.model_dump(mode="json", include=names, exclude_none=True)


class OneTask(Arguments):
    task_id: Annotated[OneRunId, Field(description="The task's id.")]


# -- what tools give


class Printed(BaseModel):
    """The last lines that a run printed, as a person would see them, without colours."""

    run_id: str
    state: str
    text: str
    #: How many lines there are.
    lines: int
    #: Whether it printed more before these lines; a larger `tail` shows it.
    earlier: bool
    #: Bytes among these lines that are no longer kept.
    missing_bytes: int
    #: As `after`, it gives what is printed from now on.
    next: int
