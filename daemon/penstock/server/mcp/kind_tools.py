"""A tool for each kind of run, whose arguments are the kind's inputs: models call flat tools best."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from penstock.runs.kind import Kind
from penstock.server.coding_tasks import TASK_KIND
from penstock.server.mcp.arguments import Arguments
from penstock.server.mcp.misfits import Misfits, faults_of, taken
from penstock.server.mcp.plain_schema import Schema, plain_schema
from penstock.words.api import Name, Seconds, SubmitRequest
from penstock.words.run_id import NAME_LABEL

#: Bytes of one tool's schema: some hosts take the descriptions out of a larger one.
LARGEST_SCHEMA = 3_500
#: Bytes of the tools of all kinds: a model reads all tools with every request. What finds no room
#: here is started with `start_run`.
ALL_SCHEMAS = 4_000
#: Kinds that have none of these: tasks have `start_coding_task`, and the inputs of coding agents would take
#: the room of all others, so that they are started with `start_run`.
WITHOUT_TOOL = frozenset({TASK_KIND, "agent"})
#: Characters of a name: hosts put their own before it, and models' makers take 64.
LONGEST_TOOL_NAME = 40

#: Inputs that are told to no model: with some no tool can go on, since nothing here types, or tells
#: streams apart later; others are fine as they are, and are taken here too where somebody knows of them.
HIDDEN: Mapping[str, frozenset[str]] = {
    "command": frozenset({"stdin", "tty", "stderr"}),
    "llms-txt": frozenset(
        {
            "section_links",
            "max_files",
            "max_file_bytes",
            "model_files",
            "max_tokens",
            "ctx",
            "update",
            "check",
        }
    ),
    "loop": frozenset({"turn_timeout", "max_cost"}),
}


class Options(Arguments):
    """What can be asked of every run, in the few words that a flat tool has room for."""

    timeout: Annotated[Seconds | None, Field(description="Seconds it may execute.")] = (
        None
    )
    name: Annotated[Name | None, Field(description="What to call it.")] = None


@dataclass(frozen=True, slots=True)
class KindTool:
    """A tool that starts runs of one kind. `options` are those of every run, by their argument."""

    name: str
    kind: Kind
    schema: Schema
    options: Mapping[str, str]

    def request(self, arguments: Mapping[str, Any]) -> SubmitRequest:
        """The run that a call asks for. Misfits tells all that is wrong with it."""
        faults: list[str] = []
        given = {self.options[k]: v for k, v in arguments.items() if k in self.options}
        inputs = {k: v for k, v in arguments.items() if k not in self.options}
        options = Options()
        try:
            options = Options.model_validate(given)
        except ValidationError as error:
            faults += faults_of(error)
        faults += misfits_of_inputs(self.kind, inputs)
        if faults:
            if any(name not in self.schema["properties"] for name in arguments):
                faults.append(
                    f"the arguments are {', '.join(self.schema['properties'])}"
                )
            raise Misfits(faults)
        wanted = {"kind": self.kind.name, "inputs": inputs, "timeout": options.timeout}
        labels = {} if options.name is None else {NAME_LABEL: options.name}
        return taken(SubmitRequest, {**wanted, "labels": labels})


def misfits_of_inputs(kind: Kind, inputs: Mapping[str, Any], at: str = "") -> list[str]:
    """All that is wrong with the inputs of a kind."""
    try:
        kind.inputs.model_validate(inputs)
    except ValidationError as error:
        return faults_of(error, at=at)
    return []


def kind_tools(kinds: Iterable[Kind]) -> list[KindTool]:
    """The kinds' tools, `command` first, as far as there is room; of two of one name the first."""
    names, left = set[str](), ALL_SCHEMAS
    tools = []
    for kind in sorted(kinds, key=lambda kind: (kind.name != "command", kind.name)):
        tool = None if kind.name in WITHOUT_TOOL else _tool(kind)
        size = 0 if tool is None else len(json.dumps(tool.schema)) + len(kind.summary)
        if tool is None or tool.name in names or size > min(left, LARGEST_SCHEMA):
            continue
        names.add(tool.name)
        left -= size
        tools.append(tool)
    return tools


def _tool(kind: Kind) -> KindTool | None:
    """The kind's tool; None if its inputs cannot be told plainly, or its name makes no tool's."""
    name = "run_" + re.sub(r"[^a-z0-9]+", "_", kind.name.lower()).strip("_")
    schema = kind.inputs.model_json_schema()
    told = plain_schema(schema)
    if told is None or len(name) > LONGEST_TOOL_NAME or name == "run_":
        return None
    found = told.get("properties", {})
    required = told.get("required", [])
    if len(required) != len(schema.get("required", ())):
        return None
    hidden = HIDDEN.get(kind.name, frozenset())
    found = {n: _brief(s) for n, s in found.items() if n not in hidden}
    general = plain_schema(Options.model_json_schema()) or {}
    options = dict(_arguments_of_options(found))
    for argument, option in options.items():
        found[argument] = general["properties"][option]
    whole: Schema = {"type": "object", "properties": found}
    whole |= {"required": required} if required else {}
    return KindTool(name, kind, whole, options)


def _brief(schema: Schema) -> Schema:
    """Without what follows a semicolon: mostly what null means, which nobody need send here."""
    about = schema.get("description", "").partition(";")[0]
    return {**schema, "description": about} if about else schema


def _arguments_of_options(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """An option whose name is one of the kind's inputs has `run_` before it."""
    for option in Options.model_fields:
        yield (f"run_{option}" if option in inputs else option), option
