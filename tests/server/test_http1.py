"""The edges of HTTP/1.1, with real sockets: what a head may mean, and who may keep a connection."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from trio_websocket import open_websocket_url

from fakes.house import TOKEN, House, open_house
from penstock.words.config import Config

pytestmark = pytest.mark.sockets

JSON = "Content-Type: application/json\r\n"
H2C = (
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def head(
    house: House, target: str = "/queue", *, method: str = "GET", token: str | None = TOKEN,
    host: str | None = None, extra: str = "",
) -> bytes:  # fmt: skip
    shown = "" if token is None else f"Authorization: Bearer {token}\r\n"
    host = host or f"127.0.0.1:{house.port}"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{shown}{extra}\r\n".encode()


async def answer(stream: trio.SocketStream) -> tuple[int, bytes]:
    """The status of one answer, and all of it that has a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        assert more, data
        data += more
    lines = data.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    lengths = [int(x[15:]) for x in lines if x.startswith(b"content-length:")]
    whole = data.index(b"\r\n\r\n") + 4 + sum(lengths)
    while len(data) < whole:
        data += await stream.receive_some()
    return int(data.split()[1]), data


async def wait_end(stream: trio.SocketStream) -> bytes:
    """What comes until the other side closes the connection."""
    data = b""
    with trio.fail_after(15):
        try:
            while more := await stream.receive_some():
                data += more
        except trio.BrokenResourceError:
            pass
    return data


# -- HTTP/2


@pytest.mark.parametrize("later", [False, True])
async def test_a_wish_for_http_2_is_answered_in_http_1(later: bool) -> None:
    """API-08: Java's client sends it with each first request; the answer is the one to the request."""
    async with open_house() as house, await house.raw() as stream:
        if later:
            await stream.send_all(head(house))
            await answer(stream)
        await stream.send_all(head(house, extra=H2C))
        assert (await answer(stream))[0] == 200
        await stream.send_all(head(house, extra=H2C))
        assert (await answer(stream))[0] == 200


async def test_a_stranger_who_wishes_for_http_2_is_turned_away_as_any_other() -> None:
    """API-08: there is no way round the guard."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(head(house, token=None, extra=H2C))
        assert (await wait_end(stream)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("later", [False, True])
async def test_the_preface_of_http_2_is_refused_in_http_1(later: bool) -> None:
    """API-08: never a frame of HTTP/2, neither as the first word of a connection nor later."""
    async with open_house() as house, await house.raw() as stream:
        if later:
            await stream.send_all(head(house))
            await answer(stream)
        await stream.send_all(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4" + bytes(5)
        )
        told = await wait_end(stream)
        # Without a Host it is a stranger's, once the connection speaks HTTP/1.1.
        assert told.startswith(b"HTTP/1.1 403 " if later else b"HTTP/1.1 505 ")


async def test_what_comes_after_a_request_that_is_turned_away_does_not_cut_the_answer() -> (
    None
):
    """API-08: the answer says that the connection ends, and the client may have sent more by then."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(head(house, token=None) + head(house) + bytes(100))
        told = await wait_end(stream)
        assert told.startswith(b"HTTP/1.1 401 ")
        assert told.count(b"HTTP/1.1 ") == 1
        length = told.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        assert len(told.partition(b"\r\n\r\n")[2]) == int(length)


async def test_a_reader_that_wished_for_http_2_is_noticed_when_it_leaves() -> None:
    """WS-02: a proposal to switch must not stop the reading of the connection."""
    async with open_house(heartbeat_seconds=60) as house:
        async with await house.raw() as stream:
            extra = f"{H2C}Accept: text/event-stream\r\n"
            await stream.send_all(head(house, "/events", extra=extra))
            await house.wait_subscribers(1)
        await house.wait_subscribers(0)


# -- one request, one meaning


