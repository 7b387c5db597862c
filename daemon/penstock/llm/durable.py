"""Models for the runs of a daemon: what is spent is a fact of the run, so budgets outlive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import trio

from penstock.llm.budget import Spending, Spent
from penstock.llm.chain import Chain
from penstock.llm.run_models import RunModels
from penstock.log.filters import RunFilter
from penstock.runs.reader import PatientReads
from penstock.runs.run import Run
from penstock.words.events import (
    AskAnswered,
    ModelAnswered,
    ModelProgress,
    ModelUsed,
)

#: The question at a budget's soft line, and the answers a person may give.
ASK = "model-budget"
GO_ON, STOP = "go on", "stop"

#: Runs and facts read at once while a tree's spending is looked up.
_PAGE = 500

_TOLD = frozenset({"model.used", "ask.answered"})


@dataclass(eq=False, slots=True)
class DurableModels:
    """One chain, one ledger, and for each run its own `RunModels`.

    The ledger of a tree of runs is filled from the log before the tree's first request in this
    life of the daemon. A person's word at the soft line holds for the whole tree.
    """

    chain: Chain
    #: Files of compiled predictors, by the names of questions.
    programs: Mapping[str, Path] = field(default_factory=dict)
    ledger: Spending = field(init=False)
    #: Roots of trees whose spending is in the ledger.
    _known: set[str] = field(default_factory=set)
    #: Runs that stand in the ledger.
    _served: set[str] = field(default_factory=set)
    #: Roots of trees that may go beyond the soft line.
    _going_on: set[str] = field(default_factory=set)
    _restoring: trio.Lock = field(default_factory=trio.Lock)

    def __post_init__(self) -> None:
        config = self.chain.config
        self.ledger = Spending(config.run_budget, config.tree_budget)

    def for_run(self, run: Run) -> RunModels:
        """The models as this run sees them."""
        self._forget_ended(run)
        root_id = run.root_id
        self._served.add(run.run_id)

        async def restore() -> None:
            await self._restore(run.reads, root_id)

        async def on_spent(model: str, spent: Spent, event_id: UUID) -> None:
            await run.emit(_used(model, spent), event_id=event_id)

        async def on_soft_line(why: str) -> bool:
            if root_id not in self._going_on:
                question = f"{why}. Go on until the limit?"
                if await run.ask(ASK, question, (GO_ON, STOP)) != GO_ON:
                    return False
                self._going_on.add(root_id)
            return True

        async def on_progress(told: ModelProgress) -> None:
            await run.emit(told)

        async def on_answered(answered: ModelAnswered) -> None:
            await run.emit(answered)

        return RunModels(
            self.chain,
            self.ledger,
            run_id=run.run_id,
            root_id=root_id,
            restore=restore,
            on_spent=on_spent,
            on_soft_line=on_soft_line,
            parked=run.without_slot,
            programs=self.programs,
            on_cut=run.note_slot,
            on_progress=on_progress,
            on_answered=on_answered,
        )

    async def _restore(self, reads: PatientReads, root_id: str) -> None:
        # A tree's first requests wait here together; none of them is in the log yet.
        async with self._restoring:
            if root_id in self._known:
                return
            for run_id in await _tree(reads, root_id):
                # The log is the truth; what stands here is of a root that has ended meanwhile.
                self.ledger.forget(run_id)
                spent, goes_on = await _story(reads, run_id)
                self.ledger.add(run_id, root_id, spent)
                self._served.add(run_id)
                if goes_on:
                    self._going_on.add(root_id)
            self._known.add(root_id)

    def _forget_ended(self, run: Run) -> None:
        """Let go of what has ended: the log remembers it."""
        for ended in [
            one
            for one in self._served | self._known
            if one != run.root_id and not run.is_open(one)
        ]:
            self.ledger.forget(ended)
            for remembered in (self._served, self._known, self._going_on):
                remembered.discard(ended)


async def spent_below(reads: PatientReads, run_id: str) -> Spent:
    """What the log says a run and all runs below it have spent."""
    spent = Spent()
    for one in await _tree(reads, run_id):
        spent += (await _story(reads, one))[0]
    return spent


async def _tree(reads: PatientReads, root_id: str) -> list[str]:
    """The run and all runs below it, ended ones too."""
    found = generation = [root_id]
    while generation:
        wanted = RunFilter(parents=frozenset(generation), limit=_PAGE)
        generation = []
        while rows := await reads.runs(wanted):
            generation += [row.run_id for row in rows]
            wanted = replace(wanted, before=rows[-1].place)
        found = found + generation
    return found


async def _story(reads: PatientReads, run_id: str) -> tuple[Spent, bool]:
    """What the log says the run has spent, and whether a person let it go beyond the soft line."""
    spent, goes_on, after = Spent(), False, 0
    while facts := await reads.read(run_id, after, _PAGE, types=_TOLD):
        for fact in facts:
            event = fact.event
            if isinstance(event, ModelUsed):
                spent += Spent(
                    event.tokens_in, event.tokens_out, event.cost, event.seconds
                )
            elif isinstance(event, AskAnswered) and event.name == ASK:
                goes_on = event.answer == GO_ON
        after = facts[-1].position
    return spent, goes_on


def _used(model: str, spent: Spent) -> ModelUsed:
    return ModelUsed(
        model=model,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        cost=spent.cost,
        seconds=spent.seconds,
    )
