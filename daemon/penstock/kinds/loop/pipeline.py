"""The kind `loop`: observe, decide, act, and again, until the goal is reached or a limit is.

Every turn's act is a run of its own, a child; the loop waits on the log for its terminal event, and
only then goes on. What was observed, decided and done are recorded steps, so a loop that is resumed
repeats none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid5

import trio

from penstock.kinds.loop.deciding import decide
from penstock.kinds.loop.inputs import Act, LoopInputs, LoopOutput
from penstock.kinds.loop.observing import observe
from penstock.pipeline import (
    COMPLETED,
    Budget,
    BudgetSpent,
    ContextTooLarge,
    GoalNotReached,
    Kind,
    ModelFailed,
    NotAvailable,
    ProcessFailed,
    Refused,
    Run,
    RunView,
    StepCompleted,
    StepFailed,
    TurnFailed,
    judge_budget,
    spent_below,
)

# Ids of facts about failed turns are made of the turns' names, so that a resumed loop tells none twice.
_FAILED_TURNS = UUID("0b0c0d86-6a0e-5c3b-8a9e-3f2d1c7b9e64")


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
