"""A contained process on behalf of a run: its facts, its output, its proof."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from penstock.processes.output import OutputLimits, Stream, open_output
from penstock.processes.process import OnOutput, OnStarted, Proof
from penstock.words.config import Config
from penstock.words.errors import ProcessFailed
from penstock.words.events import ProcessExited, ProcessStarted

if TYPE_CHECKING:
    from penstock.runs.run import Run

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
) -> Executed:
    """See `Run.exec`."""
    executor = run.tools.executor
    captured = _Captured(run.config.output_head_bytes)
    async with open_output(run.output, run.emit, CLOSING_SECONDS) as on_output:

        async def emit_started(event: ProcessStarted) -> None:
            await run.emit(event)

        async def capture_stdout(stream: Stream, data: bytes) -> None:
            if stream == "stdout":
                captured.add(data)
            else:
                await on_output(stream, data)

        exited = await executor.start_process(
            argv,
            run_id=run.run_id,
            cwd=cwd or executor.home,
            env={**executor.environ, **(env or {})},
            stdin=stdin,
            on_started=emit_started,
            on_output=capture_stdout if capture else on_output,
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

    def add(self, data: bytes) -> None:
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
