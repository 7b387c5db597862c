"""PT-04 PT-06: who was told a run live and lost the daemon gets the rest, and nothing twice."""

from __future__ import annotations

import select
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes.beside import open_beside
from fakes.foreign_daemon import ForeignDaemon, fact, open_foreign_daemon
from penstock.client.followed_log import ToldFacts
from penstock.client.live_output import FollowedLive, PrintedNow, ShownSoFar
from penstock.client.log_reader import Reconnecting
from penstock.client.sync import SyncClient
from penstock.client.told import ToldFact
from penstock.words.errors import DaemonUnreachable
from penstock.words.events import encode_event
from penstock.words.live_frames import BEGUN, STDOUT, frame_head
from penstock.words.printed import bytes_of, piece_in, piece_of, size_of

STARTED = {"type": "process.started", "pid": 1, "start_time": 1, "boot_id": "b", "method": "cgroup"}  # fmt: skip


def piece(stream: Any, data: bytes) -> dict[str, Any]:
    from pydantic_core import from_json

    told: dict[str, Any] = from_json(encode_event(piece_of(stream, data)))
    return told


def emptied(count: int) -> dict[str, Any]:
    return {"type": "log", "stream": "stdout", "bytes": count, "emptied": True}


def cut(shown: ShownSoFar, *events: dict[str, Any]) -> list[tuple[str, bytes | int]]:
    """What is left to show of output, piece by piece; a number for what is not kept."""
    facts = [ToldFact(fact(n, n, event)) for n, event in enumerate(events, 1)]
    left = [piece_in(f) for f in shown.cut(facts)]
    return [
        (log.stream, size_of(log) if (data := bytes_of(log)) is None else data)
        for log in left
        if log is not None
    ]


@pytest.mark.parametrize("had", range(10))
def test_the_rest_begins_at_the_byte_after_the_last(had: int) -> None:
    """PT-06: in the midst of a piece, and of a character."""
    shown = ShownSoFar()
    shown.begin()
    shown.add("stdout", had)
    whole = "aü€z\n".encode()
    pieces = [piece("stdout", whole[:3]), piece("stderr", b"e"), piece("stdout", whole[3:])]  # fmt: skip
    left = cut(shown, STARTED, *pieces)
    out = b"".join(d for s, d in left if s == "stdout" and isinstance(d, bytes))
    assert out == whole[had:]
    assert ("stderr", b"e") in left


def test_what_is_no_longer_kept_counts_as_what_it_was() -> None:
    """PT-04"""
    shown = ShownSoFar()
    shown.begin()
    shown.add("stdout", 10)
    left = cut(shown, STARTED, emptied(7), emptied(7), piece("stdout", b"z"))
    assert left == [("stdout", 4), ("stdout", b"z")]


def test_what_a_program_prints_that_began_since_is_all_new() -> None:
    """PT-06: a daemon that came back may have begun the run anew, and a crash taken the end of the log."""
    shown = ShownSoFar()
    for count in (5, 9):
        shown.begin()
        shown.add("stdout", count)
    left = cut(
        shown,
        STARTED, piece("stdout", b"first, of which nothing is missing"),
        STARTED, piece("stdout", b"seen"),
        STARTED, piece("stdout", b"new"),
    )  # fmt: skip
    assert left == [("stdout", b"new")]


#: Milliseconds for anything to come.
PATIENCE = 30_000


class Clock:
    """Goes on to whatever is due."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def printed_by(
    daemon: ForeignDaemon, *, comes_back: bool = True
) -> tuple[bytes, list[Reconnecting]]:
    """All that comes of stdout to the run's end, and how often the connection was lost."""
    clock, shown, lost = Clock(), b"", list[Reconnecting]()
    live = FollowedLive(SyncClient(daemon.address, comes_back=comes_back), "r", now=clock)  # fmt: skip
    try:
        while not live.ended:
            if live.due is not None:
                clock.now = max(clock.now, live.due)
            else:
                poll = select.poll()
                poll.register(live.fileno() or -1, select.POLLIN)
                assert poll.poll(PATIENCE)
            for news in live.read():
                if isinstance(news, PrintedNow):
                    shown += news.data
                elif isinstance(news, ToldFacts):
                    logs = filter(None, map(piece_in, news.facts))
                    shown += b"".join(bytes_of(log) or b"?" for log in logs)
                elif isinstance(news, Reconnecting):
                    lost.append(news)
    finally:
        live.close()
    return shown, lost


@pytest.mark.sockets
@pytest.mark.parametrize("absent", [0, 3])
def test_a_daemon_that_dies_is_waited_for_and_tells_the_rest(
    tmp_path: Path, absent: int
) -> None:
    """PT-06 WS-06: it took the run, so it is no daemon that never was there; nothing twice."""
    frames = frame_head(BEGUN, 0) + frame_head(STDOUT, 5) + b"hel"
    recorded: list[dict[str, Any]] = [
        {"type": "run.queued", "kind": "command", "priority": 20},
        {"type": "run.started", "kind": "command"},
        STARTED,
        piece("stdout", b"hello "),
        piece("stdout", b"world\n"),
        {"type": "run.completed", "result": {"exit_code": 0}},
    ]
    told = [fact(n, n, event) for n, event in enumerate(recorded, 1)]
    with open_beside(partial(open_foreign_daemon, tmp_path / "s")) as beside:
        daemon = beside.opened
        daemon.live, daemon.lines, daemon.absent = [frames], [told[:4], told[4:]], absent  # fmt: skip
        shown, lost = printed_by(daemon)
        assert shown == b"hello world\n"
        # Once as it broke, for each time that nobody answered, and once for the record that broke.
        assert len(lost) == 2 + absent
        # A loss is one, however often nobody answers then: who tells it tells it once.
        assert [one.attempt for one in lost].count(1) == 2
        # That of a single run does not come back.
        daemon.live, daemon.absent = [frames], 2
        with pytest.raises(DaemonUnreachable):
            printed_by(daemon, comes_back=False)
