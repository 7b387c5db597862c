"""The configured models, small to large, and the one way to ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import trio

from penstock.llm.attempt import Attempt
from penstock.llm.away import PASSING, is_away
from penstock.llm.budget import Spent
from penstock.llm.chat import (
    ChatRequest,
    Engine,
    Message,
    OnHeard,
    Reply,
    RequestRefused,
    StreamBroken,
    valid_text,
)
from penstock.llm.model_client import (
    ModelClient,
    ModelClientStatistics,
    statistics_of,
)
from penstock.llm.probing import look_at
from penstock.llm.routing import ContextWindow, choose
from penstock.llm.token_estimate import PER_MESSAGE, estimate_messages
from penstock.runs.receipts import ModelSlot
from penstock.words.backoff import backoff
from penstock.words.config import Models, Role
from penstock.words.errors import ContextTooLarge, ModelFailed

#: As all are asked who say nothing of a role.
ANY_ROLE = Role()

#: Told whether the slot of a request that was cut off is free.
OnCut = Callable[[ModelSlot], None]

#: Seconds that a server has to free the slot of such a request: a part of a cancel's time.
SLOT_SECONDS = 1.5
_SLOT_PAUSE = 0.05

#: Percent of a window from which on a prompt is counted by the server: below it the estimate will do.
COUNTED_FROM = 40

#: Seconds before the second try; doubled for each further one.
FIRST_PAUSE = 0.5
#: Seconds to which that grows: nobody waits so long, and what is longer than he does is no try.
LONGEST_PAUSE = 86_400.0


def pause_before_retry(
    error: ModelFailed, *, failed: int, retries: int, longest: float
) -> float | None:
    """Seconds until the next try after `failed` tries; None if there is none.

    A server's `Retry-After` counts, unless it is longer than `longest` seconds. A server that is
    absent is not tried again here: its run waits for it without a slot.
    """
    if failed > retries:
        return None
    pause = backoff(failed, FIRST_PAUSE, LONGEST_PAUSE)
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


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, who gave it, and what it cost."""

    reply: Reply
    model: str
    spent: Spent


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an answer is to be, and who may give it."""

    #: Tokens at most; None: as for all.
    max_tokens: int | None = None
    temperature: float | None = None
    schema: Mapping[str, Any] | None = None
    #: A model that is not to be asked again, if there is a larger one.
    above: str = ""
    #: Only its models are asked, and as it says.
    role: Role = ANY_ROLE


#: As who says nothing wants it.
ANY_ANSWER = Wanted()


class Chain:
    """The models; made by `open_models`, shared by all runs."""

    def __init__(self, model_clients: Sequence[ModelClient], config: Models) -> None:
        self.model_clients: Mapping[str, ModelClient] = {
            model_client.name: model_client for model_client in model_clients
        }
        self.config = config
        self._probing = trio.Lock()

    def windows(self) -> tuple[ContextWindow, ...]:
        """The chain, small to large."""
        return tuple(
            ContextWindow(model_client.name, model_client.window)
            for model_client in self.model_clients.values()
        )

    def statistics(self) -> tuple[ModelClientStatistics, ...]:
        """A snapshot, small to large."""
        return tuple(map(statistics_of, self.model_clients.values()))

    async def is_back(self, url: str) -> bool:
        """Whether a server that was away can be asked again, be it to hear what else is wrong."""
        there = [m for m in self.model_clients.values() if m.engine.url == url]
        look = (await look_at(there, self.config.connect_timeout))[url]
        return not look.problem or not (look.passes or look.absent)

    async def _get_acquainted(self) -> None:
        """Have each server tell of itself before it is first asked, and after it was away.

        Without an answer goes what the configuration says: the request itself will tell what is wrong.
        """
        async with self._probing:
            strange = [m for m in self.model_clients.values() if not m.known]
            if strange:
                await look_at(strange, self.config.connect_timeout)
            # Not before: whoever is cancelled meanwhile has learned nothing.
            for model_client in strange:
                model_client.known = True

    async def complete(
        self,
        messages: Sequence[Message],
        on_heard: OnHeard,
        *,
        account: Callable[[str, Spent], None],
        wanted: Wanted = ANY_ANSWER,
        on_cut: OnCut | None = None,
    ) -> Completion:
        """Ask the smallest model that has room for the prompt.

        `on_cut` is told what becomes of a request that is cancelled, where its server tells its slots.

        `account` is told what each try cost, an unfinished one by our estimate. ContextTooLarge if
        no model has room; ModelUnreachable, RequestRefused, StreamBroken, ModelFailed when the
        tries are used up.
        """
        await self._get_acquainted()
        windows = self._above(wanted.above, wanted.role)
        estimated = estimate_messages(messages)
        needed = {
            window.model: await self._count(window.model, messages, estimated)
            for window in windows
        }
        while True:
            window = choose(windows, needed.__getitem__)
            model_client = self.model_clients[window.model]
            most = wanted.max_tokens or self.config.answer_tokens
            request = _request(
                model_client, messages, needed[window.model], most, wanted
            )
            try:
                return await self._persist(
                    model_client, request, estimated, on_heard, account, on_cut
                )
            except RequestRefused as error:
                if is_overflow(error):
                    windows = windows[windows.index(window) + 1 :]
                    if windows:
                        continue
                    raise ContextTooLarge(str(error), model=window.model) from None
                otherwise = refuses_schema(error, request)
                if not otherwise or not model_client.forget_dialect(request.dialect):
                    raise

    async def _run(
        self, attempt: Attempt, model_client: ModelClient, on_cut: OnCut | None
    ) -> Reply:
        """One request. If it is cut off, it is told what becomes of its slot, where the server tells that.

        Until then its place is kept: the next request would wait in the server, and look as if it had the slot.
        """
        try:
            return await attempt.run()
        except trio.Cancelled:
            if on_cut is not None and model_client.facts.llama_cpp:
                with trio.move_on_after(SLOT_SECONDS + 1, shield=True):
                    slot = await self._slot_of(model_client.engine)
                    if slot is not None:
                        on_cut(slot)
            raise

    async def _slot_of(self, engine: Engine) -> ModelSlot | None:
        """Whether a server works no more on a request that was cut off, as far as its slots tell."""
        give_up = trio.current_time() + SLOT_SECONDS
        while True:
            try:
                busy = await engine.busy_slots()
            except ModelFailed:
                return None
            if busy is None:
                return None
            # Those of ours that it works on, and this one.
            ours = sum(
                one.limiter.borrowed_tokens
                for one in self.model_clients.values()
                if one.engine.url == engine.url
            )
            if busy < ours:
                return "free"
            if trio.current_time() >= give_up:
                return "busy"
            await trio.sleep(_SLOT_PAUSE)

    async def _count(
        self, model: str, messages: Sequence[Message], estimated: int
    ) -> int:
        """Tokens of a prompt: our estimate or, near a window's limit, what the server counts if it does."""
        model_client = self.model_clients[model]
        needed = model_client.calibration.apply(estimated)
        counts = model_client.facts.llama_cpp
        if not counts or needed * 100 < model_client.window * COUNTED_FROM:
            return needed
        told = None
        with suppress(ModelFailed), trio.move_on_after(self.config.connect_timeout):
            text = "\n".join(message.content for message in messages)
            told = await model_client.engine.count_tokens(text)
        return needed if told is None else told + PER_MESSAGE * len(messages)

    def has_above(self, model: str, role: Role = ANY_ROLE) -> bool:
        """Whether there is a larger model than this one, for a role."""
        return self._above(model, role) != self._above("", role)

    def _above(self, model: str, role: Role) -> tuple[ContextWindow, ...]:
        wanted = set(role.chain) or set(self.model_clients)
        windows = tuple(one for one in self.windows() if one.model in wanted)
        names = [window.model for window in windows]
        larger = windows[names.index(model) + 1 :] if model in names else windows
        return larger or windows

    async def _persist(
        self,
        model_client: ModelClient,
        request: ChatRequest,
        estimated: int,
        on_heard: OnHeard,
        account: Callable[[str, Spent], None],
        on_cut: OnCut | None,
    ) -> Completion:
        """Try until an answer comes, or the tries are used up."""
        for failed in count(1):
            attempt = Attempt(model_client, request, estimated, on_heard, self.config)
            try:
                async with model_client.limiter:
                    reply = await self._run(attempt, model_client, on_cut)
                return Completion(reply, model_client.name, attempt.spent)
            except ModelFailed as error:
                model_client.failures += 1
                error.facts |= {
                    "server": model_client.engine.url,
                    "heard": attempt.heard,
                }
                # A server that comes back may have another window, or another model.
                model_client.known &= not is_away(error, self.config.longest_pause)
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
    needed: int,
    max_tokens: int,
    wanted: Wanted,
) -> ChatRequest:
    room = max(1, model_client.window - needed)
    sent = [Message(message.role, valid_text(message.content)) for message in messages]
    return ChatRequest(
        model_client.name,
        sent,
        model_client.window,
        min(max_tokens, room),
        wanted.temperature,
        wanted.schema,
        model_client.dialects[0],
        thinking=wanted.role.thinking,
        extra=wanted.role.extra,
        progress=model_client.facts.llama_cpp,
    )
