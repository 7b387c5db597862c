"""Runs of agents, cancelled in each phase, and killed with questions open: `penstock drill agents`."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from penstock.client import Client
from penstock.log.audit import audit_file
from penstock.words.cancel_receipt import proves_end
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import CANCELLED, COMPLETED
from penstock_drills import acting_agent
from penstock_drills.acting_agent import PHASES
from penstock_drills.campaign import Tally, save_tally
from penstock_drills.scratch import Scratch, connected, open_scratch, started

#: Runs with a question in each round: one whose agent is killed, and two that outlive the daemon.
ASKING = ("killed", "first", "second")
#: Seconds for an agent to come where it should, on a loaded box.
PATIENCE = 60.0
#: Seconds in which the processes of a killed daemon must be gone: TERM, grace, KILL.
GONE_SECONDS = 10.0
LOOK_SECONDS = 0.05
_GIT = ("git", "-c", "user.name=drill", "-c", "user.email=drill@localhost")


@dataclass(slots=True)
class AgentDrill:
    """One scratch daemon, a repository, and rounds of agents in it."""

    scratch: Scratch
    number: int = 0
    broken: list[str] = field(default_factory=list)
    cancels: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    answers: int = 0

    @property
    def repository(self) -> Path:
        return self.scratch.folder / "repository"

    @property
    def mark(self) -> str:
        """What is in the arguments of all that agents of this round are and start."""
        return f"penstock-drill-agents-{os.getpid()}-{self.number}"

    def make_repository(self) -> None:
        """One with a commit."""
        self.repository.mkdir()
        self._git("init", "--quiet")
        self._git("commit", "--quiet", "--allow-empty", "--message", "Begin")

    def _git(self, *words: str) -> str:
        done = subprocess.run(
            [*_GIT, *words], cwd=self.repository, env=dict(self.scratch.environ),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    async def round(self, rng: Random) -> None:
        """Agents in each phase: some are cancelled; an agent and the daemon are killed; the rest ends."""
        phases = [phase for phase in PHASES for _ in range(rng.choice((1, 2)))]
        cancelled = {
            f"{self.number}.{n}.{phase}": phase for n, phase in enumerate(phases)
        }
        asking = [f"{self.number}.{name}" for name in ASKING]
        runs = [*cancelled.items(), *((run_id, "asks") for run_id in asking)]
        rng.shuffle(runs)
        with started(self.scratch) as daemon:
            async with connected(self.scratch, daemon) as client:
                # Slots are given in this order, and a cancel gives one back.
                for run_id, phase in runs:
                    await self._submit(client, run_id, phase)
                for run_id, phase in runs:
                    if run_id in cancelled:
                        await self._cancel(client, run_id, phase)
                await self._until_asking(client, asking)
                await self._kill_agent(asking[0])
                await trio.sleep(rng.uniform(0, 0.3))
                await self._until_asking(client, asking)
                questions = await self._questions(client)
            daemon.kill()
            daemon.wait()
            self.kills += 1
        await self._check_gone()
        with started(self.scratch) as daemon:
            async with connected(self.scratch, daemon) as client:
                if await self._questions(client) != questions:
                    self.broken.append("other questions are open after the restart")
                for run_id in rng.sample(asking, len(asking)):
                    await self._answer(client, run_id, questions[run_id])
                await self._until_ended(client, asking)
            daemon.terminate()
            await trio.to_thread.run_sync(daemon.wait)
        await self._check_gone()
        self._check_left(cancelled, asking)

    # -- what is done

    async def _submit(self, client: Client, run_id: str, phase: str) -> None:
        program = str(Path(acting_agent.__file__))
        command = ["python3", "-I", "-S", program, phase, self.mark, str(self._places(run_id))]  # fmt: skip
        inputs = {
            "prompt": phase,
            "command": command,
            "repository": str(self.repository),
        }
        await client.submit({"kind": "agent", "inputs": inputs, "run_id": run_id})

    def _places(self, run_id: str) -> Path:
        """Where an agent tells that it has come to its phase."""
        folder = self.scratch.folder / "places" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _cancel(self, client: Client, run_id: str, phase: str) -> None:
        there = self._places(run_id)
        await self._until(lambda: any(there.iterdir()), f"{run_id} never {phase}")
        receipt = await client.cancel(run_id, "a drill", wait=True)
        if receipt["outcome"] != CANCELLED or not proves_end(receipt):
            self.broken.append(f"{run_id}: the receipt proves nothing: {receipt}")
        if left := list(_alive(str(there))):
            self.broken.append(f"{run_id} was cancelled, and {left} are alive")
        self.cancels[phase] += 1

    async def _kill_agent(self, run_id: str) -> None:
        """Who asked is gone, and so is the question; its next life asks again."""
        there = self._places(run_id)
        [place, *_] = there.iterdir()
        os.kill(int(place.suffix[1:]), signal.SIGKILL)
        place.unlink()
        await self._until(
            lambda: any(there.iterdir()), f"{run_id} was not started again"
        )
        self.kills += 1

    async def _answer(self, client: Client, run_id: str, name: str) -> None:
        await client.answer(run_id, name, "allow")
        self.answers += 1
        try:
            await client.answer(run_id, name, "deny")
        except PenstockError:
            return
        self.broken.append(f"{run_id}: {name} was answered twice")

    # -- waiting

    async def _until(self, what: Callable[[], bool], otherwise: str) -> None:
        with trio.move_on_after(PATIENCE):
            while not what():  # noqa: ASYNC110 (of another process)
                await trio.sleep(LOOK_SECONDS)
            return
        self.broken.append(otherwise)

    @staticmethod
    async def _questions(client: Client) -> dict[str, str]:
        return {
            ask["run_id"]: ask["name"] for ask in (await client.get("asks"))["asks"]
        }

    async def _until_asking(self, client: Client, asking: list[str]) -> None:
        with trio.move_on_after(PATIENCE):
            while (await self._questions(client)).keys() != set(asking):  # noqa: ASYNC110 (of another process)
                await trio.sleep(LOOK_SECONDS)
            return
        self.broken.append("not all that should ask do")

    async def _until_ended(self, client: Client, asking: list[str]) -> None:
        for run_id in asking:
            with trio.move_on_after(PATIENCE):
                while (await client.run(run_id))["state"] != COMPLETED:  # noqa: ASYNC110 (of another process)
                    await trio.sleep(LOOK_SECONDS)
                continue
            state = (await client.run(run_id))["state"]
            self.broken.append(f"{run_id} is {state}, and was answered")

    # -- laws

    async def _check_gone(self) -> None:
        """No process of this round is alive once its daemon is not."""
        give_up = time.monotonic() + GONE_SECONDS
        while (left := list(_alive(self.mark))) and time.monotonic() < give_up:  # noqa: ASYNC110 (of another process)
            await trio.sleep(LOOK_SECONDS)
        self.broken += [f"{pid} is alive without a daemon" for pid in left]

    def _check_left(self, cancelled: dict[str, str], asking: list[str]) -> None:
        """The log, the folders and the references, as they must be in the end."""
        audit = audit_file(self.scratch.paths.database)
        self.broken += [str(finding) for finding in audit.findings]
        answered = Counter(
            (run_id, json.loads(body)["name"])
            for run_id, body in self._facts("ask.answered")
            if run_id in asking
        )
        if sorted(answered.values()) != [1] * len(asking):
            self.broken.append(f"questions were not answered once each: {answered}")
        sessions = Counter(r for r, body in self._facts("milestone") if r in asking)
        self.broken += [f"{r} has no second life" for r in asking if sessions[r] < 2]
        trees = list(self.scratch.paths.state.glob("runs/*/tree"))
        self.broken += [f"the folder {tree} is left" for tree in trees]
        refs = self._git("for-each-ref", "--format=%(refname)", f"refs/heads/penstock/{self.number}.*", "refs/penstock")  # fmt: skip
        wanted = sorted(f"refs/heads/penstock/{run_id}" for run_id in asking)
        if sorted(refs.split()) != wanted:
            self.broken.append(f"the references are {refs.split()}")

    def _facts(self, kind: str) -> list[tuple[str, str]]:
        """Run and body of each."""
        sql = "SELECT run_id, body FROM events JOIN runs ON runs.key = events.run WHERE type = ?"
        database = self.scratch.paths.database
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return db.execute(sql, (kind,)).fetchall()


def _alive(mark: str) -> Iterator[int]:
    """Processes that have this among their arguments."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words and int(folder.name) != os.getpid():
            yield int(folder.name)


