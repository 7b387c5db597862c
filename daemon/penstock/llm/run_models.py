"""What one run asks models with: `run.lm`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import trio

from penstock.concurrency.late import import_late
from penstock.llm.away import (
    LONGEST_REASON,
    Patience,
    is_away,
    pause_before_look,
)
from penstock.llm.budget import Spending, Spent
from penstock.llm.chain import Chain, Completion
from penstock.llm.chat import (
    AnswerCut,
    Heard,
    Message,
    OnHeard,
    OnText,
    RequestRefused,
)
from penstock.llm.context import Layers, append, arrange
from penstock.words.errors import (
    BudgetSpent,
    ModelFailed,
    ModelTruncated,
    ModelUnreachable,
    PenstockError,
)
from penstock.words.values import new_event_id
from penstock.words.wait_reason import Waiting

if TYPE_CHECKING:
    import dspy  # type: ignore[import-untyped]

#: Takes a piece of one field's text: field, text, number of the answer. A higher number means that
#: the answers before it were unusable and their text is to be dropped. May block; the model's
#: socket is not read meanwhile.
OnDelta = Callable[[str, str, int], Awaitable[None]]

#: Looks at the fields of an answer. ValueError or Refused says what is wrong; the model is told.
Check = Callable[[Mapping[str, Any]], None]

#: How an answer is asked for.
AnswerForm = Literal["sections", "json", "blocks"]

#: Takes what one try cost: model, cost, id of the try. May block.
OnSpent = Callable[[str, Spent, UUID], Awaitable[None]]

#: Imported on first use: it costs seconds, and a daemon without models never needs it.
_PROGRAMS = "penstock.llm.dspy_programs"

# Seconds that recording the cost of a cancelled request may take: one commit, on a busy disk.
_LAST_WORD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The fields that were asked for, validated."""

    fields: Mapping[str, Any]
    #: The model of the last request.
    model: str = ""
    #: Answers that were asked for, the unusable ones included.
    attempts: int = 1
    #: The provider's last word.
    finish_reason: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


