"""REST, over real sockets: what is asked for, and what is refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
import trio
import trio.testing

from fakes.house import TOKEN, Echo, House, open_house
from penstock.kinds.registry import load_kinds
from penstock.pipeline import Inputs
from penstock.server.guard import WRITES
from penstock.server.openapi import describe
from penstock.server.rest.events import wanted_stream
from penstock.server.routes import ROUTES
from penstock.words.api import SubmitRequest
from penstock.words.errors import LogDamaged, PenstockError, StoreUnavailable
from penstock.words.events import EVENT_CLASSES, AskRaised, Log, RunCompleted

pytestmark = pytest.mark.sockets

ECHO = {"kind": "echo", "inputs": {"text": "hi"}}


def check_problem(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """The problem document of a refusal, which tells no more than it should."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = dict(answer.json())
    assert document["status"] == status
    for word in words:
        assert word in document["detail"], document
    for secret in ("Traceback", "/work", "File ", TOKEN):
        assert secret not in answer.text
    return document


async def test_a_submit_is_accepted_once() -> None:
    """API-04, SC-12"""
    async with open_house() as house, house.http() as client:
        await house.core.queue.pause()
        body = {**ECHO, "run_id": "a b-\u00e9"}
        first = await client.post("/runs", json=body)
        assert first.status_code == 202
        assert first.headers["Location"] == "/runs/a%20b-%C3%A9"
        assert first.json() == {
            "run_id": "a b-\u00e9", "number": 1, "kind": "echo", "state": "queued",
            "priority": "MEDIUM", "sequence": 1, "position": 3,
            "websocket_url": f"ws://127.0.0.1:{house.port}/ws/a%20b-%C3%A9",
            "created": True, "created_at": first.json()["created_at"],
        }  # fmt: skip
        again = await client.post("/runs", json=body)
        assert again.status_code == 200
        # PT-07
        assert again.json() == {**first.json(), "created": False}
        other = await client.post("/runs", json={**body, "inputs": {"text": "ho"}})
        check_problem(other, 409)
        assert other.json()["field"] == "inputs.text"
        seen = await client.get(first.headers["Location"])
        assert seen.status_code == 200
        assert seen.json()["run_id"] == "a b-\u00e9"
        assert seen.json()["ended_at"] is None


@pytest.mark.parametrize("token", [TOKEN, "wrong"])
@pytest.mark.parametrize("path", ["/runs", "/health", "/runs/none", "/nowhere", "/mcp"])
async def test_every_answer_names_the_daemon_and_its_version(
    path: str, token: str
) -> None:
    """RS-04: refusals too, so that a client of another version knows whom it asked."""
    async with open_house() as house, house.http() as client:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.get(path, headers=headers)
        assert answer.headers.get_list("Server") == [f"penstock/{house.core.version}"]


