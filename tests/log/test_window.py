"""PT-04: of what a run prints its beginning is kept and its end rolls; only the log empties, and once."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.stores import LIFE, append, at, fact, start
from penstock.log.audit import audit_file, audit_whole
from penstock.log.export import export_file, import_file
from penstock.log.results import Appended
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.sqlite.whole_file import WholeFile
from penstock.log.tables.output_window import WindowLimits
from penstock.log.writes import Append, Complete, Prune
from penstock.testing.faulty_store import inline
from penstock.words.errors import Conflict, StoreUnavailable
from penstock.words.events import Log
from penstock.words.lifecycle import terminal
from penstock.words.printed import Stream, bytes_of, piece_of, size_of
from penstock.words.recorded import Recorded

LIMITS = WindowLimits(head_bytes=20, tail_bytes=60)


@asynccontextmanager
async def opened(path: Path | str, *, alone: bool = True) -> AsyncIterator[SqliteStore]:
    blocking = inline() if path == ":memory:" else threads(1)
    with trio.fail_after(60):
        async with open_sqlite(
            path,  # type: ignore[arg-type]
            life=LIFE,
            alone=alone,
            run_blocking=blocking,
            limits=LIMITS,
        ) as store:
            yield store


def piece(number: int, stream: Stream = "stdout") -> Log:
    """Ten bytes."""
    return piece_of(stream, b"%09d\n" % number)


async def pieces(store: SqliteStore, run_id: str = "r1") -> list[Recorded]:
    return [f for f in await store.read(run_id, limit=10_000) if f.type == "log"]


def log_of(recorded: Recorded) -> Log:
    event = recorded.event
    assert isinstance(event, Log), event
    return event


def kept(facts: Sequence[Recorded]) -> list[bytes | None]:
    return [bytes_of(log_of(f)) for f in facts]


def findings(store: SqliteStore) -> list[str]:
    return list(map(str, audit_whole(WholeFile(store._db)).findings))


async def test_the_beginning_stays_and_the_rest_rolls(tmp_path: Path) -> None:
    """PT-04: the emptied fact keeps its place, its id and its size, and its stream."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        before: list[Recorded] = []
        for number in range(30):
            stream: Stream = "stderr" if number % 3 else "stdout"
            write = append("r1", piece(number, stream), fence=row.fence)
            (outcome,) = await store.commit([write])
            before += outcome.recorded  # type: ignore[union-attr]
            sizes = [len(data) for data in kept(await pieces(store)) if data]
            assert sum(sizes) <= 80
        after = await pieces(store)
        assert kept(after[:2]) == kept(before[:2])
        assert kept(after[-6:]) == kept(before[-6:])
        assert all(log_of(f).emptied for f in after[2:-6])
        for was, is_ in zip(before, after, strict=True):
            one, two = was._columns(), is_._columns()
            assert one[:-1] == two[:-1]
            assert log_of(is_).stream == log_of(was).stream
            assert size_of(log_of(is_)) == 10
        assert findings(store) == []


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(1, 90)), min_size=1, max_size=4),
        max_size=25,
    ),
    st.booleans(),
)
def test_the_window_is_exact_whatever_is_printed(
    batches: list[list[tuple[bool, int]]], restarts: bool
) -> None:
    """PT-04: by pieces of any size, bytes or text, in any batches, over restarts."""

    async def story() -> None:
        async with opened(":memory:") as store:
            row = await start(store)
            said: list[bytes] = []
            for batch in batches:
                data = [(b"\xff" if binary else b"a") * size for binary, size in batch]
                said += data
                write = append("r1", *[piece_of("stdout", d) for d in data])
                await store.commit([replace(write, fence=row.fence)])
                if restarts:
                    # What a new life finds is in the tables alone.
                    store._transaction.forget()
            found = await pieces(store)
            assert [size_of(log_of(f)) for f in found] == [len(d) for d in said]
            for whole, now in zip(said, kept(found), strict=True):
                assert now in (None, whole)
            beginning, place = 0, 0
            while place < len(said) and beginning < LIMITS.head_bytes:
                assert kept(found)[place] == said[place]
                beginning += len(said[place])
                place += 1
            rest = kept(found)[place:]
            left = [data for data in rest if data is not None]
            # Only the oldest go, the newest never, and no more than must.
            assert rest == [None] * (len(rest) - len(left)) + left
            assert sum(map(len, left)) <= LIMITS.tail_bytes or len(left) == 1
            if len(left) < len(rest):
                one_more = len(said[len(said) - len(left) - 1])
                assert sum(map(len, left)) + one_more > LIMITS.tail_bytes
            assert findings(store) == []

    trio.run(story)


