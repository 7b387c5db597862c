"""The configured models, small to large, and the one way to ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import trio

from penstock.llm.budget import Spent, price
from penstock.llm.chat import (
    ChatRequest,
    Engine,
    Message,
    OnText,
    Reply,
    RequestRefused,
    SchemaDialect,
    StreamBroken,
    valid_text,
)
from penstock.llm.routing import ContextWindow, choose
from penstock.llm.token_estimate import Calibration, estimate, estimate_messages
from penstock.words.config import Models
from penstock.words.errors import ContextTooLarge, ModelFailed

#: Seconds before the second try; doubled for each further one.
FIRST_PAUSE = 0.5

#: Statuses by which a server says "not now" rather than "not like this".
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


def pause_before_retry(
    error: ModelFailed, *, failed: int, retries: int, longest: float
) -> float | None:
    """Seconds until the next try after `failed` tries; None if there is none.

    A server's `Retry-After` counts, unless it is longer than `longest` seconds. A server that is
    absent is not tried again: its run fails within the connect timeout.
    """
    if failed > retries:
        return None
    pause = FIRST_PAUSE * 2 ** (failed - 1)
    if isinstance(error, RequestRefused):
        if error.status not in PASSING:
            return None
        pause = pause if error.retry_after is None else error.retry_after
    elif not isinstance(error, StreamBroken):
        return None
    return pause if pause <= longest else None


def is_overflow(error: RequestRefused) -> bool:
    """Whether the server says that the prompt exceeds the model's window.

    There is no common code for it; every known server uses the word.
    """
    return error.status in (400, 413) and "context" in str(error).lower()


def refuses_schema(error: RequestRefused, request: ChatRequest) -> bool:
    """Whether a request may be refused for the schema in it.

    Servers word it in every way, so it is asked again without: that costs a moment, once.
    """
    sent = request.schema is not None and request.dialect != "none"
    return sent and error.status in {400, 404, 415, 422, 501} and not is_overflow(error)


#: Weight of the newest measurement of speed.
_NEWEST = 0.3


@dataclass(slots=True)
class ModelClient:
    """One model of the chain, with what its use has taught us."""

    name: str
    engine: Engine
    window: int
    limiter: trio.CapacityLimiter
    #: Nobody told us the window; it is a careful guess.
    window_assumed: bool = False
    #: How the server may be told of a schema, the first it has not refused counts.
    dialects: tuple[SchemaDialect, ...] = ("none",)
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


class Attempt:
    """One request to one model; `spent` is what it cost, also when it failed."""

    def __init__(
        self,
        model_client: ModelClient,
        request: ChatRequest,
        estimated: int,
        on_text: OnText,
        largest: int,
    ) -> None:
        self._model_client = model_client
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
        self._model_client.requests += 1
        reply: Reply | None = None
        try:
            with trio.move_on_after(seconds):
                reply = await self._model_client.engine.chat(self._request, self._hear)
        finally:
            self.spent = self._cost(reply, trio.current_time() - started)
        if reply is None:
            where = f"{self._request.model} at {self._model_client.engine.url}"
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
            tokens_in = self._model_client.calibration.apply(self._estimated)
        if tokens_out is None:
            tokens_out = estimate("".join(self._parts))
        cost = price(
            tokens_in,
            tokens_out,
            self._model_client.price_in,
            self._model_client.price_out,
        )
        return Spent(tokens_in, tokens_out, cost, seconds)

    def _learn(self, reply: Reply) -> None:
        model_client = self._model_client
        model_client.calibration = model_client.calibration.learn(
            self._estimated, reply.usage.tokens_in
        )
        since_first = trio.current_time() - self._first_at
        model_client.measure(self.spent.tokens_out, reply.usage.seconds or since_first)


@dataclass(frozen=True, slots=True)
class ModelClientStatistics:
    """One model of the chain as surfaces show it."""

    model: str
    url: str
    window: int
    window_assumed: bool
    requests: int
    failures: int
    #: Requests under way, and those waiting for one of them to end.
    active: int
    waiting: int
    tokens_per_second: float | None
    #: Tokens the provider reports per token we estimate.
    reported_per_estimated: float


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, who gave it, and what it cost."""

    reply: Reply
    model: str
    spent: Spent


