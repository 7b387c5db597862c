"""A kind whose pipeline does what its inputs say, so that stories are data.

An operation is a list: its name, then its arguments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.errors import AskExpired, ChildNotCompleted
from penstock.words.events import Log
from penstock.words.lifecycle import SLOT_STATES
from penstock.words.recorded import Recorded

Op = list[Any]


class Script(Inputs):
    """What the run does, in order."""

    ops: tuple[Any, ...] = ()


class Done(Output):
    """The script is at its end."""


@dataclass(eq=False, slots=True)
class Notes:
    """What pipelines and people were told; the log must bear all of it out."""

    #: Runs whose submit was answered.
    accepted: set[str] = field(default_factory=set)
    #: Facts that somebody was told are recorded.
    acknowledged: list[Recorded] = field(default_factory=list)
    #: Text whose write had returned, by run, attempt and artifact.
    written: dict[tuple[str, int, str], str] = field(default_factory=dict)
    #: Probes wait until so many compute at once.
    probes_wanted: int = 0
    probing: int = 0
    all_probing: trio.Event = field(default_factory=trio.Event)

    def begin_life(self, slots: int) -> None:
        """Nobody of an earlier life probes any more."""
        self.probes_wanted, self.probing = slots, 0
        self.all_probing = trio.Event()

    def told(self, fact: Recorded | None) -> None:
        if fact is not None:
            self.acknowledged.append(fact)


class Player:
    """Plays scripts, and keeps notes."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    async def play(self, run: Run, inputs: Script) -> Done:
        """The pipeline of the kind."""
        await self._play(run, inputs.ops)
        return Done()

    async def probe(self, run: Run, _inputs: Script) -> Done:
        """Ends when as many probes compute at once as there should be slots."""
        notes = self.notes
        notes.probing += 1
        if notes.probing >= notes.probes_wanted:
            notes.all_probing.set()
        try:
            await notes.all_probing.wait()
        finally:
            notes.probing -= 1
        return Done()

    async def _play(self, run: Run, ops: Any) -> None:
        for name, *arguments in ops:
            operation: Callable[..., Awaitable[None]] = getattr(self, f"op_{name}")
            await operation(run, *arguments)

    async def op_sleep(self, _run: Run, seconds: float) -> None:
        await trio.sleep(seconds)

    async def op_log(self, run: Run, text: str) -> None:
        self.notes.told(await run.emit(Log(text=text)))

    async def op_milestone(self, run: Run, name: str) -> None:
        await run.milestone(name)

    async def op_step(self, run: Run, name: str, seconds: float) -> None:
        async def work() -> str:
            await trio.sleep(seconds)
            return name

        assert await run.step(name, work) == name

    async def op_ask(
        self, run: Run, name: str, default: str | None, expires: float | None
    ) -> None:
        try:
            await run.ask(name, "which?", default=default, expires=expires)
        except AskExpired:
            await run.log(f"{name} expired")

    async def op_doubt(self, run: Run, name: str, seconds: float) -> None:
        """Asks, gives up after some seconds, and takes the question back; then computes."""
        with trio.move_on_after(seconds), suppress(AskExpired):
            await run.ask(name, "which?")
        await run.withdraw_ask(name, "in doubt")
        if name in run.view.asks and run.view.asks[name].open:
            raise RuntimeError("a question is open that was taken back")

        async def compute() -> None:
            # Parked and computing at once would be a slot too many.
            await trio.sleep(1)
            if run.view.state not in SLOT_STATES:
                raise RuntimeError(f"computes while it is {run.view.state}")

        await run.step(f"after {name}", compute)

    async def op_spawn(self, run: Run, name: str, ops: list[Op]) -> None:
        try:
            await run.spawn_run(name, run.kind.name, {"ops": ops})
        except ChildNotCompleted:
            await run.log(f"the child {name} did not complete")

    async def op_exec(self, run: Run, seconds: float) -> None:
        await run.exec(["sleep", str(seconds)])

    async def op_artifact(
        self, run: Run, artifact_id: str, pieces: list[str], pause: float
    ) -> None:
        key = (run.run_id, run.attempt, artifact_id)
        async with run.artifact(artifact_id) as artifact:
            for piece in pieces:
                await artifact.write(piece)
                self.notes.written[key] = self.notes.written.get(key, "") + piece
                await trio.sleep(pause)

    async def op_nest(self, run: Run, *branches: list[Op]) -> None:
        async with trio.open_nursery() as nursery:
            for ops in branches:
                nursery.start_soon(self._play, run, ops)

    async def op_flood(self, run: Run, tasks: int, each: int) -> None:
        async with trio.open_nursery() as nursery:
            for task in range(tasks):
                ops = [["log", f"{task}.{number}"] for number in range(each)]
                nursery.start_soon(self._play, run, ops)

    async def op_fail(self, _run: Run) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("asked to fail")

    async def op_fail_until(self, run: Run, attempt: int) -> None:
        """Fails in executions before this one."""
        await trio.lowlevel.checkpoint()
        if run.attempt < attempt:
            raise ValueError("asked to fail")

    async def op_spoil(self, _run: Run, seconds: float) -> None:
        """Fails in its clean-up, so that a cancel and a failure arrive in one group."""
        try:
            await trio.sleep(seconds)
        finally:
            raise ValueError("asked to spoil its end")

    async def op_exit(self, _run: Run) -> None:
        await trio.lowlevel.checkpoint()
        raise SystemExit(3)


def drill_kinds(notes: Notes) -> Mapping[str, Kind]:
    """The kinds `script`, `victim` (preemptible) and `probe`."""
    player = Player(notes)
    kinds = (
        Kind("script", "plays a script", Script, Done, player.play),
        Kind("victim", "gives way", Script, Done, player.play, preemptible=True),
        Kind("probe", "needs every slot", Script, Done, player.probe),
    )
    return {kind.name: kind for kind in kinds}
