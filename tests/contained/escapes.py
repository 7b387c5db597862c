"""Every escape kind against one method: `escapes.py METHOD cancel|exit|kill pipe|tty forked|lost|executed`; a line of JSON each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock.processes.containment import all_pids, send
from penstock.processes.liveness import living_since, read_of_threads

KINDS = (
    "plain",
    "term-ignored",
    "setsid",
    "double-fork",
    "env-wiped",
    "churn",
    "dead-leader",
)
DRIVER = str(Path(__file__).with_name("driver.py"))
#: Grace, KILL and the report, with room for a loaded machine.
SECONDS = 6.0


def living(word: bytes) -> dict[int, int]:
    """Start times by pid of the processes with this word in their arguments."""
    found = {}
    for pid in all_pids():
        if word not in read_of_threads(pid, "cmdline"):
            continue
        if (start_time := living_since(pid)) is not None:
            found[pid] = start_time
    return found


def alone() -> bool:
    """Whether nothing lives here but this process, to which every orphan comes: no child is left."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
        return False
    return True


def one(method: str, kind: str, ending: str, streams: str, road: str) -> dict[str, Any]:
    """What one run left behind."""
    mark = f"mark-{method}-{kind}-{ending}"
    driver = subprocess.Popen(
        [sys.executable, DRIVER, method, kind, mark, ending, streams, road],
        stdout=subprocess.PIPE,
    )
    assert driver.stdout is not None
    with driver.stdout:
        assert driver.stdout.readline() == b"ready\n"
        before = len(living(mark.encode()))
        if ending == "kill":
            driver.kill()
        proof = json.loads(driver.stdout.readline() or "null")
    driver.wait()
    began = time.monotonic()
    # A proof of emptiness holds at once; after a kill nobody can say when it is over.
    while ending == "kill" and time.monotonic() < began + SECONDS:
        if alone():
            break
        time.sleep(0.01)
    lonely, left = alone(), living(mark.encode())
    result = {
        "kind": kind,
        "alone": lonely,
        "before": before,
        "left": len(left),
        "supervisors": len(living(b"from penstock.processes.")),
        "folders": len(list(Path(os.environ["DELEGATED"] or "/nowhere").glob("run-*"))),
        "proof": proof,
    }
    while left:
        for pid, start_time in left.items():
            send(pid, start_time, 9)
        left = living(mark.encode())
    return result


if __name__ == "__main__":
    assert os.environ.get("CONTAINED") == "1", "only inside the enclosure"
    assert os.getpid() < 10, "only in a PID namespace of its own"
    for each in KINDS:
        method_, ending_, streams_, road_ = sys.argv[1:]
        print(json.dumps(one(method_, each, ending_, streams_, road_)), flush=True)
