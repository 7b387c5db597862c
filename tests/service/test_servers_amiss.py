"""RS-03, ST-12: a real daemon whose server is not as it should be, or ceases to be."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.postgres import PostgresServer, open_postgres
from fakes.real_boxes import RealBoxes, until
from fakes.real_daemon import RealDaemon, penstock
from fakes.small_disks import fill_disk, small_disk
from penstock.words.exit_codes import Exit
from penstock_drills.private_postgres import PATIENCE

#: The command line, in a process of its own.
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


@pytest.fixture
def own(keeper: None, tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that is spoiled."""
    with open_postgres(tmp_path) as server:
        yield server


def test_a_daemon_whose_server_has_no_room_takes_nothing_and_goes_on_later(
    own: PostgresServer, start_daemon: Callable[..., RealDaemon]
) -> None:
    """Who submits is told 503 and why; what was acknowledged runs once there is room, each once."""
    with small_disk(own.folder, "24m") as place:
        own.ask(f"CREATE TABLESPACE small LOCATION '{place}'")
        url = f"{own.url}&options=-c%20default_tablespace%3Dsmall"
        daemon = start_daemon(PENSTOCK_STORE=url)
        assert penstock(daemon, "run", "--id", "before", "true").returncode == 0
        assert penstock(daemon, "pause").returncode == 0
        assert penstock(daemon, "submit", "--id", "waits", "true").returncode == 0
        filler = fill_disk(place)
        large, refused = "x" * 60_000, 0
        give_up = time.monotonic() + PATIENCE
        accepted = list[str]()
        while not refused:
            assert time.monotonic() < give_up
            name = f"large-{len(accepted)}"
            done = penstock(daemon, "submit", "--id", name, "--", "true", large)
            if done.returncode == 0:
                accepted.append(name)
                continue
            refused += 1
            assert "nothing was written" in done.stderr
        # What there is can be read, and what is small may be written.
        assert penstock(daemon, "show", "before").returncode == 0
        assert "make room on the server's disk" in daemon.log.read_text()
        filler.unlink()
        while penstock(daemon, "resume").returncode:
            assert time.monotonic() < give_up
        for name in ("waits", *accepted):
            assert penstock(daemon, "wait", name).returncode == 0, name
        audited = json.loads(penstock(daemon, "audit", "--json").stdout)
        assert audited["findings"] == []
        counted = own.ask(
            "SELECT count(*) FROM penstock.events WHERE type = 'run.started'"
        )
        assert counted == [(2 + len(accepted),)]
        assert daemon.stop() == 0
        own.stop(signal.SIGINT)


def test_a_daemon_whose_table_is_dropped_ends_and_runs_nothing_more(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], home: Path
) -> None:
    """Its programs end with it, and the next start says what to do."""
    schema = postgres.new_schema()
    settings = {"PENSTOCK_STORE": postgres.url, "PENSTOCK_STORE_SCHEMA": schema}
    daemon = start_daemon(**settings)
    script = "echo $$ > pid; exec sleep 600"
    assert penstock(daemon, "submit", "--shell", script).returncode == 0
    give_up = time.monotonic() + PATIENCE
    while not (home / "pid").exists() or not (home / "pid").read_text().strip():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    program = Path("/proc", (home / "pid").read_text().strip())
    postgres.ask(f"ALTER TABLE {schema}.events RENAME TO gone")
    submitted = penstock(daemon, "submit", "true")
    assert submitted.returncode != 0
    daemon.process.wait(PATIENCE)
    assert "put the database back from a backup" in daemon.log.read_text()
    assert "Traceback" not in daemon.log.read_text()
    while program.exists():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    with pytest.raises(AssertionError, match="put the database back from a backup"):
        start_daemon(**settings)
    # As from a backup.
    postgres.ask(f"ALTER TABLE {schema}.gone RENAME TO events")
    again = start_daemon(**settings)
    assert penstock(again, "audit").returncode == 0


