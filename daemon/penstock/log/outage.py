"""An outage of the store: how long it is asked again, who gives up when, and what they are told.

Facts wait for a store that does not answer, and all of them must meet it in their order: so the
recorder tries the same batch again, without those who have waited long enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import trio

from penstock.log.results import Appended, Result
from penstock.log.store import Store
from penstock.log.writes import (
    Answer,
    Append,
    Claim,
    Complete,
    Enqueue,
    LoseBox,
    Prune,
    Release,
    RequestCancel,
    Write,
)
from penstock.words.errors import (
    LogDamaged,
    PenstockError,
    Refused,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import DROPPABLE_TYPES

R = TypeVar("R", bound=Result)

log = logging.getLogger("penstock.recorder")


@dataclass(eq=False, slots=True)
class Pending(Generic[R]):
    """One write on its way to its commit."""

    write: Write[Result]
    #: Seconds of Trio's clock.
    since: float
    #: It came through the channel, and may be given up.
    ordinary: bool
    #: It is committed by itself and given up at once: whoever asks for it asks again.
    apart: bool = False
    #: A commit with it got no answer, and may have been done.
    tried: bool = False
    result: R | PenstockError | None = None
    #: Set after `result`.
    settled: trio.Event = field(default_factory=trio.Event)


# Seconds between two tries at an unavailable store: the first, and the longest.
_FIRST_RETRY, _LONGEST_RETRY = 0.05, 1.0

#: Seconds between two probes of an unavailable store that nobody wants anything of: new runs are
#: refused until one succeeds, so this is how long they are refused in vain.
PROBE_SECONDS = 1.0


def retry_delay(waited: float) -> float:
    """Seconds until the next try: a quarter of what was waited already, within bounds."""
    return min(_LONGEST_RETRY, max(_FIRST_RETRY, waited / 4))


def longest_wait(entries: Sequence[Pending[Any]], *, now: float) -> float:
    """Seconds that the oldest has waited; a claim alone, which nobody waits for, counts as 1 s."""
    return max((now - entry.since for entry in entries), default=1.0)


def gives_up(entry: Pending[Any], *, now: float, patience: float) -> bool:
    """A conclusion never (D-16), a new run at once (its submitter is told 503), others in time."""
    if not entry.ordinary:
        return False
    if isinstance(entry.write, Enqueue) and entry.write.capacity is not None:
        return True
    return now - entry.since >= patience


def result_without_store(entry: Pending[Any], why: str) -> Appended | StoreUnavailable:
    """What one who gave up is told: facts that may be dropped are taken as recorded.

    That the result is unknown is said only if a commit with it may have been done.
    """
    if _droppable(entry.write):
        return Appended()
    return StoreUnavailable(why) if entry.tried else StoreAway(why)


def _droppable(write: Write[Result]) -> bool:
    return isinstance(write, Append) and all(
        new.type in DROPPABLE_TYPES for new in write.new_events
    )


# Writes that look at ended runs too: damage that they meet is their own misfortune. Any other is
# about what is open, which must be recorded, or the daemon's word is worth nothing.
_ABOUT_THE_PAST = (Prune, Enqueue, RequestCancel, Answer)
# Writes that nobody can be told the refusal of: a run whose end is in no log would execute for ever, and one
# whose begin is not would wait for ever. They are waited with, as for a store that is away.
# That a box is lost was asked by nobody, and is looked at again.
_NEVER_REFUSED = (Claim, Complete, LoseBox, Release)


def _is_its_own(write: Write[Result], error: LogDamaged) -> bool:
    """Whether the damage is of the very run that was to be changed: nothing is to be had of it any more.

    All others go on; so nothing that was promised of them is broken.
    """
    about: set[str | None] = {
        getattr(whose, "run_id", None)
        for whose in (
            write,
            getattr(write, "fence", None),
            *getattr(write, "new_events", ()),
        )
    }
    return about - {None} == {error.facts.get("run_id")}


def waited_for(refused: Refused) -> StoreAway:
    """What nobody can be told the refusal of, as what is asked again."""
    code = refused.facts.get("code", "")
    return StoreAway(f"the log refuses what is its daemon's own: {refused}", code=code)


@dataclass(eq=False, slots=True)
class Committer:
    """Commits batches, however the store fails, and knows whether it answers."""

    store: Store
    #: Position of the newest fact that we know of.
    head: Callable[[], int]
    #: Why the store does not answer; None while it does.
    unavailable: str | None = None
    #: The store's own word for it, where it has one.
    code: str = ""
    #: Whether the last commit without an answer may have been done.
    tried: bool = False
    #: The results of that one, once the store told that it was done; whoever takes them clears this.
    recalled: list[Result | PenstockError] | None = None
    #: Why the last batch was taken in part.
    _held_up: StoreAway | None = None

    async def commit(
        self, writes: Sequence[Write[Result]], *, waiting: bool = False
    ) -> list[Result | PenstockError] | None:
        """The store's results, or None while it is unavailable, or has `recalled` the commit before.

        Fewer results than writes: it is unavailable for the others, and did not take them. No writes at
        all: whether it takes any again; that it does tells nothing while others are `waiting` that it did
        not take.
        """
        asked, results = False, None
        self._held_up = None
        try:
            if self.unavailable is not None:
                self.recalled = await self._recall()
                self.tried = False
            if self.recalled is None:
                asked = True
                results = await self._commit_or_split(writes)
        except StoreUnavailable as error:
            self._note_away(error)
            self.tried = asked and not isinstance(error, StoreAway)
            return None
        if self._held_up is not None:
            self._note_away(self._held_up)
            return results
        if waiting and results is not None:
            return results
        if self.unavailable is not None:
            log.warning("the store answers again")
        self.unavailable = None
        return results

    async def commit_apart(self, write: Write[Result]) -> Result | PenstockError | None:
        """One write that holds up no other: that it is not taken tells nothing of the store.

        None: it may have been done, which is asked before anything else is written.
        """
        if self.unavailable is not None:
            return StoreAway(self.unavailable, code=self.code)
        try:
            return await self._commit_alone(write)
        except StoreAway as error:
            return error
        except StoreUnavailable as error:
            self._note_away(error)
            self.tried = True
            return None

    def _note_away(self, error: StoreUnavailable) -> None:
        if str(error) != self.unavailable:
            log.error("the store is unavailable: %s", error)
        self.unavailable, self.code = str(error), error.facts.get("code", "")

    async def _recall(self) -> list[Result | PenstockError] | None:
        """See `Store.recall`: nothing is written before it is known what the last commit did."""
        with trio.CancelScope(shield=True):
            results = await self.store.recall(self.head())
        return results  # noqa: RET504  (left the scope first)

    async def _commit_or_split(
        self, writes: Sequence[Write[Result]]
    ) -> list[Result | PenstockError]:
        try:
            return await self._commit_shielded(writes)
        except (StoreUnavailable, StoreBroken):
            raise
        except Exception as error:
            if not writes and isinstance(error, Refused):
                # Nobody's write is at fault.
                raise waited_for(error) from error
            known = isinstance(error, (LogDamaged, Refused))
            if self.unavailable is None or not known:
                log.error(
                    "a batch could not be written; trying its writes one by one",
                    exc_info=None if known else error,
                )
            return await self._commit_one_by_one(writes)

    async def _commit_one_by_one(
        self, writes: Sequence[Write[Result]]
    ) -> list[Result | PenstockError]:
        """Their results, up to the first that the store does not take now.

        StoreBroken if one of several may have been done: what is recalled is the last commit, which was
        of one write, and nobody knows any more of which.
        """
        results: list[Result | PenstockError] = []
        for write in writes:
            try:
                results.append(await self._commit_alone(write))
            except StoreAway as error:
                if not results:
                    raise
                self._held_up = error
                break
            except StoreUnavailable as error:
                if len(writes) > 1:
                    why = f"a batch was written in part, and then not: {error}"
                    raise StoreBroken(why) from error
                raise
        return results

    async def _commit_shielded(
        self, writes: Sequence[Write[Result]]
    ) -> list[Result | PenstockError]:
        # A commit that is not waited for would be a commit of unknown result.
        with trio.CancelScope(shield=True):
            results = await self.store.commit(writes)
        return results  # noqa: RET504  (left the scope first)

    async def _commit_alone(self, write: Write[Result]) -> Result | PenstockError:
        try:
            return (await self._commit_shielded([write]))[0]
        except (StoreBroken, StoreUnavailable):
            raise
        except Refused as error:
            if isinstance(write, _NEVER_REFUSED):
                raise waited_for(error) from error
            log.error("the write %s was refused: %s", type(write).__name__, error)
            return error
        except LogDamaged as error:
            if not (isinstance(write, _ABOUT_THE_PAST) or _is_its_own(write, error)):
                raise StoreBroken(f"what is open cannot be recorded: {error}") from None
            log.error("the write %s failed: %s", type(write).__name__, error)
            return error
        except Exception as error:
            log.exception("the write %s failed", type(write).__name__)
            return PenstockError(f"the write failed: {type(error).__name__}")