class Chain:
    """The models; made by `open_models`, shared by all runs."""

    def __init__(self, model_clients: Sequence[ModelClient], config: Models) -> None:
        self.model_clients: Mapping[str, ModelClient] = {
            model_client.name: model_client for model_client in model_clients
        }
        self.config = config

    def windows(self) -> tuple[ContextWindow, ...]:
        """The chain, small to large."""
        return tuple(
            ContextWindow(model_client.name, model_client.window)
            for model_client in self.model_clients.values()
        )

    def statistics(self) -> tuple[ModelClientStatistics, ...]:
        """A snapshot, small to large."""
        return tuple(
            _statistics(model_client) for model_client in self.model_clients.values()
        )

    async def complete(
        self,
        messages: Sequence[Message],
        on_text: OnText,
        *,
        account: Callable[[str, Spent], None],
        max_tokens: int | None = None,
        temperature: float | None = None,
        schema: Mapping[str, Any] | None = None,
        above: str = "",
    ) -> Completion:
        """Ask the smallest model that has room for the prompt; one larger than `above`, if there is one.

        `account` is told what each try cost, an unfinished one by our estimate. ContextTooLarge if
        no model has room; ModelUnreachable, RequestRefused, StreamBroken, ModelFailed when the
        tries are used up.
        """
        windows = self._above(above)
        estimated = estimate_messages(messages)
        while True:
            window = choose(
                windows,
                lambda model: self.model_clients[model].calibration.apply(estimated),
            )
            model_client = self.model_clients[window.model]
            request = _request(
                model_client,
                messages,
                estimated,
                max_tokens or self.config.answer_tokens,
                temperature,
                schema,
            )
            try:
                return await self._persist(
                    model_client, request, estimated, on_text, account
                )
            except RequestRefused as error:
                if refuses_schema(error, request):
                    if len(model_client.dialects) == 1:
                        raise
                    model_client.dialects = model_client.dialects[1:]
                    continue
                if not is_overflow(error):
                    raise
                windows = windows[windows.index(window) + 1 :]
                if not windows:
                    raise ContextTooLarge(str(error), model=model_client.name) from None

    def _above(self, model: str) -> tuple[ContextWindow, ...]:
        windows = self.windows()
        names = [window.model for window in windows]
        larger = windows[names.index(model) + 1 :] if model in names else windows
        return larger or windows

    async def _persist(
        self,
        model_client: ModelClient,
        request: ChatRequest,
        estimated: int,
        on_text: OnText,
        account: Callable[[str, Spent], None],
    ) -> Completion:
        """Try until an answer comes, or the tries are used up."""
        for failed in count(1):
            attempt = Attempt(
                model_client, request, estimated, on_text, self.config.answer_bytes
            )
            try:
                async with model_client.limiter:
                    reply = await attempt.run(self.config.request_timeout)
                return Completion(reply, model_client.name, attempt.spent)
            except ModelFailed as error:
                model_client.failures += 1
                pause = pause_before_retry(
                    error,
                    failed=failed,
                    retries=self.config.retries,
                    longest=self.config.longest_pause,
                )
                # What was handed over cannot be taken back, so it must not be said twice.
                if pause is None or attempt.heard:
                    raise
            finally:
                if attempt.spent.tokens or attempt.spent.seconds:
                    account(model_client.name, attempt.spent)
            await trio.sleep(pause)
        raise AssertionError("unreachable")


def _request(
    model_client: ModelClient,
    messages: Sequence[Message],
    estimated: int,
    max_tokens: int,
    temperature: float | None,
    schema: Mapping[str, Any] | None,
) -> ChatRequest:
    room = max(1, model_client.window - model_client.calibration.apply(estimated))
    sent = [Message(message.role, valid_text(message.content)) for message in messages]
    return ChatRequest(
        model_client.name,
        sent,
        model_client.window,
        min(max_tokens, room),
        temperature,
        schema,
        model_client.dialects[0],
    )


def _statistics(model_client: ModelClient) -> ModelClientStatistics:
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
        tokens_per_second=model_client.tokens_per_second,
        reported_per_estimated=model_client.calibration.ratio,
    )
