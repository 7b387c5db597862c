"""The campaign of `penstock drill cancel`: every way of escaping, by every containment there is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from penstock_drills.campaign import Tally, save_tally
from penstock_drills.enclosure import (
    Enclosure,
    enclosed,
    open_enclosure,
    why_not_enclosed,
)
from penstock_drills.escapes import Orders
from penstock_drills.victim import HARMLESS, KINDS

#: Seconds between two savings of the state.
SAVE_SECONDS = 2.0
#: More cancels than any drill that is ended by its time can do.
UNCOUNTED = 10**6

_PROGRAM = ("-m", "penstock_drills.escapes")


def drill_cancel(
    tally: Tally,
    *,
    count: int | None,
    seconds: float | None,
    grace: float,
    state: Path | None,
) -> None:
    """So many cancels of each kind by each method, or for so many seconds in all.

    Without an enclosure only the harmless kinds run, and `notes` says why.
    """
    if lack := why_not_enclosed():
        tally.notes = [f"only {' and '.join(HARMLESS)}: the other kinds {_verb(lack)}"]
        _cancel(tally, None, "subreaper", HARMLESS, count, seconds, grace, state)
        return
    with open_enclosure() as enclosure:
        methods = ["subreaper"]
        tally.notes = []
        if enclosure.delegated is None:
            tally.notes.append("no cgroup: there is no cgroup2 folder to divide")
        else:
            methods.insert(0, "cgroup")
        share = None if seconds is None else seconds / len(methods)
        for method in methods:
            _cancel(tally, enclosure, method, KINDS, count, share, grace, state)


def _verb(lack: str) -> str:
    return lack.replace("needs", "need", 1)


def _cancel(
    tally: Tally,
    enclosure: Enclosure | None,
    method: str,
    kinds: tuple[str, ...],
    count: int | None,
    seconds: float | None,
    grace: float,
    state: Path | None,
) -> None:
    """All cancels by one method that are not done yet."""
    wanted = UNCOUNTED if count is None else count
    left = {kind: wanted - tally.done.get(f"{method} {kind}", 0) for kind in kinds}
    left = {kind: number for kind, number in left.items() if number > 0}
    if not left:
        return
    began, before, saved = time.monotonic(), tally.seconds, 0.0
    delegated = enclosure.delegated if enclosure else None
    orders = Orders(method, left, seconds, grace, str(delegated or ""))
    with _program(enclosure, orders) as program:
        assert program.stdout is not None
        for line in program.stdout:
            _note(tally, method, line)
            tally.seconds = before + time.monotonic() - began
            if tally.seconds > saved + SAVE_SECONDS:
                saved = tally.seconds
                save_tally(state, tally)
        if code := program.wait():
            tally.failures.append(f"{method}: the drill's daemon ended it with {code}")
    save_tally(state, tally)


def _note(tally: Tally, method: str, line: str) -> None:
    told = json.loads(line)
    about = f"{method} {told['kind']}"
    tally.add(about, 1, [told["broken"]] if told["broken"] else [])
    tally.times.setdefault(about, []).append(round(told["seconds"], 4))
    tally.left[about] = tally.left.get(about, 0) + told["left"]


@contextmanager
def _program(
    enclosure: Enclosure | None, orders: Orders
) -> Iterator[subprocess.Popen[str]]:
    words = (*_PROGRAM, json.dumps(asdict(orders)))
    if enclosure is not None:
        with enclosed(enclosure, words) as program:
            yield program
        return
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            yield program
        finally:
            program.kill()
