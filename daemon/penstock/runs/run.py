"""What a pipeline is given: the run it executes, and everything it may do to the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import trio

from penstock.log.bus import Bus
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.writes import Append, draft
from penstock.processes.output import KeptOutput
from penstock.runs.artifact import Artifact, open_artifact
from penstock.runs.asking import ask_person
from penstock.runs.children import spawn_child
from penstock.runs.exec import Executed, Executor, execute_argv, output_limits
from penstock.runs.execution import Execution, describe
from penstock.runs.kind import Kind
from penstock.runs.parking import Parking
from penstock.runs.reads import PatientReads
from penstock.words.api import SubmitRequest
from penstock.words.config import Config
from penstock.words.errors import NotAvailable, Refused
from penstock.words.events import (
    AnyEvent,
    Log,
    Milestone,
    Progress,
    StepCompleted,
    StepFailed,
)
from penstock.words.recorded import Recorded
from penstock.words.values import check_json


class RunModels(Protocol):
    """How models are reached, if any is configured."""

    def for_run(self, run: Run) -> Any: ...

    async def describe(self) -> list[dict[str, Any]]:
        """The models as surfaces list them, small to large."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run of a daemon shares; built once by `open_core`."""

    config: Config
    kinds: Mapping[str, Kind]
    recorder: Recorder
    bus: Bus
    now: Callable[[], datetime]
    #: Where a run's own files go, by its id.
    workspace_of: Callable[[str], Path]
    make_folder: Callable[[Path], Awaitable[None]]
    executor: Executor
    #: The view of an open run.
    view_of: Callable[[str], RunView]
    #: What runs read of the log, their own or another's.
    reads: PatientReads
    is_open: Callable[[str], bool]
    #: How many runs wait without a slot.
    parked: Callable[[], int]
    #: Submits a run as the child of the run named second.
    submit_child: Callable[[SubmitRequest, str], Awaitable[None]]
    models: RunModels | None = None


