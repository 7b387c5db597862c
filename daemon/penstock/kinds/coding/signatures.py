"""What models are asked in a coding run, as DSPy signatures.

Importing this module imports DSPy, which takes seconds: only `questions.py` does, late.
"""

from __future__ import annotations

from typing import Annotated

import dspy  # type: ignore[import-untyped]
from pydantic import Field

from penstock.kinds.coding.modules import PlannedFile

# Inputs stand in the order in which they are told: what stays the same from one question to the next
# first, so that the server need not read it again, and what the question is about last.

# Bounds for the grammar of a server that takes a schema: without them a small model may go on for
# ever. An answer of another server that is a little longer is read all the same.
OneLine = Annotated[str, Field(json_schema_extra={"maxLength": 300})]
PlannedFiles = Annotated[
    list[PlannedFile], Field(json_schema_extra={"minItems": 1, "maxItems": 12})
]
Questions = Annotated[list[OneLine], Field(json_schema_extra={"maxItems": 10})]
Findings = Annotated[list[OneLine], Field(json_schema_extra={"maxItems": 5})]


#: Examples of files, as models are to give them.
EXAMPLE_CODE = """\
def to_fahrenheit(celsius):
    return celsius * 9 / 5 + 32"""
EXAMPLE_TESTS = """\
import unittest
from temperature import *

class TestTemperature(unittest.TestCase):
    def test_water_boils(self):
        self.assertEqual(to_fahrenheit(100), 212)"""


class MakePlan(dspy.Signature):  # type: ignore[misc]
    """You plan small programs: which files of code the task needs. For one function it is one file."""

    task: str = dspy.InputField()
    notes: str = dspy.InputField()
    files: str = dspy.InputField()
    tests: str = dspy.InputField()
    summary: OneLine = dspy.OutputField(
        desc="the plan in one sentence", examples=["One module with the conversion."]
    )
    modules: PlannedFiles = dspy.OutputField(
        desc="the files of code; leave out tests, they come later. `needs` are paths of other files"
        " of this list that the file uses, usually []",
        examples=[
            [
                {
                    "path": "temperature.py",
                    "purpose": "Converts between Celsius and Fahrenheit",
                    "needs": [],
                }
            ]
        ],
    )


class MakePlanAsking(MakePlan):
    """You plan small programs: which files of code the task needs. For one function it is one file."""

    questions: Questions = dspy.OutputField(
        desc="what the task leaves open and you cannot decide; usually []",
        examples=[[]],
    )


class WriteModule(dspy.Signature):  # type: ignore[misc]
    """You write complete, plain, working code for one file of a program. No explanations."""

    task: str = dspy.InputField()
    plan: str = dspy.InputField()
    notes: str = dspy.InputField()
    tests_run_by: str = dspy.InputField()
    files: str = dspy.InputField()
    module: str = dspy.InputField()
    code: str = dspy.OutputField(
        desc="the whole text of the file", examples=[EXAMPLE_CODE]
    )


class WriteTestedModule(WriteModule):
    """You write complete, plain, working code for one file of a program, and its tests. No explanations."""

    tests: str = dspy.OutputField(
        desc="the whole text of its test file, with a few plain tests, each of which follows from"
        " the task",
        examples=[EXAMPLE_TESTS],
    )


class CorrectModule(dspy.Signature):  # type: ignore[misc]
    """You repair one file of a program. Find the cause first, then change as little as will do."""

    task: str = dspy.InputField()
    plan: str = dspy.InputField()
    notes: str = dspy.InputField()
    module: str = dspy.InputField()
    files: str = dspy.InputField()
    problem: str = dspy.InputField()
    code: str = dspy.OutputField(
        desc="the whole text of the repaired file", examples=[EXAMPLE_CODE]
    )
    tests: str = dspy.OutputField(
        default="unchanged",
        desc="the whole text of its test file, only if a test contradicts the task; never weaken one",
    )


class ChooseModule(dspy.Signature):  # type: ignore[misc]
    """You find the file of a program that has to be repaired."""

    task: str = dspy.InputField()
    files: str = dspy.InputField()
    problem: str = dspy.InputField()
    path: str = dspy.OutputField(desc="its path", examples=["temperature.py"])


class RewriteTests(dspy.Signature):  # type: ignore[misc]
    """You write the tests of one file of a program anew, from the task: test only what the task says."""

    task: str = dspy.InputField()
    notes: str = dspy.InputField()
    module: str = dspy.InputField()
    problem: str = dspy.InputField()
    tests: str = dspy.OutputField(
        desc="the whole text of the test file", examples=[EXAMPLE_TESTS]
    )


class ReviewCode(dspy.Signature):  # type: ignore[misc]
    """You review code: find what is wrong for certain, measured by the task. No matters of taste."""

    task: str = dspy.InputField()
    files: str = dspy.InputField()
    findings: Findings = dspy.OutputField(
        desc="what is wrong and why, usually []",
        examples=[["mean([]) divides by zero, and the task says it is 0"]],
    )
