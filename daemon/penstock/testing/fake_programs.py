"""Programs for a core in memory: entries in a table, which fail as they are told to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal

import trio

from penstock.kinds.confined import Conversation, Limits
from penstock.processes.feeding import Feed, sends
from penstock.processes.process import (
    BeforeRead,
    OnOutput,
    OnStarted,
    OutputUnwanted,
    Proof,
    Stream,
)
from penstock.processes.pseudoterminal import WindowSize
from penstock.processes.spec import Program
from penstock.words.events import ProcessExited, ProcessStarted

#: Seconds that a fake process takes to end when it is told to.
ENDING_SECONDS = 0.01
#: Pieces that may be sent to a program that does not read.
PIPE_PIECES = 16


@dataclass(frozen=True, slots=True)
class FakeProgram:
    """What a program says, how long it lasts, and how it ends.

    It says everything at its beginning. `seconds` of None: it lasts until it is ended. With neither
    `exit_code` nor `signal` nobody knows how it ended.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float | None = 0.0
    exit_code: int | None = 0
    signal: int | None = None
    #: It says back what it is sent, and ends with its standard input. Others never read theirs.
    echoes: bool = False
    #: What is left of it after it was ended.
    survivors: tuple[int, ...] | Literal["unknown"] = ()

    @classmethod
    def failing(cls, exit_code: int = 1, stderr: bytes = b"") -> FakeProgram:
        """Ends at once, with this code."""
        return cls(stderr=stderr, exit_code=exit_code)

    @classmethod
    def echoing(cls, exit_code: int = 0) -> FakeProgram:
        """Says back what it is sent, and ends with its standard input."""
        return cls(echoes=True, exit_code=exit_code)

    @classmethod
    def hanging(cls, stdout: bytes = b"") -> FakeProgram:
        """Never ends by itself."""
        return cls(stdout=stdout, seconds=None)

    @classmethod
    def killed(cls, signal: int, seconds: float = 0.0) -> FakeProgram:
        """Is ended by a signal from elsewhere, after so many seconds."""
        return cls(seconds=seconds, exit_code=None, signal=signal)

    @classmethod
    def surviving(cls, *pids: int) -> FakeProgram:
        """Never ends by itself, and what it started outlives being ended."""
        return cls(seconds=None, survivors=pids)

    @classmethod
    def lost(cls) -> FakeProgram:
        """Nobody saw how it ended, nor whether anything is left of it."""
        return cls(exit_code=None, survivors="unknown")


@dataclass(eq=False)
class FakeProcesses:
    """Runs programs by their first word, as `programs` has them.

    Any other program says "begun", lasts as many seconds as its last word says (0 if that is no
    number), says "done", and exits with 0. A program that reads strangers' files for a kind of the
    daemon's own is answered as the real one would. After `crash` nobody of this life ends what is
    alive any more; only the next life can.
    """

    programs: dict[str, FakeProgram] = field(default_factory=dict)
    #: What was started, in order.
    started: list[tuple[str, ...]] = field(default_factory=list)
    #: The environment and the umask (None: the daemon's) that each of them was given.
    environs: list[Mapping[str, str]] = field(default_factory=list)
    umasks: list[int | None] = field(default_factory=list)
    #: The run of every process that is alive, by its pid.
    alive: dict[int, str] = field(default_factory=dict)
    orphans: dict[int, str] = field(default_factory=dict)
    #: Pids of those that were stopped and do not go on yet.
    stopped: set[int] = field(default_factory=set)
    proofs: list[Proof] = field(default_factory=list)
    _gone_on: trio.Event = field(default_factory=trio.Event)
    _pids: Any = field(default_factory=lambda: count(1001))

    @property
    def running(self) -> int:
        """How many are alive."""
        return len(self.alive)

    async def __call__(
        self,
        program: Program,
        *,
        run_id: str,
        feed: Feed | None = None,
        on_started: OnStarted,
        on_output: OnOutput,
        on_proof: Callable[[Proof], None],
        before_read: BeforeRead | None = None,
        **_others: Any,
    ) -> ProcessExited:
        argv = program.argv
        self.started.append(argv)
        self.environs.append(dict(program.env))
        self.umasks.append(program.umask)
        pid = next(self._pids)
        behaviour = self.programs.get(argv[0])
        self.alive[pid] = run_id
        try:
            await on_started(
                ProcessStarted(
                    pid=pid,
                    start_time=1,
                    boot_id="boot",
                    method="subreaper",
                    argv=argv,
                )
            )
            read = self._reading(pid, on_output, before_read)
            await _execute(behaviour, argv, feed or sends(b""), read)
            await self._stand(pid)
        finally:
            # As long as it takes to end a process, and no cancel shortens that.
            with trio.CancelScope(shield=True):
                await trio.sleep(ENDING_SECONDS)
            on_proof(self._end(pid, behaviour))
        ended = behaviour or FakeProgram()
        return ProcessExited(
            pid=pid,
            exit_code=ended.exit_code,
            signal=ended.signal,
            survivors=ended.survivors,
        )

    def _reading(
        self, pid: int, on_output: OnOutput, before_read: BeforeRead | None
    ) -> OnOutput:
        """What reads an output as that of a process is read: not before it may, and none of a stopped one."""

        async def read(stream: Stream, data: bytes) -> None:
            await self._stand(pid)
            if before_read is not None:
                await before_read()
            await on_output(stream, data)

        return read

    async def _stand(self, pid: int) -> None:
        """Wait while this program is stopped."""
        while pid in self.stopped:
            await self._gone_on.wait()

    def _end(self, pid: int, program: FakeProgram | None) -> Proof:
        self.alive.pop(pid, None)
        self.stopped.discard(pid)
        proof = self.prove(pid)
        if program is not None and program.survivors:
            proof = replace(proof, survivors=program.survivors)
        self.proofs.append(proof)
        return proof

    def prove(self, pid: int) -> Proof:
        """What is known of the end of a process; override to know less."""
        return Proof("subreaper", (pid,), ())

    def crash(self) -> None:
        """The daemon is gone at once; its processes are not."""
        self.orphans.update(self.alive)

    async def suspend(self, program: ProcessStarted, stop: bool) -> bool:
        """Stop a program, or let it go on; a stopped one says nothing and does not end by itself."""
        await trio.lowlevel.checkpoint()
        if program.pid not in self.alive:
            return False
        (self.stopped.add if stop else self.stopped.discard)(program.pid)
        self._gone_on.set()
        self._gone_on = trio.Event()
        return True

    async def end_orphans(
        self, started: Iterable[ProcessStarted], run_ids: Collection[str]
    ) -> Sequence[int]:
        """End what is left of a previous life: what was recorded, and what carries a run's id."""
        await trio.lowlevel.checkpoint()
        recorded = {event.pid for event in started}
        found = [
            pid
            for pid, run_id in self.orphans.items()
            if pid in recorded or run_id in run_ids
        ]
        for pid in found:
            del self.orphans[pid]
        return found


