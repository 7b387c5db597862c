"""DS-04: whatever a model server answers, it is an answer or a sentence, within bounds of time and memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import trio

from penstock.llm.away import is_away
from penstock.llm.chat import (
    ChatRequest,
    Engine,
    Heard,
    Message,
    RequestRefused,
    StreamBroken,
)
from penstock.llm.http import TAIL_SECONDS, Api
from penstock.llm.ollama import OllamaEngine, _OllamaAnswer
from penstock.llm.openai import OpenAIEngine, _OpenAIAnswer
from penstock.words.errors import ModelFailed

Answer = Callable[[httpx.Request], httpx.Response]

ENGINES: dict[str, Callable[[Api], Engine]] = {
    "ollama": OllamaEngine,
    "openai": OpenAIEngine,
}
QUESTION = ChatRequest("m", (Message("user", "What?"),), window=8192)
DEEP = b"[" * 200_000


def lines(name: str, *records: Any) -> bytes:
    """A stream in the protocol of this engine; bytes are lines as they are."""
    told = [x if isinstance(x, bytes) else json.dumps(x).encode() for x in records]
    mark, end = (b"data: ", b"\n\n") if name == "openai" else (b"", b"\n")
    return b"".join(mark + line + end for line in told)


def said(name: str, text: str, **more: Any) -> dict[str, Any]:
    """One piece of an answer."""
    if name == "openai":
        return {"choices": [{"delta": {"content": text}}], **more}
    return {"message": {"content": text}, "done": False, **more}


def ended(name: str, usage: bytes = b"1") -> bytes:
    """The last word, which tells counts of tokens and times."""
    if name == "openai":
        return (
            b'{"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": {"predicted_ms": %s},'
            b' "usage": {"prompt_tokens": %s, "completion_tokens": %s}}' % ((usage,) * 3)
        )  # fmt: skip
    return (
        b'{"done": true, "prompt_eval_count": %s, "eval_count": %s, "eval_duration": %s}'
        % ((usage,) * 3)
    )


class Body(httpx.AsyncByteStream):
    """An answer as it comes over a socket; with `rest` that comes every second after it, for ever."""

    def __init__(self, answer: bytes, rest: bytes | None = None) -> None:
        self._answer, self._rest = answer, rest

    async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - as httpx's own
        yield self._answer
        while self._rest is not None:
            await trio.sleep(1)
            if self._rest:
                yield self._rest


async def hear(_heard: Heard) -> None:
    await trio.lowlevel.checkpoint()


async def ask(name: str, answer: Answer) -> Any:
    """The reply of a server that answers so, whatever it is asked."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        engine = ENGINES[name](Api(client, "http://models.test/v1", "sesame"))
        return await engine.chat(QUESTION, hear)


async def probe(name: str, answer: Answer) -> Any:
    """What such a server tells of itself."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await ENGINES[name](Api(client, "http://models.test/v1")).probe(["m"])


def always(status: int = 200, content: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: httpx.Response(status, stream=Body(content), headers=named)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("packing", ["gzip", "br"])
async def test_packed_answers_are_not_unpacked(name: str, packing: str) -> None:
    """A kilobyte would become a gigabyte in memory."""
    content = gzip.compress(lines(name, said(name, "x"), ended(name)))
    with pytest.raises(ModelFailed, match=f"packs its answers .{packing}.") as failed:
        await ask(name, always(content=content, content_encoding=packing))
    assert not is_away(failed.value, 60)
    with pytest.raises(RequestRefused, match="answered 400: Bad Request"):
        await ask(name, always(400, content, content_encoding=packing))
    with pytest.raises(ModelFailed, match="packs its answers"):
        await probe(name, always(content=content, content_encoding=packing))


@pytest.mark.parametrize("name", ENGINES)
async def test_nothing_is_nested_too_deep(name: str) -> None:
    with pytest.raises(StreamBroken, match="not its protocol"):
        await ask(name, always(content=lines(name, DEEP)))
    with pytest.raises(RequestRefused, match="answered 400"):
        await ask(name, always(400, b'{"error": ' + DEEP))
    with pytest.raises(StreamBroken, match="not its protocol"):
        await probe(name, always(content=DEEP))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "number", [b"1" + b"0" * 400, b"9223372036854775808", b"-1", b"NaN", b"Infinity", b"true"]
)  # fmt: skip
async def test_what_is_no_count_is_not_counted(name: str, number: bytes) -> None:
    """BM-01: such a number was an error in a division, or in the log's sums."""
    content = lines(name, said(name, "x"), ended(name, number))
    reply = await ask(name, always(content=content))
    assert reply.text == "x"
    assert (reply.usage.tokens_in, reply.usage.tokens_out) == (None, None)
    assert reply.usage.seconds is None


