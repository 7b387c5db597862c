"""`/metrics`: the daemon's numbers, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from penstock.server.answer import Answer
from penstock.server.meter import Meter, ReadLoop
from penstock.server.routes import Call
from penstock.words.errors import NotAvailable

if TYPE_CHECKING:
    from penstock.runs.core import Core

#: The text format that every version of Prometheus reads.
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def no_metrics(_call: Call) -> Answer:
    """The handler where nothing is counted."""
    raise NotAvailable("this daemon counts nothing")


@dataclass(eq=False, slots=True)
class Metrics:
    """The handler of the route. The library is imported for the first who asks."""

    core: Core
    meter: Meter
    read_loop: ReadLoop | None = None
    _render: Callable[[], bytes] | None = None
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def answer(self, _call: Call) -> Answer:
        """All numbers in the text format."""
        async with self._turn:
            if self._render is None:
                # In a thread: the import takes a tenth of a second.
                self._render = await trio.to_thread.run_sync(self._load)
        return Answer(body=self._render(), content_type=TEXT)

    def _load(self) -> Callable[[], bytes]:
        from penstock.server.metrics import make_renderer

        return make_renderer(self.core, self.meter, self.read_loop)
