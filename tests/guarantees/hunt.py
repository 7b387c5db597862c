"""Tells one story with one fault at point after point, schedule after schedule, until a law is broken.

Run in a process whose package has a bug planted: `hunt.py SCENARIO FAULT`. Prints what was seen.
"""

from __future__ import annotations

import logging
import sys
from itertools import count

from penstock_drills.faultpoints import tell_at
from penstock_drills.scenarios import SCENARIOS

#: Schedules of a story that are tried; a bug that none of them shows wants another story.
SEEDS = range(1, 21)


def find(scenario: str, fault: str) -> str:
    """What was seen; "" when all points of all schedules were tried and every law held."""
    for seed in SEEDS:
        for at in count(1):
            told = tell_at(SCENARIOS[scenario], fault, at, seed)
            if told.broken:
                return str(told)
            if fault == "none" or not told.reached:
                break
    return ""


def main(scenario: str, fault: str) -> None:
    """Exit status 0: found; 3: not found."""
    logging.disable(logging.CRITICAL)
    found = find(scenario, fault)
    print(found)
    sys.exit(0 if found else 3)


if __name__ == "__main__":
    main(*sys.argv[1:])
