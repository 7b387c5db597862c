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
KINDS = (*HARMLESS, "term-ignored", "double-fork", "env-wiped", "churn")

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
        code = _CHURN if kind == "churn" else _STAY
        words = [sys.executable, "-I", "-S", "-c", code, mark, file]
        os.execve(sys.executable, words, {} if kind == "env-wiped" else os.environ)
    time.sleep(LIFE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
