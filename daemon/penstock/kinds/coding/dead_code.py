"""Code that nothing uses: the kind `dead-code`, a child of its own so that it runs at LOW.

A coding run that is done waits for it without a slot, so more important runs go first. The work is in
`analysis`, imported with the first run.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from penstock.kinds.coding.inputs import AbsolutePath
from penstock.kinds.coding.modules import check_path
from penstock.pipeline import Inputs, Kind, Output, Run, import_late

_ANALYSIS = "penstock.kinds.coding.analysis"


class DeadCodeInputs(Inputs):
    """Python files, and the folder in which they may be used."""

    folder: AbsolutePath = Field(
        description="Absolute path of the folder the files are in"
    )
    files: list[Annotated[str, AfterValidator(check_path)]] = Field(
        description="Relative paths of the files that are looked at"
    )


class DeadCodeOutput(Output):
    """Each finding names path, line, name and what is wrong."""

    findings: list[dict[str, Any]]


async def find_dead_code(run: Run, inputs: DeadCodeInputs) -> DeadCodeOutput:
    """Look at the files, and for uses at all others of the folder; what is no text is left out."""
    analysis = await import_late(_ANALYSIS)
    output: DeadCodeOutput = await analysis.analyse(run, inputs)
    return output


KIND = Kind(
    name="dead-code",
    summary="Find code in Python files that nothing uses",
    inputs=DeadCodeInputs,
    output=DeadCodeOutput,
    pipeline=find_dead_code,
    preemptible=True,
)
