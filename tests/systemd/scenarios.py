"""What happens to a daemon that lives under systemd; run by `manager.py`, inside its namespaces.

A scenario returns what it saw, as a JSON value; `test_user_service.py` judges it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.processes.containment import all_pids
from penstock.processes.liveness import lives, read_of_threads

PORT = 9876
HOME = Path.home()
UNITS = HOME / ".config" / "systemd" / "user"
STATE = HOME / ".local" / "state" / "penstock"
VICTIM = Path(__file__).parents[1] / "contained" / "victim.py"
ESCAPES = ("term-ignored", "setsid", "double-fork", "env-wiped")
#: A cold start on a loaded machine.
PATIENCE = 40.0


def penstock(*args: str, code: int | None = 0) -> str:
    """The stdout of one command, which ends with this code; None: with any."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert code in {None, done.returncode}, (args, done)
    return done.stdout


def systemctl(*args: str) -> str:
    done = subprocess.run(
        ["systemctl", "--user", *args], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def shown(name: str) -> str:
    """A property of the service."""
    return systemctl("show", "penstock.service", "--value", f"--property={name}")


def drop_in(text: str) -> None:
    """Settings of a test, beside the unit as it is installed."""
    folder = UNITS / "penstock.service.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.conf").write_text(text)
    systemctl("daemon-reload")


class Request:
    """`GET /health`, sent at once; the answer is read later."""

    def __init__(self, address: str | tuple[str, int] = ("127.0.0.1", PORT)) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(address)
        self.sock.sendall(
            b"GET /health HTTP/1.1\r\nHost: localhost:9876\r\nConnection: close\r\n\r\n"
        )

    def status(self) -> int:
        """The answer's status; 0 if the connection ended without one."""
        with self.sock:
            try:
                line = self.sock.recv(64)
            except ConnectionResetError:
                return 0
        return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0


def until(condition: Callable[[], Any], what: str) -> Any:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen")


def marked(mark: str) -> list[int]:
    """The living processes with this word in their arguments."""
    found = []
    for pid in all_pids():
        words = read_of_threads(pid, "cmdline").split(b"\0")
        if mark.encode() in words and lives(pid):
            found.append(pid)
    return found


def supervisors() -> list[int]:
    """The living supervisors, and the templates that they are forked from."""
    word = b"from penstock.processes."
    return [p for p in all_pids() if word in read_of_threads(p, "cmdline") and lives(p)]


def escape(kind: str) -> str:
    """Start a run whose process leaves descendants behind; its id, once they live."""
    run_id = f"escape-{kind}"
    argv = [sys.executable, str(VICTIM), kind, run_id, "stay"]
    penstock("submit", "command", "--id", run_id, "--env", "CONTAINED=1", "--", *argv)  # fmt: skip
    until(lambda: len(marked(run_id)) >= 2, f"the escape {kind}")
    return run_id


def first_words() -> dict[str, Any]:
    """Installed twice, looked at, removed, installed again, removed with its data."""
    seen: dict[str, Any] = {}
    seen["changed"] = json.loads(penstock("service", "install", "--json"))["changed"]
    # READY was said: every surface must answer now.
    daemon_socket = f"/run/user/{os.getuid()}/penstock/daemon.sock"
    seen["answers"] = [Request().status(), Request(daemon_socket).status()]
    seen["status"] = json.loads(penstock("service", "status", "--json"))
    seen["mode"] = oct(os.stat(daemon_socket).st_mode & 0o777)
    pid = shown("MainPID")
    seen["again"] = json.loads(penstock("service", "install", "--json"))["changed"]
    seen["same process"] = shown("MainPID") == pid
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    told = json.loads(
        penstock("run", "command", "--json", "--", "sh", "-c", "env").splitlines()[-1]
    )
    seen["given"] = b"NOTIFY_SOCKET" in environ
    output = penstock("logs", told["run_id"])
    seen["leaked"] = [x for x in ("NOTIFY_", "LISTEN_", "WATCHDOG_") if x in output]
    seen["journal"] = journal()
    penstock("service", "uninstall")
    seen["kept"] = sorted(path.name for path in STATE.iterdir())
    seen["units left"] = [p.name for p in UNITS.glob("penstock.*")]
    penstock("service", "uninstall", "--purge")
    seen["purged"] = not STATE.exists()
    return seen


