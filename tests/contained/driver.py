"""A daemon of one run inside the enclosure: `driver.py METHOD KIND MARK cancel|exit|kill pipe|tty forked|lost|executed`.

It starts a victim, waits until that has escaped, and then cancels it, waits for its exit, or waits
to be killed. With `lost` the template of its supervisor is killed before. It says `ready` before and tells the proof, as JSON, at the end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Literal

import trio

from penstock.processes.containment import children
from penstock.processes.detection import Containment, detect_containment
from penstock.processes.forking import open_launcher
from penstock.processes.launching import launch_executed
from penstock.processes.process import Proof, run_process
from penstock.processes.pseudoterminal import WindowSize
from penstock.processes.spec import Program
from penstock.words.events import ProcessStarted

VICTIM = str(Path(__file__).with_name("victim.py"))
GRACE = 0.3


def contained(method: str) -> Containment:
    """The containment of this method, by detection in the delegated cgroup."""
    if method == "cgroup":
        (Path(os.environ["DELEGATED"]) / "cgroup.procs").write_text(str(os.getpid()))
    found = detect_containment({"PENSTOCK_CONTAINMENT": method})
    assert found.method == method, found
    return found


def kill_template() -> None:
    """Kill the only child of this process: supervisors are those of the template."""
    [template] = children(os.getpid())
    os.kill(template, signal.SIGKILL)


async def drive(
    method: str, kind: str, mark: str, ending: str, streams: str, road: str
) -> dict[str, Any]:
    """One run; its proof and the time its end took."""
    output, proofs, escaped = bytearray(), list[Proof](), trio.Event()

    async def on_started(started: ProcessStarted) -> None:
        await trio.lowlevel.checkpoint()

    async def on_output(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        output.extend(data)
        if b"up" in output and b"escaped" in output:
            escaped.set()

    began, stay = 0.0, "exit" if ending == "exit" else "stay"
    with trio.move_on_after(20) as scope:
        async with open_launcher() as launcher, trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                nonlocal began
                await escaped.wait()
                if road == "lost":
                    kill_template()
                print("ready", flush=True)
                began = trio.current_time()
                if ending == "cancel":
                    scope.cancel(reason="test")

            await run_process(
                Program(
                    (sys.executable, VICTIM, kind, mark, stay),
                    Path("/"),
                    {"CONTAINED": "1"},
                    terminal=WindowSize() if streams == "tty" else None,
                ),
                run_id=mark,
                containment=contained(method),
                grace=GRACE,
                launcher=launch_executed if road == "executed" else launcher,
                on_started=on_started,
                on_output=on_output,
                on_proof=proofs.append,
            )
    [proof] = proofs
    return {
        "method": proof.method,
        "survivors": proof.survivors,
        "gone": proof.survivors == (),
        "seconds": trio.current_time() - began,
        "escaped": escaped.is_set(),
    }


if __name__ == "__main__":
    assert os.environ.get("CONTAINED") == "1", "only inside the enclosure"
    method_, kind_, mark_, ending_, streams_, road_ = sys.argv[1:]
    told = trio.run(drive, method_, kind_, mark_, ending_, streams_, road_)
    print(json.dumps(told), flush=True)
