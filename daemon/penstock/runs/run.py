"""A run as its pipeline sees it: facts, children, questions, processes; and the kind it is of."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import trio
from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.concurrency.deferred import DeferredFailure
from penstock.log.bus import Bus
from penstock.log.left_out import left_out
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.writes import Answer, Append, new_event
from penstock.processes.output import KeptOutput, OutputLimits, Stream, open_output
from penstock.processes.process import OnOutput, OnStarted, Proof
from penstock.runs.artifact import Artifact, open_artifact
from penstock.runs.execution import Execution, Parking, describe
from penstock.runs.reader import PatientReads
from penstock.words.api import SubmitRequest
from penstock.words.config import Config
from penstock.words.errors import (
    AlreadyAnswered,
    AskExpired,
    ChildNotCompleted,
    NotAvailable,
    ProcessFailed,
    Refused,
)
from penstock.words.events import (
    AnyEvent,
    AskRaised,
    Log,
    Milestone,
    ProcessExited,
    ProcessStarted,
    Progress,
    StepCompleted,
    StepFailed,
)
from penstock.words.lifecycle import COMPLETED, OnRestart
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.values import check_json, new_event_id


class Inputs(BaseModel):
    """Base of every kind's inputs: unknown fields are refused with their name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def shown(self) -> dict[str, Any]:
        """The inputs as events and surfaces show them; override to leave secrets out."""
        return self.model_dump(mode="json")

    def needs_model(self) -> bool:
        """Whether a run with these inputs cannot do without a model; override where it depends."""
        return False


class Output(BaseModel):
    """Base of every kind's output."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Pipeline = Callable[["Run", Any], Awaitable[Output]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run.

    `milestones` are the only milestone names its pipeline may report. `on_restart` is what becomes
    of a run that a restart interrupts. While no model is configured, runs of a kind that
    `needs_model` are refused at submit, and runs whose inputs say that they do.
    """

    name: str
    summary: str
    inputs: type[Inputs]
    output: type[Output]
    pipeline: Pipeline
    on_restart: OnRestart = "requeue"
    preemptible: bool = False
    needs_model: bool = False
    milestones: frozenset[str] = frozenset()

    def parse(self, data: Mapping[str, Any]) -> Inputs:
        """The inputs, validated. Refused names the first field that does not fit."""
        try:
            return self.inputs.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in ("inputs", *first["loc"]))
            raise Refused(field, first["msg"].removeprefix("Value error, ")) from None


def check_whole(inputs: bytes) -> None:
    """Refused names what stored inputs are without, since the log came from an export."""
    if names := left_out(inputs):
        raise Refused(
            ", ".join(names),
            "left out of the export that this run came from; submit it anew, with its values",
        )


