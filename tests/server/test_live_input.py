"""PT-02: what is sent to a run's program over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from fakes.house import House, open_house
from penstock.http_clients import streamed
from penstock.kinds.command import KIND
from penstock.testing import FakeProcesses, FakeProgram
from penstock.words.api import SubmitRequest
from penstock.words.events import Log, ProcessStarted, RunCompleted

pytestmark = pytest.mark.sockets

OCTETS = {"Content-Type": "application/octet-stream"}
KIB = 1024


def programs() -> FakeProcesses:
    return FakeProcesses(
        {"parrot": FakeProgram.echoing(), "deaf": FakeProgram.hanging()}
    )


class Sending:
    """A body that comes piece by piece, with waits in between."""

    def __init__(self, *steps: bytes | Callable[[], Awaitable[None]]) -> None:
        self._steps = iter(steps)
        self.sent = 0

    def __aiter__(self) -> Sending:
        return self

    async def __anext__(self) -> bytes:
        for step in self._steps:
            if isinstance(step, bytes):
                await trio.lowlevel.checkpoint()
                self.sent += 1
                return step
            await step()
        raise StopAsyncIteration


async def start(house: House, program: str, *, begun: bool = True) -> None:
    """The run `r`, which takes input."""
    inputs = {"argv": [program], "stdin": "open"}
    request = SubmitRequest(kind="command", inputs=inputs, run_id="r")
    await house.core.submitter.submit(request)
    if begun:
        await house.wait_fact("r", ProcessStarted)


async def send(client: httpx.AsyncClient, body: Any, **query: int) -> httpx.Response:
    path = "/runs/r/stdin"
    if isinstance(body, bytes):
        return await client.post(path, content=body, headers=OCTETS, params=query)
    return await client.send(streamed(client, "POST", path, body, OCTETS, params=query))


async def wait_said(house: House, text: str) -> None:
    """Until the run has said this."""
    said = ""
    with trio.fail_after(60), house.core.bus.subscribe("r", 0) as subscription:
        async for batch in subscription:
            for fact in batch.facts:
                said += (fact.event.text or "") if isinstance(fact.event, Log) else ""
            if text in said:
                return


async def test_a_body_reaches_the_program_as_it_comes_and_ends_its_input() -> None:
    """PT-02"""

    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await start(house, "parrot")
        # The next word is sent when the first has come back.
        words = Sending(b"one ", lambda: wait_said(house, "one "), b"two")
        answer = await send(client, words, eof=1)
        assert answer.json() == {"run_id": "r", "bytes": 7, "open": False}
        await wait_said(house, "one two")
        await house.wait_fact("r", RunCompleted)


async def test_what_is_sent_one_after_the_other_comes_in_this_order() -> None:
    """PT-02"""
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await start(house, "parrot")
        for word in (b"one ", b"two ", b"three"):
            assert (await send(client, word)).json()["open"]
        await wait_said(house, "one two three")


async def test_a_body_may_be_larger_than_any_that_is_kept() -> None:
    """PT-02: the limit of bodies is for those that are held in memory."""
    house_of = open_house(None, KIND, processes=programs(), max_body_bytes=64 * KIB)
    async with house_of as house, house.http() as client:
        await start(house, "parrot")
        answer = await send(client, b"x" * 1024 * KIB, eof=1)
        assert answer.json()["bytes"] == 1024 * KIB
        await house.wait_fact("r", RunCompleted)


async def test_a_program_that_never_reads_makes_its_writer_wait_and_nobody_else() -> (
    None
):
    """PT-02"""
    much = Sending(*[bytes(64 * KIB)] * 1000)
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await start(house, "deaf")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, client, much)
            before = -1
            with trio.fail_after(60):
                while before != much.sent or not much.sent:
                    before = much.sent
                    await trio.testing.wait_all_tasks_blocked(0.2)
            assert much.sent < 200
            second = await send(client, b"me too")
            assert second.status_code == 409
            assert "somebody else" in second.json()["detail"]
            assert (await client.get("/health")).status_code == 200
            await house.core.control.cancel("r", "enough", wait=True)
            nursery.cancel_scope.cancel(reason="the run has ended")


@pytest.mark.parametrize("eof", [0, 1])
async def test_a_writer_that_dies_is_an_end_of_file_where_one_was_promised(
    eof: int,
) -> None:
    """PT-02: and else the program waits for whoever comes next."""
    half = Sending(b"half ", trio.sleep_forever)
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await start(house, "parrot")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: send(client, half, eof=eof))
            await wait_said(house, "half ")
            nursery.cancel_scope.cancel(reason="it dies")
        if not eof:
            with trio.fail_after(60):
                while (await send(client, b"whole", eof=1)).status_code == 409:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            await wait_said(house, "half whole")
        await house.wait_fact("r", RunCompleted)


async def test_what_is_sent_to_a_run_that_waits_comes_when_it_begins() -> None:
    """PT-02"""
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await house.core.queue.pause()
        await start(house, "parrot", begun=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: send(client, b"early", eof=1))
            await trio.testing.wait_all_tasks_blocked(0.05)
            await house.core.queue.resume()
        await wait_said(house, "early")
        await house.wait_fact("r", RunCompleted)


async def test_what_a_sender_who_left_had_not_got_rid_of_goes_with_it() -> None:
    """PT-02: it did not promise an end, so what it wanted to say is its own."""
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await house.core.queue.pause()
        await start(house, "parrot", begun=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, client, b"regretted ")
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel(reason="it leaves")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await house.core.queue.resume()
        assert (await send(client, b"meant", eof=1)).status_code == 200
        await house.wait_fact("r", RunCompleted)
        said = [
            f.event.text or ""
            for f in await house.facts("r")
            if isinstance(f.event, Log)
        ]
    assert "".join(said) == "meant"


async def test_who_waits_for_a_run_to_begin_is_told_when_it_never_will() -> None:
    """PT-02"""
    answers: list[httpx.Response] = []
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await house.core.queue.pause()
        await start(house, "parrot", begun=False)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                answers.append(await send(client, b"early"))

            await trio.testing.wait_all_tasks_blocked(0.05)
            await house.core.control.cancel("r", "no", wait=True)
    assert answers[0].status_code == 409
    assert "has ended" in answers[0].json()["detail"]


async def test_who_may_not_send_is_told_so_in_a_sentence() -> None:
    """PT-02 API-08"""
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await house.start("echo")
        await start(house, "parrot")
        for path, status in (("nobody", 404), ("echo", 400)):
            answer = await client.post(
                f"/runs/{path}/stdin", content=b"x", headers=OCTETS
            )
            assert answer.status_code == status, path
        unknown = await client.post("/runs/r/stdin?no=1", content=b"x", headers=OCTETS)
        assert unknown.status_code == 400
        page = await client.post("/runs/r/stdin", json={"text": "x"})
        assert page.status_code == 415, "a page could send it"
        assert (await client.get("/runs/r/stdin")).status_code == 405
        async with house.http(None) as stranger:
            assert (await send(stranger, b"x")).status_code == 401
        await send(client, b"", eof=1)
        await house.wait_fact("r", RunCompleted)
        assert (await send(client, b"x")).status_code == 409


async def test_what_is_sent_is_recorded_nowhere() -> None:
    """PT-02: a password that is asked for is typed here."""
    async with (
        open_house(None, KIND, processes=programs()) as house,
        house.http() as client,
    ):
        await start(house, "deaf")
        assert (await send(client, b"the-secret-word")).json()["bytes"] == 15
        await house.core.control.cancel("r", "enough", wait=True)
        facts = await house.facts("r")
    assert facts
    assert not [fact for fact in facts if b"the-secret-word" in fact.wire()]
