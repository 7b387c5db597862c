"""A kind that uses most of what a run offers: a question, a program, a text, a child, the log."""

from penstock.pipeline import (
    Inputs,
    Kind,
    Milestone,
    NotAvailable,
    Output,
    Priority,
    Refused,
    Run,
    StepCompleted,
    end_in_words,
)


class Errand(Inputs):
    tool: str
    #: Who it is for; null asks a person.
    to: str | None = None


class Done(Output):
    said: str
    greeted: list[str]


async def errand(run: Run, inputs: Errand) -> Done:
    to = await run.ask("to", "Who is it for?", given=inputs.to)
    if not to.isalpha():
        raise Refused("to", f"{to!r} is no name")
    ended = await run.exec([inputs.tool, to], capture=True, check=False)
    if ended.exit_code != 0:
        raise NotAvailable(f"{inputs.tool} cannot be used: {end_in_words(ended)}")
    said = ended.stdout.decode().strip()
    async with run.artifact("said") as text:
        await text.write(said)
    child = await run.spawn_run(
        "greeting", "greet", {"name": to}, priority=max(run.priority, Priority.LOW)
    )
    await run.emit(StepCompleted(name="greeting", child_id=child.run_id))
    facts = await run.reads.read(child.run_id)
    greeted = [
        str(fact.event.metadata["who"])
        for fact in facts
        if isinstance(fact.event, Milestone)
    ]
    return Done(said=said, greeted=greeted)


KIND = Kind("errand", "Have something said", Errand, Done, errand, on_restart="fail")
