"""Taking runs in: every check that needs no log, then admission, then the write.

Admission is where submitters wait in front of a full queue: first come, first served, bounded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pydantic_core
import trio
from pydantic import ValidationError

from penstock.log.kept import RunRow, RunSpec
from penstock.log.projections import RunView, fold
from penstock.log.recorder import Recorder
from penstock.log.results import Accepted, Existing
from penstock.log.writes import Enqueue
from penstock.runs.kind import Inputs, Kind, check_whole, digest_inputs, encode_inputs
from penstock.runs.reader import Reader, RunTerms, run_reply
from penstock.runs.selection import no_group
from penstock.runs.stop import Stop
from penstock.words.api import (
    RetryRequest,
    RunReply,
    SubmitRequest,
    Timed,
    refused,
)
from penstock.words.config import Config
from penstock.words.errors import (
    NotAvailable,
    QueueFull,
    Refused,
    RunNotFound,
    StoreAway,
)
from penstock.words.near_words import did_you_mean
from penstock.words.placement import (
    ANY_PLACE,
    Needs,
    Place,
    moved,
    pinned_to,
    place_run,
    stranded,
)
from penstock.words.priority import Priority
from penstock.words.surroundings import Surroundings, check_environment
from penstock.words.values import new_event_id

#: A retry of which nothing is another.
THE_SAME = RetryRequest()


@dataclass(frozen=True, slots=True)
class AdmissionStatistics:
    """`waiting` of at most `max_waiting` submits have no room; `entering` have a ticket."""

    waiting: int
    max_waiting: int
    entering: int


@dataclass(eq=False, slots=True)
class Admission:
    """Lets submits into a queue of `capacity` runs, of which `queued()` are there now."""

    capacity: int
    max_waiting: int
    queued: Callable[[], int]
    stop: Stop
    _entering: int = 0
    _parked: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    @asynccontextmanager
    async def open_ticket(self, *, wait: bool) -> AsyncIterator[None]:
        """Hold room for one run.

        QueueFull without `wait`, or when too many wait already; ShuttingDown once the daemon stops.
        """
        if self.stop.reason is None and (self._parked or self._free() <= 0):
            await self._wait_room(wait=wait)
        else:
            self._entering += 1
        try:
            # Who was cancelled in the moment in which it was woken must not submit.
            await trio.lowlevel.checkpoint_if_cancelled()
            if self.stop.reason is not None:
                raise self.stop.refusal()
            yield
        finally:
            self._entering -= 1
            self.let_in()

    async def _wait_room(self, *, wait: bool) -> None:
        if not wait:
            raise QueueFull
        if len(self._parked) >= self.max_waiting:
            raise QueueFull(f"{self.max_waiting} submits wait for room already")
        # Who is woken was handed a ticket by `let_in`, so nobody can take it in between; once
        # woken, park() returns even if a cancel came meanwhile.
        await self._parked.park()

    def let_in(self) -> None:
        """Hand the free tickets to the first that wait. Called whenever the queue may have room."""
        free = min(self._free(), len(self._parked))
        if free > 0:
            self._entering += free
            self._parked.unpark(count=free)

    def turn_away(self) -> None:
        """Wake everybody who waits, to be told that the daemon stops."""
        self._entering += len(self._parked)
        self._parked.unpark_all()

    def _free(self) -> int:
        return self.capacity - self.queued() - self._entering

    @property
    def waiting(self) -> int:
        """Submits that wait for room."""
        return len(self._parked)

    def statistics(self) -> AdmissionStatistics:
        return AdmissionStatistics(len(self._parked), self.max_waiting, self._entering)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run that a submit led to; `created` is False when it was there before."""

    view: RunView
    created: bool
    terms: RunTerms

    def reply(self) -> RunReply:
        """The run as every surface tells it."""
        return run_reply(self.view, self.terms)


