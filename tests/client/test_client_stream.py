"""TU-01, WS-06, WS-07: a stream is resumed by position, without gap or repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from fakes.foreign_daemon import (
    ForeignDaemon,
    Script,
    fact,
    hello,
    open_foreign_daemon,
    story,
    tells,
)
from fakes.house import TOKEN, open_house
from penstock.client import (
    EpochChanged,
    Facts,
    News,
    Ready,
    Reconnecting,
    Skipped,
    WentBack,
    open_client,
    open_stream,
)
from penstock.words.address import Address
from penstock.words.errors import (
    DaemonUnreachable,
    PenstockError,
    PutBack,
    Refused,
    RunNotFound,
    Unauthorised,
)

pytestmark = pytest.mark.sockets

LINE = {"type": "log", "text": "x"}


async def read(
    daemon: ForeignDaemon, run_id: str | None = "r", after: int = 0
) -> list[News]:
    async with open_stream(daemon.address, run_id, after=after) as stream:
        return [news async for news in stream]


def positions(news: list[News]) -> list[int]:
    return [
        f.position for piece in news if isinstance(piece, Facts) for f in piece.facts
    ]


async def test_a_run_is_told_to_its_end() -> None:
    with trio.fail_after(30):
        async with open_house() as house:
            address = Address(base=house.base, token=TOKEN)
            await house.start("r")
            read: list[News] = []
            async with open_stream(address, "r") as stream:
                async for news in stream:
                    read.append(news)
                    if isinstance(news, Ready):
                        await house.end("r")
            facts = await house.facts("r")
    assert facts[-1].type == "run.completed"
    assert positions(read) == [fact.position for fact in facts]


async def test_a_lost_connection_is_resumed_where_it_broke(tmp_path: Path) -> None:
    told = story()
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            # The second connection repeats one fact, as a daemon may.
            daemon.scripts = [tells(*told[:3]), tells(*told[2:])]
            news = await read(daemon)
    assert positions(news) == [1, 2, 3, 4, 5]
    assert [n.attempt for n in news if isinstance(n, Reconnecting)] == [1]
    assert [asked.target for asked in daemon.asked] == [
        "/ws/r?after=0",
        f"/ws/r?after=3&after_id={told[2]['event_id']}",
    ]


async def test_an_older_daemon_is_asked_without_the_fact_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    """WS-06 EV-13: once, and without a word; what comes after the next loss is asked so too."""
    told = story()
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.older = True
            daemon.scripts = [tells(*told[:2]), tells(*told[2:4]), tells(*told[4:])]
            news = await read(daemon)
    assert positions(news) == [1, 2, 3, 4, 5]
    assert [n.attempt for n in news if isinstance(n, Reconnecting)] == [1, 1]
    assert [asked.target for asked in daemon.asked] == [
        "/ws/r?after=0",
        f"/ws/r?after=2&after_id={told[1]['event_id']}",
        "/ws/r?after=2",
        "/ws/r?after=4",
    ]


async def test_what_an_older_daemon_refuses_by_a_close_code_is_left_out_too(
    tmp_path: Path,
) -> None:
    """WS-06 EV-13; any other refusal is the reader's to know."""
    told = story()
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            refusal = closes(4400, "open: after_id: unexpected")
            daemon.scripts = [tells(*told[:2]), refusal, tells(*told[2:])]
            assert positions(await read(daemon)) == [1, 2, 3, 4, 5]
            daemon.scripts = [tells(*told[:2]), refusal, refusal]
            with pytest.raises(Refused, match="after_id"):
                await read(daemon)
            daemon.scripts = [tells(*told[:2]), closes(4400, "overflow: no such")]
            with pytest.raises(Refused, match="overflow"):
                await read(daemon)


def closes(code: int, reason: str) -> Script:
    """A script: nothing is told but why it ends."""

    async def play(connection: WebSocketConnection, _headers: dict[str, str]) -> None:
        await connection.aclose(code, reason)

    return play


@pytest.mark.parametrize("token", ["a\nsecret", "secret\r", "s\xe9cret", "\x7fsecret"])
async def test_a_token_that_no_header_may_hold_is_not_quoted(token: str) -> None:
    """ER-02 API-08: neither by requests nor by the stream; nothing is sent."""
    with trio.fail_after(30):
        async with open_foreign_daemon() as daemon:
            address = Address(daemon.address.base, token=token)
            with pytest.raises(Unauthorised, match="no header") as asked:
                async with open_client(address) as client:
                    await client.health()
            with pytest.raises(Unauthorised, match="no header") as followed:
                async with open_stream(address) as stream:
                    async for _ in stream:
                        pass
    for caught in (asked, followed):
        assert "cret" not in str(caught.value)
    assert daemon.asked == []


def says_goodbye(reason: str, close: int) -> Script:
    """A script: hello, a last word, and a close code."""

    async def play(connection: WebSocketConnection, _headers: dict[str, str]) -> None:
        await connection.send_message(hello("e1"))
        await connection.send_message(json.dumps({"type": "bye", "reason": reason}))
        await connection.aclose(close)

    return play


