"""One model of the chain: its server, its window, and what its use has taught us."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from penstock.llm.chat import Engine, SchemaDialect, ServerFacts
from penstock.llm.token_estimate import Calibration

#: Weight of the newest measurement of speed.
_NEWEST = 0.3

#: Tokens a second beyond which an answer was held back and came at once.
_FASTEST = 10_000.0

#: Requests to one model at once, where neither the configuration nor the server says how many.
ASSUMED_SLOTS = 4


@dataclass(slots=True)
class ModelClient:
    """One model of the chain, with what its use has taught us."""

    name: str
    engine: Engine
    window: int
    limiter: trio.CapacityLimiter
    #: Nobody told us the window; it is a careful guess.
    window_assumed: bool = False
    #: What the configuration says of window and requests at once; None: nothing.
    configured_window: int | None = None
    concurrency: int | None = None
    #: How the server may be told of a schema, the first it has not refused counts.
    dialects: tuple[SchemaDialect, ...] = ("none",)
    price_in: float | None = None
    price_out: float | None = None
    calibration: Calibration = field(default_factory=Calibration)
    requests: int = 0
    failures: int = 0
    tokens_per_second: float | None = None
    #: Whether the server has told of itself since it last failed, and what.
    known: bool = False
    facts: ServerFacts = field(default_factory=ServerFacts)

    def measure(self, tokens: int, seconds: float | None) -> None:
        """Learn the speed from one answer; one that came in a single piece tells none."""
        if tokens and seconds and tokens / seconds < _FASTEST:
            speed = tokens / seconds
            known = speed if self.tokens_per_second is None else self.tokens_per_second
            self.tokens_per_second = known + _NEWEST * (speed - known)

    def forget_dialect(self, refused: SchemaDialect) -> bool:
        """Say schemas otherwise from now on; False if there is no other way.

        Requests that were under way are refused after the first one.
        """
        if self.dialects == (refused,):
            return False
        self.dialects = tuple(one for one in self.dialects if one != refused)
        return True

    def learn(self, facts: ServerFacts) -> None:
        """Take what the server tells of itself: what it cannot do, no configuration makes it do."""
        self.known, self.facts = True, facts
        told = facts.window_of(self.name)
        if told is not None:
            self.window = min(told, self.configured_window or told)
            self.window_assumed = False
        if facts.slots is not None:
            self.limiter.total_tokens = min(
                facts.slots, self.concurrency or facts.slots
            )


@dataclass(frozen=True, slots=True)
class ModelClientStatistics:
    """One model of the chain as surfaces show it."""

    model: str
    url: str
    window: int
    window_assumed: bool
    requests: int
    failures: int
    #: Requests under way, and those waiting for one of them to end; how many may be at once.
    active: int
    waiting: int
    slots: int
    tokens_per_second: float | None
    #: Tokens the provider reports per token we estimate.
    reported_per_estimated: float


def statistics_of(model_client: ModelClient) -> ModelClientStatistics:
    """A snapshot."""
    limiter = model_client.limiter.statistics()
    return ModelClientStatistics(
        model=model_client.name,
        url=model_client.engine.url,
        window=model_client.window,
        window_assumed=model_client.window_assumed,
        requests=model_client.requests,
        failures=model_client.failures,
        active=limiter.borrowed_tokens,
        waiting=limiter.tasks_waiting,
        slots=int(limiter.total_tokens),
        tokens_per_second=model_client.tokens_per_second,
        reported_per_estimated=model_client.calibration.ratio,
    )