async def test_a_piece_is_emptied_in_the_commit_that_pushes_it_out(
    tmp_path: Path,
) -> None:
    """PT-04: another reader sees both or neither."""
    path = tmp_path / "p.db"
    async with opened(path) as store, opened(path, alone=False) as reader:
        row = await start(store)
        said: list[str] = []
        store._db.set_trace_callback(said.append)
        for number in range(20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
            found = await pieces(reader)
            sizes = [len(data) for data in kept(found) if data is not None]
            assert sum(sizes) == min(80, 10 * len(found))
        store._db.set_trace_callback(None)
        words = ("BEGIN", "DELETE FROM events", "COMMIT")
        steps = [sql.split()[0] for sql in said if sql.startswith(words)]
        assert steps == ["BEGIN", "COMMIT"] * 8 + ["BEGIN", "DELETE", "COMMIT"] * 12


async def test_a_failed_commit_empties_nothing(tmp_path: Path) -> None:
    """PT-04: and the next one goes on from what the tables say."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        for number in range(12):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        before = await pieces(store)
        store._db.execute("PRAGMA max_page_count = 1")
        big = append("r1", piece_of("stdout", b"x" * 200_000), fence=row.fence)
        with pytest.raises(StoreUnavailable):
            await store.commit([big])
        store._db.execute("PRAGMA max_page_count = 1000000")
        assert await pieces(store) == before
        await store.commit([append("r1", piece(12), fence=row.fence)])
        assert [data is None for data in kept(await pieces(store))].count(True) == 5
        assert findings(store) == []


async def test_the_same_pieces_again_refill_nothing(tmp_path: Path) -> None:
    """PT-04: an emptied fact is known by its id."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        first = append("r1", piece(0), piece(1), piece(2), piece(3), fence=row.fence)
        await store.commit([first])
        for number in range(4, 20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        before = await pieces(store)
        assert log_of(before[3]).emptied
        (again,) = await store.commit([first])
        assert isinstance(again, Appended)
        assert again.duplicate
        assert [f.position for f in again.recorded] == [f.position for f in before[:4]]
        other = first.new_events[3]._replace(
            body=b'{"type":"log","text":"longer text"}'
        )
        with pytest.raises(Conflict):
            (refused,) = await store.commit(
                [Append((*first.new_events[:3], other), row.fence)]
            )
            assert isinstance(refused, Exception)
            raise refused
        assert await pieces(store) == before
        assert findings(store) == []


async def test_an_ended_run_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    """PT-04: pruning forgets its window too."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        for number in range(20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        await store.commit([Complete(row.fence, fact("r1", terminal("completed")))])
        assert len([d for d in kept(await pieces(store)) if d is not None]) == 8
        assert findings(store) == []
        await store.commit([Prune(at(10**6), 0, 0, at(0), 10)])
        assert store._db.execute("SELECT count(*) FROM windows").fetchone() == (0,)
        assert findings(store) == []


async def test_a_short_run_has_no_row(tmp_path: Path) -> None:
    """PT-04: what prints little costs the log nothing more."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        await store.commit([append("r1", piece(0), piece(1), fence=row.fence)])
        assert store._db.execute("SELECT count(*) FROM windows").fetchone() == (0,)


async def test_runs_and_other_facts_are_left_alone(tmp_path: Path) -> None:
    """PT-04"""
    async with opened(tmp_path / "p.db") as store:
        one, two = await start(store, "one"), await start(store, "two")
        for number in range(20):
            await store.commit(
                [
                    append("one", piece(number), fence=one.fence),
                    append("two", piece(0, "stderr"), fence=two.fence)
                    if number < 8
                    else append("two", fence=two.fence),
                ]
            )
        assert all(data is not None for data in kept(await pieces(store, "two")))
        assert sum(data is None for data in kept(await pieces(store, "one"))) == 12
        assert findings(store) == []


async def test_a_piece_that_was_counted_only_is_part_of_the_story(
    tmp_path: Path,
) -> None:
    """PT-04: what outran the pace, or an outage, came to the log emptied."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        lost = Log(stream="stdout", bytes=1000, emptied=True)
        for number in range(20):
            write = append("r1", lost, piece(number), fence=row.fence)
            await store.commit([write])
        found = await pieces(store)
        assert sum(size_of(log_of(f)) for f in found) == 20 * 1010
        assert len([d for d in kept(found) if d is not None]) == 8
        assert findings(store) == []


async def test_an_export_carries_the_emptied_form_and_an_import_goes_on(
    tmp_path: Path,
) -> None:
    """PT-04, ST-03"""
    old, new, out = tmp_path / "old.db", tmp_path / "new.db", io.BytesIO()
    async with opened(old) as store:
        row = await start(store)
        for number in range(20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
    export_file(old, out)
    assert (
        b'{"type":"log","bytes":10,"emptied":true,"stream":"stdout"}' in out.getvalue()
    )
    import_file(new, io.BytesIO(out.getvalue()))
    again = io.BytesIO()
    export_file(new, again)
    assert again.getvalue() == out.getvalue()
    async with opened(new) as store:
        await store.commit([append("r1", piece(20), fence=row.fence)])
        assert sum(data is not None for data in kept(await pieces(store))) == 8
    assert audit_file(new).findings == []


async def test_a_run_of_an_older_log_rolls_from_its_next_piece_on(
    tmp_path: Path,
) -> None:
    """PT-04: what it printed before is counted then."""
    path = tmp_path / "p.db"
    async with opened(path) as store:
        row = await start(store)
        for number in range(20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        # As a daemon left it that knew no windows.
        store._db.execute("DELETE FROM windows")
        bodies = [
            (
                json.dumps(
                    {"type": "log", "text": "y" * 10, "stream": "stdout"}
                ).encode(),
            )
        ]
        store._db.execute(
            "UPDATE events SET body = ?, checksum = NULL WHERE type = 'log'", bodies[0]
        )
        store._transaction.forget()
        await store.commit([append("r1", piece(20), fence=row.fence)])
        found = kept(await pieces(store))
        assert [data is None for data in found] == [False] * 2 + [True] * 13 + [
            False
        ] * 6
        assert findings(store) == []


@pytest.mark.parametrize(
    ("sql", "law"),
    [
        # A piece of the beginning.
        ("position = (SELECT min(position) FROM events WHERE type = 'log')", "windows"),
        # The newest.
        ("position = (SELECT max(position) FROM events WHERE type = 'log')", "windows"),
    ],
)
async def test_the_audit_finds_what_was_emptied_wrongly(
    tmp_path: Path, sql: str, law: str
) -> None:
    """PT-04, QA-02: though its checksum agrees."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        for number in range(20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        body = b'{"type":"log","bytes":10,"emptied":true,"stream":"stdout"}'
        store._db.execute(
            f"UPDATE events SET body = ?, checksum = NULL WHERE {sql}", (body,)
        )
        assert [law in text for text in findings(store)] == [True]


async def test_the_audit_finds_a_piece_that_was_refilled(tmp_path: Path) -> None:
    """PT-04, QA-02"""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        for number in range(20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        body = b'{"type":"log","text":"000000003\\n","stream":"stdout"}'
        store._db.execute(
            "UPDATE events SET body = ?, checksum = NULL WHERE position = 6", (body,)
        )
        assert ["the window has left it" in text for text in findings(store)] == [True]


async def test_damage_in_a_piece_is_told_and_not_wiped(tmp_path: Path) -> None:
    """PT-04, ST-11: and the run goes on."""
    async with opened(tmp_path / "p.db") as store:
        row = await start(store)
        for number in range(8):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        store._db.execute(
            "UPDATE events SET body = replace(body, '000', 'xyz') WHERE position = 6"
        )
        for number in range(8, 20):
            await store.commit([append("r1", piece(number), fence=row.fence)])
        told = findings(store)
        assert any(text.startswith("whole facts: r1 at 6") for text in told)


# -- kill -9

_WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import trio
from fakes.stores import LIFE, append, start
from penstock.words.events import Log
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.tables.output_window import WindowLimits

async def main():
    limits = WindowLimits(20, 60)
    async with open_sqlite(Path(sys.argv[1]), life=LIFE, run_blocking=threads(1), limits=limits) as store:
        row = await store.run("r1") or await start(store)
        number = 0
        while True:
            batch = [append("r1", Log(text="%09d\\n" % (number + n), stream="stdout"), fence=row.fence) for n in range(3)]
            outcomes = await store.commit(batch)
            number += 3
            print(outcomes[-1].recorded[0].position, flush=True)

trio.run(main)
"""


@pytest.mark.slow
def test_a_window_survives_kill_9(tmp_path: Path) -> None:
    """PT-04, ST-03: positions are dense, sums agree, and nothing that was shown is taken back."""
    path, tests = tmp_path / "p.db", str(Path(__file__).parents[1])
    for lines in (3, 11, 40):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(path), tests],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            shown = [int(writer.stdout.readline()) for _ in range(lines)]
            writer.kill()
        audit = audit_file(path)
        assert audit.findings == []
        assert audit.bounds.head >= shown[-1]

        async def look(last: int) -> None:
            async with opened(path) as store:
                found = await pieces(store)
                assert sum(data is not None for data in kept(found)) == min(
                    8, len(found)
                )
                assert any(f.position == last for f in found)

        trio.run(look, shown[-1])


def test_what_is_empty_already_is_not_emptied_again(tmp_path: Path) -> None:
    """PT-04: once is once; the size stays that of what the program wrote."""

    async def story() -> None:
        async with opened(tmp_path / "p.db") as store:
            row = await start(store)
            for number in range(20):
                await store.commit([append("r1", piece(number), fence=row.fence)])
            before = await pieces(store)
            # A window that stands further back than it should, as a fault might leave it.
            with closing(
                store._db.execute("UPDATE windows SET edge = head_end, tail = 200")
            ):
                pass
            store._transaction.forget()
            await store.commit([append("r1", piece(20), fence=row.fence)])
            after: list[Any] = await pieces(store)
            assert [size_of(log_of(f)) for f in after] == [10] * 21
            for was, is_ in zip(before, after, strict=False):
                if log_of(was).emptied:
                    assert was == is_

    trio.run(story)
