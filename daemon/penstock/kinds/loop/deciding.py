"""A turn's decision by a model: is the goal reached, and if not, what is next?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.kinds.loop.inputs import LoopInputs
from penstock.pipeline import Refused, Run, import_late, load_programs, read_layers

_SIGNATURES = "penstock.kinds.loop.signatures"


async def decide(
    run: Run, inputs: LoopInputs, turn: int, observation: str
) -> dict[str, Any]:
    """`{"done", "reason"}` and, where the model chooses the turn, `{"kind", "inputs"}`.

    Errors as in `RunModels.ask`; MalformedAnswer when no attempt named a run that can be started.
    """
    await load_programs()
    signatures = await import_late(_SIGNATURES)
    asked: dict[str, str] = {
        "goal": inputs.goal or "",
        "observation": observation or "(nothing was observed yet)",
        "turn": f"{turn} of {inputs.max_turns}",
    }
    if inputs.kinds:
        asked["kinds"] = _describe_kinds(run, inputs)
    answer = await run.lm.ask(
        signatures.Choose if inputs.kinds else signatures.Judge,
        inputs=asked,
        layers=await read_layers(run, at="step.completed"),
        check=lambda fields: _check(run, inputs, fields),
    )
    return dict(answer.fields)


def _check(run: Run, inputs: LoopInputs, fields: Mapping[str, Any]) -> None:
    """Refused says what of a choice cannot be done; the model is told."""
    if fields["done"] or not inputs.kinds:
        return
    kind = fields["kind"]
    if kind not in inputs.kinds:
        raise Refused("kind", f"must be one of {', '.join(inputs.kinds)}")
    run.kinds[kind].parse(fields["inputs"])


def _describe_kinds(run: Run, inputs: LoopInputs) -> str:
    kinds = [run.kinds[name] for name in inputs.kinds]
    return "\n".join(
        f"{kind.name}: {kind.summary} Inputs: {json.dumps(kind.inputs.model_json_schema())}"
        for kind in kinds
    )
