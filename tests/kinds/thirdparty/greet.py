"""The pipeline of docs/pipelines.md: a whole third-party kind."""

from penstock.pipeline import Inputs, Kind, Output, Run


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
