"""Faults on boxes that share a log, several at once and under load: `penstock drill boxes`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import trio

from penstock.words.errors import PenstockError
from penstock.words.lifecycle import CANCELLED, COMPLETED
from penstock_drills.box_faults import BOX_FAULTS
from penstock_drills.box_load import (
    PAUSE_SECONDS,
    RECEIPT_SECONDS,
    load_boxes,
    make_request,
)
from penstock_drills.box_rig import (
    PATIENCE,
    SHARES,
    BoxRig,
    DrilledBox,
    open_rig,
    open_server,
)
from penstock_drills.campaign import MOST_FAILURES, Tally, save_tally
from penstock_drills.scratch import LOOK_SECONDS, open_scratch
from penstock_drills.server_faults import SERVER_FAULTS
from penstock_drills.witness import since_boot

#: How often a round has a fault of the server too.
SERVER_SHARE = 0.4


@dataclass(slots=True)
class BoxesDrill:
    """Rounds of faults on one rig."""

    rig: BoxRig
    #: Faults so far, by what they were.
    done: dict[str, int] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    #: The faults of the last round, and whose they were.
    told: list[str] = field(default_factory=list)

    async def round(self, rng: Random) -> None:
        """A few faults at once under load, all of it well again, and the laws."""
        boxes = rng.sample(self.rig.boxes, rng.randint(1, len(self.rig.boxes)))
        faults = [(self._one_of(BOX_FAULTS, rng), box) for box in boxes]
        self.told = [f"{box.name} {name}" for name, box in faults if name is not None]
        async with trio.open_nursery() as nursery:
            for name, box in faults:
                if name is not None:
                    fault = partial(
                        BOX_FAULTS[name], self.rig, box, Random(rng.random())
                    )
                    nursery.start_soon(self._do, name, fault, rng.uniform(0, 1))
            server = self._one_of(SERVER_FAULTS, rng)
            if server is not None and (self.only or rng.random() < SERVER_SHARE):
                self.told.append(server)
                # What no lease notices alone may be too long together.
                for name, box in faults:
                    box.may_end = box.may_end or (SHARES and name is not None)
                fault = partial(SERVER_FAULTS[server], self.rig, Random(rng.random()))
                nursery.start_soon(self._do, server, fault, rng.uniform(0, 2))
        await self.heal()
        self.check()

    def _one_of(self, faults: Any, rng: Random) -> str | None:
        known = [name for name in faults if not self.only or name in self.only]
        return rng.choice(known) if known else None

    async def _do(
        self, name: str, fault: Callable[[], Awaitable[None]], after: float
    ) -> None:
        await trio.sleep(after)
        await fault()
        self.done[name] = self.done.get(name, 0) + 1

    async def heal(self) -> None:
        """Every box is there, answers, and has a run done; who ended for no reason is told."""
        async with trio.open_nursery() as nursery:
            for box in self.rig.boxes:
                nursery.start_soon(self._heal, box)
        self.rig.forget_lost()
        if SHARES:
            await self._until_none_is_stranded()

    async def _until_none_is_stranded(self) -> None:
        """Each run that executes does so by the word of a daemon that is there."""
        left: list[str] = []
        with trio.move_on_after(PATIENCE):
            while True:
                left = await trio.to_thread.run_sync(self.rig.watch.stranded)
                if not left:
                    return
                await trio.sleep(5 * LOOK_SECONDS)
        self.rig.broken.append(f"nobody is stranded: {left} execute nowhere")

    async def _heal(self, box: DrilledBox) -> None:
        run_id, why = f"{box.name}-probe-{since_boot()}", "no daemon"
        with trio.move_on_after(PATIENCE):
            while True:
                if box.running is None:
                    self._note_end(box)
                    box.start()
                try:
                    if await self._probe(box, run_id):
                        # What it had to notice it has noticed by now.
                        box.may_end = False
                        return
                    why = "it was accepted"
                except PenstockError as error:
                    why = str(error)
                await trio.sleep(5 * LOOK_SECONDS)
        self.rig.broken.append(
            f"nobody hangs: {run_id} was not done ({why}): {box.scratch.tail()}"
        )

    async def _probe(self, box: DrilledBox, run_id: str) -> bool:
        """Whether a small run that is asked for here is done."""
        wanted = make_request(self.rig, run_id, Random(0))
        wanted |= {"priority": "HIGH", "on_restart": "requeue"}
        wanted["inputs"]["argv"][6:] = ["0.1"]
        async with box.client() as client:
            await client.submit(wanted)
            return bool((await client.run(run_id))["state"] == COMPLETED)

    def _note_end(self, box: DrilledBox) -> None:
        process, box.process = box.process, None
        code = None if process is None else process.wait()
        # Who was killed or told to stop is no news.
        if code in {None, 0, -9} or box.may_end:
            return
        self.rig.broken.append(
            f"a daemon goes on: {box.name} ended with {code}: {box.scratch.tail()}"
        )

    def check(self) -> None:
        """The laws, while all goes on."""
        rig = self.rig
        rig.read_marks()
        rig.broken += [*rig.judge.findings(), *rig.watch.findings()]
        told = dict(rig.told.accepted), dict(rig.told.cancelled)
        try:
            rows = rig.watch.rows()
        except psycopg.Error as error:
            rig.broken.append(f"the drill: {error}")
            return
        places = {row.run_id: row.place for row in rows}
        states = {row.run_id: row.state for row in rows}
        rig.told.accepted, rig.told.cancelled = told
        rig.broken += rig.told.missing(places, states, CANCELLED)

    async def end(self) -> None:
        """Every run is ended, every daemon stops in order, and the log is whole."""
        await self._cancel_all()
        for box in self.rig.boxes:
            process = box.running
            if process is None:
                continue
            process.terminate()
            await box.until_ended(PATIENCE)
            if process.poll() != 0:
                self.rig.broken.append(
                    f"the last stop of {box.name} ended with {process.poll()}: {box.scratch.tail()}"
                )
        self.check()
        self.rig.broken += [f"audit: {finding}" for finding in self.rig.watch.whole()]
        for row in self.rig.watch.rows():
            if row.ended_at is None:
                self.rig.broken.append(
                    f"nobody hangs: {row.run_id} is {row.state} after all was cancelled"
                )

    async def _cancel_all(self) -> None:
        with trio.move_on_after(PATIENCE):
            for box in count():
                there = self.rig.boxes[box % len(self.rig.boxes)]
                with suppress(PenstockError):
                    async with there.client(RECEIPT_SECONDS) as client:
                        rows = (await client.runs("state:open", limit=200))["runs"]
                        if not rows:
                            return
                        for row in rows:
                            await client.cancel(row["run_id"], "the drill is over")
                await trio.sleep(PAUSE_SECONDS)


def known_faults() -> list[str]:
    """All that can be done to a box or to the server."""
    return [*BOX_FAULTS, *SERVER_FAULTS]


def drill_boxes(
    tally: Tally, *, boxes: int, faults: int | None, seconds: float | None,
    only: tuple[str, ...], state: Path | None, keep: Path | None,
) -> None:  # fmt: skip
    """Rounds from the tally's next number on: so many faults in all, or for so many seconds more."""
    with open_scratch() as scratch, open_server(scratch.folder) as (server, servers):
        trio.run(_drill, scratch.folder, server, servers, tally, boxes, faults, seconds, only, state, keep)  # fmt: skip


