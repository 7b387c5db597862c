"""What other daemons write on a log that several share, and how one that writes there learns of it.

Positions are given by the log: what others wrote is read in order, and folded before what this daemon
decided after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import trio

from penstock.log.outage import retry_delay
from penstock.log.store import Store
from penstock.words.errors import LogDamaged, StoreBroken, StoreUnavailable
from penstock.words.events import LARGEST_EVENT_BYTES
from penstock.words.recorded import Recorded

log = logging.getLogger("penstock.recorder")

#: Facts of others that are read at once, and bytes of them: twice the largest fact, see `_may_go_on`.
PAGE, PAGE_BYTES = 500, 2 * LARGEST_EVENT_BYTES


class InStep(Protocol):
    """What is kept in step with a log that others write too."""

    @property
    def head(self) -> int:
        """Position of the newest fact that was folded."""
        ...

    def follow(self, facts: Sequence[Recorded]) -> None:
        """Fold what others wrote, in their order, and do what it asks of this daemon."""
        ...


@dataclass(eq=False, slots=True)
class OtherWriters:
    """The others, as far as facts tell of them; only the recorder's writer task asks."""

    store: Store
    projection: InStep
    #: Why what they wrote cannot be read; None while it can.
    behind: str | None = None

    async def catch_up(self) -> None:
        """Fold what they wrote by now, as far as the store answers."""
        with self._telling_behind():
            more = True
            while more and (facts := await self._read_after(self.projection.head)):
                self.projection.follow(facts)
                more = _may_go_on(facts)

    async def read_between(self, facts: Sequence[Recorded]) -> list[Recorded]:
        """What they wrote before the last of our own facts, which are not known yet.

        What they wrote before the first one is folded here: ours were decided after it.
        """
        own = {fact.position for fact in facts}
        first, last = facts[0].position, facts[-1].position
        between: list[Recorded] = []
        # Those of one commit stand in a row: they are at hand, and are not read. Those of a batch that was
        # written one by one may have others' between them.
        end = first - 1 if last - first + 1 == len(facts) else last
        after, waited = self.projection.head, 0.0
        while after < end:
            page: list[Recorded] = []
            with self._telling_behind():
                page = await self._read_after(after, min(PAGE, end - after))
            if not page:
                # It is done, and nobody can be told before this is known.
                await trio.sleep(delay := retry_delay(waited))
                waited += delay
                continue
            after = page[-1].position
            if before := [f for f in page if f.position < first]:
                self.projection.follow(before)
            between += [
                f for f in page if first < f.position < last and f.position not in own
            ]
        return between

    @contextmanager
    def _telling_behind(self) -> Iterator[None]:
        """A store that does not answer is told, once, and asked again by whoever looks next."""
        try:
            yield
        except StoreUnavailable as error:
            if str(error) != self.behind:
                log.error("what other boxes wrote cannot be read: %s", error)
            self.behind = str(error)
        else:
            self.behind = None

    async def _read_after(self, position: int, most: int = PAGE) -> list[Recorded]:
        """The next facts, of whoever wrote them. StoreBroken if they cannot be read."""
        with trio.CancelScope(shield=True):
            try:
                facts = await self.store.read_all(position, most, max_bytes=PAGE_BYTES)
            except LogDamaged as error:
                raise StoreBroken(
                    f"what another daemon wrote cannot be read: {error}"
                ) from error
        return facts


def _may_go_on(page: Sequence[Recorded]) -> bool:
    """Whether a page may have been cut: by the number of its facts, or because the next one was too large for it.

    Then it has more than a page less the largest fact there is.
    """
    if len(page) >= PAGE:
        return True
    return sum([len(fact.body) for fact in page]) > PAGE_BYTES - LARGEST_EVENT_BYTES
