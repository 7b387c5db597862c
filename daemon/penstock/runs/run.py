"""A run as its pipeline sees it: facts, programs, questions, children."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol
from uuid import UUID

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.log.bus import Bus
from penstock.log.new_events import new_event
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.writes import Append
from penstock.processes.feeding import sends
from penstock.processes.output import HeldBack, OutputPieces, RunOutput, nothing_secret
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.artifact_writer import Artifact, open_artifact
from penstock.runs.console import Console
from penstock.runs.execution import Execution, describe
from penstock.runs.folders import FolderLocks
from penstock.runs.guarded_trees import GuardedTree, GuardedTrees
from penstock.runs.kind import Kind
from penstock.runs.live_output import LiveOutput
from penstock.runs.parking import Parking
from penstock.runs.program import (
    LIVE_PATIENCE,
    TOKEN,
    URL,
    Executed,
    Executor,
    Listeners,
    OnStdout,
    RunPrograms,
    output_pace,
)
from penstock.runs.questions import Questions
from penstock.runs.reader import PatientReads
from penstock.runs.receipts import ModelSlot
from penstock.runs.run_scopes import RunScope, RunTokens
from penstock.runs.running_program import RunningProcess, open_process
from penstock.runs.shares import Shares
from penstock.words.api import ChildRequest, SubmitRequest
from penstock.words.config import Config
from penstock.words.errors import (
    ChildNotCompleted,
    NotAvailable,
    Refused,
    TooLarge,
)
from penstock.words.events import (
    LARGEST_EVENT_BYTES,
    AnyEvent,
    Log,
    Milestone,
    ProcessStarted,
    Progress,
    StepCompleted,
    StepFailed,
)
from penstock.words.lifecycle import COMPLETED, OnRestart
from penstock.words.placement import has_its_caller
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.run_id import check_run_id
from penstock.words.surroundings import Surroundings, unpack_environ
from penstock.words.trace_context import (
    TRACEPARENT,
    context_of_run,
    execution_context,
)
from penstock.words.values import check_json
from penstock.words.wait_reason import Waiting

# What a run's log says that came from an export, or retries one that did, or one that was for another box.
_WITHOUT_ENVIRONMENT = (
    "the environment that this run was submitted with is not here: none is kept of a run that was sent to"
    " another box, and an import brings none; its programs get a few variables of the daemon's own\n"
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})

#: Facts that one `emit_many` takes: their commit takes some ten milliseconds, for which all wait.
MOST_AT_ONCE = 1000


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
    folders: FolderLocks
    executor: Executor
    #: The view of an open run.
    view_of: Callable[[str], RunView]
    #: What runs read of the log, their own or another's.
    reads: PatientReads
    is_open: Callable[[str], bool]
    #: How many runs wait without a slot.
    parked: Callable[[], int]
    #: Stops a program, or lets it go on; False if it has ended.
    suspend: Callable[[ProcessStarted, bool], Awaitable[bool]]
    #: Submits a run as the child of the run named second.
    submit_child: Callable[[SubmitRequest, str], Awaitable[None]]
    tokens: RunTokens
    trees: GuardedTrees
    models: ModelAccess | None = None
    #: How much at the end of an output may be the beginning of a secret.
    held_back: HeldBack = nothing_secret
    #: Where what a run prints goes besides, for who started it.
    live_of: Callable[[str], LiveOutput | None] = lambda _run_id: None
    #: Whether spans are made of what runs do.
    traced: bool = False
    #: What runs have in common beside slots.
    shares: Shares = field(default_factory=Shares)


@dataclass(frozen=True, slots=True)
class ToolsServer:
    """How a server of tools is started; its variables are for it alone."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)


