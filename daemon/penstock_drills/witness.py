"""The program of a run, which writes down that it is alive: `witness.py FILE RUN SECONDS [deaf]`.

A line tells the run, a box, a process, what happened and when, by the time since the box was started: no
clock that somebody sets, nor one that a library in front of the system's makes up. Each is written
whole at the end of the file, so that many may write. A lock on a file of the run is held as long as
this process lives, whatever it dies of: who finds it held writes `beside`, and how the holder is.
Standard library only, since each run starts one.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

#: Seconds between two words of a process.
BEAT_SECONDS = 0.1


def since_boot() -> float:
    """Seconds, sleep included; the kernel's own word, to a hundredth."""
    with open("/proc/uptime", encoding="ascii") as uptime:
        return float(uptime.read().split()[0])


def stands_still(pid: int) -> bool:
    """Whether this process is stopped: it is there, and does nothing."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "tT"
    except OSError:
        return False


def main(file: str, run_id: str, seconds: float, *, deaf: bool = False) -> None:
    """Live for so many seconds, and write that down; a deaf one hears no TERM."""
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    box, pid = os.path.basename(os.environ.get("HOME", "")) or "?", os.getpid()
    marks = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def say(what: str, other: int = 0) -> None:
        line = f"{run_id} {box} {pid} {what} {since_boot()} {other}\n"
        os.write(marks, line.encode())

    say("start")
    lock = os.open(f"{file}.{run_id}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = int(os.pread(lock, 20, 0) or b"0")
        say("asleep" if stands_still(holder) else "beside", holder)
    else:
        os.pwrite(lock, f"{pid:<20}".encode(), 0)
    until = since_boot() + seconds
    while since_boot() < until:
        time.sleep(BEAT_SECONDS)
        say("alive")
    say("end")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), deaf="deaf" in sys.argv[4:])
