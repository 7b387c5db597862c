"""A machine that refuses to sleep or to set a timer, as a sandbox may: what must end ends all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from penstock.service.signals import CUT_SHORT

TESTS = Path(__file__).parents[1]
#: Seconds that a program may take here.
PATIENCE = 60.0

pytestmark = pytest.mark.processes


def run_refused(calls: str, program: str, *words: str) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """A program in a process in which these calls fail."""
    begin = f"""
        import errno, sys, time
        sys.path.insert(0, {str(TESTS)!r})
        from fakes.refused_calls import refuse_calls
        refuse_calls(*{calls.split()!r}, error=errno.EINVAL)
    """
    return subprocess.run(
        [sys.executable, "-c", dedent(begin) + dedent(program), *words],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_an_end_that_is_held_up_is_cut_short_where_nobody_may_sleep() -> None:
    """DT-02: by the thread that says where it stands, and not by the kernel's alarm, which says nothing."""
    program = """
        import threading
        from penstock.service.signals import LastResort
        last_resort = LastResort(0.1, lambda: print("flushed", flush=True))
        last_resort.start()
        last_resort.arm()
        threading.Event().wait()
    """
    done = run_refused("clock_nanosleep nanosleep", program)
    assert (done.returncode, done.stdout) == (CUT_SHORT, "flushed\n"), done.stderr
    assert "the end is held up" in done.stderr


def test_a_lease_whose_alarm_cannot_be_set_is_looked_at_now_and_then(
    tmp_path: Path,
) -> None:
    """MB-07: an alarm that was never set never rings, and nobody would look again."""
    program = """
        from penstock.processes.lease_deadline import LeaseDeadline, boottime, encode
        with open(sys.argv[1], "wb") as file:
            file.write(encode(boottime() + 600_000_000_000))
        deadline = LeaseDeadline(sys.argv[1], 7.0)
        assert not deadline.passed()
        print(deadline.bounded(None), deadline.bounded(600.0), deadline.bounded(0.02))
    """
    done = run_refused("timerfd_settime", program, str(tmp_path / "lease"))
    assert (done.returncode, done.stdout) == (0, "0.5 0.5 0.02\n"), done.stderr


def test_a_start_waits_for_what_ends_where_nobody_may_sleep(tmp_path: Path) -> None:
    """CN-06: for processes of an earlier life, and for the proofs that are still to come."""
    program = """
        from penstock.processes.termination import wait_unseen
        from penstock.processes.testimony import wait_testimonies
        looks = iter(({5: 1}, {5: 1}, {}))
        assert wait_unseen(lambda: next(looks), time.monotonic() + 30)
        assert wait_testimonies(sys.argv[1], "boot", {"boot.5.1"}, 0.1) == set()
    """
    done = run_refused("clock_nanosleep nanosleep", program, str(tmp_path))
    assert done.returncode == 0, done.stderr
