"""The chain: routing, retries, deadlines and bounds, with engines that fail on purpose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing

from penstock.llm.budget import Spent
from penstock.llm.chain import Chain, Wanted
from penstock.llm.chat import (
    ChatRequest,
    Heard,
    Message,
    OnHeard,
    OnText,
    Reply,
    RequestRefused,
    ServerFacts,
    StreamBroken,
    Usage,
)
from penstock.llm.model_client import ModelClient
from penstock.words.config import Models
from penstock.words.errors import ContextTooLarge, ModelFailed, ModelUnreachable

HELLO = [Message("user", "hello")]


class ScriptedEngine:
    """Does one thing per request, the last one for ever."""

    def __init__(self, *acts: Callable[[OnText], Awaitable[Reply]]) -> None:
        self.url = "http://models.test"
        self.acts = list(acts)
        self.requests: list[ChatRequest] = []
        self.times: list[float] = []
        self.active = self.most_active = 0

    async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
        async def on_text(text: str) -> None:
            await on_heard(Heard(text))

        self.requests.append(request)
        self.times.append(trio.current_time())
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        try:
            return await (self.acts.pop(0) if len(self.acts) > 1 else self.acts[0])(
                on_text
            )
        finally:
            self.active -= 1

    async def probe(self, _names: Sequence[str]) -> ServerFacts:
        await trio.lowlevel.checkpoint()
        return ServerFacts()

    async def busy_slots(self) -> int | None:
        return None

    async def count_tokens(self, _text: str) -> int | None:
        return None


async def answers(on_text: OnText) -> Reply:
    await trio.sleep(1)
    await on_text("well ")
    await on_text("done")
    return Reply("well done", "stop", Usage(10, 2))


async def hangs(on_text: OnText) -> Reply:
    await on_text("well ")
    await trio.sleep_forever()
    raise AssertionError


async def babbles(on_text: OnText) -> Reply:
    while True:
        await on_text("水" * 1000)


async def dies_before_a_word(_: OnText) -> Reply:
    await trio.lowlevel.checkpoint()
    raise StreamBroken("broke off")


async def dies_after_a_word(on_text: OnText) -> Reply:
    await on_text("well ")
    raise StreamBroken("broke off")


def refuses(
    status: int, retry_after: float | None = None, text: str = "no"
) -> Callable[[OnText], Awaitable[Reply]]:
    async def act(_: OnText) -> Reply:
        await trio.lowlevel.checkpoint()
        raise RequestRefused(text, status=status, retry_after=retry_after)

    return act


async def is_absent(_: OnText) -> Reply:
    await trio.lowlevel.checkpoint()
    raise ModelUnreachable("nobody there", address="http://models.test")


async def ignore(_: Heard) -> None:
    await trio.lowlevel.checkpoint()


class Books:
    def __init__(self) -> None:
        self.entries: list[tuple[str, Spent]] = []

    def __call__(self, model: str, spent: Spent) -> None:
        self.entries.append((model, spent))


def chain_of(
    *engines: ScriptedEngine,
    windows: tuple[int, ...] = (8_000, 32_000, 128_000),
    **config: object,
) -> Chain:
    names = ("small", "middle", "large")
    model_clients = [
        ModelClient(
            name, engine, window, trio.CapacityLimiter(2), price_in=1.0, price_out=10.0
        )
        for name, engine, window in zip(names, engines, windows, strict=False)
    ]
    return Chain(model_clients, Models.model_validate({"chain": names, **config}))


async def test_an_answer_tells_its_model_and_its_cost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    books = Books()
    chain = chain_of(ScriptedEngine(answers))
    done = await chain.complete(HELLO, ignore, account=books)
    assert (done.model, done.reply.text) == ("small", "well done")
    assert books.entries == [("small", Spent(10, 2, (10 * 1.0 + 2 * 10.0) / 1e6, 1.0))]
    (statistics,) = chain.statistics()
    assert (statistics.requests, statistics.failures, statistics.active) == (1, 0, 0)


async def test_a_long_prompt_goes_to_the_next_model(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CX-03, CX-04: a 50K-character event and a 50K-token context route onward."""
    engines = [ScriptedEngine(answers) for _ in range(3)]
    chain = chain_of(*engines)
    for text, model in (("x" * 50_000, "middle"), ("x" * 200_000, "large")):
        done = await chain.complete([Message("user", text)], ignore, account=Books())
        assert done.model == model
    with pytest.raises(ContextTooLarge, match="128000"):
        await chain.complete([Message("user", "x" * 500_000)], ignore, account=Books())
    assert [len(engine.requests) for engine in engines] == [0, 1, 1]


