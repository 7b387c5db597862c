"""The tools: their names, what they take and give, and what a model must know to use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.types import Tool as WireTool
from mcp.types import ToolAnnotations
from pydantic import BaseModel

from penstock.runs.kind import Kind
from penstock.server.mcp import arguments as a
from penstock.words.api import (
    CancelReceipt,
    EventsPage,
    RunReply,
    RunsPage,
    SubmitReply,
    SubmitRequest,
    TaskReply,
)

#: What a submit's fields mean, for a model that has read nothing else of us.
FIELDS: Mapping[str, str] = {
    "kind": "What to run.",
    "inputs": "What the kind takes; each form is titled with the kind that it belongs to.",
    "priority": "CRITICAL, HIGH, MEDIUM, LOW or BACKGROUND; more important runs start first.",
    "run_id": "An id of your choice. The same id with the same inputs is the same run, so a"
    " repeated call starts nothing twice. Null: one is made.",
    "after": "Ids of runs that must complete first.",
    "group": "A configured group whose runs share slots.",
    "timeout": "Seconds the run may execute before it fails.",
    "labels": "Names and values by which list_runs finds it again.",
    "on_restart": "What becomes of it if the daemon restarts meanwhile; null: as usual for its kind.",
}


def start_run_schema(kinds: Iterable[Kind]) -> dict[str, Any]:
    """The schema; below its top it has alternatives, at the top none, since some hosts refuse those."""
    kinds = sorted(kinds, key=lambda kind: kind.name)
    schema = SubmitRequest.model_json_schema()
    # That one is about REST.
    schema.pop("description", None)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    forms = []
    for kind in kinds:
        form = _form(kind)
        for name, definition in form.pop("$defs", {}).items():
            definitions[f"{kind.name}.{name}"] = definition
        forms.append(form)
    properties = schema["properties"]
    properties["kind"] = {"type": "string", "enum": [kind.name for kind in kinds]}
    properties["inputs"] = {"anyOf": forms}
    for name, meaning in FIELDS.items():
        properties[name]["description"] = meaning
    about = " ".join(f"{kind.name}: {kind.summary}" for kind in kinds)
    properties["kind"]["description"] = f"{FIELDS['kind']} {about}"
    schema["required"] = ["kind", "inputs"]
    if definitions:
        schema["$defs"] = definitions
    return schema


def _form(kind: Kind) -> dict[str, Any]:
    """What a kind takes; names of shared parts are prefixed, so that kinds cannot meet in them."""
    # The template is formatted, so a brace in a kind's name would be one too many.
    prefix = kind.name.replace("{", "{{").replace("}", "}}")
    form = kind.inputs.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    return {**form, "title": kind.name}


INSTRUCTIONS = (
    "Penstock runs commands and model pipelines in the background and proves how each ended."
    " start_run answers at once with a run_id; then call wait_run until `state` is completed,"
    " failed or cancelled. A run goes on when you disconnect or stop waiting: only cancel_run ends"
    " it. If `asks` has an open question (`answer` is null), ask the user and call answer_ask."
    " What a run printed is in read_output, and everything that happened in read_events."
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
    " three are final. `result` is what a completed run gave, `error` why one failed and `output_tail` what it"
    " printed last."
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
            RunReply,
            reads_only=True,
        ),
        Tool(
            "get_run",
            "Look at a run",
            f"The run as it stands now, without waiting. {_STATE}",
            a.OneRun,
            RunReply,
            reads_only=True,
        ),
        Tool(
            "list_runs",
            "List runs",
            "Runs, newest first, a page at a time; `next` is null on the last page. A page that looks"
            " for words may be short, or empty, and not the last.",
            a.ListRuns,
            RunsPage,
            reads_only=True,
        ),
        Tool(
            "cancel_run",
            "Cancel a run",
            "End a run and everything it started. The receipt tells when nothing of it was left"
            " and what could not be ended. An ended run stays as it is.",
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
            "read_output",
            "Read output",
            "The last lines that a run printed, as plain text, while it executes and afterwards. If"
            " `earlier` is true there is more before them. `next` as `after` gives what is new.",
            a.ReadOutput,
            a.Printed,
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
