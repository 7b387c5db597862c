"""The kind `command`: one program, contained, with its output as log events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from penstock.pipeline import (
    Inputs,
    Kind,
    Output,
    ProcessFailed,
    Refused,
    Run,
    WindowSize,
    end_in_words,
)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError(f"{name!r} cannot be the name of a variable")
    return _without_nul(name)


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


#: Inputs that older daemons did not know; where they are null, nothing tells them from theirs.
_NEWER = frozenset({"stdin", "tty", "stderr"})

#: Rows or columns of a terminal: a wall of screens has fewer.
LARGEST_SIDE = 1000
#: Python keeps back what it prints into a pipe until there is much of it, and a run's output is to
#: be seen as it comes. Whoever sets it otherwise keeps that.
BUFFERING = {"PYTHONUNBUFFERED": "1"}

Word = Annotated[str, AfterValidator(_without_nul)]
Name = Annotated[str, AfterValidator(_variable)]


class TerminalSize(Inputs):
    """Characters of a terminal; 0 is what terminals usually have."""

    rows: int = Field(0, ge=0, le=LARGEST_SIDE)
    cols: int = Field(0, ge=0, le=LARGEST_SIDE)


class CommandInputs(Inputs):
    """Either `argv`, which no shell sees, or `shell`, a line for `/bin/sh`."""

    manner: ClassVar[Mapping[str, frozenset[str]]] = {
        "stderr": frozenset({"stdout"}),
        "stdin": frozenset({"open"}),
    }
    argv: Annotated[
        Annotated[list[Word], Field(min_length=1)] | None,
        Field(description="Program and arguments; no shell sees them"),
    ] = None
    shell: Annotated[
        Annotated[Word, Field(min_length=1)] | None,
        Field(description="A line for /bin/sh; give this or argv"),
    ] = None
    cwd: Annotated[
        Annotated[Word, AfterValidator(_absolute)] | None,
        Field(
            description="Absolute path; null: the caller's folder, or the home of the daemon's user"
        ),
    ] = None
    env: dict[Name, Word] = Field(
        default_factory=dict, description="Further variables, by name"
    )
    exit_codes_ok: list[Annotated[int, Field(ge=0, le=255)]] = Field(
        default_factory=lambda: [0],
        min_length=1,
        description="Exit codes that count as success",
    )
    #: "stdout": the program writes both streams into one, which alone keeps the order in which it
    #: wrote, and all of it is told as stdout; null: each into its own, told as they are read.
    stderr: Literal["stdout"] | None = None

    #: "open": what is sent to the run while it runs; "tty": what is typed on a terminal of its own;
    #: null: nothing, as in /dev/null.
    stdin: Literal["open", "tty"] | None = None
    #: The size of that terminal, which is had by giving one.
    tty: TerminalSize | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was not said is left out, so that inputs of older daemons stay the same inputs."""
        said: dict[str, Any] = serialize(self)
        return {
            name: value
            for name, value in said.items()
            if value is not None or name not in _NEWER
        }

    @model_validator(mode="after")
    def _one_command(self) -> CommandInputs:
        if (self.argv is None) == (self.shell is None):
            raise ValueError("give either argv or shell")
        return self

    def shown(self) -> dict[str, Any]:
        """The inputs with the names of `env` only: its values may be secrets."""
        return {
            **self.model_dump(mode="json"),
            "env": dict.fromkeys(sorted(self.env), "…"),
        }

    @model_validator(mode="after")
    def _one_input(self) -> CommandInputs:
        if self.tty is not None and self.stdin == "open":
            raise ValueError('`tty` goes with `stdin` "tty", not with "open"')
        return self

    def takes_input(self) -> bool:
        return self.stdin is not None or self.tty is not None

    def terminal(self) -> WindowSize | None:
        """The size of the terminal that the program gets, if it gets one."""
        if self.tty is not None:
            return WindowSize(self.tty.rows, self.tty.cols)
        return WindowSize() if self.stdin == "tty" else None

    def words(self) -> list[str]:
        """What is executed."""
        return self.argv or ["/bin/sh", "-c", self.shell or ""]


class CommandOutput(Output):
    """How the program ended."""

    exit_code: int


async def command(run: Run, inputs: CommandInputs) -> CommandOutput:
    """Run the program; ProcessFailed carries its exit code or signal."""
    if inputs.takes_input() and run.attempt > 1 and run.on_restart == "requeue":
        raise Refused(
            "inputs.stdin",
            "what was sent to the run before the restart is not kept, so it is not repeated"
            " without; submit it anew",
        )
    cwd = Path(inputs.cwd) if inputs.cwd is not None else None
    env = {**BUFFERING, **await run.environ(), **inputs.env}
    ended = await run.exec(
        inputs.words(),
        cwd=cwd,
        env=env,
        stdin="open" if inputs.takes_input() else b"",
        terminal=inputs.terminal(),
        check=False,
        watch_progress=True,
        one_stream=inputs.stderr is not None,
    )
    if ended.exit_code is None or ended.exit_code not in inputs.exit_codes_ok:
        raise ProcessFailed(
            end_in_words(ended), exit_code=ended.exit_code, signal=ended.signal
        )
    return CommandOutput(exit_code=ended.exit_code)


KIND = Kind(
    name="command",
    summary="Run a program, keep its output, and prove that its processes are gone.",
    inputs=CommandInputs,
    output=CommandOutput,
    pipeline=command,
    # Nobody but its author knows whether a command may be done twice.
    on_restart="fail",
    portable=True,
)
