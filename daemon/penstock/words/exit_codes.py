"""The exit codes of commands, told once: help and README are made of these tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum


class Exit(IntEnum):
    """How a command ends."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    NO_DAEMON = 69
    #: A fault of ours, or a box that is out of order.
    UNFORESEEN = 70
    #: The log can no longer be trusted, or its files were taken away: another start must look.
    LOG_LOST = 74
    QUEUE_FULL = 75
    AUTH = 77
    TIMEOUT = 124
    #: Whatever keeps a verb that ends as its run does from knowing how that ended.
    PENSTOCK = 125
    NOT_EXECUTABLE = 126
    NO_PROGRAM = 127
    INTERRUPTED = 130
    CANCELLED = 143


#: Verbs that end as the run that they tell of did.
RUN_VERBS = ("run", "follow", "wait", "attach")
#: The kind that is nothing but its program: what fails it otherwise is Penstock's own.
PROGRAM_KIND = "command"
#: The kind whose words are data: what a coding agent says.
AGENT_KIND = "agent"

#: What some of these codes say of a run that no program of its own gave them.
OF_PENSTOCK: Mapping[int, str] = {
    Exit.NO_PROGRAM: "the program was not found",
    Exit.NOT_EXECUTABLE: "the program cannot be executed",
    Exit.TIMEOUT: "the run used up its timeout",
    Exit.CANCELLED: "the run was cancelled",
}

#: What the codes of those verbs say.
CODES_OF_RUNS: tuple[tuple[str, str], ...] = (
    ("N", "what the program exited with"),
    ("128 + N", "signal N ended the program"),
    (str(int(Exit.NO_PROGRAM)), OF_PENSTOCK[Exit.NO_PROGRAM]),
    (str(int(Exit.NOT_EXECUTABLE)), OF_PENSTOCK[Exit.NOT_EXECUTABLE]),
    (str(int(Exit.TIMEOUT)), "the run used up its `--timeout`"),
    (str(int(Exit.CANCELLED)), OF_PENSTOCK[Exit.CANCELLED]),
    (str(int(Exit.INTERRUPTED)), "Ctrl-C here"),
    (
        str(int(Exit.PENSTOCK)),
        "Penstock failed; a line on stderr begins with `penstock:`",
    ),
    (str(int(Exit.USAGE)), "called wrongly, or refused"),
    (str(int(Exit.OK)), "a run of another kind than `command` completed"),
    (str(int(Exit.RUN_FAILED)), "one of another kind failed"),
)

#: What those of all other verbs say.
CODES: tuple[tuple[str, str], ...] = (
    (str(int(Exit.OK)), "ok"),
    (str(int(Exit.RUN_FAILED)), "failed"),
    (str(int(Exit.USAGE)), "called wrongly, or refused"),
    (str(int(Exit.NOT_FOUND)), "not found"),
    (str(int(Exit.CONFLICT)), "conflict"),
    (str(int(Exit.NO_DAEMON)), "no daemon"),
    (str(int(Exit.UNFORESEEN)), "not foreseen"),
    (str(int(Exit.LOG_LOST)), "log lost"),
    (str(int(Exit.QUEUE_FULL)), "queue full"),
    (str(int(Exit.AUTH)), "not allowed"),
    (str(int(Exit.INTERRUPTED)), "interrupted"),
)


def in_a_line(codes: Iterable[tuple[str, str]]) -> str:
    """Such a table as a sentence: `0 ok, 1 failed, …`."""
    return ", ".join(f"{code} {meaning}" for code, meaning in codes)
