"""Answering a run's question."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.wording import clock_time, plain


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


class AnswerDialog(Dialog):
    """Dismissed with the answer, or with None."""

    heading = "Answer"

    def __init__(self, run_id: str, ask: OpenAsk) -> None:
        super().__init__()
        self._run_id, self._ask = run_id, ask

    def contents(self) -> Iterable[Widget]:
        ask = self._ask
        yield label(f"{plain(self._run_id)} asks:\n{plain(ask.question)}")
        if ask.choices:
            yield OptionList(
                *(Option(_literal(choice)) for choice in ask.choices), id="choices"
            )
        else:
            yield Input(placeholder=ask.default or "answer, then enter", id="text")
        told = [f"default {plain(ask.default)}"] if ask.default else []
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

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._ask.choices[event.option_index])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        answer = event.value or self._ask.default
        if answer:
            self.dismiss(answer)


def _literal(text: str) -> str:
    """Options are read as markup; a choice is not."""
    return plain(text).replace("[", "\\[")
