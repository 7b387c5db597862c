"""What a model does now: it reads, thinks or writes. Told at a pace, while an answer is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.llm.chat import Heard
from penstock.llm.token_estimate import estimate
from penstock.words.events import ModelProgress

#: Takes what is told; may block.
OnProgress = Callable[[ModelProgress], Awaitable[None]]

#: Seconds between two of these facts: enough for a person who watches, and a short answer has none.
PACE = 2.0


@dataclass(eq=False, slots=True)
class Activity:
    """What was heard of one answer so far, in numbers."""

    #: Tokens of the prompt: our estimate, until the server tells.
    prompt: int
    phase: Literal["reading", "thinking", "writing"] = "reading"
    read: int | None = None
    tokens: int = 0
    _since: float = 0.0

    def hear(self, heard: Heard) -> None:
        """Take the next piece."""
        if heard.read is not None:
            self.read, self.prompt = heard.read, heard.of or self.prompt
            return
        phase: Literal["thinking", "writing"] = "writing" if heard.text else "thinking"
        if phase != self.phase:
            self.phase, self.tokens, self._since = phase, 0, trio.current_time()
        # Servers send a token at a time, or nearly so.
        self.tokens += estimate(heard.text or heard.thought)

    def told(self) -> ModelProgress:
        """As a fact."""
        if self.phase == "reading":
            return ModelProgress(phase="reading", tokens=self.prompt, read=self.read)
        seconds = trio.current_time() - self._since
        speed = round(self.tokens / seconds, 1) if seconds > 0 else None
        return ModelProgress(phase=self.phase, tokens=self.tokens, per_second=speed)


@asynccontextmanager
async def open_telling(
    activity: Activity, on_progress: OnProgress | None
) -> AsyncIterator[None]:
    """Tell of it now and then while the block runs; a failure of the block leaves it as it was."""
    if on_progress is None:
        yield
        return
    failed = DeferredFailure()
    async with trio.open_nursery() as telling_nursery:
        telling_nursery.start_soon(_tell, activity, on_progress)
        with failed:
            yield
        telling_nursery.cancel_scope.cancel(reason="the answer has ended")
    failed.reraise()


async def _tell(activity: Activity, on_progress: OnProgress) -> None:
    last: ModelProgress | None = None
    while True:
        await trio.sleep(PACE)
        if (told := activity.told()) != last:
            await on_progress(told)
            last = told