@pytest.mark.parametrize("number", [b"1" + b"0" * 400, b"-1", b"NaN"])
async def test_what_is_no_window_is_none(number: bytes) -> None:
    told = (
        b'{"default_generation_settings": {"n_ctx": %s}, "total_slots": %s, "data": []}'
    )
    facts = await probe("openai", always(content=told % (number, number)))
    assert facts.llama_cpp
    assert (facts.window_of("m"), facts.slots) == (None, None)
    shown = json.dumps({"parameters": "num_ctx " + "9" * 5000, "models": [{"name": "m"}]})  # fmt: skip
    facts = await probe("ollama", always(content=shown.encode()))
    assert facts.window_of("m") is None


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json"])
async def test_what_is_no_model_server_is_not_waited_for(name: str, kind: str) -> None:
    """ER-01: a page under a wrong address stays one for all of `models.patience`."""
    for content in (b"\n", b"<html>\n<p>Hello</p>"):
        with pytest.raises(ModelFailed, match=r"is `models.url` right\?") as failed:
            await ask(name, always(content=content, content_type=kind))
        assert not is_away(failed.value, 60)
    part = lines(name, said(name, "x"))
    with pytest.raises(StreamBroken):
        await ask(name, always(content=part, content_type=kind))


@pytest.mark.parametrize("name", ENGINES)
async def test_a_page_in_place_of_a_list_of_models_tells_its_address(name: str) -> None:
    """APP-02 ER-01: a daemon that refuses to start for it said only what the page is."""
    with pytest.raises(StreamBroken, match=r"http://models\.test/.*`models.url` right"):
        await probe(name, always(content=b"<html>", content_type="text/html"))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_follows_where_a_server_points(name: str, status: int) -> None:
    """A key is for the server that it was configured for; the person hears where it points."""
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        where = {"location": "http://thief.test/"}
        return httpx.Response(status, stream=Body(b""), headers=where)

    with pytest.raises(RequestRefused, match=r"points to http://thief\.test/"):
        await ask(name, answer)
    assert [url.host for url in asked] == ["models.test"]


@pytest.mark.parametrize("piece", [b"", b": ping\n\n"], ids=["silence", "pings"])
async def test_an_answer_whose_end_does_not_come_counts(
    autojump_clock: trio.abc.Clock, piece: bytes
) -> None:
    """DS-03: its last word is `finish_reason`; ten minutes later it was thrown away."""
    answer = lines("openai", said("openai", "x"), ended("openai"))
    began = trio.current_time()
    with trio.fail_after(TAIL_SECONDS + 60):
        reply = await ask(
            "openai", lambda _request: httpx.Response(200, stream=Body(answer, piece))
        )
    assert (reply.text, reply.usage.tokens_in) == ("x", 1)
    assert trio.current_time() - began < TAIL_SECONDS + 2


async def test_an_empty_reason_is_no_end(autojump_clock: trio.abc.Clock) -> None:
    """DS-03: some servers send one with every piece; the answer was cut ten seconds after its first word."""
    piece = said("openai", "x")
    piece["choices"][0]["finish_reason"] = ""
    more = lines("openai", piece)

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - as httpx's own
            for _ in range(3):
                yield more
                await trio.sleep(TAIL_SECONDS)
            yield lines("openai", ended("openai"), b"[DONE]")

    with trio.fail_after(TAIL_SECONDS + 60):
        reply = await ask("openai", lambda _request: httpx.Response(200, stream=Slow()))
    assert (reply.text, reply.finish_reason) == ("xxx", "stop")
    with pytest.raises(StreamBroken, match="without its end marker"):
        await ask("openai", always(content=more))


@pytest.mark.parametrize(
    "told",
    [
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
    ],
)
@pytest.mark.parametrize("name", ENGINES)
async def test_a_date_that_is_none_is_no_pause(name: str, told: str) -> None:
    """ER-01: it was an error that nobody foresaw, in place of the server's refusal."""
    with pytest.raises(RequestRefused) as refused:
        await ask(name, always(429, retry_after=told))
    assert refused.value.retry_after is None


def test_pieces_without_text_are_not_kept() -> None:
    """Law 6: a server that sends them for an hour takes no memory."""
    for fold, name in ((_OpenAIAnswer(), "openai"), (_OllamaAnswer(), "ollama")):
        for _ in range(100):
            fold.take(lines(name, said(name, "")).decode().strip())
        kept = [value for value in vars(fold).values() if isinstance(value, list)]
        assert not any(kept)


@pytest.mark.parametrize("name", ENGINES)
async def test_a_reason_of_the_server_is_repeated_in_short(name: str) -> None:
    reason = {"finish_reason": "r" * 90_000, "delta": {}}
    last = {"choices": [reason]} if name == "openai" else {"done": True, "done_reason": "r" * 90_000}  # fmt: skip
    reply = await ask(name, always(content=lines(name, said(name, "x"), last)))
    assert len(reply.finish_reason) < 500
