"""PT-08: programs find what the caller's own would: by a daemon, embedded, and by an agent's pipe."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fakes.real_daemon import RealDaemon

pytestmark = pytest.mark.slow

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
SECRET = "hunter2-of-the-caller"
#: Larger than any pipe, and smaller than the 128 KiB that the kernel takes in one variable.
LARGE: dict[str, Any] = {
    f"LARGE_{number}": str(number) * 100_000 for number in range(2)
}


def called(
    *args: str, umask: str = "022", cwd: Path | None = None, **environ: str | bytes
) -> subprocess.CompletedProcess[bytes]:
    """The command line, from a shell with this umask and these variables besides."""
    return subprocess.run(
        ["/bin/sh", "-c", f'umask {umask}; exec "$@"', "sh", *PENSTOCK, *args],
        env={**os.environ, **environ}, cwd=cwd, capture_output=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip


def text_of(*args: str, **environ: Any) -> str:
    return called(*args, **environ).stdout.decode()


@pytest.fixture(params=["by the daemon", "embedded"])
def anywhere(
    request: pytest.FixtureRequest, start_daemon: Callable[..., RealDaemon]
) -> None:
    """With a daemon, whose own umask and environment are others, and without one."""
    if request.param == "by the daemon":
        before = os.umask(0o077)
        try:
            start_daemon(LANG="C.UTF-8", OF_THE_DAEMON="1")
        finally:
            os.umask(before)


@pytest.mark.usefixtures("anywhere")
def test_a_program_finds_what_it_would_find_without_us(tmp_path: Path) -> None:
    """`FOO=1 penstock run …`, JAVA_HOME, bytes that are no text, and 200 KB of it."""
    printed = tmp_path / "environ"
    copies = ("cp", "/proc/self/environ", str(printed))
    given: dict[str, Any] = {
        "FOO": "1", "JAVA_HOME": "/opt/java", "ODD": b"\xff\xfe\n", "PENSTOCK_RUN_ID": "another's",
        "PENSTOCK_EVENT_TYPE": "x", **LARGE,
    }  # fmt: skip
    called("run", "command", "--", *copies, umask="027", **given)
    pieces = printed.read_bytes().split(b"\0")
    assert b"ODD=\xff\xfe\n" in pieces
    found = dict(piece.split(b"=", 1) for piece in pieces if piece)
    ours = {name for name in found if name.startswith(b"PENSTOCK_")}
    assert ours == {b"PENSTOCK_RUN_ID", b"PENSTOCK_URL", b"PENSTOCK_EPOCH"}
    assert found[b"PENSTOCK_RUN_ID"] != b"another's"
    for name in ("FOO", "JAVA_HOME", "LARGE_0", "LARGE_1"):
        assert found[name.encode()].decode() == given[name]
    expected = {os.fsencode(name) for name in {**os.environ, **given}}
    # What a shell sets, and what a kind may set where its caller has not.
    added = {b"PWD", b"_", b"OLDPWD", b"SHLVL", b"PYTHONUNBUFFERED"}
    assert found.keys() - ours - added <= expected
    assert expected - found.keys() <= {b"PENSTOCK_EVENT_TYPE", b"PENSTOCK_NO_SKIPS"}


@pytest.mark.usefixtures("anywhere")
def test_files_come_out_with_the_callers_umask(tmp_path: Path) -> None:
    for umask, mode in (("027", 0o640), ("002", 0o664)):
        called("run", "command", "--", "touch", umask, umask=umask, cwd=tmp_path)
        assert (tmp_path / umask).stat().st_mode & 0o777 == mode


def test_another_terminal_asks_for_the_same_run(real_daemon: RealDaemon) -> None:
    """PT-07: SSH_AUTH_SOCK, TERM and the like are no part of what a run is; `--env` is."""
    asked = ("run", "command", "--id", "once", "--", "sh", "-c", "echo $TERM")
    assert text_of(*asked, TERM="xterm", SSH_AUTH_SOCK="/1") == "xterm\n"
    assert text_of(*asked, TERM="dumb", SSH_AUTH_SOCK="/2") == "xterm\n"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        called(*asked[:4], "--env", "TERM=dumb", *asked[4:])
    assert b"exists with other inputs" in caught.value.stderr


def test_too_large_an_environment_is_refused_in_a_line_with_the_largest(
    start_daemon: Callable[..., RealDaemon],
) -> None:
    """BP-04"""
    start_daemon(PENSTOCK_MAX_ENVIRONMENT_BYTES="100000")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        called("run", "command", "--", "true", **LARGE)
    assert b"'LARGE_0' (100000 bytes)" in caught.value.stderr
    assert len(caught.value.stderr.splitlines()) == 1


def test_listed_names_only(start_daemon: Callable[..., RealDaemon]) -> None:
    start_daemon(PENSTOCK_ENV="listed")
    told = text_of("run", "command", "--env", "B", "--", "env", A="1", B="2", TZ="X")
    assert {"B=2", "TZ=X"} <= set(told.splitlines())
    assert "A=1" not in told


# -- an agent's pipe


def asked_by_agent(inputs: dict[str, Any], cwd: Path, **environ: str) -> dict[str, Any]:
    """What an agent that works in this folder is told of the run it starts over `penstock mcp`."""
    asked = {"protocolVersion": "2025-06-18", "capabilities": {}}
    about = {"name": "test", "version": "1"}
    start = {"kind": "command", "inputs": inputs, "run_id": "agents"}
    calls = [
        ("initialize", {**asked, "clientInfo": about}),
        ("tools/call", {"name": "start_run", "arguments": start}),
        ("tools/call", {"name": "wait_run", "arguments": {"run_id": "agents"}}),
        ("tools/call", {"name": "read_events", "arguments": {"run_id": "agents"}}),
    ]
    with subprocess.Popen(
        ["/bin/sh", "-c", 'umask 027; exec "$@"', "sh", *PENSTOCK, "mcp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, env={**os.environ, **environ},
    ) as agent:  # fmt: skip
        assert agent.stdin is not None
        assert agent.stdout is not None
        told = {}
        for number, (method, params) in enumerate(calls):
            message = {"jsonrpc": "2.0", "id": number, "method": method}
            agent.stdin.write(
                json.dumps({**message, "params": params}).encode() + b"\n"
            )
            if number == 0:
                ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
                agent.stdin.write(json.dumps(ready).encode() + b"\n")
            agent.stdin.flush()
            told = json.loads(agent.stdout.readline())
            assert "result" in told, told
        agent.stdin.close()
    return dict(told["result"])


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("cwd", [{}, {"cwd": None}], ids=["without", "null"])
def test_an_agents_run_works_where_the_agent_does(
    tmp_path: Path, cwd: dict[str, None]
) -> None:
    """HO-03"""
    line = "umask; pwd; echo $JAVA_HOME; touch made"
    told = asked_by_agent({"shell": line, **cwd}, tmp_path, JAVA_HOME="/opt/java")
    printed = "".join(
        event["event"].get("text", "")
        for event in json.loads(told["content"][0]["text"])["events"]
    )
    assert printed.split() == ["0027", str(tmp_path), "/opt/java"]
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640
    assert SECRET not in str(told)


# -- what is told of it


@pytest.fixture
def told_to_hook(home: Path) -> Path:
    """What a hook was given, in its environment and on its stdin."""
    config = home / "config" / "penstock" / "config.toml"
    config.parent.mkdir(parents=True)
    told = home / "hook"
    line = json.dumps(f"(env; cat) > {told}.new; mv {told}.new {told}")
    config.write_text(
        f'[[hooks]]\non = ["completed"]\nargv = ["/bin/sh", "-c", {line}]\n'
    )
    return told


def surfaces(daemon: RealDaemon, home: Path, run_id: str) -> Iterator[tuple[str, str]]:
    """Everything that anybody is told of a run, by where it is told."""
    for verb in (
        ("show", run_id), ("show", run_id, "--json"), ("events", run_id, "--json"), ("list", "--json"),
        ("logs", run_id), ("export",), ("export", "-", "--with-secrets"), ("audit",), ("why", run_id),
        ("run", "command", "--id", run_id, "--json", "--", "echo", run_id),
    ):  # fmt: skip
        done = subprocess.run(
            [*PENSTOCK, *verb], capture_output=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        yield " ".join(verb), (done.stdout + done.stderr).decode()
    token = (home / "state" / "penstock" / "token").read_text().strip()
    with httpx2.Client(
        base_url=daemon.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as http:
        for path in (
            f"/runs/{run_id}", f"/runs/{run_id}/events", f"/runs/{run_id}/why", "/runs", "/events",
            "/queue", "/health", "/clients", "/metrics", "/openapi.json",
        ):  # fmt: skip
            yield path, http.get(path).text
        initialize = {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }  # fmt: skip
        accept = {"Accept": "application/json, text/event-stream"}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
        opened = http.post(
            "/mcp", json={**message, "params": initialize}, headers=accept
        )
        session = {**accept, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
        for tool in ("get_run", "read_events", "wait_run"):
            params = {"name": tool, "arguments": {"run_id": run_id}}
            body = {**message, "method": "tools/call", "params": params}
            yield tool, http.post("/mcp", json=body, headers=session).text
    yield "the daemon's log", daemon.log.read_text()


def test_no_surface_tells_a_secret_of_the_callers_environment(
    start_daemon: Callable[..., RealDaemon], home: Path, told_to_hook: Path
) -> None:
    """PT-08 D-08: and where it is kept is for its owner's eyes alone."""
    daemon = start_daemon(PENSTOCK_LOG_LEVEL="debug")
    called("run", "command", "--id", "mine", "--", "echo", "mine", API_KEY=SECRET)
    called("submit", "command", "--id", "kept", "--", "true", API_KEY=SECRET)
    called("wait", "kept")
    called("retry", "kept")
    for where, told in surfaces(daemon, home, "mine"):
        assert told, where
        assert SECRET not in told, where
        assert "API_KEY" not in told, where
    assert b"run.completed" in wait_for(told_to_hook)
    assert SECRET.encode() not in told_to_hook.read_bytes()
    state = home / "state" / "penstock"
    holding = [
        path for path in state.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]  # fmt: skip
    assert {path.name for path in holding} <= {"penstock.db", "penstock.db-wal"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in state.rglob("*"))
    daemon.stop()
    with closing(sqlite3.connect(state / "penstock.db")) as db:
        counts = "SELECT count(*), count(DISTINCT environment) FROM callers"
        assert db.execute(counts).fetchone() == (3, 1)


def wait_for(path: Path) -> bytes:
    """What stands in a file that another process makes."""
    for _ in range(PATIENCE * 20):
        if path.exists():
            return path.read_bytes()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


@pytest.mark.usefixtures("anywhere")
def test_a_command_that_was_stopped_goes_on_where_it_was() -> None:
    """PT-04 PT-06: as after Ctrl-Z and `fg`; embedded, the daemon was stopped with it."""
    lines = 300_000
    with subprocess.Popen(
        [*PENSTOCK, "run", "command", "--", "sh", "-c", f"seq {lines}; exit 4"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        wait_stopped(process.pid)
        # What was on its way is read; the program waits for whoever goes on.
        process.send_signal(signal.SIGCONT)
        rest = process.stdout.read()
        assert process.wait(PATIENCE) == 4
    assert first + rest == b"".join(b"%d\n" % n for n in range(1, lines + 1))


def wait_stopped(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.01)
