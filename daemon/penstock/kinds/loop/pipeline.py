"""The kind `loop`: observe, decide, act, and again, until the goal is reached or a limit is.

Every turn's act is a run of its own, a child; the loop waits on the log for its terminal event, and
only then goes on. What was observed, decided and done are recorded steps, so a loop that is resumed
repeats none of them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import trio

from penstock.kinds.loop.inputs import Act, LoopInputs, LoopOutput
from penstock.pipeline import (
    COMPLETED,
    Budget,
    BudgetSpent,
    ContextTooLarge,
    GoalNotReached,
    Kind,
    Log,
    ModelFailed,
    NotAvailable,
    ProcessFailed,
    Refused,
    Run,
    RunView,
    StepCompleted,
    StepFailed,
    TurnFailed,
    bytes_of,
    end_in_words,
    import_late,
    judge_budget,
    load_programs,
    plain_text,
    read_layers,
    spent_below,
)

# Ids of facts about failed turns are made of the turns' names, so that a resumed loop tells none twice.
_FAILED_TURNS = UUID("0b0c0d86-6a0e-5c3b-8a9e-3f2d1c7b9e64")

_SIGNATURES = "penstock.kinds.loop.signatures"

#: Characters of one output that a model is shown: its end tells what went wrong. A few
#: observations must fit a small window.
OBSERVED_CHARACTERS = 2000

# What a shell exits with when it cannot execute a line: trying again will not help.
_NOT_EXECUTABLE = (126, 127)

# Facts read at once.
_PAGE = 500


async def loop(run: Run, inputs: LoopInputs) -> LoopOutput:
    """See the module's text. GoalNotReached at a limit; TurnFailed names the step that failed."""
    _check_kinds(run, inputs)
    begun = run.view.started_at or run.now()
    left = inputs.max_seconds - (run.now() - begun).total_seconds()
    with trio.move_on_after(max(left, 0.0)):
        return await _take_turns(run, inputs)
    raise GoalNotReached(f"the goal was not reached within {inputs.max_seconds:g} s")


def _check_kinds(run: Run, inputs: LoopInputs) -> None:
    """Refused before the first turn for a turn that can never start."""
    kinds = run.kinds
    acts = [inputs.act.kind] if inputs.act is not None else inputs.kinds
    for name in acts:
        if name not in kinds:
            raise Refused("kind", f"{name!r} is not installed")
    if inputs.act is not None:
        kinds[inputs.act.kind].parse(inputs.act.inputs)


async def _take_turns(run: Run, inputs: LoopInputs) -> LoopOutput:
    # The last round only looks at what the last turn did.
    for turn in range(1, inputs.max_turns + 2):
        seen = await _observe(run, inputs, turn)
        if inputs.until is not None and seen["exit_code"] == 0:
            return await _reached(run, turn, "until", inputs.until)
        await _check_budget(run, inputs)
        act = inputs.act
        if inputs.goal is not None:
            decision = await _decide(run, inputs, turn, seen["output"])
            if decision["done"]:
                return await _reached(run, turn, "goal", decision["reason"])
            act = act or Act(kind=decision["kind"], inputs=decision["inputs"])
        if turn <= inputs.max_turns and act is not None:
            await _act(run, inputs, turn, act)
    raise GoalNotReached(f"the goal was not reached in {inputs.max_turns} turns")


async def _reached(run: Run, turn: int, by: str, reason: str) -> LoopOutput:
    await run.milestone("goal_reached", turns=turn - 1, by=by)
    return LoopOutput(turns=turn - 1, reached=by, reason=reason)


async def _check_budget(run: Run, inputs: LoopInputs) -> None:
    """BudgetSpent if the loop and all its turns have spent what they may."""
    if inputs.max_tokens is None and inputs.max_cost is None:
        return
    spent = await spent_below(run.reads, run.run_id)
    limits = Budget(tokens=inputs.max_tokens, cost=inputs.max_cost, soft=1.0)
    verdict, why = judge_budget(limits, spent)
    if verdict == "refuse":
        raise BudgetSpent(f"no further turn: {why}")


async def _observe(run: Run, inputs: LoopInputs, turn: int) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        return await observe(run, inputs, turn)

    found: dict[str, Any] = await _step(run, f"observe {turn}", look)
    return found


async def _decide(
    run: Run, inputs: LoopInputs, turn: int, observation: str
) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        # It may take minutes, and the last thing that was done is no more what is done.
        await run.progress(f"decide {turn}", _share(turn, inputs))
        return await decide(run, inputs, turn, observation)

    decision: dict[str, Any] = await _step(run, f"decide {turn}", ask)
    return decision


