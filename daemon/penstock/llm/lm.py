"""A model as DSPy sees it: requests go out in the caller's task, under its cancel scopes.

Importing this module imports DSPy, which takes seconds: only `dspy_programs.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy  # type: ignore[import-untyped]

from penstock.llm.chat import Message
from penstock.llm.fields import FieldSplitter
from penstock.llm.run_models import Question
from penstock.words.errors import ModelFailed, Refused

#: Options of a predictor that we know; DSPy adds `rollout_id` for a cache of its own.
_OPTIONS = frozenset({"max_tokens", "n", "rollout_id", "temperature"})


@dataclass(slots=True)
class AnswerAttempt:
    """One answer asked for: its number, its stream, and what was wrong with the one before."""

    number: int
    splitter: FieldSplitter
    correction: list[Message] = field(default_factory=list)
    #: What has been heard, in pieces.
    parts: list[str] = field(default_factory=list)


class TrioLM(dspy.BaseLM):  # type: ignore[misc]
    """A language model for DSPy programs, whose requests go out through a `Question`."""

    def __init__(
        self, question: Question, attempt: AnswerAttempt | None = None
    ) -> None:
        super().__init__("penstock", cache=False, num_retries=0)
        self.question = question
        self.attempt = attempt or AnswerAttempt(1, FieldSplitter(()))

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("a synchronous DSPy call would block the loop: use `acall`")

    async def acall(
        self,
        prompt: str | None = None,
        *,
        messages: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> list[str]:
        """The text of one answer, in a list as DSPy wants it."""
        if unknown := sorted(options.keys() - _OPTIONS):
            raise Refused(unknown[0], "is not an option that models are asked with")
        if options.get("n") not in (None, 1):
            raise Refused("n", "models are asked for one answer at a time")
        return [await self._answer(_messages(prompt, messages), options)]

    async def _answer(self, sent: list[Message], options: Mapping[str, Any]) -> str:
        failure: ModelFailed | None = None
        text = ""
        try:
            text = await self.question.complete(
                sent,
                self._hear,
                correction=self.attempt.correction,
                max_tokens=options.get("max_tokens"),
                temperature=options.get("temperature"),
            )
        except ModelFailed as error:
            failure = error
        # What was held back as a possible header is text after all, of a broken answer too.
        await self._tell(self.attempt.splitter.close())
        if failure is not None:
            raise failure
        return text

    async def _hear(self, text: str) -> None:
        self.attempt.parts.append(text)
        await self._tell(self.attempt.splitter.feed(text))

    async def _tell(self, added: list[tuple[str, str]]) -> None:
        if self.question.on_delta is not None:
            for name, piece in added:
                await self.question.on_delta(name, piece, self.attempt.number)


def _messages(
    prompt: str | None, messages: list[dict[str, Any]] | None
) -> list[Message]:
    rendered = messages or [{"role": "user", "content": prompt or ""}]
    for message in rendered:
        if not isinstance(message["content"], str):
            raise Refused("inputs", "only text can be sent to a model")
    return [Message(message["role"], message["content"]) for message in rendered]
