"""What must hold of runs on many boxes: judged by what their programs wrote down and clients were told.

Pure: moments are seconds since the box was started, as `witness` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from penstock_drills.witness import since_boot

#: Seconds in which what slept for longer than its lease is gone once it is awake.
WAKING_SECONDS = 1.5
#: Facts after which no process of the run is there, for ever.
ENDS = frozenset({"run.completed", "run.failed", "run.cancelled"})
#: How the names of runs begin that are of a group with one slot.
NARROW = "narrow"
#: How those begin that may run nowhere but on the box that is named next: `pinned-BOX-NUMBER`.
PINNED = "pinned"
#: Seconds without a word after which a process is taken to have stood still.
SILENT_SECONDS = 1.0


@dataclass(slots=True)
class Sleep:
    """When a whole box stood still; it may still do so."""

    box: str
    began: float
    ended: float = float("inf")

    def excuses(self, box: str, first: float, last: float) -> bool:
        """Whether what a process of that box did from `first` to `last` is what waking looks like."""
        # A word is written before the signal that was sent is heeded.
        awake = self.ended - SILENT_SECONDS / 10 <= first
        return box == self.box and awake and last <= self.ended + WAKING_SECONDS


@dataclass(slots=True)
class ProcessLife:
    """One process of a run, by its own word; `stretches` are when it was seen to do something."""

    run_id: str
    box: str
    pid: int
    stretches: list[tuple[float, float]]
    ended: bool = False

    @property
    def start(self) -> float:
        return self.stretches[0][0]

    def mark(self, moment: float) -> None:
        """It was alive then."""
        first, last = self.stretches[-1]
        if moment - last > SILENT_SECONDS:
            self.stretches.append((moment, moment))
        else:
            self.stretches[-1] = (first, max(last, moment))

    def after(self, moment: float) -> Iterator[tuple[float, float]]:
        """The stretches, or what of them came later than this."""
        for first, last in self.stretches:
            if last > moment:
                yield max(first, moment), last


@dataclass(slots=True)
class SeenOver:
    """Seen at `seen` and not yet at `before`: the run's processes so far are over (`what`)."""

    run_id: str
    what: str
    before: float
    seen: float
    #: No later process may be there either: the run has ended.
    final: bool


