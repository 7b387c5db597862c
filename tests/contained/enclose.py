"""Run a program with its children where they can harm nothing: `enclose.py PROGRAM ARG...`.

The place is that of the drills, with at most 200 tasks. The environment gets `CONTAINED=1` and `DELEGATED`, a cgroup v2
folder that is marked as delegated (empty where there is none). Exit status 77, with the reason,
when this machine cannot do it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from penstock_drills.enclosure import enclosed, open_enclosure, why_not_enclosed

MOST_TASKS = 200
SECONDS = 90
REFUSED = 77
PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Take the death of who started us, also by kill -9, as the word to end."""
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the tests have ended"))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the tests have ended")


def main() -> int:
    """The program's exit status; it is killed with all its children after 90 s."""
    end_with_parent()
    if (why := why_not_enclosed()) is not None:
        print(why)
        return REFUSED
    with ExitStack() as stack:
        try:
            enclosure = stack.enter_context(open_enclosure(MOST_TASKS))
        except OSError as error:
            print(f"the pids controller cannot be used: {error}")
            return REFUSED
        os.environ["CONTAINED"] = "1"
        os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
        os.environ["DELEGATED"] = str(enclosure.delegated or "")
        program = stack.enter_context(enclosed(enclosure, sys.argv[1:]))
        said, _ = program.communicate(timeout=SECONDS)
        print(said, end="")
        return program.returncode


if __name__ == "__main__":
    sys.exit(main())
