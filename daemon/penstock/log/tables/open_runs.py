"""The open runs of a log, in memory: what claims, cancels and the bound of the queue look at.

They are the tables' rows and no more; whoever changes one tells both, by `Transaction.update`. Read once
after each start and after each commit that failed; what another daemon changed, by `catch_up`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from penstock.log.tables.db import Statements
from penstock.log.tables.plans import ALL_PLANS, plans_of
from penstock.log.tables.run_head import RunHead, load_open
from penstock.words.lifecycle import OPEN_STATES, QUEUED_STATES, State

_ASKING = "SELECT DISTINCT run FROM asks WHERE state = 'open'"
_AWAITED = (
    "SELECT DISTINCT prerequisite FROM prerequisites CROSS JOIN runs ON runs.key = run"
    " WHERE ended_at IS NULL"
)


class OpenRuns:
    """Runs that have not ended, by state and by parent."""

    def __init__(
        self, heads: Iterable[RunHead], asking: Iterable[int], awaited: Iterable[int]
    ) -> None:
        self._by_state: dict[State, dict[int, RunHead]] = {s: {} for s in OPEN_STATES}
        self._children: dict[str, dict[int, RunHead]] = {}
        #: Keys of runs that may have an open question, and of those that another waits for.
        self.asking = set(asking)
        self.awaited = set(awaited)
        for head in heads:
            self.add(head)

    def add(self, head: RunHead) -> None:
        """A run that is new, or was read."""
        self._by_state[head.state][head.key] = head
        if head.parent_id is not None:
            self._children.setdefault(head.parent_id, {})[head.key] = head

    def move(self, head: RunHead, state: State) -> None:
        """A run has another state from now on; one that has ended is open no more."""
        del self._by_state[head.state][head.key]
        head.state = state
        if not head.ended:
            self._by_state[state][head.key] = head
            return
        self._leave_parent(head)

    def _leave_parent(self, head: RunHead) -> None:
        if head.parent_id is not None:
            siblings = self._children[head.parent_id]
            del siblings[head.key]
            if not siblings:
                del self._children[head.parent_id]

    def lose(self, head: RunHead) -> None:
        """A run that cannot be read: for who looks at those that are open it is not there."""
        del self._by_state[head.state][head.key]
        self._leave_parent(head)

    def all(self) -> list[RunHead]:
        """Every one, by place."""
        heads = (h for heads in self._by_state.values() for h in heads.values())
        return sorted(heads, key=attrgetter("place"))

    def within(self, states: Iterable[State]) -> list[RunHead]:
        """Those in one of these states."""
        return [head for state in states for head in self._by_state[state].values()]

    def children(self, run_id: str) -> list[RunHead]:
        """Those below a run, one step, in the order in which they came."""
        found = self._children.get(run_id)
        return [] if found is None else sorted(found.values(), key=attrgetter("key"))

    def count_line(self) -> int:
        """How many runs stand in line that are no children of others."""
        return sum([head.parent_id is None for head in self.within(QUEUED_STATES)])


def load_awaited(db: Statements) -> set[int]:
    """Keys of runs that another waits for."""
    return {run for (run,) in db.execute(_AWAITED)}


def load_open_runs(db: Statements, lost: set[str]) -> OpenRuns:
    """As the tables have them, without those that are `lost`, to which damaged ones are added."""
    asking = [run for (run,) in db.execute(_ASKING)]
    awaited = load_awaited(db)
    heads, plans = load_open(db, lost), plans_of(db.execute(ALL_PLANS))
    for head in heads:
        if (plan := plans.get(head.key)) is not None:
            head.plan, head.place = plan, plan.turn
    return OpenRuns(heads, asking, awaited)
