"""A new run: a form made of the kind's own schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Input, Select, Static

from penstock.words.errors import PenstockError, Refused
from penstock.words.priority import Priority
from penstock_tui.drafts import Draft, preset_drafts, surroundings_told
from penstock_tui.form import (
    HINTS,
    FormField,
    fields_of,
    hint_of,
    inputs_of,
    read,
    written,
)
from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.wording import CROSS, plain

#: What every run may be given beside its kind's inputs.
OPTIONS = (
    FormField(
        "priority", "choice", default="MEDIUM", choices=tuple(p.name for p in Priority)
    ),
    FormField("run_id", "text", "made by the daemon if empty"),
    FormField("group", "text", "runs of a group share slots"),
    FormField("timeout", "span", "of executing time: 90s, 5m, 3h"),
    FormField("after", "words", "ids of runs that must complete first"),
    FormField("labels", "pairs"),
    FormField("needs", "pairs", "of its box: gpu=1, or box=NAME"),
    FormField("delay", "span", "before it starts: 90s, 5m, 3h"),
    FormField("retries", "integer", "how often it is tried again if it fails"),
    FormField("backoff", "span", "before the first of these: 10s"),
    FormField("every", "text", "again and again: 1d, 90m, or a line of cron"),
)

#: Sends what the form asks for; what was done, in words.
Submit = Callable[[Mapping[str, Any]], Awaitable[str]]


class SubmitDialog(Dialog):
    """Dismissed with what was done, in words, or with None."""

    heading = "New run"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "Submit", priority=True, id="submit.send")
    ]

    def __init__(
        self,
        kinds: Sequence[Mapping[str, Any]],
        submit: Submit,
        draft: Draft | None = None,
        *,
        options: Sequence[FormField] = OPTIONS,
        heading: str = "New run",
    ) -> None:
        """`draft`: what stands in it at first. Without options a run that there is already is changed."""
        super().__init__()
        self.heading = heading
        self._options = options
        found = preset_drafts() if options else {}
        self._drafts = {f"{name} (preset)": d for name, d in found.items()}
        self._draft = draft
        # The kind that needs nothing comes first; the others as the daemon names them.
        ordered = sorted(kinds, key=lambda kind: kind["name"] != "command")
        self._kinds = {str(kind["name"]): kind for kind in ordered}
        self._submit = submit
        self._fields: list[FormField] = []
        self._kind = ""
        #: Whether all lines of the form are there; until then there is nothing to send.
        self._whole = False
        #: Whether somebody has left it before that.
        self._given_up = False

    def contents(self) -> Iterable[Widget]:
        names = [(plain(name), name) for name in (*self._kinds, *self._drafts)]
        first = self._first_kind()
        yield _line(
            "kind",
            Select(names, value=first, allow_blank=False, compact=True, id="kind"),
        )
        yield label("", name="about", hint=True)
        if self._options:
            yield label(plain(surroundings_told()), name="where", hint=True)
        yield VerticalScroll(id="form", can_focus=False)
        yield label("", name="problem")
        yield label("enter or ctrl+s sends it   tab goes on   esc leaves", hint=True)

    def _first_kind(self) -> str:
        if self._draft is not None and self._draft.kind in self._kinds:
            return self._draft.kind
        return next(iter(self._kinds))

    def on_mount(self) -> None:
        self._make_form(self._first_kind())

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == "kind" and event.value != self._kind:
            self._make_form(str(event.value))

    def _make_form(self, kind: str) -> None:
        # In a worker: a screen that waits here for widgets to go would never let them go.
        self._kind = kind
        made = partial(self._make, kind)
        self.run_worker(made, group="form", exclusive=True)  # type: ignore[arg-type]

    async def _make(self, kind: str) -> None:
        try:
            await self._choose(kind)
        except NoMatches:
            # Who leaves at once takes the lines away that are being filled.
            if self.is_current:
                raise

    def action_leave(self) -> None:
        """Leave; a form that is still being made is left once it is: its lines would fail without it."""
        if self._whole or self._given_up:
            self.dismiss(None)
        self._given_up = True

    async def _choose(self, name: str) -> None:
        preset = self._drafts.get(name)
        kind = self._kinds.get(name if preset is None else preset.kind)
        if kind is None:
            self._show_problem(f"{CROSS} this daemon has no kind for that")
            return
        draft = preset or self._draft
        if draft is None or draft.kind != kind["name"]:
            draft = Draft(str(kind["name"]))
        schema = kind.get("inputs") or kind.get("inputs_schema") or {}
        fields = fields_of(schema)
        about = draft.about or str(kind.get("summary", ""))
        self.query_one("#about", Static).update(plain(about))
        form = self.query_one("#form", VerticalScroll)
        self._fields, self._whole = fields, False
        await form.remove_children()
        rows = [_row("input", field, draft.inputs) for field in fields]
        await form.mount_all(rows)
        if self._options:
            await form.mount(label("── options", hint=True))
            await form.mount_all(
                [_row("option", field, draft.options) for field in self._options]
            )
        self._whole = True
        if self._given_up:
            self.dismiss(None)
            return
        self._first().focus()

    def _first(self) -> Widget:
        return self.query("#form Input, #form Select").first(Widget)

    def on_input_submitted(self) -> None:
        self.action_send()

    def action_send(self) -> None:
        if not self._whole:
            return
        try:
            request = self._request()
        except Refused as error:
            self._show_problem(f"{CROSS} {error}")
            return
        self._show_problem("… sending")
        self.run_worker(self._send(request), exclusive=True)

    async def _send(self, request: Mapping[str, Any]) -> None:
        try:
            said = await self._submit(request)
        except PenstockError as error:
            self._show_problem(f"{CROSS} {error}")
        else:
            self.dismiss(said)

    def _request(self) -> dict[str, Any]:
        inputs = inputs_of(
            self._fields, {f.name: self._typed("input", f) for f in self._fields}
        )
        options = {f.name: read(f, self._typed("option", f)) for f in self._options}
        given = {name: value for name, value in options.items() if value is not None}
        chosen = str(self.query_one("#kind", Select).value)
        preset = self._drafts.get(chosen) or Draft(chosen)
        return {
            "kind": preset.kind,
            "inputs": preset.with_variables(inputs),
            **given,
        }

    def _typed(self, group: str, field: FormField) -> str:
        widget = self.query_one(f"#{group}-{_id(field.name)}")
        if isinstance(widget, Input):
            return widget.value
        assert isinstance(widget, Select)
        return "" if widget.is_blank() else str(widget.value)

    def _show_problem(self, text: str) -> None:
        self.query_one("#problem", Static).update(plain(text))


def _row(group: str, field: FormField, given: Mapping[str, Any]) -> Horizontal:
    """A name and where to type it, with what is given. A name may be one that no widget id can be."""
    value = field.default
    if given.get(field.name) is not None:
        value = written(field.kind, given[field.name])
    widget: Widget
    name = f"{group}-{_id(field.name)}"
    if field.choices:
        choices = [(plain(choice), choice) for choice in field.choices]
        default = value if value in field.choices else Select.NULL
        widget = Select(choices, value=default, compact=True, id=name)
    else:
        hint = hint_of(field) if group == "input" else field.help or HINTS[field.kind]
        widget = Input(value=value, placeholder=hint, compact=True, id=name)
    return _line(f"{field.name}{' *' if field.required else ''}", widget)


def _line(name: str, widget: Widget) -> Horizontal:
    return Horizontal(
        Static(plain(name), markup=False, classes="name"), widget, classes="row"
    )


def _id(name: str) -> str:
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "-_") else f"_{ord(c):x}_"
        for c in name
    )