@dataclass(slots=True)
class BoxJudge:
    """Takes lines of `witness` and what was told; `findings` gives each broken law once."""

    lives: dict[str, list[ProcessLife]] = field(default_factory=dict)
    sleeps: list[Sleep] = field(default_factory=list)
    overs: list[SeenOver] = field(default_factory=list)
    words: int = 0
    _said: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)
    _by_process: dict[tuple[str, str], ProcessLife] = field(default_factory=dict)

    def take(self, lines: Iterable[str]) -> None:
        """The next lines of the file, each whole."""
        for line in lines:
            run_id, box, pid, what, moment, other = line.split()
            self.words += 1
            self._take(run_id, box, pid, what, float(moment), int(other))

    def note(self, run_id: str, what: str, before: float, seen: float) -> None:
        """A fact of this type was seen; what ends a run's processes counts."""
        if what in ENDS or what == "run.requeued":
            over = SeenOver(run_id, what, before, seen, final=what in ENDS)
            self.overs.append(over)

    def _take(
        self, run_id: str, box: str, pid: str, what: str, moment: float, other: int
    ) -> None:
        if what == "start":
            life = ProcessLife(run_id, box, int(pid), [(moment, moment)])
            self.lives.setdefault(run_id, []).append(life)
            sort, *rest = run_id.split("-")
            if sort == PINNED and rest[0] != box:
                self._said.append(f"a run is where it fits: {run_id} ran on {box}")
            self._by_process[run_id, pid] = life
            return
        life = self._by_process[run_id, pid]
        life.mark(moment)
        life.ended = life.ended or what == "end"
        if what in {"beside", "asleep"} and not self._is_excused(run_id, other, moment):
            how = "stands still" if what == "asleep" else "is alive"
            self._said.append(
                f"one process a run: {run_id} began on {box} at {moment:.2f} as {pid}, and"
                f" {other} of {self._box_of(run_id, other)} {how}"
            )

    def _box_of(self, run_id: str, pid: int) -> str:
        life = self._by_process.get((run_id, str(pid)))
        return "?" if life is None else life.box

    def _is_excused(self, run_id: str, pid: int, moment: float) -> bool:
        """Whether the other process is one of a box that sleeps, or has just been woken."""
        box = self._box_of(run_id, pid)
        return any(
            sleep.box == box and sleep.began <= moment <= sleep.ended + WAKING_SECONDS
            for sleep in self.sleeps
        )

    def findings(self) -> list[str]:
        """What was not told before."""
        found = [*self._said, *self._overlaps(), *self._crowds(), *self._survivors()]
        self._said.clear()
        new = [word for word in dict.fromkeys(found) if word not in self._told]
        self._told.update(new)
        return new

    def _overlaps(self) -> Iterator[str]:
        for run_id, lives in self.lives.items():
            for one, other in combinations(lives, 2):
                if self._beside(one, other):
                    yield (
                        f"one process a run: {run_id} ran on {one.box} as {one.pid} and on"
                        f" {other.box} as {other.pid} at once"
                    )

    def _crowds(self) -> Iterator[str]:
        """A group that has one slot on all boxes together."""
        crowd = [
            one
            for r, lives in self.lives.items()
            if r.startswith(NARROW)
            for one in lives
        ]
        crowd.sort(key=lambda life: life.start)
        for one, other in pairwise(crowd):
            if one.run_id != other.run_id and self._beside(one, other):
                yield (
                    f"a group has its slots on all boxes together: {one.run_id} on {one.box} and"
                    f" {other.run_id} on {other.box} ran at once"
                )

    def _beside(self, one: ProcessLife, other: ProcessLife) -> bool:
        for first, last in one.stretches:
            for begin, end in other.stretches:
                both = max(first, begin), min(last, end)
                if both[0] <= both[1] and not any(
                    self._excuses(life.box, *both) for life in (one, other)
                ):
                    return True
        return False

    def _survivors(self) -> Iterator[str]:
        for over in self.overs:
            for life in self.lives.get(over.run_id, ()):
                if not over.final and life.start >= over.before:
                    continue
                for first, last in life.after(over.seen):
                    if not self._excuses(life.box, first, last):
                        yield (
                            f"gone is gone: {over.run_id} is over ({over.what}) by {over.seen:.2f}, and"
                            f" {life.pid} of {life.box} was alive at {last:.2f}"
                        )
                        break

    def _excuses(self, box: str, first: float, last: float) -> bool:
        return any(sleep.excuses(box, first, last) for sleep in self.sleeps)

    def forget(self, since: float) -> None:
        """What was over from then on was lost with the server that had it."""
        self.overs = [over for over in self.overs if over.seen < since]


@dataclass(slots=True)
class ToldClients:
    """What clients were told, and when; the server may lose what it acknowledged in a failover."""

    #: Run id → position of its `run.queued`, and when that was heard; 0: it was not told, since whoever
    #: asks again for a run that is there is told how far that has come.
    accepted: dict[str, tuple[int, float]] = field(default_factory=dict)
    #: Run id → when its receipt came, which proved the end.
    cancelled: dict[str, float] = field(default_factory=dict)
    answers: int = 0
    refusals: int = 0

    def accept(self, run_id: str, position: int) -> None:
        """It was accepted, and this is when somebody heard of it."""
        known, _ = self.accepted.get(run_id, (0, 0.0))
        self.accepted[run_id] = (known or position), since_boot()

    def forget(self, since: float) -> None:
        """Acknowledgements from then on were lost with the server that had them."""
        self.accepted = {k: v for k, v in self.accepted.items() if v[1] < since}
        self.cancelled = {k: v for k, v in self.cancelled.items() if v < since}

    def missing(
        self, places: Mapping[str, int], states: Mapping[str, str], cancelled: str
    ) -> Iterator[str]:
        """What the log does not have of it."""
        for run_id, (position, _) in self.accepted.items():
            if run_id not in places or position not in {0, places[run_id]}:
                found = places.get(run_id, "nowhere")
                yield f"nothing acknowledged is missing: {run_id} was accepted at {position}, and is {found}"
        for run_id in self.cancelled:
            if states.get(run_id) != cancelled:
                yield f"a receipt is true: {run_id} was cancelled, and is {states.get(run_id)}"
