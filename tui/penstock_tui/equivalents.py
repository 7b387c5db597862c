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


def command_of(*words: str) -> str:
    """`penstock WORDS`, as a shell would take it; a long one is cut."""
    said = f"penstock {shlex.join(words)}"
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def submit_command(request: Mapping[str, Any]) -> str:
    """The words that submit what a form asks for."""
    return command_of("submit", *_options(request), *_kind(request))


def every_command(timing: str, name: str, request: Mapping[str, Any]) -> str:
    """The words that make a schedule of it."""
    wanted = {**request, "labels": {**request.get("labels", {}), NAME_LABEL: name}}
    return command_of("every", timing, *_options(wanted), *_kind(wanted))


def _kind(request: Mapping[str, Any]) -> Iterator[str]:
    inputs = {
        name: value
        for name, value in request["inputs"].items()
        # Where the dashboard stands, the command line would too.
        if name not in ("cwd", "env")
    }
    if request["kind"] != PROGRAM_KIND:
        yield from (str(request["kind"]), "--inputs", json.dumps(inputs))
    elif isinstance(shell := inputs.get("shell"), str):
        yield from ("--shell", shell)
    else:
        yield from ("--", *_words(inputs.get("argv")))


def _options(request: Mapping[str, Any]) -> Iterator[str]:
    """Those that stand before a program. The values of variables are shown nowhere."""
    labels = dict(request.get("labels", {}))
    for flag, value in (
        ("--id", request.get("run_id")),
        ("--name", labels.pop(NAME_LABEL, None)),
        ("--group", request.get("group")),
        ("--retries", request.get("retries")),
    ):
        if value:
            yield from (flag, str(value))
    if (priority := request.get("priority")) not in (None, Priority.MEDIUM.name):
        yield from ("--priority", str(priority).lower())
    for flag, name in (
        ("--timeout", "timeout"),
        ("--in", "delay"),
        ("--backoff", "backoff"),
    ):
        if (seconds := request.get(name)) is not None:
            yield from (flag, span_in_words(float(seconds)))
    for run_id in _words(request.get("after")):
        yield from ("--after", run_id)
    for name, value in labels.items():
        yield from ("--label", f"{name}={value}")
    for name in request["inputs"].get("env") or ():
        yield from ("--env", str(name))


def _words(value: object) -> Sequence[str]:
    return [str(word) for word in value] if isinstance(value, list | tuple) else []
