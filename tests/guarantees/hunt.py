"""Tells one story with one fault at point after point, until a law is seen broken.

Run in a process whose package has a bug planted: `hunt.py SCENARIO FAULT`. Prints what was seen.
The scenario `schedules` stands for numbered schedules, one after the other.
"""

from __future__ import annotations

import logging
import sys

from penstock.drills.faultpoints import tell_at
from penstock.drills.scenarios import SCENARIOS
from penstock.drills.schedules import run_schedule


def main(scenario: str, fault: str) -> None:
    """Exit status 0: found; 3: all points were tried and every law held."""
    logging.disable(logging.CRITICAL)
    at = 1
    while scenario == "schedules":
        numbered = run_schedule(at)
        if numbered.broken:
            print(f"schedules, --seed {at}: {'; '.join(numbered.broken)}")
            return
        at += 1
    while True:
        told = tell_at(SCENARIOS[scenario], fault, at)
        if told.broken:
            print(told)
            return
        if fault == "none" or not told.reached:
            sys.exit(3)
        at += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
