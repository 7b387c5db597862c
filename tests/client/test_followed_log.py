"""TU-01, WS-06, WS-07: the log followed without an event loop, by lines over HTTP, without gap or repeat."""

from __future__ import annotations

import select
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from fakes.beside import open_beside
from fakes.foreign_daemon import ForeignDaemon, fact, open_foreign_daemon, story
from fakes.house_beside import open_house_beside
from penstock.client.followed_log import FollowedLog, FollowedNews, ToldFacts
from penstock.client.log_reader import (
    PATIENCE_SECONDS,
    Reconnecting,
    Skipped,
    WentBack,
)
from penstock.client.sync import SyncClient
from penstock.words.address import socket_address
from penstock.words.errors import DaemonUnreachable, PutBack, Refused, RunNotFound

pytestmark = pytest.mark.sockets

#: Milliseconds for anything to come.
PATIENCE = 30_000
BYE = {"type": "bye", "reason": "the daemon is stopping"}


@dataclass
class Clock:
    """A clock that goes on to the next moment at which something is due."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[ForeignDaemon]:
    with open_beside(partial(open_foreign_daemon, tmp_path / "s")) as beside:
        yield beside.opened


def read_to_end(log: FollowedLog, clock: Clock) -> list[FollowedNews]:
    """All news, waiting for them as a command does."""
    news: list[FollowedNews] = []
    try:
        while not log.ended:
            if log.due is not None:
                clock.now = max(clock.now, log.due)
            else:
                poll = select.poll()
                poll.register(log.fileno() or -1, select.POLLIN)
                assert poll.poll(PATIENCE)
            news += log.read()
    finally:
        log.close()
    return news


def follow(daemon: ForeignDaemon, after: int = 0) -> list[FollowedNews]:
    clock = Clock()
    log = FollowedLog(SyncClient(daemon.address), "r", after, now=clock)
    return read_to_end(log, clock)


def positions(news: list[FollowedNews]) -> list[int]:
    facts = (piece.facts for piece in news if isinstance(piece, ToldFacts))
    return [fact.position for told in facts for fact in told]


def test_a_run_is_told_to_its_end(tmp_path: Path) -> None:
    """By a real daemon."""
    with open_house_beside(tmp_path / "s") as daemon:
        run_id = daemon.submit("sleep")
        clock, client = Clock(), SyncClient(socket_address(tmp_path / "s"))
        news = read_to_end(FollowedLog(client, run_id, now=clock), clock)
        recorded = daemon.beside.do(daemon.house.facts, run_id)
        with pytest.raises(RunNotFound):
            FollowedLog(client, "nobody").read()
    told = [fact for piece in news if isinstance(piece, ToldFacts) for fact in piece.facts]  # fmt: skip
    assert [fact.wire() for fact in told] == [fact.wire() for fact in recorded]
    assert told[-1].type == "run.completed"


def test_a_lost_connection_is_resumed_where_it_broke(foreign: ForeignDaemon) -> None:
    told = story()
    # The second connection repeats one fact, as a daemon may.
    foreign.lines = [told[:3], told[2:]]
    news = follow(foreign)
    assert positions(news) == [1, 2, 3, 4, 5]
    assert [n.attempt for n in news if isinstance(n, Reconnecting)] == [1]
    assert [asked.target for asked in foreign.asked] == [
        "/runs/r/events?after=0",
        f"/runs/r/events?after=3&after_id={told[2]['event_id']}",
    ]


def test_an_older_daemon_is_asked_without_the_fact_that_it_does_not_know(
    foreign: ForeignDaemon,
) -> None:
    """WS-06 EV-13"""
    told = story()
    foreign.older = True
    foreign.lines = [told[:2], told[2:]]
    assert positions(follow(foreign)) == [1, 2, 3, 4, 5]
    assert foreign.asked[-1].target == "/runs/r/events?after=2"


def test_what_a_daemon_says_before_it_parts_is_told(foreign: ForeignDaemon) -> None:
    """WS-06: with its own word why."""
    told = story()
    foreign.lines = [[*told[:2], BYE], told[2:]]
    news = follow(foreign)
    assert positions(news) == [1, 2, 3, 4, 5]
    [lost] = [piece for piece in news if isinstance(piece, Reconnecting)]
    assert lost.why == "the daemon is stopping"


def test_what_is_not_to_be_had_is_told(foreign: ForeignDaemon) -> None:
    """WS-06: said by the daemon, or seen by the numbers of the facts."""
    told = story()
    gap = {"type": "gap", "first": 2, "last": 3, "dropped": None}
    foreign.lines = [[told[0], gap, *told[3:]]]
    news = follow(foreign)
    assert [piece for piece in news if isinstance(piece, Skipped)] == [Skipped(2, 3)]
    foreign.lines = [[told[0], *told[3:]]]
    news = follow(foreign)
    assert [piece for piece in news if isinstance(piece, Skipped)] == [Skipped(2, 3)]
    assert positions(news) == [1, 4, 5]


def test_a_log_that_was_put_back_is_read_from_its_beginning(
    foreign: ForeignDaemon,
) -> None:
    """WS-07; whose place it is that is not of the log must know it."""
    told = story()
    gap = {"type": "gap", "first": 2, "last": 3, "put_back": True}
    foreign.lines = [told[:3], [gap], told]
    news = follow(foreign)
    assert [piece for piece in news if isinstance(piece, WentBack)] == [WentBack(2)]
    assert positions(news) == [1, 2, 3, 1, 2, 3, 4, 5]
    foreign.lines = [[gap]]
    with pytest.raises(PutBack):
        follow(foreign, after=3)


def test_it_gives_up_when_nobody_comes_back(foreign: ForeignDaemon) -> None:
    """TU-01: after a minute, or at once where the daemon lived in this command."""
    told = story()
    foreign.routes["GET", "/runs/r/events"] = (200, {})
    for comes_back in (True, False):
        clock = Clock()
        foreign.lines = [told[:2]]
        client = SyncClient(foreign.address, comes_back=comes_back)
        with pytest.raises(DaemonUnreachable, match="no daemon"):
            read_to_end(FollowedLog(client, "r", now=clock), clock)
        assert (clock.now >= PATIENCE_SECONDS) == comes_back


def test_what_tells_no_lines_is_no_daemon(foreign: ForeignDaemon) -> None:
    """ER-02: a page, or whatever a proxy answers, is not read again and again."""
    foreign.pages["/runs/r/events"] = story()
    with pytest.raises(DaemonUnreachable, match="no daemon"):
        follow(foreign)
    foreign.lines = [[fact(1, 1, {"type": "log", "text": "x"}), {"type": "error"}]]
    foreign.routes["GET", "/runs/r/events"] = (400, {"type": "urn:penstock:refused"})
    foreign.pages.clear()
    with pytest.raises(Refused):
        follow(foreign)
