"""`penstock wait`: until runs have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import click

from penstock.cli.bell import AskBell, ring_end
from penstock.cli.history import RunSource, open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.notes import RunNotes
from penstock.cli.options import quiet_option, runs_argument
from penstock.cli.output import emit, say, show_line
from penstock.cli.patience import Telling
from penstock.cli.relay import Relay, carry, write_recorded
from penstock.cli.render import LineWriter
from penstock.cli.replies import say_output_tail
from penstock.cli.run_end import failure_json, tell_end
from penstock.cli.selecting import select
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.followed_log import FollowedLog
from penstock.words.error_status import exit_code_of
from penstock.words.errors import PenstockError, RunNotFound
from penstock.words.exit_codes import CODES_OF_RUNS, RUN_VERBS, Exit, in_a_line
from penstock.words.run_exit import exit_json


@click.command(epilog=f"Exit codes: {in_a_line(CODES_OF_RUNS)}.")
@runs_argument
@click.option("--any", "any_", is_flag=True, help="Until one of them has ended.")
@click.option("--ring", is_flag=True, help="Ring for each, however short it was.")
@json_option
@quiet_option
@pass_session
def wait(
    session: Session,
    words: tuple[str, ...],
    any_: bool,
    ring: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Wait until runs have ended; exits as the first of them, as they are given, that is not 0.

    Without an ID all open runs are waited for. With --any it exits as the first that has ended.
    Ctrl-C leaves; the runs go on.

    \b
    Examples: penstock wait 12 13
              penstock wait --any @running
    """
    try:
        run_ids = list(select(session, words or ("@open",)))
    except RunNotFound:
        if words:
            raise
        say("no run is open")
        return
    prefix = "{}: " if len(run_ids) > 1 else ""
    waits = [
        Waited(run_id, prefix.format(run_id), ring=ring, quiet=quiet, as_json=as_json)
        for run_id in run_ids
    ]

    def work() -> int:
        try:
            for waited in waits:
                waited.begin(session)
            carry(waits, _any_over(waits) if any_ else lambda waited: waited.over)
        finally:
            for waited in waits:
                waited.close()
        return next((waited.code for waited in waits if waited.code), Exit.OK)

    raise click.exceptions.Exit(run_detachable(work, " ".join(run_ids)))


def _any_over(waits: list[Waited]) -> Callable[[Waited], bool]:
    return lambda _waited: any(waited.over for waited in waits)


class Waited:
    """One of the runs that are waited for. What keeps it from that is told, and ends no other's wait."""

    def __init__(
        self, run_id: str, prefix: str, *, ring: bool, quiet: bool, as_json: bool
    ) -> None:
        self._run_id, self._prefix = run_id, prefix
        self._quiet, self._as_json, self._ring = quiet, as_json, ring
        self._relay: Relay | None = None
        self._environ: Mapping[str, str] = {}
        #: Whether it has ended, or cannot be waited for.
        self.over = False
        self.code: int = Exit.OK

    def begin(self, session: Session) -> None:
        """Look how it is; where it has ended, that is told at once."""
        run_id, self._environ = self._run_id, session.environ
        with self._failing(), open_source(session, run_id) as source:
            view = source.view(run_id)
            notes = RunNotes.of_view(run_id, view, LineWriter(lambda fact: None))
            if not (self._quiet or self._as_json):
                notes.watcher = AskBell(self._environ).see
            after = view["position"] - 1
            if source.client is None or view.get("ended_at"):
                write_recorded(source, run_id, notes, after)
                self._tell(source, notes)
                return
            client, prefix = source.client, self._prefix
            telling = Telling(client, notes, quiet=self._quiet, prefix=prefix)
            self._relay = Relay(FollowedLog(client, run_id, after), notes, telling)
            self._end = partial(self._tell, source, notes)

    def close(self) -> None:
        """It is waited for no more."""
        if self._relay is not None:
            self._relay.close()

    @property
    def fileno(self) -> int | None:
        """See `Carried`."""
        return None if self._relay is None else self._relay.fileno

    def due(self, now: float) -> float | None:
        """See `Carried`."""
        return None if self._relay is None else self._relay.due(now)

    def turn(self, now: float, *, readable: bool) -> None:
        """See `Carried`."""
        if self._relay is None:
            return
        with self._failing():
            self._relay.turn(now, readable=readable)
            if self._relay.ended:
                self._end()

    def _tell(self, source: RunSource, notes: RunNotes) -> None:
        self.code = tell_end(notes, quiet=self._quiet, output_shown=False)
        self.over = True
        if self._ring or not (self._quiet or self._as_json):
            ring_end(notes, self._environ, always=self._ring)
        view = {**source.view(self._run_id), **exit_json(notes.exit)}
        if self._as_json:
            emit(view)
        else:
            say_output_tail(view)
            show_line(f"{self._run_id}  {view['state']}")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except PenstockError as error:
            self.over = True
            say(f"{self._prefix}{error}")
            self.code = exit_code_of(error, RUN_VERBS[0])
            if self._as_json:
                emit({"run_id": self._run_id, **failure_json(error)})
