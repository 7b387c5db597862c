"""What a client that took nothing for a while must be told afterwards, by its policy."""

from __future__ import annotations

from penstock.log.bus import Overflow
from penstock_drills.listeners import Listener

POLICIES: tuple[Overflow, ...] = ("catch_up", "drop_oldest", "disconnect")
#: Close code of a client that its policy disconnects.
CODE_LAGGED = 1013


def judge(listener: Listener, head: int, kept: int) -> list[str]:
    """What is wrong, in words. `head`: all that was published; `kept`: what the store tells up to."""
    wrong = [*listener.broken]
    policy = listener.overflow
    if bool(listener.gaps) != (policy == "drop_oldest"):
        wrong.append(f"gaps {listener.gaps}")
    if (listener.closed == CODE_LAGGED) != (policy == "disconnect"):
        wrong.append(f"closed with {listener.closed}")
    if policy != "disconnect" and listener.cursor < head:
        wrong.append(f"told up to {listener.cursor} of {head}")
    missed = max([head, *(last for _, last in listener.gaps)])
    if kept < missed:
        wrong.append(f"missed up to {missed}, and the store tells {kept}")
    return wrong
