"""PT-06: of two pipes the one is read first that spoke first; nobody waits for who does something else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import pytest
import trio
import trio.testing

from penstock.processes.reading import Turns

pytestmark = pytest.mark.processes

Name = Literal["out", "err"]


@dataclass
class Pipes:
    """Two pipes, and what is read of them in the order in which it is."""

    reading: dict[Name, int] = field(default_factory=dict)
    writing: dict[Name, int] = field(default_factory=dict)
    told: list[tuple[Name, bytes]] = field(default_factory=list)

    def say(self, *names: Name) -> None:
        for number, name in enumerate(names):
            os.write(self.writing[name], b"%d" % number)

    async def read(self, turns: Turns, name: Name, times: int) -> None:
        """Have so many turns."""
        for _ in range(times):
            await turns.wait(self.reading[name])
            self.told.append((name, os.read(self.reading[name], 9)))
            await trio.lowlevel.checkpoint()
        turns.leave(self.reading[name])


@contextmanager
def open_pipes() -> Iterator[tuple[Pipes, Turns]]:
    pipes = Pipes()
    names: tuple[Name, ...] = ("out", "err")
    for name in names:
        pipes.reading[name], pipes.writing[name] = os.pipe()
    turns = Turns(pipes.reading.values())
    try:
        yield pipes, turns
    finally:
        turns.close()
        for fd in (*pipes.reading.values(), *pipes.writing.values()):
            os.close(fd)


@pytest.mark.parametrize(
    "spoke", [("out", "err"), ("err", "out"), ("err", "out", "err")]
)
@pytest.mark.parametrize("when", ["before", "while they wait", "after their end"])
async def test_who_spoke_first_is_read_first(
    spoke: tuple[Name, ...], when: str
) -> None:
    """PT-06: whichever reader is there first, as often as one looks."""
    for _ in range(10):
        with open_pipes() as (pipes, turns), trio.fail_after(30):
            if when == "before":
                pipes.say(*spoke)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(turns.watch)
                for name in ("out", "err"):
                    nursery.start_soon(pipes.read, turns, name, 1)
                if when == "while they wait":
                    await trio.testing.wait_all_tasks_blocked()
                pipes.say(*spoke) if when != "before" else None
                if when == "after their end":
                    turns.end()
                while len(pipes.told) < 2:
                    await trio.lowlevel.checkpoint()
                turns.end()
            assert [name for name, _ in pipes.told] == list(spoke[:2])


async def test_who_does_something_else_is_not_waited_for() -> None:
    """PT-06 PT-05: a stream that somebody holds back does not hold the other one."""
    with open_pipes() as (pipes, turns), trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.watch)
            await_out = trio.Event()

            async def hand_on() -> None:
                await turns.wait(pipes.reading["out"])
                os.read(pipes.reading["out"], 9)
                await await_out.wait()
                await turns.wait(pipes.reading["out"])

            nursery.start_soon(hand_on)
            pipes.say("out")
            await trio.testing.wait_all_tasks_blocked()
            pipes.say("out", "err")
            await pipes.read(turns, "err", 1)
            assert pipes.told == [("err", b"1")]
            await_out.set()
            await trio.testing.wait_all_tasks_blocked()
            turns.end()


async def test_one_that_is_read_no_more_has_no_turn() -> None:
    """PT-06: its program may write on, though nobody wants it."""
    with open_pipes() as (pipes, turns), trio.fail_after(30):
        turns.leave(pipes.reading["out"])
        pipes.say("out", "err")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.watch)
            await pipes.read(turns, "err", 1)
            turns.end()


async def test_after_the_end_nothing_is_waited_for() -> None:
    """PT-06: a pipe that a survivor holds open has no end."""
    with open_pipes() as (pipes, turns), trio.fail_after(30):
        turns.end()
        for name in ("out", "err"):
            await turns.wait(pipes.reading[name])
