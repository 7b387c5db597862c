"""Which exit code the end of a run is, on every surface the same. Values in, values out."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from penstock.words.exit_codes import OF_PENSTOCK, PROGRAM_KIND, Exit
from penstock.words.lifecycle import CANCELLED, COMPLETED, ENDS, TERMINAL_STATES, State
from penstock.words.printed import ShownFact

#: Who gave the code: the program, the signal that ended it, or Penstock for want of either.
ExitFrom = Literal["program", "signal", "penstock"]

#: Reasons of failures that are the daemon's, whatever the kind.
OWN_REASONS = frozenset({"shutdown", "crashed"})


class RunExit(NamedTuple):
    """`origin` tells a program's own 124 to 127 from Penstock's."""

    code: int
    origin: ExitFrom


def exit_of_run(
    kind: str,
    state: State | None,
    reason: str,
    details: Mapping[str, Any],
    result: Any,
) -> RunExit | None:
    """How a run of this kind ended, by its terminal event's fields; None while it has not.

    Of any kind, a result with an `exit_code` and a failure with an `exit_code` or a `signal` (as
    ProcessFailed has it) are those of the program that decided the end.
    """
    if state not in TERMINAL_STATES:
        return None
    if state == CANCELLED:
        return RunExit(Exit.CANCELLED, "penstock")
    if state == COMPLETED:
        kept = result if isinstance(result, Mapping) else {}
        return _of_program(kept) or RunExit(Exit.OK, "penstock")
    if reason == "timeout":
        return RunExit(Exit.TIMEOUT, "penstock")
    if (ended := _of_program(details)) is not None:
        return ended
    own = kind == PROGRAM_KIND or reason in OWN_REASONS
    return RunExit(Exit.PENSTOCK if own else Exit.RUN_FAILED, "penstock")


def exit_of_fact(kind: str, fact: ShownFact) -> RunExit | None:
    """The same by the event itself; None if it ends no run.

    One of another version's shape says what it can.
    """
    event = fact.event
    details, result = getattr(event, "details", None), getattr(event, "result", None)
    return exit_of_run(
        kind,
        ENDS.get(fact.type),
        str(getattr(event, "reason", "")),
        details if isinstance(details, Mapping) else {},
        result,
    )


def exit_json(ended: RunExit | None) -> dict[str, Any]:
    """The two members by which every surface tells it."""
    return {
        "exit_code": None if ended is None else int(ended.code),
        "exit_from": None if ended is None else ended.origin,
    }


def read_exit(told: Mapping[str, Any]) -> RunExit | None:
    """What `exit_json` wrote; None of a run that has not ended, or from an older daemon."""
    if told.get("exit_code") is None or told.get("exit_from") is None:
        return None
    return RunExit(told["exit_code"], told["exit_from"])


def exit_in_words(ended: RunExit) -> str:
    """The code and who gave it; nothing of a run that had no program to give one."""
    code = int(ended.code)
    if ended.origin == "program":
        return f"exit code {code}, from the program"
    if ended.origin == "signal":
        return f"exit code {code}: {signal_name(code - 128)} ended the program"
    if code in (Exit.OK, Exit.RUN_FAILED):
        return ""
    why = OF_PENSTOCK.get(code)
    return f"exit code {code}, from Penstock" + (f": {why}" if why else "")


def signal_name(number: int) -> str:
    """`SIGTERM`; a real-time signal has only its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _of_program(told: Mapping[str, Any]) -> RunExit | None:
    code, number = told.get("exit_code"), told.get("signal")
    if isinstance(number, int) and 0 < number < 128:
        return RunExit(128 + number, "signal")
    if isinstance(code, int) and 0 <= code < 256:
        own = told.get("exit_from") == "penstock"
        return RunExit(code, "penstock" if own else "program")
    return None
