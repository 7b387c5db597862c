"""What is asked often costs little: such a verb needs no event loop, no models, no HTTP library."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from fakes.real_daemon import RealDaemon

pytestmark = pytest.mark.processes

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
#: What takes longer to import than such a verb takes to ask and to print.
HEAVY = {
    "anyio", "asyncio", "dspy", "h11", "http.client", "httpx", "importlib.metadata", "penstock.words.events",
    "pydantic", "pydantic_core", "rich", "sqlite3", "ssl", "textual", "trio", "trio_websocket",
}  # fmt: skip
#: A command line -> its exit code, by a daemon that has the one run `r`, which has ended.
VERBS = {
    "submit command --id r -- true": 0,
    "add --id r2 true": 0,
    "run true": 0,
    "status": 0,
    "show @last": 0,
    "show 1": 0,
    "queue": 0,
    "pause": 0,
    "drain --no-wait": 0,
    "resume": 0,
    "why r": 0,
    "show r": 0,
    "show nobody": 3,
    "list": 0,
    "cancel r": 0,
    "retry nobody": 3,
    "asks": 0,
    "asks r": 0,
    "diff r": 3,
    "apply r": 3,
    "say r hello": 4,
    "answer r yes": 3,
    "intervene r hello": 4,
    "send r hello": 2,
    "health": 0,
    "boxes": 0,
    "clients": 0,
    "models": 0,
    "run command -- true": 0,
    "run command --json -- true": 0,
    "run command -- false": 1,
    "follow r": 0,
    "follow r --json": 0,
    "wait r": 0,
    "wait r nobody": 125,
    "logs r": 0,
    "logs r --follow --tail 3": 0,
    "events r": 0,
    "events r --follow": 0,
    "artifacts r": 0,
    "shutdown --cancel-all": 0,
}
#: Runs the verb, then tells what was imported on the way.
CODE = """
import sys
from penstock.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""

#: What a shell asks with when somebody presses Tab, and the lines that stand there then.
COMPLETION = {"_PENSTOCK_COMPLETE": "bash_complete"}
LINES = (
    "penstock show r", "penstock submit --group d", "penstock cancel group:", "penstock can",
    "penstock list state:f", "penstock run mak",
)  # fmt: skip


def imported_by(line: str, code: int, **environ: str) -> set[str]:
    """What this command imports; it must end so."""
    # Nothing is configured, as with most people.
    known = {k: v for k, v in os.environ.items() if k != "PENSTOCK_NO_SKIPS"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *line.split()], env=known | environ, text=True,
        capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return set(done.stderr.splitlines()[-1].split())


def test_a_frequent_verb_imports_nothing_heavy(real_daemon: RealDaemon) -> None:
    """Design 2, CL-01, DU-02: against a running daemon, also where it follows the log, or writes to its end."""
    for line, code in VERBS.items():
        imported = imported_by(line, code)
        assert "penstock.client.sync" in imported
        assert (line, HEAVY & imported) == (line, set())


def test_a_run_without_a_daemon_imports_no_server(homes: Any) -> None:
    """SY-07: it asks the daemon that it became in the process; a server is for others, who mostly never come."""
    home = str(homes.move_in())
    of_its_own = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"), home)
    imported = imported_by("run command -- true", 0, **of_its_own)
    assert "penstock.service.embedded" in imported
    server = {"hypercorn", "quart", "quart_trio", "trio_websocket", "mcp", "h11"}
    assert server & imported == set()


def test_a_word_is_completed_without_anything_heavy(real_daemon: RealDaemon) -> None:
    """CL-01: with each key that is typed."""
    imported_by("submit command --id r -- true", 0)
    for line in LINES:
        imported = imported_by("", 0, **COMPLETION, COMP_LINE=line)
        assert (line, HEAVY & imported) == (line, set())


def test_the_bridge_of_an_agent_imports_no_more_than_trio(
    real_daemon: RealDaemon,
) -> None:
    """MCP-01: hosts ask their model without the tools of who answers late."""
    imported = imported_by("mcp", 0)
    assert "penstock.client.bridge" in imported
    assert (HEAVY - {"trio", "ssl"}) & imported == set()
