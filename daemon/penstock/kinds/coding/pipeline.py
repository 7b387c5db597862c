"""The kind `coding`: what it is called, takes and gives. The work is in `solving`, imported with the first run."""

from __future__ import annotations

from penstock.kinds.coding.inputs import CodingInputs, CodingOutput
from penstock.pipeline import Kind, Run, import_late

_SOLVING = "penstock.kinds.coding.solving"


async def write_code(run: Run, inputs: CodingInputs) -> CodingOutput:
    """Do the task in a folder of the run's own; the result is a patch, a report, maybe a branch."""
    solving = await import_late(_SOLVING)
    output: CodingOutput = await solving.write_code(run, inputs)
    return output


KIND = Kind(
    name="coding",
    summary="Plan, write, test and correct code with a model, in a folder of its own",
    inputs=CodingInputs,
    output=CodingOutput,
    pipeline=write_code,
    on_restart="requeue",
    portable=True,
    preemptible=True,
    needs_model=True,
)
