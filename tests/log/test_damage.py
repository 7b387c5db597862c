"""Files that are not what was written: what is still read, what is refused, and what ends the daemon."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from fakes.cores import open_fake_core, request, types_of, wait_ended
from fakes.stores import LIFE, append, at, claim, enqueue, start
from penstock.log.audit import audit_file
from penstock.log.checksum import checksum_of
from penstock.log.export import export_file, import_file
from penstock.log.filters import RunFilter
from penstock.log.new_events import new_event
from penstock.log.results import Appended, Claimed, Pruned
from penstock.log.sqlite.database import hold_lock
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.writes import Complete, Prune
from penstock.runs.retention import newest_fact_at
from penstock.server.health import make_health
from penstock.words.errors import LogDamaged, Refused, StartRefused, StoreBroken
from penstock.words.events import Log
from penstock.words.lifecycle import terminal
from penstock.words.values import utc_now

#: Long enough for a page of its own, over and over.
MARK = "stands on the page that is lost "


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    with trio.fail_after(30):
        async with open_sqlite(
            path, life=LIFE, run_blocking=threads(1), run_reading=threads(4)
        ) as store:
            yield store


def statement(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(sql, values).fetchall()


async def end(store: SqliteStore, run_id: str, *texts: str) -> None:
    """A run that says this and ends."""
    row = await start(store, run_id)
    made = new_event(run_id, terminal("completed"), now=at())
    said = append(run_id, *(Log(text=text) for text in texts), fence=row.fence)
    await store.commit([said, Complete(row.fence, made)])


async def fill(path: Path) -> None:
    """An ended run of several pages, one that came after it, and one that executes."""
    async with opened(path) as store:
        await end(store, "before", "short")
        await end(store, "old", *(MARK * 20 for _ in range(40)))
        await end(store, "after", *("x" * 500 for _ in range(40)))
        row = await start(store, "open")
        said = append("open", *(Log(text="y" * 500) for _ in range(20)))
        await store.commit([said])
        assert row.state == "running"


def zero_page(path: Path, wanted: bytes, *, last: bool = False) -> None:
    """Fill a page full of that with zeros, as a disk that lost a sector: one in the middle, or the last."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    # A leaf of a table: what is lost then is what it holds, and no more.
    starts = [
        start
        for start in range(size, len(data), size)
        if data[start] == 0x0D and data.count(wanted, start, start + size) >= 2
    ]
    start = starts[-1 if last else len(starts) // 2]
    data[start : start + size] = bytes(size)
    path.write_bytes(data)


def zero_leaf_of(path: Path, table: str) -> None:
    """Fill a leaf in the midst of a table with zeros."""
    sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    [(root,)] = statement(path, sql, table)
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    start = (int(str(root)) - 1) * size
    assert data[start] in (0x02, 0x05), "the table has one page only"
    # An interior page points to as many cells as its header says, and each cell to a page below.
    middle = start + 12 + int.from_bytes(data[start + 3 : start + 5], "big") // 2 * 2
    cell = int.from_bytes(data[middle : middle + 2], "big")
    child = int.from_bytes(data[start + cell : start + cell + 4], "big")
    data[(child - 1) * size : child * size] = bytes(size)
    path.write_bytes(data)


def lose_page_of_old(path: Path) -> None:
    zero_page(path, MARK.encode() * 20)


def change_body_of(path: Path, run_id: str) -> None:
    """Change one byte within a body, which SQLite cannot notice."""
    sql = (
        "UPDATE events SET body = replace(body, '\"log\"', '\"lag\"') WHERE position ="
        " (SELECT max(position) - 1 FROM events JOIN runs ON run = key WHERE run_id = ?)"
    )
    statement(path, sql, run_id)


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    path = tmp_path / "p.db"
    await fill(path)
    return path


# -- the checksum


@pytest.mark.parametrize(
    "change",
    [
        "body = zeroblob(length(body))",
        "at = at + 1",
        "clock = '{}'",
        "causation = zeroblob(16)",
        "code_version = 7",
        "event_id = randomblob(16)",
        "type = 'milestone'",
        "sequence = 99",
        "body = 5",
    ],
)
async def test_a_fact_of_which_anything_was_changed_is_not_told(
    log: Path, change: str
) -> None:
    """ST-08 QA-01: its run is named, and what came before it is still read."""
    where = "position = (SELECT max(position) FROM events JOIN runs ON run = key WHERE run_id = 'old')"
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute(f"UPDATE events SET {change} WHERE {where}")
    async with opened(log) as store:
        facts = await store.read("old")
        assert len(facts) == 42
        with pytest.raises(LogDamaged, match="'old'") as caught:
            await store.read("old", facts[-1].position)
        assert caught.value.facts["run_id"] == "old"
        assert len(await store.read("after")) == 43
        assert "old" in (store.damage or "")
    assert "whole facts" in {finding.law for finding in audit_file(log).findings}


async def test_facts_of_an_older_log_have_no_checksum_and_are_read(log: Path) -> None:
    """RS-04: what of it is no fact at all is still noticed."""
    statement(log, "ALTER TABLE events DROP COLUMN checksum")
    statement(log, "DROP TABLE windows")
    statement(log, "DROP TABLE callers")
    statement(log, "DROP TABLE environments")
    for table in ("plans", "slots", "schedules"):
        statement(log, f"DROP TABLE {table}")
    statement(log, "DROP INDEX specs_labels")
    statement(log, "DROP INDEX runs_dismissed")
    for column in ("needs", "origin", "dismissed"):
        statement(log, f"ALTER TABLE runs DROP COLUMN {column}")
    statement(log, "PRAGMA user_version = 2")
    assert audit_file(log).findings == []
    assert export_file(log, io.BytesIO()) == audit_file(log).facts
    async with opened(log) as store:
        await store.commit([append("open", Log(text="new"))])
        assert len(await store.read("old")) == 43
        assert len(await store.read("open")) == 23
    counts = "SELECT count(*), count(checksum) FROM events"
    [(facts, known)] = statement(log, counts)
    assert (facts, known) == (audit_file(log).facts, 1)
    statement(log, "UPDATE events SET body = '[[[[' WHERE position = 6")
    async with opened(log) as store:
        with pytest.raises(LogDamaged, match="malformed"):
            await store.read("old", 5)


async def test_a_body_may_be_replaced_together_with_its_checksum(log: Path) -> None:
    """The checksum is a function of the row alone."""
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        [row] = db.execute("SELECT * FROM events WHERE position = 9").fetchall()
        body = b'{"type":"log","text":"","stream":"pipeline"}'
        columns = (*row[:9], body)
        checksum = checksum_of(*columns)
        sql = "UPDATE events SET body = ?, checksum = ? WHERE position = 9"
        db.execute(sql, (body, checksum))
    assert audit_file(log).findings == []
    async with opened(log) as store:
        assert len(await store.read("old")) == 43


# -- a lost page


async def test_a_lost_page_of_an_ended_run_fails_the_reads_of_that_run_alone(
    log: Path,
) -> None:
    """ST-08 law 3: the daemon, the other runs and new ones go on, and health tells of it."""
    lose_page_of_old(log)
    async with opened(log) as store, open_fake_core(store=store) as core:
        with pytest.raises(LogDamaged, match="'old'"):
            await core.reader.view("old")
        assert (await core.reader.view("before")).ended
        assert (await core.reader.view("after")).ended
        await core.submitter.submit(request(run_id="new"))
        await wait_ended(core, "new")
        assert (await types_of(core, "new"))[-1] == "run.completed"
        told = await make_health(core)()
        assert told.status == "degraded"
        assert "damaged" in told.reasons[0]


async def test_a_lost_page_is_found_by_the_audit(log: Path) -> None:
    """QA-01: by the engine's own check, and once, not as a hundred broken laws."""
    lose_page_of_old(log)
    findings = audit_file(log).findings
    assert {finding.law for finding in findings} == {"whole file"}
    assert len(findings) < 30


async def test_an_index_that_disagrees_with_its_table_is_found_by_the_audit(
    log: Path,
) -> None:
    """QA-01: no law looks at an index."""
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = NULL WHERE 0")
        sql = "UPDATE sqlite_master SET sql = replace(sql, 'ended_at IS NOT NULL', 'ended_at IS NULL')"
        db.execute(f"{sql} WHERE name = 'runs_ended'")
    assert "whole file" in {finding.law for finding in audit_file(log).findings}


async def test_a_prune_passes_over_the_run_that_is_damaged(log: Path) -> None:
    """ST-08 RS-05: what a disk lost of one run does not keep all others for ever."""
    lose_page_of_old(log)
    async with opened(log) as store, open_fake_core(store=store) as core:
        with pytest.raises(LogDamaged, match="'old'") as caught:
            await core.recorder.record(forget_all())
        assert caught.value.facts["run_id"] == "old"
        assert await core.retention.prune(keep=0) == ["before", "after"]
        await core.submitter.submit(request(run_id="new"))
        await wait_ended(core, "new")
        assert "'old'" in (store.damage or "")
        with pytest.raises(LogDamaged, match="'old'"):
            await core.reader.view("old")
        assert (await core.reader.view("open")).state == "running"


@pytest.mark.parametrize(
    ("table", "kept"),
    [("callers", "environments of forgotten runs are kept"),
     ("environments", "environments of forgotten runs are kept"),
     ("tombstones", "tombstones are kept")],
)  # fmt: skip
async def test_a_prune_passes_over_what_lies_beside_the_runs(
    log: Path, caplog: pytest.LogCaptureFixture, table: str, kept: str
) -> None:
    """ST-08 RS-05: a page of environments or tombstones that a disk lost keeps no run for ever."""
    numbers = (
        "WITH RECURSIVE generate(value) AS"
        " (SELECT 1000 UNION ALL SELECT value + 1 FROM generate WHERE value < 4000) "
    )
    for fill in (
        "INSERT INTO callers SELECT value, 7, NULL FROM generate",
        "INSERT INTO environments SELECT value, randomblob(32), zeroblob(100) FROM generate",
        "INSERT INTO tombstones (run_id, reason, at) SELECT 't' || value, '', value FROM generate",
    ):
        statement(log, numbers + fill)
    zero_leaf_of(log, table)
    with caplog.at_level("WARNING", "penstock.retention"):
        async with opened(log) as store, open_fake_core(store=store) as core:
            assert await core.retention.prune(keep=0) == ["before", "old", "after"]
            await core.submitter.submit(request(run_id="new"))
            await wait_ended(core, "new")
            assert await core.retention.prune(keep=0) == ["new"]
            assert "damaged under" in (store.damage or "")
    told = [r.getMessage() for r in caplog.records if r.name == "penstock.retention"]
    assert [said.split(":")[0] for said in told] == [kept]


async def test_a_prune_passes_over_a_row_whose_end_is_no_time(log: Path) -> None:
    """ST-08 RS-05"""
    statement(log, "UPDATE runs SET ended_at = 'x' WHERE run_id = 'old'")
    async with opened(log) as store:
        [pruned] = await store.commit([forget_all()])
        assert isinstance(pruned, Pruned)
        assert (pruned.runs, pruned.damaged) == (("before", "after"), ("old",))


async def test_a_damaged_last_fact_does_not_hide_the_age_of_the_log(log: Path) -> None:
    """ST-08 RS-05: the daemon starts, and ages are counted from the fact before it."""
    statement(log, "UPDATE runs SET ended_at = 1 WHERE run_id = 'open'")
    last = "(SELECT max(position) FROM events)"
    statement(log, f"UPDATE events SET at = at + 1 WHERE position = {last}")
    async with opened(log) as store:
        with pytest.raises(LogDamaged):
            await store.read_all((await store.bounds()).head - 1, 1)
        assert await newest_fact_at(store) is not None


def forget_all() -> Prune:
    return Prune(
        before=utc_now(),
        keep=0,
        max_bytes=2**40,
        tombstones_before=at(-1e6),
        max_tombstones=100,
    )


async def test_a_lost_page_under_what_is_open_ends_the_daemon(log: Path) -> None:
    """ST-08 law 3: what could not be recorded must not be promised."""
    async with opened(log) as store:
        zero_page(log, b"y" * 500, last=True)
        store._db.execute("PRAGMA shrink_memory")
        with pytest.raises(StoreBroken, match="damaged"):
            await store.commit([append("open", Log(text="z" * 3000))])
        with pytest.raises(StoreBroken):
            await store.commit([enqueue("later"), claim()])


async def test_a_lost_page_of_what_open_runs_are_to_do_costs_those_runs_alone(
    tmp_path: Path,
) -> None:
    """ST-08: those that share it; a daemon starts, does all others, and health tells of it."""
    path, runs = tmp_path / "p.db", [f"r{number}" for number in range(40)]
    inputs = {"seconds": 0.0, "fail": False}
    async with opened(path) as store:
        for run_id in runs:
            made = enqueue(
                run_id, kind="sleep", inputs=inputs, labels={"is": "x" * 500}
            )
            await store.commit([made])
    zero_leaf_of(path, "specs")
    async with opened(path) as store, open_fake_core(store=store) as core:
        left = [run_id for run_id in runs if core.reader.is_open(run_id)]
        await wait_ended(core, *left)
        for run_id in sorted({*runs} - {*left}):
            with pytest.raises(LogDamaged, match=run_id):
                await core.control.cancel(run_id, "it is of no use")
        assert len(left) > len(runs) / 2
        assert (await make_health(core)()).status == "degraded"


async def test_a_claim_that_meets_a_lost_page_takes_other_runs(tmp_path: Path) -> None:
    """ST-08: in the midst of a life; what was recorded before is kept, and nothing ends."""
    path = tmp_path / "p.db"
    async with opened(path) as store:
        for number in range(40):
            await store.commit([enqueue(f"r{number}", labels={"is": "x" * 500})])
    zero_leaf_of(path, "specs")
    async with opened(path) as store:
        _, claimed = await store.commit([enqueue("newest"), claim(100)])
        assert isinstance(claimed, Claimed)
        assert 20 < len(claimed.started) < 41
        assert "damaged" in (store.damage or "")
        [said] = await store.commit([append("newest", Log(text="x"))])
        assert isinstance(said, Appended)


async def test_a_damaged_row_does_not_hide_the_others_in_a_list(log: Path) -> None:
    """ST-08"""
    sql = "UPDATE specs SET shown = '[[[[' WHERE key ="
    statement(log, f"{sql} (SELECT key FROM runs WHERE run_id = 'old')")
    async with opened(log) as store:
        rows = await store.runs(RunFilter())
        assert [row.run_id for row in rows] == ["open", "after", "before"]
        assert "old" in (store.damage or "")
        with pytest.raises(LogDamaged, match="'old'"):
            await store.run("old")
    assert "rows agree with facts" in {f.law for f in audit_file(log).findings}


async def test_damage_in_one_decision_is_not_the_fault_of_the_batch(log: Path) -> None:
    """ST-10: nothing of the batch is written, so that each can be tried alone."""
    statement(log, "UPDATE runs SET clock = '[[[[' WHERE run_id = 'old'")
    async with opened(log) as store:
        good, bad = append("open", Log(text="x")), append("old", Log(text="x"))
        before = (await store.bounds()).head
        with pytest.raises(LogDamaged, match="'old'"):
            await store.commit([good, bad])
        assert (await store.bounds()).head == before
        [outcome] = await store.commit([good])
        assert isinstance(outcome, Appended)


# -- what a start, an audit and an import refuse


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM meta",
        "DELETE FROM meta WHERE name = 'epoch'",
        "UPDATE meta SET value = 'x' WHERE name = 'head'",
        "DROP TABLE meta",
        "DROP TABLE specs",
        "DROP TABLE asks",
    ],
)
async def test_a_log_that_lacks_what_all_of_it_needs_is_refused_in_a_sentence(
    log: Path, damage: str
) -> None:
    """ST-08"""
    statement(log, damage)
    with pytest.raises(StartRefused) as refused:
        async with opened(log):
            pass
    assert str(log) in str(refused.value)
    with pytest.raises((LogDamaged, sqlite3.OperationalError)):
        audit_file(log)


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
async def test_a_fifo_in_the_place_of_the_log_is_refused_at_once(
    tmp_path: Path, end: str
) -> None:
    """ST-07: nobody waits for its other end."""
    if end:
        await fill(tmp_path / "p.db")
        (tmp_path / f"p.db{end}").unlink(missing_ok=True)
    os.mkfifo(tmp_path / f"p.db{end}")
    with pytest.raises(StartRefused, match=f"p.db{end} is no file"):
        async with opened(tmp_path / "p.db"):
            pass


