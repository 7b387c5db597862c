"""Strangers' files, read by a process that they may break: see `penstock.kinds.confined`.

One process reads a whole tree. A file that takes more than it may costs the process, which is begun
anew behind it, and its own words; nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from penstock.pipeline import (
    Run,
    carry_code,
    end_in_words,
    launch_carried,
    modules_below,
)

#: Files of one tree that may break the process: a tree made of nothing else must end.
MOST_BROKEN = 20

#: Takes the number of a request, and its answer; None if there is none.
OnReply = Callable[[int, Any], Awaitable[None]]
GiveUp = Callable[[int, str], Awaitable[None]]

#: The reader's code comes to it before the requests: it is that of this very daemon, and compiled.
LAUNCH = launch_carried("penstock.kinds.confined", "0")
READER_CODE = carry_code([
    "penstock.kinds.confined",
    "penstock.kinds.unfinished",
    "penstock.kinds.coding.names",
    *modules_below("kinds/llms_txt"),
])  # fmt: skip


async def read_confined(
    run: Run,
    module: str,
    requests: Sequence[Mapping[str, Any]],
    on_reply: OnReply,
    common: Callable[[], Mapping[str, Any]],
) -> None:
    """Have a module answer each request, in order, and hand over what it says.

    `common` gives what all requests share, and is asked whenever a process begins. What was given
    up is a fact in the run's log, by the `path` of its request. What `on_reply` raises comes as it is.
    """

    async def give_up(number: int, why: str) -> None:
        what = requests[number].get("path", "a part of the tree")
        await run.log(f"{what} was not read: {why}\n".encode(errors="replace").decode())
        await on_reply(number, None)

    done = 0
    for _ in range(MOST_BROKEN):
        if done == len(requests):
            return
        reader = _Reader(on_reply, give_up, done, len(requests))
        why = await reader.read(run, module, _lines(run, common(), requests[done:]))
        done = reader.done
        if done < len(requests):
            await give_up(done, why)
            done += 1
    for number in range(done, len(requests)):
        await give_up(number, "too many files before it broke the reading")


class _Reader:
    """One process, from the first request it is given to its last answer."""

    def __init__(
        self, on_reply: OnReply, give_up: GiveUp, done: int, most: int
    ) -> None:
        self.done = done
        self._most = most
        self._on_reply = on_reply
        self._give_up = give_up
        self._rest = bytearray()
        self._failure: Exception | None = None
        self._scope = trio.CancelScope()

    async def read(self, run: Run, module: str, lines: bytes) -> str:
        """How the process ended, in words."""
        with self._scope:
            ended = await run.exec(
                [sys.executable, "-I", "-S", "-c", LAUNCH, module],
                cwd=Path("/"),
                clean=True,
                stdin=lines,
                check=False,
                on_stdout=self._take,
            )
        if self._failure is not None:
            raise self._failure
        return end_in_words(ended)

    async def _take(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        try:
            for line in lines:
                self._rest += line
                reply = json.loads(self._rest)
                self._rest.clear()
                if self.done < self._most:
                    await self._hand_over(reply)
        # It would come in a group otherwise, and nobody outside expects one.
        except Exception as error:  # noqa: BLE001
            self._failure = error
            self._scope.cancel(reason="the answer could not be taken")
            await trio.lowlevel.checkpoint()
        self._rest += rest

    async def _hand_over(self, reply: Any) -> None:
        number, self.done = self.done, self.done + 1
        if reply is None:
            await self._give_up(number, "it takes too much memory")
        else:
            await self._on_reply(number, reply)


def _lines(
    run: Run, common: Mapping[str, Any], requests: Sequence[Mapping[str, Any]]
) -> bytes:
    config = run.config
    head = {
        "cpu": config.reader_cpu_seconds,
        "wall": config.reader_seconds,
        "memory": config.reader_memory_bytes,
        "common": common,
    }
    lines = (json.dumps(one).encode() + b"\n" for one in (head, *requests))
    return READER_CODE + b"".join(lines)
