"""What a run asks people: a question is put once, and the first answer holds, over restarts too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import trio

from penstock.log.bus import Bus
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.writes import Answer
from penstock.runs.artifact_writer import Emit
from penstock.words.errors import AlreadyAnswered, AskExpired, AskNotFound
from penstock.words.events import AskRaised, AskWithdrawn
from penstock.words.values import new_event_id


@dataclass(frozen=True, slots=True)
class Questions:
    """Those of one run. `view_of` gives the run as its recorded facts tell it now."""

    run_id: str
    recorder: Recorder
    bus: Bus
    now: Callable[[], datetime]
    view_of: Callable[[str], RunView]
    emit: Emit

    def was_put(self, name: str) -> bool:
        """Whether this execution, or an earlier one, has asked it."""
        return name in self.view_of(self.run_id).asks

    def answer_to(self, name: str) -> str | None:
        """The answer, if there is one."""
        answer: str | None = self.view_of(self.run_id).asks[name].answer
        return answer

    async def put(
        self,
        name: str,
        question: str,
        choices: Sequence[str],
        default: str | None,
        expires: float | None,
        details: Mapping[str, Any],
    ) -> None:
        """Ask; `expires` in seconds from now, `details` for who answers to see."""
        until = None if expires is None else self.now() + timedelta(seconds=expires)
        await self.emit(
            AskRaised(
                name=name,
                question=question,
                choices=tuple(choices),
                default=default,
                expires_at=until,
                details=dict(details),
            )
        )

    async def answer(self, name: str, text: str, by: str) -> None:
        """Answer it here. An answer that came in the same moment wins, and theirs is read."""
        answer = Answer(self.run_id, name, text, by, self.now(), new_event_id())
        with suppress(AlreadyAnswered):
            await self.recorder.record(answer)

    async def withdraw(self, name: str, reason: str) -> None:
        """Take it back, for it takes an answer no more. One that was answered stays so.

        One that the view does not have yet may be on its way, put by who was cancelled meanwhile.
        """
        ask = self.view_of(self.run_id).asks.get(name)
        if ask is not None and not ask.open:
            await trio.lowlevel.checkpoint()
            return
        with suppress(AlreadyAnswered, AskNotFound):
            await self.emit(AskWithdrawn(name=name, reason=reason))

    async def wait_answered(self, name: str) -> str:
        """The answer, or the default once nobody came in time. AskExpired without one, or once it is withdrawn."""
        ask = self.view_of(self.run_id).asks[name]
        with trio.CancelScope() as scope:
            if ask.expires_at is not None:
                left = (ask.expires_at - self.now()).total_seconds()
                scope.deadline = trio.current_time() + max(left, 0.0)
            return await self._wait_answer(name)
        if ask.default is None:
            raise AskExpired(f"nobody answered {name!r} in time, and it has no default")
        await self.answer(name, ask.default, "default")
        return await self._wait_answer(name)

    async def _wait_answer(self, name: str) -> str:
        """Wait on the log: the view is folded in the step in which the answer is published."""
        while (answer := self.answer_to(name)) is None:
            why = self.view_of(self.run_id).asks[name].withdrawn
            if why is not None:
                raise AskExpired(f"the question {name!r} was taken back: {why}")
            await self.bus.wait_published(self.run_id)
        return answer
