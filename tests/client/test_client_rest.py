"""What a client sends, and what becomes of the answers."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from fakes.foreign_daemon import open_foreign_daemon
from penstock.client import open_client, rest
from penstock.words import errors
from penstock.words.address import Address
from penstock.words.api import problem_of
from penstock.words.error_status import error_of


@pytest.mark.sockets
async def test_the_token_goes_as_a_header_and_ids_are_encoded() -> None:
    """API-08 Never a token in a URL."""
    with trio.fail_after(30):
        async with (
            open_foreign_daemon() as daemon,
            open_client(daemon.address) as client,
        ):
            daemon.routes["GET", "/runs/a%20%3F"] = (200, {"run_id": "a ?"})
            assert await client.run("a ?") == {"run_id": "a ?"}
    [asked] = daemon.asked
    assert asked.headers["authorization"] == "Bearer secret"
    assert "secret" not in asked.target


@pytest.mark.sockets
async def test_the_unix_socket_needs_no_token(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            async with open_client(daemon.address) as client:
                daemon.routes["POST", "/runs/r/cancel"] = (
                    200,
                    {"outcome": "cancelled"},
                )
                assert (await client.cancel("r", wait=True))["outcome"] == "cancelled"
    [asked] = daemon.asked
    assert (asked.target, asked.body) == (
        "/runs/r/cancel?wait=1",
        {"reason": "requested"},
    )
    assert "authorization" not in asked.headers


@pytest.mark.sockets
async def test_an_answer_without_an_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ER-02: whatever listens there must not fill the memory; the next request finds its daemon."""
    monkeypatch.setattr(rest, "LARGEST_ANSWER", 1_000_000)
    left: list[bool] = []

    async def tell_for_ever(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            while True:
                await stream.send_all(b"1000\r\n" + b"[" * 0x1000 + b"\r\n")
        left.append(True)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_tcp, tell_for_ever, 0, host="127.0.0.1")
            )
            port = listener.socket.getsockname()[1]
            address = Address(base=f"http://127.0.0.1:{port}")
            async with open_client(address) as client:
                for _ in range(2):
                    with pytest.raises(
                        errors.DaemonUnreachable, match="more than 1000000 bytes"
                    ):
                        await client.run("r")
            nursery.cancel_scope.cancel()
    assert left == [True, True]


@pytest.mark.parametrize(
    "error",
    [
        errors.Refused("inputs.argv", "must not be empty"),
        errors.TooLarge("body", "10 bytes; the limit is 9"),
        errors.RunNotFound("no run is called x", run_id="x"),
        errors.OtherInputs(),
        errors.AlreadyAnswered(),
        errors.Terminal(),
        errors.QueueFull(queued=100),
        errors.ShuttingDown(),
        errors.Unauthorised(),
    ],
)
def test_an_error_crosses_the_wire_as_itself(error: errors.PenstockError) -> None:
    """CL-01 So that one table gives every surface's answer."""
    status, problem = problem_of(error)
    read = error_of(status, problem.model_dump())
    assert (type(read), str(read)) == (type(error), str(error))
    assert read.facts == error.facts


def test_an_answer_that_is_no_problem_document_is_known_by_its_status() -> None:
    assert isinstance(error_of(404, None), errors.NotFound)
    assert isinstance(error_of(401, "<html>"), errors.Unauthorised)
    assert type(error_of(418, {"title": "teapot"})) is errors.PenstockError


async def test_nobody_there_is_said_with_how_to_start_a_daemon(tmp_path: Path) -> None:
    """CL-02"""
    with trio.fail_after(30):
        async with open_client(
            Address("http://localhost", socket=tmp_path / "none")
        ) as client:
            with pytest.raises(errors.DaemonUnreachable, match="penstock serve"):
                await client.run("r")


@pytest.mark.sockets
async def test_a_degraded_daemon_still_tells_its_health(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_foreign_daemon(tmp_path / "s") as daemon:
            async with open_client(daemon.address) as client:
                daemon.routes["GET", "/health"] = (503, {"status": "degraded"})
                assert await client.health() == {"status": "degraded"}


@pytest.mark.sockets
async def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token must not pass through a proxy that is meant for the wide world."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    with trio.fail_after(30):
        async with (
            open_foreign_daemon() as daemon,
            open_client(daemon.address) as client,
        ):
            daemon.routes["GET", "/queue"] = (200, {})
            assert await client.get("queue") == {}
