"""Model servers that come and go: runs wait without a slot, and go on (ER-01, DS-04)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
import trio.lowlevel
import trio.testing

from fakes.cores import (
    SLEEP,
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
)
from fakes.stores import inline_store
from penstock.llm.away import LONGEST_LOOK, Patience, pause_before_look
from penstock.llm.chain import Chain
from penstock.llm.chat import (
    ChatRequest,
    Heard,
    Message,
    ModelStopped,
    OnHeard,
    Reply,
    RequestRefused,
    ServerFacts,
    StreamBroken,
    Usage,
)
from penstock.llm.model_client import ModelClient
from penstock.llm.models import make_daemon_models
from penstock.pipeline import Kind, Run
from penstock.runs.core import Core
from penstock.words.cancel_receipt import receipt_line
from penstock.words.config import Models
from penstock.words.errors import ModelFailed, ModelUnreachable

Clock = trio.testing.MockClock

NOBODY = ModelUnreachable("the model server at http://box does not answer: refused")
LOADING = RequestRefused("the model server at http://box answered 503", status=503)
BROKEN = StreamBroken("the model server at http://box broke off")
URL = "http://box"


@dataclass
class ComesAndGoes:
    """A server that is away until a moment, in one way; after that it answers."""

    away: ModelFailed
    until: float
    #: Words that are heard before it breaks off.
    heard: str = ""
    asked: list[float] = field(default_factory=list)
    looked: list[float] = field(default_factory=list)
    url: str = URL

    async def chat(self, _request: ChatRequest, on_heard: OnHeard) -> Reply:
        self.asked.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if trio.current_time() < self.until:
            if self.heard:
                await on_heard(Heard(self.heard))
            raise self.away
        await on_heard(Heard("fine"))
        return Reply("fine", "stop", Usage(10, 1))

    async def probe(self, _names: Sequence[str]) -> ServerFacts:
        self.looked.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if trio.current_time() < self.until:
            raise self.away
        return ServerFacts(slots=1)

    async def busy_slots(self) -> int | None:
        return None

    async def count_tokens(self, _text: str) -> int | None:
        return None


async def ask(run: Run, _inputs: Seconds) -> Nothing:
    """Ask once."""

    async def ignore(_text: str) -> None:
        await trio.lowlevel.checkpoint()

    await run.lm.complete([Message("user", "well?")], ignore)
    return Nothing()


ASK = kind("ask", ask)


@asynccontextmanager
async def core_with(
    engine: ComesAndGoes, *kinds: Kind, slots: int = 1, **models: float
) -> AsyncIterator[Core]:
    """A core with one slot, unless there are to be more."""
    client = ModelClient("small", engine, 8192, trio.CapacityLimiter(4))
    config = Models(provider="ollama", chain=("small",), **models)  # type: ignore[arg-type]
    environment = replace(
        fake_environment(), models=make_daemon_models(Chain([client], config))
    )
    async with (
        inline_store() as store,
        open_fake_core(
            ASK,
            SLEEP,
            *kinds,
            store=store,
            environment=environment,
            max_concurrent=slots,
        ) as core,
    ):
        yield core


async def ended(core: Core, run_id: str) -> str:
    with trio.fail_after(100_000):
        await wait_ended(core, run_id)
    view = await core.reader.view(run_id)
    return view.error or str(view.state)


@pytest.mark.parametrize("away", [NOBODY, LOADING, BROKEN], ids=["absent", "loading", "breaks off"])  # fmt: skip
async def test_a_run_waits_without_a_slot_until_its_server_is_back(
    autojump_clock: Clock, away: ModelFailed
) -> None:
    """SM-04 ER-01: others run meanwhile, `why` tells, and it goes on by itself."""
    engine = ComesAndGoes(away, until=trio.current_time() + 120)
    async with core_with(engine) as core:
        await core.submitter.submit(request("ask", "r"))
        await trio.sleep(10)
        view = core.table.views["r"]
        assert view.state == "waiting"
        assert view.waiting is not None
        assert view.waiting.kind == "model"
        why = (await core.why("r")).reasons[0]
        assert (why.code, URL in why.text) == ("model", True)
        await core.submitter.submit(request("sleep", "other", seconds=1))
        assert await ended(core, "other") == "completed"
        assert await ended(core, "r") == "completed"
        types = await types_of(core, "r")
    assert types.count("run.waiting") == types.count("run.resumed") == 1


async def test_it_is_looked_at_with_growing_pauses_and_asked_once_it_is_back(
    autojump_clock: Clock,
) -> None:
    """ER-01: whoever waits long asks seldom; a loading server is not asked questions."""
    engine = ComesAndGoes(NOBODY, until=trio.current_time() + 300)
    async with core_with(engine) as core:
        await core.submitter.submit(request("ask", "r"))
        assert await ended(core, "r") == "completed"
    pauses = [b - a for a, b in zip(engine.looked[1:], engine.looked[2:], strict=False)]
    assert pauses == sorted(pauses)
    assert max(pauses) == LONGEST_LOOK
    assert len(engine.asked) == 2


async def test_patience_has_an_end(autojump_clock: Clock) -> None:
    """SM-04 ER-01: then the run fails, with the address and what to set."""
    engine = ComesAndGoes(NOBODY, until=float("inf"))
    async with core_with(engine, patience=100.0) as core:
        began = trio.current_time()
        await core.submitter.submit(request("ask", "r"))
        error = await ended(core, "r")
        took = trio.current_time() - began
    assert URL in error
    assert "waited for 100 s (models.patience)" in error
    assert 100 <= took < 110


async def test_a_cancel_ends_the_wait(autojump_clock: Clock) -> None:
    engine = ComesAndGoes(NOBODY, until=float("inf"))
    async with core_with(engine) as core:
        await core.submitter.submit(request("ask", "r"))
        await trio.sleep(50)
        began = trio.current_time()
        await core.control.cancel("r", "by a person", wait=True)
        assert trio.current_time() - began < 1
        assert await ended(core, "r") == "cancelled"


@pytest.mark.parametrize(
    "error",
    [
        RequestRefused("no such model", status=404),
        RequestRefused("wrong key", status=401),
        RequestRefused("come in an hour", status=429, retry_after=3600.0),
        ModelStopped("the model stopped: its output does not match"),
    ],
    ids=["unknown", "key", "an hour", "says why"],
)
async def test_what_waiting_does_not_mend_fails_at_once(
    autojump_clock: Clock, error: ModelFailed
) -> None:
    """ER-01"""
    engine = ComesAndGoes(error, until=float("inf"))
    async with core_with(engine) as core:
        began = trio.current_time()
        await core.submitter.submit(request("ask", "r"))
        assert await ended(core, "r") == str(error)
        assert trio.current_time() - began < 10


async def test_what_was_heard_is_not_said_twice_to_who_cannot_drop_it(
    autojump_clock: Clock,
) -> None:
    """DS-04: a pipeline that takes plain text is told that it broke off."""
    engine = ComesAndGoes(BROKEN, until=trio.current_time() + 60, heard="well ")
    async with core_with(engine) as core:
        await core.submitter.submit(request("ask", "r"))
        assert await ended(core, "r") == str(BROKEN)


async def test_a_server_that_is_back_may_be_another(autojump_clock: Clock) -> None:
    """CX-04: its window and slots are read again."""
    engine = ComesAndGoes(NOBODY, until=trio.current_time() + 60)
    async with core_with(engine) as core:
        await core.submitter.submit(request("ask", "r"))
        assert await ended(core, "r") == "completed"
        models = await core.environment.models.describe()  # type: ignore[union-attr]
    assert models[0]["slots"] == 1


async def test_waiting_inside_the_server_is_no_timeout_of_ours(
    autojump_clock: Clock,
) -> None:
    """A server with one slot lets others wait, for half an hour here; then the answer has its own time."""

    class Busy(ComesAndGoes):
        async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
            await trio.sleep(1800)
            return await super().chat(request, on_heard)

    async with core_with(Busy(NOBODY, until=0), request_timeout=30.0) as core:
        await core.submitter.submit(request("ask", "r"))
        assert await ended(core, "r") == "completed"
    async with core_with(Busy(NOBODY, until=0), first_word_timeout=60.0) as core:
        await core.submitter.submit(request("ask", "r"))
        assert "(models.first_word_timeout)" in await ended(core, "r")


@dataclass
class Reads(ComesAndGoes):
    """Does not notice for so many seconds that nobody wants its answer any more, as while it reads."""

    works_on: float = 0.0
    _until: float = 0.0

    async def chat(self, _request: ChatRequest, _on_heard: OnHeard) -> Reply:
        self.asked.append(trio.current_time())
        self._until = float("inf")
        try:
            await trio.sleep_forever()
        finally:
            self._until = trio.current_time() + self.works_on

    async def probe(self, _names: Sequence[str]) -> ServerFacts:
        await trio.lowlevel.checkpoint()
        return ServerFacts(slots=1, llama_cpp=True)

    async def busy_slots(self) -> int | None:
        await trio.lowlevel.checkpoint()
        return int(trio.current_time() < self._until)


@pytest.mark.parametrize(("works_on", "slot"), [(0.3, "free"), (61.0, "busy")])
async def test_a_receipt_says_whether_the_slot_is_free(
    autojump_clock: Clock, works_on: float, slot: str
) -> None:
    """CN-04: the socket is closed at once, but a server in the midst of a prompt may go on; the cancel is
    answered in time all the same, and what was sent is paid for."""
    async with core_with(Reads(NOBODY, until=0, works_on=works_on)) as core:
        await core.submitter.submit(request("ask", "r"))
        await trio.sleep(10)
        began = trio.current_time()
        receipt = await core.control.cancel("r", "by a person", wait=True)
        assert trio.current_time() - began < 3
        assert receipt.model_slot == slot
        assert receipt.proves_end
        again = await core.control.cancel("r", "once more", wait=True)
        assert again.model_slot == slot
        view = await core.reader.view("r")
    assert view.tokens_in > 0
    said = receipt_line(receipt.model_dump(mode="json"))
    assert ("still works on it" in said) == (slot == "busy")


async def test_the_next_request_is_not_taken_for_the_slot_of_the_one_before(
    autojump_clock: Clock,
) -> None:
    """CN-04: it would wait in the server, and the slot that is busy would be called its own."""
    engine = Reads(NOBODY, until=0, works_on=61.0)
    async with core_with(engine, slots=2) as core:
        await core.submitter.submit(request("ask", "first"))
        await trio.sleep(10)
        await core.submitter.submit(request("ask", "second"))
        await trio.sleep(10)
        receipt = await core.control.cancel("first", "by a person", wait=True)
        assert receipt.model_slot == "busy"
        await trio.sleep(10)
        assert len(engine.asked) == 2


async def gives_up(run: Run, inputs: Seconds) -> Nothing:
    """Ask for a second, then do something else."""
    with trio.move_on_after(1):
        await ask(run, inputs)
    await trio.sleep_forever()
    return Nothing()


async def test_a_receipt_says_nothing_of_a_request_that_the_run_gave_up(
    autojump_clock: Clock,
) -> None:
    """CN-04: who goes on for an hour leaves nothing behind of a request of its first minute."""
    engine = Reads(NOBODY, until=0, works_on=61.0)
    async with core_with(engine, kind("gives-up", gives_up)) as core:
        await core.submitter.submit(request("gives-up", "r"))
        await trio.sleep(3600)
        receipt = await core.control.cancel("r", "by a person", wait=True)
    assert receipt.model_slot is None


async def test_a_receipt_says_nothing_of_a_request_that_was_never_sent(
    autojump_clock: Clock,
) -> None:
    """CN-04: it waited here, for the only slot of the server."""
    engine = Reads(NOBODY, until=0)
    async with core_with(engine, slots=2) as core:
        await core.submitter.submit(request("ask", "first"))
        await trio.sleep(10)
        await core.submitter.submit(request("ask", "second"))
        await trio.sleep(10)
        assert len(engine.asked) == 1
        receipt = await core.control.cancel("second", "by a person", wait=True)
    assert receipt.model_slot is None


async def test_a_receipt_says_nothing_of_slots_that_are_not_told(
    autojump_clock: Clock,
) -> None:
    async with core_with(ComesAndGoes(NOBODY, until=float("inf"))) as core:
        await core.submitter.submit(request("ask", "r"))
        await trio.sleep(10)
        receipt = await core.control.cancel("r", "by a person", wait=True)
    assert receipt.model_slot is None


async def test_only_waiting_for_the_server_uses_up_patience(
    autojump_clock: Clock,
) -> None:
    """ER-01: neither the line for a slot does, nor what was heard before it breaks off again."""

    class BreaksTwice(ComesAndGoes):
        async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
            if len(self.asked) == 3:
                # The first one after the slot has come back.
                self.until = trio.current_time() + 30
            return await super().chat(request, on_heard)

    engine = BreaksTwice(BROKEN, until=trio.current_time() + 30)
    async with core_with(engine, patience=100.0) as core:
        await core.submitter.submit(request("ask", "r"))
        await trio.sleep(10)
        await core.submitter.submit(request("sleep", "other", seconds=1000))
        assert await ended(core, "r") == "completed"
        assert await ended(core, "other") == "completed"


def test_patience_is_one_over_all_waits_of_a_question() -> None:
    patience = Patience(100.0)
    assert patience.left == 100.0
    patience.waited += 60.0
    assert patience.left == 40.0
    patience.restore()
    assert patience.left == 100.0
    assert [pause_before_look(n) for n in (0, 1, 4, 5, 99)] == [1, 2, 16, 30, 30]
