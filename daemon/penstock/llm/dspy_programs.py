"""DSPy programs on Trio.

DSPy formats the messages; we send them, split the stream into fields, parse it, and ask again when
an answer has not the form that was asked for. No thread, no asyncio, nothing configured for the
whole process: what a call needs stands in its own `dspy.context`.

Importing this module imports DSPy, which takes seconds: only `run_models.load_programs` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy  # type: ignore[import-untyped]

from penstock.llm.adapter import FieldAdapter
from penstock.llm.lm import TrioLM
from penstock.llm.run_models import Question
from penstock.words.errors import Refused


def _check_inputs(signature: type[dspy.Signature], inputs: Mapping[str, Any]) -> None:
    """Refused names the first input that is missing or unknown; DSPy would only log it."""
    for name, info in signature.input_fields.items():
        if name not in inputs and info.is_required():
            raise Refused(f"inputs.{name}", "is missing")
    if unknown := sorted(inputs.keys() - signature.input_fields.keys()):
        raise Refused(f"inputs.{unknown[0]}", "is not an input of this signature")


# The last name of this module: who finds it finds the module complete.
async def execute(
    question: Question, task: Any, inputs: dict[str, Any], *, think: bool
) -> dict[str, Any]:
    """Run a signature or a program; the output fields."""
    if isinstance(task, dspy.Module):
        if question.check is not None:
            raise Refused(
                "check", "is for signatures; a program checks its own answers"
            )
        program = task
    else:
        _check_inputs(dspy.Predict(task).signature, inputs)
        program = (dspy.ChainOfThought if think else dspy.Predict)(task)
    # Without `trace=None` DSPy would keep every prompt and answer for as long as the daemon lives.
    with dspy.context(lm=TrioLM(question), adapter=FieldAdapter(), trace=None):
        prediction = await program.acall(**inputs)
    return dict(prediction.items())
