"""Many tellings over several processes, with a file from which an interrupted campaign goes on."""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import multiprocessing
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from penstock.words.errors import Refused

T = TypeVar("T")

#: Failures that are kept in words; more of them say nothing new.
MOST_FAILURES = 20
#: Seeds that are drawn are below this.
SEEDS = 10**9
#: Objects made between two looks for cycles: a story makes many that live as long as it does, and
#: looking at all of them every 700 costs a tenth of the time.
GARBAGE_THRESHOLD = 20_000


@dataclass(slots=True)
class Tally:
    """What a campaign has come to; `done` counts tellings by what they were about."""

    #: The drill, with what must not change when it goes on.
    about: str = ""
    seed: int = 0
    done: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    #: Items that need not be done again, and the number from which it goes on.
    finished: list[str] = field(default_factory=list)
    next: int = 0
    #: Measured seconds, and processes that were left, by what they were about.
    times: dict[str, list[float]] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    #: What could not be tried on this box, in words.
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.done.values())

    def add(self, about: str, tellings: int, failures: Iterable[str]) -> None:
        self.done[about] = self.done.get(about, 0) + tellings
        room = MOST_FAILURES - len(self.failures)
        self.failures += list(failures)[: max(room, 0)]


def percentile(times: list[float], share: float) -> float:
    """The time that this share of all does not exceed; 0.0 of none."""
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def load_tally(
    path: Path | None, about: str, seed: int | None = None, first: int | None = None
) -> Tally:
    """The tally in this file; a new one if there is none, from `first` on (None: from the seed on).

    Refused when the file is of another drill or another seed: their tellings do not add up; and when
    it cannot be written.
    """
    if path is None or not path.exists():
        seed = secrets.randbelow(SEEDS) if seed is None else seed
        new = Tally(about=about, seed=seed, next=seed if first is None else first)
        try:
            save_tally(path, new)
        except OSError as error:
            raise Refused("--state", f"{path}: {error.strerror}") from None
        return new
    try:
        tally = Tally(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise Refused("--state", f"{path} keeps no drill: {error}") from None
    if tally.about != about:
        raise Refused("--state", f"{path} keeps `{tally.about}` and not `{about}`")
    if seed is not None and seed != tally.seed:
        raise Refused("--seed", f"the drill in {path} has the seed {tally.seed}")
    return tally


@contextmanager
def hold_state(path: Path | None) -> Iterator[None]:
    """Keep other drills off this file while inside; Refused while another one has it."""
    if path is None:
        yield
        return
    try:
        # Another file, since the state is replaced whole; it stays, as locks of files must.
        lock = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise Refused("--state", f"{path}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("--state", f"another drill is using {path}") from None
        yield


def save_tally(path: Path | None, tally: Tally) -> None:
    """Keep the tally whole or not at all."""
    if path is None:
        return
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(asdict(tally)), encoding="utf-8")
    new.rename(path)


def settle_in(_work: Callable[[Any], Any]) -> None:
    """Make this process one that only tells stories; what `_work` needs is imported by now."""
    # Stories are full of failures that are meant; their log lines would hide the others.
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed closes nothing, and its children would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def over_processes(
    work: Callable[[Any], T], items: Iterator[Any], *, jobs: int, seconds: float | None
) -> Iterator[T]:
    """`work` of each item as it is done, in `jobs` processes; no new item after `seconds`."""
    give_up = None if seconds is None else time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=settle_in, initargs=(work,)
    ) as pool:
        running: set[Future[T]] = set()
        while True:
            late = give_up is not None and time.monotonic() > give_up
            while not late and len(running) < 2 * jobs:
                item = next(items, None)
                if item is None:
                    break
                running.add(pool.submit(work, item))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
