"""The pipeline of docs/pipelines.md: a whole third-party kind."""

from penstock.runs.kind import Inputs, Kind, Output
from penstock.runs.run import Run


class Who(Inputs):
    name: str


class Greeting(Output):
    text: str


async def greet(run: Run, inputs: Who) -> Greeting:
    await run.milestone("greeted", who=inputs.name)
    return Greeting(text=f"Hello, {inputs.name}")


KIND = Kind(
    "greet", "Greet somebody", Who, Greeting, greet, milestones=frozenset({"greeted"})
)
