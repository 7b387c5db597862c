"""kill -9 of a real daemon under load, again and again; what it had acknowledged must be there."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import trio

from penstock.client import Client
from penstock.log.audit import audit_file
from penstock.log.tables.rows import state_in
from penstock.processes.liveness import living_since
from penstock.words.cancel_receipt import proves_end
from penstock.words.errors import PenstockError
from penstock.words.events import ProcessStarted, parse_event
from penstock.words.lifecycle import CANCELLED, SLOT_STATES, TERMINAL_STATES
from penstock_drills.campaign import Tally, save_tally
from penstock_drills.scratch import Scratch, connected, open_scratch, started

#: Seconds of load before a kill, at least and at most.
SHORTEST_SECONDS = 0.05
LOAD_SECONDS = 1.0
#: Submitters at once.
SUBMITTERS = 3


@dataclass(slots=True)
class Acknowledged:
    """What clients were told of the lives so far."""

    #: Run id → position of its `run.queued`.
    accepted: dict[str, int] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Chance:
    """What chance decides of one kill; nothing of an earlier kill goes into it."""

    seed: int
    number: int

    def of(self, actor: str) -> Random:
        """Each has a generator of its own, since who of them acts first is for the box to decide."""
        return Random(f"{self.seed}.{self.number}.{actor}")

    @property
    def seconds(self) -> float:
        """How long this life is under load."""
        return self.of("kill").uniform(SHORTEST_SECONDS, LOAD_SECONDS)


async def load(client: Client, chance: Chance, told: Acknowledged) -> None:
    """Submit, cancel and answer, several at once, until cancelled; notes what was told."""
    await _Load(told).work(client, chance)


@dataclass(frozen=True, slots=True)
class _Load:
    told: Acknowledged

    async def work(self, client: Client, chance: Chance) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(SUBMITTERS):
                submit = partial(self._submit, run_ids=_run_ids(chance, number))
                rng = chance.of(f"submitter {number}")
                nursery.start_soon(self._repeat, submit, client, rng)
            for act in (self._cancel, self._answer):
                rng = chance.of(act.__name__)
                nursery.start_soon(self._repeat, act, client, rng)

    async def _repeat(
        self,
        act: Callable[[Client, Random], Awaitable[None]],
        client: Client,
        rng: Random,
    ) -> None:
        while True:
            # A full queue, or a run that has ended meanwhile, is an answer too.
            with suppress(PenstockError):
                await act(client, rng)
            await trio.sleep(rng.uniform(0, 0.02))

    async def _submit(
        self, client: Client, rng: Random, *, run_ids: Iterator[str]
    ) -> None:
        words = rng.choice((["true"], ["sleep", "0.05"], ["sleep", "300"]))
        reply = await client.submit({
            "kind": "command", "inputs": {"argv": words}, "run_id": next(run_ids),
            "on_restart": rng.choice(("requeue", "fail", "ask")),
            "priority": rng.choice(("HIGH", "MEDIUM")),
        })  # fmt: skip
        self.told.accepted[reply["run_id"]] = reply["position"]

    async def _cancel(self, client: Client, rng: Random) -> None:
        run_id = rng.choice(list(self.told.accepted) or ["crash-0"])
        receipt = await client.cancel(run_id, "a drill", wait=True)
        if receipt["outcome"] == "cancelled" and proves_end(receipt):
            self.told.cancelled.add(run_id)

    async def _answer(self, client: Client, rng: Random) -> None:
        for ask in (await client.get("asks"))["asks"]:
            answer = rng.choice(("requeue", "fail"))
            await client.answer(ask["run_id"], ask["name"], answer)
            self.told.answers += 1


def _run_ids(chance: Chance, submitter: int) -> Iterator[str]:
    return (f"crash-{chance.number}.{submitter}.{n}" for n in count(1))


#: Seconds in which the processes of a killed daemon must be gone: TERM, grace, KILL.
GONE_SECONDS = 10.0
#: Seconds for a daemon to end every run and itself.
STOP_SECONDS = 40.0


class CrashDrill:
    """One scratch daemon through many lives."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.told = Acknowledged()
        self.broken: list[str] = []

    async def kill_once(self, chance: Chance) -> None:
        """Start, load, kill, and read the log that is left."""
        with started(self.scratch) as process:
            async with connected(self.scratch, process) as client:
                self._check_gone()
                with trio.move_on_after(chance.seconds):
                    await load(client, chance, self.told)
                process.kill()
                process.wait()
        self._check_log()

    async def end(self) -> None:
        """A last life that ends every run in order."""
        with started(self.scratch) as process:
            async with connected(self.scratch, process) as client:
                self._check_gone()
                await self._cancel_all(client)
            process.terminate()
            code = await trio.to_thread.run_sync(_wait, process)
            if code != 0:
                self.broken.append(f"the last stop ended with {code}")
        self._check_log()
        self._check_gone()
        for run_id, state in self._query(
            "SELECT run_id, state FROM runs WHERE key > 0"
        ):
            if state not in TERMINAL_STATES:
                self.broken.append(f"{run_id} is {state} after all was cancelled")

    @staticmethod
    async def _cancel_all(client: Client) -> None:
        with trio.move_on_after(STOP_SECONDS):
            while rows := (await client.runs("state:open", limit=200))["runs"]:
                async with trio.open_nursery() as nursery:
                    for row in rows:
                        nursery.start_soon(_cancel_quietly, client, row["run_id"])

    # -- laws

    def _query(self, sql: str) -> list[Any]:
        database = self.scratch.paths.database
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()

    def _check_log(self) -> None:
        """The laws of the log, and every acknowledgement."""
        audit = audit_file(self.scratch.paths.database)
        self.broken += [str(finding) for finding in audit.findings]
        rows = dict(self._query("SELECT run_id, state FROM runs WHERE key > 0"))
        places = dict(self._query("SELECT run_id, place FROM runs WHERE key > 0"))
        for run_id, position in self.told.accepted.items():
            if places.get(run_id) != position:
                self.broken.append(f"the accepted run {run_id} is not at {position}")
        for run_id in self.told.cancelled:
            if rows.get(run_id) != CANCELLED:
                self.broken.append(f"{run_id} was cancelled, and is {rows.get(run_id)}")

    def _check_gone(self) -> None:
        """No process that an earlier life recorded is alive under this one."""
        give_up = time.monotonic() + GONE_SECONDS
        left = self._alive()
        while left and time.monotonic() < give_up:
            time.sleep(0.05)
            left = self._alive()
        self.broken += [
            f"the process {pid} of an earlier life is alive" for pid in left
        ]

    def _alive(self) -> list[int]:
        """Processes of runs that nobody owns now, so that none of theirs may be left."""
        rows = self._query(
            "SELECT body FROM events JOIN runs ON runs.key = events.run"
            f" WHERE type = 'process.started' AND NOT {state_in(SLOT_STATES)}"
        )
        left = []
        for (body,) in rows:
            event = parse_event(json.loads(body))
            assert isinstance(event, ProcessStarted)
            if living_since(event.pid) == event.start_time:
                left.append(event.pid)
        return left


