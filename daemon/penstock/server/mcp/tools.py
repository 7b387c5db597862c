"""The tools: their names, what they take, and what a model must know to use them.

None declares what it gives: the schemas would be most of what a model has to read, some hosts check
errors against them too, and what is given is one text, which no host sends to its model twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcp.types import Tool as WireTool
from mcp.types import ToolAnnotations
from pydantic import BaseModel

from penstock.runs.kind import Kind
from penstock.runs.run_scopes import RunScope
from penstock.server.coding_tasks import TASK_KIND
from penstock.server.judge import RunMay
from penstock.server.mcp import arguments as a
from penstock.server.mcp.kind_tools import KindTool
from penstock.server.mcp.plain_schema import Schema, plain_schema
from penstock.words.api import SubmitRequest

#: What a submit's fields mean, for a model that has read nothing else of us.
FIELDS: Mapping[str, str] = {
    "inputs": "What the kind takes; list_pipelines with its name tells.",
    "priority": "Who goes first.",
    "run_id": "Your own id: a repeated call with it and the same inputs starts nothing twice.",
    "after": "Runs that must complete first.",
    "group": "Runs of a group share slots.",
    "timeout": "Seconds it may execute.",
    "labels": "By these list_runs finds it.",
    "on_restart": "If the daemon restarts.",
    "delay": "Seconds to wait first.",
    "retries": "Tries after a failure.",
    "every": "A schedule: 90m, 1d or a line of cron; run_id names it.",
}

#: What `start_run` takes as `POST /runs` does, and no model is told: each costs it room.
UNTOLD = ("not_before", "stashed", "backoff", "needs", "anywhere")


def start_run_schema(kinds: Iterable[Kind], by_kind: Iterable[KindTool] = ()) -> Schema:
    """What `start_run` takes; its inputs are any object, since alternatives are what hosts refuse."""
    kinds = sorted(kinds, key=lambda kind: kind.name)
    told = {TASK_KIND, *(tool.kind.name for tool in by_kind)}
    schema = _schema_of(a.StartRun)
    properties = schema["properties"]
    for name in UNTOLD:
        del properties[name]
    # A model can only make one up: what its host knows of a trace comes beside the arguments.
    del properties["traceparent"]
    others = [
        f"{kind.name}: {kind.summary}." for kind in kinds if kind.name not in told
    ]
    names = [kind.name for kind in kinds]
    about = " ".join(["What to run.", *others])
    properties["kind"] = {"type": "string", "description": about, "enum": names}
    for name, meaning in FIELDS.items():
        properties[name]["description"] = meaning
    return schema | {"required": ["kind", "inputs"]}


def _schema_of(takes: type[BaseModel]) -> Schema:
    """A model's schema in plain form; what it is for is said by the tool."""
    schema = plain_schema(takes.model_json_schema()) or {}
    schema.pop("description", None)
    return {"properties": {}, **schema}


