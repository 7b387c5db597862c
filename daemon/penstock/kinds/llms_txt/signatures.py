"""What a model is asked about a source tree, as DSPy signatures.

Importing this module imports DSPy, which takes seconds: only `wording.py` does, in a thread.
"""

from __future__ import annotations

from typing import Annotated

import dspy  # type: ignore[import-untyped]
from pydantic import Field

#: A bound for the grammar of a server that takes a schema.
OneLine = Annotated[str, Field(json_schema_extra={"maxLength": 160})]


class DescribeProject(dspy.Signature):  # type: ignore[misc]
    """Say what a project is for, to a reader who does not know it. Invent nothing."""

    title: str = dspy.InputField()
    readme: str = dspy.InputField(desc="the beginning of its README")
    files: str = dspy.InputField(desc="its most important files")
    purpose: str = dspy.OutputField(
        desc="what it is and what it is for, in one sentence"
    )
    concepts: list[str] = dspy.OutputField(
        desc="up to six key concepts, each as `name: what it is` in a few words"
    )


class DescribeFile(dspy.Signature):  # type: ignore[misc]
    """Say in one line what a file of a project is for. Invent nothing: say only what its text shows."""

    project: str = dspy.InputField()
    file: str = dspy.InputField(desc="its path, and its beginning")
    description: OneLine = dspy.OutputField(
        desc="what the file is for, in at most fifteen words",
        examples=["Reads the settings from a file and checks them."],
    )