def journal() -> list[dict[str, Any]]:
    """What the service logged, with its fields."""
    lines = subprocess.run(
        # All of it: a field of more than 4 KiB, as of all stacks, is left out else.
        ["journalctl", "-D", "/run/log/journal", "-o", "json", "--all", "SYSLOG_IDENTIFIER=penstock"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    names = ("MESSAGE", "PRIORITY", "PENSTOCK_LOGGER", "_TRANSPORT")
    return [{n: json.loads(line).get(n) for n in names} for line in lines]


def cold_request() -> dict[str, Any]:
    """A stopped service is started by the first request, which is served."""
    penstock("service", "install")
    systemctl("stop", "penstock.service")
    seen = {"before": shown("ActiveState"), "place kept": Path(f"/run/user/{os.getuid()}/penstock/daemon.sock").is_socket()}  # fmt: skip
    seen["status"] = Request().status()
    # It may answer a moment before the manager has read that it is ready.
    until(lambda: shown("ActiveState") == "active", "the start")
    seen["after"] = shown("ActiveState")
    seen["list"] = penstock("list", "--json")
    return seen


def killed() -> dict[str, Any]:
    """kill -9, with a request that comes while nobody is there."""
    penstock("service", "install")
    statuses = []
    for _ in range(3):
        pid = int(shown("MainPID"))
        os.kill(pid, signal.SIGKILL)
        statuses += [Request().status() for _ in range(3)]
    return {"statuses": statuses, "restarts": int(shown("NRestarts"))}


def requests_during_restart() -> dict[str, Any]:
    """`service restart`, while requests come in all the time."""
    penstock("service", "install")
    restart = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", "service", "restart"],
        stderr=subprocess.DEVNULL,
    )
    requests = []
    while restart.poll() is None:
        requests.append(Request())
        time.sleep(0.05)
    return {"code": restart.returncode, "statuses": [r.status() for r in requests]}


def failing() -> dict[str, Any]:
    """It cannot start until its config is mended; then `service restart` is enough."""
    penstock("service", "install")
    config = HOME / ".config" / "penstock" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("prot = 1\n")
    drop_in("[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=100ms\n")
    os.kill(int(shown("MainPID")), signal.SIGKILL)
    until(lambda: shown("ActiveState") == "failed", "giving up")
    seen = {"why": " ".join(str(line["MESSAGE"]) for line in journal())}
    config.write_text("max_concurrent = 1\n")
    penstock("service", "restart")
    return {**seen, "status": Request().status()}


def hung() -> dict[str, Any]:
    """A plugin blocks the loop: stacks in the log, then cut and started again."""
    plugins = HOME / "plugins"
    info = plugins / "hang-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hang\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[penstock.pipelines]\nhang = hang:KIND\n")
    (plugins / "hang.py").write_text(
        "import time\n"
        "from penstock.pipeline import Inputs, Kind, Output\n"
        "class Seconds(Inputs):\n    seconds: float\n"
        "async def block_the_loop(run, inputs):\n"
        "    time.sleep(inputs.seconds)\n    return Output()\n"
        "KIND = Kind('hang', 'hang', Seconds, Output, block_the_loop)\n"
    )
    os.environ["PYTHONPATH"] += f":{plugins}"
    path = os.environ["PYTHONPATH"]
    drop_in(
        f"[Service]\nEnvironment=PYTHONPATH={path}\nEnvironment=PENSTOCK_STALL_SECONDS=1\n"
        "WatchdogSec=3\n"
    )
    penstock("service", "install")
    pid = shown("MainPID")
    # The answer may be caught in the stall that it starts.
    submit = ("submit", "hang", "--on-restart", "fail", "--seconds")
    penstock(*submit, "1.6", code=None)
    until(lambda: "the loop was blocked" in penstock("health", "--json", code=None), "health")  # fmt: skip
    survived = shown("MainPID") == pid
    penstock(*submit, "600", "--id", "forever", code=None)
    until(lambda: shown("NRestarts") == "1", "the watchdog")
    status = Request().status()
    text = " ".join(str(line["MESSAGE"]) for line in journal())
    return {
        "survived a short one": survived,
        "status": status,
        "stacks": "block_the_loop" in text and "has been blocked" in text,
        "state": json.loads(penstock("show", "forever", "--json"))["state"],
    }


def hostile_stop() -> dict[str, Any]:
    """Stopped while runs that ignore TERM have left descendants in sessions of their own."""
    penstock("service", "install")
    ids = [escape(kind) for kind in ESCAPES]
    before = {run_id: len(marked(run_id)) for run_id in ids}
    began = time.monotonic()
    systemctl("stop", "penstock.service", "penstock.socket")
    return {
        "before": before,
        "seconds": time.monotonic() - began,
        "left": {run_id: marked(run_id) for run_id in ids},
        "supervisors": supervisors(),
        "result": shown("Result"),
    }


def hostile_kill() -> dict[str, Any]:
    """The daemon is killed with -9 while such runs live; systemd starts it again."""
    penstock("service", "install")
    ids = [escape(kind) for kind in ESCAPES]
    os.kill(int(shown("MainPID")), signal.SIGKILL)
    status = Request().status()
    return {
        "status": status,
        "left": {run_id: marked(run_id) for run_id in ids},
        "states": {
            run_id: json.loads(penstock("show", run_id, "--json"))["state"]
            for run_id in ids
        },
    }


def contained() -> dict[str, Any]:
    """Under the unit's Delegate=yes runs are ended by their cgroup."""
    penstock("service", "install")
    receipts = {}
    for kind in (*ESCAPES, "churn"):
        run_id = escape(kind)
        receipt = json.loads(penstock("cancel", run_id, "--wait", "--json"))
        receipts[kind] = {
            "method": receipt["method"],
            "survivors": receipt["survivors"],
            "gone": receipt["gone_at"] is not None,
            "left": marked(run_id),
        }
    group = Path("/sys/fs/cgroup") / shown("ControlGroup").lstrip("/")
    return {"receipts": receipts, "folders": sorted(p.name for p in group.iterdir() if p.is_dir())}  # fmt: skip


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {
    "installed": first_words,
    "cold": cold_request,
    "killed": killed,
    "restarted": requests_during_restart,
    "failing": failing,
    "hung": hung,
    "hostile-stop": hostile_stop,
    "hostile-kill": hostile_kill,
    "contained": contained,
}
