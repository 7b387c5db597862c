"""The pipeline of docs/pipelines.md: a whole third-party kind."""

from penstock.runs.kind import Inputs, Kind, Output


class Who(Inputs):
    name: str


class Greeting(Output):
    text: str


async def greet(run, inputs):
    await run.milestone("greeted", name=inputs.name)
    return Greeting(text=f"Hello, {inputs.name}")


KIND = Kind(
    "greet", "Greet somebody", Who, Greeting, greet, milestones=frozenset({"greeted"})
)