@pytest.mark.parametrize("there", [True, False], ids=["a log", "nothing"])
async def test_a_link_in_the_place_of_the_log_is_refused(
    tmp_path: Path, there: bool
) -> None:
    """ST-07: to a log elsewhere, or to nothing, where a new one would take its place."""
    elsewhere = tmp_path / "elsewhere.db"
    if there:
        await fill(elsewhere)
    (tmp_path / "p.db").symlink_to(elsewhere)
    with pytest.raises(StartRefused, match="is a link"):
        async with opened(tmp_path / "p.db"):
            pass
    assert elsewhere.exists() == there


def test_a_lock_that_is_a_link_is_refused_and_what_it_names_left_alone(
    tmp_path: Path,
) -> None:
    """ST-07 SY-05"""
    precious = tmp_path / "precious"
    precious.write_text("of somebody")
    lock = tmp_path / "lock"
    lock.symlink_to(precious)
    with pytest.raises(StartRefused, match="is a link"), hold_lock(lock):
        pass
    assert precious.read_text() == "of somebody"


def test_a_lock_that_is_a_fifo_is_refused(tmp_path: Path) -> None:
    """ST-07"""
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(StartRefused, match="no regular file"):
        with hold_lock(tmp_path / "lock"):
            pass


_READS = {
    "token": "from penstock.words.address import read_token; read_token(path)",
    "lock": "from penstock.cli.session import read_pid; read_pid(path)",
    "export": "from penstock.log.export import export_file; export_file(path, None)",
    "audit": "from penstock.log.audit import audit_file; audit_file(path)",
}


