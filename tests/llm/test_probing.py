"""What servers tell of themselves, and what becomes of it: window, slots, the key (API-06, CX-04)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from fakes.model_server import ModelServer
from penstock.llm.chat import Heard, Message
from penstock.llm.models import check, list_models, open_models, probe
from penstock.words.config import Models
from penstock.words.errors import ContextTooLarge, StartRefused

PROPS = {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1}


def openai(server: ModelServer, **more: Any) -> Models:
    values = {"provider": "openai", "url": f"{server.url}/v1", "chain": ["mistral:7b"]}
    return Models.model_validate(values | more)


async def listed(config: Models, environ: dict[str, str]) -> dict[str, Any]:
    with trio.fail_after(30):
        async with open_models(config, environ) as chain:
            assert chain is not None
            problems = await probe(chain)
            return list_models(chain, problems)[0]


async def test_window_and_slots_are_read_from_llama_cpp(
    model_server: ModelServer,
) -> None:
    """SM-05 CX-04: its `n_ctx` and its slots, whatever was assumed."""
    model_server.be(props=PROPS)
    row = await listed(openai(model_server), {})
    assert (row["window"], row["window_assumed"], row["slots"]) == (4096, False, 1)


async def test_the_window_is_read_from_vllm(model_server: ModelServer) -> None:
    """CX-04: `max_model_len` in its list."""
    model_server.be(max_model_len=20_000)
    row = await listed(openai(model_server), {})
    assert (row["window"], row["window_assumed"], row["slots"]) == (20_000, False, 4)


@pytest.mark.parametrize(
    ("shown", "window"),
    [
        ({"model_info": {"llama.context_length": 2048}}, 2048),
        ({"model_info": {"llama.context_length": 131_072}}, 8192),
        ({"parameters": "stop x\nnum_ctx      16384\n"}, 16_384),
        ({}, 8192),
    ],
    ids=["small", "very much", "set", "not told"],
)
async def test_the_window_is_read_from_ollama(
    model_server: ModelServer, shown: dict[str, Any], window: int
) -> None:
    """CX-04: what is set holds; the largest that a model can take may be more than the memory has."""
    model_server.be(shows={"large:latest": shown})
    config = Models(provider="ollama", url=model_server.url, chain=("large:latest",))
    assert (await listed(config, {}))["window"] == window


async def test_a_configuration_makes_no_window_and_no_slots(
    model_server: ModelServer,
) -> None:
    """CX-04: the smaller of both counts."""
    model_server.be(props=PROPS | {"total_slots": 2})
    more = openai(model_server, windows={"mistral:7b": 32_768}, concurrency=8)
    row = await listed(more, {})
    assert (row["window"], row["slots"]) == (4096, 2)
    less = openai(model_server, windows={"mistral:7b": 1024}, concurrency=1)
    row = await listed(less, {})
    assert (row["window"], row["slots"]) == (1024, 1)


@pytest.mark.parametrize("props", [True, False])
async def test_a_wrong_key_is_found_though_the_list_is_open(
    model_server: ModelServer, props: bool
) -> None:
    """SM-05 API-06: by `/props`, or by a question without messages; with what to set."""
    model_server.be(key="sesame", **({"props": PROPS} if props else {}))
    config = openai(model_server, api_key_env="K")
    row = await listed(config, {"K": "guess"})
    assert "401: Invalid API Key" in row["problem"]
    assert "models.api_key_env" in row["problem"]
    assert "guess" not in row["problem"]
    assert (await listed(config, {"K": "sesame"}))["problem"] == ""
    async with open_models(config, {"K": "guess"}) as chain:
        assert chain is not None
        with pytest.raises(StartRefused, match="Invalid API Key"):
            await check(chain)


async def test_a_good_key_is_not_tried_with_each_look(
    model_server: ModelServer,
) -> None:
    """API-06: `/health` may be asked each second."""
    config = openai(model_server, api_key_env="K")
    async with open_models(config, {"K": "sesame"}) as chain:
        assert chain is not None
        await probe(chain)
        # A question without messages would be refused now.
        model_server.be(key="other")
        assert list((await probe(chain)).values()) == [""]


async def test_a_server_that_loads_its_model_is_unwell_and_no_reason_not_to_start(
    model_server: ModelServer,
) -> None:
    """APP-02, API-06: it lists its model all the while."""
    model_server.be(loading=True)
    async with open_models(openai(model_server), {}) as chain:
        assert chain is not None
        (problem,) = await check(chain)
        assert "503: Loading model" in problem
        model_server.reset()
        assert await check(chain) == []


async def test_a_prompt_near_the_limit_is_counted_by_the_server(
    model_server: ModelServer,
) -> None:
    """CX-02, CX-04: where it counts; a short prompt is not worth the question."""
    model_server.be(props=PROPS, tokens=0.05)
    # By our estimate 5,000 tokens, which are more than the window.
    text = "word " * 4_000
    async with open_models(openai(model_server), {}) as chain:
        assert chain is not None
        done = await chain.complete(
            [Message("user", text)], ignore, account=lambda *_: None
        )
        assert done.model == "mistral:7b"
        model_server.be(props=PROPS, tokens=0.3)
        with pytest.raises(ContextTooLarge, match="about 6005 tokens"):
            await chain.complete(
                [Message("user", text)], ignore, account=lambda *_: None
            )


async def ignore(_: Heard) -> None:
    await trio.lowlevel.checkpoint()
