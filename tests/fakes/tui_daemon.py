"""A daemon in a process of its own for a dashboard to look at: a real door before a real core in memory.

    python tui_daemon.py --port 0 --scene busy      prints `ready PORT`

What the scene tells is done by the core itself, at the times of the scene; then it goes on as any
daemon. What its runs would execute is not: they last until they are ended.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

import trio

from fakes import tui_scene
from fakes.cores import fake_environment
from fakes.house import open_door
from fakes.stores import inline_store
from fakes.tui_agents import agents_at_work
from fakes.tui_daily import daily_load
from penstock.kinds.command import CommandOutput
from penstock.kinds.registry import load_kinds
from penstock.log.new_events import NewEvent, new_event
from penstock.log.writes import Append
from penstock.pipeline import Inputs, Kind, Output, ProcessFailed, Run
from penstock.runs.core import Core
from penstock.server.health import make_health
from penstock.server.shutdown import Shutdown
from penstock.testing import FakeProcesses, FakeProgram, open_test_core
from penstock.words import events as e
from penstock.words.api import HealthReply, SubmitRequest
from penstock.words.errors import Conflict
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.values import utc_now
from penstock.words.wait_reason import Waiting

LIFE = "a1b2"
#: Seconds a cancelled program takes to go: long enough to be seen on the screen of a busy box.
CANCEL_SECONDS = 1.5
#: Seconds for the core to do what a fact of the scene tells.
PATIENCE = 60.0
#: Seconds between the steps of a flood.
TICK = 0.02
#: Facts about code that say of which version they are.
_VERSIONS = frozenset({"code.generated", "correction.completed"})

Act = Callable[[Run], Awaitable[Output | None]]


class Models:
    """Models that nobody asks: with them, kinds that need one are taken."""

    def for_run(self, run: Run) -> Any:
        raise NotImplementedError

    async def describe(self) -> list[dict[str, Any]]:
        await trio.lowlevel.checkpoint()
        return []


async def probe_models() -> tuple[str | None, dict[str, Any]]:
    """What /health tells of them."""
    await trio.lowlevel.checkpoint()
    return None, {"chain": ["mistral:7b", "qwen3:8b"]}


class Prompt(Inputs):
    """What an agent of a scene is asked."""

    prompt: str
    agent: str


async def _nothing(_run: Run, _inputs: Prompt) -> Output:
    raise NotImplementedError


AGENT = Kind("agent", "Have an agent work", Prompt, Output, _nothing, on_restart="fail")


@dataclass(eq=False)
class Stage:
    """Runs of the daemon's own kinds that do what they are told, one act after the other."""

    #: Whether there are agents, which a list of kinds begins with.
    agents: bool = False
    acts: defaultdict[str, Any] = field(
        default_factory=lambda: defaultdict(lambda: trio.open_memory_channel[Act](9))
    )

    def kinds(self) -> list[Kind]:
        kinds = load_kinds() | ({AGENT.name: AGENT} if self.agents else {})
        return [
            replace(kind, pipeline=self.perform, output=Output)
            for kind in kinds.values()
        ]

    async def perform(self, run: Run, _inputs: Inputs) -> Output:
        _, receive = self.acts[run.run_id]
        output: Output | None = None
        while output is None:
            act: Act = await receive.receive()
            output = await act(run)
        return output

    def tell(self, run_id: str, act: Act) -> None:
        self.acts[run_id][0].send_nowait(act)


@dataclass(eq=False)
class SceneClock:
    """The time of the fact that is told; later the real time, unless it is to stand still."""

    at: datetime | None

    def now(self) -> datetime:
        return self.at or utc_now()


@dataclass(eq=False)
class Player:
    """Has a core do what a scene tells."""

    core: Core
    stage: Stage
    clock: SceneClock
    nursery: trio.Nursery

    async def play(self, log: list[Recorded]) -> None:
        """Each fact becomes what makes it; Conflict if the core records another."""
        self.core.table.claiming = False
        for fact in log:
            self.clock.at = fact.at
            if self.core.bus.head < fact.position:
                await self._cause(fact)
            with trio.fail_after(PATIENCE):
                while self.core.bus.head < fact.position:
                    await self.core.bus.wait_published(None)
            self.core.table.claiming = False
            [made] = await self.core.store.read_all(fact.position - 1, 1)
            if (made.run_id, made.type) != (fact.run_id, fact.type):
                raise Conflict(
                    f"{fact.position}: the scene tells {fact.type} of {fact.run_id},"
                    f" the core recorded {made.type} of {made.run_id}"
                )
        self.core.table.claiming = True

    async def _cause(self, fact: Recorded) -> None:
        event: Any = fact.event
        match event:
            case e.RunQueued(parent_id=None):
                await self._submit(fact.run_id, event)
            case e.RunQueued(parent_id=str(parent_id)):
                self.stage.tell(parent_id, _spawn(fact.run_id, event))
            case e.RunWaiting(kind="quota"):
                self.stage.tell(fact.run_id, _wait_for(event.waiting))
            case e.RunCancelled() | e.RunWaiting():
                # It follows from what was told before.
                pass
            case e.RunStarted() | e.RunResumed():
                self.core.table.claiming = True
                self.core.recorder.kick()
            case e.RunCompleted():
                self.stage.tell(fact.run_id, _complete)
            case e.RunFailed():
                code = event.details.get("exit_code", 3)
                self.stage.tell(fact.run_id, _fail(event.error, code))
            case e.RunCancelRequested():
                cancel = self.core.control.cancel
                self.nursery.start_soon(cancel, fact.run_id, event.reason)
            case e.ProcessStarted():
                self.stage.tell(fact.run_id, _execute(event.argv))
            case e.AskRaised():
                self.stage.tell(fact.run_id, _ask(event))
            case _:
                await self.core.recorder.record(Append((_again(fact),)))

    async def _submit(self, run_id: str, event: e.RunQueued) -> None:
        request = SubmitRequest(
            kind=event.kind,
            run_id=run_id,
            inputs=dict(event.inputs),
            priority=Priority(event.priority),
            labels=dict(event.labels),
            group=event.group,
            after=event.after,
        )
        await self.core.submitter.submit(request)

    async def flood(self, running: list[str], rate: float) -> None:
        """So many facts a second of runs that execute, in steps."""
        dice, begun, made = random.Random(1), trio.current_time(), 0
        while True:
            wanted = int((trio.current_time() - begun) * rate)
            facts = sorted(
                (dice.choice(running), number) for number in range(made, wanted)
            )
            async with trio.open_nursery() as nursery:
                for run_id, group in groupby(facts, key=lambda fact: fact[0]):
                    events = [tui_scene.any_fact(number, dice) for _, number in group]
                    news = [new_event(run_id, event, now=utc_now()) for event in events]
                    nursery.start_soon(self.core.recorder.record, Append(tuple(news)))
            made = wanted
            await trio.sleep(TICK)


