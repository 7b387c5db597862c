"""A PostgreSQL of one's own in a scratch folder, as an unprivileged user: drills and tests start, stop and kill it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

#: Seconds a server may take to make its folder, to answer, and to end.
PATIENCE = 60.0
#: Where Debian has each version's programs, which are not on the PATH.
DEBIANS = Path("/usr/lib/postgresql")
#: Names the folder of another one's programs.
NAMED = "POSTGRES_PROGRAMS"


class NoPostgresError(Exception):
    """There is no PostgreSQL on this box, or it does not start; the text says which."""


def find_programs() -> Path | None:
    """The folder of the newest `postgres` that is installed, or of the one named; None: there is none."""
    if named := os.environ.get(NAMED):
        return Path(named)
    found = [*DEBIANS.glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    there = shutil.which("postgres")
    return Path(there).parent if there else None


def _account() -> dict[str, Any]:
    """Whose the server is: it refuses to be root's."""
    if os.geteuid():
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@dataclass(eq=False, slots=True)
class PostgresServer:
    """A server on a Unix socket in its own folder; it is started, stopped and killed as told."""

    programs: Path
    folder: Path
    #: What its programs are started with; they end with whoever started them.
    environ: Mapping[str, str]
    _process: subprocess.Popen[bytes] | None = None
    _schemas: Iterator[int] = field(default_factory=count)

    @property
    def url(self) -> str:
        return f"postgresql://penstock@/penstock?host={self.folder}"

    @property
    def socket(self) -> Path:
        """Where it listens, for whoever goes between it and a client."""
        return self.folder / ".s.PGSQL.5432"

    def new_schema(self) -> str:
        """The name of a schema that is not there yet."""
        return f"log_{next(self._schemas)}"

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement by a connection of its own; its rows."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def start(self, **settings: str) -> None:
        """Start it, and wait until it answers. NoPostgresError with what it said, if it does not."""
        given = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            **settings,
        }
        words = [
            word for name, value in given.items() for word in ("-c", f"{name}={value}")
        ]
        log = (self.folder / "log").open("ab")
        with closing(log):
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ, **_account(),
            )  # fmt: skip
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.url.replace("/penstock?", "/postgres?")).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    said = (self.folder / "log").read_text()[-2000:]
                    raise NoPostgresError(f"no PostgreSQL: {said}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts its sessions in order, SIGQUIT leaves them as after a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def sessions(self) -> list[int]:
        """The processes that serve its clients now."""
        sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self.ask(sql)]

    def copy_to(self, standby: PostgresServer) -> None:
        """Make another server a standby of this one, which follows it when it is started."""
        subprocess.run(
            [self.programs / "pg_basebackup", "-h", self.folder, "-U", "penstock", "-R", "-N",
             "-c", "fast", "-D", standby.folder / "data"],
            check=True, env=self.environ, timeout=PATIENCE, **_account(),
        )  # fmt: skip

    def make(self) -> None:
        """Its folder, and the database in it."""
        subprocess.run(
            [self.programs / "initdb", "-D", self.folder / "data", "-U", "penstock", "-A", "trust",
             "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, env=self.environ, timeout=PATIENCE, **_account(),
        )  # fmt: skip
        self.start()
        with closing(
            psycopg.connect(
                self.url.replace("/penstock?", "/postgres?"), autocommit=True
            )
        ) as connection:
            connection.execute("CREATE DATABASE penstock")


@contextmanager
def open_postgres(
    home: Path, *, empty: bool = False, within: Path | None = None
) -> Iterator[PostgresServer]:
    """A server that is gone with all it had when the block is left. NoPostgresError without one.

    `home` is what its programs take for theirs: by that whoever clears up knows them. An `empty` one
    has a folder, and nothing in it. The folder is made `within` this one; None: where temporary
    ones are, since a socket's path is short.
    """
    programs = find_programs()
    if programs is None:
        raise NoPostgresError("PostgreSQL is not installed (Debian: postgresql)")
    if not (programs / "postgres").exists():
        raise NoPostgresError(f"{NAMED}: there is no program `postgres` in {programs}")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=within))
    account = _account()
    if account:
        os.chown(folder, account["user"], account["group"])
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C"}
    server = PostgresServer(programs, folder, environ)
    try:
        if not empty:
            server.make()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)
