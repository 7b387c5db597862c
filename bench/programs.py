"""What the program `true` costs as a run, CPU all told: its supervisor, itself, and the daemon's part.

python -m bench.programs forked|executed COUNT      milliseconds of CPU a run, as JSON

Beside it the start of a bare Python, `-I -S`, which was the least that a supervisor could cost before
they were forked from a template; with `executed` there is none, as where it cannot be had.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import trio
from bench._shared import Row, in_process, in_turns, open_bench_core, scratch, wait_idle
from bench.start import cpu_of

from penstock.kinds.command import KIND
from penstock.processes.forking import open_launcher
from penstock.processes.launching import Launcher, launch_executed
from penstock.words.api import SubmitRequest

SLOTS = 5
#: Runs before the count begins.
WARM_UP = 10
#: Starts of a bare Python in a round.
PYTHONS = 20


def cpu(who: int) -> float:
    """Milliseconds of this process, or of its children that have ended."""
    used = resource.getrusage(who)
    return (used.ru_utime + used.ru_stime) * 1000


async def measure(folder: Path, way: str, count: int) -> dict[str, float]:
    """Milliseconds of CPU a run; the template's own start, and its end, are the children's."""
    launching: AbstractAsyncContextManager[Launcher] = open_launcher()
    if way == "executed":
        launching = nullcontext(launch_executed)
    async with (
        launching as launcher,
        open_bench_core(folder, KIND, launcher=launcher, max_concurrent=SLOTS) as core,
    ):

        async def run(runs: int, before: int) -> None:
            for _ in range(runs):
                inputs = {"argv": ["true"], "cwd": "/"}
                request = SubmitRequest(kind="command", inputs=inputs)
                await core.submitter.submit(request, wait=True)
            await wait_idle(core, before + runs)

        await run(WARM_UP, 0)
        began = cpu(resource.RUSAGE_SELF)
        await run(count, WARM_UP)
        daemon = (cpu(resource.RUSAGE_SELF) - began) / count
    # Those of a template count as ours once it has ended.
    children = cpu(resource.RUSAGE_CHILDREN) / (count + WARM_UP)
    return {"daemon": daemon, "children": children}


def bare_python() -> dict[str, float]:
    """Milliseconds of CPU of a Python that does nothing."""
    command = [sys.executable, "-I", "-S", "-c", "pass"]
    return {"start": sum(cpu_of(command) for _ in range(PYTHONS)) / PYTHONS * 1000}


def rows(long: bool) -> Iterator[Row]:
    """All told, in its parts, and without a template."""
    count, rounds = (1000, 7) if long else (200, 5)
    forked, executed, bare = in_turns(
        rounds,
        lambda: in_process("programs", "forked", count),
        lambda: in_process("programs", "executed", count // 4),
        bare_python,
    )
    starts = [found["start"] for found in bare]
    for name, target, found in (
        ("`true` as a run, CPU", "ours <= 8", forked),
        ("the same without a template", "", executed),
    ):
        told = [sum(parts.values()) for parts in found]
        yield Row(f"{name} / a bare Python", "ms", target, told, starts)
    for part, target in (("children", "ours <= 3"), ("daemon", "ours <= 5")):
        yield Row(
            f"`true` as a run: its {part}", "ms", target, [f[part] for f in forked]
        )


def main() -> None:
    """One measurement in this process."""
    with scratch() as folder:
        print(json.dumps(trio.run(measure, folder, sys.argv[1], int(sys.argv[2]))))


if __name__ == "__main__":
    main()
