"""`penstock follow`: runs from their beginning to their end, live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import click

from penstock.cli.bell import AskBell, Titles, open_titles, ring_end
from penstock.cli.history import open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.notes import RunNotes
from penstock.cli.options import after_option, quiet_option, runs_argument
from penstock.cli.output import emit, say
from penstock.cli.patience import Telling
from penstock.cli.relay import write_to_end
from penstock.cli.render import open_writer
from penstock.cli.run_end import failure_json, failures_in_json, tell_end
from penstock.cli.selecting import select, select_one
from penstock.cli.session import Session, json_option, pass_session
from penstock.cli.terminal_asks import open_terminal_asks
from penstock.words.error_status import exit_code_of
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import (
    CODES_OF_RUNS,
    PROGRAM_KIND,
    RUN_VERBS,
    Exit,
    in_a_line,
)


@click.command(epilog=f"Exit codes: {in_a_line(CODES_OF_RUNS)}.")
@runs_argument
@after_option
@json_option
@quiet_option
@pass_session
def follow(
    session: Session, words: tuple[str, ...], after: int, as_json: bool, quiet: bool
) -> None:
    """A run from its beginning to its end, live; exits as the run ended.

    Several are told one after the other, each whole; then the first that is not 0 decides. Ctrl-C
    leaves; the runs go on.

    Example: penstock follow 12
    """
    run_ids = list(select(session, words)) if words else [select_one(session, None)]
    if len(run_ids) > 1 and after:
        raise click.UsageError("--after is a position of one run")
    with failures_in_json(as_json), open_titles(session.environ) as titles:
        bell = AskBell(session.environ)
        followed = Followed(
            session=session, titles=titles, bell=bell, as_json=as_json, quiet=quiet
        )
        if len(run_ids) > 1:
            work = partial(followed.tell_each, run_ids)
        else:
            work = partial(followed.tell, run_ids[0], after)
        code = run_detachable(work, " ".join(run_ids))
    raise click.exceptions.Exit(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How runs are told here, one after the other."""

    session: Session
    titles: Titles
    bell: AskBell
    as_json: bool
    quiet: bool

    def tell_each(self, run_ids: Sequence[str]) -> int:
        """All of them, each whole; the first code that is not 0."""
        codes = []
        for run_id in run_ids:
            try:
                codes.append(self.tell(run_id, prefix=f"{run_id}: "))
            except PenstockError as error:
                # The others are told all the same.
                say(f"{run_id}: {error}")
                if self.as_json:
                    emit({"run_id": run_id, **failure_json(error)})
                codes.append(exit_code_of(error, RUN_VERBS[0]))
        return next(filter(None, codes), Exit.OK)

    def tell(self, run_id: str, after: int = 0, *, prefix: str = "") -> int:
        """One from after this position to its end; the code of that."""
        session, as_json, quiet = self.session, self.as_json, self.quiet
        with open_source(session, run_id) as source:
            view = source.view(run_id)
            asking = not (as_json or quiet or view["kind"] == PROGRAM_KIND)
            with (
                open_writer(view["kind"], json_wanted=as_json, quiet=quiet) as writer,
                open_terminal_asks(source.client, wanted=asking) as asks,
            ):
                notes = RunNotes.of_view(run_id, view, writer)
                notes.watcher = self._see
                asks.before(notes)
                telling = Telling(source.client, notes, quiet=quiet, prefix=prefix)
                write_to_end(source, run_id, notes, after, telling, (asks,))
        code = tell_end(notes, quiet=quiet)
        if not (quiet or as_json):
            ring_end(notes, session.environ)
        return code

    def _see(self, notes: RunNotes) -> None:
        self.titles.see(notes)
        if not (self.quiet or self.as_json):
            self.bell.see(notes)
