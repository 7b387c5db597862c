"""`penstock answer`: answer a run's question."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from penstock.cli.ask_lines import show_question
from penstock.cli.offers import offer_answers
from penstock.cli.options import named_run_argument
from penstock.cli.output import emit
from penstock.cli.replies import open_asks
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient
from penstock.client.told import ToldEvent
from penstock.words.errors import AlreadyAnswered, AskNotFound, Refused
from penstock.words.text import neutralise


@click.command()
@named_run_argument
@click.argument(
    "words", metavar="[[NAME] ANSWER]", nargs=-1, shell_complete=offer_answers
)
@json_option
@pass_session
def answer(
    session: Session, run_id: str, words: tuple[str, ...], as_json: bool
) -> None:
    """Answer a run's question; NAME may be left out while there is only one.

    On a terminal the question is put to you if there is no ANSWER.
    """
    if len(words) > 2:
        raise click.UsageError(
            "more than a name and an answer; quote an answer of several words"
        )

    def work(client: SyncClient) -> Any:
        waiting = [ask for ask in open_asks(client) if ask["run_id"] == run_id]
        if not waiting and len(words) < 2:
            _refuse(client.run(run_id))
        name, text = _choose(run_id, waiting, words)
        return client.answer(run_id, name, text)

    reply = session.call(work)
    if as_json:
        emit(reply)


def _refuse(view: dict[str, Any]) -> NoReturn:
    """Say why nothing of the run waits for an answer, as the daemon says it of a question by name."""
    run_id = view["run_id"]
    if not view["asks"]:
        raise AskNotFound(f"{run_id} has asked nothing")
    names = ", ".join(sorted(ask["name"] for ask in view["asks"]))
    raise AlreadyAnswered(f"{run_id} asks nothing now; answered, or over: {names}")


def _choose(
    run_id: str, waiting: list[dict[str, Any]], words: tuple[str, ...]
) -> tuple[str, str]:
    """The name and the answer, from the command line or the person at the terminal."""
    if len(words) == 2:
        # The daemon knows better than this list whether the question is still open.
        return words[0], words[1]
    named = [ask for ask in waiting if words and ask["name"] == words[0]]
    if not named and len(waiting) != 1:
        questions = ", ".join(f"{ask['name']} ({ask['question']})" for ask in waiting)
        why = f"is missing, as {run_id} asks several things: {questions}"
        raise Refused("NAME", why)
    ask = (named or waiting)[0]
    if words and not named:
        return ask["name"], words[0]
    if not sys.stdin.isatty():
        raise click.UsageError(f"an answer to {ask['name']!r} is missing")
    show_question(ToldEvent(ask), whole=True)
    text = click.prompt(
        _wording(ask),
        default=ask["default"],
        show_default=False,
        value_proc=lambda said: _chosen(said, ask["choices"]),
        err=True,
    )
    return ask["name"], str(text)


def _wording(ask: dict[str, Any]) -> str:
    """What stands before the cursor: the run's own words, which the terminal must not obey."""
    choices = f" ({', '.join(ask['choices'])})" if ask["choices"] else ""
    default = f" [{ask['default']}]" if ask["default"] is not None else ""
    return neutralise(f"answer{choices}{default}")


def _chosen(said: str, choices: list[str]) -> str:
    if choices and said not in choices:
        raise click.BadParameter(neutralise(f"it is one of {', '.join(choices)}"))
    return said
