"""The program that reads what strangers wrote: `python -I -m penstock.kinds.confined MODULE`.

A parser that loops in C holds its whole process, and no thread or task of that process can end it.
So strangers' files are parsed here, in a process that the kernel ends when one of them takes too
much. Standard input is lines of JSON: first the limits, then what the requests that follow have in
common, `{"common": …}`, and the requests; each is answered by one line, by what `make_answer(common)`
of the module gives. Others with something else in common may follow, as long as the input is open.
When the program dies, the first request without an answer is what killed it.
"""

from __future__ import annotations

import importlib
import json
import math
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, BinaryIO

MakeAnswer = Callable[[dict[str, Any]], Callable[[dict[str, Any]], Any]]


class Limits:
    """What this process may not exceed: the kernel ends one that does."""

    def begin(self, memory: int) -> None:
        """Bound the process to so many bytes; what it dies of leaves no file behind."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    def admit(self, libraries: Mapping[str, str]) -> None:
        """Let these packages be imported from the folders that they lie in, and nothing else that lies there."""
        sys.meta_path.append(_Libraries(libraries))

    def allow(self, cpu: float, wall: float) -> None:
        """Let what follows take so many seconds."""
        soft = math.ceil(time.process_time() + cpu)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, wall)

    def rest(self) -> None:
        """Nothing is being read: whoever takes the answer may take its time."""
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Libraries:
    """Finds packages by their own folders: of what is installed this process has no path."""

    def __init__(self, libraries: Mapping[str, str]) -> None:
        self._libraries = libraries

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """See importlib; what lies below a package is found by that."""
        folder = self._libraries.get(fullname)
        return PathFinder.find_spec(fullname, [folder]) if folder else None


class Conversation:
    """Takes line after line; see above."""

    def __init__(self, make_answer: MakeAnswer, limits: Limits) -> None:
        self._make_answer = make_answer
        self._limits = limits
        self._head: dict[str, Any] | None = None
        self._answer: Callable[[dict[str, Any]], Any] = _unasked

    def reply(self, line: bytes) -> bytes:
        """The line that answers this one; empty for what asks nothing.

        A request for which the memory does not suffice is answered by null.
        """
        said = json.loads(line)
        if self._head is None:
            self._head = said
            self._limits.begin(said["memory"])
            self._limits.admit(said.get("libraries", {}))
            return b""
        if "common" in said:
            self._answer = self._make_answer(said["common"])
            return b""
        self._limits.allow(self._head["cpu"], self._head["wall"])
        try:
            reply = json.dumps(self._answer(said))
        except MemoryError:
            reply = "null"
        self._limits.rest()
        return reply.encode() + b"\n"


def _unasked(_request: dict[str, Any]) -> Any:
    raise ValueError("a request came before what it has in common with others")


def serve(
    make_answer: MakeAnswer,
    requests: Iterable[bytes],
    replies: BinaryIO,
    limits: Limits,
) -> None:
    """Answer every request, to the end of the input."""
    conversation = Conversation(make_answer, limits)
    for line in requests:
        if reply := conversation.reply(line):
            replies.write(reply)
            replies.flush()


def main() -> None:
    """Serve the module that is named first."""
    make_answer = importlib.import_module(sys.argv[1]).make_answer
    serve(make_answer, sys.stdin.buffer, sys.stdout.buffer, Limits())


if __name__ == "__main__":
    main()
