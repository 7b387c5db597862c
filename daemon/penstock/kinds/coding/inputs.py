"""What a coding run is asked for, and what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from penstock.pipeline import Inputs, Output

#: Needs nothing but Python, and finds every `test*.py` of the workspace.
DEFAULT_TESTS = ("python3", "-m", "unittest", "discover")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _absolute(path: str) -> str:
    if "\0" in path or not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _word(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _branch(name: str) -> str:
    # Git itself judges the rest; this keeps a name from being an option or a range.
    if name.startswith("-") or any(c in name for c in "\0 ~^:?*[\\") or ".." in name:
        raise ValueError(f"{name!r} cannot be the name of a branch")
    return name


Word = Annotated[str, AfterValidator(_word)]
#: Surfaces that have a folder of their own make it absolute.
AbsolutePath = Annotated[
    str, AfterValidator(_absolute), WithJsonSchema({"type": "string", "format": "path"})
]


class CodingInputs(Inputs):
    """A task in words, and where and how it is worked on. The prompt is kept exactly."""

    prompt: Annotated[str, AfterValidator(_not_blank)] = Field(
        description="What to write or mend, in words"
    )
    ask: bool = Field(
        False,
        description="Whether the model may ask what the task leaves open; with `answers` or"
        " `answer_within` it may in any case",
    )
    answers: list[str] = Field(
        default_factory=list,
        description="Answers to the plan's questions, in order; further questions are asked",
    )
    repository: AbsolutePath | None = Field(
        None,
        description="Absolute path of a git repository to work on a copy of; null: begin anew",
    )
    out: AbsolutePath | None = Field(
        None,
        description="Absolute path of a folder that the finished files are written into",
    )
    tests: Annotated[list[Word], Field(min_length=1)] = Field(
        default_factory=lambda: list(DEFAULT_TESTS),
        description="Program and arguments that test the code; exit status 0 means that it is right",
    )
    #: Seconds of one test run: a test that hangs must end.
    test_timeout: float = Field(
        120.0, gt=0, le=3600, description="Seconds one run of the tests may take"
    )
    #: Corrections before the run gives up: small models repeat themselves.
    max_rounds: int = Field(5, ge=0, le=50, description="Corrections at most")
    #: Modules of one plan: each is a request to a model.
    max_modules: int = Field(12, ge=1, le=50, description="Modules of the plan at most")
    review: bool = Field(
        False, description="Have a model review the code while it is being tested"
    )
    #: Seconds to wait for an answer of a person; null: as long as it takes.
    answer_within: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Seconds to wait for each answer before the model decides by itself",
    )
    branch: Annotated[str, AfterValidator(_branch), Field(min_length=1)] | None = Field(
        None,
        description="Name of a new branch for the result in the repository; null: a patch only",
    )

    def local(self) -> bool:
        return self.repository is not None or self.out is not None

    @property
    def asking(self) -> bool:
        """Whether the plan may have questions: unasked, small models ask for what they were told."""
        return self.ask or bool(self.answers) or self.answer_within is not None

    @model_validator(mode="after")
    def _a_branch_is_of_a_repository(self) -> CodingInputs:
        if self.branch is not None and self.repository is None:
            raise ValueError("branch: name the repository that it is to be made in")
        return self


class CodingOutput(Output):
    """What was written. `patch` and `report` are artifacts of the run."""

    summary: str
    files: list[str]
    code_version: int
    code_hash: str
    corrections: int
    findings: int
    patch: str
    report: str
    branch: str | None = None