async def test_a_body_with_two_lengths_ends_the_connection() -> None:
    """API-08: what follows its shorter reading would be another server's next request."""
    async with open_house() as house, await house.raw() as stream:
        extra = f"{JSON}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
        smuggled = b"0\r\n\r\n" + head(house)
        await stream.send_all(
            head(house, "/runs", method="POST", extra=extra) + smuggled
        )
        told = await wait_end(stream)
        assert told.startswith(b"HTTP/1.1 400 ")
        assert told.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://{}/queue", 200),
        ("HTTP://{}/queue", 200),
        ("https://{}/queue", 200),
        ("HTTPS://{}/runs?limit=1", 200),
        ("http://{}/runs?limit=1", 200),
        ("http://{}", 404),
        ("http://{}?limit=1", 404),
    ],
)
async def test_a_target_may_name_its_authority(
    target: str, expected: int, later: bool
) -> None:
    """API-08: as a client sends it that takes us for a proxy; the Host header beside it is ignored."""
    async with open_house() as house, await house.raw() as stream:
        if later:
            await stream.send_all(head(house))
            await answer(stream)
        named = target.format(f"127.0.0.1:{house.port}")
        await stream.send_all(head(house, named, host="whatever.example"))
        assert (await answer(stream))[0] == expected


@pytest.mark.parametrize(
    ("method", "target", "status", "sentence"),
    [
        ("OPTIONS", "*", 400, b"* is no resource here: ask for a path"),
        ("CONNECT", "other.example:443", 501, b"this is no proxy"),
        ("GET", "ftp://127.0.0.1/queue", 400, b"http:// or https:// address of this"),
        ("GET", "queue", 400, b"must start with a slash"),
    ],
)
async def test_a_target_that_is_no_path_is_refused_in_a_sentence(
    method: str, target: str, status: int, sentence: bytes
) -> None:
    """API-08: and the connection serves the next request."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(head(house, target, method=method))
        got, whole = await answer(stream)
        assert (got, sentence in whole) == (status, True), whole
        await stream.send_all(head(house))
        assert (await answer(stream))[0] == 200


@pytest.mark.parametrize(
    "authority", ["evil.example", "", "a@127.0.0.1", "127.0.0.1:1"]
)
async def test_the_authority_of_a_target_is_judged_as_a_host(authority: str) -> None:
    """API-08: though the Host header is one of ours."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(head(house, f"http://{authority}/queue"))
        assert (await wait_end(stream)).startswith(b"HTTP/1.1 403 ")


async def test_a_stream_may_name_its_authority_too() -> None:
    """API-08 WS-05"""
    async with open_house() as house:
        for authority, status in (
            (f"127.0.0.1:{house.port}", 101),
            ("evil.example", 403),
        ):
            async with await house.raw() as stream:
                target = f"http://{authority}/ws"
                await stream.send_all(head(house, target, extra=HANDSHAKE))
                assert (await answer(stream))[0] == status


# -- a body is asked for by whoever may send one


EXPECTS = f"{JSON}Expect: 100-continue\r\nContent-Length: 2\r\n"


async def test_a_body_is_asked_for_once_the_token_was_judged() -> None:
    """API-08: and then its request is served."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(head(house, "/runs", method="POST", extra=EXPECTS))
        assert (await answer(stream))[0] == 100
        await stream.send_all(b"{}")
        assert (await answer(stream))[0] == 400


@pytest.mark.parametrize(
    ("token", "extra", "status"),
    [
        (None, EXPECTS, 401),
        ("wrong", EXPECTS, 401),
        (TOKEN, f"Origin: http://evil.example\r\n{EXPECTS}", 403),
        (TOKEN, EXPECTS.replace("/json", "/xml"), 415),
        (TOKEN, EXPECTS.replace(": 2", ": 99999999"), 413),
    ],
)
async def test_a_body_that_is_refused_is_not_asked_for(
    token: str | None, extra: str, status: int
) -> None:
    """API-08: a stranger's body is not worth the way."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(
            head(house, "/runs", method="POST", token=token, extra=extra)
        )
        assert (await wait_end(stream)).startswith(b"HTTP/1.1 %d " % status)


# -- strangers


@pytest.mark.parametrize(
    ("token", "host"), [(None, None), ("wrong", None), (TOKEN, "evil.example")]
)
@pytest.mark.parametrize("path", ["/queue", "/mcp", "/nowhere"])
async def test_a_stranger_keeps_no_connection(
    path: str, token: str | None, host: str | None
) -> None:
    """API-08: after 401 and 403 it is closed, and says so."""
    async with open_house() as house, await house.raw() as stream:
        await stream.send_all(head(house, path, token=token, host=host))
        status, whole = await answer(stream)
        assert status in (401, 403)
        assert b"connection: close" in whole.lower()
        assert await wait_end(stream) == b""


