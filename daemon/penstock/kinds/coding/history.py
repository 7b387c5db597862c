"""The run's own facts: what it has told already, and what people have told it.

A resumed run goes through its stages again. Facts have ids made of their names, so each is told
once, and recorded steps are not done twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from penstock.pipeline import (
    DROPPABLE_TYPES,
    AnyEvent,
    Log,
    Recorded,
    Run,
    bytes_of,
    plain_text,
)

_FACTS = UUID("5a4f1c1e-4d0d-5b7e-9c55-6a2b8d1f0e37")


@dataclass(eq=False, slots=True)
class CodingHistory:
    """See the module's text. `facts` leaves out logs, progress and partials: they are many."""

    run: Run
    facts: list[Recorded] = field(default_factory=list)
    position: int = 0
    _told: dict[UUID, Recorded] = field(default_factory=dict)

    async def catch_up(self) -> None:
        """Read what was recorded since."""
        while page := await self._page(self.position):
            for fact in page:
                # Another task of the run may have read the same page meanwhile.
                if fact.position > self.position:
                    self._take(fact)

    def _take(self, fact: Recorded) -> None:
        self.position = fact.position
        if fact.type not in DROPPABLE_TYPES:
            self.facts.append(fact)
            self._told[fact.event_id] = fact

    async def tell(
        self,
        name: str,
        event: AnyEvent,
        *,
        cause: Recorded | None = None,
        code_version: int | None = None,
        clock: Mapping[str, int] | None = None,
    ) -> Recorded:
        """Record the fact of this name, once in the life of the run; what was recorded."""
        event_id = uuid5(_FACTS, f"{self.run.run_id}/{name}")
        await self.catch_up()
        if event_id not in self._told:
            await self.run.emit(
                event,
                event_id=event_id,
                causation_id=None if cause is None else cause.event_id,
                code_version=code_version,
                clock=clock,
            )
            await self.catch_up()
        return self._told[event_id]

    async def output_since(self, position: int, longest: int) -> str:
        """The end of what processes said since, at most so many characters."""
        said = b""
        while page := await self._page(position):
            for fact in page:
                event = fact.event
                if isinstance(event, Log) and event.stream != "pipeline":
                    # A character has at most four bytes.
                    said = (said + (bytes_of(event) or b""))[-4 * longest :]
            position = page[-1].position
        return plain_text(said.decode("utf-8", "replace"))[-longest:]

    def newest(self, *types: str) -> Recorded | None:
        """The last fact of these types."""
        return next((f for f in reversed(self.facts) if f.type in types), None)

    async def _page(self, position: int) -> list[Recorded]:
        config = self.run.config
        return await self.run.reads.read(
            self.run.run_id, position, config.page_events, max_bytes=config.page_bytes
        )
