"""A program that tries to leave descendants behind: `victim.py KIND MARK FILE`.

Its descendants carry MARK in their arguments and touch FILE once they have escaped. All but those
of the harmless kinds ignore TERM, HUP and INT. Standard library only, since each run starts one.
"""

from __future__ import annotations

import os
import signal
import sys
import time

#: Kinds that may run anywhere, since they end when they are asked to.
HARMLESS = ("plain", "setsid")
KINDS = (
    *HARMLESS, "term-ignored", "double-fork", "env-wiped", "churn", "dead-leader",
)  # fmt: skip

#: Every victim ends by itself after so many seconds, whatever becomes of the drill.
LIFE_SECONDS = 60

_TOUCH = "import os, sys, time\nopen(sys.argv[2], 'w').close()\n"
_STAY = f"{_TOUCH}time.sleep({LIFE_SECONDS})"
# Forks and exits all the time, so that its pid is never the one that was just seen.
_CHURN = f"""{_TOUCH}
for _ in range({LIFE_SECONDS} * 300):
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.003)
"""
# Its first thread ends and another works on, so that /proc shows a zombie, with a living child.
_DEAD_LEADER = f"""
import ctypes, os, sys, threading, time
def work():
    while b') Z ' not in open(f'/proc/{{os.getpid()}}/stat', 'rb').read(): time.sleep(0.001)
    open(sys.argv[2], 'w').close()
    time.sleep({LIFE_SECONDS})
if not os.fork():
    time.sleep({LIFE_SECONDS})
    os._exit(0)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(0)
"""
_CODES = {"churn": _CHURN, "dead-leader": _DEAD_LEADER}


def main(kind: str, mark: str, file: str) -> None:
    """Spawn by the kind's way, and live on."""
    if kind not in HARMLESS:
        # Kept apart from the drill's other modules: nothing of them can be imported here.
        if os.environ.get("PENSTOCK_DRILL_ENCLOSED") != "1":
            raise SystemExit("hostile processes run only inside the enclosure")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    if not os.fork():
        if kind in {"setsid", "double-fork", "env-wiped"}:
            os.setsid()
        if kind in {"double-fork", "env-wiped"} and os.fork():
            os._exit(0)
        code = _CODES.get(kind, _STAY)
        words = [sys.executable, "-I", "-S", "-c", code, mark, file]
        os.execve(sys.executable, words, {} if kind == "env-wiped" else os.environ)
    time.sleep(LIFE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