@pytest.mark.parametrize("path", ["/runs/a%2Fb", "/runs/a%5Cb", "/runs/a-b"])
async def test_a_separator_in_an_id_is_part_of_the_id(path: str) -> None:
    """EV-06, D-12"""
    async with open_house() as house, house.http() as client:
        await house.start("a-b")
        assert (await client.get(path)).json()["run_id"] == "a-b"
        assert (await client.post("/runs/a%2Fcancel")).status_code == 405


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
        (b'{"kind":"\xff"}', ""),
        (b'{"kind":"\\ud800"}', ""),
        (b'{"kind":"echo","inputs":{"text":"\\ud800"}}', ""),
        (b"{}", "kind"),
        (b'{"kind":""}', "kind"),
        (b'{"kind":"echo","inputs":[]}', "inputs"),
        (b'{"kind":"echo","inputs":{"text":1}}', "inputs.text"),
        (b'{"kind":"echo","inputs":{"colour":1}}', "inputs.colour"),
        (b'{"kind":"echo","priority":"INVALID"}', "priority"),
        (b'{"kind":"echo","priority":15}', "priority"),
        (b'{"kind":"echo","run_id":""}', "run_id"),
        (b'{"kind":"echo","run_id":"\\u0000"}', "run_id"),
        (b'{"kind":"echo","run_id":5}', "run_id"),
        (b'{"kind":"echo","timeout":-1}', "timeout"),
        (b'{"kind":"echo","timeout":NaN}', ""),
        (b'{"kind":"echo","labels":{"":"x"}}', "labels"),
        (b'{"kind":"echo","after":["x"],"run_id":"x"}', "after"),
        (b'{"kind":"echo","colour":"red"}', "colour"),
        (b"[" * 100_000, ""),
    ],
)
async def test_bad_input_is_refused_by_its_field(body: bytes, field: str) -> None:
    """ER-02, API-04: never 422, never 500, and nothing is recorded."""
    async with open_house() as house, house.http() as client:
        json_type = {"Content-Type": "application/json"}
        answer = await client.post("/runs", content=body, headers=json_type)
        check_problem(answer, 400, field)
        assert house.core.bus.head == house.opened_at


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/events?after=-1", "after"),
        ("/events?after=1.5", "after"),
        ("/events?after=", "after"),
        ("/events?after=%D9%A3", "after"),
        ("/events?after=9223372036854775808", "after"),
        ("/events?limit=0", "limit"),
        ("/events?limit=501", "limit"),
        ("/events?after=1&after=2", "after"),
        ("/events?colour=red", "colour"),
        ("/events?%FF=1", "query"),
        ("/runs?q=colour:red", "q"),
        ("/runs?before=x", "before"),
        ("/runs/r/events?after=x", "after"),
        ("/runs/%00", "run_id"),
        ("/runs/" + "x" * 201, "run_id"),
        ("/runs/%FF", "path"),
        ("/runs/%E2%82", "path"),
    ],
)
async def test_a_bad_address_is_refused_by_its_parameter(path: str, field: str) -> None:
    """ST-05, ER-02"""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        check_problem(await client.get(path), 400, field)


async def test_what_is_not_there_is_not_found() -> None:
    """API-05, API-07"""
    async with open_house() as house, house.http() as client:
        for path in (
            "/runs/no",
            "/runs/no/events",
            "/tasks/no",
            "/runs/no/asks/x",
            "/",
            "/runs/",
            "//runs",
        ):
            check_problem(await client.get(path), 404)
        for verb in ("interventions", "bug-reports"):
            body = (
                {"text": "x"}
                if verb == "interventions"
                else {"text": "x", "version": 0}
            )
            check_problem(await client.post(f"/runs/no/{verb}", json=body), 404)
        wrong = await client.put("/runs", json={})
        check_problem(wrong, 405)
        assert "POST" in wrong.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "allowed"), [("/runs/r/stdin", "POST"), ("/runs/r/live", "GET")]
)
async def test_what_is_answered_beside_routing_has_one_method(
    path: str, allowed: str
) -> None:
    """API-03: others are refused as on every path, and with any body: nobody parses it."""
    async with open_house() as house, house.http() as client:
        for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "TRACE"} - {allowed}:
            content = b"{}" if method in {"POST", "PUT"} else b"a\0[" + 1000 * b"["
            headers = {"Content-Type": "application/json"}
            wrong = await client.request(method, path, content=content, headers=headers)
            assert wrong.status_code == 405, method
            assert allowed in wrong.headers["Allow"]
        asked = await client.options(path)
        assert asked.status_code == 204
        assert allowed in asked.headers["Allow"]


def test_the_body_of_a_method_that_is_not_counted_is_parsed_by_no_route() -> None:
    """API-08: else a small one could hold the daemon up for long."""
    assert {route.method for route in ROUTES if route.body} <= WRITES


async def fill_queue(house: House) -> None:
    """One run waits, where one may."""
    await house.core.queue.pause()
    await house.core.submitter.submit(SubmitRequest(kind="echo"))


async def stop(house: House) -> None:
    await house.core.shutdown()


