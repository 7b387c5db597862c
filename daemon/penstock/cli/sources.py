"""Where the story of a run is read: from the daemon that has it, or from an embedded one's file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from penstock.cli.places import embedded, one_form
from penstock.cli.session import Session, run_async
from penstock.client import Client, open_client
from penstock.envelope import Recorded
from penstock.errors import PenstockError, RunNotFound

if TYPE_CHECKING:
    from penstock.record.sqlite import SqliteStore

T = TypeVar("T")

#: Facts in one page of history.
PAGE = 500


class Source(Protocol):
    """The story of a run, live or ended."""

    @property
    def client(self) -> Client | None:
        """The daemon to follow what comes; None if nothing comes any more."""
        ...

    async def view(self, run_id: str) -> dict[str, Any]: ...

    async def page(self, run_id: str, after: int) -> list[Recorded]:
        """The next facts above `after`; [] at the end."""
        ...

    async def cancel(
        self, run_id: str, reason: str, *, wait: bool
    ) -> dict[str, Any]: ...


@dataclass(frozen=True)
class LiveSource:
    """A daemon."""

    client: Client

    async def view(self, run_id: str) -> dict[str, Any]:
        return await self.client.run(run_id)

    async def page(self, run_id: str, after: int) -> list[Recorded]:
        page = await self.client.events(run_id, after=after, limit=PAGE)
        return [Recorded.from_wire(data) for data in page["events"]]

    async def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]:
        return await self.client.cancel(run_id, reason, wait=wait)


@dataclass(frozen=True)
class FileSource:
    """The log that an embedded daemon left."""

    store: SqliteStore
    client: None = None

    async def view(self, run_id: str) -> dict[str, Any]:
        from penstock.record.views import RunView

        view, after = RunView(one_form(run_id)), 0
        while facts := await self.page(run_id, after):
            for fact in facts:
                view.apply(fact)
            after = facts[-1].position
        if not view.sequence:
            raise RunNotFound(run_id=run_id)
        return view.to_json()

    async def page(self, run_id: str, after: int) -> list[Recorded]:
        return await self.store.read(one_form(run_id), after, PAGE)

    async def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]:
        view = await self.view(run_id)
        if view["ended_at"] is None:
            raise PenstockError(
                f"{run_id} was left unfinished by an embedded daemon that is gone"
            )
        return {
            "run_id": run_id, "outcome": "already_terminal", "requested_at": view["ended_at"],
            "gone_at": view["ended_at"], "method": "none", "pids": [], "survivors": [],
        }  # fmt: skip


def ask_source(
    session: Session, run_id: str, work: Callable[[Source], Awaitable[T]]
) -> T:
    """What `work` makes of the source that has this run."""

    async def opened() -> T:
        async with open_source(session, run_id) as source:
            return await work(source)

    return run_async(opened)


@asynccontextmanager
async def open_source(session: Session, run_id: str) -> AsyncIterator[Source]:
    """The embedded daemon of this run, else the file it left, else the daemon."""
    path = session.paths().embedded_database(one_form(run_id))
    if session.named or not path.exists():
        async with open_client(session.address()) as client:
            yield LiveSource(client)
        return
    address = await embedded(session, run_id)
    if address is not None:
        async with open_client(address) as client:
            yield LiveSource(client)
        return
    async with open_file(path) as store:
        yield FileSource(store)


@asynccontextmanager
async def open_file(path: Path, life: str = "reader") -> AsyncIterator[SqliteStore]:
    """The log in a file that no daemon holds."""
    from penstock.record.sqlite import open_sqlite, threads

    async with open_sqlite(path, life=life, run_blocking=threads(1)) as store:
        yield store
