"""Contained processes of a run, seen from the daemon; the tree itself is its supervisor's."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import trio

from penstock.runs.containment import Containment as Containment
from penstock.runs.containment import detect_containment as detect_containment
from penstock.runs.finishing import finishing
from penstock.runs.previous import end_previous as end_previous
from penstock.runs.supervisor import KILL_SECONDS
from penstock.runs.tree import OnOutput, OnStarted, Tree, launch
from penstock.words.errors import Refused
from penstock.words.events import ProcessExited

#: Seconds beyond two rounds of TERM, grace and KILL, the second one for a lost supervisor.
CLOSE_SECONDS = 3.0
#: Beginnings of names that are the daemon's own and no process's business.
WITHHELD = ("LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "PENSTOCK_TOKEN")


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of a process tree. `gone_at` is set only when its emptiness was proven."""

    method: Literal["cgroup", "subreaper", "session"]
    pids: tuple[int, ...]
    survivors: tuple[int, ...] | Literal["unknown"]
    gone_at: datetime | None


async def run_process(
    argv: Sequence[str],
    *,
    run_id: str,
    cwd: Path,
    env: Mapping[str, str],
    containment: Containment,
    grace: float,
    stdin: bytes = b"",
    epoch: str = "",
    on_started: OnStarted,
    on_output: OnOutput,
    on_proof: Callable[[Proof], None],
    now: Callable[[], datetime],
) -> ProcessExited:
    """Run a program to the end of its whole tree; what outlives the main process is ended.

    `grace` is the seconds between TERM and KILL; `epoch`, the id of the log, tells this run from
    one of the same id in another. While `on_output` waits, so does a process that
    fills its pipe. A cancel ends the tree, in at most `grace` + 2 s and with the output of its last
    moments, before it goes on. `on_proof` is called once in every case, before this returns or
    raises. Refused when the program or the folder is not there; what the callbacks raise comes in
    a group.
    """
    spec = make_spec(argv, run_id, cwd, env, containment, grace, epoch)
    tree = await launch(
        spec, tuple(argv), run_id, subprocess.PIPE if stdin else subprocess.DEVNULL
    )
    try:
        async with finishing(tree.ask_end), trio.open_nursery() as nursery:
            await tree.start()
            nursery.start_soon(tree.feed, stdin)
            nursery.start_soon(tree.pump, "stdout", on_output)
            nursery.start_soon(tree.pump, "stderr", on_output)
            await tree.follow(on_started)
    finally:
        with trio.move_on_after(
            2 * (grace + KILL_SECONDS) + CLOSE_SECONDS, shield=True
        ):
            await tree.close()
        on_proof(prove(tree, containment, now()))
    if tree.failed is not None:
        raise refusal(tree.failed, argv, cwd)
    return exit_of(tree)


def make_spec(
    argv: Sequence[str],
    run_id: str,
    cwd: Path,
    env: Mapping[str, str],
    containment: Containment,
    grace: float,
    epoch: str,
) -> dict[str, Any]:
    """The supervisor's table. Refused names what no process can be given."""
    root = containment.cgroup_root
    return {
        "argv": [_encode("inputs.argv", word) for word in argv],
        "cwd": _encode("inputs.cwd", str(cwd)),
        "env": {
            _encode("inputs.env", name): _encode("inputs.env", value)
            for name, value in child_environment(env, run_id, epoch).items()
        },
        "method": containment.method
        if root or containment.method != "cgroup"
        else "subreaper",
        "cgroup": str(root / f"run-{uuid.uuid4().hex}") if root else None,
        "marker": _encode("run_id", f"PENSTOCK_RUN_ID={run_id}"),
        "epoch": _encode("epoch", f"PENSTOCK_EPOCH={epoch}" if epoch else ""),
        "grace": float(grace),
    }


def child_environment(
    env: Mapping[str, str], run_id: str, epoch: str = ""
) -> dict[str, str]:
    """What the process sees: what it was given and its run's id, nothing of the daemon's own."""
    for name in env:
        if not name or "=" in name:
            raise Refused("inputs.env", f"{name!r} cannot be the name of a variable")
    kept = {name: value for name, value in env.items() if not name.startswith(WITHHELD)}
    own = {"PENSTOCK_RUN_ID": run_id, "PENSTOCK_EPOCH": epoch}
    return {**kept, **{name: value for name, value in own.items() if value}}


def prove(tree: Tree, containment: Containment, now: datetime) -> Proof:
    """The proof of a tree that was closed."""
    survivors = tree.survivors
    return Proof(
        method=tree.started.method if tree.started else containment.method,
        pids=tree.pids,
        survivors=survivors,
        gone_at=now if survivors == () else None,
    )


def exit_of(tree: Tree) -> ProcessExited:
    """How the main process ended; neither code nor signal when nobody saw it."""
    exited = tree.exited or {}
    return ProcessExited(
        pid=tree.started.pid if tree.started else 0,
        exit_code=exited.get("exit_code"),
        signal=exited.get("signal"),
        leftover=exited.get("leftover", 0),
        survivors=tree.survivors,
    )


def refusal(failed: Mapping[str, Any], argv: Sequence[str], cwd: Path) -> Refused:
    """The sentence for a program that could not be started."""
    why = os.strerror(failed["errno"])
    if failed["stage"] == "cwd":
        return Refused("inputs.cwd", f"{cwd} cannot be entered: {why}")
    return Refused("inputs.argv", f"{argv[0]!r} cannot be executed: {why}")


def _encode(field: str, text: str) -> bytes:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise Refused(field, "is not valid Unicode") from None
    if b"\0" in encoded:
        raise Refused(field, "must not contain NUL")
    return encoded