@dataclass(eq=False, slots=True)
class Run:
    """The run, for its pipeline.

    Names of steps, asks and children are unique within a run: by them a resumed run knows what it
    has done. Every method that records may raise Terminal, Fenced or StoreUnavailable; a pipeline
    lets these pass.
    """

    kind: Kind
    inputs: Any
    _execution: Execution
    _tools: Tools
    _parking: Parking
    _names: set[str] = field(default_factory=set)
    _artifacts: list[Artifact] = field(default_factory=list)
    _programs: RunPrograms | None = None
    _lm: Any = None

    @property
    def run_id(self) -> str:
        return self._execution.run_id

    @property
    def attempt(self) -> int:
        """The number of this execution, from 1."""
        return self._execution.row.attempt

    @property
    def on_restart(self) -> OnRestart:
        """What becomes of the run if a restart interrupts it."""
        return self._execution.row.on_restart

    @property
    def root_id(self) -> str:
        """The run at the top of its tree: its own id unless another run spawned it."""
        return self._execution.row.root_id

    @property
    def priority(self) -> Priority:
        """How important it is."""
        return Priority(self._execution.row.priority)

    @property
    def config(self) -> Config:
        """The daemon's settings."""
        return self._tools.config

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Every installed kind by its name: what `spawn_run` may be given."""
        return self._tools.kinds

    @property
    def view(self) -> RunView:
        """The run as its recorded facts tell it now."""
        return self._tools.view_of(self.run_id)

    @property
    def traceparent(self) -> str | None:
        """What its programs and children stand below in a trace; None where nobody traces."""
        view = self.view
        if not self._tools.traced or view.created_at is None:
            return view.traceparent
        run = context_of_run(self.run_id, view.created_at, view.traceparent)
        return str(execution_context(run, view.attempt))

    @property
    def reads(self) -> PatientReads:
        """What the log holds: facts, views and lists, of this run or any other."""
        return self._tools.reads

    @property
    def has_models(self) -> bool:
        """Whether any model is configured."""
        return self._tools.models is not None

    @property
    def lm(self) -> Any:
        """How this run asks models. NotAvailable while none is configured."""
        if self._lm is None:
            if self._tools.models is None:
                raise NotAvailable(
                    "no model is configured; set [models] in the config file"
                )
            self._lm = self._tools.models.for_run(self)
        return self._lm

    def now(self) -> datetime:
        """The time of day, as events tell it."""
        return self._tools.now()

    def is_open(self, run_id: str) -> bool:
        """Whether there is a run of this id that has not ended."""
        return self._tools.is_open(run_id)

    async def workspace(self) -> Path:
        """The run's own folder: made on first use, removed after the run's end."""
        folder = self._tools.workspace_of(self.run_id)
        self._execution.made_folder = True
        async with self._tools.folders.alone(self.run_id):
            await self._tools.make_folder(folder)
        return folder

    def keep_workspace(self) -> None:
        """Leave the run's own folder where it is after the run's end, until the run is forgotten."""
        self._execution.keeps_folder = True

    @property
    def comes_back(self) -> bool:
        """Whether this execution is being ended so that another one goes on with the run."""
        execution = self._execution
        if execution.cancel_requested is not None:
            return False
        return execution.stopping == "requeue" or execution.preempted_by is not None

    def place(
        self, name: str, most: int, waiting: Waiting
    ) -> AbstractAsyncContextManager[None]:
        """Have one of `most` places inside the block, which runs share by name; wait without a slot for it."""
        # Not bounded as questions are: who keeps a slot and waits for a place keeps the slot from
        # those who have places.
        parked = partial(self._parking.open_parked, waiting)
        return self._tools.shares.place(name, most, parked)

    def close_share(self, name: str, until: datetime) -> None:
        """Tell all runs that nobody should use what is named so before this moment, as a quota."""
        self._tools.shares.close(name, until)

    def share_closed_until(self, name: str) -> datetime | None:
        """Until when it is closed; None: it is open."""
        return self._tools.shares.closed_until(name, self.now())

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
            now=self._tools.now(),
            code_version=code_version,
            clock=clock,
            causation_id=causation_id,
            event_id=event_id,
        )
        outcome = await self._tools.recorder.record(
            Append((made,), self._execution.fence)
        )
        return outcome.recorded[0] if outcome.recorded else None

    async def emit_many(self, events: Sequence[AnyEvent]) -> Sequence[Recorded]:
        """Record facts about this run in one go, in order, and wait until all are durable.

        All of them are recorded or none; nothing of anybody else stands between them. At most
        MOST_AT_ONCE, or Refused, and together no larger than one fact may be, or TooLarge: a commit
        must stay short. None are returned where `emit` would return None.
        """
        if not events:
            await trio.lowlevel.checkpoint()
            return ()
        if len(events) > MOST_AT_ONCE:
            why = f"{len(events)} facts at once; the limit is {MOST_AT_ONCE}"
            raise Refused("events", why, limit=MOST_AT_ONCE)
        now = self._tools.now()
        made = tuple([new_event(self.run_id, event, now=now) for event in events])
        size = sum([len(one.body) for one in made])
        if size > LARGEST_EVENT_BYTES:
            why = f"{size} bytes; the limit is {LARGEST_EVENT_BYTES}"
            raise TooLarge("events", why, limit=LARGEST_EVENT_BYTES)
        fence = self._execution.fence
        return (await self._tools.recorder.record(Append(made, fence))).recorded

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
    async def artifact(
        self, artifact_id: str, *, attempt: int | None = None
    ) -> AsyncIterator[Artifact]:
        """A text that streams as it grows; leaving the block normally completes it.

        What a higher `attempt` says replaces what a lower one said; None: that of the run.
        """
        config = self.config
        async with open_artifact(
            artifact_id,
            self.emit,
            attempt=self.attempt if attempt is None else attempt,
            interval=config.throttle_seconds,
            capacity=config.throttle_bytes,
        ) as artifact:
            self._artifacts.append(artifact)
            try:
                yield artifact
            finally:
                self._artifacts.remove(artifact)

    # -- work

    async def wait_slot(self) -> None:
        """Return when the run has its slot; while one of its tasks waits without, it has not."""
        await self._parking.wait_slot()

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        clean: bool = False,
        stdin: bytes | Literal["open"] = b"",
        terminal: WindowSize | None = None,
        check: bool = True,
        capture: bool = False,
        on_stdout: OnStdout | None = None,
        watch_progress: bool = False,
        one_stream: bool = False,
    ) -> Executed:
        """Run a contained process; its output becomes the run's log, or with `capture` the answer.

        `on_stdout` takes standard output as it comes instead; while it waits, so does the process.
        `stdin` of "open" is fed from outside, by `POST /runs/ID/stdin`; the kind's inputs say so in
        `takes_input`. With `terminal`, a size, that is typed on a terminal which the program controls; what
        it shows there is its standard output. `env` is added to the environment of the run's caller, or of
        the daemon's where that sent none. `clean`: a few variables of it only (PATH, HOME, LANG …) and the
        daemon's umask, for programs whose work is the kind's own and none of the caller's. ProcessFailed on
        a non-zero end unless `check` is off. With `watch_progress` what it prints like `42 %` or `n/m`
        becomes the run's progress. `one_stream`: as with `2>&1` both streams are stdout, in the order in which
        they were written. When this returns, or raises, the whole process tree is gone.
        """
        await self._parking.wait_going()
        programs = await self._open_programs()
        program = programs.program(
            argv,
            cwd=cwd,
            env=env,
            clean=clean,
            terminal=terminal,
            one_stream=one_stream,
        )
        execute = partial(
            programs.execute,
            program,
            capture=capture,
            watch_progress=watch_progress,
            check=check,
        )
        live = None if terminal else self._tools.live_of(self.run_id)
        listeners = Listeners(on_stdout=on_stdout, live=live)
        if isinstance(stdin, bytes):
            feed = sends(stdin) if stdin else None
            return await execute(feed=feed, listeners=listeners)
        with self._open_console(terminal) as console:
            patience = LIVE_PATIENCE if terminal else None
            shown = replace(listeners, on_shown=console.show, log_patience=patience)
            return await execute(feed=console.feed, listeners=shown)

    @contextmanager
    def _open_console(self, terminal: WindowSize | None) -> Iterator[Console]:
        """What a program is connected to from outside while it lives."""
        console = Console(terminal, self.config.watch_bytes)
        self._execution.console = console
        try:
            yield console
        finally:
            self._execution.console = None
            console.end()

    def process(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        clean: bool = False,
        check: bool = True,
        patience: float = 0.0,
    ) -> AbstractAsyncContextManager[RunningProcess]:
        """A contained process to talk with: `async with run.process(argv) as p`.

        `p.stdin` is a stream to send to: it waits while the process does not read, and raises
        BrokenResourceError once it never will; that alone ends the block and is no failure. `p.stdout`
        is a stream to receive from; while nobody does, the process waits. Standard error is the run's
        log. Leaving the block closes `stdin`, drops what else comes and waits for the end, which is then
        in `p.ended`: ProcessFailed as for `exec`. A block that fails or is cancelled ends the process.
        Outside the block the whole process tree is gone. `env` and `clean` are those of `exec`. A block that
        is cancelled may use the process for `patience` seconds more, to take leave, before it is ended.
        """

        async def execute(process: RunningProcess) -> Executed:
            await self._parking.wait_going()
            programs = await self._open_programs()
            stdout = process.stdout
            return await programs.execute(
                programs.program(argv, cwd=cwd, env=env, clean=clean),
                feed=process.stdin.feed,
                listeners=Listeners(on_stdout=stdout.take, on_stdout_end=stdout.end),
                check=False,
            )

        return open_process(execute, check=check, patience=patience)

    async def environ(self) -> Mapping[str, str]:
        """The environment of the run's caller; empty where that sent none. For programs alone.

        It may hold every secret of its user: nothing of it belongs into a fact, a file or a prompt.
        """
        return (await self._open_programs()).given or {}

    async def _open_programs(self) -> RunPrograms:
        if self._programs is None:
            around = await self.reads.surroundings(self.run_id)
            # Another task of the pipeline may have been here meanwhile.
            if self._programs is None:
                self._programs = self._make_programs(around)
                row = self._execution.row
                if (
                    around is not None
                    and around.environ is None
                    and has_its_caller(row.needs, row.origin, row.host)
                ):
                    await self.log(_WITHOUT_ENVIRONMENT)
        return self._programs

    def _make_programs(self, around: Surroundings | None) -> RunPrograms:
        environ = None if around is None else around.environ
        given = None if environ is None else unpack_environ(environ)
        executor, guarded = self._tools.executor, self._execution.guarded
        if guarded:
            executor = executor.guarded()
        if (traceparent := self.traceparent) is not None:
            traced = {TRACEPARENT: traceparent}
            executor = executor.with_environ(traced)
            given = None if given is None else {**given, **traced}
        pieces = OutputPieces(
            output_pace(self.config),
            self.config.output_head_bytes,
            self._tools.held_back,
        )
        return RunPrograms(
            self.run_id,
            executor,
            given,
            None if around is None else around.umask,
            RunOutput(pieces, self._emit_pieces),
            self.config.output_head_bytes,
            self.emit,
            self._execution.proofs.append,
            self._execution.programs,
            self._heed_pause,
            self._open_tree if guarded else nullcontext,
        )

    def _open_tree(self) -> AbstractContextManager[GuardedTree]:
        return self._tools.trees.open_tree(RunScope(self._execution))

    async def _heed_pause(self, program: ProcessStarted) -> None:
        """Stop a program that has begun while the run was being paused, and let it go on if that is over."""
        stopped = False
        while stopped == self._execution.going.is_set():
            stopped = not stopped
            await self._tools.suspend(program, stopped)

    async def _emit_pieces(self, pieces: Sequence[tuple[UUID, Log]]) -> bool:
        now = self._tools.now()
        made = [
            new_event(self.run_id, piece, now=now, event_id=event_id)
            for event_id, piece in pieces
        ]
        outcome = await self._tools.recorder.record(
            Append(tuple(made), self._execution.fence)
        )
        return bool(outcome.recorded)

    async def step(self, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        """Do a named unit at least once and record its JSON result; a resumed run gets the record."""
        self._use_name("step", name)
        steps = self.view.steps
        if name in steps:
            await trio.lowlevel.checkpoint()
            return steps[name]
        await self.wait_slot()
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
        *,
        given: str | None = None,
        details: Mapping[str, Any] = _NOTHING,
    ) -> str:
        """Ask a person and wait for the answer, which may come after a restart.

        `expires`: seconds from the first asking; then the default is taken, and without one
        AskExpired is raised. The slot is given back meanwhile. `given` is an answer that came with
        the run's inputs: question and answer are facts, and nobody is waited for. `details` are shown
        to who answers, as far as a surface knows them: tool, title, command, paths, diff.
        """
        self._use_name("ask", name)
        questions = self._questions
        answer: str | None = None
        try:
            if not questions.was_put(name):
                await questions.put(name, question, choices, default, expires, details)
            if given is not None:
                await questions.answer(name, given, "request")
            if (answer := questions.answer_to(name)) is not None:
                return answer
            async with self.without_slot(Waiting("ask", name)):
                answer = await questions.wait_answered(name)
            return answer
        finally:
            # Who gave up waiting may come again, and the question is the same.
            if answer is None:
                self._names.discard(f"ask {name}")

    async def withdraw_ask(self, name: str, reason: str) -> None:
        """Take a question back that is still open; from then on it takes no answer.

        Who waits for its answer gets AskExpired. Nothing happens if it was answered, or never put.
        """
        await self._questions.withdraw(name, reason)

    @asynccontextmanager
    async def without_slot(self, waiting: Waiting) -> AsyncIterator[None]:
        """Be without the slot inside the block, unless as many runs wait so as may; see `open_parked`."""
        if self._tools.parked() >= self.config.max_parked_asks:
            yield
            return
        async with self._parking.open_parked(waiting):
            yield

    def note_slot(self, slot: ModelSlot) -> None:
        """What a model server told of a request that was cut off; the run's receipt says it.

        One that the run itself gave up, and went on, says nothing of the run's end.
        """
        execution = self._execution
        if execution.scope.cancel_called or execution.limit.cancel_called:
            execution.model_slots.append(slot)

    @property
    def _questions(self) -> Questions:
        tools = self._tools
        return Questions(
            self.run_id, tools.recorder, tools.bus, tools.now, tools.view_of, self.emit
        )

    async def spawn_run(
        self,
        name: str,
        kind: str,
        inputs: Mapping[str, Any],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  (the child's own limit)
        check: bool = True,
        on_restart: OnRestart | None = None,
        priority: Priority | None = None,
    ) -> RunView:
        """Run a child `{run_id}.{name}` and wait for its end, without the slot.

        `on_restart` is what becomes of the child that a restart interrupts; None: as its kind has
        it, whatever becomes of this run. `priority` of None is that of this run. ChildNotCompleted,
        with the child's state, unless it completed or `check` is off.
        """
        self._use_name("child", name)
        child_id = check_run_id(f"{self.run_id}.{name}")
        request = ChildRequest(
            kind=kind,
            inputs=dict(inputs),
            run_id=child_id,
            priority=self.priority if priority is None else priority,
            timeout=timeout,
            on_restart=on_restart,
            traceparent=self.traceparent,
        )
        await self._tools.submit_child(request, self.run_id)
        if self.is_open(child_id):
            async with self._parking.open_parked(Waiting("child", name)):
                while self.is_open(child_id):
                    await self._tools.bus.wait_published(child_id)
        child = await self.reads.view(child_id)
        if check and child.state != COMPLETED:
            error = child.error or child.reason
            raise ChildNotCompleted(
                f"the child run {child_id} ended {child.state}: {error}",
                child=child_id,
            )
        return child

    async def token(self, kinds: Collection[str]) -> str:
        """What a program shows to the daemon that may ask on behalf of this run: runs of these kinds as its
        children, a look at its own tree, and nothing else. Refused for a kind that is not installed.

        It is good until this execution is over, and the same for all of it; what kinds were named last
        count. No fact holds it. What comes to the Unix socket from the programs of a `guarded` kind
        has this scope without it, and whatever else it shows.
        """
        await trio.lowlevel.checkpoint()
        for name in kinds:
            if name not in self.kinds:
                raise Refused("kinds", f"{name!r} is not installed")
        return self._tools.tokens.make(self._execution, kinds)

    async def tools_server(self, kinds: Collection[str]) -> ToolsServer:
        """A server of MCP on stdin and stdout, for an agent among the run's programs, with the scope of `token`."""
        token = await self.token(kinds)
        executor = self._tools.executor.guarded()
        address = {URL: executor.environ[URL]} if URL in executor.environ else {}
        return ToolsServer((*executor.own_argv, "mcp"), {**address, TOKEN: token})

    def limited(self, seconds: float) -> AbstractContextManager[trio.CancelScope]:
        """`with run.limited(60) as limit:` is left after so many seconds of executing.

        As `trio.move_on_after`, but while the run is paused, or waits without a slot, it stands still.
        """
        return self._execution.limited(seconds)

    def _use_name(self, what: str, name: str) -> None:
        if f"{what} {name}" in self._names:
            raise Refused("name", f"the {what} {name!r} exists in this run already")
        self._names.add(f"{what} {name}")
