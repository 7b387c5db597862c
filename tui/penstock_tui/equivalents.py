"""The words of the command line for what was done by a key: whoever sees them can do it there, and in scripts.

Values in, text out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.words.durations import span_in_words
from penstock.words.exit_codes import PROGRAM_KIND
from penstock.words.priority import Priority
from penstock.words.run_id import NAME_LABEL

#: Characters of a command that are shown.
LONGEST = 200
#: Inputs that have options of their own.
_BY_OPTION = frozenset({"cwd", "env"})


def command_of(*words: str) -> str:
    """`penstock WORDS`, as a shell would take it; a long one is cut."""
    said = f"penstock {shlex.join(words)}"
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def submit_command(request: Mapping[str, Any]) -> str:
    """The words that submit what a form asks for."""
    return command_of("submit", *_wanted(request))


def every_command(timing: str, name: str, request: Mapping[str, Any]) -> str:
    """The words that make a schedule of it."""
    wanted = {**request, "labels": {**request.get("labels", {}), NAME_LABEL: name}}
    return command_of("every", timing, *_wanted(wanted))


def edit_command(run_id: str, changes: Mapping[str, Any]) -> str:
    """The words that change inputs of a run in line; what is no value of a variable is told whole."""
    told = changes
    if env := changes.get("env"):
        told = {**changes, "env": dict.fromkeys(env, "…")}
    return command_of("edit", run_id, "--inputs", _json(told))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _wanted(request: Mapping[str, Any]) -> Iterator[str]:
    """A kind stands before its options, and a program behind them."""
    kind = str(request["kind"])
    inputs = {k: v for k, v in request["inputs"].items() if k not in _BY_OPTION}
    behind: Sequence[str] = ()
    if kind == PROGRAM_KIND:
        shell, argv = inputs.pop("shell", None), inputs.pop("argv", None)
        behind = ("--", *_words(argv)) if shell is None else ("--shell", str(shell))
    else:
        yield kind
    if kind == "llms-txt":
        behind = _words([inputs.pop("source", "")])
    yield from _options(request)
    if inputs:
        yield from ("--inputs", _json(inputs))
    yield from behind


def _options(request: Mapping[str, Any]) -> Iterator[str]:
    """Those of every kind. The values of variables are shown nowhere."""
    labels = dict(request.get("labels", {}))
    # Kinds may have a `--name` of their own.
    name = labels.pop(NAME_LABEL, None) if request["kind"] == PROGRAM_KIND else None
    for flag, value in (
        ("--id", request.get("run_id")),
        ("--name", name),
        ("--group", request.get("group")),
        ("--retries", request.get("retries")),
    ):
        if value:
            yield from (flag, str(value))
    if (priority := request.get("priority")) not in (None, Priority.MEDIUM.name):
        yield from ("--priority", str(priority).lower())
    for flag, span in (
        ("--timeout", "timeout"),
        ("--in", "delay"),
        ("--backoff", "backoff"),
    ):
        if (seconds := request.get(span)) is not None:
            yield from (flag, span_in_words(float(seconds)))
    for run_id in _words(request.get("after")):
        yield from ("--after", run_id)
    for label, value in labels.items():
        yield from ("--label", f"{label}={value}")
    for need, value in request.get("needs", {}).items():
        yield from ("--on", f"{need}={value}")
    for variable in request["inputs"].get("env") or ():
        yield from ("--env", str(variable))
    if folder := request["inputs"].get("cwd"):
        yield from ("--cwd", str(folder))


def _words(value: object) -> Sequence[str]:
    return [str(word) for word in value] if isinstance(value, list | tuple) else []