async def leave(_house: House) -> None:
    """It has no coding kind, and that is all it takes."""
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("prepare", "path", "body", "status", "said"),
    [
        (fill_queue, "/runs", ECHO, 429, "full"),
        (stop, "/runs", ECHO, 503, "stopping"),
        (leave, "/tasks", {"prompt": "x"}, 503, "coding"),
    ],
)
async def test_what_cannot_be_taken_now_says_when_to_come_again(
    prepare: Callable[[House], Awaitable[None]],
    path: str,
    body: dict[str, Any],
    status: int,
    said: str,
) -> None:
    """API-04, SC-08, APP-03"""
    async with open_house(queue_capacity=1) as house, house.http() as client:
        await prepare(house)
        answer = await client.post(path, json=body)
        check_problem(answer, status, said)
        assert int(answer.headers["Retry-After"]) >= 1


async def test_a_fault_is_told_by_its_id_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """ER-03, API-07"""
    async with open_house() as house, house.http() as client:
        for failure in (
            ValueError("secret of the fault"),
            PenstockError("secret of the fault"),
        ):
            house.store.fail_reads(failure)
            answer = await client.get("/runs/r")
            document = check_problem(answer, 500)
            assert "secret" not in answer.text
            assert document["id"] in caplog.text
        assert "secret of the fault" in caplog.text
        house.store.fail_reads(StoreUnavailable("/var/lib/disk is full"))
        assert "disk" not in (await client.get("/runs/r")).text
        why = "the fact 7 of the run 'r' does not agree with its checksum"
        house.store.fail_reads(LogDamaged(why, run_id="r"))
        document = check_problem(await client.get("/runs/r"), 500)
        assert (document["detail"], document["run_id"]) == (why, "r")
        house.store.unreadable = None
        assert (await client.get("/queue")).status_code == 200


async def test_health_needs_no_token_and_tells_nothing_private() -> None:
    """API-06, law 7"""
    async with open_house() as house, house.http(None) as client:
        answer = await client.get("/health")
        assert answer.status_code == 200
        assert set(answer.json()) == {
            "status", "reasons", "version", "epoch", "uptime", "queue", "models", "store", "lease",
        }  # fmt: skip
        house.complaint = "the loop stood still"
        assert (await client.get("/health")).status_code == 503
        check_problem(await client.get("/queue"), 401)
        check_problem(await client.get("/nowhere"), 401)
        check_problem(await client.get("/health", headers={"Host": "evil"}), 403)


async def test_pages_are_walked_by_position() -> None:
    """ST-05, API-09"""
    async with open_house() as house, house.http() as client:
        for run_id in ("a", "b"):
            await house.start(run_id)
            await house.record(run_id, *[Log(text=str(n)) for n in range(4)])
        for path, expected in (
            ("/events", range(1, 14)),
            ("/runs/b/events", range(8, 14)),
        ):
            after, seen, more = 0, [], True
            while more:
                page = (await client.get(f"{path}?after={after}&limit=3")).json()
                seen += [event["position"] for event in page["events"]]
                after, more = page["next"], page["more"]
            assert seen == list(expected)
        gap = {
            "type": "gap",
            "first": 14,
            "last": 99,
            "dropped": None,
            "put_back": True,
        }
        for path in ("/events", "/runs/b/events"):
            # Nothing is above it, and who asks again would wait for ever.
            past = (await client.get(f"{path}?after=99")).json()
            assert past == {"events": [], "next": 13, "more": False, "gap": gap}
        house.core.bus.forget_below(3)
        cut = (await client.get("/events")).json()
        assert cut["gap"]["last"] == 2
        assert cut["events"][0]["position"] == 3


async def test_a_page_ends_with_what_everybody_has_seen() -> None:
    """ST-11: what is committed but not yet published is not yet true."""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        house.store.answering = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.record, "r", Log(text="x"))
            with trio.fail_after(60):
                await house.store.done.wait()
            assert (await house.core.store.bounds()).head == 4
            page = (await client.get("/events")).json()
            house.store.answering.set()
        assert [event["position"] for event in page["events"]] == [1, 2, 3]
        assert not page["more"]


async def test_a_stream_of_lines_ends_with_its_run() -> None:
    """API-09, BUS-04"""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        accept = {"Accept": "application/x-ndjson"}
        async with client.stream("GET", "/runs/r/events", headers=accept) as answer:
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            await house.wait_subscribers(1)
            await house.end("r")
            lines = [json.loads(line) async for line in answer.aiter_lines()]
        assert [line["position"] for line in lines] == [2, 3, 4]
        await house.wait_subscribers(0)


