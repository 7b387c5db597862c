"""One task given to several agents at once: all told together, and at the end compared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.cli.agent_end import several_line
from penstock.cli.bell import AskBell, ring_end
from penstock.cli.changes import read_any_changes
from penstock.cli.comparison import show_comparison
from penstock.cli.history import LiveSource
from penstock.cli.interrupts import Left, in_thread, on_signals
from penstock.cli.notes import RunNotes
from penstock.cli.open_daemon import open_daemon_for
from penstock.cli.output import say
from penstock.cli.patience import Telling, tell_submitting
from penstock.cli.relay import Carried, Relay, carry
from penstock.cli.render import FactWriter, LineWriter, as_json_to_end
from penstock.cli.replies import tell_replayed
from penstock.cli.run_end import failures_in_json, tell_end
from penstock.cli.run_options import RunOptions
from penstock.cli.session import Session
from penstock.cli.story_lines import Line, StoryLines
from penstock.cli.terminal_asks import open_terminal_asks
from penstock.cli.transcript import is_plain
from penstock.client.followed_log import FollowedLog
from penstock.client.surroundings import with_caller
from penstock.client.sync import SyncClient
from penstock.words.cancel_receipt import receipt_line
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import Exit
from penstock.words.printed import ShownFact
from penstock.words.run_id import AGENT_LABEL
from penstock.words.text import neutralise


def run_several(
    session: Session, requests: Sequence[tuple[dict[str, Any], RunOptions]]
) -> int:
    """Submit all, tell what happens in each by name, and compare what they changed.

    The exit code is that of the first, in the order of their names, that is not 0.
    """
    options = requests[0][1]
    with (
        failures_in_json(options.as_json),
        open_daemon_for(session, requests[0][0]) as client,
    ):
        members = _submit(session, client, requests)
        several = SeveralRuns(client, members, options)
        code = several.follow(session)
        found = [
            read_any_changes(LiveSource(client), member.run_id) for member in members
        ]
        show_comparison(found, as_json=options.as_json)
        if not (options.quiet or options.as_json):
            numbered = client.comes_back
            names = [str((numbered and c.view.get("number")) or c.run_id) for c in found if c.files]  # fmt: skip
            if names:
                say(several_line(names))
        return code


@dataclass
class Member:
    """One of them."""

    run_id: str
    kind: str
    state: Any
    who: str


def _submit(
    session: Session,
    client: SyncClient,
    requests: Sequence[tuple[dict[str, Any], RunOptions]],
) -> list[Member]:
    """Submit each. Where one is refused, or Ctrl-C comes, those before it are cancelled."""
    members: list[Member] = []
    names = [request["labels"][AGENT_LABEL] for request, _ in requests]
    try:
        for place, (request, options) in enumerate(requests):
            asked = with_caller(request, session.environ, client.address)
            reply = tell_submitting(
                lambda asked=asked, options=options: client.submit(
                    asked, wait=options.block
                ),  # type: ignore[misc]
                quiet=options.quiet or not options.block,
            )
            tell_replayed(reply)
            again = names[:place].count(names[place])
            who = names[place] + (f" {again + 1}" if again else "")
            members.append(Member(reply["run_id"], reply["kind"], reply["state"], who))
    except (PenstockError, KeyboardInterrupt) as fault:
        refused = isinstance(fault, PenstockError)
        reason = "another of the same task was refused" if refused else "interrupted"
        _cancel(client, members, reason)
        raise
    return members


def _cancel(client: SyncClient, members: Sequence[Member], reason: str) -> None:
    """Cancel each, and show its receipt."""
    for member in members:
        try:
            receipt = client.cancel(member.run_id, reason, wait=True)
            say(f"{member.who}: {receipt_line(receipt)}")
        except PenstockError as error:
            say(f"{member.who}: could not be cancelled: {error}")


class SeveralRuns:
    """Runs that this command started together, and may end together."""

    def __init__(
        self, client: SyncClient, members: Sequence[Member], options: RunOptions
    ) -> None:
        self._client, self._members = client, members
        self._quiet, self._as_json, self._notify = (
            options.quiet,
            options.as_json,
            options.notify,
        )
        self._width = max(len(member.who) for member in members)
        self._signals: list[int] = []
        self._receipts_shown = threading.Event()
        self._notes = [self._note(member) for member in members]

    def follow(self, session: Session) -> int:
        """Tell them until all have ended: the exit code. The first signal cancels all, the second leaves."""
        bell = AskBell(session.environ)
        told = not (self._quiet or self._as_json)
        try:
            with (
                on_signals(self._heed),
                open_terminal_asks(self._client, wanted=told) as asks,
            ):
                for member, notes in zip(self._members, self._notes, strict=True):
                    asks.before(notes, member.who)
                    if told:
                        notes.watcher = bell.see
                relays = [
                    self._relay(member, notes)
                    for member, notes in zip(self._members, self._notes, strict=True)
                ]
                try:
                    carry(list[Carried]([*relays, asks]), over_with(relays))
                finally:
                    for relay in relays:
                        relay.close()
                if self._signals:
                    self._receipts_shown.wait()
        except Left:
            say("left; cancelling goes on")
        codes = [
            tell_end(notes, quiet=self._quiet)
            for notes in self._notes
            if notes.exit is not None or not self._signals
        ]
        if self._notify:
            for notes in self._notes:
                ring_end(notes, session.environ, always=True)
        if self._signals:
            return 128 + self._signals[0]
        return next(filter(None, codes), Exit.OK)

    def _relay(self, member: Member, notes: RunNotes) -> Relay:
        telling = Telling(
            self._client, notes, quiet=self._quiet, prefix=f"{member.who}: "
        )
        return Relay(FollowedLog(self._client, member.run_id), notes, telling)

    def _note(self, member: Member) -> RunNotes:
        writer: FactWriter
        if self._as_json:
            writer = LineWriter(as_json_to_end(member.kind))
        elif self._quiet:
            writer = LineWriter(lambda _fact: None)
        else:
            writer = LineWriter(MemberLines(member.who.ljust(self._width)).tell)
        return RunNotes(
            member.run_id, member.kind, member.state, writer, name=member.who
        )

    def _heed(self, number: int) -> None:
        self._signals.append(number)
        if len(self._signals) > 1:
            raise Left(number)
        in_thread(self._cancel)

    def _cancel(self) -> None:
        try:
            say("cancelling all; once more to leave at once")
            _cancel(self._client, self._members, "interrupted")
        finally:
            self._receipts_shown.set()


def over_with(relays: Sequence[Relay]) -> Callable[[Carried], bool]:
    """Which have had their last turn: a relay when its run has ended, what is beside them with the last one."""

    def over(one: Carried) -> bool:
        return one.ended if isinstance(one, Relay) else all(r.ended for r in relays)

    return over


@dataclass
class MemberLines:
    """What one of several says and does, in whole lines that begin with its name."""

    who: str
    _story: StoryLines = field(default_factory=StoryLines)
    _message: str = ""
    _rest: str = ""

    def tell(self, fact: ShownFact) -> Line | None:
        """What a fact has to tell; words are held until their line is whole."""
        event: Any = fact.event
        if fact.type == "agent.said":
            return (
                self._lines(self._say(event))
                if getattr(event, "role", "agent") == "agent"
                else None
            )
        rest = self._end()
        if is_plain(fact):
            return self._lines(rest)
        line = self._story.tell(fact)
        told = [] if line is None else line[1].rstrip("\n").split("\n")
        return self._lines([*rest, *told])

    def _say(self, event: Any) -> list[str]:
        ended = self._end() if event.message != self._message else []
        self._message = event.message
        *lines, self._rest = (self._rest + event.text).split("\n")
        return [*ended, *lines]

    def _end(self) -> list[str]:
        rest, self._rest = self._rest, ""
        return [rest] if rest else []

    def _lines(self, lines: Iterable[str]) -> Line | None:
        said = "".join(f"{self.who}  {neutralise(line)}\n" for line in lines)
        return ("stderr", said) if said else None
