"""Hooks on events: after the commit, bounded, and never in the way of a run."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import trio
import trio.testing

from fakes.cores import FakeProcesses, fake_environment, open_fake_core
from penstock.log.new_events import new_event
from penstock.log.writes import Append
from penstock.processes.detection import Containment
from penstock.processes.process import run_process
from penstock.runs.core import Core
from penstock.runs.hooks import HookFailed, Hooks, caller, execute, post
from penstock.runs.program import Executor
from penstock.words.api import SubmitRequest
from penstock.words.config import Config, Hook
from penstock.words.config_sources import load_config
from penstock.words.errors import StartRefused
from penstock.words.events import DAEMON_STREAM, BoxDrained, BoxLost, BoxResumed
from penstock.words.recorded import Recorded

ALL = Hook(on=("completed", "failed", "cancelled", "ask"), argv=("all",))


async def submit(core: Core, seconds: float = 0, *, fail: bool = False) -> str:
    inputs = {"seconds": seconds, "fail": fail}
    return (
        await core.submitter.submit(SubmitRequest(kind="sleep", inputs=inputs))
    ).view.run_id


class Called:
    """Keeps what hooks were called for; fails as often as it was told, lasts as long."""

    def __init__(self, *, failures: int = 0, seconds: float = 0.0) -> None:
        self.facts: list[tuple[float, str, str]] = []
        self.failures = failures
        self.seconds = seconds

    async def __call__(self, hook: Hook, fact: Recorded) -> None:
        self.facts.append((trio.current_time(), fact.type, fact.run_id))
        await trio.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise HookFailed("planted")


async def with_hooks(
    called: Callable[[Hook, Recorded], Awaitable[None]],
    story: Callable[[Core], Awaitable[None]],
    *hooks: Hook,
    **settings: object,
) -> None:
    """A core, hooks on its bus, and a story; then time for what it set off."""
    config = Config.model_validate({"hooks": hooks or (ALL,), **settings})
    async with open_fake_core() as core, trio.open_nursery() as nursery:
        nursery.start_soon(Hooks(config, core.bus, called).watch)
        await story(core)
        await trio.sleep(1000)
        nursery.cancel_scope.cancel()


async def test_a_hook_is_called_for_what_it_waits_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D-09"""
    called = Called()

    async def story(core: Core) -> None:
        await submit(core)
        await submit(core, fail=True)
        third = await submit(core, 1000)
        await core.control.cancel(third, "user", wait=True)

    wanted = Hook(on=("failed", "cancelled"), url="http://h")
    await with_hooks(called, story, wanted)
    assert [(type_, run) for _, type_, run in called.facts] == [
        ("run.failed", "r-2"),
        ("run.cancelled", "r-3"),
    ]