async def test_a_larger_model_that_is_down_is_a_refusal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CX-04, bad: nothing is cut to fit the smaller one."""
    small = ScriptedEngine(answers)
    chain = chain_of(small, ScriptedEngine(is_absent))
    with pytest.raises(ModelUnreachable, match="nobody there"):
        await chain.complete([Message("user", "x" * 50_000)], ignore, account=Books())
    assert small.requests == []


async def test_a_server_that_counts_more_than_we_do_routes_onward(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CX-04: the provider's word on its own window holds."""
    overflow = refuses(400, text="This model's maximum context length is 4096 tokens")
    small, middle = ScriptedEngine(overflow), ScriptedEngine(answers)
    assert (
        await chain_of(small, middle).complete(HELLO, ignore, account=Books())
    ).model == "middle"
    with pytest.raises(ContextTooLarge, match="maximum context length"):
        await chain_of(small, ScriptedEngine(overflow)).complete(
            HELLO, ignore, account=Books()
        )


async def test_room_for_the_answer_is_what_the_prompt_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CX-04: prompt and answer together never exceed the window."""
    engine = ScriptedEngine(answers)
    chain = chain_of(engine)
    await chain.complete([Message("user", "x" * 20_000)], ignore, account=Books())
    await chain.complete(HELLO, ignore, account=Books(), wanted=Wanted(max_tokens=100))
    assert engine.requests[0].max_tokens == 8_000 - 5_005
    assert engine.requests[1].max_tokens == 100


@pytest.mark.parametrize(
    "first", [refuses(429), refuses(500), refuses(503), dies_before_a_word]
)
async def test_what_passes_is_tried_again_with_a_growing_pause(
    autojump_clock: trio.testing.MockClock, first: Callable[[OnText], Awaitable[Reply]]
) -> None:
    engine = ScriptedEngine(first, first, answers)
    done = await chain_of(engine).complete(HELLO, ignore, account=Books())
    assert done.reply.text == "well done"
    assert [b - a for a, b in zip(engine.times, engine.times[1:], strict=False)] == [
        0.5,
        1.0,
    ]


async def test_retry_after_is_obeyed(autojump_clock: trio.testing.MockClock) -> None:
    engine = ScriptedEngine(refuses(429, 17.0), answers)
    await chain_of(engine).complete(HELLO, ignore, account=Books())
    assert engine.times[1] - engine.times[0] == 17.0


@pytest.mark.parametrize(
    ("act", "requests"),
    [
        (refuses(429, 3600.0), 1),
        (refuses(400), 1),
        (refuses(401), 1),
        (refuses(503), 3),
        (is_absent, 1),
        (dies_before_a_word, 3),
        (dies_after_a_word, 1),
    ],
    ids=[
        "asks for an hour",
        "bad request",
        "wrong key",
        "busy",
        "absent",
        "dies",
        "dies mid-word",
    ],
)
async def test_tries_are_bounded(
    autojump_clock: trio.testing.MockClock,
    act: Callable[[OnText], Awaitable[Reply]],
    requests: int,
) -> None:
    """DS-04, ER-01: nothing that was heard is said twice, and the absent are not waited for."""
    engine = ScriptedEngine(act)
    with pytest.raises(ModelFailed):
        await chain_of(engine).complete(HELLO, ignore, account=Books())
    assert len(engine.requests) == requests


async def test_a_request_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """An answer that does not end in time is a failure, and its words are paid for."""
    books = Books()
    chain = chain_of(ScriptedEngine(hangs), request_timeout=30)
    began = trio.current_time()
    with pytest.raises(ModelFailed, match="within 30 s"):
        await chain.complete(HELLO, ignore, account=books)
    assert trio.current_time() - began == 30
    ((_, spent),) = books.entries
    assert spent.tokens_out == 2
    assert spent.seconds == 30


async def test_a_cancelled_answer_is_paid_for_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    books = Books()
    chain = chain_of(ScriptedEngine(hangs))
    with trio.move_on_after(3) as scope:
        await chain.complete(HELLO, ignore, account=books)
    assert scope.cancelled_caught
    ((_, spent),) = books.entries
    assert spent.tokens_in > 0
    assert chain.statistics()[0].active == 0


async def test_an_endless_answer_ends(autojump_clock: trio.testing.MockClock) -> None:
    """Memory is bounded, whatever a model says."""
    chain = chain_of(ScriptedEngine(babbles), answer_bytes=10_000)
    with pytest.raises(ModelFailed, match="longer than allowed"):
        await chain.complete(HELLO, ignore, account=Books())


async def test_requests_to_one_model_are_limited(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = ScriptedEngine(answers)
    chain = chain_of(engine)

    async def ask() -> None:
        await chain.complete(HELLO, ignore, account=Books())

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(ask)
        await trio.sleep(0.5)
        assert (chain.statistics()[0].active, chain.statistics()[0].waiting) == (2, 4)
    assert engine.most_active == 2


async def test_a_pause_gives_the_place_to_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = ScriptedEngine(refuses(429, 50.0), refuses(429, 50.0), answers)
    chain = chain_of(engine)
    ended: list[float] = []

    async def ask() -> None:
        await chain.complete(HELLO, ignore, account=Books())
        ended.append(trio.current_time() - began)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert min(ended) < 5


async def test_reports_calibrate_each_model(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CX-02: by what the provider reports, per model."""

    async def counts_double(on_text: OnText) -> Reply:
        await on_text("x")
        return Reply("x", "stop", Usage(5_005 * 2, 1))

    chain = chain_of(ScriptedEngine(counts_double), ScriptedEngine(answers))
    text = [Message("user", "x" * 20_000)]
    assert (await chain.complete(text, ignore, account=Books())).model == "small"
    assert chain.statistics()[0].reported_per_estimated == 2.0
    assert (await chain.complete(text, ignore, account=Books())).model == "middle"


