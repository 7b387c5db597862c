"""The command line against a real daemon, and with one embedded: real processes, real sockets."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.real_daemon import RealDaemon
from penstock.words.address import SHALLOW, find_paths

pytestmark = pytest.mark.slow

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]


def call(
    *args: str, code: int | None = 0, **environ: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*PENSTOCK, *args], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, **environ}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert code is None or done.returncode == code, (
        done.returncode,
        done.stdout,
        done.stderr,
    )
    return done


def json_of(*args: str, **environ: Any) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for line in call(*args, "--json", **environ).stdout.splitlines()
    ]


def test_a_home_that_lies_deep_has_runs_too(tmp_path: Path) -> None:
    """CL-02: with a daemon made for the run, whose socket has to lie somewhere else."""
    deep = tmp_path / ("deep" * 25)
    deep.mkdir()
    bare = {**os.environ, "HOME": str(deep)}
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        bare.pop(name, None)
    done = subprocess.run(
        [*PENSTOCK, "run", "--", "echo", "there"], capture_output=True, text=True,
        timeout=PATIENCE, env=bare, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "there\n"), done.stderr
    # And which is gone with it.
    paths = find_paths({"HOME": str(deep)})
    assert paths.runtime.parent == SHALLOW
    assert not paths.runtime.exists()


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands that go on by themselves; none outlives its test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [*PENSTOCK, *args],
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_run_by_any_way_in_is_the_same_run(real_daemon: RealDaemon) -> None:
    """APP-08 The Unix socket needs no token; TCP takes that of the token file."""
    run_id = call(
        "submit", "command", "--label", "k=v", "--", "echo", "hi"
    ).stdout.strip()
    call("wait", run_id)
    over_socket = json_of("show", run_id)
    assert over_socket == json_of("show", run_id, PENSTOCK_URL=real_daemon.url)
    assert over_socket[0]["state"] == "completed"
    assert call("logs", run_id).stdout == "hi\n"
    assert json_of("list", "label:k=v")[0]["run_id"] == run_id
    assert json_of("audit")[0]["findings"] == []


def test_the_token_is_needed_over_tcp(real_daemon: RealDaemon) -> None:
    """WS-10, API-08"""
    for verb, code in ((["list"], 77), (["follow", "x"], 125)):
        done = call(
            *verb, code=code, PENSTOCK_URL=real_daemon.url, PENSTOCK_TOKEN="wrong"
        )
        assert "token" in done.stderr


def test_a_cancelled_run_is_143_and_its_receipt_is_whole(
    real_daemon: RealDaemon, started: Callable[..., subprocess.Popen[str]]
) -> None:
    following = started(
        "run", "command", "--id", "long", "--shell", "echo on; sleep 60"
    )
    assert line_of(following) == "on\n"
    [receipt] = json_of("cancel", "long", "--wait")
    assert (receipt["outcome"], receipt["survivors"]) == ("cancelled", [])
    assert receipt["gone_at"] is not None
    assert following.wait(PATIENCE) == 143


def test_a_refused_input_names_its_field(real_daemon: RealDaemon) -> None:
    """ER-02"""
    done = call("submit", "llms-txt", "x", "--section-links", "0", code=2)
    assert "inputs.section_links" in done.stderr
    assert call("show", "unknown", code=3).stdout == ""


def test_follow_survives_a_restart_of_the_daemon(
    home: Path,
    start_daemon: Callable[..., RealDaemon],
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """TU-01 Resumed at its position, without gap or repeat."""
    first = start_daemon()
    go = home / "go"
    # It does not end before the daemon was stopped, however long that takes.
    shell = f"echo on; until test -e {go}; do sleep 0.1; done; echo off"
    words = ["submit", "command", "--on-restart", "requeue", "--shell", shell]
    run_id = call(*words).stdout.strip()
    following = started("follow", run_id, "--json")
    seen = [json.loads(line_of(following))]
    while seen[-1]["event"]["type"] != "log":
        seen.append(json.loads(line_of(following)))
    assert first.stop() == 0
    start_daemon()
    go.touch()
    # Not by `communicate`, which does not see what a line was read together with.
    while seen[-1]["event"]["type"] != "run.completed":
        seen.append(json.loads(line_of(following)))
    assert following.wait(PATIENCE) == 0
    assert [fact["sequence"] for fact in seen] == list(range(1, len(seen) + 1))
    assert following.stderr is not None
    assert "connecting again" in following.stderr.read()


def test_shutdown_keeps_the_queue_and_cancel_all_ends_it(
    start_daemon: Callable[..., RealDaemon],
) -> None:
    """D-14"""
    daemon = start_daemon(PENSTOCK_MAX_CONCURRENT="1")
    for run_id in ("a", "b"):
        call(
            "submit",
            "command",
            "--id",
            run_id,
            "--on-restart",
            "requeue",
            "--",
            "sleep",
            "60",
        )
    call("shutdown")
    assert daemon.stop() == 0
    daemon = start_daemon(PENSTOCK_MAX_CONCURRENT="1")
    assert {str(run["run_id"]) for run in json_of("list", "state:open")} == {"a", "b"}
    assert json_of("shutdown", "--cancel-all")[0]["cancelled"] == 2
    start_daemon()
    assert json_of("list", "state:open") == []


def test_an_export_is_read_into_an_empty_log(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """D-08"""
    daemon = start_daemon()
    call("run", "command", "--id", "kept", "--", "echo", "kept")
    out = tmp_path / "log.ndjson"
    call("export", str(out))
    daemon.stop()
    copy = tmp_path / "state"
    call("import", str(out), "--database", str(copy / "penstock.db"))
    start_daemon(PENSTOCK_STATE_DIR=str(copy))
    assert call("logs", "kept", PENSTOCK_STATE_DIR=str(copy)).stdout == "kept\n"


def test_a_run_whose_output_nobody_reads_is_cancelled(real_daemon: RealDaemon) -> None:
    """As `yes | head` ends: nothing goes on unseen."""
    penstock = " ".join(PENSTOCK)
    line = f"{penstock} run command --id y -- yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("y\n141\n", "")
    assert json_of("show", "y")[0]["reason"] == "nobody reads its output"


# -- without a daemon


def test_an_embedded_run_ends_as_its_program_and_can_be_read_afterwards(
    home: Path,
) -> None:
    """CL-02 It opens no port and leaves the main log alone."""
    done = call(
        "run",
        "command",
        "--id",
        "x-1",
        "--shell",
        "echo out; echo err >&2; exit 3",
        code=3,
    )
    assert (done.stdout, done.stderr.splitlines()[0]) == ("out\n", "err")
    assert "Traceback" not in done.stderr
    run_id = "x-1"
    assert json_of("show", run_id) == json_of("show", "x/1")
    assert json_of("show", run_id)[0]["state"] == "failed"
    assert call("logs", run_id).stdout == "out\n"
    assert (
        json.loads(call("events", run_id).stdout.splitlines()[-1])["event"]["type"]
        == "run.failed"
    )
    assert call("wait", run_id, code=3).stdout == f"{run_id}  failed\n"
    listed = call("list", "state:failed")
    # Numbers are those of the main log: there this run has none.
    assert listed.stdout.splitlines()[1].split()[:4] == [run_id, "✗", "exit", "3"]
    assert "made without one" in listed.stderr
    assert json_of("list", "state:completed") == []
    state = home / "state" / "penstock"
    assert not (state / "penstock.db").exists()
    assert list((home / "run" / "penstock" / "embedded").iterdir()) == []


def test_an_embedded_run_can_be_followed_and_cancelled_from_elsewhere(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """CL-02 `follow ID` finds it."""
    running = started("run", "command", "--id", "e", "--shell", "echo on; sleep 60")
    assert line_of(running) == "on\n"
    following = started("follow", "e")
    assert line_of(following) == "on\n"
    [receipt] = json_of("cancel", "e", "--wait")
    assert receipt["survivors"] == []
    assert running.wait(PATIENCE) == 143
    assert following.wait(PATIENCE) == 143


@pytest.mark.parametrize("verb", ["list", "show", "wait", "events", "cancel"])
def test_a_run_whose_embedded_daemon_was_killed_is_ended_by_whoever_reads_it(
    verb: str, home: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    """CL-02 law 5: nothing is said to run when nobody runs it."""
    running = started(
        "run", "command", "--id", "ghost", "--shell", "echo $$; sleep 300"
    )
    pid = int(line_of(running))
    running.kill()
    running.wait(PATIENCE)
    told = call(verb, *(() if verb == "list" else ("ghost",)), code=None).stdout
    assert "running" not in told.replace("run.started", "")
    [shown] = json_of("show", "ghost")
    assert (shown["state"], shown["reason"]) == ("failed", "crashed")
    assert not Path("/proc", str(pid)).exists()
    # The supervisor of its process outlived the daemon, and kept what it proved.
    receipt = json.loads(call("cancel", "ghost", "--json").stdout)
    assert receipt["outcome"] == "already_terminal"
    assert receipt["gone_at"] is not None
    assert (receipt["survivors"], receipt["pids"]) == ([], [pid])
    logs = home / "state" / "penstock" / "embedded"
    call("audit", "--database", str(logs / "ghost.db"))


def test_a_run_that_its_embedded_daemon_executes_is_left_alone(
    home: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    """Law 5: one that does not answer still holds its log."""
    running = started("run", "command", "--id", "e", "--shell", "echo on; sleep 60")
    assert line_of(running) == "on\n"
    [socket] = (home / "run" / "penstock" / "embedded").iterdir()
    socket.unlink()
    assert json_of("show", "e")[0]["state"] == "running"
    done = call("follow", "e", code=125)
    assert "does not answer" in done.stderr
    assert "has not ended, as far as its log goes" in done.stderr
    running.terminate()
    assert running.wait(PATIENCE) == 143


def test_an_export_with_secrets_is_its_owners_alone(home: Path) -> None:
    """CL-01: a file that holds the values of `--env` is readable by nobody else."""
    call("run", "command", "--id", "s", "--env", "KEY=hunter2", "--", "true")
    log = home / "state" / "penstock" / "embedded" / "s.db"
    out = home / "export.ndjson"
    call("export", "--with-secrets", "--database", str(log), str(out))
    assert out.stat().st_mode & 0o077 == 0


def test_a_fifo_among_the_embedded_logs_keeps_nobody_waiting(home: Path) -> None:
    """ER-01: whatever id is asked for."""
    folder = home / "state" / "penstock" / "embedded"
    folder.mkdir(parents=True, mode=0o700)
    call("run", "command", "--id", "there", "--", "true")
    os.mkfifo(folder / "x.db")
    assert "is no file" in call("show", "x", code=1).stderr
    assert json_of("show", "there")[0]["state"] == "completed"


def test_any_number_of_embedded_runs_go_on_at_once(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    runs = [
        started("run", "command", "--shell", f"echo {n}; sleep 1") for n in range(3)
    ]
    assert [line_of(run) for run in runs] == ["0\n", "1\n", "2\n"]
    assert [run.wait(PATIENCE) for run in runs] == [0, 0, 0]


def test_ctrl_c_ends_an_embedded_run_and_its_processes(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """CL-02, CN-01"""
    running = started(
        "run", "command", "--id", "c", "--shell", "echo $$; exec sleep 60"
    )
    pid = int(line_of(running))
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE) == 130
    assert running.stderr is not None
    assert "nothing of it is left" in running.stderr.read()
    assert not Path(f"/proc/{pid}").exists()
    assert json_of("show", "c")[0]["state"] == "cancelled"


def test_a_killed_command_leaves_no_process_and_an_honest_story(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """SY-03"""
    running = started(
        "run", "command", "--id", "k", "--shell", "echo $$; exec sleep 60"
    )
    pid = int(line_of(running))
    running.kill()
    running.wait(PATIENCE)
    give_up = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    done = call("follow", "k", code=125)
    assert "the daemon died during the run" in done.stderr


def test_prune_forgets_what_has_ended_and_spares_what_goes_on(
    home: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    """RS-05 The logs of embedded daemons too; a running daemon prunes by itself."""
    running = started("run", "command", "--id", "going", "--shell", "echo on; sleep 60")
    assert line_of(running) == "on\n"
    for run_id in ("old", "newest"):
        call("run", "command", "--id", run_id, "--", "true")
    logs = home / "state" / "penstock" / "embedded"
    assert json_of("prune", "--older-than", "0")[0]["runs"] == ["old"]
    assert sorted(file.name for file in logs.glob("*.db")) == ["going.db", "newest.db"]


def test_prune_removes_the_folders_of_what_it_forgets(
    home: Path, real_daemon: RealDaemon, tmp_path: Path
) -> None:
    """RS-05: as the daemon does; what stands in the place of a folder is not followed."""
    for run_id in ("kept", "linked"):
        call("submit", "command", "--id", run_id, "--", "true")
        call("wait", run_id)
    assert real_daemon.stop() == 0
    runs = home / "state" / "penstock" / "runs"
    (runs / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "precious").touch()
    (runs / "linked").symlink_to(tmp_path)
    [told] = json_of("prune", "--older-than", "0")
    assert told["runs"] == ["kept", "linked"]
    assert list(runs.iterdir()) == []
    assert (tmp_path / "precious").exists()


def test_prune_leaves_the_log_of_a_running_daemon_to_it(
    real_daemon: RealDaemon,
) -> None:
    said = call("prune", code=1).stderr
    assert "another daemon" in said
    assert "`penstock shutdown` makes way" in said
    assert real_daemon.process.poll() is None


def test_a_socket_left_behind_by_a_dead_daemon_is_no_daemon(
    start_daemon: Callable[..., RealDaemon],
) -> None:
    daemon = start_daemon()
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    assert "penstock serve" in call("list", code=69).stderr
    assert call("run", "command", "--", "echo", "still works").stdout == "still works\n"


# -- which daemon


def without_session(**environ: str) -> dict[str, str]:
    """The environment of cron, `su` or a container: no runtime folder of a login session."""
    kept = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    return {**kept, **environ}


def bare(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PENSTOCK, *args], capture_output=True, text=True, timeout=PATIENCE,
        env=without_session(**environ), stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_daemon_of_another_state_folder_leaves_the_socket_to_the_first(
    real_daemon: RealDaemon, home: Path, free_port: int
) -> None:
    """CL-02, law 5: the same runtime folder, another state folder."""
    socket = home / "run" / "penstock" / "daemon.sock"
    before = socket.stat().st_ino
    done = call(
        "serve", "--port", str(free_port), code=1, XDG_STATE_HOME=str(home / "other")
    )
    assert f"another daemon answers at {socket}" in done.stderr
    assert socket.stat().st_ino == before
    assert call("list", code=0).stdout.startswith("#  NAME")


def test_without_a_login_session_the_daemon_is_found_by_its_lock(
    real_daemon: RealDaemon, home: Path
) -> None:
    """CL-02 Cron, `su`, containers, agents that strip the environment."""
    submitted = bare("submit", "command", "--id", "s", "--", "true")
    assert (submitted.returncode, submitted.stdout) == (0, "s\n"), submitted.stderr
    ran = bare("run", "command", "--id", "r", "--shell", "echo $PENSTOCK_URL")
    assert (ran.returncode, ran.stdout) == (0, f"{real_daemon.url}\n"), ran.stderr
    assert not (home / "state" / "penstock" / "embedded").exists()
    assert "another daemon" in bare("serve").stderr


def test_a_daemon_started_without_a_login_session_is_found_from_one(
    home: Path, start_daemon: Callable[..., RealDaemon]
) -> None:
    """CL-02"""
    daemon = start_daemon(XDG_RUNTIME_DIR="")
    assert call("run", "command", "--shell", "echo $PENSTOCK_URL").stdout == (
        f"{daemon.url}\n"
    )


def test_nothing_goes_round_the_queue_of_a_daemon_that_does_not_answer(
    real_daemon: RealDaemon, home: Path
) -> None:
    """CL-02 Its socket and its port are gone, and its lock is held."""
    lock = home / "state" / "penstock" / "daemon.lock"
    lock.write_text(f"{real_daemon.process.pid}\n")
    (home / "run" / "penstock" / "daemon.sock").unlink()
    for args in (
        ["run", "command", "--", "true"],
        ["mcp"],
        ["submit", "command", "--", "true"],
    ):
        done = call(*args, code=125 if args[0] == "run" else 69)
        assert f"pid {real_daemon.process.pid} holds the lock {lock}" in done.stderr
    assert not (home / "state" / "penstock" / "embedded").exists()


def test_a_removed_socket_leaves_the_port_to_find_the_daemon_by(
    real_daemon: RealDaemon, home: Path
) -> None:
    (home / "run" / "penstock" / "daemon.sock").unlink()
    assert call("submit", "command", "--id", "p", "--", "true").stdout == "p\n"


def test_an_embedded_run_is_found_without_a_login_session(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """CL-02 By its lock too: its log is never opened beside it."""
    running = started("run", "command", "--id", "e", "--shell", "echo on; sleep 60")
    assert line_of(running) == "on\n"
    done = bare("cancel", "e", "--wait", "--json")
    assert json.loads(done.stdout)["outcome"] == "cancelled", done.stderr
    assert running.wait(PATIENCE) == 143


def test_an_export_has_no_secrets_and_a_run_without_them_says_so(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """D-08 Retried or executed after the import, and as it was with --with-secrets."""
    daemon = start_daemon(PENSTOCK_MAX_CONCURRENT="1")
    secret = ["--env", "API_KEY=hunter2", "--shell", "echo $API_KEY >&2; true"]
    call("submit", "command", "--id", "first", "--", "sleep", "600")
    call("submit", "command", "--id", "waits", *secret)
    call("cancel", "first", "--wait")
    call("wait", "waits")
    call("pause")
    call("submit", "command", "--id", "queued", *secret)
    told = {flag: call("export", *flag).stdout for flag in ((), ("--with-secrets",))}
    daemon.stop()

    def inputs(export: str) -> str:
        rows = (json.loads(line) for line in export.splitlines() if '"specs"' in line)
        return "".join(
            base64.b64decode(row["row"]["inputs"]["base64"]).decode() for row in rows
        )

    assert "hunter2" not in inputs(told[()])
    # PT-08: nor what else was in the caller's environment, with secrets either.
    assert not any(os.environ["PATH"] in inputs(text) for text in told.values())
    assert inputs(told["--with-secrets",]).count("hunter2") == 2
    for flag, export in told.items():
        state = tmp_path / f"state{len(flag)}"
        environ: dict[str, Any] = {"PENSTOCK_STATE_DIR": str(state)}
        (tmp_path / "out").write_text(export)
        call("import", str(tmp_path / "out"), **environ)
        daemon = start_daemon(**environ)
        call("resume", **environ)
        again = call("retry", "waits", code=0 if flag else 2, **environ)
        call("wait", "queued", code=0 if flag else 125, **environ)
        shown = json_of("show", "queued", **environ)[0]
        if not flag:
            assert "inputs.env.API_KEY: left out of the export" in again.stderr
            assert "inputs.env.API_KEY: left out" in str(shown["error"])
        daemon.stop()


# -- the logs of embedded daemons


def agent_starts(*argv: str, run_id: str) -> None:
    """A run that an agent starts over `penstock mcp`, while no daemon runs, to its end."""
    agent = subprocess.Popen(
        [*PENSTOCK, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def send(method: str, **message: Any) -> None:
        assert agent.stdin is not None
        line = json.dumps({"jsonrpc": "2.0", "method": method, **message})
        print(line, file=agent.stdin, flush=True)
        if "id" in message:
            assert "result" in json.loads(line_of(agent))

    asked = {"protocolVersion": "2025-06-18", "capabilities": {}}
    about = {"name": "test", "version": "1"}
    send("initialize", id=1, params={**asked, "clientInfo": about})
    send("notifications/initialized")
    wanted = {"kind": "command", "inputs": {"argv": argv}, "run_id": run_id}
    send("tools/call", id=2, params={"name": "start_run", "arguments": wanted})
    ended = {"name": "wait_run", "arguments": {"run_id": run_id}}
    send("tools/call", id=3, params=ended)
    agent.communicate(timeout=PATIENCE)


def ids(*args: str) -> list[object]:
    return [row["run_id"] for row in json_of("list", *args)]


def test_runs_of_every_embedded_log_are_found_by_their_id(
    home: Path, start_daemon: Callable[..., RealDaemon]
) -> None:
    """CL-02 Those of agents too, whose logs are named after no run."""
    call("run", "command", "--id", "alone", "--", "true")
    agent_starts("echo", "hi", run_id="agents")
    logs = sorted((home / "state" / "penstock" / "embedded").glob("*.db"))
    assert [log.name[:4] for log in logs] == ["alon", "mcp-"]
    assert ids() == ids("--all") == ["agents", "alone"]
    assert call("logs", "agents").stdout == "hi\n"
    start_daemon()
    call("run", "command", "--id", "daemons", "--", "true")
    assert ids() == ["daemons"]
    assert ids("--all") == ["daemons", "agents", "alone"]
    assert ids("--all", "--limit", "2") == ["daemons", "agents"]
    assert json_of("show", "agents")[0]["state"] == "completed"
    receipts = json_of("cancel", "agents", "daemons", "alone")
    assert {row["outcome"] for row in receipts} == {"already_terminal"}
    assert "there is no run 'nobody'" in call("cancel", "nobody", code=3).stderr


def test_an_id_names_one_run_whatever_log_it_stands_in(
    start_daemon: Callable[..., RealDaemon],
) -> None:
    """CL-02 `run` sees the runs of embedded logs."""
    agent_starts("echo", "hi", run_id="once")
    again = ["run", "command", "--id", "once", "--inputs"]
    same = json.dumps({"argv": ["echo", "hi"], "env": {}, "cwd": None})
    inputs = json_of("show", "once")[0]["inputs"]
    assert isinstance(inputs, dict)
    assert inputs["argv"] == ["echo", "hi"]
    call(*again, '{"argv": ["other"]}', code=125)
    start_daemon()
    for args, code in ((again, 125), (["submit", *again[1:]], 4)):
        assert "was made without the daemon" in call(*args, same, code=code).stderr
    call("run", "command", "--id", "daemons", "--", "true")
    call("run", "command", "--id", "daemons", "--", "true")


def test_a_run_of_a_living_embedded_daemon_is_joined_by_its_id(
    real_daemon: RealDaemon, started: Callable[..., subprocess.Popen[str]]
) -> None:
    """CL-02 Started before the daemon was."""
    real_daemon.stop()
    words = ["run", "command", "--id", "j", "--shell", "echo on; sleep 60"]
    first = started(*words)
    assert line_of(first) == "on\n"
    again = started(*words)
    assert line_of(again) == "on\n"
    call("cancel", "j", "--wait")
    assert (first.wait(PATIENCE), again.wait(PATIENCE)) == (143, 143)


def test_a_damaged_log_hides_no_other(home: Path) -> None:
    call("run", "command", "--id", "whole", "--", "true")
    logs = home / "state" / "penstock" / "embedded"
    (logs / "broken.db").write_bytes(b"x" * 4096)
    assert ids() == ["whole"]
    assert "broken.db" in call("list").stderr
    assert "broken.db" in call("show", "broken", code=1).stderr
