"""The load of a drill of boxes: runs that write down that they are alive, cancels, answers; what was told is noted."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import trio

from penstock.words.api import SubmitRequest
from penstock.words.cancel_receipt import proves_end
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import CANCELLED
from penstock_drills import witness
from penstock_drills.box_laws import NARROW, PINNED
from penstock_drills.box_rig import BoxRig, DrilledBox
from penstock_drills.witness import since_boot

#: Seconds between two things that one client does.
PAUSE_SECONDS = 0.5
#: Seconds a run lives, most of them briefly.
LIVES = (0.2, 0.2, 2.0, 8.0, 20.0)
#: Seconds for the answer to a cancel: a receipt may wait for the lease of a box that has gone.
RECEIPT_SECONDS = 30.0
#: How many are of the group that has one slot, pinned to the box that is asked, and free.
SHARES_OF_SORTS = (15, 20, 65)
#: Of so many runs the last ones are those that somebody cancels.
RECENT = 12


@dataclass(slots=True)
class BoxLoad:
    """Clients of one box: they submit, cancel and answer until they are cancelled, and note what they are told."""

    rig: BoxRig
    box: DrilledBox
    rng: Random
    names: Iterator[int]

    async def work(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for act in (self._submit, self._cancel, self._answer):
                nursery.start_soon(self._repeat, act)

    async def _repeat(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await act()
            except PenstockError:
                # A box that is away, a full queue, a run that has ended meanwhile.
                self.rig.told.refusals += 1
            await trio.sleep(self.rng.uniform(0, 2 * PAUSE_SECONDS))

    async def _submit(self) -> None:
        sort = self.rng.choices((NARROW, PINNED, "free"), SHARES_OF_SORTS)[0]
        run_id = f"{sort}-{self.box.name}-{next(self.names)}"
        wanted = make_request(self.rig, run_id, self.rng)
        if sort == NARROW:
            wanted["group"] = NARROW
        elif sort == PINNED and "needs" in SubmitRequest.model_fields:
            wanted |= {"needs": {"box": self.box.name}, "anywhere": False}
        try:
            await self._submit_at(self.box, wanted)
        except PenstockError:
            # Whether it was accepted is not known; asked again elsewhere it is the same run.
            await self._submit_at(self.rng.choice(self.rig.boxes), wanted)

    async def _submit_at(self, box: DrilledBox, wanted: dict[str, Any]) -> None:
        async with box.client() as client:
            reply = await client.submit(wanted)
        self.rig.told.accept(
            reply["run_id"], reply["position"] if reply["created"] else 0
        )

    async def _cancel(self) -> None:
        recent = list(self.rig.told.accepted)[-RECENT:]
        if not recent:
            return
        run_id = self.rng.choice(recent)
        async with self.box.client(RECEIPT_SECONDS) as client:
            receipt = await client.cancel(run_id, "a drill", wait=True)
        if receipt["outcome"] == CANCELLED and proves_end(receipt):
            self.rig.told.cancelled[run_id] = now = since_boot()
            self.rig.judge.note(run_id, "run.cancelled", now, now)

    async def _answer(self) -> None:
        async with self.box.client() as client:
            for ask in (await client.get("asks"))["asks"]:
                answer = self.rng.choice(("requeue", "fail"))
                await client.answer(ask["run_id"], ask["name"], answer)
                self.rig.told.answers += 1


def make_request(rig: BoxRig, run_id: str, rng: Random) -> dict[str, Any]:
    """A run whose program writes down that it is alive."""
    program = [sys.executable, "-I", "-S", witness.__file__]
    deaf = ["deaf"] if rng.random() < 0.2 else []
    words = [*program, str(rig.marks), run_id, str(rng.choice(LIVES)), *deaf]
    wanted = {
        "kind": "command", "inputs": {"argv": words}, "run_id": run_id,
        "on_restart": rng.choice(("requeue", "requeue", "fail", "ask")),
        "priority": rng.choice(("HIGH", "MEDIUM")),
        "anywhere": True,
    }  # fmt: skip
    return {k: v for k, v in wanted.items() if k in SubmitRequest.model_fields}


async def load_boxes(rig: BoxRig, rng: Random, until: trio.CancelScope) -> None:
    """Clients of every box, until this scope is cancelled."""
    names = count(1)
    with until:
        async with trio.open_nursery() as nursery:
            for box in rig.boxes:
                load = BoxLoad(rig, box, Random(rng.random()), names)
                nursery.start_soon(load.work)
