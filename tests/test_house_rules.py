"""What conftest.py promises every test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import trio
import trio.testing

from fakes.free_ports import free_ports

TESTS = Path(__file__).parent


async def test_a_thread_under_a_mock_clock_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(AssertionError, match="under a mock clock"):
        await trio.to_thread.run_sync(int)


async def test_a_thread_under_the_real_clock_is_not() -> None:
    assert await trio.to_thread.run_sync(int) == 0


def test_no_test_sees_the_users_own_home(home: Path) -> None:
    assert os.environ["HOME"] == str(home)
    assert Path.home() == home
    assert not [
        name
        for name in os.environ
        if name.startswith("PENSTOCK_") and "SKIPS" not in name
    ]


@pytest.mark.processes
@pytest.mark.parametrize(
    "body",
    [
        "import pytest\ndef test_x():\n    pytest.skip('no tmux here')\n",
        "import pytest\npytest.skip('no tmux here', allow_module_level=True)\n",
        "import pytest\n@pytest.mark.skipif(True, reason='no tmux here')\ndef test_x():\n    pass\n",
    ],
    ids=["in a test", "in a module", "by a mark"],
)
def test_where_nothing_may_be_skipped_a_skip_fails_with_its_reason(
    tmp_path: Path, body: str
) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "test_x.py").write_text(body)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    # Nothing here needs a plugin, and loading them all takes longer than the rest.
    environ = {
        **os.environ,
        "PYTHONPATH": str(TESTS),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=tmp_path,
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=60,
        )

    done = run(PENSTOCK_NO_SKIPS="1")
    assert done.returncode not in (0, 5), done.stdout
    assert "no tmux here" in done.stdout
    environ.pop("PENSTOCK_NO_SKIPS", None)
    assert run().returncode in (0, 5)


def test_a_program_is_not_started_without_the_mark_that_says_so(
    refused: list[str],
) -> None:
    with pytest.raises(AssertionError, match="without the mark `processes`"):
        subprocess.run(["true"], check=False)
    assert len(refused) == 1
    # It would be said again at the end, as of a test that took it for its own trouble.
    refused.clear()


def test_nor_is_listened_without_the_mark_that_says_so(refused: list[str]) -> None:
    with (
        socket.socket() as listener,
        pytest.raises(AssertionError, match="without the mark `sockets`"),
    ):
        listener.listen()
    assert len(refused) == 1
    refused.clear()


@pytest.mark.sockets
async def test_with_it_one_listens() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await listener.aclose()


@pytest.mark.processes
def test_one_with_the_mark_is() -> None:
    assert subprocess.run(["true"], check=False).returncode == 0


@pytest.mark.processes
def test_no_size_of_a_terminal_is_handed_on() -> None:
    """Else a program asks these variables and not the terminal that a test gives it."""
    asked = "echo ${LINES-none} ${COLUMNS-none}"
    for environ in (None, dict(os.environ)):
        told = subprocess.run(["sh", "-c", asked], env=environ, capture_output=True, check=True)  # fmt: skip
        assert told.stdout == b"none none\n"


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_each_worker_has_ports_of_its_own(workers: int) -> None:
    """Also one that takes the place of another; Linux gives odd ones alone."""
    for worker in range(workers + 2):
        ports = list(islice(free_ports(worker, workers), 5))
        assert len(set(ports)) == 5
        assert {port // 2 % workers for port in ports} == {worker % workers}


RECORDING = """
import os, time, pytest
from pathlib import Path

def pytest_xdist_make_scheduler(config, log):
    from parallel import Scheduling
    return Scheduling(config, log)

@pytest.fixture(autouse=True)
def record(request):
    begin = time.monotonic()
    yield
    line = f"{request.node.name} {begin} {time.monotonic()}\\n"
    with Path(os.environ["RECORD"]).open("a") as file:
        file.write(line)
"""


@pytest.mark.processes
def test_what_must_be_alone_runs_when_nothing_else_does(tmp_path: Path) -> None:
    """Of two workers one has nothing to do then."""
    shutil.copy(TESTS / "parallel.py", tmp_path)
    (tmp_path / "conftest.py").write_text(RECORDING)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\ntestpaths = .\nmarkers = alone: x\n"
    )
    body = "import time\nimport pytest\n{}\n\n@pytest.mark.parametrize('n', range(4))\ndef test_{}(n):\n    time.sleep(0.02)\n"
    for name in ("a", "c"):
        mark = "pytestmark = pytest.mark.alone"
        (tmp_path / f"test_{name}.py").write_text(body.format(mark, "alone"))
    for name in ("b", "d", "e"):
        (tmp_path / f"test_{name}.py").write_text(body.format("", "other"))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "2"]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "RECORD": str(tmp_path / "record")},
    )  # fmt: skip
    assert "20 passed" in done.stdout, done.stdout
    ran = [line.split() for line in (tmp_path / "record").read_text().splitlines()]
    alone = [float(begin) for name, begin, _ in ran if "alone" in name]
    others = [float(end) for name, _, end in ran if "other" in name]
    assert len(alone) == 8
    assert max(others) < min(alone)
