"""What one run asks models with: `run.lm`."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import trio

from penstock.concurrency.late import import_late
from penstock.concurrency.threads import run_in_thread
from penstock.llm.activity import Activity, OnProgress, open_telling
from penstock.llm.away import (
    LONGEST_REASON,
    Patience,
    is_away,
    pause_before_look,
)
from penstock.llm.budget import Spending, Spent
from penstock.llm.chain import Chain, Completion, OnCut, Wanted
from penstock.llm.chat import (
    AnswerCut,
    Heard,
    Message,
    OnHeard,
    OnText,
    RequestRefused,
)
from penstock.llm.context import Layers, append, arrange
from penstock.llm.exchanges import Exchange
from penstock.llm.token_estimate import estimate_messages
from penstock.words.config import ModelRole, Role
from penstock.words.errors import (
    BudgetSpent,
    ModelFailed,
    ModelTruncated,
    ModelUnreachable,
    PenstockError,
    Refused,
)
from penstock.words.events import ModelAnswered
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

#: How freely models answer at first, by role: what is right is seldom what is original.
FIRST_TEMPERATURES: Mapping[ModelRole, float] = {
    "plan": 0.2,
    "write": 0.2,
    "judge": 0.0,
    "describe": 0.2,
}

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
    #: What it is called in the record, else as the signature that is asked now: a program has several.
    name: str = ""
    signature: str = ""
    #: As what the model is asked.
    role: ModelRole | None = None
    #: A compiled predictor that is asked instead, as DSPy saves it.
    state: Mapping[str, Any] | None = None
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
    #: The last exchange, until it is known whether its answer can be used.
    exchange: Exchange | None = None

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
        sent = append(arrange(self.layers, messages), correction)
        self.exchange = Exchange(self.name or self.signature, self.asked, sent)
        completion = await self.models.complete(
            sent,
            on_text,
            max_tokens=max_tokens or self.max_tokens,
            temperature=self.first_temperature if temperature is None else temperature,
            schema=self.schema,
            above=self.above,
            patience=self.patience,
            role=self.role,
        )
        self.exchange.model = completion.model
        self.exchange.said = completion.reply.text
        self.exchange.thoughts = completion.reply.thoughts
        self.exchange.finish_reason = completion.reply.finish_reason
        if completion.reply.text == self.text:
            self.above = completion.model
        self.text = completion.reply.text
        self.model = completion.model
        self.finish_reason = completion.reply.finish_reason
        check_ending(completion, allow_truncated=self.allow_truncated)
        return completion.reply.text

    @property
    def first_temperature(self) -> float | None:
        """How freely it is answered at first."""
        if self.temperature is not None or self.role is None:
            return self.temperature
        wanted = self.models.role_of(self.role).temperature
        return FIRST_TEMPERATURES[self.role] if wanted is None else wanted

    def escalate(self) -> bool:
        """Ask the next larger model from now on; False if there is none."""
        larger = self.models.has_above(self.model, self.role)
        if larger:
            self.above = self.model
        return larger

    async def settle(
        self,
        refused: str = "",
        *,
        inputs: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the last exchange, now that it is known whether its answer was used."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.inputs, exchange.fields = inputs or {}, fields or {}
            await self.models.tell_answer(exchange, refused)


class RunModels:
    """The models as one run sees them; made per run, not to be shared.

    `restore` is called before each request, and brings the ledger up to what the log says.
    `on_spent(model, spent, id)` is told what each try cost, those that led to nothing too; a try may
    be told twice, under the same id.
    `on_soft_line(sentence)` asks a person whether to go on, once, when a budget's soft line is
    reached; without it the run goes on.
    `parked(what for)` is a block in which the run waits without its slot; without it a server that is
    away is not waited for.
    `programs`: files of compiled predictors, by the names of the questions that they answer.
    `on_cut` is told what servers say of requests that were cancelled.
    `on_progress` is told now and then what the model does, `on_answered` each exchange of `ask`.
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
        on_progress: OnProgress | None = None,
        on_answered: Callable[[ModelAnswered], Awaitable[None]] | None = None,
        programs: Mapping[str, Path] | None = None,
        on_cut: OnCut | None = None,
    ) -> None:
        self._programs = programs or {}
        self._on_cut = on_cut
        self._on_progress = on_progress
        self._on_answered = on_answered
        self._parked = parked
        self._chain = chain
        self._ledger = ledger
        self.run_id = run_id
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
        name: str = "",
        role: ModelRole | None = None,
    ) -> ModelAnswer:
        """Have a model fill the output fields of a signature, or run a DSPy program.

        With `think` the model reasons first, in a field `reasoning`. `form` is how the answer is asked
        for: sections under headers, one JSON object (with its schema, where the server takes it), or
        fenced blocks in the order of the fields, which is how models write code best. `name` is what the
        question is called in the record; without one it is that of the signature. `role`: as what the model
        is asked, by the configuration. An answer without the form that
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
            name=name,
            role=role,
            patience=Patience(self._chain.config.patience),
        )
        if (file := self._programs.get(name)) is not None:
            question.state = await run_in_thread(read_program, name, file)
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
        role: ModelRole | None = None,
    ) -> Completion:
        """One answer within the budgets; errors as in `Chain.complete`, and BudgetSpent.

        A server that is away is waited for, if the run can wait. With `patience`, which goes on over
        several calls, AnswerCut says that an answer broke off and that its server is back.
        """
        waits = patience or Patience(self._chain.config.patience)
        wanted = Wanted(max_tokens, temperature, schema, above, self.role_of(role))
        while True:
            await self._pass_budget()
            try:
                completion = await self._follow(messages, on_text, wanted)
            except ModelFailed as error:
                cut = error.facts.get("heard", False)
                # What was handed over cannot be taken back, so it must not be said twice.
                if cut and patience is None:
                    raise
                await self._wait_server(error, waits)  # noqa: ASYNC120 - a cancel ends the run in any case
                if cut:
                    raise AnswerCut(str(error)) from None
            else:
                waits.restore()
                return completion

    async def _follow(
        self, messages: Sequence[Message], on_text: OnText, wanted: Wanted
    ) -> Completion:
        """One request, of which is told what the model does meanwhile."""
        activity = Activity(estimate_messages(messages))

        async def hear(heard: Heard) -> None:
            activity.hear(heard)
            if heard.text:
                await on_text(heard.text)

        async with open_telling(activity, self._on_progress):
            return await self._request(messages, hear, wanted)

    async def _wait_server(self, error: ModelFailed, patience: Patience) -> None:
        """Wait, without a slot, until the server can be asked again; the error if that does not help."""
        config = self._chain.config
        if self._parked is None or not is_away(error, config.longest_pause):
            raise error
        if not config.patience:
            raise error
        if patience.left > 0:
            async with self._parked(Waiting("model", str(error)[:LONGEST_REASON])):
                while patience.left > 0:
                    pause = pause_before_look(patience.looked)
                    if isinstance(error, RequestRefused):
                        pause = max(pause, error.retry_after or 0.0)
                    began = trio.current_time()
                    await trio.sleep(min(pause, patience.left))
                    back = await self._chain.is_back(error.facts["server"])
                    patience.waited += trio.current_time() - began
                    patience.looked += 1
                    if back:
                        return
        raise ModelUnreachable(
            f"{error}; it was waited for {config.patience:g} s (models.patience)",
            **error.facts,
        )

    async def _request(
        self, messages: Sequence[Message], on_heard: OnHeard, wanted: Wanted
    ) -> Completion:
        tries: list[tuple[str, Spent, UUID]] = []

        def account(model: str, spent: Spent) -> None:
            self._ledger.add(self.run_id, self._root_id, spent)
            tries.append((model, spent, new_event_id()))

        try:
            completion = await self._chain.complete(
                messages,
                on_heard,
                account=account,
                wanted=wanted,
                on_cut=self._on_cut,
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

    def role_of(self, role: ModelRole | None) -> Role:
        """How models are asked in a role."""
        settings = self._chain.config.roles
        return settings[role] if role in settings else Role()

    def has_above(self, model: str, role: ModelRole | None) -> bool:
        """Whether there is a larger model to ask, in this role."""
        return self._chain.has_above(model, self.role_of(role))

    async def tell_answer(self, exchange: Exchange, refused: str = "") -> None:
        """Record an exchange; `refused` says why its answer was not used."""
        if self._on_answered is not None:
            await self._on_answered(exchange.fact(refused))

    async def _tell(self, tries: Sequence[tuple[str, Spent, UUID]]) -> None:
        if self._on_spent is not None:
            for one in tries:
                await self._on_spent(*one)

    async def _pass_budget(self) -> None:
        if self._restore is not None:
            await self._restore()
        # Tasks of one run that reach the soft line together ask one question.
        async with self._soft_line:
            verdict, why = self._ledger.judge(self.run_id, self._root_id)
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


def read_program(name: str, file: Path) -> dict[str, Any]:
    """A compiled predictor as DSPy saves it. Refused if the file is none. Blocks."""
    try:
        state = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"programs.{name}", f"cannot be read: {error}") from None
    if not isinstance(state, dict):
        raise Refused(f"programs.{name}", "is no JSON object")
    return state


def check_ending(completion: Completion, *, allow_truncated: bool) -> None:
    """Refuse an answer that the provider itself calls incomplete."""
    reason = completion.reply.finish_reason
    if reason in ("length", "max_tokens") and not allow_truncated:
        why = (
            f"{completion.model} reached its limit of tokens before the answer was complete"
            " (models.answer_tokens, or the window)"
        )
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
