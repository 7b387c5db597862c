"""What the stages of one coding run share, and the three things they do: tell, ask, test.

A model's answer is shown as artifacts while it is being written. An answer that turns out to be
unusable is followed by another one with a higher attempt number, and clients drop what came before;
the artifact of the last answer is completed when the answer counts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import trio

from penstock.kinds.coding.deciding import words_of
from penstock.kinds.coding.history import CodingHistory
from penstock.kinds.coding.inputs import CodingInputs
from penstock.kinds.coding.work_tree import WorkTree
from penstock.pipeline import (
    Artifact,
    Check,
    CodeMark,
    DeferredFailure,
    Layers,
    OnDelta,
    PromptCache,
    Recorded,
    Run,
    TestFailed,
    TestPassed,
    TestStarted,
    build_layers,
    end_in_words,
    load_programs,
)

#: Characters of a test run's output that a model is shown: its end, where the summary stands.
LONGEST_OUTPUT = 6000
#: Lines and characters of it in the event; the whole is in the run's log.
SUMMARY_LINES = 3
LONGEST_SUMMARY = 500

#: Facts that no model is shown: whole files, which questions quote, and the noise of work.
_NOT_SHOWN = frozenset({
    "run.queued", "step.completed", "process.started", "process.exited", "model.used",
    "run.waiting", "run.resumed", "artifact.completed",
})  # fmt: skip

#: Compiled files carry times in whole seconds, and corrections come faster than that; and what a
#: test said before it hung must not be stuck in its buffer.
_TEST_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(eq=False, slots=True)
class Work:
    """The run, what it has told, and where it works."""

    run: Run
    inputs: CodingInputs
    history: CodingHistory
    tree: WorkTree
    prompts: PromptCache = field(default_factory=PromptCache)
    #: Answers to the plan's questions.
    answers: list[str] = field(default_factory=list)
    #: Sequence up to which the user's words were told to a model.
    heard: int = 0
    #: Number and fact of the newest code.
    version: int = 0
    code: Recorded | None = None
    #: How often each module was written.
    iterations: dict[str, int] = field(default_factory=dict)

    @property
    def notes(self) -> str:
        """What people have said: answers, then their own words."""
        return "\n".join([*self.answers, words_of(self.history.facts)]).strip()

    def current_mark(self) -> CodeMark:
        """The code as the log knows it now."""
        view = self.run.view
        return CodeMark(view.code_version, view.code_clock, view.code_hash)

    async def ask(
        self,
        name: str,
        signature: str,
        make_inputs: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        current: Recorded,
        shape: Callable[[Mapping[str, Any]], Any],
        check: Check | None = None,
        artifacts: Mapping[str, str] | None = None,
    ) -> Any:
        """Ask a model as a step: once, whatever happens to the run; what `shape` makes of the answer.

        `shape` gives JSON. An input named `notes` tells the model what people have said so far.
        """

        async def ask_now() -> dict[str, Any]:
            await self.history.catch_up()
            heard = self._last_words()
            inputs = {"task": self.inputs.prompt, **await make_inputs()}
            layers = self._layers(current)
            await load_programs()
            # Imported late: it needs DSPy, which takes seconds to load.
            from penstock.kinds.coding import signatures

            async with open_streams(self.run, artifacts or {}) as on_delta:
                answer = await self.run.lm.ask(
                    getattr(signatures, signature),
                    inputs=inputs,
                    layers=layers,
                    on_delta=on_delta,
                    check=check,
                )
            told = heard if "notes" in inputs else 0
            return {"answer": shape(answer.fields), "heard": told}

        result = await self.run.step(name, ask_now)
        self.heard = max(self.heard, result["heard"])
        return result["answer"]

    def _layers(self, current: Recorded) -> Layers:
        shown = [fact for fact in self.history.facts if fact.type not in _NOT_SHOWN]
        layers = build_layers(self.prompts, shown, current)
        # The request itself is the question already, and it may be long.
        return replace(layers, current="") if current.type == "run.started" else layers

    def _last_words(self) -> int:
        fact = self.history.newest("intervention.received")
        return 0 if fact is None else fact.sequence

    async def test(self, number: int) -> tuple[str | None, Recorded]:
        """Run the tests as a step; what they said if they failed, and the fact that tells it."""
        argv = tuple(self.inputs.tests)
        name = f"tests {number}"
        started = await self.history.tell(
            f"{name} started", TestStarted(argv=argv), cause=self.code
        )
        result = await self.run.step(name, partial(run_tests, self))
        summary = _summary_of(result["output"])
        failure = result["failure"]
        fact = await self.history.tell(
            f"{name} ended",
            TestPassed(summary=summary)
            if failure is None
            else TestFailed(reason=failure, summary=summary),
            cause=started,
        )
        return (None if failure is None else f"{failure}\n{result['output']}"), fact


def _summary_of(output: str) -> str:
    lines = [line for line in output.splitlines() if any(map(str.isalnum, line))]
    return "\n".join(lines[-SUMMARY_LINES:])[-LONGEST_SUMMARY:]


async def run_tests(work: Work) -> dict[str, Any]:
    """Run the tests in a contained process; how they failed, and the end of what they said.

    A run that takes too long is ended with its whole process tree.
    """
    history, inputs = work.history, work.inputs
    await history.catch_up()
    begin = history.position
    failure: str | None = "timeout"
    with trio.move_on_after(inputs.test_timeout) as deadline:
        ended = await work.run.exec(
            inputs.tests, cwd=work.tree.root, env=_TEST_ENVIRONMENT, check=False
        )
        failure = None if ended.exit_code == 0 else end_in_words(ended)
    if deadline.cancelled_caught:
        failure = f"timeout after {inputs.test_timeout:g} s"
    output = await history.output_since(begin, LONGEST_OUTPUT)
    return {"failure": failure, "output": output}


@dataclass(frozen=True, slots=True)
class _Piece:
    artifact_id: str
    text: str
    attempt: int

    def continues(self, other: _Piece) -> bool:
        return (self.artifact_id, self.attempt) == (other.artifact_id, other.attempt)


class _Superseded(Exception):
    """A newer answer has begun before this one counted."""


@asynccontextmanager
async def open_streams(
    run: Run, artifacts: Mapping[str, str]
) -> AsyncGenerator[OnDelta, None]:
    """Takes pieces of fields; `artifacts` names the artifact of each field that is shown.

    Leaving the block normally completes what is open; what is held back goes out in any case.
    """
    # An earlier execution may have shown a part already: its attempt numbers are taken.
    known = run.view.artifacts
    base = {id_: known[id_].attempt for id_ in artifacts.values() if id_ in known}
    # Without a buffer: who writes waits, and so the model's socket is not read meanwhile.
    send, receive = trio.open_memory_channel[_Piece](0)

    async def on_delta(name: str, text: str, attempt: int) -> None:
        if (id_ := artifacts.get(name)) is not None:
            await send.send(_Piece(id_, text, base.get(id_, 0) + attempt))

    failed = DeferredFailure()
    async with trio.open_nursery() as writer_nursery:
        writer_nursery.start_soon(_write, run, receive)
        with failed:
            yield on_delta
        if failed.error is not None:
            writer_nursery.cancel_scope.cancel(reason="the answer does not count")
        send.close()
    failed.reraise()


async def _write(run: Run, receive: trio.MemoryReceiveChannel[_Piece]) -> None:
    async with receive:
        piece = await _next(receive)
        while piece is not None:
            first = piece
            with suppress(_Superseded):
                async with run.artifact(
                    first.artifact_id, attempt=first.attempt
                ) as artifact:
                    piece = await _fill(artifact, first, receive)
                    if piece is not None and piece.attempt > first.attempt:
                        raise _Superseded


async def _fill(
    artifact: Artifact, piece: _Piece, receive: trio.MemoryReceiveChannel[_Piece]
) -> _Piece | None:
    """Write one artifact; the first piece of the next one, None at the end."""
    following: _Piece | None = piece
    while following is not None and following.continues(piece):
        await artifact.write(following.text)
        following = await _next(receive)
    return following


async def _next(receive: trio.MemoryReceiveChannel[_Piece]) -> _Piece | None:
    try:
        return await receive.receive()
    except trio.EndOfChannel:
        return None
