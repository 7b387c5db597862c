"""What lives of processes that were said to be gone, told so that a failure explains itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from penstock.processes.liveness import living_since, read_of_threads

SHOWN = ("stat", "wchan", "cgroup")


def living(pids: Iterable[int]) -> dict[int, list[str]]:
    """Those that live, each with what /proc says of it.

    Whether it is the process that was meant, one that is dying or a stranger with a used number is told by
    its state, parent, session and start time, all in `stat`, and by its words.
    """
    return {pid: _told(pid) for pid in pids if living_since(pid) is not None}


def _told(pid: int) -> list[str]:
    words = [read_of_threads(pid, name) for name in ("cmdline", "environ")]
    marks = [w for w in words[1].split(b"\0") if w.startswith(b"PENSTOCK_")]
    uptime = f"at {Path('/proc/uptime').read_text().split()[0]} s of uptime"
    seen = [uptime, repr(words[0]), repr(marks)]
    return seen + [_read(pid, name) for name in SHOWN]


def _read(pid: int, name: str) -> str:
    try:
        return f"{name}: {Path(f'/proc/{pid}/{name}').read_text().strip()}"
    except OSError as error:
        return f"{name}: {error}"
