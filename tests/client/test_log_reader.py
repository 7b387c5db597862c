"""TU-01, WS-06, WS-07: what a reader of the log makes of frames and losses, without any I/O."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.foreign_daemon import fact
from penstock.client.log_reader import (
    Backoff,
    Cursor,
    EpochChanged,
    Events,
    Greeted,
    Heard,
    LogReader,
    Lost,
    Parting,
    Ready,
    Reconnecting,
    Skipped,
    WentBack,
    first_message,
    greeted,
    why_closed,
)
from penstock.words.address import Address
from penstock.words.errors import (
    DaemonUnreachable,
    LogDamaged,
    PenstockError,
    PutBack,
    Unauthorised,
)

LINE = {"type": "log", "text": "x"}
END = {"type": "run.completed"}
LIMIT = 60.0


def hello(epoch: str = "e1", head: int = 0) -> dict[str, Any]:
    return {
        "type": "hello", "daemon": "0", "epoch": epoch, "life": "l", "head": head, "floor": 1,
    }  # fmt: skip


def events(*places: tuple[int, int]) -> dict[str, Any]:
    return {"type": "events", "events": [fact(p, s, LINE) for p, s in places]}


def put_back(first: int, last: int) -> dict[str, Any]:
    return {"type": "gap", "first": first, "last": last, "put_back": True}


def reader(
    run_id: str | None = None, after: int = 0, limit: float | None = LIMIT
) -> LogReader:
    return LogReader(Backoff(0.1, 2.0, limit), run_id, after)


def fed(reader: LogReader, *frames: object) -> list[Heard]:
    return [heard for frame in frames for heard in reader.feed(frame)]


def positions(heard: list[Any]) -> list[int]:
    return [
        e["position"]
        for piece in heard
        if isinstance(piece, Events)
        for e in piece.envelopes
    ]


def test_what_comes_again_after_a_loss_is_told_once() -> None:
    """WS-06"""
    log = reader()
    heard = fed(log, hello(), events((1, 1), (2, 2)))
    log.lost("cut", 0)
    log.connecting()
    heard += fed(log, hello(), events((2, 2), (3, 3)))
    assert positions(heard) == [1, 2, 3]


def test_the_place_to_read_on_is_named_by_position_and_by_what_stands_there() -> None:
    """WS-07: by the id the daemon knows a log that went back."""
    log = reader()
    assert log.place == {"after": 0}
    fed(log, hello(), events((1, 1)))
    assert log.place == {"after": 1, "after_id": fact(1, 1, LINE)["event_id"]}
    fed(log, {"type": "gap", "first": 2, "last": 6})
    assert log.place == {"after": 6}


def test_a_hole_nobody_told_of_is_noticed() -> None:
    """WS-07"""
    heard = fed(reader("r"), events((1, 1), (4, 3)))
    assert positions(heard) == [1, 4]
    assert Skipped(2, 3) in heard
    heard = fed(reader(None, 5), events((7, 1)))
    assert heard[0] == Skipped(6, 6)


def test_other_runs_facts_between_are_no_hole() -> None:
    """WS-07"""
    assert positions(fed(reader("r"), events((1, 1), (40, 2)))) == [1, 40]
    assert len(Cursor("r", 30).take([fact(40, 2, LINE)])) == 1


def test_what_a_frame_tells_is_told_and_a_newer_daemons_frame_is_nothing() -> None:
    """EV-13"""
    gap = {"type": "gap", "first": 1, "last": 6, "dropped": 4}
    assert fed(
        reader(), hello(head=9), gap, {"type": "weather"}, [], None, {"type": "ready", "head": 9}
    ) == [Greeted("0", "e1", "l", 9, 1), Skipped(1, 6, 4), Ready(9)]  # fmt: skip


def test_the_end_of_the_run_is_the_end_of_reading() -> None:
    """WS-06"""
    for run_id, step in (("r", "done"), (None, "read")):
        log = reader(run_id)
        fed(log, hello(), {"type": "events", "events": [fact(1, 1, END)]})
        assert log.step == step


def test_another_log_is_read_from_its_beginning_on_a_new_connection() -> None:
    """WS-07"""
    log = reader()
    fed(log, hello("e1"), events((1, 1), (2, 2)))
    log.lost("cut", 0)
    log.connecting()
    assert EpochChanged("e1", "e2") in fed(log, hello("e2"))
    assert (log.step, log.place) == ("reopen", {"after": 0})


def test_a_log_that_went_back_is_read_from_its_beginning_on_a_new_connection() -> None:
    """WS-07"""
    log = reader()
    heard = fed(log, hello(), events((1, 1), (2, 2)), put_back(2, 2))
    assert heard[-1] == WentBack(2)
    assert (log.step, log.place) == ("reopen", {"after": 0})


def test_a_place_of_the_callers_that_the_log_does_not_hold_is_its_problem() -> None:
    """WS-07: who remembers the place must know that it is worth nothing any more."""
    with pytest.raises(PutBack, match="ends at position 3, before 7"):
        fed(reader(after=7), hello(), put_back(4, 7))


def test_a_place_that_the_shell_chose_is_not_the_callers() -> None:
    """TU-01: the dashboard begins a little before the head, and again if that is gone."""
    log = reader()
    log.begin("e1", 7)
    assert fed(log, hello(), put_back(4, 7))[-1] == WentBack(4)


def test_a_gap_of_one_fact_is_not_said_to_hold_another() -> None:
    """ER-03: the log may end right before that place, or go on differently there."""
    with pytest.raises(PutBack, match="position 7, or none"):
        fed(reader(after=7), hello(), put_back(7, 7))


def test_after_a_goodbye_only_the_close_code_counts() -> None:
    """ER-03"""
    log = reader()
    assert fed(log, hello(), {"type": "bye", "reason": "stopping"})[-1] == Parting(
        "stopping"
    )
    steps = [log.step]
    log.connecting()
    assert [*steps, log.step] == ["part", "read"]


@pytest.mark.parametrize(
    ("code", "reason", "kind", "sentence"),
    [
        (None, "", Lost, "broke"),
        (1013, "busy", Lost, "busy"),
        (1001, "", Lost, "1001"),
        (4401, "no token", Unauthorised, "no token"),
        (4500, "gone", PenstockError, "gone"),
        (4400 + 200, "", Lost, "4600"),
    ],
)
def test_a_close_code_says_whether_to_come_again(
    code: int | None, reason: str, kind: type[Exception], sentence: str
) -> None:
    """WS-10, ER-03: codes from 4400 on are HTTP statuses, and stand for the daemon's own errors."""
    why = why_closed(code, reason)
    assert type(why) is kind
    assert sentence in str(why)
    assert not isinstance(why, LogDamaged)


