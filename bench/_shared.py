"""What every measurement shares: rows with their targets, interleaved rounds, a core on a real file.

A row is a ratio measured beside its reference in the same run, in turns, because what the machine
does meanwhile changes figures by a factor of two. Compare ratios, never figures of different runs.
"""

from __future__ import annotations

import gc
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from penstock.concurrency.threads import RunBlocking, open_threads
from penstock.log.sqlite.store import open_sqlite
from penstock.log.store import Store
from penstock.log.tables.queries import READERS
from penstock.pipeline import Kind
from penstock.processes.detection import detect_containment
from penstock.processes.forking import open_launcher
from penstock.processes.launching import Launcher
from penstock.runs.core import Core
from penstock.runs.open_core import open_core
from penstock.service.environment import real_environment
from penstock.words.address import find_paths
from penstock.words.config import Config
from penstock.words.events import TERMINAL_TYPES

T = TypeVar("T")

#: What opens a core's store: where it may keep something, whose it is, and threads to write and to read in.
OpenStore = Callable[
    [Path, str, RunBlocking, RunBlocking], AbstractAsyncContextManager[Store]
]

ROOT = Path(__file__).parent.parent
LIFE = "bench"

_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure for each round, ours and, where there is one, a reference's.

    `target` is three words: `ours` or `ratio` (ours over the reference), a sign, a number; or
    nothing for a figure that only explains another.
    """

    name: str
    unit: str
    target: str
    ours: Sequence[float]
    reference: Sequence[float] = ()

    @property
    def ratios(self) -> list[float]:
        """Ours over the reference, round by round."""
        return [
            a / b
            for a, b in zip(self.ours, self.reference, strict=bool(self.reference))
        ]

    @property
    def met(self) -> bool:
        """Whether the median meets the target, if there is one."""
        if not self.target:
            return True
        what, sign, limit = self.target.split()
        measured = self.ours if what == "ours" else self.ratios
        return bool(_SIGNS[sign](median(measured), float(limit)))

    def to_json(self) -> dict[str, Any]:
        """As `results.json` has it; `load` is the machine's, in the minute of the measurement."""
        ratios = self.ratios
        return {
            "name": self.name,
            "ours": median(self.ours),
            "reference": median(self.reference) if self.reference else None,
            "ratio": median(ratios) if ratios else None,
            "unit": self.unit,
            "rounds": len(self.ours),
            "target": self.target,
            "met": self.met,
            "ours_range": [min(self.ours), max(self.ours)],
            "ratio_range": [min(ratios), max(ratios)] if ratios else None,
            "load": os.getloadavg()[0],
        }


def in_turns(rounds: int, *acts: Callable[[], T]) -> list[list[T]]:
    """What each of `acts` gave in each round; they take turns."""
    found: list[list[T]] = [[] for _ in acts]
    for _ in range(rounds):
        for results, act in zip(found, acts, strict=True):
            results.append(act())
    return found


def share(values: Sequence[float], part: float) -> float:
    """The value below which `part` of the values lie: 0.99 is the 99th percentile."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        yield Path(folder)


@contextmanager
def scratches() -> Iterator[Callable[[], Path]]:
    """What makes another folder whenever it is called; all are gone afterwards."""
    with scratch() as folder:
        numbers = count()

        def fresh() -> Path:
            place = folder / str(next(numbers))
            place.mkdir()
            return place

        yield fresh


def in_process(module: str, *args: object) -> Any:
    """What `python -m bench.<module> <args>` prints, as JSON: figures of a process of its own."""
    command = [sys.executable, "-m", f"bench.{module}", *map(str, args)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def open_file(
    folder: Path, life: str, writing: RunBlocking, reading: RunBlocking
) -> AbstractAsyncContextManager[Store]:
    """SQLite on the disk, commits with FULL."""
    return open_sqlite(
        folder / "log.db", life=life, run_blocking=writing, run_reading=reading
    )


@asynccontextmanager
async def open_bench_core(
    folder: Path,
    *kinds: Kind,
    launcher: Launcher | None = None,
    open_store: OpenStore = open_file,
    life: str = LIFE,
    **settings: Any,
) -> AsyncIterator[Core]:
    """A core as the daemon has it, with real processes.

    Their supervisors are forked from a template, if no other `launcher` is given.
    """
    environ = {
        **os.environ,
        "XDG_STATE_HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }
    config = Config(**settings)
    paths = find_paths(environ, state_dir=None, runtime_dir=None)
    paths.state.mkdir(exist_ok=True)
    async with (
        open_threads(1, "store") as writing,
        open_threads(READERS, "readers of the store") as reading,
        open_store(folder, life, writing, reading) as store,
        open_launcher() as warm,
    ):
        environment = real_environment(
            config,
            paths,
            environ,
            containment=detect_containment(environ),
            launcher=launcher or warm,
            epoch=store.epoch,
            url="",
        )
        named = {kind.name: kind for kind in kinds}
        async with open_core(
            config, store=store, kinds=named, life=life, environment=environment
        ) as core:
            # As `penstock serve` does once it is ready.
            gc.freeze()
            yield core


async def wait_idle(core: Core, count: int) -> None:
    """Wait until so many runs have ended since the core began, and none is open."""
    ended = 0
    with core.bus.subscribe(None, 0) as subscription:
        async for batch in subscription:
            ended += sum(fact.type in TERMINAL_TYPES for fact in batch.facts)
            if ended >= count and not core.statistics().open_runs:
                return


async def wait_ended(core: Core, run_id: str) -> None:
    """Wait until the run's end is on record."""
    with core.bus.subscribe(run_id, 0) as subscription:
        async for _ in subscription:
            pass
