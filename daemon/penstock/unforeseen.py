"""The last resort of a command: one sentence and exit code 70, and no traceback unless asked for.

What is foreseen never comes here: it is a PenstockError, with its own sentence and exit code. What
comes is a fault of ours, or a box that is out of order (stdout on a full disk, or closed).
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from penstock.descriptors import PatientFile
from penstock.words.exit_codes import Exit

#: The name of `_as_escapes` among Python's error handlers.
ESCAPES = "penstock.escapes"


def open_streams() -> None:
    """Make the standard streams ones that can be written to, or that fail where they are written.

    A closed descriptor would be given to the next file that is opened, such as the database. What
    the encoding of a stream cannot say becomes `\\uXXXX`, which JSON reads back.
    """
    # Opened the wrong way round, stdout fails as if it were closed: nobody takes the data.
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)
    codecs.register_error(ESCAPES, _as_escapes)
    if _is_over(sys.stdin, 0):
        sys.stdin = _open_anew(
            sys.stdin, io.BufferedReader(PatientFile(0, "r", closefd=False))
        )
    sys.stdout = _open_anew(
        sys.stdout, io.BufferedWriter(_Stdout(1, "w", closefd=False)), ESCAPES
    )
    if _is_over(sys.stderr, 2):
        sys.stderr = _open_anew(
            sys.stderr, io.BufferedWriter(PatientFile(2, "w", closefd=False)), ESCAPES
        )


def _is_over(stream: Any, descriptor: int) -> bool:
    """Whether a stream is Python's own; whoever put another one in its place goes on with that."""
    try:
        return stream is None or stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def _open_anew(before: Any, buffer: Any, errors: str = "") -> io.TextIOWrapper:
    """A stream over `buffer` as Python had made it, or would have, had it not been closed."""
    return io.TextIOWrapper(
        buffer,
        encoding="utf-8" if before is None else before.encoding,
        errors=errors or (None if before is None else before.errors),
        line_buffering=before is not None and before.line_buffering,
        write_through=before is not None and before.write_through,
    )


class CannotWrite(OSError):
    """Stdout takes no data: its disk is full, or it is closed. (A reader that left is told apart.)"""


class _Stdout(PatientFile):
    """Tells a fault of stdout from that of any other file."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CannotWrite(error.errno, error.strerror) from None


def guarded(work: Callable[[], int | None], program: str, *, debug: bool) -> int:
    """The exit code of `work`, by its value or SystemExit; 70 for what nobody foresaw."""
    try:
        code = _code_of(work)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say(f"{program}: interrupted")
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        # Our reader has left (`| head`).
        code = 128 + signal.SIGPIPE
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  (there is nobody above)
        tell_unforeseen(error, program, debug=debug)
        code = Exit.UNFORESEEN
    let_go()
    return code


def tell_unforeseen(error: BaseException, program: str, *, debug: bool) -> None:
    """Say on stderr what nobody foresaw; with `debug` where."""
    if debug:
        _say("".join(traceback.format_exception(error)).rstrip())
    _say(f"{program}: {_sentence(error)}")


def let_go() -> None:
    """Bring both streams to where what they still hold is written, or never will be.

    Python flushes them once more at its end, and would complain of what it cannot write.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _code_of(work: Callable[[], int | None]) -> int:
    try:
        return work() or 0
    except SystemExit as leaving:
        return (
            leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        )


def _sentence(error: BaseException) -> str:
    from penstock.words.text import neutralise

    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CannotWrite):
        return f"stdout cannot be written: {error.strerror}"
    text = " ".join(neutralise(f"{type(error).__name__}: {error}").split())
    return f"this was not foreseen: {text}; --debug shows where"


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
    except OSError:
        # Nobody can be told; the exit code is.
        return


def _as_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    units = memoryview(text.encode("utf-16", "surrogatepass")).cast("H")[1:]
    return "".join(f"\\u{unit:04x}" for unit in units), error.end
