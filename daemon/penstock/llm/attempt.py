"""One request to one model: what is heard, how long it may take, what it cost."""

from __future__ import annotations

import trio

from penstock.llm.budget import Spent, price
from penstock.llm.chat import ChatRequest, Heard, OnHeard, Reply, RequestRefused
from penstock.llm.model_client import ModelClient
from penstock.llm.token_estimate import estimate
from penstock.words.config import Models
from penstock.words.errors import ModelFailed, ModelUnreachable


class Attempt:
    """One request to one model; `spent` is what it cost, also when it failed."""

    def __init__(
        self,
        model_client: ModelClient,
        request: ChatRequest,
        estimated: int,
        on_heard: OnHeard,
        config: Models,
    ) -> None:
        self._model_client = model_client
        self._request = request
        self._estimated = estimated
        self._on_heard = on_heard
        self._config = config
        self._room = config.answer_bytes
        self._parts: list[str] = []
        self._thoughts: list[str] = []
        self._first_at: float | None = None
        self._limit = trio.CancelScope()
        #: The server may have worked on it, if only on the prompt.
        self._sent = False
        self.spent = Spent()

    @property
    def heard(self) -> bool:
        """Whether a piece of the answer was handed over."""
        return bool(self._parts)

    async def run(self) -> Reply:
        """The whole answer.

        Until its first word there is patience, since other requests may be before it in the server,
        and a long prompt takes minutes to read; from then on it has `request_timeout`.
        """
        started = trio.current_time()
        self._model_client.requests += 1
        reply: Reply | None = None
        self._limit.deadline = started + self._config.first_word_timeout
        try:
            with self._limit:
                self._sent = True
                reply = await self._model_client.engine.chat(self._request, self._hear)
        except (ModelUnreachable, RequestRefused):
            self._sent = False
            raise
        finally:
            self.spent = self._cost(reply, trio.current_time() - started)
        if reply is None:
            raise ModelFailed(self._late())
        self._learn(reply)
        return reply

    def _late(self) -> str:
        where = f"{self._request.model} at {self._model_client.engine.url}"
        if self._first_at is not None:
            limit = self._config.request_timeout
            return f"{where} did not finish its answer within {limit:g} s (models.request_timeout)"
        limit = self._config.first_word_timeout
        return f"{where} said nothing within {limit:g} s (models.first_word_timeout)"

    async def _hear(self, heard: Heard) -> None:
        text = heard.text or heard.thought
        if text and self._first_at is None:
            self._first_at = trio.current_time()
            self._limit.deadline = self._first_at + self._config.request_timeout
        self._room -= len(text.encode("utf-8", "surrogatepass"))
        if self._room < 0:
            raise ModelFailed(
                f"the answer of {self._request.model} is longer than allowed"
            )
        if heard.text:
            self._parts.append(heard.text)
        elif heard.thought:
            self._thoughts.append(heard.thought)
        await self._on_heard(heard)

    def _cost(self, reply: Reply | None, seconds: float) -> Spent:
        if reply is None and not self._sent:
            return Spent(seconds=seconds)
        usage = reply.usage if reply else None
        tokens_in = usage.tokens_in if usage else None
        tokens_out = usage.tokens_out if usage else None
        if tokens_in is None:
            tokens_in = self._model_client.calibration.apply(self._estimated)
        if tokens_out is None:
            tokens_out = estimate("".join([*self._thoughts, *self._parts]))
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
        if (seconds := reply.usage.seconds) is None and self._first_at is not None:
            seconds = trio.current_time() - self._first_at
        model_client.measure(self.spent.tokens_out, seconds)
