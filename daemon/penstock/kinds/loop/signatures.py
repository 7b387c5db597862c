"""What a model is asked in a loop, as DSPy signatures.

Importing this module imports DSPy, which takes seconds: only `pipeline.py` does, in a thread.
"""

from __future__ import annotations

from typing import Annotated, Any

import dspy  # type: ignore[import-untyped]
from pydantic import Field

#: A bound for the grammar of a server that takes a schema.
Reason = Annotated[str, Field(json_schema_extra={"maxLength": 200})]


class Judge(dspy.Signature):  # type: ignore[misc]
    """You check whether a goal is reached: compare what it says with what is observed. When in doubt, it is not."""

    goal: str = dspy.InputField()
    turn: str = dspy.InputField()
    observation: str = dspy.InputField()
    reason: Reason = dspy.OutputField(
        desc="what the observation shows, in a few words",
        examples=["the list has 3 entries, and the goal says none"],
    )
    done: bool = dspy.OutputField(desc="true or false", examples=[False])


class Choose(dspy.Signature):  # type: ignore[misc]
    """You check whether a goal is reached and, if not, say which run to start next. When in doubt, it is not."""

    goal: str = dspy.InputField()
    kinds: str = dspy.InputField()
    turn: str = dspy.InputField()
    observation: str = dspy.InputField()
    reason: Reason = dspy.OutputField(
        desc="what the observation shows, in a few words",
        examples=["the list has 3 entries, and the goal says none"],
    )
    done: bool = dspy.OutputField(desc="true or false", examples=[False])
    kind: str = dspy.OutputField(
        desc="the kind of the next run; `none` when done", examples=["command"]
    )
    inputs: dict[str, Any] = dspy.OutputField(
        desc="its inputs, by the schema of the kind; {} when done",
        examples=[{"shell": "rm -f list"}],
    )