async def ask(house: House, stream: trio.SocketStream) -> int:
    await stream.send_all(head(house))
    return (await answer(stream))[0]


async def test_strangers_push_out_strangers_and_nobody_else() -> None:
    """API-08 API-04: the one that came first makes room, and who has shown a token stays."""
    async with open_house(max_strangers=3) as house:
        known = []
        for _ in range(5):
            known.append(await house.raw())
            assert await ask(house, known[-1]) == 200
        strangers = [await house.raw() for _ in range(4)]
        assert await wait_end(strangers[0]) == b""
        for stream in [*known, *strangers[1:]]:
            assert await ask(house, stream) == 200
        for stream in [*known, *strangers]:
            await stream.aclose()


async def test_a_flood_of_silence_keeps_nobody_out() -> None:
    """API-08: more connections than there are places of both sorts together."""
    async with open_house(max_strangers=4, max_connections=4) as house:
        async with await house.raw() as user:
            assert await ask(house, user) == 200
            flood = [await house.raw() for _ in range(30)]
            async with await house.raw() as late:
                assert await ask(house, late) == 200
            assert await ask(house, user) == 200
        for stream in flood:
            await stream.aclose()


async def test_a_burst_of_clients_is_served_whole() -> None:
    """API-04: as many as connect at once before any of them has said a word."""
    # They are asked one after the other, which a busy box may not do in the time of one of them.
    async with open_house(header_timeout=60) as house:
        burst = [await house.raw() for _ in range(Config().max_strangers)]
        for stream in burst:
            assert await ask(house, stream) == 200
            await stream.aclose()


@pytest.mark.parametrize(
    ("path", "token"), [("/health", None), ("/health", "wrong"), ("/queue", "wrong")]
)
async def test_what_is_open_to_all_makes_nobody_known(
    path: str, token: str | None
) -> None:
    """API-08: /health is answered without a token, and buys no place."""
    async with open_house(max_strangers=1) as house, await house.raw() as stream:
        await stream.send_all(head(house, path, token=token))
        await answer(stream)
        async with await house.raw() as other:
            assert await wait_end(stream) == b""
            assert await ask(house, other) == 200


async def test_a_stream_is_known_by_its_first_frame() -> None:
    """WS-10 API-08: until it has shown the token it is a stranger's."""
    async with open_house(max_strangers=1) as house:
        url = f"ws://127.0.0.1:{house.port}/ws"
        async with await house.raw() as quiet:
            await quiet.send_all(head(house, "/ws", token=None, extra=HANDSHAKE))
            assert (await answer(quiet))[0] == 101
            async with await house.raw() as other:
                assert await wait_end(quiet) == b""
                assert await ask(house, other) == 200
        async with open_websocket_url(url) as shown:
            await shown.send_message(f'{{"type": "open", "token": "{TOKEN}"}}')
            assert "hello" in await shown.get_message()
            async with await house.raw() as other:
                assert await ask(house, other) == 200
            await house.start("a")
            with trio.fail_after(15):
                while "run.queued" not in await shown.get_message():
                    pass


async def test_the_user_s_own_socket_knows_no_strangers(tmp_path: Path) -> None:
    """API-04: a connection that says nothing is not pushed out of it."""
    unix = tmp_path / "d" / "s"
    async with open_house(unix, max_strangers=1) as house:
        held = [await trio.open_unix_socket(unix) for _ in range(3)]
        for stream in held:
            await stream.send_all(b"GET /queue HTTP/1.1\r\nHost: any\r\n\r\n")
            assert (await answer(stream))[0] == 200
            await stream.aclose()
        assert house.unix == unix


async def test_those_who_were_pushed_out_are_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """ER-03: a flood does not fill the daemon's log, nor is it a fault of ours."""
    async with open_house(max_strangers=2) as house:
        flood = [await house.raw() for _ in range(20)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        for stream in flood:
            await stream.aclose()
    assert [x.levelname for x in caplog.records if x.name == "penstock.door"] == [
        "WARNING"
    ]