async def _step(run: Run, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
    """A recorded step; TurnFailed names it."""
    try:
        return await run.step(name, fn)
    except (ModelFailed, ContextTooLarge, BudgetSpent, ProcessFailed) as error:
        raise TurnFailed(f"{name}: {error}", step=name) from None


async def _act(run: Run, inputs: LoopInputs, turn: int, act: Act) -> None:
    """One turn: a child run from its start to its terminal event."""
    name, child_id = f"act {turn}", f"{run.run_id}.turn-{turn}"
    if name in run.view.steps:
        return
    try:
        child = await run.spawn_run(
            f"turn-{turn}",
            act.kind,
            _with_surroundings(run, inputs, act),
            timeout=inputs.turn_timeout,
            check=False,
            # A turn is a part of the loop: whether it may be repeated is said once, for both.
            on_restart=run.on_restart,
        )
    except (Refused, NotAvailable) as error:
        await _fail(run, name, child_id, str(error), keep_going=False)
        return
    if child.state == COMPLETED:
        result = {"state": child.state, "result": child.result}
        await run.emit(StepCompleted(name=name, result=result, child_id=child_id))
    else:
        await _fail(run, name, child_id, _why(child), keep_going=inputs.keep_going)


async def _fail(
    run: Run, name: str, child_id: str, why: str, *, keep_going: bool
) -> None:
    event_id = uuid5(_FAILED_TURNS, child_id)
    failed = StepFailed(name=name, error=why, child_id=child_id)
    await run.emit(failed, event_id=event_id)
    if not keep_going:
        raise TurnFailed(f"{name}: {why}", step=name, child=child_id)


def _why(child: RunView) -> str:
    return f"the run {child.run_id} ended {child.state}: {child.error or child.reason}"


def _with_surroundings(run: Run, inputs: LoopInputs, act: Act) -> dict[str, Any]:
    """The act's inputs; folder and variables are the loop's unless the act has its own."""
    known = run.kinds[act.kind].inputs.model_fields
    ours = {"cwd": inputs.cwd, "env": inputs.env}
    return {k: v for k, v in ours.items() if v and k in known} | act.inputs


async def observe(run: Run, inputs: LoopInputs, turn: int) -> dict[str, Any]:
    """`{"exit_code", "output"}`: the code of `until`, and what a model is shown of all outputs.

    ProcessFailed for a line that no shell can execute.
    """
    await run.progress(f"turn {turn}", _share(turn, inputs))
    code, parts = None, []
    if inputs.goal is not None and turn > 1:
        printed = await _printed_by(run, f"{run.run_id}.turn-{turn - 1}")
        parts.append(f"The last turn printed:\n{printed or '(nothing)'}")
    if inputs.until is not None:
        code, text = await _execute(run, inputs, inputs.until)
        parts.append(text)
    if inputs.observe is not None and code != 0:
        _, text = await _execute(run, inputs, inputs.observe)
        parts.append(text)
    return {"exit_code": code, "output": "\n\n".join(filter(None, parts))}


def _share(turn: int, inputs: LoopInputs) -> float:
    return (turn - 1) / (inputs.max_turns + 1)


async def _execute(run: Run, inputs: LoopInputs, line: str) -> tuple[int | None, str]:
    """A line's exit code, and what a model is shown of it: "" without one."""
    ended = await run.exec(
        ["/bin/sh", "-c", f"exec 2>&1\n{line}" if inputs.goal else line],
        cwd=Path(inputs.cwd) if inputs.cwd is not None else None,
        env=inputs.env or None,
        check=False,
        capture=inputs.goal is not None,
    )
    if ended.exit_code in _NOT_EXECUTABLE:
        raise ProcessFailed(f"`{line}` cannot be executed: {end_in_words(ended)}")
    if inputs.goal is None:
        return ended.exit_code, ""
    # A character has at most four bytes.
    text = ended.stdout[-4 * OBSERVED_CHARACTERS :].decode("utf-8", "replace")
    end = text[-OBSERVED_CHARACTERS:].strip()
    return ended.exit_code, f"$ {line}\n{end}\n({end_in_words(ended)})"


async def _printed_by(run: Run, run_id: str) -> str:
    """The end of what a run's processes printed."""
    said, after = b"", 0
    read = run.reads.read
    while facts := await read(run_id, after, _PAGE, types=frozenset({"log"})):
        for fact in facts:
            event = fact.event
            if isinstance(event, Log):
                # A character has at most four bytes.
                said = (said + (bytes_of(event) or b""))[-4 * OBSERVED_CHARACTERS :]
        after = facts[-1].position
    return plain_text(said.decode("utf-8", "replace"))[-OBSERVED_CHARACTERS:].strip()


async def decide(
    run: Run, inputs: LoopInputs, turn: int, observation: str
) -> dict[str, Any]:
    """`{"done", "reason"}` and, where the model chooses the turn, `{"kind", "inputs"}`.

    Errors as in `RunModels.ask`; MalformedAnswer when no attempt named a run that can be started.
    """
    await load_programs()
    signatures = await import_late(_SIGNATURES)
    asked: dict[str, str] = {
        "goal": inputs.goal or "",
        "observation": observation or "(nothing was observed yet)",
        "turn": f"{turn} of {inputs.max_turns}",
    }
    if inputs.kinds:
        asked["kinds"] = _describe_kinds(run, inputs)
    answer = await run.lm.ask(
        signatures.Choose if inputs.kinds else signatures.Judge,
        inputs=asked,
        layers=await read_layers(run, at="step.completed"),
        check=lambda fields: _check(run, inputs, fields),
        form="json",
        name="loop.choose" if inputs.kinds else "loop.judge",
        role="judge",
    )
    return dict(answer.fields)


def _check(run: Run, inputs: LoopInputs, fields: Mapping[str, Any]) -> None:
    """Refused says what of a choice cannot be done; the model is told."""
    if fields["done"] or not inputs.kinds:
        return
    kind = fields["kind"]
    if kind not in inputs.kinds:
        raise Refused("kind", f"must be one of {', '.join(inputs.kinds)}")
    run.kinds[kind].parse(fields["inputs"])


def _describe_kinds(run: Run, inputs: LoopInputs) -> str:
    kinds = [run.kinds[name] for name in inputs.kinds]
    return "\n".join(
        f"{kind.name}: {kind.summary} Inputs: {json.dumps(kind.inputs.model_json_schema())}"
        for kind in kinds
    )


KIND = Kind(
    name="loop",
    summary="Act in turns until a command succeeds, or a model finds the goal reached",
    inputs=LoopInputs,
    output=LoopOutput,
    pipeline=loop,
    on_restart="requeue",
    preemptible=True,
    milestones=frozenset({"goal_reached"}),
)
