"""What the stages of one coding run share, and how they ask a model.

A model's answer is shown as artifacts while it is being written. An answer that turns out to be
unusable is followed by another one with a higher attempt number, and clients drop what came before;
the artifact of the last answer is completed when the answer counts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from penstock.kinds.coding.deciding import words_of
from penstock.kinds.coding.history import CodingHistory
from penstock.kinds.coding.inputs import CodingInputs
from penstock.kinds.coding.modules import PlannedModule
from penstock.kinds.coding.work_tree import WorkTree
from penstock.pipeline import (
    AnswerForm,
    Artifact,
    Check,
    CodeMark,
    DeferredFailure,
    Layers,
    ModelRole,
    OnDelta,
    PromptCache,
    Recorded,
    Run,
    build_layers,
    load_programs,
)


@dataclass(frozen=True, slots=True)
class _QuestionForm:
    """What a question is called in the record, whose it is, and how its answer is asked for."""

    name: str
    role: ModelRole
    #: Code is never put into JSON, where models get it wrong.
    form: AnswerForm = "blocks"


_ASKED: Mapping[str, _QuestionForm] = {
    "MakePlan": _QuestionForm("coding.plan", "plan", "json"),
    "MakePlanAsking": _QuestionForm("coding.plan", "plan", "json"),
    "WriteModule": _QuestionForm("coding.write", "write"),
    "WriteTestedModule": _QuestionForm("coding.write", "write"),
    "CorrectModule": _QuestionForm("coding.correct", "write"),
    "RewriteTests": _QuestionForm("coding.tests", "write"),
    "ChooseModule": _QuestionForm("coding.choose", "judge", "json"),
    "ReviewCode": _QuestionForm("coding.review", "judge", "json"),
}


#: Facts that the question about them tells whole: they may be long, and are not said twice.
_IN_QUESTION = frozenset({"run.started", "test.failed", "correction.started"})


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
    #: What is planned, in the order in which it is worked off.
    modules: tuple[PlannedModule, ...] = ()
    #: The module whose tests pass without it, by the newest test run; "" for none.
    idle: str = ""
    #: What was corrected, and why.
    corrections: list[str] = field(default_factory=list)
    #: The code for which a module's tests were written anew, since it stayed as it was.
    retested: dict[str, str | None] = field(default_factory=dict)
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
        temperature: float | None = None,
    ) -> Any:
        """Ask a model as a step: once, whatever happens to the run; what `shape` makes of the answer.

        `shape` gives JSON. An input named `notes` tells the model what people have said so far.
        """

        async def ask_now() -> dict[str, Any]:
            await self.history.catch_up()
            heard = self._last_words()
            inputs = {"task": self.inputs.prompt, **await make_inputs()}
            layers, asked = self._layers(current), _ASKED[signature]
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
                    form=asked.form,
                    name=asked.name,
                    role=asked.role,
                    temperature=temperature,
                )
            told = heard if "notes" in inputs else 0
            return {"answer": shape(answer.fields), "heard": told}

        result = await self.run.step(name, ask_now)
        self.heard = max(self.heard, result["heard"])
        return result["answer"]

    def _layers(self, current: Recorded) -> Layers:
        layers = build_layers(self.prompts, self.history.facts, current)
        told = current.type in _IN_QUESTION
        return replace(layers, current="") if told else layers

    def _last_words(self) -> int:
        fact = self.history.newest("intervention.received")
        return 0 if fact is None else fact.sequence


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