class _FakeInput:
    """Takes what a program is sent, up to what a pipe would hold."""

    def __init__(self) -> None:
        self._sent, self.sent = trio.open_memory_channel[bytes](PIPE_PIECES)

    async def send_all(self, data: bytes) -> None:
        await self._sent.send(data)

    async def send_eof(self) -> None:
        await self._sent.aclose()

    def resize(self, size: WindowSize) -> None:
        return None

    async def be_fed(self, feed: Feed) -> None:
        """Take what comes by `feed`, to its end."""
        with suppress(trio.BrokenResourceError):
            await feed(self)
        await self.send_eof()


async def _execute(
    program: FakeProgram | None, argv: Sequence[str], feed: Feed, on_output: OnOutput
) -> None:
    """What a program does from its start to its end; one that nobody reads ends, as by SIGPIPE."""
    stdin = _FakeInput()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stdin.be_fed, feed)
        with suppress(OutputUnwanted):
            await _do(program, argv, stdin, on_output)
        nursery.cancel_scope.cancel(reason="the program has ended")


async def _do(
    program: FakeProgram | None,
    argv: Sequence[str],
    stdin: _FakeInput,
    on_output: OnOutput,
) -> None:
    if program is not None and program.echoes:
        async for data in stdin.sent:
            await on_output("stdout", data)
    elif program is not None:
        await _perform(program, on_output)
    elif _reads_strangers(argv):
        await _read_inline(argv, stdin, on_output)
    else:
        begun = FakeProgram(stdout=b"begun\n", seconds=_seconds(argv[-1]))
        await _perform(begun, on_output)
        await on_output("stdout", b"done\n")


async def _perform(program: FakeProgram, on_output: OnOutput) -> None:
    if program.stdout:
        await on_output("stdout", program.stdout)
    if program.stderr:
        await on_output("stderr", program.stderr)
    if program.seconds is None:
        await trio.sleep_forever()
    else:
        await trio.sleep(program.seconds)


def _seconds(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return 0.0


class _Unlimited(Limits):
    """Leaves this process as it is."""

    def begin(self, memory: int) -> None: ...

    def admit(self, libraries: Mapping[str, str]) -> None: ...

    def allow(self, cpu: float, wall: float) -> None: ...

    def rest(self) -> None: ...


def _reads_strangers(argv: Sequence[str]) -> bool:
    """Whether these words start the program that reads strangers' files."""
    return any("penstock.kinds.confined" in word for word in argv)


async def _read_inline(
    argv: Sequence[str], stdin: _FakeInput, on_output: OnOutput
) -> None:
    """Answers as the program that reads strangers' files would."""
    make_answer = importlib.import_module(argv[-1]).make_answer
    conversation = Conversation(make_answer, _Unlimited())
    rest = b""
    # Before the requests comes the reader's own code, and its length.
    code = None
    async for data in stdin.sent:
        rest += data
        if code is None:
            code = 8 + int.from_bytes(rest[:8], "big")
            rest = rest[code:]
        *lines, rest = rest.split(b"\n")
        replies = b"".join([conversation.reply(line) for line in lines])
        if replies:
            await on_output("stdout", replies)
