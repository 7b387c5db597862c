"""What every test gets: a home of its own, tasks in an order that repeats, no threads under a mock
clock, no processes and no sockets without a mark, and skips that are told.
"""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import HealthCheck, settings

from fakes.free_ports import free_ports as ports_of
from fakes.model_server import ModelServer, start_model_server
from fakes.postgres import PostgresServer, open_postgres
from fakes.real_daemon import PENSTOCK, RealDaemon, wait_until_answering
from penstock.testing.virtual_time import deterministic
from penstock_drills.scratch import open_keeper

#: Decides in which order Trio lets the tasks of a test go on, the same way each time; another
#: number tries other orders.
SEED = int(os.environ.get("PENSTOCK_TEST_SEED", "1"))

# Containers often say that no bytecode is written. Then all that is imported is compiled anew, and not
# only here: by each daemon that a test starts.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# readline, which pytest loads, sets these for whatever is started, and so for each worker. Where they
# are set, curses and Textual do not ask the terminal how large it is.
for size in ("LINES", "COLUMNS"):
    os.environ.pop(size, None)
    os.unsetenv(size)

# Hypothesis has opinions on how long things take, and a loaded box is no fault of what is tested.
settings.register_profile(
    "timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("timeless")
# What is made by chance is tried a few times by `make fast`, and as often as always by `make test`.
settings.register_profile("fast", settings.get_profile("timeless"), max_examples=20)


def pytest_report_header() -> str:
    return f"order of tasks: PENSTOCK_TEST_SEED={SEED}"


# Wrappers and not fixtures that all tests use: pytest takes longer to hand out a fixture than most
# tests take.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """DT-05: what a test met under a mock clock it meets again."""
    with (
        watched(item.config),
        deterministic(SEED),
        no_threads_under_a_mock_clock(item),
        nothing_without_its_mark(item),
    ):
        return (yield)


def pytest_sessionstart() -> None:
    """Ctrl-C works here and in all children, also when pytest was started by `&`, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # `nohup` wants it ignored here, and not by what the tests start: a handler is not handed on.
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Should pytest be killed, also with -9, what has its home in a test's is killed too."""
    with open_keeper(tmp_path_factory.getbasetemp()):
        yield


#: What a service manager tells a daemon, and is none of a test's business.
SERVICE_NAMES = (
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "CACHE_DIRECTORY",
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
)


class Homes:
    """Homes below a folder, without end; nothing of the user's own environment is seen in one."""

    def __init__(self, above: Path) -> None:
        # pytest would look through all folders that there are for the next number.
        self._new = (above / str(number) for number in itertools.count())
        self._home = above
        self._environ: dict[str, str] = {}

    def move_in(self) -> Path:
        """A new home, also for what is started from here."""
        self._home = home = next(self._new)
        home.mkdir(mode=0o700)
        # A socket's path is short, and a test's folder may not be.
        (home / "run").mkdir(mode=0o700)
        for name in filter(_is_the_users, list(os.environ)):
            del os.environ[name]
        self._environ = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            **{f"XDG_{name}_HOME": str(home / name.lower()) for name in XDG_HOMES},
        }
        os.environ.update(self._environ)
        return home

    def stay_or_move(self) -> Path:
        """The home of the test before, if that has left everything as it was; else a new one."""
        return self._home if self._is_untouched() else self.move_in()

    def _is_untouched(self) -> bool:
        environ = {name: os.environ[name] for name in filter(_is_the_users, os.environ)}
        return (
            environ == self._environ
            and os.listdir(self._home) == ["run"]
            and os.listdir(self._home / "run") == []
        )


XDG_HOMES = ("CONFIG", "STATE", "DATA", "CACHE")


def _is_the_users(name: str) -> bool:
    """Whether a variable would tell a test something of the user, or of another test."""
    if name == "PENSTOCK_NO_SKIPS":
        return False
    return (
        name.startswith(("PENSTOCK_", "XDG_"))
        or name == "HOME"
        or name in SERVICE_NAMES
    )


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in filter(_is_the_users, list(os.environ)):
            # What it is now comes back in the end.
            monkeypatch.delenv(name)
        yield Homes(tmp_path_factory.mktemp("homes", numbered=False))


