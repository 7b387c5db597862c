"""What models are asked in a coding run, as DSPy signatures.

Importing this module imports DSPy, which takes seconds: only `questions.py` does, late.
"""

from __future__ import annotations

import dspy  # type: ignore[import-untyped]

from penstock.kinds.coding.modules import PlannedModule


class MakePlan(dspy.Signature):  # type: ignore[misc]
    """Plan the task as a few files of code with their tests. Ask only what you cannot decide."""

    task: str = dspy.InputField()
    notes: str = dspy.InputField(desc="answers and further wishes of the user")
    files: str = dspy.InputField(desc="files that exist already")
    tests: str = dspy.InputField(desc="how the tests are run, and what they say now")
    summary: str = dspy.OutputField(desc="the plan in one or two sentences")
    modules: list[PlannedModule] = dspy.OutputField()
    questions: list[str] = dspy.OutputField(desc="questions to the user, [] for none")


class WriteModule(dspy.Signature):  # type: ignore[misc]
    """Write the one module at hand: the whole text of its file, without any explanation."""

    task: str = dspy.InputField()
    notes: str = dspy.InputField(desc="answers and further wishes of the user")
    plan: str = dspy.InputField()
    module: str = dspy.InputField(desc="the module to write")
    files: str = dspy.InputField(
        desc="its file as it is now, and those that it may use"
    )
    tests_run_by: str = dspy.InputField(desc="the program that runs the tests")
    code: str = dspy.OutputField(desc="the whole text of the module's file")


class WriteTestedModule(WriteModule):
    """Write the one module at hand and its tests: the whole text of both files, and nothing else."""

    tests: str = dspy.OutputField(desc="the whole text of the module's test file")


class CorrectModule(dspy.Signature):  # type: ignore[misc]
    """Solve the problem by correcting one module. Say `unchanged` for a file that stays as it is."""

    task: str = dspy.InputField()
    notes: str = dspy.InputField(desc="answers and further wishes of the user")
    plan: str = dspy.InputField()
    problem: str = dspy.InputField()
    files: str = dspy.InputField(desc="the code as it is now")
    module: str = dspy.OutputField(desc="name of the planned module to correct")
    code: str = dspy.OutputField(desc="the whole text of its file, or `unchanged`")
    tests: str = dspy.OutputField(desc="the whole text of its tests, or `unchanged`")


class RewriteTests(dspy.Signature):  # type: ignore[misc]
    """Write the tests of one module anew, from the task alone: what the task does not say is not tested."""

    task: str = dspy.InputField()
    notes: str = dspy.InputField(desc="answers and further wishes of the user")
    module: str = dspy.InputField(desc="the module to test, and how it is imported")
    problem: str = dspy.InputField(desc="why the tests that there were will not do")
    tests: str = dspy.OutputField(desc="the whole text of the module's test file")


class ReviewCode(dspy.Signature):  # type: ignore[misc]
    """Find what is wrong for certain with the code, measured by the task. No matters of taste."""

    task: str = dspy.InputField()
    files: str = dspy.InputField(desc="the code and its tests")
    findings: list[str] = dspy.OutputField(desc="what is wrong and why, [] for nothing")