INSTRUCTIONS = (
    "Penstock runs commands and model pipelines in the background and proves how each ended."
    " run_command and its like answer at once with a run_id; then call wait_run until `state` is"
    " completed, failed or cancelled. A run goes on when you disconnect or stop waiting: only"
    " cancel_run ends it. If `asks` has an open question (`answer` is null), ask the user and call"
    " `answer`. What a run printed is in read_output."
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a client sees it. It has no title: the names are words, and each byte is read by a model.

    `destroys`: it may undo or overwrite what is there, as any program can; `repeatable`: doing it
    again changes nothing more; `outside`: it reaches past the daemon.
    """

    name: str
    description: str
    takes: type[BaseModel]
    reads_only: bool = False
    destroys: bool = False
    repeatable: bool = True
    outside: bool = False
    #: What of it a run may ask; see `judge`.
    for_run: RunMay = "nothing"


_STATE = (
    "The states completed, failed and cancelled are final. `result` is what a completed run gave,"
    " `error` why one failed, `output_tail` what it printed last; `why` tells what one waits for."
)

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "start_run",
            "Start a run of any kind; returns its run_id, call wait_run next. If the queue is full"
            " nothing was started.",
            a.StartRun,
            destroys=True,
            repeatable=False,
            outside=True,
            for_run="child",
        ),
        Tool(
            "wait_run",
            "Wait until the run has ended or asks something, or for the seconds, and return it. Call"
            f" again if it has not ended. {_STATE}",
            a.WaitRun,
            reads_only=True,
            for_run="tree",
        ),
        Tool(
            "get_run",
            "The run as it stands, as wait_run gives it.",
            a.OneRun,
            reads_only=True,
            for_run="tree",
        ),
        Tool(
            "read_output",
            "The last lines that a run printed, also while it executes. `earlier`: more stands before"
            " them. `next` as `after` gives what is new.",
            a.ReadOutput,
            reads_only=True,
            for_run="tree",
        ),
        Tool(
            "list_runs",
            "Runs, newest first; `next` is null on the last page. One that looks for words may be short.",
            a.ListRuns,
            reads_only=True,
        ),
        Tool(
            "cancel_run",
            "End a run and everything it started. The receipt tells when nothing of it was left"
            " and what could not be ended.",
            a.CancelRun,
            destroys=True,
        ),
        Tool(
            "retry_run",
            "Start an ended run anew; returns the new run_id.",
            a.RetryRun,
            destroys=True,
            repeatable=False,
            outside=True,
        ),
        Tool(
            "answer",
            "Answer a run's question; it goes on then. Each is answered once. Do not make one up:"
            " ask the user.",
            a.GiveAnswer,
            repeatable=False,
        ),
        Tool(
            "read_events",
            "What happened, oldest first: output, steps, what an agent says and does, the end. While `more`,"
            " call again with `after` = `next`.",
            a.ReadEvents,
            reads_only=True,
            for_run="tree",
        ),
        Tool(
            "list_pipelines",
            "The kinds of run, with the schemas of their inputs and output.",
            a.ListPipelines,
            reads_only=True,
            for_run="all",
        ),
        Tool(
            "queue_status",
            "How many runs wait and execute, and may; schedules; boxes, if several.",
            a.NoArguments,
            reads_only=True,
        ),
        Tool(
            "change_queue",
            "Change who executes when.",
            a.ChangeQueue,
            destroys=True,
            repeatable=False,
        ),
        Tool(
            "start_coding_task",
            "Have code planned, written and tested. Returns its task_id, which is a run_id.",
            a.CodingTask,
            destroys=True,
            repeatable=False,
            outside=True,
        ),
        Tool(
            "get_task_status",
            "`status` is `created` while queued, else the run's state.",
            a.OneTask,
            reads_only=True,
        ),
    )
}


def listed_tools(
    kinds: Iterable[Kind],
    by_kind: Iterable[KindTool] = (),
    scope: RunScope | None = None,
) -> list[WireTool]:
    """The tools as `tools/list` tells them, those of single kinds first; of a run's what it may call."""
    kinds, by_kind, tools = list(kinds), list(by_kind), list(TOOLS.values())
    if scope is not None:
        kinds = [kind for kind in kinds if kind.name in scope.kinds]
        by_kind = [tool for tool in by_kind if tool.kind in kinds]
        without = {"nothing"} if kinds else {"nothing", "child"}
        tools = [tool for tool in tools if tool.for_run not in without]
    listed = [_of_kind(tool) for tool in by_kind]
    for tool in tools:
        starts_any = tool.takes is a.StartRun
        schema = (
            start_run_schema(kinds, by_kind) if starts_any else _schema_of(tool.takes)
        )
        listed.append(_wire(tool, schema))
    return listed


def _of_kind(tool: KindTool) -> WireTool:
    """A kind may do whatever its plug-in does, so the honest word is the strongest."""
    shown = Tool(
        tool.name,
        f"{tool.kind.summary} Returns a run_id; call wait_run next.",
        SubmitRequest,
        destroys=True,
        repeatable=False,
        outside=True,
    )
    return _wire(shown, tool.schema)


def _wire(tool: Tool, schema: Schema) -> WireTool:
    return WireTool(
        name=tool.name,
        description=tool.description,
        input_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=tool.destroys,
            # Where it is false it goes without saying, and so does it of a tool that only reads.
            idempotent_hint=(tool.repeatable and not tool.reads_only) or None,
            open_world_hint=tool.outside,
        ),
    )