async def test_speed_is_measured(autojump_clock: trio.testing.MockClock) -> None:
    async def steady(on_text: OnText) -> Reply:
        await on_text("x")
        await trio.sleep(2)
        return Reply("x", "stop", Usage(10, 100))

    chain = chain_of(ScriptedEngine(steady))
    assert chain.statistics()[0].tokens_per_second is None
    await chain.complete(HELLO, ignore, account=Books())
    assert chain.statistics()[0].tokens_per_second == pytest.approx(50)


async def test_requests_whose_schema_is_refused_together_are_all_asked_without(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """DS-05: the second refusal is of what is not sent any more."""

    class TakesNoSchema(ScriptedEngine):
        async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
            await trio.sleep(1)
            if request.dialect != "none":
                raise RequestRefused("unknown field", status=400)
            return await super().chat(request, on_heard)

    engine = TakesNoSchema(answers)
    client = ModelClient(
        "small",
        engine,
        8192,
        trio.CapacityLimiter(4),
        dialects=("response_format", "structured_outputs", "none"),
    )
    chain = Chain([client], Models(provider="openai", chain=("small",)))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask_with_schema, chain)
    assert len(engine.requests) == 3
    assert client.dialects == ("none",)


async def test_a_cancelled_first_request_leaves_the_server_to_be_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CX-04: else its window and slots were a guess until it fails."""

    class TellsSlowly(ScriptedEngine):
        async def probe(self, _names: Sequence[str]) -> ServerFacts:
            await trio.sleep(3)
            return ServerFacts(windows={"small": 2048}, slots=1)

    client = ModelClient("small", TellsSlowly(answers), 8192, trio.CapacityLimiter(4))
    chain = Chain([client], Models(provider="openai", chain=("small",)))
    with trio.move_on_after(1):
        await chain.complete(HELLO, ignore, account=Books())
    await chain.complete(HELLO, ignore, account=Books())
    assert (client.window, client.limiter.total_tokens) == (2048, 1)


async def ask_with_schema(chain: Chain) -> None:
    await chain.complete(
        HELLO, ignore, account=lambda *_: None, wanted=Wanted(schema={})
    )
