"""The drills of a daemon as its clients see it: cancels that prove, and clients that stall."""

from __future__ import annotations

import math
from typing import Any

import click

from penstock.cli.output import emit, say, table
from penstock.cli.session import json_option
from penstock.words.errors import Refused
from penstock.words.exit_codes import Exit
from penstock_drills.report import SHORT_SECONDS, begin, end, state_option

#: Seconds between TERM and KILL of a drilled cancel: short, so that many fit into it.
CANCEL_GRACE = 0.3
#: Clients, those that stall, and events per second of the guarantee; an event is a line of output.
SLOW_CLIENTS, SLOW_STALLED, SLOW_RATE, SLOW_BYTES = 200, 20, 2000.0, 128
#: Seconds of a measurement: long enough that a stalled client falls behind the ring.
SLOW_SECONDS = 1.5
#: Seconds after which no further pair of measurements is begun.
SLOW_LIMIT = 35.0
#: Broken laws that are told; more of them say nothing new.
MOST_TOLD = 20


@click.command()
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="So many cancels of each kind by each method.  [default: 40 s]",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0, min_open=True),
    default=CANCEL_GRACE,
    show_default=True,
    help="Seconds between TERM and KILL.",
)
@state_option
@json_option
def cancel(count: int | None, grace: float, as_json: bool, state: Any) -> None:
    """Cancels of processes that try to escape; the receipt must be true, and nothing left."""
    from penstock_drills.campaign import percentile
    from penstock_drills.cancel import drill_cancel

    # Chance has no part in it.
    tally = begin(f"cancel --grace {grace}", 0, state)
    drill_cancel(
        tally,
        count=count,
        seconds=SHORT_SECONDS if count is None else None,
        grace=grace,
        state=state,
    )
    rows = {
        about: {
            "cancels": number,
            "p50_ms": round(1000 * percentile(tally.times.get(about, []), 0.5)),
            "p99_ms": round(1000 * percentile(tally.times.get(about, []), 0.99)),
            "survivors": tally.left.get(about, 0),
        }
        for about, number in tally.done.items()
    }
    for note in tally.notes:
        say(note)
    if as_json:
        told = {"cancels": rows, "grace": grace, "notes": tally.notes}
        emit({**told, "failures": tally.failures, "seconds": tally.seconds})
    else:
        heads = ("METHOD", "KIND", "CANCELS", "P50 ms", "P99 ms", "SURVIVORS")
        cells = [
            [*about.split(), *map(str, row.values())] for about, row in rows.items()
        ]
        table(heads, cells)
    end(tally)


@click.command("slow-client")
@click.option(
    "--clients", type=click.IntRange(2), default=SLOW_CLIENTS, show_default=True
)
@click.option(
    "--stalled", type=click.IntRange(1), default=SLOW_STALLED, show_default=True
)
@click.option(
    "--rate",
    type=click.FloatRange(1),
    default=SLOW_RATE,
    show_default=True,
    help="Events per second.",
)
@click.option(
    "--bytes",
    type=click.IntRange(1),
    default=SLOW_BYTES,
    show_default=True,
    help="Text of an event.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    help=f"Of each measurement.  [default: {SLOW_SECONDS}, or what stalling takes]",
)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    help="Measurements without and with stalled clients.  [default: for 35 s]",
)
@json_option
def slow_client(as_json: bool, **size: Any) -> None:
    """Clients that take nothing: the publisher, the memory and the others must not notice."""
    from penstock_drills.slow_client import Size, drill_slow_client, least_seconds

    least = math.ceil(10 * least_seconds(size["rate"], size["bytes"])) / 10
    size["seconds"] = size["seconds"] or max(SLOW_SECONDS, least)
    if size["seconds"] < least:
        why = f"before {least} s nobody falls behind at this rate and size"
        raise Refused("--seconds", why)
    if size["stalled"] >= size["clients"]:
        raise Refused("--stalled", "leaves no healthy client")
    measured = drill_slow_client(Size(**size, limit=SLOW_LIMIT))
    figures, notes = measured.figures(), list(measured.notes)
    for note in notes:
        say(note)
    if as_json:
        told = {"figures": figures, "notes": notes, "failures": measured.broken}
        emit({**size, **told})
    else:
        rows = [[what, str(number)] for what, number in figures.items()]
        table(("SLOW CLIENTS", "TOLD"), rows)
    for failure in measured.broken[:MOST_TOLD]:
        say(failure)
    raise click.exceptions.Exit(Exit.RUN_FAILED if measured.broken else Exit.OK)
