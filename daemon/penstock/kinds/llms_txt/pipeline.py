"""The kind `llms-txt`: what it is called, takes and gives. The work is in `generate`, imported with the first run."""

from __future__ import annotations

from penstock.kinds.llms_txt.inputs import LlmsTxtInputs, LlmsTxtOutput
from penstock.pipeline import Kind, Run, import_late

_GENERATE = "penstock.kinds.llms_txt.generate"


async def describe_source(run: Run, inputs: LlmsTxtInputs) -> LlmsTxtOutput:
    """Fetch, analyse, render. Nothing is written but in the output folder and the workspace."""
    generate = await import_late(_GENERATE)
    output: LlmsTxtOutput = await generate.describe_source(run, inputs)
    return output


KIND = Kind(
    name="llms-txt",
    summary="Describe a source tree in llms.txt and llms-full.txt",
    inputs=LlmsTxtInputs,
    output=LlmsTxtOutput,
    pipeline=describe_source,
    on_restart="requeue",
    portable=True,
    # It begins anew, which costs seconds and gives the same files.
    preemptible=True,
    milestones=frozenset(
        {
            "repo_fetched",
            "analysis_started",
            "analysis_completed",
            "model_described",
            "model_failed",
            "render_completed",
        }
    ),
)
