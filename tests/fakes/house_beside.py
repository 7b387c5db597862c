"""The real server before a real core, beside a command that runs in the test's own thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fakes.beside import Beside, open_beside
from fakes.cores import wait_ended
from fakes.house import House, open_house
from penstock.log.projections import RunView
from penstock.pipeline import Kind
from penstock.testing import FakeProcesses
from penstock.words.api import SubmitRequest
from penstock.words.events import AnyEvent


@dataclass(frozen=True, slots=True)
class HouseBeside:
    """What a test has the core do, or asks of it, past the command line."""

    beside: Beside[House]
    processes: FakeProcesses

    @property
    def house(self) -> House:
        return self.beside.opened

    @property
    def untouched(self) -> bool:
        """Whether nothing was recorded since it opened."""
        return self.house.core.bus.head == self.house.opened_at

    def start(self, run_id: str, kind: str = "echo") -> None:
        """Submit a run and wait until it executes."""
        self.beside.do(self.house.start, run_id, kind)

    def submit(
        self, kind: str, inputs: Mapping[str, Any] | None = None, **others: Any
    ) -> str:
        """Queue a run; its id."""
        request = SubmitRequest(kind=kind, inputs=dict(inputs or {}), **others)
        told = self.beside.do(self.house.core.submitter.submit, request)
        return told.view.run_id

    def record(self, run_id: str, *facts: AnyEvent) -> None:
        """Record facts of a run that goes on."""
        self.beside.do(self.house.record, run_id, *facts)

    def end(self, run_id: str) -> None:
        """Let a run of the kind `echo` end, and wait until it has."""
        self.beside.do(self.house.end, run_id)

    def wait_ended(self, *run_ids: str) -> None:
        """Wait until these runs have ended, however they do."""
        self.beside.do(wait_ended, self.house.core, *run_ids)

    def wait_fact(self, run_id: str, wanted: type[AnyEvent]) -> None:
        """Wait until the run has such a fact."""
        self.beside.do(self.house.wait_fact, run_id, wanted)

    def view(self, run_id: str) -> RunView:
        """The run as its facts tell it."""
        return self.beside.do(self.house.core.reader.view, run_id)


@contextmanager
def open_house_beside(
    socket: Path, *kinds: Kind, **settings: Any
) -> Iterator[HouseBeside]:
    """A house on this Unix socket. `settings` as of `open_house`."""
    processes = FakeProcesses()
    opening = partial(open_house, socket, *kinds, processes=processes, **settings)
    with open_beside(opening) as beside:
        yield HouseBeside(beside, processes)
