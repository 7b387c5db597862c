"""One model of the chain, and one request to it: its deadline, its bounds and its cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from penstock.llm.budget import Spent, price
from penstock.llm.chat import ChatRequest, Engine, OnText, Reply
from penstock.llm.tokens import Calibration, estimate
from penstock.words.errors import ModelFailed

#: Weight of the newest measurement of speed.
_NEWEST = 0.3


@dataclass(slots=True)
class Link:
    """One model of the chain, with what its use has taught us."""

    name: str
    engine: Engine
    window: int
    limiter: trio.CapacityLimiter
    #: Nobody told us the window; it is a careful guess.
    window_assumed: bool = False
    #: The server generates until its window is full unless it is told when to stop.
    needs_limit: bool = False
    price_in: float | None = None
    price_out: float | None = None
    calibration: Calibration = field(default_factory=Calibration)
    requests: int = 0
    failures: int = 0
    tokens_per_second: float | None = None

    def measure(self, tokens: int, seconds: float) -> None:
        """Learn the speed from one answer."""
        if tokens and seconds > 0:
            speed = tokens / seconds
            known = speed if self.tokens_per_second is None else self.tokens_per_second
            self.tokens_per_second = known + _NEWEST * (speed - known)


class Try:
    """One request to one model; `spent` is what it cost, also when it failed."""

    def __init__(
        self,
        link: Link,
        request: ChatRequest,
        estimated: int,
        on_text: OnText,
        largest: int,
    ) -> None:
        self._link = link
        self._request = request
        self._estimated = estimated
        self._on_text = on_text
        self._room = largest
        self._parts: list[str] = []
        self._first_at = 0.0
        self.spent = Spent()

    @property
    def heard(self) -> bool:
        """Whether a piece of the answer was handed over."""
        return bool(self._parts)

    async def run(self, seconds: float) -> Reply:
        """The whole answer, within so many seconds."""
        started = trio.current_time()
        self._link.requests += 1
        reply: Reply | None = None
        try:
            with trio.move_on_after(seconds):
                reply = await self._link.engine.chat(self._request, self._hear)
        finally:
            self.spent = self._cost(reply, trio.current_time() - started)
        if reply is None:
            where = f"{self._request.model} at {self._link.engine.url}"
            raise ModelFailed(f"{where} did not finish its answer within {seconds:g} s")
        self._learn(reply)
        return reply

    async def _hear(self, text: str) -> None:
        self._first_at = self._first_at or trio.current_time()
        self._room -= len(text.encode("utf-8", "surrogatepass"))
        if self._room < 0:
            raise ModelFailed(
                f"the answer of {self._request.model} is longer than allowed"
            )
        self._parts.append(text)
        await self._on_text(text)

    def _cost(self, reply: Reply | None, seconds: float) -> Spent:
        if reply is None and not self._parts:
            return Spent(seconds=seconds)
        usage = reply.usage if reply else None
        tokens_in = usage.tokens_in if usage else None
        tokens_out = usage.tokens_out if usage else None
        if tokens_in is None:
            tokens_in = self._link.calibration.apply(self._estimated)
        if tokens_out is None:
            tokens_out = estimate("".join(self._parts))
        cost = price(tokens_in, tokens_out, self._link.price_in, self._link.price_out)
        return Spent(tokens_in, tokens_out, cost, seconds)

    def _learn(self, reply: Reply) -> None:
        link = self._link
        link.calibration = link.calibration.learn(
            self._estimated, reply.usage.tokens_in
        )
        since_first = trio.current_time() - self._first_at
        link.measure(self.spent.tokens_out, reply.usage.seconds or since_first)
