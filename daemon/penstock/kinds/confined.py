"""The program that reads what strangers wrote: `python -I -m penstock.kinds.confined MODULE`.

A parser that loops in C holds its whole process, and no thread or task of that process can end it.
So strangers' files are parsed here, in a process that the kernel ends when one of them takes too
much. Standard input is lines of JSON: first the limits and what all requests have in common, then
the requests; each is answered by one line, by what `make_answer(common)` of the module gives. When
the program dies, the first request without an answer is what killed it.
"""

from __future__ import annotations

import importlib
import json
import math
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

MakeAnswer = Callable[[dict[str, Any]], Callable[[dict[str, Any]], Any]]


class Limits:
    """What the kernel does not let this process exceed; it ends one that does."""

    def begin(self, memory: int) -> None:
        """Bound the process to so many bytes; what it dies of leaves no file behind."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    def allow(self, cpu: float, wall: float) -> None:
        """Let what follows take so many seconds."""
        soft = math.ceil(time.process_time() + cpu)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, wall)

    def rest(self) -> None:
        """Nothing is being read: whoever takes the answer may take its time."""
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(
    make_answer: MakeAnswer,
    requests: Iterable[bytes],
    replies: BinaryIO,
    limits: Limits,
) -> None:
    """Answer every line. A request for which the memory does not suffice is answered by null."""
    lines = iter(requests)
    head = json.loads(next(lines))
    limits.begin(head["memory"])
    answer = make_answer(head["common"])
    for line in lines:
        limits.allow(head["cpu"], head["wall"])
        try:
            reply = json.dumps(answer(json.loads(line)))
        except MemoryError:
            reply = "null"
        limits.rest()
        replies.write(reply.encode() + b"\n")
        replies.flush()


def main() -> None:
    """Serve the module that is named first."""
    make_answer = importlib.import_module(sys.argv[1]).make_answer
    serve(make_answer, sys.stdin.buffer, sys.stdout.buffer, Limits())


if __name__ == "__main__":
    main()
