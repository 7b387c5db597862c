"""Drills: the guarantees put to the test; each prints a table and fails on a broken law."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from penstock.cli.output import emit, say, table
from penstock.cli.session import json_option
from penstock.errors import Refused
from penstock.problems import Exit

if TYPE_CHECKING:
    from penstock.drills.campaign import Tally

#: Seconds after which a drill without options begins nothing new, so that it ends within 60.
SHORT_SECONDS = 40.0
#: Seconds of kills; the last life, which ends every run in order, comes after them.
CRASH_SECONDS = 30.0
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
#: Of how many points of a story the short form tries one.
SHORT_STRIDE = 9

seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Begin here.  [default: by chance, printed]",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes.  [default: one per core]"
)
state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep what is done here, and go on from it.",
)


@click.group()
def drill() -> None:
    """Put the guarantees to the test, on scratch instances of their own."""


@drill.command()
@click.option(
    "--count", type=click.IntRange(min=1), help="So many schedules.  [default: 40 s]"
)
@seed_option
@jobs_option
@state_option
@json_option
def schedules(count: int | None, seed: int | None, as_json: bool, **where: Any) -> None:
    """Numbered schedules of the whole core: a number decides every choice, and can be repeated."""
    from penstock.drills.campaigns import drill_schedules

    tally = _begin("schedules", seed, where["state"])
    drill_schedules(
        tally,
        schedules=count,
        seconds=SHORT_SECONDS if count is None else None,
        **_where(where),
    )
    _tell(tally, "SCHEDULES", as_json)


@drill.command()
@click.option(
    "--every",
    type=click.IntRange(min=1),
    help=f"One point of so many; 1 is all.  [default: {SHORT_STRIDE}, for 40 s]",
)
@click.option("--story", help="This one only.")
@click.option("--fault", help="This one only.")
@click.option("--at", type=click.IntRange(min=1), help="At this point only.")
@seed_option
@jobs_option
@state_option
@json_option
def faults(
    every: int | None, seed: int | None, as_json: bool, at: int | None, **others: Any
) -> None:
    """A cancel, a stop, a kill and each fault of the store at every point of every story."""
    from penstock.drills.campaigns import Points, drill_faults
    from penstock.drills.faultpoints import FAULTS
    from penstock.drills.scenarios import SCENARIOS

    story = _one_of("--story", others.pop("story"), SCENARIOS)
    fault = _one_of("--fault", others.pop("fault"), FAULTS)
    stride = every or SHORT_STRIDE
    points = Points(story, fault, at, stride)
    only = "".join(f" {name}" for name in (story, fault, at) if name is not None)
    tally = _begin(f"faults --every {stride}{only}", seed, others["state"])
    seconds = SHORT_SECONDS if every is None else None
    drill_faults(tally, points, seconds=seconds, **_where(others))
    if at is not None and not tally.total:
        say(f"no story reaches the point {at}")
    _tell(tally, "STORY", as_json)


@drill.command()
@click.option(
    "--count", type=click.IntRange(min=1), help="So many kills.  [default: 30 s]"
)
@seed_option
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    help="Begin with this kill; seed and number decide what chance does in it.",
)
@state_option
@json_option
def crash(
    count: int | None, seed: int | None, first: int, as_json: bool, state: Any
) -> None:
    """kill -9 of a daemon under load; what it had acknowledged must be there afterwards."""
    from penstock.drills.crash import drill_crash

    tally = _begin("crash", seed, state, first)
    drill_crash(
        tally,
        kills=count,
        seconds=CRASH_SECONDS if count is None else None,
        state=state,
    )
    _tell(tally, "CRASH", as_json, only="kills")


@drill.command()
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
    from penstock.drills.campaign import load_tally, percentile
    from penstock.drills.cancel import drill_cancel

    # Chance has no part in it.
    tally = load_tally(state, f"cancel --grace {grace}", 0)
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
            "survivors": tally.survivors.get(about, 0),
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
    _end(tally)


@drill.command("slow-client")
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
    from penstock.drills.slow_client import Size, drill_slow_client, least_seconds

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


def _begin(
    about: str, seed: int | None, state: Path | None, first: int | None = None
) -> Tally:
    """What the state file keeps of this drill, or a new tally; its seed is told."""
    from penstock.drills.campaign import load_tally

    tally = load_tally(state, about, seed, first)
    say(f"seed {tally.seed}")
    return tally


def _one_of(option: str, wanted: str | None, known: Iterable[str]) -> str | None:
    if wanted is not None and wanted not in known:
        raise Refused(option, f"{wanted!r} is none of: {', '.join(known)}")
    return wanted


def _where(where: dict[str, Any]) -> dict[str, Any]:
    return {**where, "jobs": where["jobs"] or os.cpu_count() or 1}


def _tell(tally: Tally, head: str, as_json: bool, only: str | None = None) -> None:
    """The table on stdout, each broken law on stderr, and the exit code.

    What is told per minute is everything together, or only what is named.
    """
    total = tally.total if only is None else tally.done.get(only, 0)
    if as_json:
        emit({"done": tally.done, "failures": tally.failures, "seconds": tally.seconds})
    else:
        rows = [[about, str(number)] for about, number in tally.done.items()]
        rate = total / tally.seconds * 60 if tally.seconds else 0.0
        all_of = only or "all"
        rows.append([all_of, f"{total} in {tally.seconds:.0f} s ({rate:.0f}/min)"])
        rows.append(["broken laws", str(len(tally.failures))])
        table((head, "TOLD"), rows)
    _end(tally)


def _end(tally: Tally) -> NoReturn:
    for failure in tally.failures:
        say(failure)
    code = Exit.RUN_FAILED if tally.failures or not tally.total else Exit.OK
    raise click.exceptions.Exit(code)
