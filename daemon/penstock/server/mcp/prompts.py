"""Prompts for the frequent jobs, and the completion of what is named in them and in addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcp.types import (
    GetPromptResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
)

from penstock.log.filters import parse_filter
from penstock.runs.core import Core
from penstock.server.mcp.resources import TEMPLATES
from penstock.words.errors import NotFound, Refused

#: Values of one completion: the protocol's own limit.
MOST_VALUES = 100
#: Runs that are looked through for an id: the newest are meant.
LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class Job:
    """A frequent job in words. `words` has the arguments in braces."""

    name: str
    title: str
    about: str
    words: str
    arguments: Mapping[str, str]

    def listed(self) -> Prompt:
        arguments = [
            PromptArgument(name=name, description=about, required=True)
            for name, about in self.arguments.items()
        ]
        return Prompt(
            name=self.name,
            title=self.title,
            description=self.about,
            arguments=arguments or None,
        )


JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Job(
            "run_and_report",
            "Run a command and report",
            "Run a command in the background and say how it went.",
            "Run this with run_command: {command}\nThen call wait_run until it has ended. Report"
            " `exit_code` and the lines of its output that matter; if it failed, say what to change.",
            {"command": "A line for the shell."},
        ),
        Job(
            "explain_run",
            "Explain a run",
            "Why a run failed, waits or takes so long.",
            "Look at the run {run_id} with get_run and at what it printed with read_output (read more"
            " lines while `earlier` is true and the reason is not among them). Say in a few sentences"
            " where it stands and why, quoting the lines that show it.",
            {"run_id": "The run's id."},
        ),
        Job(
            "start_kind",
            "Start a run of a kind",
            "Put the inputs of a kind together, and start it.",
            "I want to start a run of the kind {kind}. Call list_pipelines with it, ask me for the"
            " inputs that it requires and I have not named, then start it and call wait_run.",
            {"kind": "A kind of run."},
        ),
        Job(
            "look_around",
            "What is going on",
            "What executes, waits and has failed lately.",
            "Call queue_status, list_runs with q `state:open`, and list_runs with q `state:failed` and"
            " limit 5. Say what executes, what waits and for what, which questions are open, and what"
            " failed lately.",
            {},
        ),
    )
}


def prompt_of(name: str, arguments: Mapping[str, str]) -> GetPromptResult:
    """A job with its arguments in it. NotFound; Refused names an argument that is missing."""
    job = JOBS.get(name)
    if job is None:
        raise NotFound(
            f"there is no prompt {name[:80]!r} (there are: {', '.join(JOBS)})"
        )
    for argument in job.arguments:
        if not arguments.get(argument):
            raise Refused(argument, "is required")
    # Once, and not by `format`: what is put in may have braces too.
    text = job.words
    for argument in job.arguments:
        text = text.replace(f"{{{argument}}}", arguments[argument])
    message = PromptMessage(role="user", content=TextContent(text=text))
    return GetPromptResult(description=job.about, messages=[message])


async def complete(
    core: Core,
    ref: PromptReference | ResourceTemplateReference,
    argument: str,
    begun: str,
    known: Mapping[str, str],
) -> list[str]:
    """What an argument that begins so may be; nothing for what cannot be guessed. NotFound."""
    if isinstance(ref, PromptReference) and ref.name not in JOBS:
        raise NotFound(f"there is no prompt {ref.name[:80]!r}")
    if isinstance(ref, ResourceTemplateReference) and not any(
        template.uri_template == ref.uri for template in TEMPLATES
    ):
        raise NotFound(f"there is no template {ref.uri[:200]!r}")
    match argument:
        case "run_id":
            page, _ = await core.reader.list(parse_filter("", limit=LOOKED_AT))
            found = [str(run["run_id"]) for run in page]
        case "kind":
            found = sorted(core.kinds)
        case "artifact_id" if known.get("run_id"):
            found = sorted((await core.reader.view(known["run_id"])).artifacts)
        case _:
            found = []
    return [value for value in found if value.startswith(begun)][:MOST_VALUES]