def test_a_start_that_the_server_refuses_is_a_sentence_and_an_exit_code(
    postgres: PostgresServer, real_daemon: RealDaemon
) -> None:
    """No traceback, and no word that is secret."""
    for url, said in (
        (postgres.url.replace("/penstock?", "/nowhere?"), "`createdb`"),
        (postgres.url.replace("/penstock?", "?"), "must name a database"),
        ("postgresql://penstock:word@db/penstock", "must have no password"),
        ("postgresql://penstock@127.0.0.1:1/penstock", "refused"),
    ):
        environ = {**real_daemon.environ, "PENSTOCK_STORE": url}
        environ |= {"PENSTOCK_STATE_DIR": f"{environ['HOME']}/other"}
        environ |= {"PENSTOCK_RUNTIME_DIR": f"{environ['HOME']}/run-other"}
        done = subprocess.run(
            [*PENSTOCK, "serve", "--port", "0"],
            env=environ, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode != 0
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert ":word" not in done.stderr


def test_a_daemon_whose_server_says_what_nobody_foresaw_waits_and_ends_with_its_lease(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """ST-07, MB-05: told with its code and without a traceback; nothing that was acknowledged is lost."""
    boxes = RealBoxes(postgres, postgres.new_schema(), tmp_path, start_daemon)
    daemon = boxes.start("one")
    assert penstock(daemon, "run", "--id", "before", "true").returncode == 0
    raises = (
        f"CREATE FUNCTION {boxes.schema}.say() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'a server says so' USING ERRCODE = 'ZZ999'; END $$"
    )
    told = (
        f"CREATE TRIGGER said BEFORE INSERT OR UPDATE ON {boxes.schema}.{{}}"
        f" FOR EACH ROW EXECUTE FUNCTION {boxes.schema}.say()"
    )
    postgres.ask(raises)
    postgres.ask(told.format("events"))
    submitted = penstock(daemon, "submit", "--id", "during", "true")
    assert "nothing was written" in submitted.stderr
    assert penstock(daemon, "show", "before").returncode == 0
    postgres.ask(f"DROP TRIGGER said ON {boxes.schema}.events")
    until(lambda: penstock(daemon, "submit", "--id", "r1", "true").returncode == 0)
    assert penstock(daemon, "wait", "r1").returncode == 0
    # From here on it is no lease either.
    postgres.ask(told.format("boxes"))
    until(lambda: "takes no writes (ZZ999)" in penstock(daemon, "health").stdout)
    assert daemon.process.wait(PATIENCE) == 74
    said = daemon.log.read_text()
    assert "a server says so (ZZ999)" in said
    assert "the lease was not renewed in time" in said
    assert "Traceback" not in said
    postgres.ask(f"DROP TRIGGER said ON {boxes.schema}.boxes")
    again = boxes.start("one")
    assert [r["run_id"] for r in boxes.told(again, "list")] == ["r1", "before"]
    assert penstock(again, "audit").returncode == 0


def test_a_prune_that_the_server_never_takes_is_no_fault_of_who_asked(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """ST-10: it has forgotten nothing and says why; it does once that is over."""
    boxes = RealBoxes(postgres, postgres.new_schema(), tmp_path, start_daemon)
    daemon = boxes.start("one")
    assert penstock(daemon, "run", "true").returncode == 0
    assert daemon.stop() == 0
    path = f"SET search_path = {boxes.schema}; "
    postgres.ask(
        f"{path} CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'a server says so' USING ERRCODE = '22P02'; END $$;"
        " CREATE TRIGGER said BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION say()"
    )
    done = penstock(daemon, "prune", "--keep", "0")
    assert done.returncode == Exit.NO_DAEMON
    assert "a server says so (22P02)" in done.stderr
    postgres.ask(f"{path} DROP TRIGGER said ON runs")
    done = penstock(daemon, "prune", "--keep", "0")
    assert (done.returncode, "1 runs forgotten" in done.stderr) == (0, True)