@pytest.fixture(autouse=True)
def home(homes: Homes, request: pytest.FixtureRequest) -> Path:
    """A home in which no test has been that did anything there.

    What programs may still do there is not to be seen by the next test, so theirs is their own.
    """
    if not may_start_programs(request.node):
        return homes.stay_or_move()
    request.getfixturevalue("keeper")
    return homes.move_in()


@contextmanager
def no_threads_under_a_mock_clock(item: pytest.Item) -> Iterator[None]:
    """While a thread works, an autojump clock leaps over every deadline."""
    if not {"autojump_clock", "mock_clock"} & set(getattr(item, "fixturenames", ())):
        yield
        return

    async def refuse(fn: Callable[..., Any], *_args: Any, **_options: Any) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise AssertionError(f"{fn!r} would run in a thread, under a mock clock")

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(trio.to_thread, "run_sync", refuse)
        yield


#: Seconds after which a test that hangs is told, with the stack of every thread.
PATIENCE = 120
#: Seconds after which a test that hangs ends its worker, where there are several; the others go on, and
#: xdist tells which test it was. More than any test may take on a busy machine.
WORKER_PATIENCE = 900
#: Seconds for which the watch that was set for one test does for the next ones too. pytest's own is set
#: for each, with a thread that begins and ends: on a busy machine longer than most tests take.
WATCH_SECONDS = 10
_watch_since = pytest.StashKey[float]()