def _wait(process: subprocess.Popen[bytes]) -> int:
    return process.wait(STOP_SECONDS)


async def _cancel_quietly(client: Client, run_id: str) -> None:
    with suppress(PenstockError):
        await client.cancel(run_id, "the drill is over", wait=True)


def drill_crash(
    tally: Tally, *, kills: int | None, seconds: float | None, state: Path | None
) -> None:
    """Kill from the tally's next number on: so often in all, or for so many seconds more.

    Then end in order.
    """
    with open_scratch() as scratch:
        trio.run(_kill_often, CrashDrill(scratch), tally, kills, seconds, state)


async def _kill_often(
    drill: CrashDrill,
    tally: Tally,
    kills: int | None,
    seconds: float | None,
    state: Path | None,
) -> None:
    began, before = time.monotonic(), tally.seconds

    def told(what: str) -> None:
        tally.failures += [f"{what}: {word}" for word in drill.broken]
        drill.broken.clear()
        tally.seconds = before + time.monotonic() - began
        save_tally(state, tally)

    while not tally.failures:
        late = seconds is not None and time.monotonic() - began > seconds
        if late or (kills is not None and tally.done.get("kills", 0) >= kills):
            break
        chance = Chance(tally.seed, tally.next)
        await _kill(drill, tally, chance)
        told(f"--seed {tally.seed} --from {chance.number}")
    await drill.end()
    told("the last life")


async def _kill(drill: CrashDrill, tally: Tally, chance: Chance) -> None:
    """One kill, and what it adds."""
    accepted, answers = len(drill.told.accepted), drill.told.answers
    cancelled = len(drill.told.cancelled)
    await drill.kill_once(chance)
    tally.next = chance.number + 1
    tally.add("kills", 1, ())
    tally.add("accepted runs", len(drill.told.accepted) - accepted, ())
    tally.add("proven cancels", len(drill.told.cancelled) - cancelled, ())
    tally.add("answers", drill.told.answers - answers, ())
    tally.times.setdefault("load", []).append(round(chance.seconds, 4))
