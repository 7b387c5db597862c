"""One run of a kind on a core in memory, and what a test asks of its facts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from penstock.log.projections import RunView
from penstock.pipeline import Kind, Output, Run
from penstock.processes.detection import detect_containment
from penstock.processes.process import Containment, run_process
from penstock.processes.spec import Program
from penstock.runs.program import Executor
from penstock.testing import (
    FakeProcesses,
    InMemoryCore,
    memory_environment,
    open_test_core,
)
from penstock.words.events import (
    ArtifactCompleted,
    ArtifactPartial,
    Fact,
    Log,
    Milestone,
    ProcessExited,
    ProcessStarted,
)
from penstock.words.printed import text_of
from penstock.words.values import utc_now

F = TypeVar("F", bound=Fact)

#: Seconds between TERM and KILL of a program that a test has really started.
GRACE_SECONDS = 0.5


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    view: RunView
    events: Sequence[Any]

    def of(self, type_: type[F]) -> list[F]:
        """Its facts of one type, in order."""
        return [event for event in self.events if isinstance(event, type_)]

    def names(self) -> list[str]:
        """The milestones in order."""
        return [event.name for event in self.of(Milestone)]

    def text_of(self, artifact_id: str) -> str:
        """The partials of one artifact, joined."""
        partials = self.of(ArtifactPartial)
        return "".join(p.text for p in partials if p.artifact_id == artifact_id)

    def completed(self, artifact_id: str) -> list[ArtifactCompleted]:
        """The completions of one artifact: none or one."""
        done = self.of(ArtifactCompleted)
        return [event for event in done if event.artifact_id == artifact_id]

    def log(self) -> str:
        """What it said."""
        return "".join(text_of(event) for event in self.of(Log))


@dataclass
class RealPrograms:
    """Starts what a run starts, really and contained, and keeps what was asked for."""

    commands: list[tuple[tuple[str, ...], Mapping[str, str]]] = field(
        default_factory=list
    )
    containment: Containment = field(default_factory=partial(detect_containment, {}))

    async def __call__(self, program: Program, **others: Any) -> ProcessExited:
        self.commands.append((program.argv, program.env))
        return await run_process(
            program, containment=self.containment, grace=GRACE_SECONDS, **others
        )


@asynccontextmanager
async def open_kinds(
    *kinds: Kind, home: Path, programs: RealPrograms | None = None, **settings: Any
) -> AsyncIterator[InMemoryCore]:
    """A core in memory whose runs have real folders below `home`, which stay there.

    Without `programs` none is really started.
    """
    environment = memory_environment(FakeProcesses(), workspaces=home)
    if programs is not None:
        executor = Executor(programs, {"PATH": os.environ["PATH"]}, Path.cwd())
        environment = replace(environment, executor=executor, now=utc_now)
    async with open_test_core(kinds, environment=environment, **settings) as core:
        yield core


async def run_in(
    core: InMemoryCore, kind: Kind, inputs: Mapping[str, Any], run_id: str = "run-1"
) -> Ended:
    """A run to its end, whatever that is."""
    with trio.fail_after(60):
        await core.submit(kind.name, inputs, run_id=run_id)
        await core.wait_ended(run_id)
        return await ended(core, run_id)


async def ended(core: InMemoryCore, run_id: str) -> Ended:
    """What is recorded of a run that has ended."""
    facts = await core.facts(run_id)
    return Ended(await core.view(run_id), [fact.event for fact in facts])


async def run_kind(
    kind: Kind,
    inputs: Mapping[str, Any],
    home: Path,
    *,
    programs: RealPrograms | None = None,
    **settings: Any,
) -> Ended:
    """The same on a core of its own."""
    async with open_kinds(kind, home=home, programs=programs, **settings) as core:
        return await run_in(core, kind, inputs)


class RunWithFault:
    """A real run, but for what a test breaks of it."""

    def __init__(self, run: Run) -> None:
        self.real = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def with_fault(kind: Kind, fault: type[RunWithFault]) -> Kind:
    """The kind whose pipeline is given such a run."""

    async def pipeline(run: Run, inputs: Any) -> Output:
        broken: Any = fault(run)
        return await kind.pipeline(broken, inputs)

    return replace(kind, pipeline=pipeline)


def processes_of(run: Ended) -> list[tuple[str, ...]]:
    """What it started."""
    return [event.argv for event in run.of(ProcessStarted)]
