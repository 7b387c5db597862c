"""ST-12: what may be amiss with a server is told in a sentence that says what to do; nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from fakes.contract import check_log, completed, types
from fakes.postgres import PostgresServer, open_postgres
from fakes.small_disks import fill_disk, small_disk
from fakes.stores import append, enqueue, start
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql import ownership
from penstock.log.postgresql.server_words import tell
from penstock.words.errors import StartRefused, StoreAway
from penstock.words.events import Log
from penstock_drills.private_postgres import PATIENCE

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


async def refused(server: PostgresServer, url: str | None = None) -> str:
    """The one sentence with which a start on it is refused."""
    with pytest.raises(StartRefused) as error:
        async with postgres_store(server, url=url, schema="log"):
            pass
    said = str(error.value)
    assert "\n" not in said
    return said


@pytest.fixture
def own(keeper: None, tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that is spoiled."""
    with open_postgres(tmp_path) as server:
        yield server


@pytest.fixture
def address(free_ports: Iterator[int]) -> str:
    """An address of this box that no other server of these tests listens at."""
    port = next(free_ports)
    return f"127.{port >> 8}.{port & 255}.1"


def restart(server: PostgresServer, **settings: str) -> None:
    server.stop()
    server.start(**settings)


# -- who is let in


@contextmanager
def with_hba(server: PostgresServer, *lines: str, **settings: str) -> Iterator[None]:
    """The server lets in who these lines say, and by its own socket whoever they leave."""
    file = server.folder / "hba"
    file.write_text("".join(f"{line}\n" for line in lines))
    os.chmod(file, 0o644)
    # Before 14 it is MD5 unless said.
    server.ask("ALTER ROLE penstock SET password_encryption = 'scram-sha-256'")
    server.ask("ALTER ROLE penstock PASSWORD 'right'")
    restart(server, hba_file=str(file), **settings)
    yield