async def test_server_sent_events_resume_by_id() -> None:
    """API-09: `after` says more than Last-Event-ID."""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        await house.record("r", Log(text="a\nb"))
        await house.end("r")
        accept = {"Accept": "text/event-stream", "Last-Event-ID": "3"}
        answer = await client.get("/runs/r/events", headers=accept)
        chunks = answer.text.removesuffix("\n\n").split("\n\n")
        assert [chunk.splitlines()[0] for chunk in chunks] == ["id: 4", "id: 5"]
        assert (
            json.loads(chunks[0].splitlines()[1].removeprefix("data: "))["position"]
            == 4
        )
        later = await client.get("/runs/r/events?after=4", headers=accept)
        assert later.text.count("id: ") == 1
        bad = await client.get("/events", headers={**accept, "Last-Event-ID": "x"})
        check_problem(bad, 400, "Last-Event-ID")
        for form in (accept, {}):
            # A page has no use for it, and yet no other words are taken there.
            bad = await client.get("/events?overflow=explode", headers=form)
            check_problem(bad, 400, "overflow")


@pytest.mark.parametrize("form", ["application/x-ndjson", "text/event-stream"])
async def test_a_stream_of_a_place_that_the_log_does_not_hold_says_so_first(
    form: str,
) -> None:
    """API-09 BUS-07: whether the log is shorter, or holds another fact there."""
    async with open_house() as house, house.http() as client:
        other = (await house.start("r")).event_id
        await house.end("r")
        for query, first, last in (
            ("after=9", 5, 9),
            (f"after=3&after_id={other}", 3, 3),
        ):
            headers = {"Accept": form}
            # One that its browser resumes by itself knows no more than the position.
            if query == "after=9" and form == "text/event-stream":
                headers, query = {**headers, "Last-Event-ID": "9"}, ""
            told = await client.get(f"/runs/r/events?{query}", headers=headers)
            lines = [line.removeprefix("data: ") for line in told.text.splitlines()]
            frames = [json.loads(line) for line in lines if line.startswith("{")]
            assert frames[0] == {
                "type": "gap", "first": first, "last": last, "dropped": None, "put_back": True,
            }  # fmt: skip
            assert [f["position"] for f in frames[1:]] == list(range(first, 5))
        bad = await client.get("/events?after=1&after_id=x")
        check_problem(bad, 400, "after_id")


async def test_a_page_of_a_place_that_holds_another_fact_says_so() -> None:
    """API-09 BUS-07"""
    async with open_house() as house, house.http() as client:
        other = (await house.start("r")).event_id
        mine = (await house.record("r", Log(text="1"))).event_id
        for path in ("/events", "/runs/r/events"):
            same = (await client.get(f"{path}?after=4&after_id={mine}")).json()
            assert same == {"events": [], "next": 4, "more": False, "gap": None}
            page = (await client.get(f"{path}?after=4&after_id={other}")).json()
            assert page["gap"]["put_back"]
            assert [event["position"] for event in page["events"]] == [4]


