"""Put the guarantees to the test, on scratch instances."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import say
from penstock.cli.session import json_option
from penstock.words.errors import Refused
from penstock_drills.live import cancel, slow_client
from penstock_drills.report import SHORT_SECONDS, begin, state_option, tell

if TYPE_CHECKING:
    from penstock_drills.campaign import Tally

#: Seconds of kills; the last life, which ends every run in order, comes after them.
CRASH_SECONDS = 30.0
#: Daemons of `boxes`: more say nothing new, and take the box that they are on from each other.
MOST_BOXES = 4
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
    from penstock_drills.sweeps import drill_schedules

    tally = _seeded("schedules", seed, where["state"])
    drill_schedules(
        tally,
        schedules=count,
        seconds=SHORT_SECONDS if count is None else None,
        **_where(where),
    )
    tell(tally, "SCHEDULES", as_json)


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
    from penstock_drills.faultpoints import FAULTS
    from penstock_drills.scenarios import SCENARIOS
    from penstock_drills.sweeps import Points, drill_faults

    story = _one_of("--story", others.pop("story"), SCENARIOS)
    fault = _one_of("--fault", others.pop("fault"), FAULTS)
    stride = every or SHORT_STRIDE
    points = Points(story, fault, at, stride)
    only = "".join(f" {name}" for name in (story, fault, at) if name is not None)
    tally = _seeded(f"faults --every {stride}{only}", seed, others["state"])
    seconds = SHORT_SECONDS if every is None else None
    drill_faults(tally, points, seconds=seconds, **_where(others))
    if at is not None and not tally.total:
        say(f"no story reaches the point {at}")
    tell(tally, "STORY", as_json)


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
    from penstock_drills.crash import drill_crash

    tally = _seeded("crash", seed, state, first)
    drill_crash(
        tally,
        kills=count,
        seconds=CRASH_SECONDS if count is None else None,
        state=state,
    )
    tell(tally, "CRASH", as_json, only="kills")


@drill.command()
@click.option(
    "--count", type=click.IntRange(min=1), help="So many rounds.  [default: 40 s]"
)
@seed_option
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    help="Begin with this round.",
)
@state_option
@json_option
def agents(count: int | None, seed: int | None, first: int, as_json: bool, state: Any) -> None:  # fmt: skip
    """Runs of agents: cancelled in each phase; agent and daemon killed with questions open."""
    from penstock_drills.agent_lives import drill_agents

    tally = _seeded("agents", seed, state, first)
    seconds = SHORT_SECONDS if count is None else None
    drill_agents(tally, count=count, seconds=seconds, state=state)
    tell(tally, "AGENTS", as_json, only="rounds")


@drill.command()
@click.option(
    "--count", type=click.IntRange(min=1), help="So many faults.  [default: 40 s]"
)
@click.option(
    "--boxes",
    "number",
    type=click.IntRange(min=1, max=MOST_BOXES),
    default=3,
    show_default=True,
    help="Daemons on one log.",
)
@click.option("--fault", "only", multiple=True, help="These only.")
@seed_option
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    help="Begin with this round.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the daemons' words and all facts are put when a law is broken.",
)
@state_option
@json_option
def boxes(
    count: int | None, number: int, only: tuple[str, ...], seed: int | None, first: int,
    as_json: bool, state: Any, keep: Path | None,
) -> None:  # fmt: skip
    """Daemons on one PostgreSQL of the drill's own: killed, frozen, cut off, their server too."""
    try:
        from penstock_drills.many_boxes import drill_boxes, known_faults
        from penstock_drills.private_postgres import NoPostgresError
    except ImportError as error:
        raise Refused("boxes", f"needs penstock[postgresql]: {error}") from None

    for name in only:
        _one_of("--fault", name, known_faults())
    about = " ".join((f"boxes --boxes {number}", *only))
    tally = _seeded(about, seed, state, first)
    seconds = SHORT_SECONDS if count is None else None
    try:
        drill_boxes(
            tally,
            boxes=number,
            faults=count,
            seconds=seconds,
            only=only,
            state=state,
            keep=keep,
        )
    except NoPostgresError as error:
        raise Refused("boxes", str(error)) from None
    for note in tally.notes:
        say(note)
    tell(tally, "BOXES", as_json)


drill.add_command(cancel)
drill.add_command(slow_client)


def _seeded(
    about: str, seed: int | None, state: Path | None, first: int | None = None
) -> Tally:
    """`begin`, and the seed is told."""
    tally = begin(about, seed, state, first)
    say(f"seed {tally.seed}")
    return tally


def _one_of(option: str, wanted: str | None, known: Iterable[str]) -> str | None:
    if wanted is not None and wanted not in known:
        raise Refused(option, f"{wanted!r} is none of: {', '.join(known)}")
    return wanted


def _where(where: dict[str, Any]) -> dict[str, Any]:
    return {**where, "jobs": where["jobs"] or os.cpu_count() or 1}