def _again(fact: Recorded) -> NewEvent:
    """A fact as whoever reported it sent it."""
    return NewEvent(
        fact.run_id,
        fact.type,
        fact.body,
        fact.at,
        fact.event_id,
        {name: count for name, count in fact.clock.items() if name != LIFE},
        fact.causation_id,
        fact.code_version if fact.type in _VERSIONS else None,
    )


async def _complete(_run: Run) -> Output:
    await trio.lowlevel.checkpoint()
    return CommandOutput(exit_code=0)


def _fail(error: str, exit_code: int) -> Act:
    async def fail(_run: Run) -> Output:
        await trio.lowlevel.checkpoint()
        raise ProcessFailed(error, exit_code=exit_code, signal=None)

    return fail


def _spawn(run_id: str, event: e.RunQueued) -> Act:
    async def spawn(run: Run) -> None:
        name = run_id.removeprefix(f"{run.run_id}.")
        await run.spawn_run(name, event.kind, event.inputs, check=False)

    return spawn


def _execute(argv: tuple[str, ...]) -> Act:
    async def execute(run: Run) -> None:
        try:
            await run.exec(argv)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(CANCEL_SECONDS)

    return execute


def _ask(event: e.AskRaised) -> Act:
    async def ask(run: Run) -> None:
        await run.ask(event.name, event.question, event.choices, details=event.details)

    return ask


def _wait_for(waiting: Waiting) -> Act:
    async def wait(run: Run) -> None:
        async with run.without_slot(waiting):
            await trio.sleep_forever()

    return wait


async def serve(asked: argparse.Namespace) -> None:
    world = tui_scene.World(now=tui_scene.FROZEN if asked.frozen else utc_now())
    if asked.scene == "busy":
        tui_scene.busy_afternoon(world)
    elif asked.scene == "daily":
        daily_load(world)
    elif asked.scene == "agents":
        agents_at_work(world)
    else:
        world.begin()
    if asked.runs:
        tui_scene.many_runs(world, asked.runs)
    running = sum(view.state == "running" for view in world.views.values())
    if asked.scene == "agents":
        running = 5  # most of them wait for somebody
    stage, clock, shutdown = (
        Stage(asked.scene == "agents"),
        SceneClock(world.log[0].at),
        Shutdown(),
    )
    environment = replace(
        fake_environment(FakeProcesses({"make": FakeProgram.hanging()})),
        now=clock.now,
        models=Models(),
    )
    settings = {
        "port": asked.port,
        "auth": asked.token is not None,
        # Whoever comes by a wire that can be cut names the port of its near end.
        "allowed_hosts": ["127.0.0.1"],
        "groups": {"disk": {"slots": 1}},
        "max_concurrent": running or 5,
        # So much that the queue raises no backpressure, of which the scene knows nothing.
        "queue_capacity": max(100, 2 * asked.runs),
    }
    async with (
        inline_store(life=LIFE) as store,
        open_test_core(
            stage.kinds(), store=store, life=LIFE, environment=environment, **settings
        ) as memory,
        trio.open_nursery() as nursery,
    ):
        player = Player(memory.core, stage, clock, nursery)
        await player.play(world.log)
        clock.at = world.now if asked.frozen else None
        health = make_health(memory.core, probe_models)

        async def health_of() -> HealthReply:
            # How many bytes a log takes is another number with each release.
            return (await health()).model_copy(update={"store": {"size": 48_300_000}})

        async with open_door(
            memory.core, shutdown, health_of, token=asked.token
        ) as door:
            print(f"ready {door.port}", flush=True)
            if asked.rate:
                names = [v.run_id for v in world.views.values() if v.state == "running"]
                await player.flood(names, asked.rate)
            await trio.sleep_forever()


def main() -> None:
    take = argparse.ArgumentParser()
    take.add_argument("--port", type=int, default=0)
    take.add_argument(
        "--scene", choices=("none", "busy", "daily", "agents"), default="none"
    )
    take.add_argument("--runs", type=int, default=0)
    take.add_argument("--rate", type=float, default=0.0)
    take.add_argument("--token")
    take.add_argument("--frozen", action="store_true")
    with suppress(KeyboardInterrupt):
        trio.run(serve, take.parse_args())


if __name__ == "__main__":
    main()