async def test_a_goodbye_for_good_is_not_tried_again(tmp_path: Path) -> None:
    """ER-03: a log that cannot be read will not be readable in a second."""
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [says_goodbye("busy", 1013), says_goodbye("gone", 4500)]
            with pytest.raises(PenstockError) as caught:
                await read(daemon)
    assert not isinstance(caught.value, DaemonUnreachable)
    assert len(daemon.asked) == 2


async def test_over_tcp_the_token_goes_as_a_header() -> None:
    """WS-10"""
    with trio.fail_after(30):
        async with open_foreign_daemon() as daemon:
            daemon.scripts = [tells(*story())]
            assert len(positions(await read(daemon))) == 5
    assert daemon.asked[0].headers["authorization"] == "Bearer secret"
    assert "secret" not in daemon.asked[0].target


async def test_another_log_is_told_and_read_from_its_beginning(tmp_path: Path) -> None:
    told = story()
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [
                tells(*told[:3]),
                tells(epoch="e2"),
                tells(*told, epoch="e2"),
            ]
            news = await read(daemon)
    assert EpochChanged("e1", "e2") in news
    assert daemon.asked[-1].target == "/ws/r?after=0"
    assert positions(news) == [1, 2, 3, 1, 2, 3, 4, 5]


def goes_back(first: int, last: int) -> Script:
    async def play(connection: WebSocketConnection, _headers: dict[str, str]) -> None:
        await connection.send_message(hello())
        gap = {"type": "gap", "first": first, "last": last, "put_back": True}
        await connection.send_message(json.dumps(gap))
        # What comes next is of a log that we do not know.
        await connection.send_message(
            json.dumps({"type": "events", "events": [fact(9, 9, LINE)]})
        )

    return play


@pytest.mark.parametrize("run_id", [None, "r"])
async def test_a_log_that_went_back_is_read_from_its_beginning(
    tmp_path: Path, run_id: str | None
) -> None:
    """WS-07"""
    told = story()
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [tells(*told[:3]), goes_back(3, 3), tells(*told)]
            news: list[News] = []
            async with open_stream(daemon.address, run_id) as stream:
                async for piece in stream:
                    news.append(piece)
                    if positions(news)[-1:] == [5]:
                        break
    assert WentBack(3) in news
    assert positions(news) == [1, 2, 3, 1, 2, 3, 4, 5]
    assert daemon.asked[-1].target.endswith("?after=0")


async def test_a_place_of_the_callers_that_the_log_does_not_hold_is_its_problem(
    tmp_path: Path,
) -> None:
    """WS-07: who remembers the place must know that it is worth nothing any more."""
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [goes_back(4, 7)]
            with pytest.raises(PutBack, match="ends at position 3, before 7"):
                await read(daemon, after=7)


async def test_gaps_and_the_end_of_history_are_told(tmp_path: Path) -> None:
    async def play(connection: WebSocketConnection, _headers: dict[str, str]) -> None:
        frames: list[Any] = [
            {"type": "gap", "first": 1, "last": 6, "dropped": None},
            {"type": "of a newer daemon"},
            {"type": "events", "events": [fact(9, 3, LINE)]},
            {"type": "ready", "head": 9},
            {"type": "events", "events": [fact(10, 4, {"type": "run.completed"})]},
        ]
        await connection.send_message(hello())
        for frame in frames:
            await connection.send_message(json.dumps(frame))

    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [play]
            news = await read(daemon)
    assert news[0] == Skipped(1, 6)
    assert Ready(9) in news
    assert positions(news) == [9, 10]


async def test_a_run_that_is_to_come_is_waited_for_and_told_whole() -> None:
    """WS-08"""
    with trio.fail_after(30):
        async with open_house() as house:
            address = Address(base=house.base, token=TOKEN)
            read: list[News] = []
            async with open_stream(address, "r") as stream:
                read.append(await anext(stream))
                await house.start("r")
                await house.end("r")
                read += [news async for news in stream]
            facts = await house.facts("r")
    assert positions(read) == [fact.position for fact in facts]


async def test_a_refused_handshake_is_the_error_that_it_tells(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            with pytest.raises(RunNotFound):
                await read(daemon)


async def test_a_wrong_token_is_not_tried_again(tmp_path: Path) -> None:
    """WS-10 Close code 4401."""
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [tells(close=4401), tells(*story())]
            with pytest.raises(Unauthorised):
                await read(daemon)
            assert len(daemon.scripts) == 1


async def test_nobody_at_the_first_attempt_is_an_error_at_once(tmp_path: Path) -> None:
    with trio.fail_after(30):
        with pytest.raises(DaemonUnreachable, match="penstock serve"):
            async with open_stream(
                Address("http://localhost", socket=tmp_path / "none")
            ) as stream:
                await anext(stream)


async def test_the_readers_own_error_comes_out_as_itself(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            daemon.scripts = [tells(*story())]
            with pytest.raises(KeyError):
                async with open_stream(daemon.address, "r") as stream:
                    await anext(stream)
                    raise KeyError("mine")
