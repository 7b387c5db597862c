"""Where the story of a run is read: from the daemon that has it, or from an embedded one's file."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from penstock.cli.archives import find_log, one_form
from penstock.cli.connect import embedded
from penstock.cli.output import say
from penstock.cli.replies import newest_runs
from penstock.cli.session import Session, off_loop, run_async
from penstock.client import Client, open_client
from penstock.client.sync import SyncClient
from penstock.words.errors import DaemonUnreachable, PenstockError, put_back
from penstock.words.recorded import Recorded

if TYPE_CHECKING:
    from penstock.log.sqlite.store import SqliteStore
    from penstock.runs.reader import Reader

T = TypeVar("T")

#: Facts in one page of history.
PAGE = 500


class RunSource(Protocol):
    """The story of a run, live or ended."""

    @property
    def client(self) -> Client | None:
        """The daemon to follow what comes; None if nothing comes any more."""
        ...

    async def view(self, run_id: str) -> dict[str, Any]: ...

    async def why(self, run_id: str) -> dict[str, Any]:
        """Why it is where it is, as `GET /runs/{id}/why` tells it."""
        ...

    async def page(self, run_id: str, after: int) -> list[Recorded]:
        """The next facts above `after`; [] at the end."""
        ...

    async def runs(self, q: str, limit: int) -> list[dict[str, Any]]:
        """The newest runs that this filter wants."""
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

    async def why(self, run_id: str) -> dict[str, Any]:
        return await self.client.why(run_id)

    async def page(self, run_id: str, after: int) -> list[Recorded]:
        page = await self.client.events(run_id, after=after, limit=PAGE)
        return [Recorded.from_wire(data) for data in page["events"]]

    async def runs(self, q: str, limit: int) -> list[dict[str, Any]]:
        # A list is read page by page in one way, whoever asks.
        return await off_loop(newest_runs, SyncClient(self.client.address), q, limit)

    async def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]:
        return await self.client.cancel(run_id, reason, wait=wait)


@dataclass(frozen=True)
class FileSource:
    """The log that an embedded daemon left."""

    store: SqliteStore
    client: None = None

    async def view(self, run_id: str) -> dict[str, Any]:
        return (await self._reading().reply(one_form(run_id))).model_dump(mode="json")

    async def why(self, run_id: str) -> dict[str, Any]:
        from penstock.runs.why import explain_alone

        return explain_alone(await self._reading().view(one_form(run_id))).to_json()

    def _reading(self) -> Reader:
        from penstock.runs.reader import Reader

        return Reader(self.store, {}, {})

    async def page(self, run_id: str, after: int) -> list[Recorded]:
        facts = await self.store.read(one_form(run_id), after, PAGE)
        if not facts and after > (head := (await self.store.bounds()).head):
            raise put_back(after, head + 1, head=head)
        return facts

    async def runs(self, q: str, limit: int) -> list[dict[str, Any]]:
        from penstock.log.filters import parse_filter

        rows, _ = await self._reading().list(parse_filter(q, limit=limit))
        return rows

    async def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]:
        view = await self.view(run_id)
        if view["ended_at"] is None:
            raise PenstockError(
                f"the embedded daemon of {run_id} holds its log and does not answer"
            )
        from penstock.runs.receipts import end_of_row, make_receipt
        from penstock.words.values import utc_now

        tree = await self.store.tree(view["run_id"])
        receipt = make_receipt(
            view["run_id"], "already_terminal", utc_now(), map(end_of_row, tree)
        )
        return receipt.model_dump(mode="json")


def ask_source(
    session: Session, run_id: str, work: Callable[[RunSource], Awaitable[T]]
) -> T:
    """What `work` makes of the source that has this run."""

    async def opened() -> T:
        async with open_source(session, run_id) as source:
            return await work(source)

    return run_async(opened)


def ask_log(
    session: Session, path: Path, work: Callable[[RunSource], Awaitable[T]]
) -> T:
    """What `work` makes of this embedded log."""

    async def opened() -> T:
        async with open_log(session, path) as source:
            return await work(source)

    return run_async(opened)


@asynccontextmanager
async def open_source(session: Session, run_id: str) -> AsyncIterator[RunSource]:
    """The embedded log that has this run, else the daemon."""
    path = await off_loop(find_log, session, run_id)
    if path is None:
        async with open_client(session.address(), session.heard) as client:
            yield LiveSource(client)
        return
    async with open_log(session, path) as source:
        yield source


@asynccontextmanager
async def open_log(session: Session, path: Path) -> AsyncIterator[RunSource]:
    """The embedded daemon that works on this log, else the file."""
    address = None
    try:
        address = await embedded(path)
    except DaemonUnreachable as error:
        # It holds its log all the same, which tells how far it has come.
        say(f"{error}; this is what its log holds now")
    if address is not None:
        async with open_client(address, session.heard) as client:
            yield LiveSource(client)
        return
    from penstock.service.embedded import repair_left

    config, _ = session.config()
    life = f"reader/{secrets.token_hex(8)}"
    async with open_file(path, life) as store:
        if not await repair_left(store, path, config):
            if store.copy_of is not None:
                session.say_once(
                    f"what an older penstock recorded (schema version {store.copy_of}) is shown from"
                    " a copy; its logs are left as they are"
                )
            yield FileSource(store)
            return
    async with open_file(path, life) as store:
        yield FileSource(store)


@asynccontextmanager
async def open_file(
    path: Path, life: str, *, alone: bool = False, migration_copy: bool = True
) -> AsyncIterator[SqliteStore]:
    """The log in a file that no daemon holds; `alone` to write into it, and so to migrate it."""
    from penstock.log.sqlite.migrations import MigrationPolicy
    from penstock.log.sqlite.store import open_sqlite, threads

    policy = MigrationPolicy(copy=migration_copy, tell=say)
    async with open_sqlite(
        path, life=life, run_blocking=threads(1), alone=alone, migration=policy
    ) as store:
        yield store