def test_nobody_at_the_first_attempt_is_an_error_at_once() -> None:
    """CL-02"""
    with pytest.raises(
        DaemonUnreachable, match="nobody; start one with `penstock serve`"
    ):
        reader().lost("nobody", 0)


def test_delays_grow_are_bounded_and_start_anew_with_each_connection() -> None:
    """TU-01"""
    log = reader()
    fed(log, hello())
    delays = [log.lost("cut", 0).delay for _ in range(9)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == 2.0
    with pytest.raises(DaemonUnreachable, match=r"cut$"):
        log.lost("cut", LIMIT + 1)
    fed(log, hello())
    # It counts from the loss: the reader may have been slow for hours.
    assert log.lost("cut", 10 * LIMIT) == Reconnecting("cut", 1, 0.1)


def test_who_has_no_limit_never_gives_up() -> None:
    """TU-01 daemon down: a dashboard waits for one that starts later, over a weekend too."""
    log = reader(limit=None)
    delays = {log.lost("nobody", day * 86_400.0).delay for day in range(2000)}
    assert max(delays) == 2.0


def test_a_daemon_that_does_not_greet_is_said_to_be_stopping() -> None:
    with pytest.raises(DaemonUnreachable, match="does not greet"):
        greeted({"type": "bye", "reason": "the daemon is stopping"})


def test_only_over_tcp_without_a_token_the_client_speaks_first(tmp_path: Any) -> None:
    """WS-10"""
    base = "http://127.0.0.1:1"
    place = {"after": 3, "after_id": "x"}
    assert first_message(Address(base, token="secret"), place) is None
    assert first_message(Address(base, socket=tmp_path / "s"), place) is None
    assert (
        first_message(Address(base), place)
        == '{"type": "open", "after": 3, "after_id": "x"}'
    )
