"""A process that tries to leave descendants behind: `victim.py KIND MARK stay|exit`.

Each descendant carries MARK in its arguments and says `escaped`; this process says `up`. All but
those of the kind `plain` ignore TERM, HUP and INT.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping

LOOP = "import os, time\nos.write(1, b'escaped ')\nwhile True: time.sleep(1)"
#: Forks and exits for some seconds, so that its pid changes all the time.
CHURN = """
import os, time
os.write(1, b'escaped ')
for _ in range(1500):
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.003)
"""

#: Its first thread ends and another works on: /proc shows a zombie, with a living child.
DEAD_LEADER = """
import ctypes, os, threading, time
def work():
    while b') Z ' not in open(f'/proc/{os.getpid()}/stat', 'rb').read(): time.sleep(0.001)
    os.write(1, b'escaped ')
    while True: time.sleep(1)
if not os.fork():
    while True: time.sleep(1)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(0)
"""
#: Programs of root's for everybody, put there by `hidden.py`.
SETUID = "/mnt/"
HIDDEN = {
    # Still its caller's to kill.
    "hidden": [f"{SETUID}sleep", "1000"],
    # Nobody's but root's.
    "hidden-root": [f"{SETUID}setpriv", "--reuid=0", "sleep", "1000"],
}


def become(code: str, mark: str, environ: Mapping[str, str]) -> None:
    """Turn into a long-lived process; ignored signals stay ignored."""
    os.execve(
        sys.executable, [sys.executable, "-I", "-S", "-c", code, mark], dict(environ)
    )


def wait_hidden(pid: int) -> None:
    """Until /proc, mounted with hidepid, says nothing of this child any more."""
    while os.path.exists(f"/proc/{pid}/stat"):
        time.sleep(0.001)


def main() -> None:
    """Spawn by the kind's way and live on, or exit when told so."""
    assert os.environ.get("CONTAINED") == "1", "only inside the enclosure"
    kind, mark, ending = sys.argv[1:]
    if kind != "plain":
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    if not (child := os.fork()):
        if kind in HIDDEN:
            os.execv(HIDDEN[kind][0], HIDDEN[kind])
        if kind in ("setsid", "double-fork", "env-wiped"):
            os.setsid()
        if kind in ("double-fork", "env-wiped") and os.fork():
            os._exit(0)
        become(
            {"churn": CHURN, "dead-leader": DEAD_LEADER}.get(kind, LOOP),
            mark,
            {} if kind == "env-wiped" else os.environ,
        )
    if kind in HIDDEN:
        wait_hidden(child)
        os.write(1, b"escaped ")
    os.write(1, b"up ")
    time.sleep(0.2 if ending == "exit" else 1000)


if __name__ == "__main__":
    main()