@contextmanager
def watched(config: pytest.Config) -> Iterator[None]:
    """Have the stacks told if a test is there for `PATIENCE`, or a little less."""
    stderr = config.stash[fault_handler_stderr_fd_key]
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Not between tests: a worker that waits for the others hangs in none.
        faulthandler.dump_traceback_later(WORKER_PATIENCE, file=stderr, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()
        return
    now = time.monotonic()
    if now - config.stash.get(_watch_since, -WATCH_SECONDS) >= WATCH_SECONDS:
        config.stash[_watch_since] = now
        faulthandler.dump_traceback_later(PATIENCE, file=stderr)
    yield


def pytest_sessionfinish() -> None:
    faulthandler.cancel_dump_traceback_later()


def may_start_programs(item: pytest.Item) -> bool:
    return any(map(item.get_closest_marker, ("processes", "slow", "alone")))


_refused = pytest.StashKey[list[str]]()
_start = subprocess.Popen.__init__


@contextmanager
def for_all_tests() -> Iterator[None]:
    """What is started in here belongs to no test, so no mark tells of it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(subprocess.Popen, "__init__", _start)
        yield


@contextmanager
def nothing_without_its_mark(item: pytest.Item) -> Iterator[None]:
    """The fast tests are those without a mark; what starts a program or listens is not one of them."""
    refused = item.stash[_refused] = []
    if may_start_programs(item):
        yield
        return

    def refuse(
        _process: object, args: object, *_others: Any, **_named: Any
    ) -> NoReturn:
        refused.append(f"{args!r} would be started without the mark `processes`")
        raise AssertionError(refused[-1])

    def refuse_listening(listener: socket.socket, *_backlog: int) -> NoReturn:
        refused.append(f"{listener} would listen without the mark `sockets`")
        raise AssertionError(refused[-1])

    listen = socket.socket.listen
    subprocess.Popen.__init__ = refuse  # type: ignore[method-assign,assignment]
    if not item.get_closest_marker("sockets"):
        socket.socket.listen = refuse_listening  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = _start  # type: ignore[method-assign]
        socket.socket.listen = listen  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What is under test may have taken a refusal for its own trouble, so it is said once more."""
    result = yield
    assert not item.stash[_refused], item.stash[_refused]
    return result


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> list[str]:
    """What this test was not let do."""
    return request.node.stash[_refused]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def free_ports() -> Iterator[int]:
    """Ports that nobody listens on now; none twice in a session, nor in two workers of one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return ports_of(worker, workers)


@pytest.fixture
def free_port(free_ports: Iterator[int]) -> int:
    return next(free_ports)


@pytest.fixture
def start_daemon(
    home: Path, free_ports: Iterator[int]
) -> Iterator[Callable[..., RealDaemon]]:
    """Starts daemons in this test's home: `start_daemon("--no-auth", PENSTOCK_…="…")`.

    `port` is that of one that was stopped, to begin again in its place; `program` what is executed as the
    command line.
    """
    daemons: list[RealDaemon] = []

    def start(
        *flags: str,
        port: int | None = None,
        program: Sequence[str] = PENSTOCK[1:],
        **environ: str,
    ) -> RealDaemon:
        port = port or next(free_ports)
        log = home / f"daemon-{port}.log"
        environment = {**os.environ, **environ}
        argv = [
            sys.executable,
            *program,
            "serve",
            "--port",
            str(port),
            *flags,
        ]
        with log.open("wb") as file:
            process = subprocess.Popen(
                argv, env=environment, stderr=file, stdout=file, cwd=home
            )
        daemons.append(RealDaemon(process, port, environment, log))
        wait_until_answering(daemons[-1])
        return daemons[-1]

    with ended_together(daemons):
        yield start


@pytest.fixture
def real_daemon(start_daemon: Callable[..., RealDaemon]) -> RealDaemon:
    """One running daemon, found by discovery."""
    return start_daemon()


@pytest.fixture(scope="session")
def postgres(
    keeper: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """One server for all tests; each has a schema, and so a log, of its own."""
    with ExitStack() as stack:
        with for_all_tests():
            home = tmp_path_factory.mktemp("postgres")
            server = stack.enter_context(open_postgres(home))
        yield server


@pytest.fixture(scope="session")
def running_model_server() -> Iterator[ModelServer]:
    with ExitStack() as stack:
        with for_all_tests():
            server = stack.enter_context(start_model_server())
        yield server


@pytest.fixture
def model_server(running_model_server: ModelServer) -> ModelServer:
    """The one fake model server of all tests; each test finds it empty."""
    running_model_server.reset()
    return running_model_server


@contextmanager
def ended_together(daemons: list[RealDaemon]) -> Iterator[None]:
    try:
        yield
    finally:
        for daemon in daemons:
            daemon.stop()


# -- which tests go together

#: Fixtures that listen, as a daemon in this process or as somebody's server.
LISTENERS = {"daemon", "foreign_daemon", "running_model_server"}
#: Fixtures that start programs.
PROGRAMS = {
    "start_daemon", "real_daemon", "start_mcp_daemon", "busy", "fresh", "node", "postgres",
}  # fmt: skip


# First, since tests are chosen by their marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test's fixtures start is its own doing.

    Several workers begin with the modules of most slow tests and programs, so that they end together.
    """
    for item in items:
        if PROGRAMS & set(getattr(item, "fixturenames", ())):
            item.add_marker("processes")
        if LISTENERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("sockets")
    if "PYTEST_XDIST_WORKER" in os.environ:
        long = Counter(item.path for item in items if may_start_programs(item))
        items.sort(key=lambda item: -long[item.path])


def pytest_collection_finish() -> None:
    """What was imported and collected stays, so no collection of garbage need look through it."""
    gc.collect()
    gc.freeze()
    # By far the most of what tests make is gone without a collection.
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Modules go to whoever is free; what must be alone comes when nothing else runs any more."""
    from parallel import Scheduling

    return Scheduling(config, log)


# -- where nothing may be skipped, a skip is a failure that tells its reason


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_skips(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_skips(report)
    return report


def _fail_skips(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure and os.environ.get("PENSTOCK_NO_SKIPS"):
        reason = (
            report.longrepr[2]
            if isinstance(report.longrepr, tuple)
            else report.longrepr
        )
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {reason}"
