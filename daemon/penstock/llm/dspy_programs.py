"""DSPy programs on Trio.

DSPy formats the messages; we send them, split the stream into fields, parse it, and ask again when
an answer has not the form that was asked for. No thread, no asyncio, nothing configured for the
whole process: what a call needs stands in its own `dspy.context`.

Importing this module imports DSPy, which takes seconds: only `run_models.load_programs` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy  # type: ignore[import-untyped]
from dspy.adapters.utils import (  # type: ignore[import-untyped]
    apply_output_field_defaults,
    parse_value,
)
from dspy.utils.exceptions import AdapterParseError  # type: ignore[import-untyped]
from pydantic import ValidationError

from penstock.llm.chat import Message
from penstock.llm.fields import FieldSplitter
from penstock.llm.http import quote
from penstock.llm.run_models import Check, Question
from penstock.words.errors import MalformedAnswer, ModelFailed, Refused

#: Options of a predictor that we know; DSPy adds `rollout_id` for a cache of its own.
_OPTIONS = frozenset({"max_tokens", "n", "rollout_id", "temperature"})

#: Characters of an unusable answer that the model is shown again.
LONGEST_ECHO = 2000


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


class Unusable(Exception):
    """An answer without the form that was asked for."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class FieldAdapter(dspy.ChatAdapter):  # type: ignore[misc]
    """DSPy's chat format, with our parsing, and a few attempts instead of one."""

    def __init__(self) -> None:
        # The fallback would ask again without telling the model why.
        super().__init__(use_json_adapter_fallback=False)

    async def acall(
        self,
        lm: TrioLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """The fields of one answer. MalformedAnswer names the field when no attempt gave them."""
        question = lm.question
        correction: list[Message] = []
        for number in range(1, question.attempts + 1):
            attempt = AnswerAttempt(
                number, FieldSplitter(signature.output_fields), correction
            )
            question.asked += 1
            try:
                return await self._attempt(
                    TrioLM(question, attempt), lm_kwargs, signature, demos, inputs
                )
            except Unusable as error:
                problem = error
            form = self.user_message_output_requirements(signature)
            correction = _correct("".join(attempt.parts), problem, form)
        raise MalformedAnswer(
            f"{problem.name}: {problem.why} (after {question.attempts} attempts)",
            field=problem.name,
            attempts=question.attempts,
        )

    async def _attempt(
        self,
        lm: TrioLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        try:
            values = await super().acall(lm, dict(lm_kwargs), signature, demos, inputs)
        except AdapterParseError:
            # Only an empty answer gets here; everything else fails in our own `parse`.
            raise Unusable(
                next(iter(signature.output_fields)), "the answer is empty"
            ) from None
        if lm.question.check is not None:
            _check(lm.question.check, values[0])
        found: list[dict[str, Any]] = values
        return found

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """The fields of a whole answer: the same text that the stream gave. Unusable names one."""
        splitter = FieldSplitter(signature.output_fields)
        splitter.feed(completion)
        splitter.close()
        fields: dict[str, Any] = {}
        for name, text in splitter.values.items():
            try:
                fields[name] = parse_value(
                    text, signature.output_fields[name].annotation
                )
            except ValueError as error:
                raise Unusable(name, _why(error)) from None
        complete: dict[str, Any] = apply_output_field_defaults(signature, fields)
        for name in signature.output_fields:
            if name not in complete:
                raise Unusable(name, f"the section `[[ ## {name} ## ]]` is missing")
        return complete


def _correct(text: str, problem: Unusable, form: str) -> list[Message]:
    """What a model is told after an unusable answer: the answer, what was wrong, the form wanted."""
    said = text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "\n… (cut)"
    return [
        Message("assistant", said or "(nothing)"),
        Message(
            "user",
            f"This answer cannot be used: {problem.name}: {problem.why}. Answer again, whole. {form}",
        ),
    ]


def _check(check: Check, fields: Mapping[str, Any]) -> None:
    try:
        check(fields)
    except Refused as error:
        raise Unusable(
            error.field, str(error).removeprefix(f"{error.field}: ")
        ) from None
    except ValueError as error:
        raise Unusable(next(iter(fields)), quote(str(error))) from None


def _why(error: ValueError) -> str:
    """The first thing that is wrong with a value, short."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return quote(str(error))


def _check_inputs(signature: type[dspy.Signature], inputs: Mapping[str, Any]) -> None:
    """Refused names the first input that is missing or unknown; DSPy would only log it."""
    for name, info in signature.input_fields.items():
        if name not in inputs and info.is_required():
            raise Refused(f"inputs.{name}", "is missing")
    if unknown := sorted(inputs.keys() - signature.input_fields.keys()):
        raise Refused(f"inputs.{unknown[0]}", "is not an input of this signature")


# The last name of this module: who finds it finds the module complete.
async def execute(
    question: Question, task: Any, inputs: dict[str, Any], *, think: bool
) -> dict[str, Any]:
    """Run a signature or a program; the output fields."""
    if isinstance(task, dspy.Module):
        if question.check is not None:
            raise Refused(
                "check", "is for signatures; a program checks its own answers"
            )
        program = task
    else:
        _check_inputs(dspy.Predict(task).signature, inputs)
        program = (dspy.ChainOfThought if think else dspy.Predict)(task)
    # Without `trace=None` DSPy would keep every prompt and answer for as long as the daemon lives.
    with dspy.context(lm=TrioLM(question), adapter=FieldAdapter(), trace=None):
        prediction = await program.acall(**inputs)
    return dict(prediction.items())
