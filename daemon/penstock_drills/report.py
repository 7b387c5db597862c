"""How a drill begins, where it keeps what is done, and how it tells what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from penstock.cli.output import emit, say, table
from penstock.words.exit_codes import Exit

if TYPE_CHECKING:
    from penstock_drills.campaign import Tally

#: Seconds after which a drill without options begins nothing new, so that it ends within 60.
SHORT_SECONDS = 40.0

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep what is done here, and go on from it.",
)


def begin(
    about: str, seed: int | None, state: Path | None, first: int | None = None
) -> Tally:
    """What the state file keeps of this drill, or a new tally. Refused while another drill has it."""
    from penstock_drills.campaign import hold_state, load_tally

    click.get_current_context().with_resource(hold_state(state))
    return load_tally(state, about, seed, first)


def tell(tally: Tally, head: str, as_json: bool, only: str | None = None) -> None:
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
    end(tally)


def end(tally: Tally) -> NoReturn:
    """Each broken law on stderr, and the exit code."""
    for failure in tally.failures:
        say(failure)
    code = Exit.RUN_FAILED if tally.failures or not tally.total else Exit.OK
    raise click.exceptions.Exit(code)
