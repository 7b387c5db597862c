"""Both engines against a server that speaks their protocol, over real HTTP (DS-01, DS-03, DT-03)."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import trio

from fakes.model_server import ModelServer
from penstock.llm.chat import (
    ChatRequest,
    Engine,
    Heard,
    Message,
    RequestRefused,
    StreamBroken,
)
from penstock.llm.http import Api, LineSplitter, seconds_until
from penstock.llm.ollama import OllamaEngine
from penstock.llm.openai import OpenAIEngine
from penstock.words.errors import ModelUnreachable

Make = Callable[[httpx.AsyncClient, str], Engine]

ENGINES: dict[str, Make] = {
    "ollama": lambda client, url: OllamaEngine(Api(client, url)),
    "openai": lambda client, url: OpenAIEngine(Api(client, f"{url}/v1", "sesame")),
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    timeout = httpx.Timeout(None, connect=2)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as opened:
        yield opened


@pytest.fixture(params=ENGINES)
def engine(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, model_server: ModelServer
) -> Engine:
    make: Make = ENGINES[request.param]
    return make(client, model_server.url)


def question(text: str = "What is a penstock?", **more: Any) -> ChatRequest:
    messages = (Message("system", "Be brief."), Message("user", text))
    return ChatRequest("mistral:7b", messages, window=8192, **more)


class Ear:
    """Collects the pieces of an answer."""

    def __init__(self) -> None:
        self.all: list[Heard] = []

    @property
    def pieces(self) -> list[str]:
        return [heard.text for heard in self.all if heard.text]

    async def __call__(self, heard: Heard) -> None:
        await trio.lowlevel.checkpoint()
        self.all.append(heard)


async def test_an_answer_arrives_in_pieces_and_whole(
    engine: Engine, model_server: ModelServer
) -> None:
    """DS-01: text, finish reason and usage over both protocols."""
    model_server.script({"text": "A gate that meters water.", "usage": 321})
    heard = Ear()
    with trio.fail_after(30):
        reply = await engine.chat(question(), heard)
    assert len(heard.pieces) == 6
    assert "".join(heard.pieces) == reply.text == "A gate that meters water."
    assert reply.finish_reason == "stop"
    assert (reply.usage.tokens_in, reply.usage.tokens_out) == (321, 6)
    (seen,) = model_server.log()
    assert seen["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is a penstock?"},
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_no_character_is_lost_when_the_stream_is_cut_anywhere(
    engine: Engine, model_server: ModelServer, size: int
) -> None:
    """DS-03: split UTF-8 included."""
    text = "水門 Schleuse шлюз 🚰, \u2028 and an end."
    model_server.script({"text": text, "bytes": size})
    heard = Ear()
    with trio.fail_after(30):
        reply = await engine.chat(question(), heard)
    assert "".join(heard.pieces) == reply.text == text


async def test_half_a_surrogate_pair_becomes_a_replacement_character(
    engine: Engine, model_server: ModelServer
) -> None:
    """DS-03: JSON can say what UTF-8 cannot; every later stage may rely on valid text."""
    text = "a \ud83d b"
    line = json.dumps({"message": {"content": text}, "done": False})
    if isinstance(engine, OpenAIEngine):
        line = "data: " + json.dumps({"choices": [{"delta": {"content": text}}]})
    model_server.script({"text": "one two three", "wrong": line})
    with trio.fail_after(30):
        reply = await engine.chat(question(), Ear())
    assert reply.text == "one twoa \ufffd b three"


async def test_the_finish_reason_is_the_providers_word(
    engine: Engine, model_server: ModelServer
) -> None:
    """DT-03: Ollama `done_reason`, OpenAI-style `finish_reason`."""
    model_server.script({"text": "cut off here", "finish": "length"})
    with trio.fail_after(30):
        reply = await engine.chat(question(), Ear())
    assert reply.finish_reason == "length"


async def test_usage_is_unknown_when_the_provider_does_not_tell(
    engine: Engine, model_server: ModelServer
) -> None:
    model_server.script({"text": "free of charge", "silent_usage": True})
    with trio.fail_after(30):
        reply = await engine.chat(question(), Ear())
    assert reply.usage.tokens_in is None
    assert reply.usage.tokens_out is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"drop": 3}, "broke off"),
        ({"mute": True}, "without its end marker"),
        ({"wrong": "<html>Bad Gateway</html>"}, None),
        ({"wrong": 'data: {"error": {"message": "out of memory"}}'}, None),
        ({"wrong": 'data: {"broken'}, None),
    ],
    ids=["dropped", "mute", "html", "error", "half JSON"],
)
async def test_a_stream_that_dies_is_no_answer(
    engine: Engine,
    model_server: ModelServer,
    rule: dict[str, object],
    words: str | None,
) -> None:
    """DS-04: the stream dies or ends without marker."""
    model_server.script({"text": "one two three four five", **rule})
    heard = Ear()
    if isinstance(engine, OpenAIEngine) and "html" in str(rule):
        # Server-sent events allow lines that are no data; they carry nothing.
        with trio.fail_after(30):
            assert (
                await engine.chat(question(), heard)
            ).text == "one two three four five"
        return
    with trio.fail_after(30), pytest.raises(StreamBroken, match=words):
        await engine.chat(question(), heard)
    assert heard.pieces[:2] == ["one", " two"]


async def test_a_refusal_tells_status_pause_and_reason(
    engine: Engine, model_server: ModelServer
) -> None:
    model_server.script({"status": 429, "retry_after": "7", "error": "slow down"})
    with (
        trio.fail_after(30),
        pytest.raises(RequestRefused, match="429: slow down") as caught,
    ):
        await engine.chat(question(), Ear())
    assert caught.value.status == 429
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)
async def test_an_absent_server_is_told_with_its_address(
    make: Make, client: httpx.AsyncClient, unused_port: int
) -> None:
    """ER-01: the sentence names the address."""
    engine = make(client, f"http://127.0.0.1:{unused_port}")
    for ask in (lambda: engine.chat(question(), Ear()), lambda: engine.probe([])):
        with (
            trio.fail_after(30),
            pytest.raises(ModelUnreachable, match=f"127.0.0.1:{unused_port}"),
        ):
            await ask()


async def test_cancelling_closes_the_socket_and_the_server_stops(
    engine: Engine, model_server: ModelServer
) -> None:
    """DS-06: the fake server sees the disconnect and stops."""
    model_server.script({"text": "word " * 10_000, "delay": 0.005})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.chat, question(), Ear())
        await model_server.wait_log(1, "generating", sent=3)
        nursery.cancel_scope.cancel()
    (seen,) = await model_server.wait_log(1, "closed by client")
    assert seen["sent"] < 10_000


async def test_of_a_hundred_cancelled_requests_none_goes_on(
    engine: Engine, model_server: ModelServer, client: httpx.AsyncClient
) -> None:
    """QA-06: nothing generates after its cancel, in whatever phase the cancel came."""
    model_server.script({"text": "word " * 10_000, "delay": 0.001})
    with trio.fail_after(60):
        for number in range(100):
            with trio.move_on_after(number % 10 * 0.002):
                await engine.chat(question(), Ear())
        log = await model_server.wait_over()
    assert len(log) > 20
    assert {record["state"] for record in log} == {"closed by client"}
    assert [c for c in client._transport._pool.connections if not c.is_idle()] == []  # type: ignore[attr-defined]


async def test_a_hanging_server_can_be_cancelled(
    engine: Engine, model_server: ModelServer
) -> None:
    model_server.script({"text": "one two three", "hang": 0})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.chat, question(), Ear())
        await model_server.wait_log(1, "generating")
        nursery.cancel_scope.cancel()
    await model_server.wait_log(1, "closed by client")


async def test_a_listener_that_waits_makes_the_server_wait(
    engine: Engine, model_server: ModelServer
) -> None:
    """DS-02: while a piece is being handed over, the socket is not read."""
    model_server.script({"text": " ".join("y" * 10_000 for _ in range(2000))})
    blocked = trio.Event()

    async def wait(_: Heard) -> None:
        await blocked.wait()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.chat, question(), wait)
            await model_server.wait_log(1, "generating", sent=1)
            counts = [0]
            while len(counts) < 10 or len(set(counts[-10:])) > 1:
                await trio.sleep(0.02)
                counts.append(model_server.log()[0]["sent"])
            assert counts[-1] < 2000
            blocked.set()
    assert model_server.log()[0]["state"] == "done"


async def test_the_window_is_told_to_ollama(
    client: httpx.AsyncClient, model_server: ModelServer
) -> None:
    """CX-04: without it Ollama cuts the prompt without a word."""
    with trio.fail_after(30):
        await OllamaEngine(Api(client, model_server.url)).chat(
            question(max_tokens=77), Ear()
        )
    assert model_server.log()[0]["options"] == {"num_ctx": 8192, "num_predict": 77}


@pytest.mark.parametrize("make", [OllamaEngine, OpenAIEngine])
async def test_the_key_is_sent_and_never_shown(
    make: Callable[[Api], Engine],
    client: httpx.AsyncClient,
    model_server: ModelServer,
) -> None:
    url = model_server.url + ("/v1" if make is OpenAIEngine else "")
    engine = make(Api(client, url, "sesame"))
    model_server.script({"status": 401, "error": "who are you?"})
    with (
        trio.fail_after(30),
        pytest.raises(RequestRefused, match="who are you") as caught,
    ):
        await engine.chat(question(), Ear())
    assert model_server.log()[0]["authorization"] == "Bearer sesame"
    assert "sesame" not in f"{engine!r} {caught.value!r} {caught.value.facts}"


async def test_both_list_the_models_of_the_server(engine: Engine) -> None:
    with trio.fail_after(30):
        assert {"mistral:7b", "qwen3:8b"} <= (await engine.probe([])).models


async def test_connections_are_used_again(
    engine: Engine, client: httpx.AsyncClient
) -> None:
    with trio.fail_after(30):
        for _ in range(3):
            await engine.chat(question(), Ear())
    assert len(client._transport._pool.connections) == 1  # type: ignore[attr-defined]


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    assert seconds_until("12", now) == 12.0
    assert seconds_until("-1", now) == 0.0
    assert seconds_until("Sat, 21 Nov 2026 12:00:30 GMT", now) == 30.0
    assert seconds_until("soon", now) is None
    assert seconds_until(None, now) is None
    assert seconds_until("nan", now) in (None, 0.0)
    assert seconds_until("inf", now) in (None, math.inf)


def test_a_line_without_end_is_refused() -> None:
    """Law 6: memory is bounded, whatever a server sends."""
    lines = LineSplitter()
    with pytest.raises(StreamBroken, match="a line of over"):
        for _ in range(3000):
            lines.feed(b"x" * 1000)


class Body(httpx.AsyncByteStream):
    """As it comes over a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - as httpx's own
        yield self._content


@pytest.mark.parametrize(
    ("slots", "busy"),
    [
        ([{"is_processing": True}, {"is_processing": False}], 1),
        ([{"id": 0, "state": 1}], None),
        ({"error": "none"}, None),
        ([None], None),
    ],
    ids=["told", "an older version", "no list", "no objects"],
)
async def test_slots_that_cannot_be_read_are_not_free(
    slots: object, busy: int | None
) -> None:
    """CN-04: a receipt that called a slot free would prove what nobody has seen."""

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Body(json.dumps(slots).encode()))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        engine = OpenAIEngine(Api(client, "http://models.test/v1"))
        assert await engine.busy_slots() == busy
