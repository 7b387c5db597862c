"""`penstock context RUN --sent`: the recorded exchanges of a run with its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from penstock.cli.history import RunSource, ask_source
from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session
from penstock.words.text import shortened

if TYPE_CHECKING:
    from penstock.words.events import ModelAnswered

#: What `--sent` without a number stands for.
ALL_SENT = "all"

#: The newest exchange; `--sent -1` would be read as an option.
LAST = "last"

#: Characters of an answer in a list of them.
_GLANCE = 60


def show_sent(session: Session, run_id: str, which: str, *, as_json: bool) -> None:
    """List the exchanges, or show one whole. Refuses a number that there is not."""
    found = ask_source(session, run_id, lambda source: read_exchanges(source, run_id))
    if which != ALL_SENT:
        found = [found[_place(which, len(found))]]
    elif not found:
        say("no model has been asked")
    for number, exchange in enumerate(found, 1):
        if as_json:
            emit(exchange.model_dump(mode="json"))
        elif which == ALL_SENT:
            show_line(f"{number:>3}  {glance_at(exchange)}")
        else:
            for line in lines_of_exchange(exchange):
                show_line(line)


def read_exchanges(source: RunSource, run_id: str) -> list[ModelAnswered]:
    """All exchanges of a run, in order. NotFound if there is no such run."""
    # Models of events are imported by no other verb that asks a daemon.
    from penstock.words.events import ModelAnswered

    found, after, seen = [], 0, False
    while page := source.page(run_id, after):
        found += [
            ModelAnswered.model_validate_json(fact.body)
            for fact in page
            if fact.type == "model.answered"
        ]
        after, seen = page[-1].position, True
    if not seen:
        # Tells apart a run without a history and one that is not there.
        source.view(run_id)
    return found


def _place(which: str, count: int) -> int:
    """The index of a number from 1, or from the end."""
    try:
        number = -1 if which == LAST else int(which)
    except ValueError:
        raise click.UsageError(
            f"--sent takes a number or `last`, not {which!r}"
        ) from None
    if number == 0 or abs(number) > count:
        raise click.UsageError(f"there are {count} exchanges, and no number {which}")
    return number - 1 if number > 0 else count + number


def glance_at(exchange: ModelAnswered) -> str:
    """One exchange in one line."""
    said = shortened(" ".join(exchange.said.split()), _GLANCE)
    verdict = f"not usable: {exchange.refused}" if exchange.refused else said
    number = f" ({exchange.attempt})" if exchange.attempt > 1 else ""
    return f"{exchange.question}{number}  {exchange.model}  {verdict}".rstrip()


def lines_of_exchange(exchange: ModelAnswered) -> Sequence[str]:
    """All of one exchange; what is not kept is told."""
    lines = []
    for message in exchange.sent:
        left = f" ({message.left_out} characters left out)" if message.left_out else ""
        lines += [f"--- sent, {message.role}{left}", *message.content.splitlines()]
    if exchange.thoughts:
        lines += ["--- thought", *exchange.thoughts.splitlines()]
    left = f" ({exchange.left_out} characters left out)" if exchange.left_out else ""
    who = f"--- said by {exchange.model}, answer {exchange.attempt}{left}"
    lines += [who, *exchange.said.splitlines()]
    if exchange.refused:
        lines.append(f"--- not usable: {exchange.refused}")
    return lines
