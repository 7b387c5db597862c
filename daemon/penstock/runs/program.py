"""Programs on behalf of a run: their output is the run's log, their beginning and end are facts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio

from penstock.processes.feeding import Feed
from penstock.processes.output import Record, RunOutput, Stream, open_output
from penstock.processes.process import (
    BeforeRead,
    OnLaunched,
    OnOutput,
    OnStarted,
    Proof,
)
from penstock.processes.pseudoterminal import WindowSize
from penstock.processes.spec import Program
from penstock.runs.artifact_writer import Emit
from penstock.runs.live_output import LiveOutput
from penstock.runs.printed_progress import Watch, open_progress
from penstock.words.batching import LARGEST_PIECE, Pace
from penstock.words.config import Config
from penstock.words.errors import ProcessFailed
from penstock.words.events import ProcessExited, ProcessStarted
from penstock.words.run_exit import signal_name
from penstock.words.surroundings import OURS, passed_on

#: Takes what a program writes to its standard output.
OnStdout = Callable[[bytes], Awaitable[None]]

#: What a program on a terminal is told that this is, where neither caller nor daemon says it.
USUAL_TERMINAL = {"TERM": "xterm-256color"}
#: The variable by which programs find the daemon.
URL = "PENSTOCK_URL"
#: And that by which one of them shows what it may ask.
TOKEN = "PENSTOCK_TOKEN"
#: Seconds the last of the output may take to be recorded when the run is being cancelled.
CLOSING_SECONDS = 1.0
#: Seconds for which the log may hold back a program whose output somebody gets beside it: where it records
#: nothing, as on a full disk, what it lacks is counted, and whoever looks and types is answered.
LIVE_PATIENCE = 2.0
#: What is said of a program that was ended because others may soon take its run for theirs.
ENDED_BY_LEASE = "ended by the lease: this daemon had not renewed it in time, so that another box might have taken the run"


class StartProcess(Protocol):
    """Runs a program to the end of its whole tree: `processes.run_process`, or a fake."""

    def __call__(
        self,
        program: Program,
        *,
        run_id: str,
        feed: Feed | None = None,
        on_started: OnStarted,
        on_output: OnOutput,
        on_proof: Callable[[Proof], None],
        before_read: BeforeRead | None = None,
        on_launched: OnLaunched | None = None,
    ) -> Awaitable[ProcessExited]: ...


class WatchedTree(Protocol):
    """Is told how a process tree comes to be."""

    def launched(self, supervisor: int) -> None:
        """Its supervisor has this pid, and has started nothing yet."""

    def started(self, event: ProcessStarted) -> None:
        """Its program has begun."""


@dataclass(frozen=True, slots=True)
class Executor:
    """How this daemon runs programs; `environ` and `home` are what a caller who says nothing gets."""

    start_process: StartProcess
    environ: Mapping[str, str]
    home: Path
    #: Where programs of guarded runs find the daemon: where it sees whose they are. None: as all others.
    guarded_url: str | None = None
    #: What starts `penstock` itself.
    own_argv: tuple[str, ...] = ("penstock",)

    def guarded(self) -> Executor:
        """The same for programs of guarded runs."""
        if self.guarded_url is None:
            return self
        return self.with_environ({URL: self.guarded_url})

    def with_environ(self, more: Mapping[str, str]) -> Executor:
        """The same with these variables."""
        return replace(self, environ={**self.environ, **more})

    def environ_for(self, given: Mapping[str, str] | None) -> Mapping[str, str]:
        """What a caller's program sees; `given` is the caller's own environment, if it sent it.

        Then of ours only the address is added, and a PATH to find programs by if it has none.
        """
        if given is None:
            return self.environ
        path = {name: self.environ[name] for name in self.environ if name == "PATH"}
        ours = {n: v for n, v in self.environ.items() if n.startswith(OURS)}
        return {**path, **given, **ours}


@dataclass(frozen=True, slots=True)
class Executed:
    """How a program ended; `stdout` only when it was captured, up to the kept beginning."""

    exit_code: int | None
    signal: int | None
    stdout: bytes = b""


def _unheard() -> None:
    return None


def _unseen(_data: bytes) -> None:
    return None


def output_pace(config: Config) -> Pace:
    """How often a run's output becomes a piece."""
    smallest = min(config.throttle_bytes, LARGEST_PIECE)
    return Pace(config.throttle_seconds, smallest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told what a program prints, besides the log of its run."""

    #: Takes standard output in place of the log.
    on_stdout: OnStdout | None = None
    #: Is told that standard output was closed, which may be long before the program's end.
    on_stdout_end: Callable[[], None] = _unheard
    #: Is told at once what comes of standard output, before it is recorded.
    on_shown: Callable[[bytes], None] = _unseen
    #: Gets what is recorded too, and holds the program back while it is full.
    live: LiveOutput | None = None
    #: Looks for progress in what is printed.
    watch: Watch | None = None
    #: Seconds for which the log may hold the program back; None: as long as it takes.
    log_patience: float | None = None

    @property
    def patience(self) -> float | None:
        """The same, by who listens now."""
        told_live = self.live is not None and not self.live.over
        return LIVE_PATIENCE if told_live else self.log_patience

    @property
    def before_read(self) -> BeforeRead | None:
        """What holds the program back."""
        return None if self.live is None else self.live.wait_room

    async def pass_on(self, record: Record, stream: Stream, data: bytes) -> None:
        """Tell everybody, and `record` it unless standard output is taken."""
        if not data:
            if stream == "stdout":
                self.on_stdout_end()
            return
        if stream == "stdout":
            self.on_shown(data)
        if self.watch is not None:
            self.watch(stream, data)
        if stream == "stdout" and self.on_stdout is not None:
            await self.on_stdout(data)
            return
        if self.live is not None:
            self.live.push(stream, data)
        await record(stream, data, self.patience)


#: The log alone is told.
NOBODY = Listeners()


@dataclass(frozen=True, slots=True)
class RunPrograms:
    """Runs programs on behalf of one run: facts go to `emit`, what is proven of an end to `on_proof`.

    `output` takes what all of them print; `capture_bytes` is kept of what one says when it is
    captured. `given` is the environment of the run's caller, None if it sent none.
    """

    run_id: str
    executor: Executor
    given: Mapping[str, str] | None = field(repr=False)
    umask: int | None
    output: RunOutput
    capture_bytes: int
    emit: Emit
    on_proof: Callable[[Proof], None]
    #: Those that live, and what is done with a new one once its start is on record.
    living: list[ProcessStarted]
    on_begun: Callable[[ProcessStarted], Awaitable[None]]
    #: Has each tree known as one of a guarded run while it lives; yields None where none is guarded.
    open_tree: Callable[[], AbstractContextManager[WatchedTree | None]] = nullcontext

    def program(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str] | None,
        clean: bool,
        terminal: WindowSize | None = None,
        one_stream: bool = False,
    ) -> Program:
        """The program with what is around it, as `Run.exec` promises."""
        given = self.given
        if clean and given is not None:
            given = passed_on(given)
        usual = {} if terminal is None else USUAL_TERMINAL
        return Program(
            tuple(argv),
            cwd or self.executor.home,
            {**usual, **self.executor.environ_for(given), **(env or {})},
            umask=None if clean else self.umask,
            terminal=terminal,
            one_stream=one_stream,
        )

    async def execute(
        self,
        program: Program,
        *,
        feed: Feed | None,
        listeners: Listeners = NOBODY,
        capture: bool = False,
        watch_progress: bool = False,
        check: bool = True,
    ) -> Executed:
        """Run one to the end of its tree, as `Run.exec` promises."""
        captured = _Captured(self.capture_bytes)
        if capture:
            listeners = replace(listeners, on_stdout=captured.add)
        if listeners.live is not None:
            listeners.live.begin()
        watching = open_progress(self.emit) if watch_progress else nullcontext(None)
        proofs: list[Proof] = []
        async with (
            open_output(self.output, CLOSING_SECONDS) as record,
            watching as watch,
        ):
            listeners = replace(listeners, watch=watch)
            exited = await self._start(
                program,
                proofs,
                feed=feed,
                on_output=partial(listeners.pass_on, record),
                before_read=listeners.before_read,
            )
        await self.emit(exited)
        if any(proof.by_lease for proof in proofs):
            # Whatever it made of its TERM: nobody had asked for its end, and it had not come to one.
            raise ProcessFailed(ENDED_BY_LEASE)
        executed = Executed(exited.exit_code, exited.signal, bytes(captured.data))
        if check:
            check_ended(executed)
        return executed

    async def _start(
        self, program: Program, proofs: list[Proof], **others: Any
    ) -> ProcessExited:
        def prove(proof: Proof) -> None:
            proofs.append(proof)
            self.on_proof(proof)

        begun: list[ProcessStarted] = []
        with self.open_tree() as tree:

            async def begin(event: ProcessStarted) -> None:
                if tree is not None:
                    tree.started(event)
                # Before its fact: who reads that may ask for a pause at once.
                begun.append(event)
                self.living.append(event)
                await self.emit(event)
                await self.on_begun(event)

            try:
                return await self.executor.start_process(
                    program,
                    run_id=self.run_id,
                    on_started=begin,
                    on_proof=prove,
                    on_launched=None if tree is None else tree.launched,
                    **others,
                )
            finally:
                for event in begun:
                    self.living.remove(event)


class _Captured:
    """The beginning of an output; what is more is not kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.data = bytearray()

    async def add(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.data += data[: self.limit - len(self.data)]


def check_ended(ended: Executed) -> None:
    """ProcessFailed unless the program ended with 0."""
    if ended.exit_code != 0:
        raise ProcessFailed(
            end_in_words(ended), exit_code=ended.exit_code, signal=ended.signal
        )


def end_in_words(ended: Executed) -> str:
    """How a process ended, as a person says it."""
    if ended.exit_code is not None:
        return f"exit status {ended.exit_code}"
    if ended.signal is None:
        return "how the process ended is unknown: its supervisor was lost"
    return f"killed by {signal_name(ended.signal)}"
