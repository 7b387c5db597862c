"""DSPy programs on Trio.

DSPy formats the messages, or `answer_forms`; we send them, split the stream into fields, and ask again
when an answer has not the form that was asked for. No thread, no asyncio, nothing configured for the
whole process: what a call needs stands in its own `dspy.context`.

Importing this module imports DSPy, which takes seconds: only `run_models.load_programs` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dspy  # type: ignore[import-untyped]
import trio
from dspy.utils.exceptions import AdapterParseError  # type: ignore[import-untyped]

from penstock.concurrency.threads import run_in_thread
from penstock.llm.answer_forms import (
    ASKS_BLOCKS,
    ASKS_JSON,
    Unusable,
    as_blocks,
    make_messages,
    make_schema,
    make_splitter,
    read_answer,
)
from penstock.llm.chat import AnswerCut, Message
from penstock.llm.fields import FieldSplitter
from penstock.llm.http import quote
from penstock.llm.reading import BlockSplitter, ThoughtFilter
from penstock.llm.run_models import AnswerForm, Check, Question
from penstock.words.errors import (
    MalformedAnswer,
    ModelFailed,
    ModelTruncated,
    Refused,
)

#: Options of a predictor that we know; DSPy adds `rollout_id` for a cache of its own.
_OPTIONS = frozenset({"max_tokens", "n", "rollout_id", "temperature"})

#: How freely a model is to answer again after an answer that could not be used: of ten corrected
#: answers six were the same to the byte.
SECOND_TEMPERATURE = 0.8

#: Unusable answers of one model to a question; then the next of the chain is asked.
TRIES_OF_ONE = 2


@dataclass(slots=True)
class AnswerAttempt:
    """One answer asked for: its number, its stream, and what was wrong with the one before."""

    number: int
    splitter: FieldSplitter | BlockSplitter
    correction: str = ""
    thoughts: ThoughtFilter = field(default_factory=ThoughtFilter)
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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As `acall`, for the thread of a program that knows no other way. RuntimeError on the loop."""
        return _from_thread(partial(self.acall, *args, **kwargs))

    async def acall(
        self,
        prompt: str | None = None,
        *,
        messages: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> list[str]:
        """The text of one answer, in a list as DSPy wants it."""
        # A copy with settings of its own, which asks for one of several answers.
        options = {**self.kwargs, **options}
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
                temperature=self._temperature(options.get("temperature")),
            )
        except ModelFailed as error:
            failure = error
        # What was held back as a possible header is text after all, of a broken answer too.
        added = self.attempt.splitter.feed(self.attempt.thoughts.close())
        await self._tell([*added, *self.attempt.splitter.close()])
        if failure is not None:
            raise failure
        return text

    def _temperature(self, wanted: float | None) -> float | None:
        """The caller's, unless a second answer is to be another one than the first."""
        if self.attempt.correction and wanted is None and not self.question.temperature:
            return SECOND_TEMPERATURE
        return wanted

    async def _hear(self, text: str) -> None:
        self.attempt.parts.append(text)
        text = self.attempt.thoughts.feed(text)
        restarts = self.attempt.splitter.restarts
        added = self.attempt.splitter.feed(text)
        self.question.restarts += self.attempt.splitter.restarts - restarts
        await self._tell(added)

    async def _tell(self, added: list[tuple[str, str]]) -> None:
        if self.question.on_delta is not None:
            for name, piece in added:
                number = self.attempt.number + self.question.restarts
                await self.question.on_delta(name, piece, number)


def _messages(
    prompt: str | None, messages: list[dict[str, Any]] | None
) -> list[Message]:
    rendered = messages or [{"role": "user", "content": prompt or ""}]
    for message in rendered:
        if not isinstance(message["content"], str):
            raise Refused("inputs", "only text can be sent to a model")
    return [Message(message["role"], message["content"]) for message in rendered]


#: What goes into one attempt: options, the question's form, examples, inputs, and the fields that are there.
_Asked = tuple[
    dict[str, Any],
    "type[dspy.Signature]",
    list[dict[str, Any]],
    dict[str, Any],
    dict[str, Any],
]


def _correction(problem: Unusable, kept: Mapping[str, Any], reminder: str) -> str:
    """What a model is told of an answer that was of no use, before it is asked again."""
    correction = f"An earlier answer could not be used: {problem.name}: {problem.why}. {reminder}"  # fmt: skip
    if kept:
        return f"This is there already:\n{as_blocks(kept)}\n\n{correction}"
    return correction


