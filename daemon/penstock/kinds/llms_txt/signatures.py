"""What a model is asked about a source tree, as DSPy signatures.

Importing this module imports DSPy, which takes seconds: only `wording.py` does, in a thread.
"""

from __future__ import annotations

import dspy  # type: ignore[import-untyped]


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


class DescribeFiles(dspy.Signature):  # type: ignore[misc]
    """Say in one line each what files are for. Invent nothing; leave out what tells you nothing."""

    project: str = dspy.InputField()
    files: str = dspy.InputField(desc="each file's path, and its beginning")
    descriptions: dict[str, str] = dspy.OutputField(
        desc="a JSON object: path to one line of at most fifteen words"
    )
