"""The event stream over WebSocket, with a real client and real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from fakes.house import TOKEN, House, open_house
from penstock.concurrency.deferred import only
from penstock.server.web.page_keys import PageKeys
from penstock.words.errors import LogDamaged, PenstockError, StoreUnavailable
from penstock.words.events import Log

pytestmark = pytest.mark.sockets


@asynccontextmanager
async def open_client(
    house: House, target: str = "/ws", *, token: str | None = TOKEN, **headers: str
) -> AsyncIterator[WebSocketConnection]:
    """A client; the socket is closed whatever happens, and groups are unwrapped."""
    stream = (
        await house.raw()
        if house.unix is None
        else await trio.open_unix_socket(str(house.unix))
    )
    extra = [(name.encode(), value.encode()) for name, value in headers.items()]
    if token is not None:
        extra.append((b"Authorization", f"Bearer {token}".encode()))
    try:
        async with trio.open_nursery() as nursery:
            host = f"127.0.0.1:{house.port}"
            try:
                connection = await wrap_client_stream(
                    nursery, stream, host, target, extra_headers=extra, message_queue_size=256,
                    max_message_size=16 * 1024 * 1024,
                )  # fmt: skip
                yield connection
                with trio.move_on_after(1):
                    await connection.aclose()
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise only(group) from None
    finally:
        await trio.aclose_forcefully(stream)


async def receive(client: WebSocketConnection) -> dict[str, Any]:
    with trio.fail_after(60):
        return dict(json.loads(await client.get_message()))


async def until(client: WebSocketConnection, kind: str) -> list[dict[str, Any]]:
    """The frames up to and with the first of this kind."""
    got = [await receive(client)]
    while got[-1]["type"] != kind:
        got.append(await receive(client))
    return got


def positions(got: list[dict[str, Any]]) -> list[int]:
    return [
        e["position"]
        for frame in got
        if frame["type"] == "events"
        for e in frame["events"]
    ]


async def test_a_stream_says_hello_then_events_then_ready_then_bye() -> None:
    """WS-05, WS-06, BUS-04"""
    async with open_house() as house:
        await house.start("r")
        async with open_client(house, "/ws/r") as client:
            hello, events, ready = await until(client, "ready")
            assert hello == {
                "type": "hello", "daemon": f"penstock {house.core.version}",
                "epoch": house.core.epoch, "life": "life-1", "head": 3, "floor": 1, "known": True,
            }  # fmt: skip
            queued, started = events["events"]
            assert [
                queued[name] for name in ("position", "sequence", "code_version")
            ] == [2, 1, 0]
            assert queued["event"]["type"] == "run.queued"
            assert started["event"]["type"] == "run.started"
            assert ready == {"type": "ready", "head": 3}
            await house.end("r")
            got = await until(client, "bye")
            assert positions(got) == [4]
            with pytest.raises(ConnectionClosed) as closed:
                await client.get_message()
            assert closed.value.reason is not None
            assert closed.value.reason.code == 1000
        await house.wait_subscribers(0)


async def test_three_clients_of_one_run_hear_the_same() -> None:
    """WS-01"""
    async with open_house() as house:
        heard: list[list[int]] = []

        async def listen() -> None:
            async with open_client(house, "/ws/r") as client:
                heard.append(positions(await until(client, "bye")))

        await house.start("r")
        await house.start("other")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(listen)
            await house.wait_subscribers(3)
            for _ in range(120):
                await house.record("other", Log(text="x"))
                await house.record("r", Log(text="y"))
            await house.end("r")
        expected = [fact.position for fact in await house.facts("r")]
        assert len(expected) == 123
        assert heard == [expected] * 3


async def test_a_frame_holds_fifty_events_at_most() -> None:
    """WS-05"""
    async with open_house() as house:
        await house.start("r")
        await house.record("r", *[Log(text=str(n)) for n in range(180)])
        async with open_client(house) as client:
            got = await until(client, "ready")
            assert positions(got) == list(range(1, 184))
            assert max(len(f["events"]) for f in got if f["type"] == "events") == 50


async def test_a_client_comes_back_for_exactly_what_it_missed() -> None:
    """WS-06, BUS-06"""
    async with open_house() as house:
        await house.start("r")
        async with open_client(house, "/ws/r") as client:
            last = positions(await until(client, "ready"))[-1]
        await house.record("r", Log(text="missed"), Log(text="too"))
        async with open_client(house, f"/ws/r?after={last}") as client:
            assert positions(await until(client, "ready")) == [4, 5]
        async with open_client(house, "/ws", token=None) as client:
            await client.send_message(
                json.dumps({"type": "open", "token": TOKEN, "after": 4})
            )
            assert positions(await until(client, "ready")) == [5]


async def test_a_client_may_come_before_its_run() -> None:
    """WS-08: ids that look alike are alike here too."""
    async with (
        open_house() as house,
        open_client(house, "/ws/a%2Fb%20%C3%A9") as client,
    ):
        assert [f["type"] for f in await until(client, "ready")] == ["hello", "ready"]
        await house.start("a-b \u00e9")
        await house.end("a-b \u00e9")
        assert positions(await until(client, "bye")) == [2, 3, 4]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/ws/%00", 400),
        ("/ws/", 400),
        ("/ws/" + "x" * 201, 400),
        ("/ws/%FF", 400),
        ("/ws/a/b", 404),
        ("/ws?after=-1", 400),
        ("/ws?after=x", 400),
        ("/ws?after=99999999999999999999", 400),
        ("/ws?overflow=explode", 400),
        ("/ws?unknown=1", 400),
        (f"/ws?token={TOKEN}", 400),
    ],
)
async def test_a_malformed_wish_is_refused_at_the_handshake(
    target: str, status: int
) -> None:
    """WS-08, WS-09, API-08"""
    async with open_house() as house:
        with pytest.raises(ConnectionRejected) as refused:
            async with open_client(house, target):
                pass
        assert refused.value.status_code == status
        assert json.loads(refused.value.body or b"{}")["status"] == status


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [("wrong", {}, 401), (TOKEN, {"Origin": "http://evil.example"}, 403)],
)
async def test_strangers_are_refused_at_the_handshake(
    token: str, headers: dict[str, str], status: int
) -> None:
    """API-08, WS-10"""
    async with open_house() as house:
        with pytest.raises(ConnectionRejected) as refused:
            async with open_client(house, token=token, **headers):
                pass
        assert refused.value.status_code == status


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "open"}, 4401),
        ({"type": "open", "token": "wrong"}, 4401),
        ({"type": "open", "token": TOKEN, "overflow": "explode"}, 4400),
        ({"type": "open", "token": TOKEN, "after": -1}, 4400),
        ({"type": "open", "token": TOKEN, "colour": "red"}, 4400),
        ({"type": "open", "token": f"{TOKEN}\0"}, 4400),
        ({"type": "hello"}, 4400),
        ("[" + "," * 60_000, 4413),
        ("not json", 4400),
        (None, 4401),
    ],
)
async def test_a_first_frame_that_opens_nothing_ends_the_connection(
    first: object, code: int
) -> None:
    """WS-10: and the daemon has said nothing."""
    async with (
        open_house(open_timeout=0.3) as house,
        open_client(house, token=None) as client,
    ):
        if first is not None:
            await client.send_message(
                first if isinstance(first, str) else json.dumps(first)
            )
        with trio.fail_after(60), pytest.raises(ConnectionClosed) as closed:
            await client.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == code
        assert TOKEN not in str(closed.value.reason.reason)


@pytest.mark.parametrize("early", [True, False], ids=["header", "frame"])
async def test_a_stream_that_a_pages_key_has_opened_ends_with_it(early: bool) -> None:
    """API-08 WS-10: whenever the key was shown."""
    async with open_house(web_key_seconds=1.0) as house:
        await house.start("r")
        key = PageKeys(TOKEN, 1.0).make()
        async with open_client(house, "/ws/r", token=key if early else None) as client:
            if not early:
                await client.send_message(json.dumps({"type": "open", "token": key}))
            with trio.fail_after(30), pytest.raises(ConnectionClosed) as closed:
                while True:
                    await client.get_message()
            assert closed.value.reason is not None
            assert closed.value.reason.code == 4401


async def test_empty_messages_are_legal_and_say_nothing() -> None:
    """WS-10"""
    async with open_house() as house:
        await house.start("r")
        async with open_client(house, token=None) as client:
            await client.send_message(b"")
            await client.send_message(json.dumps({"type": "open", "token": TOKEN}))
            await until(client, "ready")
            for message in (b"", "", b"\0", "what"):
                await client.send_message(message)
            await house.record("r", Log(text="still here"))
            assert positions(await until(client, "events")) == [4]


async def test_a_message_over_the_limit_ends_the_connection() -> None:
    """API-08"""
    async with open_house(max_frame_bytes=100) as house, open_client(house) as client:
        await until(client, "ready")
        await client.send_message("x" * 200)
        with trio.fail_after(60), pytest.raises(ConnectionClosed) as closed:
            while True:
                await client.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1009
        await house.wait_subscribers(0)


async def test_no_compression_is_agreed() -> None:
    """WS-10: a small frame must not become a large one."""
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    async with open_house() as house, open_client(house, **offer) as client:
        names = [name for name, _ in client.handshake_headers]
        assert b"sec-websocket-extensions" not in names


async def test_on_the_unix_socket_no_token_is_asked_for(tmp_path: Path) -> None:
    """Law 7"""
    async with open_house(tmp_path / "d" / "s") as house:
        await house.start("r")
        async with open_client(house, token=None) as client:
            assert positions(await until(client, "ready")) == [1, 2, 3]


async def test_clients_that_come_and_go_leave_nothing() -> None:
    """WS-02: politely, rudely, and in the middle of the handshake."""
    async with open_house() as house:
        await house.start("r")

        async def politely() -> None:
            async with open_client(house) as client:
                await receive(client)

        async def rudely() -> None:
            stream = await house.raw()
            await stream.send_all(handshake(house))
            await stream.aclose()

        async def halfway() -> None:
            stream = await house.raw()
            await stream.send_all(handshake(house)[:40])
            await stream.aclose()

        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for leave in (politely, rudely, halfway) * 7:
                    nursery.start_soon(leave)
        await house.wait_subscribers(0)


def handshake(house: House, target: str = "/ws") -> bytes:
    return (
        f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


async def fill(house: House, events: int) -> None:
    """More than sockets hold, in commits that let others run."""
    for number in range(0, events, 20):
        texts = [f"{number + n:05d}" + "x" * 10_000 for n in range(20)]
        await house.record("r", *[Log(text=text) for text in texts])


async def test_a_client_that_drops_in_a_send_leaves_the_others_alone() -> None:
    """WS-03, WS-04"""
    async with open_house() as house:
        await house.start("r")
        heard: list[int] = []

        async def listen(steady: WebSocketConnection) -> None:
            while len(heard) < 1003:
                heard.extend(positions([await receive(steady)]))

        async with open_client(house) as steady, trio.open_nursery() as nursery:
            nursery.start_soon(listen, steady)
            stream = await house.raw()
            await stream.send_all(handshake(house))
            await house.wait_subscribers(2)
            await fill(house, 500)
            await trio.testing.wait_all_tasks_blocked(0.05)
            await stream.aclose()
            await fill(house, 500)
        assert heard == list(range(1, 1004))
        await house.wait_subscribers(0)


async def test_a_stalled_client_catches_up() -> None:
    """WS-09, law 6: nothing is lost, however far behind."""
    async with (
        open_house(ring_events=300) as house,
        open_client(house, "/ws/r") as client,
    ):
        await house.start("r")
        await fill(house, 3000)
        await house.end("r")
        assert positions(await until(client, "bye")) == list(range(2, 3005))


async def test_a_stalled_client_may_have_the_oldest_dropped() -> None:
    """WS-09: and is told what."""
    async with open_house(ring_events=300) as house:
        await house.start("r")
        async with open_client(house, "/ws/r?overflow=drop_oldest") as client:
            await until(client, "ready")
            await fill(house, 3000)
            await house.end("r")
            got = await until(client, "bye")
            gaps = [f for f in got if f["type"] == "gap"]
            assert gaps
            assert gaps[0]["dropped"] == gaps[0]["last"] - gaps[0]["first"] + 1
            missed = {n for gap in gaps for n in range(gap["first"], gap["last"] + 1)}
            told = positions(got)
            assert not missed & {*told}
            # The daemon's own note that a reader lags is in between.
            mine = [fact.position for fact in await house.facts("r")][2:]
            assert [n for n in mine if n not in missed] == told


async def test_a_stalled_client_may_be_hung_up_on() -> None:
    """WS-09"""
    async with open_house(ring_events=300) as house:
        await house.start("r")
        async with open_client(house, "/ws/r?overflow=disconnect") as client:
            await until(client, "ready")
            await fill(house, 3000)
            assert "fell behind" in (await until(client, "bye"))[-1]["reason"]
            with pytest.raises(ConnectionClosed) as closed:
                await receive(client)
            assert closed.value.reason is not None
            assert closed.value.reason.code == 1013


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (StoreUnavailable("/var/lib/disk"), "did not answer", 1013),
        (LogDamaged("the fact 2 of 'r' is malformed " + "x" * 200), "fact 2", 4500),
    ],
)
async def test_a_client_is_told_that_the_log_cannot_be_read(
    error: PenstockError, said: str, code: int
) -> None:
    """WS-06 ER-03: and by the close code whether to come again."""
    async with open_house(ring_events=2) as house:
        await house.start("r")
        await house.record("r", *[Log(text="x") for _ in range(600)])
        house.store.fail_reads(error)
        async with open_client(house) as client:
            assert said in (await until(client, "bye"))[-1]["reason"]
            with pytest.raises(ConnectionClosed) as closed:
                await receive(client)
            assert closed.value.reason is not None
            assert closed.value.reason.code == code


async def test_a_client_that_takes_nothing_for_long_is_cut() -> None:
    """WS-03"""
    async with open_house(stall_timeout=0.3) as house:
        await house.start("r")
        stream = await house.raw()
        await stream.send_all(handshake(house))
        await house.wait_subscribers(1)
        await fill(house, 1000)
        await house.wait_subscribers(0)
        await stream.aclose()


async def test_a_goodbye_is_the_last_frame() -> None:
    """APP-06"""
    async with open_house() as house, open_client(house) as client:
        await until(client, "ready")
        house.shutdown.end_streams()
        assert "stopping" in (await until(client, "bye"))[-1]["reason"]
        with pytest.raises(ConnectionClosed) as closed:
            await receive(client)
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1001


async def test_what_is_recorded_in_the_moment_of_a_goodbye_is_told() -> None:
    """APP-06: that is how the runs ended that the stop ended; their watchers must hear it."""
    async with open_house() as house:
        await house.start("r")
        async with (
            open_client(house, "/ws/r") as one,
            open_client(house) as all_runs,
            house.http() as http,
            http.stream(
                "GET", "/events", headers={"Accept": "application/x-ndjson"}
            ) as lines,
        ):
            await until(one, "ready")
            await until(all_runs, "ready")
            await house.wait_subscribers(3)
            await trio.testing.wait_all_tasks_blocked(0.01)
            house.store.on_answer = house.shutdown.end_streams
            await house.end("r")
            assert positions(await until(one, "bye")) == [4]
            assert positions(await until(all_runs, "bye")) == [4]
            told = [json.loads(line) async for line in lines.aiter_lines()]
            assert [line.get("position") for line in told] == [1, 2, 3, 4, None]


async def test_history_below_the_floor_is_a_gap() -> None:
    """BUS-07"""
    async with open_house() as house:
        await house.start("r")
        house.core.bus.forget_below(3)
        async with open_client(house) as client:
            got = await until(client, "ready")
            assert got[1] == {
                "type": "gap", "first": 1, "last": 2, "dropped": None, "put_back": False,
            }  # fmt: skip
            assert positions(got) == [3]


async def test_a_cursor_above_the_head_is_told_and_goes_on_from_it() -> None:
    """BUS-07: the log was put back, or the place is of another one; nobody waits for ever."""
    async with open_house() as house, open_client(house, "/ws?after=3") as client:
        got = await until(client, "ready")
        assert got[1] == {
            "type": "gap", "first": 2, "last": 3, "dropped": None, "put_back": True,
        }  # fmt: skip
        await house.start("r")
        await house.record("r", Log(text="2"), Log(text="3"))
        seen: list[int] = []
        while len(seen) < 4:
            seen += positions(await until(client, "events"))
        assert seen == [2, 3, 4, 5]


async def test_a_place_with_another_fact_is_told_and_the_fact_comes() -> None:
    """BUS-07: the log was put back and is as long as before; only the event's id tells."""
    async with open_house() as house:
        other = (await house.start("r")).event_id
        mine = (await house.record("r", Log(text="1"))).event_id
        await house.record("r", Log(text="2"))
        async with open_client(house, f"/ws?after=4&after_id={mine}") as client:
            got = await until(client, "ready")
            assert [frame["type"] for frame in got] == ["hello", "events", "ready"]
            assert positions(got) == [5]
        async with open_client(house, f"/ws/r?after=4&after_id={other}") as client:
            got = await until(client, "ready")
            assert (got[1]["first"], got[1]["last"], got[1]["put_back"]) == (4, 4, True)
            assert positions(got) == [4, 5]
        async with open_client(house, token=None) as client:
            frame = {"type": "open", "token": TOKEN, "after": 4}
            await client.send_message(json.dumps({**frame, "after_id": str(other)}))
            got = await until(client, "ready")
            assert got[1]["put_back"]
