"""What a daemon is doing when `penstock drill crash` kills it, and what its clients were told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

import trio

from penstock.client import Client
from penstock.words.errors import PenstockError

#: Seconds of load before a kill, at least and at most.
SHORTEST_SECONDS = 0.05
LOAD_SECONDS = 1.0
#: Submitters at once.
SUBMITTERS = 3


@dataclass(slots=True)
class Told:
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


async def load(client: Client, chance: Chance, told: Told) -> None:
    """Submit, cancel and answer, several at once, until cancelled; notes what was told."""
    await _Load(told).work(client, chance)


@dataclass(frozen=True, slots=True)
class _Load:
    told: Told

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
        if receipt["outcome"] == "cancelled" and receipt["gone_at"]:
            self.told.cancelled.add(run_id)

    async def _answer(self, client: Client, rng: Random) -> None:
        for ask in (await client.get("asks"))["asks"]:
            answer = rng.choice(("requeue", "fail"))
            await client.answer(ask["run_id"], ask["name"], answer)
            self.told.answers += 1


def _run_ids(chance: Chance, submitter: int) -> Iterator[str]:
    return (f"crash-{chance.number}.{submitter}.{n}" for n in count(1))