@dataclass(eq=False, slots=True)
class Run:
    """The run, for its pipeline.

    Names of steps, asks and children are unique within a run: by them a resumed run knows what it
    has done. Every method that records may raise Terminal, Fenced or StoreUnavailable; a pipeline
    lets these pass.
    """

    execution: Execution
    kind: Kind
    inputs: Any
    tools: Tools
    parking: Parking
    _names: set[str] = field(default_factory=set)
    _artifacts: list[Artifact] = field(default_factory=list)
    _output: KeptOutput | None = None
    _lm: Any = None

    @property
    def run_id(self) -> str:
        return self.execution.run_id

    @property
    def attempt(self) -> int:
        """The number of this execution, from 1."""
        return self.execution.row.attempt

    @property
    def config(self) -> Config:
        return self.tools.config

    @property
    def view(self) -> RunView:
        """The run as its recorded facts tell it now."""
        return self.tools.view_of(self.run_id)

    @property
    def has_models(self) -> bool:
        """Whether any model is configured."""
        return self.tools.models is not None

    @property
    def lm(self) -> Any:
        """How this run asks models. NotAvailable while none is configured."""
        if self._lm is None:
            if self.tools.models is None:
                raise NotAvailable(
                    "no model is configured; set [models] in the config file"
                )
            self._lm = self.tools.models.for_run(self)
        return self._lm

    @property
    def output(self) -> KeptOutput:
        """What is kept of the output of all this run's processes together."""
        if self._output is None:
            self._output = KeptOutput(output_limits(self.config))
        return self._output

    async def workspace(self) -> Path:
        """The run's own folder: made on first use, removed after the run's end."""
        folder = self.tools.workspace_of(self.run_id)
        self.execution.made_folder = True
        await self.tools.make_folder(folder)
        return folder

    # -- facts

    async def emit(
        self,
        event: AnyEvent,
        *,
        code_version: int | None = None,
        clock: Mapping[str, int] | None = None,
        causation_id: UUID | None = None,
        event_id: UUID | None = None,
    ) -> Recorded | None:
        """Record a fact about this run and wait until it is durable; a known id is recorded once.

        None if the store was unavailable for long and the fact is of a kind that may be dropped.
        """
        made = draft(
            self.run_id,
            event,
            now=self.tools.now(),
            code_version=code_version,
            clock=clock,
            causation_id=causation_id,
            event_id=event_id,
        )
        outcome = await self.tools.recorder.decide(
            Append((made,), self.execution.fence)
        )
        return outcome.recorded[0] if outcome.recorded else None

    async def progress(self, step: str, fraction: float | None = None) -> None:
        """Say what is being done, and how much of it is (0 to 1)."""
        await self.emit(Progress(step=step, fraction=fraction))

    async def milestone(self, name: str, /, **metadata: Any) -> None:
        """Say that a point was reached; what artifacts hold back goes out first.

        Refused for a name the kind does not declare.
        """
        if self.kind.milestones and name not in self.kind.milestones:
            known = ", ".join(sorted(self.kind.milestones))
            raise Refused(
                "milestone", f"{name!r} is not one of {self.kind.name}'s: {known}"
            )
        try:
            checked = check_json(metadata)
        except ValueError as error:
            raise Refused("metadata", str(error)) from None
        for artifact in self._artifacts:
            await artifact.flush()
        await self.emit(Milestone(name=name, metadata=checked))

    async def log(self, text: str) -> None:
        """Say something in the run's log."""
        await self.emit(Log(text=text))

    @asynccontextmanager
    async def artifact(self, artifact_id: str) -> AsyncIterator[Artifact]:
        """A text that streams as it grows; leaving the block normally completes it."""
        config = self.config
        async with open_artifact(
            artifact_id,
            self.emit,
            attempt=self.attempt,
            interval=config.throttle_seconds,
            capacity=config.throttle_bytes,
        ) as artifact:
            self._artifacts.append(artifact)
            try:
                yield artifact
            finally:
                self._artifacts.remove(artifact)

    # -- work

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
        capture: bool = False,
    ) -> Executed:
        """Run a contained process; its output becomes the run's log, or with `capture` the answer.

        `env` is added to the daemon's own allowed values. ProcessFailed on a non-zero end unless
        `check` is off. When this returns, or raises, the whole process tree is gone.
        """
        await self.parking.wait_slot()
        return await execute_argv(
            self, argv, cwd=cwd, env=env, stdin=stdin, check=check, capture=capture
        )

    async def step(self, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        """Do a named unit at least once and record its JSON result; a resumed run gets the record."""
        self._use_name("step", name)
        steps = self.view.steps
        if name in steps:
            await trio.lowlevel.checkpoint()
            return steps[name]
        await self.parking.wait_slot()
        failure: Exception | None = None
        result = None
        try:
            result = check_json(await fn())
        except Exception as error:  # noqa: BLE001  (told as a fact, then raised again)
            failure = error
        if failure is not None:
            await self.emit(StepFailed(name=name, error=describe(failure)))
            raise failure
        await self.emit(StepCompleted(name=name, result=result))
        return result

    async def ask(
        self,
        name: str,
        question: str,
        choices: Sequence[str] = (),
        default: str | None = None,
        expires: float | None = None,
    ) -> str:
        """Ask a person and wait for the answer, which may come after a restart.

        `expires`: seconds from the first asking; then the default is taken, and without one
        AskExpired is raised. The slot is given back meanwhile.
        """
        self._use_name("ask", name)
        return await ask_person(self, name, question, choices, default, expires)

    async def spawn_run(
        self,
        name: str,
        kind: str,
        inputs: Mapping[str, Any],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  (the child's own limit)
        check: bool = True,
    ) -> RunView:
        """Run a child `{run_id}.{name}` and wait for its end, without the slot."""
        self._use_name("child", name)
        return await spawn_child(self, name, kind, inputs, timeout=timeout, check=check)

    def _use_name(self, what: str, name: str) -> None:
        if f"{what} {name}" in self._names:
            raise Refused("name", f"the {what} {name!r} exists in this run already")
        self._names.add(f"{what} {name}")
