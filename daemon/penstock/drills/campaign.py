"""Many tellings over several processes, with a file from which an interrupted campaign goes on."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

#: Failures that are kept in words; more of them say nothing new.
MOST_FAILURES = 20


@dataclass(slots=True)
class Tally:
    """What a campaign has come to; `done` counts tellings by what they were about."""

    seed: int = 0
    done: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    #: Items that need not be done again, and the number from which it goes on.
    finished: list[str] = field(default_factory=list)
    next: int = 0
    #: Measured seconds, and processes that were left, by what they were about.
    times: dict[str, list[float]] = field(default_factory=dict)
    survivors: dict[str, int] = field(default_factory=dict)
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


def load_tally(path: Path | None, seed: int) -> Tally:
    """The tally in this file, or a new one with this seed."""
    if path is not None:
        with suppress(FileNotFoundError):
            return Tally(**json.loads(path.read_text(encoding="utf-8")))
    return Tally(seed=seed, next=seed)


def save_tally(path: Path | None, tally: Tally) -> None:
    """Keep the tally whole or not at all."""
    if path is None:
        return
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(asdict(tally)), encoding="utf-8")
    new.rename(path)


def quiet() -> None:
    """Stories are full of failures that are meant; their log lines would hide the others."""
    logging.disable(logging.CRITICAL)


def over_processes(
    work: Callable[[Any], T], items: Iterator[Any], *, jobs: int, seconds: float | None
) -> Iterator[T]:
    """`work` of each item as it is done, in `jobs` processes; no new item after `seconds`."""
    give_up = None if seconds is None else time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=quiet) as pool:
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