def encode_inputs(inputs: Inputs) -> bytes:
    """The inputs whole, in canonical JSON."""
    return json.dumps(
        inputs.model_dump(mode="json"),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


def digest_inputs(kind: str, encoded: bytes) -> bytes:
    """Same kind and same inputs, same digest (SHA-256)."""
    return hashlib.sha256(kind.encode() + b"\0" + encoded).digest()


class ModelAccess(Protocol):
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
    models: ModelAccess | None = None


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
    def on_restart(self) -> OnRestart:
        """What becomes of the run if a restart interrupts it."""
        return self.execution.row.on_restart

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
        made = new_event(
            self.run_id,
            event,
            now=self.tools.now(),
            code_version=code_version,
            clock=clock,
            causation_id=causation_id,
            event_id=event_id,
        )
        outcome = await self.tools.recorder.record(
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
        on_stdout: OnStdout | None = None,
    ) -> Executed:
        """Run a contained process; its output becomes the run's log, or with `capture` the answer.

        `on_stdout` takes standard output as it comes instead; while it waits, so does the process.
        `env` is added to the daemon's own allowed values. ProcessFailed on a non-zero end unless
        `check` is off. When this returns, or raises, the whole process tree is gone.
        """
        await self.parking.wait_slot()
        return await execute_argv(
            self,
            argv,
            cwd=cwd,
            env=env,
            stdin=stdin,
            check=check,
            capture=capture,
            on_stdout=on_stdout,
        )

    async def step(self, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        """Do a named unit at least once and record its JSON result; a resumed run gets the record."""
        self._use_name("step", name)
        steps = self.view.steps
        if name in steps:
            await trio.lowlevel.checkpoint()
            return steps[name]
        await self.parking.wait_slot()
        failed = DeferredFailure()
        result = None
        with failed:
            result = check_json(await fn())
        if failed.error is not None:
            await self.emit(StepFailed(name=name, error=describe(failed.error)))
        failed.reraise()
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
        on_restart: OnRestart | None = None,
    ) -> RunView:
        """Run a child `{run_id}.{name}` and wait for its end, without the slot.

        `on_restart` is what becomes of the child that a restart interrupts; None: as its kind has
        it, whatever becomes of this run.
        """
        self._use_name("child", name)
        return await spawn_child(
            self,
            name,
            kind,
            inputs,
            timeout=timeout,
            check=check,
            on_restart=on_restart,
        )

    def _use_name(self, what: str, name: str) -> None:
        if f"{what} {name}" in self._names:
            raise Refused("name", f"the {what} {name!r} exists in this run already")
        self._names.add(f"{what} {name}")


async def ask_person(
    run: Run,
    name: str,
    question: str,
    choices: Sequence[str],
    default: str | None,
    expires: float | None,
) -> str:
    """Raise the question unless it was raised before, and wait for its answer without the slot."""
    if name not in run.view.asks:
        until = (
            None if expires is None else run.tools.now() + timedelta(seconds=expires)
        )
        await run.emit(
            AskRaised(
                name=name,
                question=question,
                choices=tuple(choices),
                default=default,
                expires_at=until,
            )
        )
    answer: str | None = run.view.asks[name].answer
    if answer is not None:
        return answer
    if run.tools.parked() >= run.config.max_parked_asks:
        return await _wait_answered(run, name)
    async with run.parking.open_parked(f"asks: {name}"):
        answer = await _wait_answered(run, name)
    return answer  # noqa: RET504  (the slot is taken again before)


async def _wait_answered(run: Run, name: str) -> str:
    ask = run.view.asks[name]
    with trio.CancelScope() as scope:
        if ask.expires_at is not None:
            left = (ask.expires_at - run.tools.now()).total_seconds()
            scope.deadline = trio.current_time() + max(left, 0.0)
        return await _answer_of(run, name)
    if ask.default is None:
        raise AskExpired(f"nobody answered {name!r} in time, and it has no default")
    default = Answer(
        run.run_id, name, ask.default, "default", run.tools.now(), new_event_id()
    )
    # An answer that came in the same moment wins: ours is refused, and theirs is read.
    with suppress(AlreadyAnswered):
        await run.tools.recorder.record(default)
    return await _answer_of(run, name)


async def _answer_of(run: Run, name: str) -> str:
    """Wait on the log: the view is folded in the step in which the answer is published."""
    while True:
        answer: str | None = run.view.asks[name].answer
        if answer is not None:
            return answer
        await run.tools.bus.wait_published(run.run_id)


async def spawn_child(
    run: Run,
    name: str,
    kind: str,
    inputs: Mapping[str, Any],
    *,
    timeout: float | None,  # noqa: ASYNC109  (the child's own limit, recorded with it)
    check: bool,
    on_restart: OnRestart | None = None,
) -> RunView:
    """Submit `{run_id}.{name}`, or find it, and wait without the slot for its terminal event.

    ChildNotCompleted, with the child's state, unless it completed or `check` is off.
    """
    child_id = f"{run.run_id}.{name}"
    request = SubmitRequest(
        kind=kind,
        inputs=dict(inputs),
        run_id=child_id,
        priority=Priority(run.execution.row.priority),
        timeout=timeout,
        on_restart=on_restart,
    )
    await run.tools.submit_child(request, run.run_id)
    if run.tools.is_open(child_id):
        async with run.parking.open_parked(f"child: {name}"):
            while run.tools.is_open(child_id):
                await run.tools.bus.wait_published(child_id)
    child = await run.tools.reads.view(child_id)
    if check and child.state != COMPLETED:
        error = child.error or child.reason
        raise ChildNotCompleted(
            f"the child run {child_id} ended {child.state}: {error}",
            child=child_id,
        )
    return child


#: Takes what a program writes to its standard output.
OnStdout = Callable[[bytes], Awaitable[None]]

#: Seconds the last of the output may take to be recorded when the run is being cancelled.
CLOSING_SECONDS = 1.0


class StartProcess(Protocol):
    """Runs a program to the end of its whole tree: `processes.run_process`, or a fake."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        run_id: str,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes,
        on_started: OnStarted,
        on_output: OnOutput,
        on_proof: Callable[[Proof], None],
    ) -> Awaitable[ProcessExited]: ...


@dataclass(frozen=True, slots=True)
class Executor:
    """How this daemon runs programs; `environ` and `home` are what a caller who says nothing gets."""

    start_process: StartProcess
    environ: Mapping[str, str]
    home: Path


@dataclass(frozen=True, slots=True)
class Executed:
    """How a program ended; `stdout` only when it was captured, up to the kept beginning."""

    exit_code: int | None
    signal: int | None
    stdout: bytes = b""


def output_limits(config: Config) -> OutputLimits:
    """What the configuration keeps of a run's output."""
    return OutputLimits(
        head_bytes=config.output_head_bytes,
        tail_bytes=config.output_tail_bytes,
        line_bytes=config.output_line_bytes,
        throttle_seconds=config.throttle_seconds,
        throttle_bytes=config.throttle_bytes,
    )


async def execute_argv(
    run: Run,
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: bytes,
    check: bool,
    capture: bool,
    on_stdout: OnStdout | None = None,
) -> Executed:
    """See `Run.exec`."""
    executor = run.tools.executor
    captured = _Captured(run.config.output_head_bytes)
    if capture:
        on_stdout = captured.add
    async with open_output(run.output, run.emit, CLOSING_SECONDS) as on_output:

        async def emit_started(event: ProcessStarted) -> None:
            await run.emit(event)

        async def pass_on(stream: Stream, data: bytes) -> None:
            if stream == "stdout" and on_stdout is not None:
                await on_stdout(data)
            else:
                await on_output(stream, data)

        exited = await executor.start_process(
            argv,
            run_id=run.run_id,
            cwd=cwd or executor.home,
            env={**executor.environ, **(env or {})},
            stdin=stdin,
            on_started=emit_started,
            on_output=pass_on,
            on_proof=run.execution.proofs.append,
        )
    await run.emit(exited)
    if check and exited.exit_code != 0:
        raise ProcessFailed(
            end_in_words(exited), exit_code=exited.exit_code, signal=exited.signal
        )
    return Executed(exited.exit_code, exited.signal, bytes(captured.data))


class _Captured:
    """The beginning of an output; what is more is not kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.data = bytearray()

    async def add(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.data += data[: self.limit - len(self.data)]


def end_in_words(ended: ProcessExited | Executed) -> str:
    """How a process ended, as a person says it."""
    if ended.exit_code is not None:
        return f"exit status {ended.exit_code}"
    if ended.signal is None:
        return "how the process ended is unknown: its supervisor was lost"
    try:
        return f"killed by {signal.Signals(ended.signal).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {ended.signal}"
