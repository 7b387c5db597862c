"""A kind that publishes at a steady rate and measures how long each fact takes to be recorded.

A scratch daemon gets it as a plug-in; it is installed nowhere else.
"""

from __future__ import annotations

from pathlib import Path

import trio

from penstock.kinds.registry import GROUP
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.events import Log

NAME = "drill-publisher"


class Publish(Inputs):
    """`rate` facts per second, those of each `1 / moments` seconds together."""

    rate: float
    moments: float
    seconds: float
    text_bytes: int


class Published(Output):
    """Milliseconds from the moment at which each fact was due until it was durable and published.

    `seconds`: until the last one was.
    """

    latencies: list[float]
    seconds: float


async def publish(run: Run, inputs: Publish) -> Published:
    """The loop is open: a fact is due at its moment, however long those before it take."""
    latencies: list[float] = []
    begun = trio.current_time()
    text = "x" * inputs.text_bytes

    async def write(due: float) -> None:
        await run.emit(Log(text=text))
        latencies.append(round(1000 * (trio.current_time() - due), 3))

    emitted = 0
    async with trio.open_nursery() as writers_nursery:
        for moment in range(round(inputs.seconds * inputs.moments)):
            due = begun + moment / inputs.moments
            await trio.sleep_until(due)
            wanted = round((moment + 1) / inputs.moments * inputs.rate)
            for _ in range(wanted - emitted):
                writers_nursery.start_soon(write, due)
            emitted = wanted
    return Published(latencies=latencies, seconds=trio.current_time() - begun)


KIND = Kind(NAME, "publishes at a steady rate", Publish, Published, publish)


def install(folder: Path) -> None:
    """Make `folder` one that, on the path of a Python, offers the kind."""
    information = folder / "penstock_drill-1.dist-info"
    information.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: penstock-drill\nVersion: 1\n"
    (information / "METADATA").write_text(metadata, encoding="utf-8")
    entry = f"[{GROUP}]\n{NAME} = {__name__}:KIND\n"
    (information / "entry_points.txt").write_text(entry, encoding="utf-8")