class FieldAdapter(dspy.ChatAdapter):  # type: ignore[misc]
    """DSPy's chat format, with our parsing, and a few attempts instead of one."""

    def __init__(self, form: AnswerForm = "sections") -> None:
        # The fallback would ask again without telling the model why.
        super().__init__(use_json_adapter_fallback=False)
        self._form = form

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As `acall`, for the thread of a program that knows no other way."""
        return _from_thread(partial(self.acall, *args, **kwargs))

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
        question.signature = signature.__name__
        if question.form == "json":
            question.schema = make_schema(signature)
        kept: dict[str, Any] = {}
        correction, number, unusable = "", 0, 0
        while unusable < question.attempts:
            number += 1
            splitter = make_splitter(question.form, signature)
            asking = TrioLM(question, AnswerAttempt(number, splitter, correction))
            asking.kwargs = dict(lm.kwargs)
            last = unusable + 1 >= TRIES_OF_ONE
            asked = (lm_kwargs, signature, demos, inputs, kept)
            found = await self._try(asking, asked, last=last)
            if isinstance(found, dict):
                return [found]
            if found is not None:
                problem, unusable = found, unusable + 1
                kept |= problem.kept
                for name in problem.kept:
                    signature = signature.delete(name)
                reminder = self._reminder(question.form, signature)
                correction = _correction(problem, kept, reminder)
        raise MalformedAnswer(
            f"{problem.name}: {problem.why} (after {question.attempts} attempts;"
            f" `penstock context {question.models.run_id} --sent` shows them)",
            field=problem.name,
            attempts=question.attempts,
        )

    async def _try(
        self, asking: TrioLM, asked: _Asked, *, last: bool
    ) -> dict[str, Any] | Unusable | None:
        """The fields, or why they are of no use; None: the answer was cut, which was no fault of its own.

        `last`: after it a larger model is asked.
        """
        question, (_, signature, _, inputs, _) = asking.question, asked
        question.asked += 1
        try:
            found = await self._attempt(asking, *asked)
        except AnswerCut as error:
            # What was heard of it is dropped.
            await question.settle(str(error))
            return None
        except Unusable as error:
            await question.settle(str(error), inputs=inputs)
            if last:
                question.escalate()
            return error
        except ModelTruncated as error:
            await question.settle(str(error))  # noqa: ASYNC120 - a cancel ends the run in any case
            # A larger model may say it in fewer words, or has a larger window.
            if not question.escalate():
                raise
            return Unusable(next(iter(signature.output_fields)), str(error))
        except ModelFailed as error:
            await question.settle(str(error))  # noqa: ASYNC120 - as above
            raise
        await question.settle(inputs=inputs, fields=found)
        return found

    async def _attempt(
        self,
        lm: TrioLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
        kept: Mapping[str, Any],
    ) -> dict[str, Any]:
        try:
            values = await super().acall(lm, dict(lm_kwargs), signature, demos, inputs)
        except AdapterParseError:
            # Only an empty answer gets here; everything else fails in our own `parse`.
            raise Unusable(
                next(iter(signature.output_fields)), "the answer is empty"
            ) from None
        found = {**kept, **values[0]}
        if lm.question.check is not None:
            _check(lm.question.check, found)
        return found

    def _reminder(self, form: AnswerForm, signature: type[dspy.Signature]) -> str:
        if form == "sections":
            wanted: str = self.user_message_output_requirements(signature)
            return wanted
        return f"{ASKS_JSON if form == 'json' else ASKS_BLOCKS}."

    def format(
        self,
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """DSPy's messages for sections; ours, which are a quarter of theirs, for the other forms."""
        if self._form == "sections":
            messages: list[dict[str, Any]] = super().format(signature, demos, inputs)
            return messages
        return make_messages(self._form, signature, demos, inputs)

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """The fields of a whole answer: the same text that the stream gave. Unusable names one."""
        return read_answer(self._form, signature, completion)


def _check(check: Check, fields: Mapping[str, Any]) -> None:
    try:
        check(fields)
    except Refused as error:
        raise Unusable(
            error.field, str(error).removeprefix(f"{error.field}: ")
        ) from None
    except ValueError as error:
        raise Unusable(next(iter(fields)), quote(str(error))) from None


def _check_inputs(signature: type[dspy.Signature], inputs: Mapping[str, Any]) -> None:
    """Refused names the first input that is missing or unknown; DSPy would only log it."""
    for name, info in signature.input_fields.items():
        if name not in inputs and info.is_required():
            raise Refused(f"inputs.{name}", "is missing")
    if unknown := sorted(inputs.keys() - signature.input_fields.keys()):
        raise Refused(f"inputs.{unknown[0]}", "is not an input of this signature")


def _load_state(program: Any, state: Mapping[str, Any], name: str) -> None:
    """Have a predictor be as it was compiled. Refused if it was compiled for another question."""
    own = {key: value for key, value in state.items() if key != "metadata"}
    told = own.get("signature", own.get("predict", {}).get("signature", {}))
    wanted = next(iter(program.predictors())).signature.fields
    try:
        if len(told["fields"]) != len(wanted):
            raise ValueError(f"it has {len(told['fields'])} fields, not {len(wanted)}")
        program.load_state(own)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"is not the saved state of a predictor for it: {quote(str(error))}"
        raise Refused(f"programs.{name}", why) from None


def _run(program: Any, question: Question, inputs: Mapping[str, Any]) -> Any:
    """Run a program that has only `forward`, in a thread: it may wait there without holding the loop."""
    with dspy.context(
        lm=TrioLM(question), adapter=FieldAdapter(question.form), trace=[]
    ):
        return program(**inputs)


def _from_thread(fn: Callable[[], Awaitable[Any]]) -> Any:
    """Have the loop do it, from the thread of a synchronous program."""
    begun = False

    async def call() -> Any:
        nonlocal begun
        begun = True
        return await fn()

    try:
        return trio.from_thread.run(call)
    except RuntimeError:
        if begun:
            raise
    raise RuntimeError("a synchronous DSPy call would block the loop: use `acall`")


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
        if question.state is not None:
            _load_state(program, question.state, question.name)
    if not hasattr(program, "aforward"):
        prediction = await run_in_thread(partial(_run, program, question, inputs))
        return dict(prediction.items())
    # Without `trace=None` DSPy would keep every prompt and answer for as long as the daemon lives.
    with dspy.context(
        lm=TrioLM(question), adapter=FieldAdapter(question.form), trace=None
    ):
        prediction = await program.acall(**inputs)
    return dict(prediction.items())
