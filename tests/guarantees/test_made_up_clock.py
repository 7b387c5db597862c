"""MB-11: the drill's made-up clock is one that is off, and no more than that."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

#: Seconds that a program may take here.
PATIENCE = 60.0

pytestmark = pytest.mark.processes


def said_under(seconds: int, program: str) -> str:
    """What a program prints in a process whose clock is so many seconds ahead."""
    begin = f"from penstock_drills.made_up_clock import set_clock\nset_clock({seconds})"
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}\n{dedent(program)}"],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_the_time_of_day_is_off_wherever_a_daemon_asks_for_it(seconds: int) -> None:
    program = """
        import subprocess, time
        from datetime import UTC, datetime
        from penstock.words.values import new_event_id, utc_now
        right = int(subprocess.run(["date", "+%s"], capture_output=True, check=True).stdout)
        told = [
            time.time(), time.time_ns() / 1e9, datetime.now().timestamp(), datetime.now(UTC).timestamp(),
            datetime.now(tz=UTC).timestamp(), utc_now().timestamp(), (new_event_id().int >> 80) / 1e3,
        ]
        print({round((moment - right) / 600) * 600 for moment in told})
    """
    assert said_under(seconds, program) == f"{{{seconds}}}"


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_what_sleeps_and_what_a_lease_goes_by_are_right(seconds: int) -> None:
    """With faketime each of these fails, or never comes."""
    program = """
        import select, time
        from penstock.processes.lease_deadline import boottime, make_timer, set_timer
        with open("/proc/uptime") as uptime:
            assert abs(boottime() / 1e9 - float(uptime.read().split()[0])) < 60
        began = time.monotonic()
        time.sleep(0.05)
        assert time.monotonic() - began >= 0.05
        timer = make_timer()
        set_timer(timer, boottime() + 50_000_000)
        assert select.select([timer], [], [], 30)[0]
        print("right")
    """
    assert said_under(seconds, program) == "right"
