"""`penstock run KIND …`: start a run, follow it to its end, and end as it did."""

from __future__ import annotations

import threading
from typing import Any

from penstock.cli.agent_command import Requests
from penstock.cli.bell import AskBell, ring_end
from penstock.cli.forwarding import forward, is_piped
from penstock.cli.interrupts import Left, in_thread, on_signals
from penstock.cli.kind_commands import Kinds, submit_only
from penstock.cli.notes import RunNotes
from penstock.cli.open_daemon import open_daemon_for
from penstock.cli.output import emit, joined, say
from penstock.cli.patience import Telling, tell_submitting
from penstock.cli.relay import write_as_printed, write_live
from penstock.cli.render import FactWriter, OutputWriter, open_writer
from penstock.cli.replies import tell_replayed
from penstock.cli.run_end import failures_in_json, tell_end
from penstock.cli.run_options import RunOptions
from penstock.cli.session import Session
from penstock.cli.terminal_asks import TerminalAsks, open_terminal_asks
from penstock.client.surroundings import with_caller
from penstock.client.sync import SyncClient
from penstock.unforeseen import CannotWrite
from penstock.words.cancel_receipt import receipt_line
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import (
    AGENT_KIND,
    CODES_OF_RUNS,
    PROGRAM_KIND,
    Exit,
    in_a_line,
)
from penstock.words.run_exit import RunExit
from penstock.words.terminal_inputs import gets_terminal


def run_to_end(session: Session, request: dict[str, Any], options: RunOptions) -> int:
    """Submit, tell what happens, and end as the run did."""
    forwards = forwards_stdin(request)
    if request["kind"] == PROGRAM_KIND and not options.as_json and joined():
        request["inputs"].setdefault("stderr", "stdout")
    signals: list[int] = []

    def told() -> RunExit | None:
        return RunExit(128 + signals[0], "penstock") if signals else None

    with (
        failures_in_json(options.as_json),
        open_daemon_for(session, request) as client,
    ):
        reply = _submit(client, session, request, options)
        kind, as_json, quiet = reply["kind"], options.as_json, options.quiet
        with (
            open_writer(kind, json_wanted=as_json, quiet=quiet, told=told) as writer,
            open_terminal_asks(client, wanted=asks_here(reply, options)) as asks,
        ):
            followed = FollowedRun(
                client, reply, options, writer, signals, forwards=forwards
            )
            followed.put_questions(asks, session)
            followed.follow()
        code = followed.tell_end()
        if options.notify:
            followed.ring(session)
        if code == Exit.OK and reply.get("created", True) and incomplete(writer):
            say("what came out here is not whole, so this fails; the program did not")
            code = Exit.PENSTOCK
        if not as_json and kind not in (PROGRAM_KIND, AGENT_KIND):
            followed.show_result()
        if kind == AGENT_KIND and not (as_json or quiet):
            followed.show_changes()
        return code


def _submit(
    client: SyncClient, session: Session, request: dict[str, Any], options: RunOptions
) -> dict[str, Any]:
    asked = with_caller(request, session.environ, client.address)
    live = request["kind"] == PROGRAM_KIND and not options.as_json
    reply = tell_submitting(
        lambda: client.submit(asked, wait=options.block, live=live),
        quiet=options.quiet or not options.block,
    )
    tell_replayed(reply)
    return reply


def incomplete(writer: FactWriter) -> bool:
    """Whether a pipe or a file lacks some of the output; nobody may take it for all there was."""
    return isinstance(writer, OutputWriter) and writer.incomplete


def asks_here(reply: dict[str, Any], options: RunOptions) -> bool:
    """Whether what the run asks is put to the person at this terminal. A program may have that itself."""
    told = options.as_json or options.quiet
    return not told and reply["kind"] != PROGRAM_KIND


def forwards_stdin(request: dict[str, Any]) -> bool:
    """Whether the program of this request gets our standard input, which the request then says."""
    if request["kind"] != PROGRAM_KIND or not is_piped():
        return False
    if request.get("retries"):
        # What was read of it is gone when the program is executed again.
        return bool(request["inputs"].get("stdin") == "open")
    return bool(request["inputs"].setdefault("stdin", "open") == "open")


def has_tty(request: dict[str, Any]) -> bool:
    """Whether the program of this request gets a terminal, and so ours."""
    return request["kind"] == PROGRAM_KIND and gets_terminal(request["inputs"])


