"""What the verbs of every day cost beside a bare Python: CPU seconds, with bytecode that is compiled already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench._shared import Row, in_turns, scratch
from bench.start import daemon

#: As pip installs it: without `runpy`, which `-m` takes.
PENSTOCK = str(Path(sys.executable).with_name("penstock"))
#: What a script would import that asks over HTTP and reads its arguments.
BARE = [sys.executable, "-c", "import json, argparse"]
#: Verbs of one request, and those that follow a run, here of one that has ended.
VERBS = (
    ["list"], ["queue"], ["show", "r"], ["why", "r"], ["health"], ["cancel", "r"],
    ["submit", "command", "--", "true"], ["follow", "r"], ["wait", "r"], ["logs", "r"],
)  # fmt: skip
RUN = ["run", "command", "--", "true"]
#: The first that an agent says.
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {},
               "clientInfo": {"name": "bench", "version": "1"}},
}  # fmt: skip


def environ_in(folder: Path) -> Mapping[str, str]:
    """A home of its own. Bytecode is written: what an installer compiles, a checkout does at first use."""
    own = ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")
    known = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return known | dict.fromkeys(own, str(folder))


def cpu_of(command: list[str], environ: Mapping[str, str], said: bytes = b"") -> float:
    """CPU seconds of a command that is told this, its children's included."""
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE if said else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        if process.stdin is not None:
            process.stdin.write(said)
            process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (command, process.returncode)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def with_daemon() -> Iterator[Mapping[str, str]]:
    """The environment of a daemon that has the ended run `r`."""
    with scratch() as folder, daemon(folder):
        environ = environ_in(folder)
        cpu_of([PENSTOCK, "run", "command", "--id", "r", "--", "true"], environ)
        yield environ


def rows(long: bool) -> Iterator[Row]:
    """Each verb beside a bare Python, in turns; a run with and without a daemon; the bridge of MCP."""
    rounds = 15 if long else 7

    def measured(*words: str, said: bytes = b"") -> Callable[[], float]:
        def act() -> float:
            return cpu_of([PENSTOCK, *words], environ, said)

        act()
        return act

    with with_daemon() as environ:

        def bare() -> float:
            return cpu_of(BARE, environ)

        for verb in VERBS:
            ours, beside = in_turns(rounds, measured(*verb), bare)
            name = f"penstock {verb[0]}, CPU / python with json, argparse"
            yield Row(name, "s", "ratio <= 4", ours, beside)
        ours, beside = in_turns(rounds, measured(*RUN), bare)
        yield Row("penstock run -- true, CPU / the same", "s", "ours <= 0.15", ours, beside)  # fmt: skip
        hello = json.dumps(INITIALIZE).encode() + b"\n"
        [ours] = in_turns(rounds, measured("mcp", said=hello))
        yield Row("penstock mcp, one request, CPU", "s", "ours <= 0.3", ours)
    with scratch() as folder:
        environ = environ_in(folder)
        [ours] = in_turns(rounds, measured(*RUN))
        yield Row("penstock run -- true without a daemon, CPU", "s", "ours <= 0.6", ours)  # fmt: skip
