"""The inner half of `penstock drill cancel`: a daemon, victims as its runs, and their receipts.

`python -m penstock_drills.escapes ORDERS` with the orders as JSON; a line of JSON for each cancel.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import trio

from penstock.client import Client
from penstock.processes.containment import all_pids, send
from penstock.processes.liveness import living_since, read_of_threads
from penstock.words.cancel_receipt import left_of, proves_end
from penstock.words.errors import PenstockError
from penstock_drills import victim
from penstock_drills.enclosure import ENCLOSED, check_enclosed
from penstock_drills.scratch import Scratch, connected, open_scratch, started

#: Victims at once, as many as the scratch daemon has slots by default.
VICTIMS = 5
#: Seconds for a victim to have escaped, and for a receipt to come, on a loaded box.
ESCAPE_SECONDS = 30.0
RECEIPT_SECONDS = 30.0
#: Seconds between two looks whether a victim has escaped.
LOOK_SECONDS = 0.005
SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be done: so many cancels of each kind, none begun after `seconds`."""

    method: str
    kinds: dict[str, int]
    seconds: float | None
    grace: float
    delegated: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """One cancel: seconds until its receipt came, what was alive then, and what was wrong."""

    kind: str
    seconds: float
    left: int
    broken: str = ""


def living(mark: str) -> dict[int, int]:
    """Start times by pid of the processes with this word among their arguments."""
    found = {}
    for pid in all_pids():
        if mark.encode() not in read_of_threads(pid, "cmdline").split(b"\0"):
            continue
        if (start_time := living_since(pid)) is not None:
            found[pid] = start_time
    return found


def judge(receipt: dict[str, Any], method: str, left: int) -> str:
    """What a receipt says wrongly, or shows to be wrong; empty if nothing."""
    wrong = []
    if receipt["outcome"] != "cancelled":
        wrong.append(f"the outcome is {receipt['outcome']}")
    if receipt["method"] != method:
        wrong.append(f"the method is {receipt['method']} and not {method}")
    if not proves_end(receipt) or left_of(receipt):
        wrong.append(f"the receipt proves no end: survivors {left_of(receipt)}")
    elif left:
        wrong.append(f"the receipt says gone, and {left} are alive")
    return "; ".join(wrong)


class Escapes:
    """Cancels victims of a daemon, some at once."""

    def __init__(self, orders: Orders, client: Client, folder: Path) -> None:
        self.orders = orders
        self.client = client
        self.folder = folder
        self._begun = time.monotonic()
        self._kinds = self._rounds()
        self._number = 0

    async def cancel_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(VICTIMS):
                nursery.start_soon(self._cancel_often)

    def _rounds(self) -> Iterator[str]:
        """One of each kind after the other, so that a drill cut short has done some of each."""
        left = dict(self.orders.kinds)
        while any(left.values()):
            for kind in [kind for kind, count in left.items() if count]:
                if self._late():
                    return
                left[kind] -= 1
                yield kind

    def _late(self) -> bool:
        seconds = self.orders.seconds
        return seconds is not None and time.monotonic() - self._begun > seconds

    async def _cancel_often(self) -> None:
        for kind in self._kinds:
            told = await self._cancel_one(kind)
            print(json.dumps(asdict(told)), flush=True)  # noqa: T201

    async def _cancel_one(self, kind: str) -> Cancelled:
        self._number += 1
        mark = f"drill-{self.orders.method}-{kind}-{self._number}"
        try:
            with trio.fail_after(ESCAPE_SECONDS):
                await self._let_escape(kind, mark)
            begun = trio.current_time()
            with trio.fail_after(RECEIPT_SECONDS):
                receipt = await self.client.cancel(mark, "a drill", wait=True)
        except (PenstockError, trio.TooSlowError) as error:
            left = end(mark)
            return Cancelled(kind, 0.0, left, f"{mark}: no receipt: {error!r}")
        seconds = trio.current_time() - begun
        left = end(mark)
        wrong = judge(receipt, self.orders.method, left)
        return Cancelled(kind, seconds, left, f"{mark}: {wrong}" if wrong else "")

    async def _let_escape(self, kind: str, mark: str) -> None:
        file = self.folder / mark
        argv = [sys.executable, "-I", "-S", victim.__file__, kind, mark, str(file)]
        env = {ENCLOSED: os.environ.get(ENCLOSED, "")}
        await self.client.submit({
            "kind": "command", "run_id": mark, "inputs": {"argv": argv, "env": env},
        })  # fmt: skip
        # The victim's descendants are nobody's children here, so only the file can tell.
        while not file.exists():  # noqa: ASYNC110
            await trio.sleep(LOOK_SECONDS)
        file.unlink()


def end(mark: str) -> int:
    """How many processes with this mark are alive; none is afterwards."""
    left = living(mark)
    for pid, start_time in left.items():
        send(pid, start_time, SIGKILL)
    return len(left)


async def cancel_victims(orders: Orders, scratch: Scratch) -> None:
    """A daemon with this containment, all cancels, and its end."""
    own = {
        "PENSTOCK_CONTAINMENT": orders.method,
        "PENSTOCK_KILL_GRACE": str(orders.grace),
        "PENSTOCK_MAX_CONCURRENT": str(VICTIMS),
    }
    scratch = replace(scratch, environ={**scratch.environ, **own})
    with started(scratch) as process, tempfile.TemporaryDirectory() as folder:
        async with connected(scratch, process) as client:
            await Escapes(orders, client, Path(folder)).cancel_all()


def main(text: str) -> None:
    """Obey the orders."""
    orders = Orders(**json.loads(text))
    if not set(orders.kinds) <= set(victim.HARMLESS):
        check_enclosed()
    if orders.method == "cgroup":
        # What starts from here on is in it: the daemon divides it among its runs.
        procs = Path(orders.delegated) / "cgroup.procs"
        procs.write_text(str(os.getpid()), encoding="utf-8")
    with open_scratch() as scratch:
        trio.run(cancel_victims, orders, scratch)


if __name__ == "__main__":
    main(sys.argv[1])
