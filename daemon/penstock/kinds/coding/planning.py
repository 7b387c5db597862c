"""The plan of a coding run: asked of a model, checked, and agreed on with people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from penstock.kinds.coding.modules import Plan, make_plan, name_files
from penstock.kinds.coding.proving import run_tests
from penstock.kinds.coding.stages import Work
from penstock.kinds.coding.work_tree import list_files
from penstock.pipeline import (
    PlanCompleted,
    run_in_thread,
)

#: Questions of one plan: more is an interview.
MOST_QUESTIONS = 10
#: Files of a repository that a plan is made from.
MOST_FILES = 300

#: What is taken when nobody answers in time.
DECIDE_YOURSELF = "Decide yourself."


async def plan_work(work: Work) -> Plan:
    """A plan that can be worked off. MalformedAnswer says what is wrong with the model's last one.

    Its questions are answered by the request's own answers first, then by people; then it is made
    again with the answers.
    """
    outlook = await _look_around(work)
    plan = await _ask_plan(work, "plan", outlook)
    questions = plan.questions[:MOST_QUESTIONS]
    if questions:
        for number, question in enumerate(questions, 1):
            answer = await _answer(work, number, question)
            work.answers.append(f"{question}\n{answer}")
        plan = await _ask_plan(work, "plan with answers", outlook)
    modules = tuple(m.model_dump() for m in plan.modules)
    await work.history.tell(
        "plan", PlanCompleted(modules=modules, summary=plan.summary), cause=_start(work)
    )
    return plan


def _start(work: Work) -> Any:
    return work.history.newest("run.started")


async def _look_around(work: Work) -> Mapping[str, str]:
    """What there is, and what the tests say of it; nothing for a fresh folder."""
    argv = " ".join(work.inputs.tests)
    if not work.tree.base:
        return {"files": "(none)", "tests": f"run by: {argv}"}

    async def look() -> dict[str, Any]:
        names = await run_in_thread(list_files, work.tree.root, MOST_FILES)
        return {"names": names, **await run_tests(work)}

    seen = await work.run.step("look", look)
    says = seen["failure"] or "they pass"
    return {
        "files": "\n".join(seen["names"]),
        "tests": f"run by: {argv}\nnow: {says}\n{seen['output']}",
    }


async def _ask_plan(work: Work, name: str, outlook: Mapping[str, str]) -> Plan:
    there = None if not work.tree.base else outlook["files"].splitlines()

    def make(fields: Mapping[str, Any]) -> Plan:
        modules = name_files(fields["modules"])
        return make_plan(
            {**fields, "modules": modules}, most=work.inputs.max_modules, there=there
        )

    async def make_inputs() -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {"notes": work.notes or "(none)", **outlook}

    def check(fields: Mapping[str, Any]) -> None:
        make(fields)

    answer = await work.ask(
        name,
        "MakePlanAsking" if work.inputs.asking else "MakePlan",
        make_inputs,
        current=_start(work),
        shape=lambda fields: make(fields).model_dump(mode="json"),
        check=check,
    )
    return Plan.model_validate(answer)


async def _answer(work: Work, number: int, question: str) -> str:
    """The answer the request brought, or a person's. The question is a fact in either case."""
    run, given = work.run, work.inputs.answers
    if number <= len(given):
        # A person was faster, or an earlier execution: that answer holds.
        name = f"question {number}"
        return await run.ask(name, question, given=given[number - 1])
    return await run.ask(
        f"question {number}",
        question,
        default=DECIDE_YOURSELF if work.inputs.answer_within is not None else None,
        expires=work.inputs.answer_within,
    )
