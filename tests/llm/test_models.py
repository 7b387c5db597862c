"""APP-02, APP-03, API-06: models are configured once, checked at start, probed for health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from fakes.model_server import ModelServer
from penstock.llm.chain import Chain
from penstock.llm.chat import ChatRequest, OnHeard, Reply, ServerFacts
from penstock.llm.model_client import ModelClient
from penstock.llm.models import (
    ASSUMED_WINDOW,
    check,
    open_models,
    probe,
)
from penstock.llm.ollama import OllamaEngine
from penstock.llm.openai import OpenAIEngine
from penstock.llm.probing import PROBE_LASTS, ModelHealth
from penstock.words.config import Models
from penstock.words.errors import StartRefused


def config(**values: Any) -> Models:
    return Models.model_validate(values)


async def test_nothing_configured_is_no_chain() -> None:
    """APP-03: the daemon starts without a model."""
    async with open_models(Models(), {}) as chain:
        assert chain is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"provider": "ollama"}, "models.chain"),
        ({"url": "http://127.0.0.1:1"}, "models.chain"),
        ({"chain": ["a"]}, "models.provider"),
        ({"provider": "openai", "chain": ["a"]}, "models.url"),
        ({"provider": "openai", "chain": ["a"], "url": "ftp://x"}, "not an http"),
        (
            {"provider": "openai", "chain": ["a"], "url": "localhost:11434"},
            "not an http",
        ),
        (
            {
                "provider": "ollama",
                "chain": [{"name": "a", "provider": "openai"}],
                "url": "http://x",
            },
            "models.url",
        ),
        (
            {"provider": "ollama", "chain": ["a"], "url": "http://me:secret@x"},
            "api_key_env",
        ),
        ({"provider": "ollama", "chain": ["a", "a"]}, "twice"),
        (
            {
                "provider": "openai",
                "chain": ["a"],
                "url": "http://x",
                "api_key_env": "K",
            },
            "variable K",
        ),
    ],
)
async def test_a_wrong_configuration_is_one_sentence(
    values: dict[str, Any], words: str
) -> None:
    """APP-02, bad."""
    with pytest.raises(StartRefused, match=words):
        async with open_models(config(**values), {}):
            pass


async def test_an_entry_may_have_its_own_server_window_and_prices() -> None:
    settings = config(
        provider="ollama",
        url="http://127.0.0.1:7/",
        chain=[
            "mistral:7b",
            {
                "name": "big",
                "provider": "openai",
                "url": "https://big.test/v1",
                "price_in": 3.0,
            },
            "odd",
        ],
        windows={"big": 200_000},
        api_key_env="MY_KEY",
        concurrency=2,
    )
    async with open_models(settings, {"MY_KEY": "sesame"}) as chain:
        assert isinstance(chain, Chain)
        small, big, odd = chain.model_clients.values()
    assert isinstance(small.engine, OllamaEngine)
    assert small.engine.url == "http://127.0.0.1:7"
    assert (small.window, small.window_assumed) == (8192, False)
    assert small.dialects == ("format", "none")
    assert isinstance(big.engine, OpenAIEngine)
    assert (big.engine.url, big.window, big.price_in) == (
        "https://big.test/v1",
        200_000,
        3.0,
    )
    assert (odd.window, odd.window_assumed) == (ASSUMED_WINDOW, True)
    assert odd.limiter.total_tokens == 2


async def test_the_address_of_ollama_need_not_be_told() -> None:
    async with open_models(config(provider="ollama", chain=["a"]), {}) as chain:
        assert chain is not None
        assert chain.model_clients["a"].engine.url == "http://127.0.0.1:11434"


async def test_a_server_that_answers_passes_the_check(
    model_server: ModelServer,
) -> None:
    """APP-02."""
    settings = config(
        provider="ollama",
        url=model_server.url,
        chain=[
            "mistral:7b",
            {"name": "x", "provider": "openai", "url": f"{model_server.url}/v1"},
        ],
    )
    with trio.fail_after(30):
        async with open_models(settings, {}) as chain:
            assert chain is not None
            await check(chain)
            assert await probe(chain) == {
                model_server.url: "",
                f"{model_server.url}/v1": "",
            }


async def test_a_server_that_is_not_there_refuses_the_start(unused_port: int) -> None:
    """APP-02, ER-01: the sentence has the address."""
    settings = config(
        provider="ollama", url=f"http://127.0.0.1:{unused_port}", chain=["mistral:7b"]
    )
    with trio.fail_after(30):
        async with open_models(settings, {}) as chain:
            assert chain is not None
            with pytest.raises(
                StartRefused, match=f"127.0.0.1:{unused_port}.* does not answer"
            ):
                await check(chain)


async def test_a_model_that_ollama_does_not_have_is_told_with_the_remedy(
    model_server: ModelServer,
) -> None:
    settings = config(
        provider="ollama", url=model_server.url, chain=["large", "llama9:1b"]
    )
    with trio.fail_after(30):
        async with open_models(settings, {}) as chain:
            assert chain is not None
            with pytest.raises(StartRefused, match="ollama pull llama9:1b"):
                await check(chain)


@pytest.mark.sockets
async def test_a_probe_of_a_mute_server_is_bounded() -> None:
    """API-06: health answers although the model server accepts and says nothing."""
    async with trio.open_nursery() as nursery:
        serve = nursery.start
        listeners = await serve(trio.serve_tcp, say_nothing, 0)
        port = listeners[0].socket.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        settings = config(provider="ollama", url=url, chain=["a"], connect_timeout=0.2)
        with trio.fail_after(30):
            async with open_models(settings, {}) as chain:
                assert chain is not None
                assert await probe(chain) == {
                    url: f"the model server at {url} does not answer within 0.2 s"
                }
        nursery.cancel_scope.cancel()


async def say_nothing(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_a_key_comes_from_the_environment_and_goes_to_its_own_server_only() -> (
    None
):
    """A key given for one server is never sent to another."""
    settings = config(
        provider="openai",
        url="https://mine.test/v1",
        chain=["a", {"name": "b", "url": "https://other.test/v1"}],
        api_key_env="MY_KEY",
    )
    async with open_models(settings, {"MY_KEY": " sesame\n"}) as chain:
        assert chain is not None
        mine, other = (
            model_client.engine for model_client in chain.model_clients.values()
        )
    assert vars(vars(mine)["_api"])["_headers"] == {"Authorization": "Bearer sesame"}
    assert vars(vars(other)["_api"])["_headers"] == {}


class CountingEngine:
    """Takes a second to list its models; counts how often it was asked."""

    def __init__(self) -> None:
        self.url = "http://models.test"
        self.asked = 0

    async def probe(self, _names: Sequence[str]) -> ServerFacts:
        self.asked += 1
        await trio.sleep(1)
        return ServerFacts()

    async def busy_slots(self) -> int | None:
        return None

    async def count_tokens(self, _text: str) -> int | None:
        return None

    async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
        raise NotImplementedError


async def test_a_flood_of_probes_reaches_the_server_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-06: whoever asks meanwhile shares the answer; later ones get a new one."""
    engine = CountingEngine()
    model_client = ModelClient("a", engine, 8192, trio.CapacityLimiter(1))
    health = ModelHealth([model_client], 5.0)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(health.problems)
    assert engine.asked == 1
    await trio.sleep(PROBE_LASTS)
    assert await health.problems() == {"http://models.test": ""}
    assert engine.asked == 2