@dataclass(slots=True)
class Question:
    """One call of `ask`: what is wanted, and what has been heard."""

    models: RunModels
    layers: Layers = field(default_factory=Layers)
    on_delta: OnDelta | None = None
    check: Check | None = None
    attempts: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    allow_truncated: bool = False
    form: AnswerForm = "sections"
    #: What the answer must be, where the form is JSON.
    schema: Mapping[str, Any] | None = None
    #: What the last answer was, and the model that repeated itself: a larger one is asked then.
    text: str = ""
    above: str = ""
    #: What the requests so far came to.
    model: str = ""
    asked: int = 0
    #: How often an answer began anew in its own text: pieces before that do not count.
    restarts: int = 0
    finish_reason: str = ""
    #: How long its server is waited for; None: an answer that breaks off is not asked for again.
    patience: Patience | None = None

    async def complete(
        self,
        messages: Sequence[Message],
        on_text: OnText,
        *,
        correction: str = "",
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> str:
        """One answer to messages in DSPy's form, as text.

        The layers are put around `messages`; `correction` follows: what was wrong with the answer
        before. That itself is not shown: small models repeat it. ModelTruncated unless a cut answer
        is allowed.
        """
        completion = await self.models.complete(
            append(arrange(self.layers, messages), correction),
            on_text,
            max_tokens=max_tokens or self.max_tokens,
            temperature=self.temperature if temperature is None else temperature,
            schema=self.schema,
            above=self.above,
            patience=self.patience,
        )
        if completion.reply.text == self.text:
            self.above = completion.model
        self.text = completion.reply.text
        self.model = completion.model
        self.finish_reason = completion.reply.finish_reason
        check_ending(completion, allow_truncated=self.allow_truncated)
        return completion.reply.text


class RunModels:
    """The models as one run sees them; made per run, not to be shared.

    `restore` is called before each request, and brings the ledger up to what the log says.
    `on_spent(model, spent, id)` is told what each try cost, those that led to nothing too; a try may
    be told twice, under the same id.
    `on_soft_line(sentence)` asks a person whether to go on, once, when a budget's soft line is
    reached; without it the run goes on.
    `parked(what for)` is a block in which the run waits without its slot; without it a server that is
    away is not waited for.
    """

    def __init__(
        self,
        chain: Chain,
        ledger: Spending,
        *,
        run_id: str,
        root_id: str,
        restore: Callable[[], Awaitable[None]] | None = None,
        on_spent: OnSpent | None = None,
        on_soft_line: Callable[[str], Awaitable[bool]] | None = None,
        parked: Callable[[Waiting], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self._parked = parked
        self._chain = chain
        self._ledger = ledger
        self._run_id = run_id
        self._root_id = root_id
        self._restore = restore
        self._on_spent = on_spent
        self._on_soft_line = on_soft_line
        self._soft_line = trio.Lock()
        self._may_pass_soft_line = on_soft_line is None

    async def ask(
        self,
        task: str | type[dspy.Signature] | dspy.Module,
        *,
        inputs: Mapping[str, Any],
        layers: Layers | None = None,
        on_delta: OnDelta | None = None,
        check: Check | None = None,
        think: bool = False,
        max_tokens: int | None = None,
        temperature: float | None = None,
        allow_truncated: bool = False,
        form: AnswerForm = "sections",
    ) -> ModelAnswer:
        """Have a model fill the output fields of a signature, or run a DSPy program.

        With `think` the model reasons first, in a field `reasoning`. `form` is how the answer is asked
        for: sections under headers, one JSON object (with its schema, where the server takes it), or
        fenced blocks in the order of the fields, which is how models write code best. An answer without the form that
        was asked for, or that fails `check` (signatures only), is asked for again with the reason;
        MalformedAnswer names the field when all attempts are used up. ModelTruncated if the answer
        was cut and `allow_truncated` is not set, BudgetSpent before a request beyond a limit,
        ContextTooLarge if no model has room, ModelFailed for all else.
        """
        question = Question(
            self,
            layers=layers or Layers(),
            on_delta=on_delta,
            check=check,
            attempts=self._chain.config.attempts,
            max_tokens=max_tokens,
            temperature=temperature,
            allow_truncated=allow_truncated,
            form=form,
            patience=Patience(self._chain.config.patience),
        )
        programs = await load_programs()
        fields: dict[str, Any] = await programs.execute(
            question, task, dict(inputs), think=think
        )
        return ModelAnswer(
            fields, question.model, question.asked, question.finish_reason
        )

    async def complete(
        self,
        messages: Sequence[Message],
        on_text: OnText,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        schema: Mapping[str, Any] | None = None,
        above: str = "",
        patience: Patience | None = None,
    ) -> Completion:
        """One answer within the budgets; errors as in `Chain.complete`, and BudgetSpent.

        A server that is away is waited for, if the run can wait. With `patience`, which goes on over
        several calls, AnswerCut says that an answer broke off and that its server is back.
        """
        waits = patience or Patience(self._chain.config.patience)

        async def hear(heard: Heard) -> None:
            if heard.text:
                await on_text(heard.text)

        while True:
            await self._pass_budget()
            try:
                completion = await self._request(
                    messages,
                    hear,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    schema=schema,
                    above=above,
                )
            except ModelFailed as error:
                cut = error.facts.get("heard", False)
                # What was handed over cannot be taken back, so it must not be said twice.
                if cut and patience is None:
                    raise
                await self._wait_server(error, waits)
                if cut:
                    raise AnswerCut(str(error)) from None
            else:
                waits.restore()
                return completion

    async def _wait_server(self, error: ModelFailed, patience: Patience) -> None:
        """Wait, without a slot, until the server can be asked again; the error if that does not help."""
        config = self._chain.config
        if self._parked is None or not is_away(error, config.longest_pause):
            raise error
        if not config.patience:
            raise error
        if patience.left(trio.current_time()) > 0:
            async with self._parked(Waiting("model", str(error)[:LONGEST_REASON])):
                while (left := patience.left(trio.current_time())) > 0:
                    pause = pause_before_look(patience.looked)
                    if isinstance(error, RequestRefused):
                        pause = max(pause, error.retry_after or 0.0)
                    await trio.sleep(min(pause, left))
                    patience.looked += 1
                    if await self._chain.is_back(error.facts["server"]):
                        return
        raise ModelUnreachable(
            f"{error}; it was waited for {config.patience:g} s (models.patience)",
            **error.facts,
        )

    async def _request(
        self,
        messages: Sequence[Message],
        on_heard: OnHeard,
        *,
        max_tokens: int | None,
        temperature: float | None,
        schema: Mapping[str, Any] | None,
        above: str,
    ) -> Completion:
        tries: list[tuple[str, Spent, UUID]] = []

        def account(model: str, spent: Spent) -> None:
            self._ledger.add(self._run_id, self._root_id, spent)
            tries.append((model, spent, new_event_id()))

        try:
            completion = await self._chain.complete(
                messages,
                on_heard,
                account=account,
                max_tokens=max_tokens,
                temperature=temperature,
                schema=schema,
                above=above,
            )
            await self._tell(tries)
        except BaseException:
            # What was cancelled or failed is paid for all the same. The reason we end with stays.
            with (
                trio.move_on_after(_LAST_WORD_SECONDS, shield=True),
                suppress(PenstockError),
            ):
                await self._tell(tries)
            raise
        return completion

    async def _tell(self, tries: Sequence[tuple[str, Spent, UUID]]) -> None:
        if self._on_spent is not None:
            for one in tries:
                await self._on_spent(*one)

    async def _pass_budget(self) -> None:
        if self._restore is not None:
            await self._restore()
        # Tasks of one run that reach the soft line together ask one question.
        async with self._soft_line:
            verdict, why = self._ledger.judge(self._run_id, self._root_id)
            if (
                verdict == "ask"
                and not self._may_pass_soft_line
                and self._on_soft_line is not None
            ):
                self._may_pass_soft_line = await self._on_soft_line(why)
                if not self._may_pass_soft_line:
                    raise BudgetSpent(f"a person decided to stop: {why}")
            if verdict == "refuse":
                raise BudgetSpent(f"no further request to a model: {why}")


def check_ending(completion: Completion, *, allow_truncated: bool) -> None:
    """Refuse an answer that the provider itself calls incomplete."""
    reason = completion.reply.finish_reason
    if reason in ("length", "max_tokens") and not allow_truncated:
        why = f"{completion.model} reached its limit of tokens before the answer was complete"
        raise ModelTruncated(why, finish_reason=reason)
    if reason == "content_filter":
        raise ModelFailed(
            f"{completion.model} withheld its answer ({reason})", finish_reason=reason
        )


async def load_programs() -> Any:
    """The module that knows DSPy. Loading it takes seconds, so a thread does it.

    A daemon with models may call this early, so that its first run need not wait.
    """
    # While another task's thread loads it, the module stands there half empty.
    if hasattr(programs := sys.modules.get(_PROGRAMS), "execute"):
        await trio.lowlevel.checkpoint()
        return programs
    return await import_late(_PROGRAMS)
