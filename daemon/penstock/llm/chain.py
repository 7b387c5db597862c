"""The configured models, small to large, and the one way to ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import trio

from penstock.llm.budget import Spent
from penstock.llm.chat import (
    ChatRequest,
    Message,
    OnText,
    Reply,
    RequestRefused,
    valid_text,
)
from penstock.llm.link import Link, Try
from penstock.llm.retries import is_overflow, pause_before_retry
from penstock.llm.routing import Window, choose
from penstock.llm.tokens import estimate_messages
from penstock.words.config import Models
from penstock.words.errors import ContextTooLarge, ModelFailed


@dataclass(frozen=True, slots=True)
class LinkStatistics:
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

    def __init__(self, links: Sequence[Link], config: Models) -> None:
        self.links: Mapping[str, Link] = {link.name: link for link in links}
        self.config = config

    def windows(self) -> tuple[Window, ...]:
        """The chain, small to large."""
        return tuple(Window(link.name, link.window) for link in self.links.values())

    def statistics(self) -> tuple[LinkStatistics, ...]:
        """A snapshot, small to large."""
        return tuple(_statistics(link) for link in self.links.values())

    async def complete(
        self,
        messages: Sequence[Message],
        on_text: OnText,
        *,
        account: Callable[[str, Spent], None],
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Completion:
        """Ask the smallest model that has room for the prompt.

        `account` is told what each try cost, an unfinished one by our estimate. ContextTooLarge if
        no model has room; ModelUnreachable, RequestRefused, StreamBroken, ModelFailed when the
        tries are used up.
        """
        windows = self.windows()
        estimated = estimate_messages(messages)
        while True:
            window = choose(
                windows, lambda model: self.links[model].calibration.apply(estimated)
            )
            link = self.links[window.model]
            request = _request(link, messages, estimated, max_tokens, temperature)
            try:
                return await self._persist(link, request, estimated, on_text, account)
            except RequestRefused as error:
                if not is_overflow(error):
                    raise
                windows = windows[windows.index(window) + 1 :]
                if not windows:
                    raise ContextTooLarge(str(error), model=link.name) from None

    async def _persist(
        self,
        link: Link,
        request: ChatRequest,
        estimated: int,
        on_text: OnText,
        account: Callable[[str, Spent], None],
    ) -> Completion:
        """Try until an answer comes, or the tries are used up."""
        for failed in count(1):
            attempt = Try(link, request, estimated, on_text, self.config.answer_bytes)
            try:
                async with link.limiter:
                    reply = await attempt.run(self.config.request_timeout)
                return Completion(reply, link.name, attempt.spent)
            except ModelFailed as error:
                link.failures += 1
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
                    account(link.name, attempt.spent)
            await trio.sleep(pause)
        raise AssertionError("unreachable")


def _request(
    link: Link,
    messages: Sequence[Message],
    estimated: int,
    max_tokens: int | None,
    temperature: float | None,
) -> ChatRequest:
    room = max(1, link.window - link.calibration.apply(estimated))
    if max_tokens is not None:
        max_tokens = min(max_tokens, room)
    elif link.needs_limit:
        max_tokens = room
    sent = [Message(message.role, valid_text(message.content)) for message in messages]
    return ChatRequest(link.name, sent, link.window, max_tokens, temperature)


def _statistics(link: Link) -> LinkStatistics:
    limiter = link.limiter.statistics()
    return LinkStatistics(
        model=link.name,
        url=link.engine.url,
        window=link.window,
        window_assumed=link.window_assumed,
        requests=link.requests,
        failures=link.failures,
        active=limiter.borrowed_tokens,
        waiting=limiter.tasks_waiting,
        tokens_per_second=link.tokens_per_second,
        reported_per_estimated=link.calibration.ratio,
    )
