"""A kind that publishes at a steady rate and measures how long each fact takes to be recorded.

A scratch daemon gets it as a plug-in; it is installed nowhere else.
"""

from __future__ import annotations

from pathlib import Path

import trio

from penstock.events import Log
from penstock.pipelines.registry import GROUP
from penstock.runs.kind import Inputs, Kind, Output
from penstock.runs.run import Run

NAME = "drill-publisher"


class Publish(Inputs):
    """`writers` tasks that each emit `rate / writers` facts per second, all at the same moments."""

    rate: float
    seconds: float
    writers: int
    text_bytes: int


class Published(Output):
    """Milliseconds from each emit until its fact was durable and published."""

    latencies: list[float]


async def publish(run: Run, inputs: Publish) -> Published:
    """What falls behind is not caught up with: the time is fixed, and the number is told."""
    latencies: list[float] = []
    begun = trio.current_time()
    interval = inputs.writers / inputs.rate
    text = "x" * inputs.text_bytes

    async def write() -> None:
        due = begun
        while due < begun + inputs.seconds:
            await trio.sleep_until(due)
            emitted = trio.current_time()
            await run.emit(Log(text=text))
            latencies.append(round(1000 * (trio.current_time() - emitted), 3))
            due = max(due + interval, trio.current_time())

    async with trio.open_nursery() as writers_nursery:
        for _ in range(inputs.writers):
            writers_nursery.start_soon(write)
    return Published(latencies=latencies)


KIND = Kind(NAME, "publishes at a steady rate", Publish, Published, publish)


def install(folder: Path) -> None:
    """Make `folder` one that, on the path of a Python, offers the kind."""
    information = folder / "penstock_drill-1.dist-info"
    information.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: penstock-drill\nVersion: 1\n"
    (information / "METADATA").write_text(metadata, encoding="utf-8")
    entry = f"[{GROUP}]\n{NAME} = {__name__}:KIND\n"
    (information / "entry_points.txt").write_text(entry, encoding="utf-8")