async def test_a_quiet_stream_shows_that_it_lives_and_a_goodbye_is_its_last_word() -> (
    None
):
    """API-09, APP-06"""
    async with open_house(heartbeat_seconds=0.05) as house, house.http() as client:
        seen = ""
        accept = {"Accept": "text/event-stream"}
        async with client.stream("GET", "/events", headers=accept) as answer:
            async for text in answer.aiter_text():
                seen += text
                if (
                    seen.count(": still here") == 2
                    and not house.shutdown.streams_ending
                ):
                    house.shutdown.end_streams()
        assert "event: bye" in seen


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("/var/lib/disk"), "did not answer"),
        (LogDamaged("the fact 2 of the run 'r' is malformed"), "fact 2 of the run 'r'"),
    ],
)
async def test_a_stream_that_ends_because_the_log_cannot_be_read_says_so(
    accept: str, error: PenstockError, said: str
) -> None:
    """API-09 ER-03: it neither breaks off without a word nor looks complete."""
    async with open_house(ring_events=2) as house, house.http() as client:
        await house.start("r")
        await house.record("r", *[Log(text="x") for _ in range(600)])
        house.store.fail_reads(error, readable=1)
        answer = await client.get("/events", headers={"Accept": accept})
        assert '"position":1' in answer.text
        last = answer.text.strip().splitlines()[-1].removeprefix("data: ")
        assert json.loads(last)["type"] == "bye"
        assert said in json.loads(last)["reason"]
        assert "/var/lib" not in answer.text


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
async def test_a_reader_that_lags_and_wants_to_be_hung_up_on_hears_why(
    accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """WS-09 ER-03: over HTTP too, and it is no fault of the daemon's."""
    async with open_house(ring_events=300) as house, house.http() as client:
        await house.start("r")
        headers = {"Accept": accept}
        target = "/events?overflow=disconnect"
        async with client.stream("GET", target, headers=headers) as answer:
            await house.wait_subscribers(1)
            # One commit that is longer than the ring: nobody could have kept up.
            await trio.testing.wait_all_tasks_blocked(0.01)
            await house.record("r", *[Log(text="x") for _ in range(3000)])
            text = "".join([chunk async for chunk in answer.aiter_text()])
        last = text.strip().splitlines()[-1].removeprefix("data: ")
        assert "fell behind" in json.loads(last)["reason"]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
async def test_a_slow_socket_that_is_hung_up_on_reads_its_bye_in_the_end(
    accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """WS-09 ER-03: the peer takes nothing until all of it is said; the response is whole all the same."""
    async with open_house(ring_events=300) as house:
        await house.start("r")
        head = (
            f"GET /events?overflow=disconnect HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )
        async with await house.raw() as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await stream.send_all(head.encode())
            await house.wait_subscribers(1)
            while (lag := house.core.bus.subscribers()[0].lag) < 400:
                await house.record("r", *[Log(text="x" * 16_384) for _ in range(100)])
            assert lag < house.core.bus.head, "it has taken something"
            # Only now it reads.
            data = b"".join([piece async for piece in stream])
    assert data.endswith(b"0\r\n\r\n"), data[-200:]
    assert b'"type":"bye"' in data[-400:]
    assert b"fell behind" in data[-400:]
    assert "Traceback" not in caplog.text


async def test_a_reader_that_leaves_is_forgotten() -> None:
    """WS-02, for streams over HTTP."""
    async with open_house() as house:
        head = (
            f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\nAccept: application/x-ndjson\r\n\r\n"
        )
        for _ in range(20):
            async with await house.raw() as stream:
                await stream.send_all(head.encode())
                await stream.receive_some()
        await house.wait_subscribers(0)


async def test_a_cancel_is_answered_with_a_receipt() -> None:
    """API-10, CN-02, CN-03"""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        await house.start("s")
        asked = await client.post("/runs/s/cancel")
        assert (asked.status_code, asked.json()["gone_at"]) == (202, None)
        done = await client.post("/runs/r/cancel?wait=1", json={"reason": "enough"})
        assert (done.status_code, done.json()["outcome"]) == (200, "cancelled")
        assert done.json()["gone_at"] is not None
        again = await client.post("/runs/r/cancel?wait=1")
        assert again.json()["outcome"] == "already_terminal"
        unseen = await client.post("/runs/never/cancel", json={})
        assert (unseen.status_code, unseen.json()["outcome"]) == (200, "tombstoned")
        check_problem(await client.post("/runs/r/cancel?wait=perhaps"), 400, "wait")


async def test_people_answer_speak_and_report() -> None:
    """API-10"""
    async with open_house() as house, house.http() as client:
        await house.start("r", "question")
        await house.wait_fact("r", AskRaised)
        said = await client.post("/runs/r/interventions", json={"text": "faster"})
        assert said.status_code == 202
        assert said.json()["event"]["type"] == "intervention.received"
        check_problem(
            await client.post("/runs/r/interventions", json={"text": " "}), 400, "text"
        )
        bug = await client.post(
            "/runs/r/bug-reports", json={"text": "broken", "version": 9}
        )
        assert bug.json()["verdict"] == "invalid"
        check_problem(await client.post("/runs/r/retry"), 400, "has not ended")
        asks = (await client.get("/asks")).json()["asks"]
        assert [(ask["run_id"], ask["name"]) for ask in asks] == [("r", "go on?")]
        path = "/runs/r/asks/go%20on%3F"
        assert (await client.post(path, json={"answer": "yes"})).status_code == 200
        assert (await client.get(path)).json()["answer"] == "yes"
        check_problem(await client.post(path, json={"answer": "no"}), 409)
        await house.wait_fact("r", RunCompleted)
        retried = await client.post("/runs/r/retry")
        assert retried.status_code == 202
        run = (await client.get(retried.headers["Location"])).json()
        assert run["retry_of"] == "r"
        where = {"needs": {"gpu": "1"}}
        moved = await client.post("/runs/r/retry", json=where)
        run = (await client.get(moved.headers["Location"])).json()
        assert (run["needs"], run["retry_of"]) == ({"gpu": "1"}, "r")
        for field, wrong in (("needs", {"gpu": 1}), ("anywhere", "maybe")):
            refused = await client.post("/runs/r/retry", json={field: wrong})
            check_problem(refused, 400, field)


async def test_a_task_without_its_kind_says_so() -> None:
    """API-01, APP-03"""
    async with open_house() as house, house.http() as client:
        check_problem(await client.post("/tasks", json={"prompt": "x"}), 503, "coding")
        bodies: list[Any] = [
            {},
            {"prompt": " "},
            {"prompt": "x", "answers": "no list"},
            [],
        ]
        for bad in bodies:
            check_problem(await client.post("/tasks", json=bad), 400)


class TaskInputs(Inputs):
    """What the adapter of `/tasks` hands over."""

    prompt: str
    answers: tuple[str, ...] = ()


async def test_a_task_is_a_run() -> None:
    """API-01, API-02, API-05: the prompt is kept exactly."""
    coding = replace(Echo().kind("coding"), inputs=TaskInputs)
    async with open_house(None, coding) as house, house.http() as client:
        await house.core.queue.pause()
        prompt = "\u00e9\U0001f600\n" * 30_000
        answer = await client.post(
            "/tasks", json={"prompt": prompt, "answers": ["a"] * 1000}
        )
        assert answer.status_code == 200
        task = answer.json()
        assert task["status"] == "created"
        assert task["websocket_url"].endswith(f"/ws/{task['task_id']}")
        run = (await client.get(f"/runs/{task['task_id']}")).json()
        assert run["inputs"] == {"prompt": prompt, "answers": ["a"] * 1000}
        assert (await client.get(f"/tasks/{task['task_id']}")).json()[
            "status"
        ] == "created"


async def test_the_daemon_describes_itself() -> None:
    """API-08: kinds with schemas, readers, queue."""
    async with open_house() as house, house.http() as client:
        kinds = (await client.get("/pipelines")).json()["pipelines"]
        [kind] = [kind for kind in kinds if kind["name"] == "echo"]
        assert "text" in kind["inputs"]["properties"]
        assert (await client.get("/clients")).json() == {"clients": [], "head": 1}
        assert (await client.get("/models")).json() == {"models": []}
        document = (await client.get("/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        assert set(document["paths"]) == {route.path for route in ROUTES}


def test_the_description_is_whole() -> None:
    """Every reference leads somewhere, and each operation has one name."""
    document = json.dumps(describe("0"))
    schemas = describe("0")["components"]["schemas"]
    for part in document.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas
    names = [route.name for route in ROUTES]
    assert len(names) == len(set(names))


def test_every_operation_says_what_it_takes_and_gives() -> None:
    """API-07: no answer is just an object, and a body that may be left out says so."""
    document = describe("0", load_kinds().values(), "https://box.example/p")
    assert document["servers"][0]["url"] == "https://box.example/p"
    tags = {tag["name"] for tag in document["tags"]}
    optional = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert set(operation["tags"]) <= tags
            assert operation["description"]
            for answer in operation["responses"].values():
                for media_type, told in answer.get("content", {}).items():
                    if media_type == "application/json" and path != "/openapi.json":
                        assert "$ref" in told["schema"], path
            if operation.get("requestBody", {}).get("required") is False:
                optional.add(operation["operationId"])
    assert optional == {"cancel", "retry", "pause", "resume", "drain"}


def test_what_kinds_take_is_part_of_the_description() -> None:
    """API-04: by references that lead somewhere, those within a kind's inputs too."""
    kinds = load_kinds()
    document = describe("0", kinds.values())
    schemas = document["components"]["schemas"]
    forms = schemas["RunRequest"]["properties"]["inputs"]["anyOf"]
    told = {form["$ref"].removeprefix("#/components/schemas/inputs.") for form in forms}
    assert told == set(kinds)
    text = json.dumps(document)
    # Makers of clients take what has a default for something that must be sent, or cannot be.
    taken = [schemas["RunRequest"], *(schemas[f"inputs.{name}"] for name in kinds)]
    assert '"default"' not in json.dumps(taken)
    # And need what tells facts apart in each of them.
    for fact in schemas["Envelope"]["properties"]["event"]["oneOf"]:
        assert "type" in schemas[fact["$ref"].rpartition("/")[2]]["required"]
    assert "#/$defs" not in text
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas


async def test_what_is_answered_is_what_the_description_says() -> None:
    """API-03: every field that is named, and no other."""
    async with open_house() as house, house.http() as client:
        await house.start("r", "question")
        await house.wait_fact("r", AskRaised)
        document = (await client.get("/openapi.json")).json()
        schemas = document["components"]["schemas"]
        asked: list[tuple[str, str, Any]] = [
            ("GET", "/queue", None), ("GET", "/pipelines", None), ("GET", "/asks", None),
            ("GET", "/clients", None), ("GET", "/models", None),
            ("GET", "/runs/r/asks/{name}", None), ("POST", "/queue/pause", {"group": None}),
            ("POST", "/runs/r/interventions", {"text": "hello"}),
            ("POST", "/runs/r/bug-reports", {"text": "x", "version": 1}),
            ("POST", "/runs/r/asks/{name}", {"answer": "yes"}),
        ]  # fmt: skip
        for method, path, body in asked:
            url = path.format(name="go on?")
            answer = await client.request(method, url.replace("?", "%3F"), json=body)
            assert answer.is_success, answer.text
            operation = document["paths"][path.replace("/r/", "/{run_id}/")][method.lower()]  # fmt: skip
            told = operation["responses"][str(answer.status_code)]["content"]
            schema = told["application/json"]["schema"]
            whole = {**schema, "components": {"schemas": schemas}}
            jsonschema.Draft202012Validator(whole).validate(answer.json())
            name = schema["$ref"].rpartition("/")[2]
            assert set(answer.json()) == set(schemas[name]["properties"]), path


def test_the_description_says_what_an_event_may_be() -> None:
    """EV-02: whoever makes a client of it gets a class per type."""
    schemas = describe("0")["components"]["schemas"]
    name = schemas["EventsPage"]["properties"]["events"]["items"]["$ref"].split("/")[-1]
    kinds = schemas[name]["properties"]["event"]["discriminator"]
    assert kinds["propertyName"] == "type"
    assert set(kinds["mapping"]) == set(EVENT_CLASSES)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", None),
        ("*/*", None),
        ("application/json, text/event-stream", None),
        ("text/event-stream", "text/event-stream"),
        ("text/html;q=1, Application/X-NDJSON;q=0.9", "application/x-ndjson"),
    ],
)
def test_the_first_known_form_is_taken(accept: str, form: str | None) -> None:
    """API-09"""
    assert wanted_stream(accept) == form


async def test_a_request_of_http_1_0_is_answered() -> None:
    """APP-01"""
    async with open_house() as house, await house.raw() as stream:
        head = f"GET /health HTTP/1.0\r\nHost: 127.0.0.1:{house.port}\r\n\r\n"
        await stream.send_all(head.encode())
        data = b""
        with trio.fail_after(60):
            while more := await stream.receive_some():
                data += more
        assert b" 200 " in data.splitlines()[0]
