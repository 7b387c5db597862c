"""A core in memory: the real one, on a store in memory, with processes that are entries in a table."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import trio

from penstock.log.projections import AskView, RunView
from penstock.log.redaction import Secrets, make_held_back, make_redaction
from penstock.log.store import Store
from penstock.runs.core import Core, Environment
from penstock.runs.kind import Kind
from penstock.runs.open_core import open_core
from penstock.runs.program import Executor
from penstock.runs.run import ModelAccess
from penstock.testing.fake_programs import FakeProcesses
from penstock.testing.faulty_store import open_memory_store
from penstock.testing.virtual_time import virtual_now
from penstock.words.api import CancelReceipt, SubmitRequest
from penstock.words.config import Config
from penstock.words.recorded import Recorded
from penstock.words.surroundings import Surroundings

#: Seconds after which a wait counts as hung. A core's own watches never let virtual time stand
#: still, so that without a limit a test under a mock clock would not end.
PATIENCE = 100_000

#: Bytes that are free on the disk of a core in memory.
FREE_BYTES = 2**40


async def _leave(_folder: Path) -> None:
    await trio.lowlevel.checkpoint()


async def _plenty() -> int:
    await trio.lowlevel.checkpoint()
    return FREE_BYTES


async def _make(folder: Path) -> None:
    # On the loop, since a thread is not to be had under a mock clock.
    await trio.lowlevel.checkpoint()
    os.makedirs(folder, exist_ok=True)


#: Where runs have their folders that are only names: nobody can make one there, not even root.
NO_FOLDER = Path("/dev/null")


def memory_environment(
    processes: FakeProcesses,
    *,
    workspaces: Path | None = None,
    models: ModelAccess | None = None,
) -> Environment:
    """A world in which nothing outside this process happens.

    `workspaces`: the folder in which the runs' own folders are really made, to stay there.
    """
    ids, secrets = count(1), Secrets()
    home = workspaces or NO_FOLDER
    return Environment(
        now=virtual_now,
        new_run_id=lambda: f"r-{next(ids)}",
        executor=Executor(processes, {}, home),
        workspace_of=lambda run_id: home / run_id,
        make_folder=_leave if workspaces is None else _make,
        remove_folder=_leave,
        free_bytes=_plenty,
        end_orphans=processes.end_orphans,
        suspend=processes.suspend,
        models=models,
        redact=make_redaction([], secrets),
        held_back=make_held_back([], secrets),
        secrets=secrets,
    )


@dataclass(frozen=True, slots=True)
class InMemoryCore:
    """What a test does with a core. Made by `open_test_core`.

    `core` is the real one, for the daemon's own tests; its members are no promise to plug-ins.
    """

    core: Core
    processes: FakeProcesses

    async def submit(
        self,
        kind: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        surroundings: Surroundings | None = None,
        **others: Any,
    ) -> str:
        """Queue a run; its id. `others` are fields of `POST /runs`. Refused, NotAvailable.

        `surroundings`: the environment and umask of the caller, for the run's programs.
        """
        request = SubmitRequest(
            kind=kind, inputs=dict(inputs or {}), run_id=run_id, **others
        )
        submitted = await self.core.submitter.submit(request, surroundings=surroundings)
        return submitted.view.run_id

    async def view(self, run_id: str) -> RunView:
        """The run as its recorded facts tell it now. RunNotFound."""
        return await self.core.reader.view(run_id)

    async def wait_ended(self, run_id: str) -> RunView:
        """The run after its terminal event. RunNotFound."""
        with trio.fail_after(PATIENCE):
            while not (view := await self.view(run_id)).ended:
                await self.core.bus.wait_published(run_id)
        return view

    async def run(self, kind: str, inputs: Mapping[str, Any] | None = None) -> RunView:
        """Queue a run and wait for its end, whatever that is."""
        return await self.wait_ended(await self.submit(kind, inputs))

    async def facts(self, run_id: str) -> list[Recorded]:
        """Everything that is recorded of a run, in order; empty for an unknown one."""
        facts: list[Recorded] = []
        while page := await self.core.store.read(
            run_id, facts[-1].position if facts else 0
        ):
            facts += page
        return facts

    async def wait_asked(self, run_id: str, name: str | None = None) -> AskView:
        """The run's open question, or the one of this name, once it is asked.

        LookupError when the run ends without.
        """
        with trio.fail_after(PATIENCE):
            while not (view := await self.view(run_id)).ended:
                for ask in view.asks.values():
                    if ask.open and name in (None, ask.name):
                        return ask
                await self.core.bus.wait_published(run_id)
        raise LookupError(f"the run {run_id!r} ended {view.state} and did not ask")

    async def answer(self, run_id: str, name: str, answer: str) -> None:
        """Answer a question as a person does. AlreadyAnswered, AskNotFound, Refused."""
        await self.core.control.answer(run_id, name, answer, "test")

    async def cancel(self, run_id: str, reason: str = "a test") -> CancelReceipt:
        """Cancel a run and wait until what becomes of it is known. RunNotFound."""
        return await self.core.control.cancel(run_id, reason, wait=True)


@asynccontextmanager
async def open_test_core(
    kinds: Iterable[Kind] = (),
    *,
    processes: FakeProcesses | None = None,
    models: ModelAccess | None = None,
    workspaces: Path | None = None,
    store: Store | None = None,
    life: str = "life-1",
    environment: Environment | None = None,
    **settings: Any,
) -> AsyncIterator[InMemoryCore]:
    """A core with these kinds. Nothing of it leaves the process, and no thread is used.

    `workspaces` is where `Run.workspace` makes folders; without, they are only names. A `store` of
    `open_memory_store`, given to one core after the other with another `life` each, is a daemon
    that restarts: leaving the block is a stop. `settings` are those of the configuration.
    `environment` replaces the whole world, and with it `models` and `workspaces`.
    """
    processes = processes or FakeProcesses()
    world = environment or memory_environment(
        processes, workspaces=workspaces, models=models
    )
    async with AsyncExitStack() as stack:
        if store is None:
            store = await stack.enter_async_context(open_memory_store(life=life))
        core = await stack.enter_async_context(
            open_core(
                Config(**settings),
                store=store,
                kinds={kind.name: kind for kind in kinds},
                life=life,
                environment=world,
            )
        )
        yield InMemoryCore(core, processes)