@dataclass(eq=False, slots=True)
class Submitter:
    """Takes new runs, retries and children in."""

    config: Config
    kinds: Mapping[str, Kind]
    recorder: Recorder
    reader: Reader
    admission: Admission
    stop: Stop
    now: Callable[[], datetime]
    new_run_id: Callable[[], str]
    #: The groups there are now.
    groups: Collection[str]
    #: Why new work is refused now (the disk, say); None: it is not.
    obstacle: Callable[[], str | None]
    #: Why a new run of this group is refused now, though the daemon works.
    drained: Callable[[str | None], str | None] = lambda _group: None
    has_models: bool = False
    #: This box.
    place: Place = ANY_PLACE

    async def submit(
        self,
        request: SubmitRequest,
        *,
        surroundings: Surroundings | None = None,
        wait: bool = False,
        retry_of: str | None = None,
        parent_id: str | None = None,
        source: Provenance | None = None,
    ) -> Submitted:
        """Accept a run, or find the one of the same id and inputs, which keeps what it was given.

        `surroundings`: those of the caller, for the run's programs; None: the daemon's, or those of
        the run it retries. `parent_id`: the run that asks for this one as its child. `source`: where it
        comes from, if not from here. `wait`: wait while the queue is full; else QueueFull. Refused names the field; OtherInputs, UnknownPrerequisite,
        TreeTooLarge, NotAvailable, ShuttingDown and StoreUnavailable say why nothing was recorded.
        """
        spec = self._spec(
            request,
            surroundings,
            retry_of=retry_of,
            parent_id=parent_id,
            source=source,
        )
        if request.run_id is not None and await self.reader.known(request.run_id):
            # A known id does not wait: whatever it leads to, it takes no place.
            return await self._enqueue(spec, capacity=0)
        while True:
            self._check_drained(request.group)
            async with self.admission.open_ticket(wait=wait):
                # A drain may have begun while it waited.
                self._check_drained(request.group)
                try:
                    return await self._enqueue(
                        spec, capacity=self.config.queue_capacity
                    )
                except QueueFull:
                    # The run of a submitter that was cancelled in the last moment took the place, or that
                    # of another daemon, of which we know too little yet.
                    if not wait:
                        raise
                    self.recorder.look()

    def check(
        self, request: SubmitRequest, surroundings: Surroundings | None
    ) -> RunSpec:
        """The run that this asks for, which is submitted later. Raises what `submit` does at once."""
        return self._spec(request, surroundings)

    async def submit_child(self, request: SubmitRequest, parent_id: str) -> None:
        """Accept a child run, or find it; whatever the queue holds. Raises what `submit` does."""
        await self._record(
            self._spec(request, None, parent_id=parent_id), capacity=None
        )

    async def retry(
        self,
        run_id: str,
        wanted: RetryRequest = THE_SAME,
        *,
        wait: bool = False,
        traceparent: str | None = None,
    ) -> Submitted:
        """A new run with the kind, inputs and surroundings of an ended one, but for what is `wanted` otherwise.

        `traceparent` is where the caller is in its trace: that of the ended run is its own caller's.
        RunNotFound; Refused while open, and where no box could ever have what it asks for.
        """
        row = await self.reader.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        if self.reader.is_open(run_id):
            raise Refused("run_id", f"the run {run_id!r} has not ended")
        check_whole(row.inputs)
        request = self._again(row, await self.reader.view(run_id), wanted)
        traced = request.in_trace(traceparent)
        # Its files are where they were.
        home = pinned_to(row.needs) or self.place.box
        source = Provenance(self.place.box, home)
        return await self.submit(traced, wait=wait, retry_of=run_id, source=source)

    def _again(self, row: RunRow, view: RunView, wanted: RetryRequest) -> SubmitRequest:
        """What is asked for by who retries it. Refused."""
        needs = moved(row.needs, wanted.needs, anywhere=wanted.anywhere)
        # As one that stays where its files are, whether it was submitted with that box's name or without.
        if self.place.shared and (why := stranded(needs, wanted.needs, self.place)):
            raise Refused("needs", why)
        # Whoever could execute it before still may. One of a time with one box asked for none.
        free = self.place.shared and bool(row.origin) and pinned_to(needs) is None
        try:
            return SubmitRequest(
                kind=row.kind,
                inputs=changed_inputs(row.inputs, wanted.inputs),
                priority=Priority(row.priority),
                group=row.group,
                timeout=row.timeout,
                labels=dict(row.labels),
                on_restart=row.on_restart,
                retries=view.retries,
                backoff=view.backoff,
                needs=needs,
                anywhere=wanted.anywhere or (free and self.kind(row.kind).portable),
            )
        except ValidationError as error:
            # It was accepted by an older daemon, which asked for less.
            raise refused(error) from None

    def _spec(
        self,
        request: SubmitRequest,
        surroundings: Surroundings | None,
        *,
        retry_of: str | None = None,
        parent_id: str | None = None,
        source: Provenance | None = None,
    ) -> RunSpec:
        self._check_open(child=parent_id is not None)
        source = source or Provenance(self.place.box, self.place.box)
        kind = self.kind(request.kind)
        self._check_group(request.group)
        inputs = self._parse(kind, request, surroundings, source)
        needs = self._needs(kind, request, inputs, parent_id, source)
        check_retries(request, inputs)
        encoded = encode_inputs(inputs)
        return RunSpec(
            run_id=request.run_id or self.new_run_id(),
            kind=kind.name,
            inputs=encoded,
            digest=digest_inputs(kind.name, encoded, inputs.manner),
            shown=inputs.shown(),
            manner=inputs.manner,
            priority=int(request.priority),
            labels=request.labels,
            after=request.after,
            group=request.group,
            timeout=request.timeout,
            parent_id=parent_id,
            retry_of=retry_of,
            on_restart=request.on_restart or kind.on_restart,
            preemptible=kind.preemptible,
            not_before=moment_of(request, self.now()),
            stashed=request.stashed,
            retries=request.retries,
            backoff=request.backoff,
            surroundings=self._kept(surroundings, needs, source),
            traceparent=request.traceparent,
            minted=request.run_id is None,
            needs=needs,
            origin=self._origin(parent_id, source),
        )

    def _parse(
        self,
        kind: Kind,
        request: SubmitRequest,
        surroundings: Surroundings | None,
        source: Provenance,
    ) -> Inputs:
        """The inputs as the kind has them. Refused."""
        inputs = kind.parse(self._placed(kind, request, surroundings, source))
        self._check_model(kind, inputs)
        return inputs

    def placed(
        self, request: SubmitRequest, surroundings: Surroundings | None
    ) -> Mapping[str, Any]:
        """The inputs that a run would have which were submitted here now, as they are said. Refused."""
        here = Provenance(self.place.box, self.place.box)
        return self._placed(self.kind(request.kind), request, surroundings, here)

    def _placed(
        self,
        kind: Kind,
        request: SubmitRequest,
        surroundings: Surroundings | None,
        source: Provenance,
    ) -> Mapping[str, Any]:
        """The inputs as they are said; the caller's folder is for a run that stays. Refused."""
        elsewhere = self._check_elsewhere(kind, request, source)
        return placed_inputs(kind, request.inputs, None if elsewhere else surroundings)

    def _check_elsewhere(
        self, kind: Kind, request: SubmitRequest, source: Provenance
    ) -> bool:
        """Whether somebody says that it may execute at another box. Refused for what must stay."""
        field = "anywhere" if request.anywhere else "needs.box"
        named = pinned_to(request.needs)
        elsewhere = request.anywhere or named not in (None, source.home)
        if elsewhere and not kind.portable:
            raise Refused(
                field, f"runs of kind {kind.name} stay at the box they are submitted at"
            )
        return elsewhere and self.place.shared

    def _needs(
        self,
        kind: Kind,
        request: SubmitRequest,
        inputs: Inputs,
        parent_id: str | None,
        source: Provenance,
    ) -> dict[str, str]:
        """What it needs of a box. Refused where no box could ever have that."""
        parent = None if parent_id is None else self.reader.open_views.get(parent_id)
        needs = place_run(
            request.needs,
            self.place,
            home=source.home,
            parent=None if parent is None else parent.needs,
            local=parent_id is not None
            or not kind.portable
            or inputs.local()
            # What is sent to a run goes through the daemon that was asked to take it in.
            or inputs.takes_input(),
            anywhere=request.anywhere,
        )
        if self.place.shared and (why := stranded(needs, request.needs, self.place)):
            raise Refused("needs", why)
        return needs

    def _origin(self, parent_id: str | None, source: Provenance) -> str:
        """The box that it counts as submitted at; of a log with one box that is told of none."""
        if not self.place.shared:
            return ""
        parent = None if parent_id is None else self.reader.open_views.get(parent_id)
        return source.origin if parent is None else parent.origin

    def _kept(
        self, given: Surroundings | None, needs: Needs, source: Provenance
    ) -> Surroundings | None:
        """What is kept of a caller's surroundings. Refused, TooLarge.

        An environment is of its box: nothing of it is kept for a run that another may execute, nor does
        such a run have that of the one it retries.
        """
        if self.place.shared and pinned_to(needs) != source.home:
            return Surroundings(None, None if given is None else given.umask)
        if given is None or given.environ is None:
            return None
        environ = check_environment(
            given.environ,
            listed=self.config.env == "listed",
            limit=self.config.max_environment_bytes,
        )
        return replace(given, environ=environ, cwd=None)

    def _check_group(self, group: str | None) -> None:
        if group is not None and group not in self.groups:
            raise no_group(group, self.groups)

    def _check_model(self, kind: Kind, inputs: Inputs) -> None:
        if (kind.needs_model or inputs.needs_model()) and not self.has_models:
            what = "runs of kind" if kind.needs_model else "such runs of kind"
            raise Refused(
                "kind",
                f"{what} {kind.name} need a model; set provider, url and chain under [models] in"
                " the config file",
            )

    def _check_open(self, *, child: bool) -> None:
        # A child is part of a run that was accepted. Refused in the moment between a stop and the
        # parent's cancel, it would make the parent fail instead of going on later.
        if self.stop.reason is not None and not child:
            raise self.stop.refusal()
        if self.recorder.unavailable is not None and not child:
            raise StoreAway(f"the store does not answer: {self.recorder.unavailable}")
        if (obstacle := self.obstacle()) is not None:
            raise NotAvailable(obstacle)

    def _check_drained(self, group: str | None) -> None:
        if (why := self.drained(group)) is not None:
            raise NotAvailable(why)

    def kind(self, name: str) -> Kind:
        """The kind of this name. Refused lists the installed ones and the nearest."""
        if name in self.kinds:
            return self.kinds[name]
        hint = did_you_mean(name, self.kinds)
        known = ", ".join(sorted(self.kinds))
        raise Refused(
            "kind", f"{name[:80]!r} is not installed (there are: {known}){hint}"
        )

    async def _enqueue(self, spec: RunSpec, *, capacity: int) -> Submitted:
        outcome = await self._record(spec, capacity=capacity)
        if isinstance(outcome, Accepted):
            # As accepted: it may have started, or ended, since, but this is what was answered.
            view = fold(outcome.recorded, spec.run_id)
            terms = RunTerms(outcome.number, spec.on_restart)
            return Submitted(view, created=True, terms=terms)
        view, terms = await self.reader.look(spec.run_id)
        return Submitted(view, created=False, terms=terms)

    async def _record(
        self, spec: RunSpec, *, capacity: int | None
    ) -> Accepted | Existing:
        return await self.recorder.record(
            Enqueue(
                spec,
                at=self.now(),
                event_id=new_event_id(),
                capacity=capacity,
                max_tree_runs=self.config.max_tree_runs,
                max_tree_depth=self.config.max_tree_depth,
            )
        )


