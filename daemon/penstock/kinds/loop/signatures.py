"""What a model is asked in a loop, as DSPy signatures.

Importing this module imports DSPy, which takes seconds: only `pipeline.py` does, in a thread.
"""

from __future__ import annotations

from typing import Any

import dspy  # type: ignore[import-untyped]


class Judge(dspy.Signature):  # type: ignore[misc]
    """Decide from what is observed whether the goal is reached. Do not guess: when in doubt, it is not."""

    goal: str = dspy.InputField()
    observation: str = dspy.InputField(desc="how things stand now")
    turn: str = dspy.InputField()
    reason: str = dspy.OutputField(desc="why, in one sentence")
    done: bool = dspy.OutputField(desc="True or False")


class Choose(dspy.Signature):  # type: ignore[misc]
    """Decide from what is observed whether the goal is reached and, if not, which run to start next."""

    goal: str = dspy.InputField()
    observation: str = dspy.InputField(desc="how things stand now")
    turn: str = dspy.InputField()
    kinds: str = dspy.InputField(
        desc="the kinds of run there are, and the JSON schemas of their inputs"
    )
    reason: str = dspy.OutputField(desc="why, in one sentence")
    done: bool = dspy.OutputField(desc="True or False")
    kind: str = dspy.OutputField(desc="the kind of the next run; `none` when done")
    inputs: dict[str, Any] = dspy.OutputField(
        desc="the inputs of the next run as a JSON object; {} when done"
    )
