"""PT-03, PT-04, PT-06: what a run printed, over HTTP: its bytes and nothing between them."""

from __future__ import annotations

import httpx
import pytest
import trio

from fakes.house import House, open_house
from penstock.words.errors import StoreUnavailable
from penstock.words.events import Log
from penstock.words.printed import Stream, piece_of
from penstock.words.recorded import Recorded

pytestmark = pytest.mark.sockets

#: In pieces that end anywhere: within a character, within a colour.
PIECES: list[tuple[Stream, bytes]] = [
    ("stdout", b"one\n\x1b[3"), ("stderr", b"e1\n"), ("stdout", b"1mtwo \xe6\x97"), ("stdout", b"\xa5\r\n"),
    ("stderr", b"e2"),
]  # fmt: skip
ALL = b"".join(data for _, data in PIECES)
STDOUT = b"".join(data for stream, data in PIECES if stream == "stdout")


async def printed(house: House, run_id: str = "a") -> Recorded:
    await house.start(run_id)
    recorded = [await house.record(run_id, piece_of(*piece)) for piece in PIECES]
    return recorded[-1]


async def test_the_bytes_come_as_they_were_written() -> None:
    """PT-03"""
    async with open_house() as house, house.http() as client:
        last = await printed(house)
        answer = await client.get("/runs/a/output")
        assert answer.content == ALL
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Penstock-Missing-Bytes"] == "0"
        assert answer.headers["Penstock-Position"] == str(last.position)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for stream, data in (("stdout", STDOUT), ("stderr", b"e1\ne2"), ("all", ALL)):
            answer = await client.get("/runs/a/output", params={"stream": stream})
            assert answer.content == data
        after = {"after": last.position - 2}
        answer = await client.get("/runs/a/output", params=after)
        assert answer.content == b"\xa5\r\ne2"
        # Half a character is no text.
        assert answer.headers["Content-Type"] == "application/octet-stream"


async def test_the_end_can_be_asked_for_in_lines_and_in_bytes() -> None:
    """PT-03"""
    async with open_house() as house, house.http() as client:
        await printed(house)
        for query, data in (
            ("tail=1", b"e2"),
            ("tail=2", b"1mtwo \xe6\x97\xa5\r\ne2"),
            ("tail=1&stream=stdout", b"\x1b[31mtwo \xe6\x97\xa5\r\n"),
            ("tail=99", ALL),
            ("bytes=4", b"\r\ne2"),
            ("bytes=5", b"\r\ne2"),
        ):
            answer = await client.get(f"/runs/a/output?{query}")
            assert answer.content == data, query


@pytest.mark.parametrize("query", ["", "&follow=1", "&tail=1"])
async def test_a_place_that_the_log_does_not_reach_is_a_problem(query: str) -> None:
    """EV-13: the log was put back; an answer without a byte would look like an end."""
    async with open_house() as house, house.http() as client:
        last = await printed(house)
        beyond = last.position + 1
        answer = await client.get(f"/runs/a/output?after={beyond}{query}")
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("put-back")
        assert f"ends at position {last.position}" in answer.json()["detail"]


async def test_what_is_no_longer_kept_is_told_in_the_head() -> None:
    """PT-04: and never among the bytes."""
    async with open_house() as house, house.http() as client:
        await house.start("a")
        for piece in (
            piece_of("stdout", b"a"),
            Log(stream="stdout", bytes=700, emptied=True),
            Log(stream="stderr", bytes=50, emptied=True),
            piece_of("stdout", b"z"),
        ):
            await house.record("a", piece)
        for query, missing in (("", "750"), ("?stream=stderr", "50"), ("?tail=1", "750")):  # fmt: skip
            answer = await client.get(f"/runs/a/output{query}")
            assert answer.headers["Penstock-Missing-Bytes"] == missing
        assert (await client.get("/runs/a/output")).content == b"az"
        await house.end("a")
        assert (await client.get("/runs/a/output?follow=1")).content == b"az"


@pytest.mark.parametrize("query", [{}, {"tail": "1"}])
async def test_it_is_live_until_the_run_has_ended(query: dict[str, str]) -> None:
    """PT-03 PT-04"""
    async with open_house() as house, house.http() as client:
        await printed(house)
        wanted = {"follow": "1", **query}
        async with client.stream("GET", "/runs/a/output", params=wanted) as answer:
            begun = ALL if not query else b"e2"
            body = answer.aiter_raw()
            data = b""
            with trio.fail_after(60):
                while len(data) < len(begun):
                    data += await anext(body)
                assert data == begun
                await house.record("a", piece_of("stdout", b"live\n"))
                assert await anext(body) == b"live\n"
                await house.record("a", piece_of("stdout", b"last"))
                house.echo.may_end["a"].set()
                assert b"".join([piece async for piece in body]) == b"last"
        answer = await client.get("/runs/a/output", params=wanted)
        assert answer.content == (ALL + b"live\nlast" if not query else b"last")


async def test_a_stop_of_the_daemon_is_not_taken_for_the_end() -> None:
    """SY-02 PT-04: it ends as every stream does, and not as if the run had ended."""
    async with open_house() as house, house.http() as client:
        await printed(house)
        async with client.stream("GET", "/runs/a/output?follow=1") as answer:
            body = answer.aiter_raw()
            with trio.fail_after(60):
                assert await anext(body)
                house.shutdown.end_streams()
                with pytest.raises(httpx.RemoteProtocolError):
                    await anext(body)


@pytest.mark.parametrize("query", [{}, {"tail": "1"}])
async def test_what_was_emptied_before_it_was_sent_breaks_the_answer_off(
    query: dict[str, str],
) -> None:
    """PT-04: there is no place among bytes to tell how many are not there."""
    async with open_house() as house, house.http() as client:
        await printed(house)
        wanted = {"follow": "1", **query}
        async with client.stream("GET", "/runs/a/output", params=wanted) as answer:
            body = answer.aiter_raw()
            with trio.fail_after(60):
                assert await anext(body)
                lost = Log(stream="stdout", bytes=700, emptied=True)
                await house.record("a", lost, piece_of("stdout", b"later"))
                with pytest.raises(httpx.RemoteProtocolError):
                    async for piece in body:
                        assert b"later" not in piece
        # Whoever comes again is told of it in the head, and has an end.
        answer = await client.get("/runs/a/output")
        assert answer.headers["Penstock-Missing-Bytes"] == "700"
        assert answer.content == ALL + b"later"


async def test_a_log_that_does_not_answer_breaks_the_answer_off() -> None:
    """PT-04 ST-05: what was sent by then is no whole output."""
    async with open_house() as house, house.http() as client:
        await house.start("a")
        # More than lies between two ends of a connection.
        for _ in range(24):
            await house.record("a", piece_of("stdout", b"x" * 1024 * 1024))
        async with client.stream("GET", "/runs/a/output") as answer:
            body = answer.aiter_raw()
            with trio.fail_after(30):
                assert await anext(body)
                house.store.fail_reads(StoreUnavailable("the disk is away"))
                with pytest.raises(httpx.RemoteProtocolError):
                    async for _ in body:
                        pass


async def test_what_cannot_be_asked_for_is_refused() -> None:
    """API-04"""
    async with open_house() as house, house.http() as client:
        await house.start("a")
        assert (await client.get("/runs/nobody/output")).status_code == 404
        for query in ("stream=both", "tail=0", "tail=x", "bytes=0", "follow=maybe"):
            answer = await client.get(f"/runs/a/output?{query}")
            assert answer.status_code == 400, query
            assert answer.json()["detail"].startswith(query.split("=")[0])
