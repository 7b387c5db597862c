"""What an agent wants to be allowed: by a rule at once, or by a person, whose answer is used once.

A question is named after the act and how often it came, so that an agent that is started again after a
crash asks the same one. That its answer was used is a step of the run.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import trio

from penstock.kinds.agent.inputs import AgentInputs
from penstock.kinds.agent.offered import PermissionWish
from penstock.kinds.agent.permissions import (
    PRESETS,
    AgentAct,
    Verdict,
    judge,
    pick_option,
    shown_path,
)
from penstock.pipeline import AskExpired, Run

Decision = Literal["allow", "deny"]

#: What the names of these questions, and of the steps of their answers, begin with.
PERMIT = "permit-"
#: Characters of an act in a question; its details have all of it.
_LONGEST_ACT = 300


@dataclass(eq=False, slots=True)
class Permissions:
    """The wishes of one run's agent. `flush` records what it said before."""

    run: Run
    inputs: AgentInputs
    #: What people call the agent.
    name: str
    tree: Path
    flush: Callable[[], Awaitable[None]]
    #: Wishes that people are asked about now; and how many were denied.
    waiting: set[str] = field(default_factory=set)
    denied: int = 0

    async def decide(self, wish: PermissionWish, act: AgentAct) -> str | None:
        """The option that answers the wish; None: there is none, and it is told `cancelled`."""
        await self.flush()
        judged = judge_act(act, self.inputs, self.tree)
        verdict = await self._ask(act) if judged == "ask" else judged
        if verdict == "deny":
            self.denied += 1
        if judged == "deny":
            await self.run.log(f"denied by a rule: {_told(act, self.tree)}\n")
        return pick_option(wish.options, verdict)

    async def _ask(self, act: AgentAct) -> Decision:
        """What a person says, or said before a restart."""
        name = self._name_of(act)
        self.waiting.add(name)
        try:
            return await self._answer_to(name, act)
        finally:
            self.waiting.discard(name)

    async def _answer_to(self, name: str, act: AgentAct) -> Decision:
        within = self.inputs.answer_within
        paths = list(dict.fromkeys(shown_path(path, self.tree) for path in act.paths))
        try:
            answer = await self.run.ask(
                name,
                f"{self.name} wants to {_told(act, self.tree)}",
                ("allow", "deny"),
                None if within is None else "deny",
                within,
                details={
                    **act.details(),
                    "paths": paths,
                    "title": _shortly(act.title, self.tree),
                },
            )
        except AskExpired:
            answer = "deny"
        verdict: Decision = "allow" if answer == "allow" else "deny"

        async def use() -> str:
            await trio.lowlevel.checkpoint()
            return verdict

        await self.run.step(name, use)
        return verdict

    def _name_of(self, act: AgentAct) -> str:
        """The first of this act that nobody has used, took back, or waits for in this moment."""
        view, number = self.run.view, 1
        while True:
            name = f"{PERMIT}{act.digest()}-{number}"
            known = view.asks.get(name)
            over = known is not None and known.withdrawn is not None
            if not over and name not in self.waiting and name not in view.steps:
                return name
            number += 1

    async def withdraw(self, reason: str) -> None:
        """Take back what was asked and nobody waits for any more."""
        for name, ask in list(self.run.view.asks.items()):
            if ask.open and name.startswith(PERMIT) and name not in self.waiting:
                await self.run.withdraw_ask(name, reason)


def judge_act(act: AgentAct, inputs: AgentInputs, tree: Path) -> Verdict:
    """What the rules of the run say of it: its own, then those of its preset."""
    rules = (*inputs.rules, *PRESETS[inputs.permissions])
    return judge(act, rules, tree, inputs.otherwise)


def _told(act: AgentAct, tree: Path) -> str:
    """The act in one line, as "edit: a.py" or "execute: make"; paths are those of the tree."""
    what = act.command or act.title or ", ".join(act.paths)
    what = _shortly(what, tree)
    line = " ".join(what.split())[:_LONGEST_ACT]
    return f"{act.tool}: {line}" if line else act.tool


def _shortly(text: str, tree: Path) -> str:
    """With the tree's own paths as from its root on."""
    return text.replace(f"{tree}{os.sep}", "")
