"""What a terminal costs while its program floods it: throughput, and how soon what is typed shows.

Beside a pty that nobody but us reads: same program, same keys. Ours is watched as `attach` watches,
and its screen is kept and all of it recorded meanwhile.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import trio
from bench._shared import Row, in_turns, open_bench_core, scratch, wait_ended

from penstock.kinds.command import KIND
from penstock.runs.console import Console
from penstock.words.api import SubmitRequest

LINE = "src/module/part_12.c:345:17: warning: unused variable 'position' [-Wunused]"
#: What is typed comes back from `cat`, between the lines of the flood.
ANSWERING = f"stty raw -echo; yes '{LINE}' & exec cat"
KEYS = 20
#: Seconds between two keys: a person types no faster.
PAUSE = 0.1


def flood(size: int) -> list[str]:
    """Shows so many bytes."""
    return ["/bin/sh", "-c", f"yes '{LINE}' | head -c {size}"]


async def _open(folder: Path, argv: list[str]) -> tuple[float, list[float]]:
    """Seconds of the run, and milliseconds of each key; keys only where it answers."""
    waits: list[float] = []
    async with open_bench_core(folder, KIND) as core:
        began = time.perf_counter()
        inputs = {"argv": argv, "cwd": str(folder), "stdin": "tty"}
        request = SubmitRequest(kind="command", inputs=inputs)
        run_id = (await core.submitter.submit(request, wait=True)).view.run_id
        console = await core.control.wait_console(run_id)
        if ANSWERING in argv:
            waits = await _type(console)
            await core.control.cancel(run_id, "measured")
        else:
            with console.open_watch(first=True) as watch:
                while True:
                    try:
                        await watch.receive()
                    except trio.EndOfChannel:
                        break
        await wait_ended(core, run_id)
        return time.perf_counter() - began, waits


async def _type(console: Console) -> list[float]:
    waits = []
    with console.open_watch(first=True) as watch, console.open_writer() as writer:
        while b"Wunused" not in (await watch.receive()).data:
            pass
        for number in range(KEYS):
            await trio.sleep(PAUSE)
            key, seen, typed = b"<%d>" % number, b"", time.perf_counter()
            await writer.write(key)
            while key not in seen:
                seen = seen[-len(key) :] + (await watch.receive()).data
            waits.append((time.perf_counter() - typed) * 1000)
    return waits


@contextmanager
def _bare(argv: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program with a terminal, and its master."""
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        ) as process:
            os.close(slave)
            yield process, master
    finally:
        os.close(master)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        # Nobody holds the other side any more.
        return b""


def _read_for(fd: int, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while (rest := until - time.perf_counter()) > 0:
        if select.select([fd], [], [], rest)[0]:
            _read(fd)


def bare_flood(size: int) -> float:
    """Seconds of the same program on a pty of its own."""
    began = time.perf_counter()
    with _bare(flood(size)) as (process, fd):
        while _read(fd):
            pass
        process.wait()
    return time.perf_counter() - began


def bare_keys() -> float:
    """Milliseconds from a key to its answer, the median."""
    waits = []
    with _bare(["/bin/sh", "-c", ANSWERING]) as (process, fd):
        while b"Wunused" not in _read(fd):
            pass
        for number in range(KEYS):
            _read_for(fd, PAUSE)
            key, seen, typed = b"<%d>" % number, b"", time.perf_counter()
            os.write(fd, key)
            while key not in seen:
                seen = seen[-len(key) :] + _read(fd)
            waits.append((time.perf_counter() - typed) * 1000)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return median(waits)


def rows(long: bool) -> Iterator[Row]:
    """The rows of this measurement."""
    size, rounds = (200_000_000, 5) if long else (20_000_000, 3)

    def run(argv: list[str]) -> tuple[float, list[float]]:
        with scratch() as folder:
            return trio.run(_open, folder, argv)

    mine, theirs = in_turns(
        rounds, lambda: run(flood(size))[0], lambda: bare_flood(size)
    )
    yield Row(
        f"terminal flooded with {size // 10**6} MB / bare pty", "s", "ratio < 6", mine, theirs
    )  # fmt: skip
    keys, bare = in_turns(
        rounds,
        lambda: median(run(["/bin/sh", "-c", ANSWERING])[1]),
        bare_keys,
    )
    yield Row("key to answer in a flood / bare pty", "ms", "ours <= 30", keys, bare)
