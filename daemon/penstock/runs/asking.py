"""Asking a person, durably: the question and the answer are facts, so both outlive a restart."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import trio

from penstock.log.writes import Answer
from penstock.words.errors import AlreadyAnswered, AskExpired
from penstock.words.events import AskRaised
from penstock.words.values import new_event_id

if TYPE_CHECKING:
    from penstock.runs.run import Run


async def ask_person(
    run: Run,
    name: str,
    question: str,
    choices: Sequence[str],
    default: str | None,
    expires: float | None,
) -> str:
    """Raise the question unless it was raised before, and wait for its answer without the slot."""
    if name not in run.view.asks:
        until = (
            None if expires is None else run.tools.now() + timedelta(seconds=expires)
        )
        await run.emit(
            AskRaised(
                name=name,
                question=question,
                choices=tuple(choices),
                default=default,
                expires_at=until,
            )
        )
    answer: str | None = run.view.asks[name].answer
    if answer is not None:
        return answer
    if run.tools.parked() >= run.config.max_parked_asks:
        return await _wait_answered(run, name)
    async with run.parking.open_parked(f"asks: {name}"):
        answer = await _wait_answered(run, name)
    return answer  # noqa: RET504  (the slot is taken again before)


async def _wait_answered(run: Run, name: str) -> str:
    ask = run.view.asks[name]
    with trio.CancelScope() as scope:
        if ask.expires_at is not None:
            left = (ask.expires_at - run.tools.now()).total_seconds()
            scope.deadline = trio.current_time() + max(left, 0.0)
        return await _answer_of(run, name)
    if ask.default is None:
        raise AskExpired(f"nobody answered {name!r} in time, and it has no default")
    default = Answer(
        run.run_id, name, ask.default, "default", run.tools.now(), new_event_id()
    )
    # An answer that came in the same moment wins: ours is refused, and theirs is read.
    with suppress(AlreadyAnswered):
        await run.tools.recorder.decide(default)
    return await _answer_of(run, name)


async def _answer_of(run: Run, name: str) -> str:
    """Wait on the log: the view is folded in the step in which the answer is published."""
    while True:
        answer: str | None = run.view.asks[name].answer
        if answer is not None:
            return answer
        await run.tools.bus.wait_published(run.run_id)
