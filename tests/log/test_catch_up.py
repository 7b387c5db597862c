"""What a daemon remembers of open runs is what the tables have, whatever other daemons did meanwhile (MB-15)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from hashlib import sha256
from random import Random
from typing import Any

import pytest

from fakes.contract import completed, failed
from fakes.stores import append, at, claim, enqueue, fact
from penstock.log.kept import RunRow
from penstock.log.results import Claimed
from penstock.log.sqlite.database import open_database
from penstock.log.sqlite.engine import SqliteDb
from penstock.log.tables.handlers import event_ids, handle
from penstock.log.tables.output_window import LIMITS
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import (
    Answer,
    Edit,
    Park,
    Prune,
    Rearrange,
    Release,
    RequestCancel,
    SetBox,
    SetDrain,
    SetPause,
    Unpark,
    Write,
)
from penstock.words.errors import NotAvailable
from penstock.words.events import AskRaised, Log, RunRequeued
from penstock.words.values import new_event_id
from penstock.words.wait_reason import Waiting

LIVES = ("one", "two", "three")


class SharedDb(SqliteDb):
    """One of several daemons on a database, each of which learns whether another wrote since it looked."""

    def __init__(self, connection: sqlite3.Connection, log: dict[str, int]) -> None:
        super().__init__(connection)
        self._shared = log
        self._seen = -1
        self.untold = False
        self._marked = False

    def lock(self) -> bool:
        super().lock()
        known, self._seen = self._seen, self._shared["changes"]
        self.untold = self._shared["untold"] > known
        self._marked = False
        return known == self._seen

    def mark_untold(self) -> None:
        self._marked = True

    def save(self) -> None:
        self._seen = self._shared["changes"] = self._shared["changes"] + 1
        if self._marked:
            self._shared["untold"] = self._seen
        super().save()


def commit(transaction: Transaction, *writes: Write[Any]) -> Sequence[Any]:
    transaction.begin(event_ids(writes))
    results = [handle(transaction, write) for write in writes]
    transaction.finish()
    transaction.save()
    return results


def remembered(transaction: Transaction) -> dict[str, Any]:
    """What it knows at the begin of its turn. A window is remembered by who writes the run's output."""
    transaction.begin(())
    heads = [{**asdict(head), "window": None} for head in transaction.open.all()]
    for head in heads:
        # Whether it wants its slot again is asked by who executes it alone.
        head["wants_slot"] = None
    known = {
        "runs": heads,
        "by_name": sorted(
            run_id for run_id, head in transaction._heads.items() if head.key > 0
        ),
        "children": {
            head.run_id: [c.key for c in transaction.open.children(head.run_id)]
            for head in transaction.open.all()
        },
        "paused": set(transaction.paused),
        "next": (transaction._next_key, transaction.next_position),
        "daemon": transaction.daemon().sequence,
    }
    transaction.db.execute("ROLLBACK")
    return known


