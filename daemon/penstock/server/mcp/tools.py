"""The tools: their names, what they take and give, and what a model must know to use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.types import Tool as WireTool
from mcp.types import ToolAnnotations
from pydantic import BaseModel

from penstock.server.mcp import arguments as a
from penstock.server.mcp.schemas import start_run_schema
from penstock.words.api import (
    CancelReceipt,
    EventsPage,
    RunsPage,
    SubmitReply,
    SubmitRequest,
    TaskReply,
)

if TYPE_CHECKING:
    from penstock.runs.run import Kind

INSTRUCTIONS = (
    "Penstock runs commands and model pipelines in the background and proves how each ended."
    " start_run answers at once with a run_id; then call wait_run until `state` is completed,"
    " failed or cancelled. A run goes on when you disconnect or stop waiting: only cancel_run ends"
    " it. If `asks` has an open question (`answer` is null), ask the user and call answer_ask."
    " What a run printed, and everything else that happened, is in read_events."
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a client sees it."""

    name: str
    title: str
    description: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    reads_only: bool = False
    destroys: bool = False
    repeatable: bool = True


_STATE = (
    "`state` is queued, running, waiting, preempted, completed, failed or cancelled; the last"
    " three are final. `result` is what a completed run gave, `error` why one failed."
)

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "start_run",
            "Start a run",
            "Start a run and return its run_id at once, before it has done anything. Call wait_run"
            " next. If the queue is full this is refused and nothing was started: try again later.",
            SubmitRequest,
            SubmitReply,
            repeatable=False,
        ),
        Tool(
            "wait_run",
            "Wait for a run",
            "Wait until the run has ended or asks something, or the seconds are over, and return the"
            f" run as it stands then. If it has not ended, call this again. {_STATE}",
            a.WaitRun,
            a.RunState,
            reads_only=True,
        ),
        Tool(
            "get_run",
            "Look at a run",
            f"The run as it stands now, without waiting. {_STATE}",
            a.OneRun,
            a.RunState,
            reads_only=True,
        ),
        Tool(
            "list_runs",
            "List runs",
            "Runs, newest first, a page at a time; `next` is null on the last page.",
            a.ListRuns,
            RunsPage,
            reads_only=True,
        ),
        Tool(
            "cancel_run",
            "Cancel a run",
            "End a run and everything it started. The receipt tells when nothing of it was left"
            " (`gone_at`) and what could not be ended (`survivors`). An ended run stays as it is.",
            a.CancelRun,
            CancelReceipt,
            destroys=True,
        ),
        Tool(
            "retry_run",
            "Retry a run",
            "Start a new run with the kind and inputs of one that has ended; returns the new run_id.",
            a.OneRun,
            SubmitReply,
            repeatable=False,
        ),
        Tool(
            "answer_ask",
            "Answer a question",
            "Answer a question that a run asks a person; it goes on then. Each is answered once."
            " Do not make an answer up: ask the user.",
            a.AnswerAsk,
            a.Answered,
            repeatable=False,
        ),
        Tool(
            "read_events",
            "Read events",
            "What happened, oldest first, a page at a time: output of processes (`log`), progress,"
            " steps, questions, the end. While `more` is true, call again with `after` = `next`.",
            a.ReadEvents,
            EventsPage,
            reads_only=True,
        ),
        Tool(
            "list_pipelines",
            "List kinds of run",
            "The kinds of run that are installed, with the JSON schemas of their inputs and output.",
            a.NoArguments,
            a.Pipelines,
            reads_only=True,
        ),
        Tool(
            "queue_status",
            "Look at the queue",
            "How many runs wait and execute now, and how many may.",
            a.NoArguments,
            a.QueueStatus,
            reads_only=True,
        ),
        Tool(
            "start_coding_task",
            "Start a coding task",
            "Start the kind `coding` with a prompt and return its task_id at once. The task is a"
            " run: its id works with wait_run, get_run, cancel_run and read_events.",
            a.CodingTask,
            TaskReply,
            repeatable=False,
        ),
        Tool(
            "get_task_status",
            "Look at a coding task",
            "The task as it stands now. `status` is created, running, waiting, preempted, completed,"
            " failed or cancelled; the last three are final.",
            a.OneTask,
            TaskReply,
            reads_only=True,
        ),
    )
}


def listed_tools(kinds: Iterable[Kind]) -> list[WireTool]:
    """The tools as `tools/list` tells them."""
    start_run = start_run_schema(kinds)
    return [
        WireTool(
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=start_run
            if tool.takes is SubmitRequest
            else tool.takes.model_json_schema(),
            output_schema=tool.gives.model_json_schema(),
            annotations=ToolAnnotations(
                read_only_hint=tool.reads_only,
                destructive_hint=tool.destroys,
                idempotent_hint=tool.repeatable,
                open_world_hint=not tool.reads_only,
            ),
        )
        for tool in TOOLS.values()
    ]
