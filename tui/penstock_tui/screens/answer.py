"""Answering a run's question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from penstock.words.ask_details import AskDetails, is_permission
from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.transcript import ask_lines
from penstock_tui.widgets.tail import Tail
from penstock_tui.wording import answer_keys, clock_time, plain

#: Lines of what a question is about; a run bounds them by its facts.
MOST_LINES = 5000


class OpenAsk(Protocol):
    """A run's question, as its view has it."""

    @property
    def question(self) -> str: ...
    @property
    def choices(self) -> tuple[str, ...]: ...
    @property
    def default(self) -> str | None: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def details(self) -> Mapping[str, Any]: ...


class AnswerDialog(Dialog):
    """Dismissed with the answer, or with None. What the question is about stands below it, and scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('allow')", "Allow", id="ask.allow"),
        Binding("d", "decide('deny')", "Deny", id="ask.deny"),
        Binding("pagedown", "scroll(1)", "Down", show=False, id="ask.down"),
        Binding("pageup", "scroll(-1)", "Up", show=False, id="ask.up"),
    ]
    heading = "Answer"

    def __init__(self, run_id: str, ask: OpenAsk) -> None:
        super().__init__()
        self._run_id, self._ask = run_id, ask
        self._about: Tail | None = None

    def contents(self) -> Iterable[Widget]:
        ask = self._ask
        yield label(f"{plain(self._run_id)} asks:\n{plain(ask.question)}")
        if lines := list(ask_lines(AskDetails.read(ask.details), ask.question)):
            tail = self._about = Tail(most=MOST_LINES, name="about")
            tail.wrap, tail.follow = True, False
            tail.styles.height = min(len(lines), self.app.size.height // 3)
            tail.replace(lines)
            yield tail
        if ask.choices:
            yield OptionList(
                *(Option(_literal(choice)) for choice in ask.choices), id="choices"
            )
        else:
            yield Input(placeholder=ask.default or "answer, then enter", id="text")
        told = [answer_keys(ask.choices)] if is_permission(ask.choices) else []
        told += [f"default {plain(ask.default)}"] if ask.default else []
        if ask.expires_at:
            told.append(f"taken at {clock_time(ask.expires_at)}")
        yield label("  ".join(told) or "enter sends it", hint=True)

    def on_mount(self) -> None:
        (
            self.query_one(OptionList) if self._ask.choices else self.query_one(Input)
        ).focus()
        if self._ask.default in self._ask.choices:
            self.query_one(OptionList).highlighted = self._ask.choices.index(
                self._ask.default
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """One letter answers only what is answered so; in a text it is a letter."""
        if action == "decide":
            return is_permission(self._ask.choices)
        if action == "scroll":
            return self._about is not None
        return super().check_action(action, parameters)

    def action_decide(self, answer: str) -> None:
        self.dismiss(answer)

    def action_scroll(self, by: int) -> None:
        """A screenful of what the question is about."""
        if self._about is not None:
            self._about.scroll_relative(y=by * self._about.size.height, animate=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._ask.choices[event.option_index])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        answer = event.value or self._ask.default
        if answer:
            self.dismiss(answer)


def _literal(text: str) -> str:
    """Options are read as markup; a choice is not."""
    return plain(text).replace("[", "\\[")
