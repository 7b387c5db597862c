"""Commits to a store that may not answer.

A store that is unavailable is asked again later with the same decisions; one that did what it did
not say, or that can no longer be trusted, ends the daemon; a batch that it cannot judge is given to
it one decision at a time, so that a fault in one is not the fault of all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from penstock.record.decisions import Decision
from penstock.record.pending import Answered
from penstock.record.store import Store
from penstock.words.errors import PenstockError, StoreBroken, StoreUnavailable

log = logging.getLogger("penstock.recorder")


@dataclass(eq=False, slots=True)
class Commits:
    """See the module's text."""

    store: Store
    #: Position of the newest fact that we know of.
    head: Callable[[], int]
    #: Why the store does not answer; None while it does.
    unavailable: str | None = None

    async def commit(self, decisions: Sequence[Decision]) -> list[Answered] | None:
        """The store's answers, or None while it is unavailable."""
        try:
            if self.unavailable is not None:
                await self._check_lost_answer()
            try:
                answers = await self._commit_shielded(decisions)
            except (StoreUnavailable, StoreBroken):
                raise
            except Exception:
                log.exception(
                    "a batch could not be judged; trying its decisions one by one"
                )
                answers = [await self._commit_alone(decision) for decision in decisions]
        except StoreUnavailable as error:
            if self.unavailable is None:
                log.error("the store is unavailable: %s", error)
            self.unavailable = str(error)
            return None
        if self.unavailable is not None:
            log.warning("the store answers again")
        self.unavailable = None
        return answers

    async def _check_lost_answer(self) -> None:
        """StoreBroken if the commit that got no answer was done all the same.

        Its outcomes, claimed runs above all, cannot be learned by asking again; the next life of the
        daemon reads them from the log.
        """
        with trio.CancelScope(shield=True):
            head = (await self.store.bounds()).head
        if head > self.head():
            raise StoreBroken("the store wrote facts and did not say so")

    async def _commit_shielded(self, decisions: Sequence[Decision]) -> list[Answered]:
        # A commit that is not waited for would be a commit of unknown outcome.
        with trio.CancelScope(shield=True):
            answers = await self.store.commit(decisions)
        return answers  # noqa: RET504  (left the scope first)

    async def _commit_alone(self, decision: Decision) -> Answered:
        try:
            return (await self._commit_shielded([decision]))[0]
        except (StoreBroken, StoreUnavailable):
            raise
        except Exception as error:
            log.exception("the decision %s failed", type(decision).__name__)
            return PenstockError(f"the decision failed: {type(error).__name__}")
