"""A new run: a form made of the kind's own schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Select, Static

from penstock.words.errors import PenstockError, Refused
from penstock.words.priority import Priority
from penstock_tui.form import HINTS, FormField, fields_of, hint_of, inputs_of, read
from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.wording import CROSS, plain

#: What every run may be given beside its kind's inputs.
OPTIONS = (
    FormField(
        "priority", "choice", default="MEDIUM", choices=tuple(p.name for p in Priority)
    ),
    FormField("run_id", "text", "made by the daemon if empty"),
    FormField("group", "text", "runs of a group share slots"),
    FormField("timeout", "number", "seconds of executing time"),
    FormField("after", "words", "ids of runs that must complete first"),
    FormField("labels", "pairs"),
)

Submit = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class SubmitDialog(Dialog):
    """Dismissed with the reply of the daemon, or with None."""

    heading = "New run"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "Submit", priority=True, id="submit.send")
    ]

    def __init__(self, kinds: Sequence[Mapping[str, Any]], submit: Submit) -> None:
        super().__init__()
        # The kind that needs nothing comes first; the others as the daemon names them.
        ordered = sorted(kinds, key=lambda kind: kind["name"] != "command")
        self._kinds = {str(kind["name"]): kind for kind in ordered}
        self._submit = submit
        self._fields: list[FormField] = []
        self._kind = ""

    def contents(self) -> Iterable[Widget]:
        names = [(f"{plain(name)}", name) for name in self._kinds]
        yield _line(
            "kind",
            Select(
                names, value=names[0][1], allow_blank=False, compact=True, id="kind"
            ),
        )
        yield label("", name="about", hint=True)
        yield VerticalScroll(id="form", can_focus=False)
        yield label("", name="problem")
        yield label("enter or ctrl+s submits   tab goes on   esc leaves", hint=True)

    def on_mount(self) -> None:
        self._make_form(next(iter(self._kinds)))

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == "kind" and event.value != self._kind:
            self._make_form(str(event.value))

    def _make_form(self, kind: str) -> None:
        # In a worker: a screen that waits here for widgets to go would never let them go.
        self._kind = kind
        self.run_worker(self._choose(kind), group="form", exclusive=True)

    async def _choose(self, name: str) -> None:
        kind = self._kinds[name]
        schema = kind.get("inputs") or kind.get("inputs_schema") or {}
        fields = fields_of(schema)
        self.query_one("#about", Static).update(plain(str(kind.get("summary", ""))))
        form = self.query_one("#form", VerticalScroll)
        self._fields = fields
        await form.remove_children()
        await form.mount_all([_row("input", field) for field in fields])
        await form.mount(label("── options", hint=True))
        await form.mount_all([_row("option", field) for field in OPTIONS])
        self._first().focus()

    def _first(self) -> Widget:
        return self.query("#form Input, #form Select").first(Widget)

    def on_input_submitted(self) -> None:
        self.action_send()

    def action_send(self) -> None:
        try:
            request = self._request()
        except Refused as error:
            self._show_problem(f"{CROSS} {error}")
            return
        self._show_problem("… submitting")
        self.run_worker(self._send(request), exclusive=True)

    async def _send(self, request: Mapping[str, Any]) -> None:
        try:
            reply = await self._submit(request)
        except PenstockError as error:
            self._show_problem(f"{CROSS} {error}")
        else:
            self.dismiss(reply)

    def _request(self) -> dict[str, Any]:
        inputs = inputs_of(
            self._fields, {f.name: self._typed("input", f) for f in self._fields}
        )
        options = {f.name: read(f, self._typed("option", f)) for f in OPTIONS}
        given = {name: value for name, value in options.items() if value is not None}
        return {
            "kind": self.query_one("#kind", Select).value,
            "inputs": inputs,
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


def _row(group: str, field: FormField) -> Horizontal:
    """A name and where to type it. A name may be one that no widget id can be."""
    widget: Widget
    name = f"{group}-{_id(field.name)}"
    if field.choices:
        choices = [(plain(choice), choice) for choice in field.choices]
        default = field.default if field.default in field.choices else Select.NULL
        widget = Select(choices, value=default, compact=True, id=name)
    else:
        hint = hint_of(field) if group == "input" else field.help or HINTS[field.kind]
        widget = Input(value=field.default, placeholder=hint, compact=True, id=name)
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