@pytest.mark.processes
@pytest.mark.parametrize("what", sorted(_READS))
def test_a_fifo_in_the_place_of_a_file_hangs_nobody(tmp_path: Path, what: str) -> None:
    """CL-01: in a process of its own, since whoever waits for a FIFO cannot be called off."""
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    code = (
        "import sys\nfrom pathlib import Path\npath = Path(sys.argv[1])\n"
        f"try:\n    {_READS[what]}\n"
        "except Exception as error:\n    print(type(error).__bases__[0].__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "PenstockError" in done.stdout or "NotFound" in done.stdout, done.stdout


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "lines",
    [
        [DEEP],
        [None, DEEP],
        [None, b'{"position":1,"run_id":"old","event":' + DEEP],
        [None, b'{"position":1,"run_id":"daemon","sequence":1,"event_id":"x"}'],
        [None, b"null"],
        [None, b"5"],
        [None, b'{"table":["x"],"row":{}}'],
        [None, b'{"table":"runs","row":5}'],
        [
            b'{"format":"penstock-log","schema":3,"epoch":5,"head":0,"floor":1,"events":0}'
        ],
        [
            b'{"format":"penstock-log","schema":3,"epoch":"e","head":"x","floor":1,"events":0}'
        ],
        [
            b'{"format":"penstock-log","schema":3,"epoch":"e","head":1e99,"floor":1,"events":0}'
        ],
        [
            b'{"format":"penstock-log","schema":3,"epoch":"e","head":%d,"floor":1,"events":0}'
            % 10**20,
        ],
    ],
    ids=str,
)
async def test_an_export_that_is_nonsense_is_refused_in_a_sentence(
    log: Path, lines: list[bytes | None]
) -> None:
    """ST-08: whatever it is, and nothing is written."""
    out = io.BytesIO()
    export_file(log, out)
    header = out.getvalue().splitlines()[0]
    text = b"\n".join([header if line is None else line for line in lines])
    with pytest.raises(Refused, match="import"):
        import_file(log.with_name("new.db"), io.BytesIO(text))
    assert audit_file(log.with_name("new.db")).facts == 0
