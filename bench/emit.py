"""One pipeline that records facts: each awaited, and five hundred in one go (PF-03).

Beside it stands what SQLite alone does for one that waits for each: the same rows, a commit a row, in the
same thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import trio
from bench._shared import Row, in_turns, open_bench_core, scratch
from bench.append import raw, real_rows

from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.api import SubmitRequest
from penstock.words.events import Log

TEXT = "a line of output as a compiler prints it"
AT_ONCE = 500


async def ours(folder: Path, single: int, many: int) -> tuple[float, float, float]:
    """Facts a second one by one, microseconds of CPU for each, and facts a second in one go."""
    found: list[float] = []

    async def emit(run: Run, _inputs: Inputs) -> Output:
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(single):
            await run.emit(Log(text=TEXT))
        found.append(single / (time.perf_counter() - began))
        found.append((time.process_time() - spent) / single * 1e6)
        began = time.perf_counter()
        for _ in range(many):
            await run.emit_many([Log(text=TEXT) for _ in range(AT_ONCE)])
        found.append(many * AT_ONCE / (time.perf_counter() - began))
        return Output()

    kind = Kind("emit", "Emit", Inputs, Output, emit)
    async with open_bench_core(folder, kind) as core:
        await core.submitter.submit(SubmitRequest(kind="emit", inputs={}))
        for execution in list(core.table.executions.values()):
            await execution.concluded.wait()
    one, cpu, at_once = found
    return one, cpu, at_once


def rows(long: bool) -> Iterator[Row]:
    """Both, and what one costs."""
    single, rounds = (2000, 9) if long else (1000, 5)
    made = real_rows(single)
    with scratch() as folder:
        numbers = iter(range(1000))

        def fresh() -> tuple[float, float, float]:
            place = folder / str(next(numbers))
            place.mkdir()
            return trio.run(ours, place, single, 20)

        figures, alone = in_turns(
            rounds, fresh, lambda: (raw(folder, made, 1), 0.0, 0.0)
        )
    raws = [one for one, _, _ in alone]
    name = "one pipeline awaiting each emit"
    yield Row(f"{name} / raw SQLite", "events/s", "ours >= 2500", [one for one, _, _ in figures], raws)  # fmt: skip
    yield Row(f"{name}, CPU", "us", "", [cpu for _, cpu, _ in figures])
    yield Row("one pipeline, 500 in one go", "events/s", "ours >= 25000", [many for _, _, many in figures])  # fmt: skip
