"""The door, with real sockets."""

from __future__ import annotations

import http.client
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.house import TOKEN, House, open_house
from fakes.real_daemon import RealDaemon
from penstock.server.door import Door
from penstock.server.door_stream import DoorStream
from penstock.server.guard import RequestHead
from penstock.server.listeners import open_listeners, open_tcp, tcp_addresses
from penstock.words.config import Config
from penstock.words.errors import StartRefused
from penstock.words.events import Log

pytestmark = pytest.mark.sockets

HEAD = f"Host: 127.0.0.1:%d\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"


def request(
    house: House, target: str = "/queue", method: str = "GET", extra: str = ""
) -> bytes:
    return f"{method} {target} HTTP/1.1\r\n{extra}{HEAD % house.port}".encode()


async def read_answer(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        assert more, data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    [length] = [
        int(x.partition(b":")[2]) for x in lines if x.startswith(b"content-length:")
    ]
    while len(body) < length:
        body += await stream.receive_some()
    return int(head.split()[1]), head.lower() + b"\r\n\r\n" + body


async def ends(stream: trio.SocketStream) -> bytes:
    """What comes until the other side closes."""
    data = b""
    try:
        while more := await stream.receive_some():
            data += more
    except trio.BrokenResourceError:
        pass
    return data


async def test_a_request_that_comes_byte_by_byte_is_served() -> None:
    """APP-01"""
    async with open_house() as house, await house.raw() as stream:
        for byte in request(house):
            await stream.send_all(bytes([byte]))
        assert (await read_answer(stream))[0] == 200


async def test_a_connection_is_kept_for_further_requests() -> None:
    """APP-01"""
    async with open_house() as house, await house.raw() as stream:
        for _ in range(3):
            await stream.send_all(request(house))
            assert (await read_answer(stream))[0] == 200


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def test_a_later_request_for_a_stream_without_an_upgrade_is_told_so() -> None:
    """API-08: 426, and the connection ends."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(request(house))
        await read_answer(stream)
        await stream.send_all(request(house, "/ws"))
        status, whole = await read_answer(stream)
        assert status == 426
        assert b"connection: close" in whole
        assert await ends(stream) == b""


@pytest.mark.parametrize("at_once", [False, True], ids=["after", "with the answer due"])
async def test_a_connection_that_was_used_becomes_a_stream(at_once: bool) -> None:
    """WS-01: proxies keep connections to us, and send a handshake on any of them."""
    async with open_house() as house, await house.raw() as stream:
        handshake = request(house, "/ws", extra=UPGRADE)
        await stream.send_all(request(house) + (handshake if at_once else b""))
        status, _ = await read_answer_only(stream)
        assert status == 200
        if not at_once:
            await stream.send_all(handshake)
        head = await read_head(stream)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b'"type":"hello"' in await stream.receive_some()
        await house.wait_subscribers(1)


async def test_the_guard_judges_a_handshake_on_a_used_connection() -> None:
    """API-08, WS-08"""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(request(house))
        await read_answer(stream)
        evil = UPGRADE + "Origin: http://evil.example\r\n"
        await stream.send_all(request(house, "/ws", extra=evil))
        assert (await read_answer(stream))[0] == 403
        assert await ends(stream) == b""


async def read_head(stream: trio.SocketStream) -> bytes:
    """A head, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive_some(1)
    return head


async def read_answer_only(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Status and body of an answer, and not a byte of what follows it."""
    head = await read_head(stream)
    lines = head.lower().split(b"\r\n")
    [length] = [
        int(x.partition(b":")[2]) for x in lines if x.startswith(b"content-length:")
    ]
    body = b""
    while len(body) < length:
        body += await stream.receive_some(length - len(body))
    return int(head.split()[1]), body


async def test_a_first_request_for_a_stream_without_an_upgrade_is_told_so() -> None:
    """API-08"""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(request(house, "/ws/a"))
        assert (await read_answer(stream))[0] == 426


async def test_a_head_that_never_ends_is_cut() -> None:
    """API-08: dripping buys no time, since the limit is on the whole head."""
    async with open_house(header_timeout=0.3) as house, await house.raw() as stream:
        await stream.send_all(b"GET /queue HTTP/1.1\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, stream)
            answer = await ends(stream)
            nursery.cancel_scope.cancel()
        assert b" 408 " in answer.splitlines()[0]


async def drip(stream: trio.SocketStream) -> None:
    try:
        while True:
            await stream.send_all(b"X-A: b\r\n")
            await trio.sleep(0.05)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def test_silence_is_cut_without_a_word() -> None:
    """API-08"""
    async with open_house(header_timeout=0.2) as house, await house.raw() as stream:
        assert await ends(stream) == b""


async def test_a_later_head_that_never_ends_is_cut_too() -> None:
    """API-08"""
    async with open_house(keep_alive_seconds=0.3) as house, await house.raw() as stream:
        await stream.send_all(request(house))
        await read_answer(stream)
        await stream.send_all(b"GET /queue HTTP/1.1\r\nX: ")
        assert await ends(stream) == b""


@pytest.mark.parametrize("later", [False, True])
async def test_a_head_over_the_limit_is_refused(later: bool) -> None:
    """API-08"""
    async with open_house() as house, await house.raw() as stream:
        if later:
            await stream.send_all(request(house))
            await read_answer(stream)
        await stream.send_all(request(house, extra=f"X: {'y' * 40_000}\r\n"))
        assert (await read_answer(stream))[0] == 431


async def test_a_body_that_never_comes_is_cut() -> None:
    """API-08"""
    async with open_house(stall_timeout=0.3) as house, await house.raw() as stream:
        extra = "Content-Type: application/json\r\nContent-Length: 10\r\n"
        await stream.send_all(request(house, "/runs", "POST", extra) + b"{")
        assert (await read_answer(stream))[0] == 408
        assert await ends(stream) == b""


@pytest.mark.parametrize(
    "framing", ["Content-Length: 3000000\r\n", "Transfer-Encoding: chunked\r\n"]
)
async def test_a_body_over_the_limit_gets_its_answer(framing: str) -> None:
    """API-02: read whole by a client that sends first and reads then."""
    async with open_house(max_body_bytes=1000) as house, await house.raw() as stream:
        extra = f"Content-Type: application/json\r\n{framing}"
        body = b"x" * 3_000_000
        if "chunked" in framing:
            body = b"2dc6c0\r\n" + body + b"\r\n0\r\n\r\n"
        await stream.send_all(request(house, "/runs", "POST", extra) + body)
        status, whole = await read_answer(stream)
        assert status == 413
        assert b"1000 bytes" in whole


@pytest.mark.parametrize("preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_http_2_is_not_spoken(preface: bytes) -> None:
    """APP-01: one protocol, one set of limits."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(preface)
        assert b" 505 " in (await ends(stream)).splitlines()[0]


async def test_300_idle_connections_keep_nobody_out() -> None:
    """API-04"""
    async with open_house() as house:
        idle = [await house.raw() for _ in range(300)]
        async with await house.raw() as stream:
            await stream.send_all(request(house))
            assert (await read_answer(stream))[0] == 200
        for other in idle:
            await other.aclose()


async def test_too_many_connections_get_503_and_the_socket_stays_open(
    tmp_path: Path,
) -> None:
    """API-04: a flood on the port does not lock the user's own tools out."""
    unix = tmp_path / "d" / "s"
    async with open_house(unix, max_connections=2) as house:
        held = []
        for _ in range(2):
            held.append(await house.raw())
            await held[-1].send_all(request(house))
            assert (await read_answer(held[-1]))[0] == 200
        async with await house.raw() as third:
            assert b" 503 " in (await ends(third)).splitlines()[0]
        async with house.http(None, uds=str(unix)) as client:
            assert (await client.get("/queue")).status_code == 200
        for stream in held:
            await stream.aclose()
        await wait_served(house)


async def wait_served(house: House) -> None:
    """A place that was given up is free again."""
    while True:
        async with await house.raw() as stream:
            await stream.send_all(request(house))
            if (await read_answer(stream))[0] == 200:
                return


def test_a_connection_ends_with_its_client(
    start_daemon: Callable[..., RealDaemon], home: Path
) -> None:
    """WS-02 QA-10: many short clients in a row need no more than a few places.

    In a process of its own: on one loop a client never leaves while its answer is being ended.
    """
    daemon = start_daemon(PENSTOCK_MAX_CONNECTIONS="8")
    token = (home / "state/penstock/token").read_text().strip()
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
    }
    body = b'{"kind": "command", "inputs": {"argv": ["true"]}, "run_id": "one"}'
    statuses = set()
    for _ in range(60):
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
        client.request("POST", "/runs", body=body, headers=headers)
        statuses.add(client.getresponse().status)
        client.close()
    assert statuses <= {200, 202}


async def test_a_client_that_takes_nothing_is_cut() -> None:
    """WS-03, law 6: Hypercorn would wait for it for ever."""
    async with open_house(stall_timeout=0.3) as house:
        await fill(house, 500)
        async with await house.raw() as stream:
            extra = "Accept: application/x-ndjson\r\n"
            await stream.send_all(request(house, "/events", extra=extra))
            await house.wait_subscribers(1)
            await house.wait_subscribers(0)


async def fill(house: House, commits: int) -> None:
    """More than a socket holds: four facts of 10 kB in each commit."""
    await house.start("r")
    for _ in range(commits):
        await house.record("r", *[Log(text="x" * 10_000) for _ in range(4)])


async def test_the_unix_socket_is_private(tmp_path: Path) -> None:
    """Law 7: a folder and a socket that only their owner can use, any Host, no token."""
    unix = tmp_path / "run" / "daemon.sock"
    async with open_house(unix) as house:
        assert stat.S_IMODE(unix.stat().st_mode) == 0o600
        assert stat.S_IMODE(unix.parent.stat().st_mode) == 0o700
        async with house.http(None, uds=os.fspath(unix)) as client:
            answer = await client.get("/queue", headers={"Host": "whatever"})
            assert answer.status_code == 200
            refused = await client.get("/queue", headers={"Origin": "http://evil"})
            assert refused.status_code == 403


async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    """APP-04"""
    unix = tmp_path / "run" / "daemon.sock"
    for _ in range(2):
        listeners = await open_listeners("127.0.0.1", 0, unix)
        for listener in listeners:
            await listener.aclose()
    assert unix.is_socket()


async def test_a_taken_port_is_named() -> None:
    """APP-04"""
    listeners = await open_tcp("127.0.0.1", 0)
    [(_, port)] = tcp_addresses(listeners)
    with pytest.raises(StartRefused, match=f"port {port} "):
        await open_tcp("127.0.0.1", port)
    await listeners[0].aclose()


async def test_after_a_stop_nothing_is_accepted_and_what_is_open_goes_on() -> None:
    """APP-06"""
    async with open_house() as house, house.http() as client:
        assert (await client.get("/queue")).status_code == 200
        house.shutdown.stop_accepting()
        await trio.testing.wait_all_tasks_blocked(0.05)
        with pytest.raises(OSError, match="attempts to connect"):
            await house.raw()
        assert (await client.get("/queue")).status_code == 200


async def test_a_request_that_comes_with_the_goodbye_is_answered() -> None:
    """SY-01 A restart cuts off nobody who was let in."""
    async with open_house(shutdown_servers=20) as house, await house.raw() as late:
        asked = request(house)
        await late.send_all(asked[:20])
        await trio.testing.wait_all_tasks_blocked(0.05)
        house.shutdown.end_streams()
        await trio.testing.wait_all_tasks_blocked(0.05)
        await late.send_all(asked[20:])
        with trio.fail_after(15):
            status, *_ = await read_answer(late)
            assert status in {200, 503}
            await house.shut.wait()


async def test_a_goodbye_ends_idle_connections_at_once() -> None:
    """APP-06"""
    async with open_house(shutdown_servers=20) as house, await house.raw() as idle:
        await idle.send_all(request(house))
        await read_answer(idle)
        house.shutdown.end_streams()
        with trio.fail_after(15):
            assert await ends(idle) == b""
            await house.shut.wait()


async def test_a_goodbye_cuts_whoever_stalls() -> None:
    """APP-06, QA-08: bounded by shutdown_servers, though Hypercorn shields its sends."""
    async with open_house(shutdown_servers=0.3) as house:
        await fill(house, 300)
        async with await house.raw() as stalled:
            extra = "Accept: text/event-stream\r\n"
            await stalled.send_all(request(house, "/events", extra=extra))
            await house.wait_subscribers(1)
            await trio.testing.wait_all_tasks_blocked(0.05)
            house.shutdown.end_streams()
            with trio.fail_after(15):
                await house.shut.wait()


async def test_a_stranger_on_the_unix_socket_hears_nothing() -> None:
    """Law 7: should the folder's mode ever fail, the peer's uid still tells."""
    config = Config()
    for uid, expected in ((os.geteuid(), b"HTTP/1.1 200"), (os.geteuid() + 1, b"")):
        ours, theirs = trio.socket.socketpair()
        door = Door(plain_app, refuse_streams, config, uid=uid)
        async with trio.SocketStream(theirs) as client, trio.open_nursery() as nursery:
            nursery.start_soon(door.receive, trio.SocketStream(ours))
            await client.send_all(b"GET / HTTP/1.0\r\n\r\n")
            assert (await ends(client))[:12] == expected


async def plain_app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in", "more_body": False})


async def refuse_streams(
    _knock: RequestHead, stream: DoorStream, _note_known: Callable[[], None]
) -> None:
    await stream.aclose()


async def test_what_breaks_one_connection_leaves_the_others() -> None:
    """ER-03"""
    async with open_house() as house:
        for rubbish in (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"\xff" * 50 + b"\n\n",
        ):
            async with await house.raw() as stream:
                await stream.send_all(rubbish)
                await stream.send_eof()
                assert b" 200 " not in await ends(stream)
        async with house.http() as client:
            assert (await client.get("/queue")).status_code == 200


async def test_the_wrong_method_and_no_path_are_problems() -> None:
    """API-07"""
    async with open_house() as house, house.http() as client:
        for answer, status in (
            (await client.delete("/queue"), 405),
            (await client.get("/nowhere"), 404),
            (await client.options("/nowhere"), 404),
        ):
            assert answer.status_code == status
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["status"] == status
