"""SY-01: what is said to and by a service manager, with a fake one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.service_manager import Notices, listening_sockets, open_notices, start_with
from penstock.service.systemd import (
    NAMES,
    START_SECONDS,
    UNSUPERVISED,
    Reporter,
    Supervision,
    notify,
    read_supervision,
)

SERVE = ("-m", "penstock.cli.main", "serve")


@pytest.fixture(params=["path", "abstract"])
def notices(request: pytest.FixtureRequest, home: Path) -> Iterator[Notices]:
    abstract = f"@penstock-test-{os.getpid()}-{id(home)}"
    address = str(home / "notify") if request.param == "path" else abstract
    with open_notices(address) as notices:
        yield notices


class Waited(Exception):
    """What must not wait did."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Waited is raised inside after so many seconds."""

    def ring(_number: int, _frame: object) -> None:
        raise Waited

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_is_said_to_nobody() -> None:
    assert not notify(None, "READY=1")
    Reporter(UNSUPERVISED).beat()


def test_notices_arrive(notices: Notices) -> None:
    """SY-01: by a path, and by an abstract address."""
    assert notify(notices.address, "READY=1", "STATUS=3 running")
    assert notices.next() == ["READY=1", "STATUS=3 running"]


def test_a_manager_that_is_gone_harms_nobody(home: Path) -> None:
    assert not notify(str(home / "nobody"), "READY=1")


def test_a_manager_that_does_not_read_stops_nobody(home: Path) -> None:
    """Law 8: the loop calls it, so it never waits."""
    with open_notices(str(home / "full")) as notices, alarm(5):
        for _ in range(100_000):
            if not notify(notices.address, "x" * 1000):
                break
        else:
            pytest.fail("the socket takes everything")


def test_the_status_is_told_when_it_changes(home: Path) -> None:
    """SY-01"""
    with open_notices(str(home / "notify")) as notices:
        reporter = Reporter(Supervision(notices.address, watchdog_seconds=30))
        status = "0 running, 0 queued"
        reporter.beat()
        assert notices.next() == ["WATCHDOG=1", "STATUS=starting"]
        reporter.ready(lambda: status)
        assert notices.next() == ["READY=1", "STATUS=0 running, 0 queued"]
        reporter.beat()
        assert notices.next() == ["WATCHDOG=1"]
        status = "3 running, 12 queued"
        reporter.beat()
        assert notices.next() == ["WATCHDOG=1", "STATUS=3 running, 12 queued"]
        reporter.stopping("SIGTERM")
        assert notices.next() == ["STOPPING=1", "STATUS=stopping: SIGTERM"]


def test_a_start_that_gets_on_is_given_time(home: Path) -> None:
    """RS-04, SY-01: a long migration is no start that hangs; one that says nothing more is."""
    with open_notices(str(home / "notify")) as notices:
        reporter = Reporter(Supervision(notices.address, watchdog_seconds=30))
        more = f"EXTEND_TIMEOUT_USEC={START_SECONDS}000000"
        reporter.starting("migrating the log to version 9: 3 %")
        assert notices.next() == [
            more,
            "STATUS=starting: migrating the log to version 9: 3 %",
        ]
        reporter.beat()
        assert notices.next() == ["WATCHDOG=1"]
        reporter.starting("migrating the log to version 9: 3 %")
        assert notices.next() == [more]
        reporter.ready(lambda: "idle")
        assert notices.next() == ["READY=1", "STATUS=idle"]
        reporter.starting("too late")
        reporter.beat()
        assert notices.next() == ["WATCHDOG=1"]


def test_without_a_watchdog_only_changes_are_told(home: Path) -> None:
    with open_notices(str(home / "notify")) as notices:
        reporter = Reporter(Supervision(notices.address))
        reporter.ready(lambda: "idle")
        reporter.beat()
        reporter.stopping("x")
        assert notices.next() == ["READY=1", "STATUS=idle"]
        assert notices.next() == ["STOPPING=1", "STATUS=stopping: x"]


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, Supervision()),
        ({"NOTIFY_SOCKET": "@a"}, Supervision(address="@a")),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, Supervision(sockets=(3, 4))),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, Supervision()),
        ({"LISTEN_FDS": "2"}, Supervision()),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "-1"}, Supervision()),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, Supervision()),
        ({"WATCHDOG_USEC": "3000000"}, Supervision(watchdog_seconds=3)),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, Supervision(watchdog_seconds=3)),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, Supervision()),
        ({"WATCHDOG_USEC": "0"}, Supervision()),
    ],
)  # fmt: skip
def test_only_what_is_meant_for_this_process_counts(
    environ: dict[str, str], found: Supervision
) -> None:
    """SY-01"""
    assert read_supervision(environ, 7) == found