class Story:
    """Daemons that share a log, and what they do to it."""

    def __init__(self, connection: sqlite3.Connection, seed: int) -> None:
        self.dice = Random(seed)
        self.connection = connection
        self.log = {"changes": 0, "untold": 0}
        self.daemons = {life: self.daemon(life) for life in LIVES}
        self.rows: dict[str, RunRow] = {}
        self.number = 0
        self.seconds = 0.0

    def daemon(self, life: str) -> Transaction:
        return Transaction(SharedDb(self.connection, self.log), life, new_event_id, LIMITS)  # fmt: skip

    def names(self) -> list[str]:
        sql = "SELECT run_id FROM runs WHERE key > 0 AND ended_at IS NULL ORDER BY key"
        return [name for (name,) in self.connection.execute(sql)]

    def some(self) -> str:
        return self.dice.choice([*self.names(), "r0"])

    def executing(self) -> RunRow | None:
        rows = [self.rows[name] for name in self.names() if name in self.rows]
        return self.dice.choice(rows) if rows else None

    def step(self) -> None:
        self.seconds += 1
        life = self.dice.choice(LIVES)
        writes = [w for w in (self.write(life) for _ in range(2)) if w is not None]
        for result in commit(self.daemons[life], *writes):
            if isinstance(result, Claimed):
                self.rows |= {row.run_id: row for row in result.started}
                for row in result.started:
                    sql = "SELECT inputs FROM specs JOIN runs USING (key) WHERE run_id = ?"
                    found = self.connection.execute(sql, (row.run_id,)).fetchone()
                    assert (row.inputs,) == found

    def write(self, life: str) -> Write[Any] | None:
        dice, now = self.dice, at(self.seconds)
        kind = dice.choice(
            ["new"] * 4 + ["claim"] * 3 + ["end"] * 2
            + ["log", "cancel", "park", "unpark", "release", "pause", "move", "edit", "edit", "ask", "answer", "prune"]
        )  # fmt: skip
        row = self.executing()
        if kind == "new":
            self.number += 1
            others: dict[str, Any] = {
                "after": (self.some(),) if dice.random() < 0.4 else (),
                "parent_id": self.some() if dice.random() < 0.2 else None,
                "group": dice.choice([None, "g"]),
                "stashed": dice.random() < 0.2,
                "priority": dice.choice([10, 20]),
            }
            return enqueue(f"r{self.number}", seconds=self.seconds, **others)
        if kind == "claim":
            return claim(dice.randrange(1, 5), life=life, seconds=self.seconds)
        if kind == "cancel":
            return RequestCancel(self.some(), "enough", now)
        if kind == "edit":
            inputs = b'{"argv": ["%d"]}' % self.number
            return Edit(self.some(), now, inputs, sha256(inputs).digest(), {})
        if kind == "pause":
            return SetPause(dice.random() < 0.3, now, dice.choice([None, "g"]))
        if kind == "move":
            aside = dice.choice([None, True, False])
            return Rearrange(self.some(), now, move=dice.choice([None, "first"]), stashed=aside, priority=dice.choice([None, 5]))  # fmt: skip
        if kind == "prune":
            return Prune(now, keep=2, max_bytes=10**9, limit=10, tombstones_before=at(-1), max_tombstones=9)  # fmt: skip
        if row is None:
            return None
        if kind == "end":
            return dice.choice([completed, failed])(row)
        if kind == "log":
            return append(
                row.run_id, Log(text="x"), fence=row.fence, seconds=self.seconds
            )
        if kind == "park":
            return Park(row.fence, Waiting("ask", "q"), now)
        if kind == "unpark":
            return Unpark(row.fence)
        if kind == "ask":
            ask = AskRaised(name=f"q{self.number}", question="?")
            return append(row.run_id, ask, fence=row.fence, seconds=self.seconds)
        if kind == "answer":
            return Answer(
                row.run_id, f"q{self.number}", "yes", "me", now, new_event_id()
            )
        return Release(row.fence, fact(row.run_id, RunRequeued(reason="crash"), seconds=self.seconds))  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_what_others_did_is_caught_up_with(seed: int) -> None:
    """Each decides by what it remembers: a line that is not what the tables have would be claimed from twice."""
    (connection,) = open_database(None, 0)
    with closing(connection):
        story = Story(connection, seed)
        for _ in range(60):
            story.step()
            fresh = remembered(story.daemon("fresh"))
            for transaction in story.daemons.values():
                if story.dice.random() < 0.5:
                    assert remembered(transaction) == fresh


def test_a_long_line_is_not_read_again_for_what_another_adds() -> None:
    """Two daemons, one after the other: what each reads is as much as the other wrote."""
    (connection,) = open_database(None, 0)
    with closing(connection):
        story = Story(connection, 0)
        one, two = story.daemons["one"], story.daemons["two"]
        commit(one, *[enqueue(f"q{n}", capacity=None) for n in range(500)])
        commit(two, enqueue("first", capacity=None))
        kept = two._heads["q7"]
        commit(one, enqueue("second", capacity=None))
        commit(two, enqueue("third", capacity=None))
        assert two._heads["q7"] is kept
        assert two._heads["second"].state == "queued"
        # An id that the other recorded is known as such.
        again = append("second", Log(text="x"))
        commit(one, again)
        two.begin(event_ids([again]))
        assert two.repeats


def test_what_no_fact_tells_of_is_read_all_the_same() -> None:
    """A handler of tomorrow that changes a run and records nothing: nobody decides by what was."""
    (connection,) = open_database(None, 0)
    with closing(connection):
        story = Story(connection, 0)
        one, two = story.daemons["one"], story.daemons["two"]
        commit(one, enqueue("quiet"))
        commit(two, enqueue("other"))
        one.begin(())
        one.update(one.get("quiet"), priority=3)
        one.finish()
        one.save()
        two.begin(())
        assert two.get("quiet").priority == 3


def test_what_another_was_told_to_drain_is_drained_here() -> None:
    """By what stands in the tables, before any daemon has folded the fact of it."""
    (connection,) = open_database(None, 0)
    with closing(connection):
        story = Story(connection, 0)
        one, two = story.daemons["one"], story.daemons["two"]
        commit(two, enqueue("known"))
        for drain, ends in (
            (SetDrain(True, at()), SetDrain(False, at())),
            (SetDrain(True, at(), "g"), SetPause(False, at(), "g")),
            (SetBox("b", True, at()), SetBox("b", False, at())),
        ):
            commit(one, drain)
            assert remembered(two)["paused"] == one.paused != set()
            if isinstance(drain, SetDrain):
                [refused] = commit(two, enqueue("new", group="g"))
                assert isinstance(refused, NotAvailable)
            commit(two, ends)
            assert remembered(one)["paused"] == two.paused == set()
        commit(one, enqueue("new", group="g"))
