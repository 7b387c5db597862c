"""`penstock say`: a further turn for a run's agent."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.options import named_run_argument
from penstock.cli.output import emit, require_stdout
from penstock.cli.output import say as tell
from penstock.cli.replies import show_started
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.surroundings import trace_of
from penstock.client.sync import SyncClient
from penstock.words.errors import Conflict
from penstock.words.exit_codes import AGENT_KIND

#: What an agent that goes on from where another run ended is told: first what lists of runs show.
_FURTHER = """\
{text}

You have worked on this before, and what you did is committed in this tree. The task was:

{task}

At the end you said:

{summary}"""


@click.command()
@named_run_argument
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@json_option
@pass_session
def say(session: Session, run_id: str, words: tuple[str, ...], as_json: bool) -> None:
    """Tell a run something: an agent takes it as its next turn.

    After the end of an agent's run it is a run of its own, which begins with what that one did; its id is
    printed.

    \b
    Examples: penstock say 12 "and now the tests"
    """
    text = " ".join(words)
    if not text.strip():
        raise click.UsageError("say what")
    require_stdout()

    def work(client: SyncClient) -> dict[str, Any]:
        view = client.run(run_id)
        if view.get("ended_at") is None or view["kind"] != AGENT_KIND:
            return client.intervene(run_id, text)
        trace = trace_of(session.environ)
        return client.retry(run_id, _further(view, text), traceparent=trace)

    reply = session.call(work)
    if reply["run_id"] == run_id:
        if as_json:
            emit(reply)
        return
    tell(f"{run_id} has ended; this run goes on from what it did")
    show_started(reply, as_json=as_json)


def _further(view: dict[str, Any], text: str) -> dict[str, Any]:
    """What the inputs of a run that goes on have other than those of the one that ended."""
    inputs = view["inputs"]
    result = view.get("result")
    result = result if isinstance(result, dict) else {}
    if not inputs.get("repository"):
        raise Conflict(
            f"{view['run_id']} had no repository, so nothing of it is left to go on from"
        )
    task, summary = inputs.get("prompt", ""), result.get("summary") or "nothing"
    changes: dict[str, Any] = {
        "prompt": _FURTHER.format(task=task, summary=summary, text=text),
        "include_uncommitted": False,
        "branch": None,
    }
    if result.get("head"):
        changes["base"] = result["head"]
    return changes