def drill_agents(
    tally: Tally, *, count: int | None, seconds: float | None, state: Path | None
) -> None:
    """Rounds from the tally's next number on: so many in all, or for so many seconds more."""
    with open_scratch() as scratch:
        trio.run(_go_round, AgentDrill(scratch), tally, count, seconds, state)


async def _go_round(
    drill: AgentDrill, tally: Tally, count: int | None, seconds: float | None, state: Path | None
) -> None:  # fmt: skip
    drill.make_repository()
    began, before = time.monotonic(), tally.seconds
    while not tally.failures:
        late = seconds is not None and time.monotonic() - began > seconds
        if late or (count is not None and tally.done.get("rounds", 0) >= count):
            break
        drill.number = tally.next
        try:
            await drill.round(Random(f"{tally.seed}.{drill.number}"))
        except PenstockError as error:
            drill.broken.append(str(error))
        _note(drill, tally)
        tally.seconds = before + time.monotonic() - began
        save_tally(state, tally)


def _note(drill: AgentDrill, tally: Tally) -> None:
    """What a round adds."""
    about = f"--seed {tally.seed} --from {drill.number}"
    tally.add("rounds", 1, [f"{about}: {word}" for word in drill.broken])
    for phase, number in drill.cancels.items():
        tally.add(f"cancelled: {phase}", number, ())
    tally.add("kills", drill.kills, ())
    tally.add("answers", drill.answers, ())
    tally.next += 1
    drill.broken.clear()
    drill.cancels.clear()
    drill.kills = drill.answers = 0
