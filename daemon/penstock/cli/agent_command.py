"""`penstock run agent claude "…"`: who does it, and what, in the words of a command line."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from penstock.cli.kind_flags import absolute
from penstock.cli.offers import offer_agents
from penstock.cli.run_options import RunOptions
from penstock.words.errors import Refused
from penstock.words.exit_codes import AGENT_KIND
from penstock.words.plain_files import MOST_BYTES
from penstock.words.run_id import AGENT_LABEL

#: The label that runs share which were given one task at once.
TOGETHER_LABEL = "together"
#: Inputs that the arguments say.
ARGUMENTS = ("agent", "prompt")
#: Inputs that are a program and its arguments: one flag may hold them all, as a shell would take them.
_LINES = ("command", "setup")

Requests = list[tuple[dict[str, Any], RunOptions]]


def agent_arguments() -> list[click.Parameter]:
    """What stands behind the flags."""
    metavar = "AGENT[,AGENT]... [PROMPT]..."
    return [
        click.Argument(
            ["words"], nargs=-1, metavar=metavar, shell_complete=offer_agents
        )
    ]


def agent_requests(
    words: tuple[str, ...], inputs: Mapping[str, Any], options: RunOptions
) -> Requests:
    """A request for each agent that is named, and the options that are its own."""
    known = {**options.inputs, **inputs}
    for key in _LINES:
        if isinstance(line := known.get(key), tuple) and len(line) == 1:
            known[key] = _split(key, line[0])
    if isinstance(known.get("budget"), int | float):
        known["budget"] = {"cost": known["budget"]}
    names, words = _names(words, known)
    if words or "prompt" not in known:
        known["prompt"] = _prompt(words)
    if "repository" not in known:
        known["repository"] = absolute(options.cwd or ".")
    if len(names) == 1:
        return [_request(names[0], known, options)]
    # Late: few ask several.
    import secrets

    together = secrets.token_hex(4)
    labels = (*options.labels, f"{TOGETHER_LABEL}={together}")
    made = []
    for number, name in enumerate(names):
        again = names[:number].count(name)
        own_id = f"{options.run_id}-{name}{f'-{again + 1}' if again else ''}"
        run_id = None if options.run_id is None else own_id
        made.append(
            _request(name, known, replace(options, labels=labels, run_id=run_id))
        )
    return made


def _request(
    name: str | None, known: Mapping[str, Any], options: RunOptions
) -> tuple[dict[str, Any], RunOptions]:
    inputs = dict(known) if name is None else {**known, "agent": name}
    label = f"{AGENT_LABEL}={name or inputs.get('agent') or AGENT_KIND}"
    options = replace(options, inputs={}, labels=(label, *options.labels))
    return options.request(AGENT_KIND, inputs), options


def _names(
    words: tuple[str, ...], known: Mapping[str, Any]
) -> tuple[list[str | None], tuple[str, ...]]:
    """The agents, and the words that are left. With a command of its own the first word is no name."""
    if known.get("agent") or known.get("command"):
        return [None], words
    if not words:
        raise click.UsageError(
            "say which agent, and what it is to do: `penstock agents` lists them"
        )
    names = [name.strip() for name in words[0].split(",") if name.strip()]
    if not names:
        raise click.UsageError(f"{words[0]!r} names no agent")
    return list(names), words[1:]


def _prompt(words: tuple[str, ...]) -> str:
    """What is to be done: the words, or what is piped in."""
    if words and words != ("-",):
        return " ".join(words)
    if not words and sys.stdin.isatty():
        raise click.UsageError("say what the agent is to do, or pipe it in")
    said = sys.stdin.read(MOST_BYTES + 1)
    if len(said) > MOST_BYTES:
        raise Refused(
            "prompt", f"what is piped in has more than {MOST_BYTES} characters"
        )
    if not said.strip():
        raise click.UsageError("say what the agent is to do: nothing was piped in")
    return said


def _split(key: str, line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise Refused(f"--{key}", str(error)) from None