async def test_a_wrong_password_is_told_with_where_it_stands(
    own: PostgresServer,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is in no sentence; the right one is found in its file."""
    passes = tmp_path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(passes))
    url = f"postgresql://penstock@{address}/penstock"
    with with_hba(
        own,
        "local all all trust",
        "host all all all scram-sha-256",
        listen_addresses=address,
    ):
        assert "~/.pgpass" in await refused(own, url)
        passes.write_text(f"{address}:5432:*:*:wrongword\n")
        passes.chmod(0o600)
        said = await refused(own, url)
        assert "password authentication failed" in said
        assert "~/.pgpass" in said
        assert "wrongword" not in said
        passes.write_text(f"{address}:5432:*:*:right\n")
        async with postgres_store(own, url=url, schema="log") as store:
            await store.commit([enqueue()])


async def test_a_user_that_may_make_nothing_is_told_what_it_must_be_allowed(
    own: PostgresServer,
) -> None:
    own.ask("CREATE ROLE guest LOGIN")
    said = await refused(own, own.url.replace("penstock@", "guest@"))
    assert "permission denied" in said
    assert "may `CREATE` in the database" in said


async def test_a_database_that_is_not_there_is_told_how_to_make(
    own: PostgresServer,
) -> None:
    said = await refused(own, own.url.replace("/penstock?", "/nowhere?"))
    assert "`createdb`" in said


def test_a_column_that_is_not_there_is_no_database_that_is_to_be_made() -> None:
    """Advice that goes by words is for connections that were not made: those errors have no code."""
    said = tell(psycopg.errors.UndefinedColumn('column "kept" does not exist'))
    assert said.startswith('column "kept" does not exist (42703: ')
    assert "`createdb`" not in said
    assert "`createdb`" in tell(psycopg.OperationalError('database "x" does not exist'))


async def test_a_server_without_a_place_left_says_how_many_a_daemon_wants(
    own: PostgresServer,
) -> None:
    restart(own, max_connections="3", superuser_reserved_connections="0")
    held = [psycopg.connect(own.url) for _ in range(3)]
    assert "raise max_connections" in await refused(own)
    for connection in held:
        connection.close()


async def test_a_server_that_is_too_old_is_told_its_version(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None as old is at hand: this one is taken for it."""
    monkeypatch.setattr(ownership, "OLDEST_SERVER", 990000)
    said = await refused(postgres)
    [(version,)] = postgres.ask("SELECT current_setting('server_version_num')::int")
    assert f"is PostgreSQL {version // 10000}; this needs" in said
    assert postgres.ask("SELECT to_regnamespace('log')") == [(None,)]


# -- TLS


@pytest.fixture
def signed(own: PostgresServer) -> Path:
    """A certificate for `localhost` in the server's folder, and that of who signed it."""
    folder = own.folder / "tls"
    folder.mkdir()
    for argv in (
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=A signer", "-keyout", "ca.key", "-out", "ca.crt"],
        ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=localhost", "-keyout", "own.key", "-out", "own.csr"],
        ["x509", "-req", "-in", "own.csr", "-days", "2", "-CA", "ca.crt", "-CAkey", "ca.key",
         "-CAcreateserial", "-out", "own.crt"],
    ):  # fmt: skip
        subprocess.run(
            ["openssl", *argv],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
    owner = own.folder.stat()
    for file in folder.iterdir():
        os.chown(file, owner.st_uid, owner.st_gid)
    return folder


async def test_a_server_is_taken_by_its_certificate_and_no_other(
    own: PostgresServer,
    address: str,
    signed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the address says of TLS is libpq's to judge, and is passed on to it whole."""
    copy = tmp_path / "signer.crt"
    shutil.copy(signed / "ca.crt", copy)
    monkeypatch.setenv("HOME", str(tmp_path))
    there = f"postgresql://penstock@localhost/penstock?hostaddr={address}&sslmode="
    with with_hba(
        own,
        "local all all trust",
        "hostssl all all all trust",
        listen_addresses=address,
        ssl="on",
        ssl_cert_file=str(signed / "own.crt"),
        ssl_key_file=str(signed / "own.key"),
    ):
        verified = f"{there}verify-full&sslrootcert={copy}"
        async with postgres_store(own, url=verified, schema="log") as store:
            await store.commit([enqueue()])
            for db in store._all:
                db.execute("SELECT 1")
                assert db.connection.pgconn.ssl_in_use
            await check_log(store)
        assert "`sslrootcert=FILE`" in await refused(own, f"{there}verify-full")
        other = verified.replace("@localhost/", "@elsewhere/")
        assert "does not match host name" in await refused(own, other)
        assert "pg_hba.conf" in await refused(own, f"{there}disable")


# -- poolers


@contextmanager
def pgbouncer(server: PostgresServer, port: int, *settings: str) -> Iterator[str]:
    """The address of a pooler before it, in transaction mode."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: pgbouncer)")
    owner = server.folder.stat()
    file = server.folder / "pooler.ini"
    file.write_text(
        f"[databases]\npenstock = host={server.folder} dbname=penstock user=penstock\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
        f"unix_socket_dir =\n" + "".join(f"{line}\n" for line in settings)
    )
    with (
        (server.folder / "pooler.log").open("wb") as log,
        subprocess.Popen(
            [program, file],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=server.environ,
            user=owner.st_uid, group=owner.st_gid, extra_groups=[],
        ) as process,
    ):  # fmt: skip
        try:
            _wait_listening(port, process)
            yield f"postgresql://penstock@127.0.0.1:{port}/penstock"
        finally:
            process.kill()


def _wait_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.02)
        else:
            return


async def test_a_pooler_before_the_server_is_found_out(
    own: PostgresServer, free_ports: Iterator[int]
) -> None:
    """Also where it was told to pass over what it does not know, and tables would be made anywhere."""
    with pgbouncer(own, next(free_ports)) as url:
        assert "if that is pgbouncer: name the server itself" in await refused(own, url)
    with pgbouncer(own, next(free_ports), "ignore_startup_parameters = options") as url:
        said = await refused(own, url)
        assert "search_path" in said
        assert "name the server itself" in said
    made = "SELECT count(*) FROM pg_tables WHERE tablename IN ('log', 'runs')"
    assert own.ask(made) == [(0,)]


# -- room


async def test_a_full_disk_of_the_server_loses_nothing(own: PostgresServer) -> None:
    """RS-03: writes wait, reads go on, and once there is room all that was acknowledged is there."""
    with small_disk(own.folder, "24m") as place:
        own.ask(f"CREATE TABLESPACE small LOCATION '{place}'")
        url = f"{own.url}&options=-c%20default_tablespace%3Dsmall"
        async with postgres_store(own, url=url, schema="log") as store:
            row = await start(store)
            filler = fill_disk(place)
            written = 0
            with pytest.raises(StoreAway, match="make room on the server's disk") as e:
                while True:
                    text = Log(text=f"{written} " + os.urandom(8000).hex())
                    await store.commit([append("r1", text, fence=row.fence)])
                    written += 1
            assert "took nothing" in str(e.value)
            assert await store.recall(0) is None
            assert (await types(store, "r1")).count("log") == written
            # Room for a page is none for what was refused: nobody is told that the store answers again.
            with pytest.raises(StoreAway, match="make room on the server's disk"):
                await store.commit([])
            filler.unlink()
            assert await store.commit([]) == []
            await store.commit([append("r1", Log(text="x"), fence=row.fence)])
            await store.commit([completed(row)])
            assert (await types(store, "r1")).count("log") == written + 1
            await check_log(store)
        own.stop(signal.SIGINT)
