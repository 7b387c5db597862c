"""RS-01 SY-07: what a command asks the daemon in its own process is answered as by any daemon."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import trio
import trio.lowlevel

from fakes.house import House, open_house
from penstock.client.response_reader import ResponseReader
from penstock.kinds.command import KIND
from penstock.server.in_process import (
    InProcess,
    OwnRequest,
    answers_in_process,
    open_in_process,
)
from penstock.server.shutdown import Shutdown
from penstock.testing import FakeProcesses, FakeProgram
from penstock.words.live_frames import MESSAGE, STDOUT, LiveFrames

pytestmark = pytest.mark.sockets

JSON = {"content-type": "application/json"}
LIVE = {**JSON, "prefer": "live-output"}


def house_of(**settings: Any) -> Any:
    programs = FakeProcesses(
        {"speaks": FakeProgram(stdout=b"out\0\xff"), "parrot": FakeProgram.echoing()}
    )
    return open_house(None, KIND, processes=programs, **settings)


def submitting(*argv: str, **others: Any) -> bytes:
    body = {"kind": "command", "run_id": "r", "inputs": {"argv": list(argv)}, **others}
    return json.dumps(body).encode()


async def ask(own: InProcess, request: OwnRequest) -> tuple[ResponseReader, bytes]:
    """The whole answer."""
    ours, theirs = socket.socketpair()
    await own.take(request, theirs)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    answer, body = ResponseReader(), bytearray()
    async with stream:
        while not answer.ended:
            body += answer.feed(await stream.receive_some())
    return answer, bytes(body)


REQUESTS = {
    "a run": ("/runs", JSON, submitting("speaks")),
    "a run that waits for room": ("/runs?wait=1", JSON, submitting("speaks")),
    "an unknown parameter": ("/runs?x=1", JSON, submitting("speaks")),
    "a kind that is not there": ("/runs", JSON, b'{"kind": "none"}'),
    "no JSON": ("/runs", JSON, b"{"),
    "deeper than may be": ("/runs", JSON, b"[" * 1000),
    "more than may be": ("/runs", JSON, b" " * 20_000_000),
    "no media type": ("/runs", {}, submitting("speaks")),
    "a cancel of nobody": ("/runs/nobody/cancel", JSON, b"{}"),
    "a cancel of what can be no run": ("/runs/%20/cancel", JSON, b"{}"),
    "a page that asks": ("/runs", {**JSON, "origin": "http://evil"}, b"{}"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_answer_is_that_of_the_server(name: str) -> None:
    """ER-02: status, document and headers; only how the connection goes on is its own affair."""
    target, headers, body = REQUESTS[name]
    with trio.fail_after(30):
        async with house_of() as house, house.http() as client:
            theirs = await client.post(target, content=body, headers=headers)
            document = comparable(house, theirs.content)
        async with house_of() as house, in_process(house) as own:
            answer, ours = await ask(own, OwnRequest("POST", target, headers, body))
            assert comparable(house, ours) == document
    assert answer.status == theirs.status_code
    of_the_connection = {"date", "connection", "content-length", "transfer-encoding"}
    for told in (answer.headers, dict(theirs.headers)):
        for key in of_the_connection:
            told.pop(key, None)
    assert answer.headers == {k.lower(): v for k, v in theirs.headers.items() if k not in of_the_connection}  # fmt: skip


def in_process(house: House, shutdown: Shutdown | None = None) -> Any:
    return open_in_process(house.core, shutdown or Shutdown(), house.base)


def comparable(house: House, document: bytes) -> Any:
    """Without what differs between two houses."""
    websockets = house.base.replace("http", "ws").encode()
    told = json.loads(
        document.replace(house.base.encode(), b"").replace(websockets, b"")
    )
    return {key: value for key, value in told.items() if not key.endswith("_at")}


async def test_a_run_is_told_live_to_its_end() -> None:
    """PT-06"""
    with trio.fail_after(30):
        async with house_of() as house, in_process(house) as own:
            submit = OwnRequest("POST", "/runs", LIVE, submitting("speaks"))
            _, accepted = await ask(own, submit)
            assert json.loads(accepted)["live"] is True
            follow = OwnRequest("GET", "/runs/r/live", {}, b"")
            answer, body = await ask(own, follow)
    frames = list(LiveFrames().feed(body))
    assert answer.status == 200
    assert b"".join(data for kind, data in frames if kind == STDOUT) == b"out\0\xff"
    facts = [
        fact["event"]["type"]
        for kind, data in frames if kind == MESSAGE
        for fact in json.loads(data).get("events", [])
    ]  # fmt: skip
    assert facts[-1] == "run.completed"


async def test_who_leaves_is_told_nothing_more_and_holds_nothing_up() -> None:
    """PT-06: as a reader of a pipe that closes it."""
    with trio.fail_after(30):
        async with house_of() as house, in_process(house) as own:
            body = submitting("parrot", inputs={"argv": ["parrot"], "stdin": "open"})
            await ask(own, OwnRequest("POST", "/runs", LIVE, body))
            ours, theirs = socket.socketpair()
            follow = OwnRequest("GET", "/runs/r/live", {}, b"")
            await own.take(follow, theirs)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            await stream.receive_some()
            await stream.aclose()
            cancel = OwnRequest("POST", "/runs/r/cancel?wait=1", JSON, b"{}")
            _, receipt = await ask(own, cancel)
    assert json.loads(receipt)["run_id"] == "r"


async def test_a_cancel_cuts_no_answer_and_a_stop_ends_it_whole() -> None:
    """SY-07: who followed while the log broke is told to the end that it did."""
    shutdown, told, begun = Shutdown(), bytearray(), trio.Event()
    body = submitting("parrot", inputs={"argv": ["parrot"], "stdin": "open"})

    async def read_all(ours: socket.socket) -> None:
        answer = ResponseReader()
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            while not answer.ended:
                told.extend(answer.feed(await stream.receive_some()))
                begun.set()

    async def live(house: House, scope: trio.CancelScope) -> None:
        with scope:
            async with in_process(house, shutdown) as own:
                await ask(own, OwnRequest("POST", "/runs", LIVE, body))
                ours, theirs = socket.socketpair()
                readers.start_soon(read_all, ours)
                await own.take(OwnRequest("GET", "/runs/r/live", {}, b""), theirs)
                await trio.sleep_forever()

    scope = trio.CancelScope()
    with trio.fail_after(30):
        async with house_of() as house, trio.open_nursery() as readers:
            readers.start_soon(live, house, scope)
            await begun.wait()
            scope.cancel(reason="as a log that broke does")
            await trio.testing.wait_all_tasks_blocked()
            shutdown.end_streams()
    *_, (kind, last) = LiveFrames().feed(bytes(told))
    assert kind == MESSAGE
    assert json.loads(last)["type"] == "bye"


def test_what_is_no_request_of_a_run_goes_to_the_server() -> None:
    assert answers_in_process("POST", ("runs",))
    assert answers_in_process("GET", ("runs", "r", "live"))
    assert not answers_in_process("GET", ("runs",))
    assert not answers_in_process("POST", ("runs", "r", "stdin"))
    assert not answers_in_process("GET", ("health",))