@dataclass(frozen=True, slots=True)
class Provenance:
    """The box that a run counts as submitted at, and the one that its files are on."""

    origin: str
    home: str


def moment_of(request: Timed, now: datetime) -> datetime | None:
    """When a run is wanted at the earliest; None: at once."""
    if request.delay is not None:
        return now + timedelta(seconds=request.delay)
    return request.not_before


def check_retries(request: SubmitRequest, inputs: Inputs) -> None:
    """Refused for a run that could not be tried again as it was."""
    if request.retries and inputs.takes_input():
        why = "a run that takes input is not tried again: what was sent to it is recorded nowhere"
        raise Refused("retries", why)


def changed_inputs(stored: bytes | str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A run's inputs with these changes; None as a value takes one out."""
    merged = {**pydantic_core.from_json(stored), **changes}
    if not changes:
        return merged
    return {name: value for name, value in merged.items() if value is not None}


def placed_inputs(
    kind: Kind, inputs: Mapping[str, Any], surroundings: Surroundings | None
) -> Mapping[str, Any]:
    """The inputs, in the caller's folder where the kind works in one and they name none."""
    cwd = None if surroundings is None else surroundings.cwd
    if (
        cwd is None
        or inputs.get("cwd") is not None
        or "cwd" not in kind.inputs.model_fields
    ):
        return inputs
    return {**inputs, "cwd": cwd}
