"""Which programs that come to the Unix socket are those of guarded runs: they get the scope of their run.

There is no token to ask for on that socket, since only processes of our user reach it; a coding agent
is one of them. While no guarded run executes, nothing is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from penstock.processes.ancestry import Ancestry, ancestry_of
from penstock.processes.liveness import read_stat
from penstock.runs.kind import Kind
from penstock.runs.reader import Ancestor
from penstock.runs.run_scopes import RunScope
from penstock.words.errors import Forbidden, LogDamaged, RunNotFound
from penstock.words.events import ProcessStarted

#: Seconds after the end of a guarded tree, and after the start of a daemon whose last life had one, in which
#: programs are still looked at: one may have knocked before it was ended, and is let in after that.
LINGER_SECONDS = 10.0


async def is_guarded(
    run: Ancestor,
    kinds: Mapping[str, Kind],
    ancestor: Callable[[str], Awaitable[Ancestor]],
) -> bool:
    """Whether a run's kind, or that of one above it, is guarded: what an agent has made is no owner either.

    So is one of which nobody can tell: a child outlives its parent, which may be forgotten before it begins.
    """
    while (kind := kinds.get(run.kind)) is not None and not kind.guarded:
        if run.parent_id is None:
            return False
        try:
            run = await ancestor(run.parent_id)
        except (RunNotFound, LogDamaged):
            return True
    return True


@dataclass(eq=False, slots=True)
class GuardedTree:
    """What is known of one process tree of a guarded run."""

    scope: RunScope
    supervisor: int = 0
    #: When its supervisor began, before all of the tree, in ticks since the machine's start.
    begun: int = 0
    session: int = 0
    #: The name of its cgroup, which no other has; one that is None is nobody's.
    group: str | None = None

    def launched(self, supervisor: int) -> None:
        """Its supervisor is there, and has started nothing yet."""
        self.supervisor = supervisor
        stat = read_stat(supervisor)
        self.begun = 0 if stat is None else stat.start_time

    def started(self, event: ProcessStarted) -> None:
        """Its program has begun, in a session of its own."""
        self.session = event.pid
        self.group = None if event.cgroup is None else os.path.basename(event.cgroup)

    def holds(self, one: Ancestry) -> bool:
        """Whether this process is one of the tree's.

        Its supervisor adopts what the tree leaves behind, but where no supervisor can, or if it was
        killed; and a process can have itself adopted by others, and stay in the cgroup.
        """
        return (
            self.supervisor in one.pids
            or (self.session > 0 and one.session == self.session)
            or self.group in one.groups
            or one.run_id == self.scope.run_id
        )


@dataclass(eq=False, slots=True)
class GuardedTrees:
    """The process trees of all guarded runs that execute now."""

    _trees: list[GuardedTree] = field(default_factory=list)
    #: When the first of those began that ended lately; None: there is none, or nobody knows.
    _ended_begun: int | None = None
    #: Trio's time until which it matters that there were any.
    _until: float | None = None

    def linger(self) -> None:
        """There were such trees a moment ago."""
        self._until = trio.current_time() + LINGER_SECONDS

    def _lingers(self) -> bool:
        if self._until is not None and trio.current_time() >= self._until:
            self._until = self._ended_begun = None
        return self._until is not None

    @contextmanager
    def open_tree(self, scope: RunScope) -> Iterator[GuardedTree]:
        """A tree of this run, which is gone when the block is left."""
        tree = GuardedTree(scope)
        self._trees.append(tree)
        try:
            yield tree
        finally:
            self._trees.remove(tree)
            begun = tree.begun
            if self._lingers():
                begun = min(begun, self._ended_begun or 0)
            self._ended_begun = begun
            self.linger()

    def scope_of(self, pid: int) -> RunScope | None:
        """The scope of the run to which the process at the other end of a connection belongs.

        None for the owner's. Forbidden if nobody can tell: it has ended, or what it descends from is
        hidden. A pid of 0 is of a namespace in which no program of ours can be.
        """
        if not pid or not (self._trees or self._lingers()):
            return None
        return self.judge(pid, ancestry_of(pid))

    def judge(self, pid: int, one: Ancestry) -> RunScope | None:
        """The same, of what is known of the process. Forbidden."""
        for tree in self._trees:
            if tree.holds(one):
                return tree.scope
        if one.whole or self._is_older(one):
            return None
        raise Forbidden(
            f"a coding agent runs, or did a moment ago, and nobody can tell whether the process {pid} is"
            " one of its own: what it descends from has ended or is hidden; ask again, or by the port"
            " with the token"
        )

    def _is_older(self, one: Ancestry) -> bool:
        """Whether what is seen of its line began before all of these trees, and so is below none of them."""
        begun = [tree.begun for tree in self._trees]
        if self._lingers():
            begun.append(self._ended_begun or 0)
        return 0 < one.begun < min(begun, default=0)