async def _drill(
    folder: Path, server: Any, servers: Any, tally: Tally, boxes: int, faults: int | None,
    seconds: float | None, only: tuple[str, ...], state: Path | None, keep: Path | None,
) -> None:  # fmt: skip
    began, before = time.monotonic(), tally.seconds
    async with (
        open_rig(folder, server, servers, boxes) as rig,
        trio.open_nursery() as nursery,
    ):
        drill = BoxesDrill(rig, only=only)
        nursery.start_soon(rig.follow_log)
        await drill.heal()
        loads = trio.CancelScope()
        nursery.start_soon(load_boxes, rig, Random(f"{tally.seed}.load"), loads)
        while not tally.failures and not rig.broken:
            late = seconds is not None and time.monotonic() - began > seconds
            if late or (faults is not None and tally.total >= faults):
                break
            await drill.round(Random(f"{tally.seed}.{tally.next}"))
            _note(drill, tally)
            tally.seconds = before + time.monotonic() - began
            save_tally(state, tally)
        loads.cancel(reason="the drill is over")
        if not tally.failures:
            await drill.end()
        _note(drill, tally)
        tally.notes = figures(rig)
        if tally.failures and keep is not None:
            await trio.to_thread.run_sync(rig.keep, keep)
        nursery.cancel_scope.cancel(reason="the drill is over")


def _note(drill: BoxesDrill, tally: Tally) -> None:
    """What a round adds."""
    about = f"--seed {tally.seed} --from {tally.next} ({', '.join(drill.told)})"
    for name, number in drill.done.items():
        tally.add(name, number, ())
    drill.done.clear()
    broken, drill.rig.broken[:] = list(drill.rig.broken), []
    room = max(MOST_FAILURES - len(tally.failures), 0)
    tally.failures += [f"{about}: {word}" for word in broken[:room]]
    tally.next += 1


def figures(rig: BoxRig) -> list[str]:
    """How much was seen, in words."""
    lives = sum(map(len, rig.judge.lives.values()))
    lost = sum(box.relay.lost for box in rig.boxes)
    daemons = ", ".join(f"{n} {name}" for name, n in sorted(rig.watch.daemons.items()))
    told = (
        f"{len(rig.told.accepted)} accepted runs, {len(rig.told.cancelled)} proven cancels,"
        f" {rig.told.answers} answers, {rig.told.refusals} refusals"
    )
    return [
        told,
        f"{lives} processes of {len(rig.judge.lives)} runs gave {rig.judge.words} signs of life",
        f"{rig.watch.facts} facts audited; {lost} answers to COMMIT lost",
        *([f"of daemons: {daemons}"] if daemons else []),
    ]