@pytest.mark.processes
def test_children_get_neither_names_nor_sockets(home: Path) -> None:
    """SY-01"""
    code = (
        "import json, os\n"
        "from penstock.service.systemd import take_supervision\n"
        "given = take_supervision(os.environ)\n"
        "open('told', 'w').write(json.dumps([given.sockets, given.address,"
        " [os.get_inheritable(fd) for fd in given.sockets], dict(os.environ)]))\n"
    )
    os.chdir(home)
    with listening_sockets(str(home / "s")) as sockets:
        process = start_with(
            sockets, "-c", code, NOTIFY_SOCKET="@x", WATCHDOG_USEC="1", LISTEN_FDNAMES="a:b"
        )  # fmt: skip
        assert process.wait(30) == 0
    fds, address, inheritable, environ = json.loads((home / "told").read_text())
    assert (fds, address, inheritable) == ([3, 4], "@x", [False, False])
    assert not set(NAMES) & set(environ)


# -- a real daemon under the fake manager


def health(address: str | tuple[str, int]) -> int:
    """The status of one answer."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    host = "localhost" if isinstance(address, str) else f"127.0.0.1:{address[1]}"
    with socket.socket(family) as sock:
        sock.settimeout(30)
        sock.connect(address)
        sock.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return int(sock.recv(64).split()[1])


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Gone in any case."""
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.slow
def test_ready_is_said_when_every_surface_answers(home: Path, free_port: int) -> None:
    """SY-01, APP-06: and a stop is told before it takes its time."""
    port = ("--port", str(free_port))
    with open_notices(str(home / "notify")) as notices:
        environ = {"NOTIFY_SOCKET": notices.address, "WATCHDOG_USEC": "1000000"}
        with ending(start_with([], *SERVE, *port, **environ)) as daemon:
            notices.until("READY=1")
            assert "STATUS=starting" in notices.lines
            assert "STATUS=0 running, 0 queued" in notices.lines
            assert health(("127.0.0.1", free_port)) == 200
            assert health(str(home / "run" / "penstock" / "daemon.sock")) == 200
            notices.until("WATCHDOG=1")
            daemon.send_signal(signal.SIGTERM)
            notices.until("STOPPING=1")
            assert daemon.wait(30) == 0


@pytest.mark.slow
def test_given_sockets_are_served_and_stay_with_the_manager(home: Path) -> None:
    """SY-01: a request that comes between two daemons waits for the second."""
    path = home / "run" / "penstock" / "daemon.sock"
    path.parent.mkdir(mode=0o700)
    with listening_sockets(str(path)) as sockets:
        tcp = sockets[0].getsockname()
        with ending(start_with(sockets, *SERVE)) as first:
            assert health(tcp) == 200
            assert health(str(path)) == 200
            first.send_signal(signal.SIGTERM)
            assert first.wait(30) == 0
        assert path.is_socket(), "its place is the manager's"
        with socket.create_connection(tcp, 30) as waiting:
            waiting.sendall(
                f"GET /health HTTP/1.1\r\nHost: localhost:{tcp[1]}\r\n\r\n".encode()
            )
            with ending(start_with(sockets, *SERVE)):
                assert waiting.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_given_socket_that_is_open_to_all_needs_the_token(home: Path) -> None:
    """Law 7: whoever opened the socket, the daemon is not served to everybody."""
    with socket.create_server(("0.0.0.0", 0)) as sock:
        with ending(start_with([sock], *SERVE, "--no-auth")) as daemon:
            assert daemon.wait(30) == 1
    assert not (home / "run" / "penstock" / "daemon.sock").exists()


@pytest.mark.processes
def test_a_descriptor_that_listens_to_nothing_is_refused(home: Path) -> None:
    with socket.socket() as sock:
        with ending(start_with([sock], *SERVE)) as daemon:
            assert daemon.wait(30) == 1
