"""Strangers' files, read by a process that they may break: see `penstock.kinds.confined`.

One process reads a whole tree. A file that takes more than it may costs the process, which is begun
anew behind it, and its own words; nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import trio

from penstock.pipeline import (
    Config,
    DeferredFailure,
    NobodyReads,
    Run,
    RunningProcess,
    carry_code,
    end_in_words,
    launch_carried,
    modules_below,
)

#: Files of one tree that may break the process: a tree made of nothing else must end.
MOST_BROKEN = 20

#: What a reader may import beside its own code and what Python brings; nothing of it is imported here.
LIBRARIES = ("docutils", "markdown_it", "mdurl")

#: Takes the number of a request, and its answer; None if there is none.
OnReply = Callable[[int, Any], Awaitable[None]]
#: Takes an answer.
OnAnswer = Callable[[Any], Awaitable[None]]

#: The reader's code comes to it before the requests: it is that of this very daemon, and compiled.
LAUNCH = launch_carried("penstock.kinds.confined", "0")
READER_CODE = carry_code([
    "penstock.kinds.confined",
    "penstock.kinds.unfinished",
    "penstock.kinds.coding.names",
    *modules_below("kinds/llms_txt"),
])  # fmt: skip


@asynccontextmanager
async def open_reading(run: Run, module: str) -> AsyncIterator[Reading]:
    """Have a module answer requests, by one process for all of the block.

    It is begun with the first request, and ends with the block.
    """
    failed = DeferredFailure()
    async with trio.open_nursery() as process_nursery:
        reading = Reading(run, module, process_nursery)
        with failed:
            yield reading
            await reading.end()
        process_nursery.cancel_scope.cancel(reason="the reading is over")
    failed.reraise()


async def read_confined(
    run: Run,
    module: str,
    requests: Sequence[Mapping[str, Any]],
    on_reply: OnReply,
    common: Callable[[], Mapping[str, Any]],
) -> None:
    """Have a module answer these requests and no others: see `Reading.read`."""
    async with open_reading(run, module) as reading:
        await reading.read(requests, on_reply, common)


class Reading:
    """What `open_reading` gives."""

    def __init__(self, run: Run, module: str, process_nursery: trio.Nursery) -> None:
        self._run = run
        self._module = module
        # A process that breaks is replaced in the midst of what the block has open, so each has a
        # task of its own.
        self._nursery = process_nursery
        self._process: _Process | None = None

    async def read(
        self,
        requests: Sequence[Mapping[str, Any]],
        on_reply: OnReply,
        common: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Have each request answered, in order, and hand over what is said.

        `common` gives what these requests share, and is asked whenever a process begins on them. What
        was given up is a fact in the run's log, by the `path` of its request. What `on_reply` raises
        comes as it is.
        """

        done = 0

        async def give_up(number: int, why: str) -> None:
            what = requests[number].get("path", "a part of the tree")
            told = f"{what} was not read: {why}\n"
            await self._run.log(told.encode(errors="replace").decode())
            await on_reply(number, None)

        async def take(answer: Any) -> None:
            nonlocal done
            number, done = done, done + 1
            if answer is None:
                await give_up(number, "it takes too much memory")
            else:
                await on_reply(number, answer)

        for _ in range(MOST_BROKEN):
            if done == len(requests):
                return
            process = self._process or await self._begin()
            lines = _lines({"common": common()}, *requests[done:])
            await process.ask(lines, len(requests) - done, take)
            if done < len(requests):
                await give_up(done, await self.end())
                done += 1
        for number in range(done, len(requests)):
            await give_up(number, "too many files before it broke the reading")

    async def _begin(self) -> _Process:
        self._process = process = _Process(self._run.config)
        await self._nursery.start(process.live, self._run, self._module)
        return process

    async def end(self) -> str:
        """Let the process end, if there is one; how it did, in words."""
        process, self._process = self._process, None
        if process is None:
            await trio.lowlevel.checkpoint()
            return ""
        return await process.end()


class _Process:
    """One process, from its start to its end."""

    def __init__(self, config: Config) -> None:
        self._running: RunningProcess = RunningProcess()
        #: What goes before the first lines.
        self._beginning = first_lines(config)
        self._over = trio.Event()
        self._gone = trio.Event()
        self._failed = DeferredFailure()
        self._rest = bytearray()

    async def live(
        self, run: Run, module: str, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """The task that it lives in; it is ended with it."""
        argv = [sys.executable, "-I", "-S", "-c", LAUNCH, module]
        try:
            with self._failed:
                async with run.process(
                    argv, cwd=Path("/"), clean=True, check=False
                ) as self._running:
                    task_status.started()
                    await self._over.wait()
        finally:
            self._gone.set()

    async def ask(self, lines: bytes, count: int, take: OnAnswer) -> None:
        """Send these lines and take what is answered: `count` answers, or fewer if it broke."""
        failed = DeferredFailure()
        lines, self._beginning = self._beginning + lines, b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, lines)
            # It would come in a group otherwise, and nobody outside expects one.
            with failed:
                await self._take(count, take)
            nursery.cancel_scope.cancel(reason="all is answered that will be")
        failed.reraise()

    async def _send(self, lines: bytes) -> None:
        with suppress(NobodyReads):
            await self._running.stdin.send_all(lines)

    async def _take(self, count: int, take: OnAnswer) -> None:
        while count > 0 and (data := await self._running.stdout.receive_some()):
            *whole, rest = data.split(b"\n")
            for line in whole:
                self._rest += line
                answer = json.loads(self._rest)
                self._rest.clear()
                count -= 1
                await take(answer)
            self._rest += rest

    async def end(self) -> str:
        """Say that nothing more is asked; how the process ended, in words."""
        self._over.set()
        await self._gone.wait()
        self._failed.reraise()
        ended = self._running.ended
        assert ended is not None
        return end_in_words(ended)


def first_lines(config: Config) -> bytes:
    """The reader's own code, and the limits of each of its answers."""
    return READER_CODE + _lines(
        {
            "cpu": config.reader_cpu_seconds,
            "wall": config.reader_seconds,
            "memory": config.reader_memory_bytes,
            "libraries": folders_of(LIBRARIES),
        }
    )


def folders_of(packages: Iterable[str]) -> dict[str, str]:
    """Where packages lie. Looking for one imports nothing of it."""
    specs = [find_spec(name) for name in packages]
    return {
        spec.name: str(Path(spec.origin).parent.parent)
        for spec in specs
        if spec is not None and spec.origin is not None
    }


def _lines(*said: Mapping[str, Any]) -> bytes:
    return b"".join([json.dumps(one).encode() + b"\n" for one in said])
