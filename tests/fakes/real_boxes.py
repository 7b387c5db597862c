"""Real daemons that share a schema of a real server, and what their runs' processes write down themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon
from penstock.processes.liveness import living_since

#: The command line, in a process of its own.
_PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: Seconds that anything may take here.
PATIENCE = 60.0
#: The shortest lease that there is, in seconds.
LEASE = 6.0


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@dataclass(frozen=True)
class RealBoxes:
    """Boxes of one log, each with folders below `folder`."""

    server: PostgresServer
    schema: str
    folder: Path
    start_daemon: Callable[..., RealDaemon]

    def start(self, box: str, **settings: str) -> RealDaemon:
        """A daemon as the box of this name, with a lease of LEASE."""
        given = {
            "PENSTOCK_STORE": self.server.url,
            "PENSTOCK_STORE_SCHEMA": self.schema,
            "PENSTOCK_BOX": box,
            "PENSTOCK_ACCEPT": "team",
            "PENSTOCK_LEASE_SECONDS": str(LEASE),
            "PENSTOCK_STATE_DIR": str(self.folder / box / "state"),
            "PENSTOCK_RUNTIME_DIR": str(self.folder / box / "run"),
        }
        return self.start_daemon(**given | settings)

    def penstock(
        self, daemon: RealDaemon, *words: str
    ) -> subprocess.CompletedProcess[str]:
        """The command line, asking this daemon."""
        return subprocess.run(
            [*_PENSTOCK, *words], cwd=daemon.environ["HOME"], env=daemon.environ,
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    def told(self, daemon: RealDaemon, *words: str) -> list[dict[str, Any]]:
        """What a verb prints as JSON, a line each."""
        done = self.penstock(daemon, *words, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def state(self, daemon: RealDaemon, run_id: str) -> tuple[str, str]:
        """A run's state and box, as this daemon tells them; empty words if it knows none."""
        found = [r for r in self.told(daemon, "list") if r["run_id"] == run_id]
        return (found[0]["state"], found[0]["box"]) if found else ("", "")

    def facts(self, type_: str) -> list[dict[str, Any]]:
        """The bodies of all facts of a type, from the tables."""
        sql = (
            f"SELECT convert_from(body, 'utf8') FROM {self.schema}.events"
            " WHERE type = %s ORDER BY position"
        )
        return [json.loads(body) for (body,) in self.server.ask(sql, type_)]

    def standing(self) -> dict[str, str]:
        """The state of each box, from the tables."""
        return dict(self.server.ask(f"SELECT box, state FROM {self.schema}.boxes"))

    def stubborn(self, name: str) -> str:
        """A shell's line that does not heed TERM, with a child that left its parent; `began` tells of both."""
        pids = self.folder / name
        waits = f'trap "" TERM; echo $$ >> {pids}; while :; do sleep 1; done'
        (self.folder / f"{name}.sh").write_text(waits)
        return f'trap "" TERM; setsid sh {self.folder / name}.sh & {waits}'

    def began(self, name: str) -> dict[int, int]:
        """Start times by pid of what is there of all that ever began by this name; 0: it is not."""
        try:
            lines = (self.folder / name).read_text().split()
        except FileNotFoundError:
            return {}
        return {pid: living_since(pid) or 0 for pid in map(int, lines)}
