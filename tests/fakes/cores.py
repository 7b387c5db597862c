"""A core in memory: fake processes and files, an inline store, virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from fakes.confined import read_inline
from fakes.stores import inline_store
from penstock.log.store import Store
from penstock.log.writes import RunFilter
from penstock.processes.process import Proof
from penstock.runs.core import Core, Environment, open_core
from penstock.runs.run import Executor, Inputs, Kind, Output, Run
from penstock.words.api import SubmitRequest
from penstock.words.config import Config
from penstock.words.events import ProcessExited, ProcessStarted
from penstock.words.recorded import Recorded
from penstock_drills.fakes import START

#: Virtual seconds after which a run counts as hung: a daemon's own watches never let time stand still.
PATIENCE = 100_000


class Seconds(Inputs):
    """How long a fake run lasts, and what it does then."""

    seconds: float = 0.0
    fail: bool = False


class Nothing(Output):
    """Nothing to show."""


async def sleep(run: Run, inputs: Seconds) -> Nothing:
    """Sleep, then end or fail."""
    await trio.sleep(inputs.seconds)
    if inputs.fail:
        raise ValueError("asked to fail")
    return Nothing()


def kind(name: str, pipeline: Callable[..., Awaitable[Output]], **others: Any) -> Kind:
    """A kind with the inputs of a fake run."""
    return Kind(name, name, Seconds, Nothing, pipeline, **others)


SLEEP = kind("sleep", sleep)


def virtual_now() -> datetime:
    """The time of day in a story whose clock is Trio's."""
    return START + timedelta(seconds=trio.current_time())


@dataclass
class FakeProcesses:
    """Programs that last as many seconds as their first argument says, and leave a proof."""

    started: list[tuple[str, ...]] = field(default_factory=list)
    running: int = 0
    proofs: list[Proof] = field(default_factory=list)
    pid: int = 1000

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        on_started: Callable[[ProcessStarted], Awaitable[None]],
        on_output: Callable[[Any, bytes], Awaitable[None]],
        on_proof: Callable[[Proof], None],
        **others: Any,
    ) -> ProcessExited:
        self.started.append(tuple(argv))
        self.pid += 1
        pid = self.pid
        self.running += 1
        try:
            await on_started(
                ProcessStarted(
                    pid=pid,
                    start_time=1,
                    boot_id="boot",
                    method="subreaper",
                    argv=tuple(argv),
                )
            )
            if (read := read_inline(argv, others.get("stdin", b""))) is not None:
                await on_output("stdout", read)
            else:
                await on_output("stdout", b"begun\n")
                await trio.sleep(float(argv[1]) if len(argv) > 1 else 0)
                await on_output("stdout", b"done\n")
        finally:
            with trio.move_on_after(5, shield=True):
                await trio.sleep(0.01)
            self.running -= 1
            proof = self.prove(pid)
            self.proofs.append(proof)
            on_proof(proof)
        return ProcessExited(pid=pid, exit_code=0)

    def prove(self, pid: int) -> Proof:
        """What is known of the end of a process."""
        return Proof("subreaper", (pid,), (), virtual_now())


async def _folderless(_folder: Path) -> None:
    await trio.lowlevel.checkpoint()


async def _plenty() -> int:
    await trio.lowlevel.checkpoint()
    return 2**40


async def _none_left(_started: Any, _run_ids: Any) -> Sequence[int]:
    await trio.lowlevel.checkpoint()
    return ()


def fake_environment(processes: FakeProcesses | None = None) -> Environment:
    """A world in which nothing outside the process happens."""
    count = iter(range(1, 1_000_000))
    return Environment(
        now=virtual_now,
        new_run_id=lambda: f"r-{next(count)}",
        executor=Executor(processes or FakeProcesses(), {}, Path("/nowhere")),
        workspace_of=lambda run_id: Path("/nowhere") / run_id,
        make_folder=_folderless,
        remove_folder=_folderless,
        free_bytes=_plenty,
        end_orphans=_none_left,
    )


@asynccontextmanager
async def open_fake_core(
    *kinds: Kind,
    store: Store | None = None,
    life: str = "life-1",
    environment: Environment | None = None,
    **settings: Any,
) -> AsyncIterator[Core]:
    """A core with these kinds (and `sleep`), on a store in memory unless one is given."""
    named: Mapping[str, Kind] = {k.name: k for k in (SLEEP, *kinds)}
    config = Config(**settings)
    environment = environment or fake_environment()
    if store is not None:
        async with open_core(
            config, store=store, kinds=named, life=life, environment=environment
        ) as core:
            yield core
        return
    async with (
        inline_store(life=life) as own,
        open_core(
            config, store=own, kinds=named, life=life, environment=environment
        ) as core,
    ):
        yield core


def request(
    kind: str = "sleep", run_id: str | None = None, **others: Any
) -> SubmitRequest:
    """A submit; what is not a field of the request is an input."""
    fields = {k: others.pop(k) for k in list(others) if k in SubmitRequest.model_fields}
    return SubmitRequest(kind=kind, run_id=run_id, inputs=others, **fields)


async def wait_ended(core: Core, *run_ids: str) -> None:
    """Wait on the log until these runs have ended."""
    with trio.fail_after(PATIENCE):
        for run_id in run_ids:
            with core.bus.subscribe(run_id, 0) as subscription:
                async for _ in subscription:
                    pass


async def whole_log(store: Store) -> list[Recorded]:
    """Every recorded fact."""
    facts: list[Recorded] = []
    while page := await store.read_all(facts[-1].position if facts else 0):
        facts += page
    return facts


async def types_of(core: Core, run_id: str) -> list[str]:
    """The types of a run's facts, in order."""
    return [fact.type for fact in await core.store.read(run_id)]


def everything(limit: int = 1000) -> RunFilter:
    return RunFilter(limit=limit)