async def test_a_hook_is_told_of_a_lost_box(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D-09 MB-03: and of no other fact about boxes."""
    called = Called()

    async def story(core: Core) -> None:
        for event in (
            BoxLost(box="loft", life="l", silent_seconds=121),
            BoxDrained(box="loft"),
            BoxResumed(box="loft"),
        ):
            fact = new_event(DAEMON_STREAM, event, now=core.now())
            await core.recorder.record(Append((fact,)))

    await with_hooks(called, story, Hook(on=("box",), argv=("tell",)))
    assert [(type_, run) for _, type_, run in called.facts] == [("box.lost", "daemon")]


async def test_a_hook_has_two_tries_and_is_then_told(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    called = Called(failures=9)

    async def story(core: Core) -> None:
        await submit(core)

    await with_hooks(called, story)
    assert len(called.facts) == 2
    assert "the hook all failed for run.completed of r-1: planted" in caplog.text


async def test_a_hook_has_ten_seconds(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    called = Called(seconds=500)

    async def story(core: Core) -> None:
        await submit(core)

    await with_hooks(called, story)
    (first, *_), (second, *_) = called.facts
    assert second - first == 10
    assert "longer than 10 s" in caplog.text


async def test_hooks_never_delay_a_run_and_never_pile_up(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """BP-04: what finds no room is left out and told."""
    called = Called(seconds=9)
    took: list[float] = []

    async def story(core: Core) -> None:
        began = trio.current_time()
        for run_id in [await submit(core) for _ in range(50)]:
            await facts_of(core, run_id)
        took.append(trio.current_time() - began)

    with caplog.at_level(logging.WARNING):
        await with_hooks(called, story, hook_queue=3, hook_workers=2)
    assert took[0] < 5
    assert 2 <= len(called.facts) < 50
    assert "calls were left out" in caplog.text


async def test_a_core_calls_its_hooks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Programs run as a run's would, with ids of their own."""
    processes = FakeProcesses()
    hook = Hook(on=("completed",), argv=("tell", "3"))
    async with open_fake_core(
        environment=fake_environment(processes), hooks=(hook,)
    ) as core:
        await submit(core)
        await trio.sleep(100)
    assert processes.started == [("tell", "3")]


@pytest.mark.processes
async def test_a_program_gets_the_event(tmp_path: Path) -> None:
    start = partial(run_process, containment=Containment("subreaper"), grace=0.5)
    executor = Executor(start, {}, tmp_path)
    facts = await some_facts()
    code = "import os,sys; open('got','w').write(os.environ['PENSTOCK_EVENT_TYPE']+sys.stdin.read())"
    hook = Hook(on=("completed",), argv=(sys.executable, "-c", code))
    with trio.fail_after(30):
        await execute(executor, hook, facts[-1])
        type_, _, rest = (tmp_path / "got").read_text().partition("{")
        assert type_ == "run.completed"
        assert json.loads("{" + rest)["run_id"] == "r-1"
        bad = Hook(on=("completed",), argv=(sys.executable, "-c", "exit('bad luck')"))
        with pytest.raises(HookFailed, match=r"exit status 1: bad luck"):
            await caller(executor)(bad, facts[-1])


async def facts_of(core: Core, run_id: str) -> list[Recorded]:
    """The facts of a run, once it has ended."""
    with core.bus.subscribe(run_id, 0) as subscription:
        return [fact async for batch in subscription for fact in batch.facts]


async def some_facts() -> list[Recorded]:
    """The facts of a run that completed."""
    async with open_fake_core() as core:
        return await facts_of(core, await submit(core))


class Receiver(BaseHTTPRequestHandler):
    """Answers 200, or 500 at `/bad`."""

    got: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((self.headers["idempotency-key"], body))
        self.send_response(500 if self.path == "/bad" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.sockets
async def test_an_address_gets_the_event() -> None:
    """One POST, and a key by which a second try is known."""
    fact = (await some_facts())[-1]
    Receiver.got = []
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with trio.fail_after(30):
                await post(f"{url}/good", fact)
                with pytest.raises(HookFailed, match="500"):
                    await post(f"{url}/bad", fact)
        finally:
            server.shutdown()
            thread.join()
    assert Receiver.got == [(str(fact.event_id), fact.wire())] * 2


class Babbler:
    """Answers a POST with as many bytes as are taken, and counts them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sent = 0

    async def serve(self, listener: trio.SocketListener) -> None:
        async with await listener.accept() as stream:
            while b"}" not in await stream.receive_some():
                pass
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {self.most}\r\n\r\n"
            with suppress(trio.BrokenResourceError):
                await stream.send_all(head.encode())
                while self.sent < self.most:
                    await stream.send_all(bytes(64 * 1024))
                    self.sent += 64 * 1024


@pytest.mark.sockets
async def test_an_answer_is_read_up_to_a_limit() -> None:
    """QA-08 A receiver that talks for ever neither fills the memory nor holds the hook."""
    fact = (await some_facts())[-1]
    babbler = Babbler(1 << 40)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(30):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(babbler.serve, listener)
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            await post(url, fact)
    assert 0 < babbler.sent < 100 << 20


@dataclass
class BreaksOff:
    """Answers a POST with this status and a body that is none, and is gone."""

    status: str
    body: bytes
    heard: int = 0

    async def serve(self, listener: trio.SocketListener) -> None:
        while True:
            async with await listener.accept() as stream:
                while b"}" not in await stream.receive_some():
                    pass
                self.heard += 1
                await stream.send_all(
                    f"HTTP/1.1 {self.status}\r\n".encode() + self.body
                )


BROKEN_ANSWERS = {
    "cut": b"Content-Length: 100\r\n\r\nhalf",
    "chunk": b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
    "gzip": b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot so at",
}


@pytest.mark.sockets
@pytest.mark.parametrize("how", BROKEN_ANSWERS)
async def test_an_answer_that_breaks_off_is_known_by_its_status(how: str) -> None:
    """QA-08: whoever has taken the event is not told it twice."""
    fact = (await some_facts())[-1]
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    with trio.fail_after(30):
        async with listener, trio.open_nursery() as nursery:
            server = BreaksOff("200 OK", BROKEN_ANSWERS[how])
            nursery.start_soon(server.serve, listener)
            await post(url, fact)
            server.status = "500 Internal Server Error"
            with pytest.raises(HookFailed, match="500"):
                await post(url, fact)
            nursery.cancel_scope.cancel()
    assert server.heard == 2


@pytest.mark.sockets
async def test_a_hook_to_this_box_takes_no_proxy() -> None:
    """API-08"""
    fact = (await some_facts())[-1]
    for environ in (
        {"HTTP_PROXY": "http://127.0.0.1:1"},
        {"ALL_PROXY": "socks5://127.0.0.1:1"},
    ):
        babbler = Babbler(1)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        with trio.fail_after(30):
            async with listener, trio.open_nursery() as nursery:
                nursery.start_soon(babbler.serve, listener)
                port = listener.socket.getsockname()[1]
                await post(f"http://127.0.0.1:{port}", fact, environ)


async def test_a_failed_hook_tells_no_secret_of_its_address(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """API-08 Keys stand in the user's part, in the query, and at some services in the path."""
    url = "https://user:one-secret@hooks.example:8443/T0/two-secret?key=three-secret#four-secret"

    async def story(core: Core) -> None:
        await submit(core)

    await with_hooks(Called(failures=9), story, Hook(on=("completed",), url=url))
    assert "secret" not in caplog.text
    assert (
        "the hook https://hooks.example:8443/… failed for run.completed" in caplog.text
    )


@pytest.mark.parametrize("hook", ['on = ["failed"]', 'on = ["failed"]\nargv = ["a"]\nurl = "http://b"'])  # fmt: skip
def test_a_hook_does_one_thing(hook: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[[hooks]]\n{hook}\n")
    with pytest.raises(StartRefused, match="either `argv` or `url`"):
        load_config({}, path=file)
