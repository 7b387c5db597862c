"""What is executed: a program with what is around it, as its supervisor is told, and why it could not be."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.processes.detection import Containment
from penstock.processes.pseudoterminal import WindowSize
from penstock.words.errors import NoProcess, PenstockError, Refused
from penstock.words.exit_codes import Exit

#: Beginnings of names that are the daemon's own and no process's business.
WITHHELD = ("LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "PENSTOCK_TOKEN")


@dataclass(frozen=True, slots=True)
class Program:
    """A program and what is around it; of its environment nothing of the daemon's own is handed on."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    #: None: the daemon's own.
    umask: int | None = None
    #: The size of its controlling terminal; what it shows there comes as stdout. None: it has pipes.
    terminal: WindowSize | None = None
    #: What goes to stderr comes as stdout, in the order in which it was written.
    one_stream: bool = False


@dataclass(frozen=True, slots=True)
class TreeLease:
    """By what a tree ends without a word of its daemon: see `lease_deadline`. `margin` in seconds."""

    path: str
    margin: float


def make_spec(
    program: Program,
    run_id: str,
    containment: Containment,
    grace: float,
    epoch: str,
    testimonies: Path | None = None,
    lease: TreeLease | None = None,
) -> dict[str, Any]:
    """The supervisor's table. Refused names what no process can be given."""
    root = containment.cgroup_root
    return {
        "argv": [_encode("inputs.argv", word) for word in program.argv],
        "cwd": _encode("inputs.cwd", str(program.cwd)),
        "env": {
            _encode("inputs.env", name): _encode("inputs.env", value)
            for name, value in child_environment(program.env, run_id, epoch).items()
        },
        "method": containment.method
        if root or containment.method != "cgroup"
        else "subreaper",
        "cgroup": str(root / f"run-{uuid.uuid4().hex}") if root else None,
        "tasks": containment.most_tasks or 0,
        "marker": _encode("run_id", f"PENSTOCK_RUN_ID={run_id}"),
        "epoch": _encode("epoch", f"PENSTOCK_EPOCH={epoch}" if epoch else ""),
        "grace": float(grace),
        "umask": program.umask,
        "terminal": None if program.terminal is None else tuple(program.terminal),
        "testimonies": "" if testimonies is None else str(testimonies),
        "lease": None if lease is None else (lease.path, lease.margin),
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


def refusal(failed: Mapping[str, Any], program: Program) -> PenstockError:
    """The sentence for a program that could not be started."""
    why, name = os.strerror(failed["errno"]), program.argv[0]
    if failed["stage"] == "fork":
        return NoProcess(f"no process could be made for {name!r}: {why}")
    if failed["stage"] == "lease":
        over = failed["errno"] == errno.ETIME
        told = "is over" if over else f"cannot be read: {why}"
        return NoProcess(f"{name!r} was not started: the daemon's lease {told}")
    if failed["stage"] == "terminal":
        return NoProcess(f"no terminal could be made for {name!r}: {why}")
    if failed["stage"] == "cwd":
        return Refused("inputs.cwd", f"{program.cwd} cannot be entered: {why}")
    missing = failed["errno"] == errno.ENOENT
    # As shells and env have it: a run that fails of it ends so, and says that no program gave it.
    return Refused(
        "inputs.argv",
        f"{name!r} cannot be executed: {why}",
        exit_code=int(Exit.NO_PROGRAM if missing else Exit.NOT_EXECUTABLE),
        exit_from="penstock",
    )


def _encode(field: str, text: str) -> bytes:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise Refused(field, "is not valid Unicode") from None
    if b"\0" in encoded:
        raise Refused(field, "must not contain NUL")
    return encoded
