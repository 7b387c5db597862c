"""CN-07: what the drill of boxes takes for seen, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
import trio

from fakes.postgres import PostgresServer
from fakes.stores import enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql.engine import PostgresDb
from penstock.testing import START
from penstock.words.events import RunRequeued, encode_event
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id
from penstock_drills.box_rig import BoxRig
from penstock_drills.log_watch import LogWatch
from penstock_drills.witness import since_boot

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


@dataclass(slots=True)
class ServerAway(LogWatch):
    """Tells what it is given, with the moment at which it was asked; by itself it does not answer."""

    given: deque[tuple[list[Recorded], bool]] = field(default_factory=deque)
    asked: list[float] = field(default_factory=list)

    def read(self) -> tuple[list[Recorded], bool]:
        self.asked.append(since_boot())
        return self.given.popleft() if self.given else ([], False)


@dataclass(slots=True)
class CutShort(LogWatch):
    """Its server goes after the first fact of a look, if so told."""

    cut: bool = False

    def _new(self, db: PostgresDb) -> Iterator[Recorded]:
        for fact in LogWatch._new(self, db):
            yield fact
            if self.cut:
                raise psycopg.OperationalError("gone")


async def test_a_look_that_the_server_did_not_answer_saw_nothing(
    tmp_path: Path,
) -> None:
    """Else a run that is executed anew before that look would be taken for what should be gone."""
    event = RunRequeued(reason="shutdown")
    fact = Recorded(
        2, "r", 2, new_event_id(), START, {}, None, 0, event.type, encode_event(event), event
    )  # fmt: skip
    watch = ServerAway("", "", given=deque([([], True)]))
    server = PostgresServer(tmp_path, tmp_path, {})
    rig = BoxRig(tmp_path, server, ExitStack(), [], watch)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.follow_log)
            while len(watch.asked) < 5:  # noqa: ASYNC110  (of a thread)
                await trio.sleep(0.01)
            watch.given.append(([fact], True))
            while not rig.judge.overs:  # noqa: ASYNC110
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel(reason="it was noted")
    assert rig.judge.overs[0].before <= watch.asked[0]


async def test_what_came_before_the_server_went_is_told(
    postgres: PostgresServer,
) -> None:
    """Once, and that it is not all; a log that is read anew begins again, since nothing of it was told."""
    schema = postgres.new_schema()
    watch = CutShort(postgres.url, schema)
    fails: tuple[list[Recorded], bool] = ([], False)
    async with postgres_store(postgres, schema=schema) as store:
        await store.commit([enqueue("old")])
        watch.cut = True
        assert watch.read() == fails
        watch.cut = False
        assert watch.read() == ([], True)
        await store.commit([enqueue("one"), enqueue("two")])
        watch.cut = True
        facts, whole = watch.read()
        assert ([fact.run_id for fact in facts], whole) == (["one"], False)
        watch.cut = False
        facts, whole = watch.read()
        assert ([fact.run_id for fact in facts], whole) == (["two"], True)
    assert (
        LogWatch("postgresql://penstock@/penstock?host=/nowhere", "s").read() == fails
    )
