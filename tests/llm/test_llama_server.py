"""A real llama.cpp server with a tiny model of random weights: schema, cancel, slots, overflow for real.

The program is found on the PATH, or where LLAMA_SERVER says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import dspy  # type: ignore[import-untyped]
import pytest
import trio

from fakes.tiny_gguf import write_tiny_gguf
from penstock.llm.budget import Spending
from penstock.llm.chain import Chain
from penstock.llm.chat import Heard, Message
from penstock.llm.models import check, list_models, open_models, probe
from penstock.llm.run_models import RunModels
from penstock.words.config import Budget, Models
from penstock.words.errors import ContextTooLarge, StartRefused

PROGRAM = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(PROGRAM is None, reason="no llama-server here"),
]

WINDOW, KEY = 1024, "sesame"


class Judge(dspy.Signature):  # type: ignore[misc]
    """You judge."""

    text: str = dspy.InputField()
    done: bool = dspy.OutputField(desc="true or false", examples=[False])
    colour: Literal["red", "green"] = dspy.OutputField(desc="one", examples=["red"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with one slot and a key, gone at the end."""
    folder = tmp_path_factory.mktemp("llama")
    model = folder / "tiny.gguf"
    write_tiny_gguf(model)
    port = _free_port()
    argv = [
        str(PROGRAM), "-m", str(model), "-c", str(WINDOW), "-np", "1", "-t", "1", "-b", "32", "-ub", "32",
        "--host", "127.0.0.1", "--port", str(port), "--api-key", KEY, "--no-warmup",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@asynccontextmanager
async def open_chain(url: str, key: str = KEY, **more: Any) -> AsyncIterator[Chain]:
    """A chain of this one model, once it is loaded."""
    config = Models(
        provider="openai", url=url, chain=("tiny",), api_key_env="K", **more
    )
    async with open_models(config, {"K": key}) as chain:
        assert chain is not None
        with trio.fail_after(60):
            # Until it listens, and while it loads.
            while key == KEY and any((await probe(chain)).values()):  # noqa: ASYNC110
                await trio.sleep(0.1)
            yield chain


async def ignore(_: Heard) -> None:
    await trio.lowlevel.checkpoint()


async def test_an_answer_has_the_form_of_its_schema(server: str) -> None:
    """DS-05: whatever the weights say, the grammar holds."""
    async with open_chain(server, answer_tokens=200) as chain:
        models = RunModels(chain, Spending(Budget(), Budget()), run_id="r", root_id="r")
        answer = await models.ask(Judge, inputs={"text": "x"}, form="json")
        (row,) = list_models(chain, {})
    assert answer["done"] in (True, False)
    assert answer["colour"] in ("red", "green")
    assert answer.attempts == 1
    assert row["tokens_per_second"] > 0


async def test_window_slots_and_key_are_read(server: str) -> None:
    """CX-04, API-06"""
    async with open_chain(server) as chain:
        (row,) = list_models(chain, {})
        (engine,) = (m.engine for m in chain.model_clients.values())
        assert await engine.count_tokens("hello") == len("hello") + len(b" ") + 2
    assert (row["window"], row["window_assumed"], row["slots"]) == (WINDOW, False, 1)
    async with open_chain(server, "guess") as chain:
        with pytest.raises(StartRefused, match="401"):
            await check(chain)


async def test_its_own_word_on_its_window_holds(server: str) -> None:
    """CX-04: each letter is a token to this one, so our estimate is far too small."""
    text = "word " * (WINDOW // 3)
    async with open_chain(server) as chain:
        with pytest.raises(ContextTooLarge, match=f"window of {WINDOW}"):
            await chain.complete(
                [Message("user", text)], ignore, account=lambda *_: None
            )


@pytest.mark.parametrize("text", ["go on", "read " * 120], ids=["writing", "reading"])
async def test_a_cancel_frees_its_slot(server: str, text: str) -> None:
    """DS-06: the socket is closed, and the server works on it no more."""
    async with open_chain(server) as chain:
        (engine,) = (m.engine for m in chain.model_clients.values())
        begun = trio.Event()

        async def hear(_: Heard) -> None:
            begun.set()
            await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: chain.complete(
                    [Message("user", text)], hear, account=lambda *_: None
                )
            )
            await begun.wait()
            nursery.cancel_scope.cancel()
        while await engine.busy_slots():  # noqa: ASYNC110
            await trio.sleep(0.02)
        assert await engine.busy_slots() == 0


def test_the_model_is_the_same_each_time(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "a")
    write_tiny_gguf(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
