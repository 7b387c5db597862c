"""A kind that asks a question and writes down the answer, for agents to be tested with."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from penstock.pipeline import Inputs, Kind, Output, Run


class Interview(Inputs):
    question: str
    choices: tuple[str, ...] = ()
    #: What the question is about.
    details: Mapping[str, Any] = Field(default_factory=dict)
    #: Words written before the question.
    words: int = 1
    #: Facts recorded before the question, one commit each.
    steps: int = 1


class Told(Output):
    answer: str


async def interview(run: Run, inputs: Interview) -> Told:
    async with run.artifact("story") as story:
        for number in range(inputs.words):
            await story.write(f"word {number} ")
    for number in range(inputs.steps):
        await run.progress(f"step {number}", number / inputs.steps)
    answer = await run.ask(
        "which", inputs.question, inputs.choices, details=inputs.details
    )
    return Told(answer=answer)


KIND = Kind("interview", "Ask somebody something", Interview, Told, interview)
