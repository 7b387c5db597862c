"""What the command line and an idle daemon cost, and what memory many runs leave behind.

python -m bench.start runs COUNT      MiB before and after so many no-op runs, as JSON
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trio
from bench._shared import Row, in_process, in_turns, open_bench_core, scratch
from bench.jobs import NOOP

from penstock.words.api import SubmitRequest

PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: Runs before memory is looked at first: the ring and every cache are full by then.
WARM_UP = 2000
MIB = 1024 * 1024


def cpu_of(command: list[str]) -> float:
    """CPU seconds of a command, its children's included."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used so far."""
    fields = (
        Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int | str) -> float:
    """MiB that a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


@contextmanager
def daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`penstock serve`, once it says that it is ready."""
    own = {
        "XDG_STATE_HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
    }
    environ: Mapping[str, str] = {**os.environ, **own}
    command = [*PENSTOCK, "serve", "--port", "0"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            while b"ready" not in (line := process.stderr.readline()):
                assert line, "the daemon ended before it was ready"
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


def serve(seconds: float) -> tuple[float, float, float]:
    """CPU seconds until ready, MiB once it is idle, and its share of a core in percent."""
    with scratch() as folder, daemon(folder) as process:
        ready = cpu_seconds(process.pid)
        time.sleep(2)
        before = cpu_seconds(process.pid)
        time.sleep(seconds)
        share = (cpu_seconds(process.pid) - before) / seconds
        return ready, resident(process.pid), share * 100


async def run_many(count: int) -> tuple[float, float]:
    """MiB held before and after so many no-op runs, in this process."""
    with scratch() as folder:
        async with open_bench_core(folder, NOOP) as core:

            async def submit(runs: int) -> float:
                for _ in range(runs):
                    request = SubmitRequest(kind="noop", inputs={})
                    await core.submitter.submit(request, wait=True)
                return resident("self")

            return await submit(WARM_UP), await submit(count)


def rows(long: bool) -> Iterator[Row]:
    """Help, a daemon's start and its idle life, and growth."""
    count = 100_000 if long else 5000
    helps, bare = in_turns(
        5,
        lambda: cpu_of([*PENSTOCK, "--help"]),
        lambda: cpu_of([sys.executable, "-c", ""]),
    )
    yield Row("penstock --help, CPU / python", "s", "ours < 0.3", helps, bare)
    served = [serve(30 if long else 5) for _ in range(3)]
    ready, held, share = ([one[n] for one in served] for n in range(3))
    yield Row("penstock serve until ready, CPU", "s", "ours < 1.5", ready)
    yield Row("idle daemon, memory", "MiB", "ours < 80", held)
    yield Row("idle daemon, CPU", "% of a core", "ours < 1", share)
    before, after = in_process("start", "runs", count)
    # Most of it is the store's page cache, which is bounded.
    name = f"growth over {count:,} no-op runs"
    yield Row(name, "MiB", "ours <= 64", [after - before])


if __name__ == "__main__":
    print(json.dumps(trio.run(run_many, int(sys.argv[2]))))
