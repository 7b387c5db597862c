"""What is asked often costs little: such a verb needs no event loop, no models, no HTTP library."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fakes.real_daemon import RealDaemon

pytestmark = pytest.mark.processes

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
#: What takes longer to import than such a verb takes to ask and to print.
HEAVY = {
    "asyncio", "dspy", "httpx", "penstock.cli.history", "pydantic", "pydantic_core", "rich",
    "sqlite3", "trio",
}  # fmt: skip
#: A command line -> its exit code, by a daemon that has the one run `r`, which has ended.
VERBS = {
    "submit command --id r -- true": 0,
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
    "answer r yes": 3,
    "intervene r hello": 4,
    "send r hello": 2,
    "health": 0,
    "clients": 0,
    "models": 0,
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


def test_a_frequent_verb_imports_nothing_heavy(real_daemon: RealDaemon) -> None:
    """Design 2, CL-01: against a running daemon, where nothing is configured in the environment."""
    environ = {k: v for k, v in os.environ.items() if k != "PENSTOCK_NO_SKIPS"}
    for line, code in VERBS.items():
        done = subprocess.run(
            [sys.executable, "-c", CODE, *line.split()], env=environ, text=True,
            capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, (line, done.stdout, done.stderr)
        imported = done.stderr.splitlines()[-1].split()
        assert "penstock.client.sync" in imported
        assert (line, HEAVY & set(imported)) == (line, set())
