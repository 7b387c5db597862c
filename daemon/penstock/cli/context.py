"""`penstock context`: what a model would be told of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.exchange_lines import ALL_SENT, show_sent
from penstock.cli.history import RunSource, ask_source, recorded_of
from penstock.cli.offers import offer_types
from penstock.cli.options import named_run_argument
from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session, json_option, pass_session, run_async

if TYPE_CHECKING:
    from penstock.llm.context import Layers
    from penstock.llm.routing import ContextWindow


@click.command()
@named_run_argument
@click.option(
    "--at",
    metavar="TYPE",
    shell_complete=offer_types,
    help="As at the run's newest event of this type.",
)
@click.option("--counts", is_flag=True, help="Only how many tokens each layer has.")
@click.option(
    "--sent",
    is_flag=False,
    flag_value=ALL_SENT,
    metavar="[N]",
    help="What models were sent and said: a line each, or all of number N (`last`: the newest).",
)
@json_option
@pass_session
def context(
    session: Session,
    run_id: str,
    at: str | None,
    counts: bool,
    sent: str | None,
    as_json: bool,
) -> None:
    """What a model would be told of a run, layer by layer, with its size in tokens.

    Token counts are estimates; what a pipeline asks comes on top. With --sent: what models were told
    in truth, what they answered, and why an answer could not be used.
    """
    if sent is not None:
        show_sent(session, run_id, sent, as_json=as_json)
        return
    layers = ask_source(session, run_id, lambda source: _layers(source, run_id, at))
    shown = _shown(run_id, layers, run_async(lambda: _windows(session)))
    if as_json:
        emit(shown)
        return
    for layer in shown["layers"]:
        show_line(f"--- {layer['name']}: {layer['tokens']} tokens")
        if layer["text"] and not counts:
            show_line(layer["text"])
    target = f", for {shown['model']}" if shown["model"] else ""
    show_line(f"--- together: {shown['tokens']} tokens{target}")


async def _windows(session: Session) -> tuple[ContextWindow, ...]:
    """The configured chain; nothing is connected to."""
    from penstock.llm.models import open_models

    async with open_models(session.config()[0].models, session.environ) as chain:
        return () if chain is None else chain.windows()


def _layers(source: RunSource, run_id: str, at: str | None) -> Layers:
    from penstock.llm.context import READ_TYPES, layers_at

    facts, after = [], 0
    while page := source.page(run_id, after):
        facts += [recorded_of(fact) for fact in page if fact.type in READ_TYPES]
        after = page[-1].position
    if not facts:
        # Tells apart a run without a history and one that is not there.
        source.view(run_id)
    return layers_at(facts, at or (facts[-1].type if facts else None))


def _shown(
    run_id: str, layers: Layers, windows: tuple[ContextWindow, ...]
) -> dict[str, Any]:
    from penstock.llm.routing import choose
    from penstock.words.errors import ContextTooLarge

    sizes = layers.counts()
    texts = (layers.system, layers.state, layers.events, layers.current)
    total = sum(sizes.values())
    model = None
    if windows:
        try:
            model = choose(windows, lambda _model: total).model
        except ContextTooLarge as error:
            say(str(error))
    return {
        "run_id": run_id,
        "layers": [
            {"name": name, "tokens": tokens, "text": text}
            for (name, tokens), text in zip(sizes.items(), texts, strict=True)
        ],
        "tokens": total,
        "model": model,
    }