class FollowedRun:
    """One run that this command started, and may end."""

    def __init__(
        self,
        client: SyncClient,
        reply: dict[str, Any],
        options: RunOptions,
        writer: FactWriter,
        signals: list[int],
        *,
        forwards: bool = False,
    ) -> None:
        """`signals`: those that came, in order; they go there."""
        self._client, self._run_id = client, reply["run_id"]
        self._quiet = options.quiet
        #: What is short to type, where it has a number that lasts.
        self._named = str(reply.get("number") or "") if client.comes_back else ""
        self._named = self._named or self._run_id
        #: Whether the program gets what is piped in here.
        self._forwards = forwards
        self._notes = RunNotes(self._run_id, reply["kind"], reply["state"], writer)
        self._signals = signals
        #: Who writes what the program prints; as it is read, where the daemon promised that.
        self._printed = writer if isinstance(writer, OutputWriter) else None
        self._live = bool(reply.get("live"))
        self._receipt_shown = threading.Event()
        self._beside: tuple[TerminalAsks, ...] = ()

    def put_questions(self, asks: TerminalAsks, session: Session) -> None:
        """Have what it asks put here, and ring for it."""
        asks.before(self._notes)
        self._beside = (asks,)
        if not self._quiet:
            self._notes.watcher = AskBell(session.environ).see

    def follow(self) -> None:
        """Tell the run until it has ended or a second signal comes."""
        if self._forwards:
            in_thread(forward, self._client, self._run_id, self._say_beside)
        try:
            with on_signals(self._heed):
                self._write()
                if self._signals:
                    self._receipt_shown.wait()
        except Left:
            say(f"left; cancelling {self._run_id} goes on")

    def tell_end(self) -> int:
        """How it ended, or that we were told to end it: the exit code."""
        if self._signals:
            return 128 + self._signals[0]
        return tell_end(self._notes, quiet=self._quiet)

    def ring(self, session: Session) -> None:
        """Ring on this terminal, however short it was."""
        ring_end(self._notes, session.environ, always=True)

    def show_result(self) -> None:
        """The result, as the data of this command."""
        end = self._notes.end
        result = None if end is None else getattr(end.event, "result", None)
        if result is not None:
            emit(result, indent=2)

    def show_changes(self) -> None:
        """What became of its tree, and what can be done with it."""
        # Late: for what only these runs need.
        from penstock.cli.agent_end import say_changes

        end = self._notes.end
        say_changes(
            self._named, None if end is None else getattr(end.event, "result", None)
        )

    def _write(self) -> None:
        telling = Telling(self._client, self._notes, quiet=self._quiet)
        try:
            self._write_facts(telling)
            return
        except OSError as error:
            lost = error
        # As a pipe ends a program that nobody listens to any more; a full disk is such an end too.
        reason = "nobody reads its output"
        receipt = self._client.cancel(self._run_id, reason, wait=True)
        if isinstance(lost, CannotWrite):
            say(receipt_line(receipt))
        raise lost

    def _write_facts(self, telling: Telling) -> None:
        client, run_id, notes = self._client, self._run_id, self._notes
        if self._live and self._printed is not None:
            write_as_printed(client, run_id, notes, self._printed, telling)
        else:
            write_live(client, run_id, notes, telling=telling, beside=self._beside)

    def _heed(self, number: int) -> None:
        """The first signal cancels the run, and the second leaves it to that."""
        self._signals.append(number)
        match len(self._signals):
            case 1:
                # What goes on may wait for a reader, or for the daemon.
                in_thread(self._cancel)
            case 2:
                raise Left(number)

    def _cancel(self) -> None:
        tell = self._say_beside
        try:
            tell(f"cancelling {self._run_id}; once more to leave at once")
            receipt = self._client.cancel(self._run_id, "interrupted", wait=True)
            tell(receipt_line(receipt))
        except PenstockError as error:
            tell(f"{self._run_id} could not be cancelled: {error}")
        finally:
            self._receipt_shown.set()

    def _say_beside(self, text: str) -> None:
        """Say it in another thread than the one that writes; in the midst of a write its line goes on."""
        if self._printed is not None and not self._printed.writing:
            self._printed.end_line()
        say(text)


def run_or_detach(
    session: Session, request: dict[str, Any], options: RunOptions
) -> int:
    """`--detach` makes it `penstock submit`."""
    if has_tty(request) and not options.detach:
        from penstock.cli.terminal_run import run_attached

        return run_attached(session, request, options)
    work = submit_only if options.detach else run_to_end
    return work(session, request, options)


def run_together(session: Session, requests: Requests) -> int:
    """Several at once; `--detach` prints their ids."""
    if all(options.detach for _, options in requests):
        codes = [submit_only(session, *request) for request in requests]
        return next(filter(None, codes), Exit.OK)
    # Late: few ask for it.
    from penstock.cli.several_runs import run_several

    return run_several(session, requests)


run = Kinds(
    run_or_detach,
    run_together,
    name="run",
    help="Start a run, follow it to its end, and end as it did.\n\n"
    "Ctrl-C cancels it and shows the receipt. Without a running daemon one is made for the "
    "length of the run.",
    epilog=f"Exit codes: {in_a_line(CODES_OF_RUNS)}.",
)
