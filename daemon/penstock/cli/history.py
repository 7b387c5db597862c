"""Where the story of a run is read: from the daemon that has it, or from an embedded one's file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from penstock.cli.archives import find_log, one_form
from penstock.cli.open_daemon import embedded
from penstock.cli.output import say
from penstock.cli.replies import newest_runs
from penstock.cli.session import Session
from penstock.client.sync import SyncClient
from penstock.client.told import ToldFact
from penstock.words.errors import DaemonUnreachable, PenstockError, put_back
from penstock.words.printed import ShownFact

# What reads a log without a daemon is heavy, and rarely needed.
if TYPE_CHECKING:
    from penstock.concurrency.beside import Beside
    from penstock.log.sqlite.store import SqliteStore
    from penstock.runs.reader import Reader
    from penstock.words.recorded import Recorded

T = TypeVar("T")

#: Facts in one page of history.
PAGE = 500


class RunSource(Protocol):
    """The story of a run, live or ended."""

    @property
    def client(self) -> SyncClient | None:
        """The daemon to follow what comes; None if nothing comes any more."""
        ...

    def view(self, run_id: str) -> dict[str, Any]: ...

    def why(self, run_id: str) -> dict[str, Any]:
        """Why it is where it is, as `GET /runs/{id}/why` tells it."""
        ...

    def page(self, run_id: str, after: int) -> Sequence[ShownFact]:
        """The next facts above `after`; none at the end."""
        ...

    def runs(self, q: str, limit: int) -> list[dict[str, Any]]:
        """The newest runs that this filter wants."""
        ...

    def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]: ...


@dataclass(frozen=True)
class LiveSource:
    """A daemon. One that is embedded has numbers of its own, by which nobody finds its runs."""

    client: SyncClient
    embedded: bool = False

    def view(self, run_id: str) -> dict[str, Any]:
        view = self.client.run(run_id)
        return _unnumbered(view) if self.embedded else view

    def why(self, run_id: str) -> dict[str, Any]:
        return self.client.why(run_id)

    def page(self, run_id: str, after: int) -> Sequence[ShownFact]:
        page = self.client.events(run_id, after=after, limit=PAGE)
        return [ToldFact(envelope) for envelope in page["events"]]

    def runs(self, q: str, limit: int) -> list[dict[str, Any]]:
        rows = newest_runs(self.client, q, limit)
        return list(map(_unnumbered, rows)) if self.embedded else rows

    def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]:
        return self.client.cancel(run_id, reason, wait=wait)


@dataclass(frozen=True)
class FileSource:
    """The log that an embedded daemon left."""

    beside: Beside[SqliteStore]
    client: None = None

    def view(self, run_id: str) -> dict[str, Any]:
        reply = self.beside.do(self._reading().reply, one_form(run_id))
        return _unnumbered(reply.model_dump(mode="json"))

    def why(self, run_id: str) -> dict[str, Any]:
        from penstock.runs.why import explain_alone

        view = self.beside.do(self._reading().view, one_form(run_id))
        return explain_alone(view).to_json()

    def _reading(self) -> Reader:
        from penstock.runs.reader import Reader

        return Reader(self.beside.opened, {}, {})

    def page(self, run_id: str, after: int) -> Sequence[ShownFact]:
        store = self.beside.opened
        facts = self.beside.do(store.read, one_form(run_id), after, PAGE)
        if not facts and after > (head := self.beside.do(store.bounds).head):
            raise put_back(after, head + 1, head=head)
        return facts

    def runs(self, q: str, limit: int) -> list[dict[str, Any]]:
        from penstock.log.filters import parse_filter

        rows: list[dict[str, Any]] = []
        before = None
        while len(rows) < limit:
            wanted = parse_filter(q, before=before, limit=limit - len(rows))
            page, before = self.beside.do(self._reading().list, wanted)
            rows += map(_unnumbered, page)
            if before is None:
                break
        return rows

    def cancel(self, run_id: str, reason: str, *, wait: bool) -> dict[str, Any]:
        view = self.view(run_id)
        if view["ended_at"] is None:
            raise PenstockError(
                f"the embedded daemon of {run_id} holds its log and does not answer"
            )
        from penstock.runs.receipts import end_of_row, make_receipt
        from penstock.words.values import utc_now

        tree = self.beside.do(self.beside.opened.tree, view["run_id"])
        receipt = make_receipt(
            view["run_id"], "already_terminal", utc_now(), map(end_of_row, tree)
        )
        return receipt.model_dump(mode="json")


def _unnumbered(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, "number": 0}


def recorded_of(fact: ShownFact) -> Recorded:
    """The fact as those take it who know what facts mean."""
    from penstock.words.recorded import Recorded

    if isinstance(fact, ToldFact):
        return Recorded.from_wire(fact.envelope)
    assert isinstance(fact, Recorded)
    return fact


def ask_source(session: Session, run_id: str, work: Callable[[RunSource], T]) -> T:
    """What `work` makes of the source that has this run."""
    with open_source(session, run_id) as source:
        return work(source)


@contextmanager
def open_source(session: Session, run_id: str) -> Iterator[RunSource]:
    """The embedded log that has this run, else the daemon."""
    path = find_log(session, run_id)
    if path is None:
        yield LiveSource(SyncClient(session.address(), session.heard))
        return
    with open_log(session, path) as source:
        yield source


@contextmanager
def open_log(session: Session, path: Path) -> Iterator[RunSource]:
    """The embedded daemon that works on this log, else the file."""
    address = None
    try:
        address = embedded(path)
    except DaemonUnreachable as error:
        # It holds its log all the same, which tells how far it has come.
        say(f"{error}; this is what its log holds now")
    if address is not None:
        yield LiveSource(SyncClient(address, session.heard), embedded=True)
        return
    from penstock.concurrency.beside import open_beside

    with open_beside(partial(_open_left, session, path)) as beside:
        yield FileSource(beside)


@asynccontextmanager
async def _open_left(session: Session, path: Path) -> AsyncIterator[SqliteStore]:
    """The log in this file, after what is left open in it was ended."""
    import secrets

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
            yield store
            return
    async with open_file(path, life) as store:
        yield store


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
