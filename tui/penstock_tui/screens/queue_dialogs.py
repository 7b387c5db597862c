"""How many runs may execute at once, and what is run again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from penstock.words.errors import Refused
from penstock.words.sentences import about
from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.widgets.lazy_rows import LazyRows, Row, TableColumn
from penstock_tui.widgets.run_table import RunList
from penstock_tui.wording import CROSS, duration, plain

#: What stands for "as the configuration has it".
AS_CONFIGURED = "-"

SCHEDULES = (
    TableColumn("name", 18),
    TableColumn("every", 14),
    TableColumn("next in", 11, right=True),
    TableColumn("skipped", 7, right=True, wanted_from=80, only_if_any=True),
    TableColumn("title", 0),
)


class WantedSlots(NamedTuple):
    """So many (None: as configured) for a group, or for all (None)."""

    group: str | None
    slots: int | None

    @property
    def words(self) -> list[str]:
        """The words of the command line for it."""
        count = "--reset" if self.slots is None else str(self.slots)
        return ["slots", count, *(("--group", self.group) if self.group else ())]


def read_slots(text: str) -> WantedSlots:
    """`4`, `disk 2`, or `disk -`. Refused for anything else."""
    words = text.split()
    if len(words) not in (1, 2):
        raise Refused("slots", "say how many, or a group and how many")
    group, count = (words[0] if len(words) == 2 else None), words[-1]
    if count == AS_CONFIGURED:
        return WantedSlots(group, None)
    if not (count.isascii() and count.isdecimal() and int(count) > 0):
        raise Refused("slots", f"{count!r} is no number of slots")
    return WantedSlots(group, int(count))


def slots_told(queue: Mapping[str, Any]) -> str:
    """How many there are, and how many are taken, of all and of each group."""
    lines = [f"{queue.get('running', 0)} of {queue.get('slots', '?')} are taken"]
    for name, row in (queue.get("groups") or {}).items():
        lines.append(f"group {name}: {row['running']} of {row['slots']}")
    return "\n".join(map(plain, lines))


class SlotsDialog(Dialog):
    """Dismissed with WantedSlots, or with None."""

    heading = "Slots"

    def __init__(self, queue: Mapping[str, Any]) -> None:
        super().__init__()
        self._queue = queue

    def contents(self) -> Iterable[Widget]:
        yield label(slots_told(self._queue))
        yield Input(placeholder="4, or a group and its own: disk 2", id="text")
        yield label("", name="problem")
        hint = f"enter sets them, {AS_CONFIGURED} as the configuration has it; what executes goes on"
        yield label(hint, hint=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            wanted = read_slots(event.value)
        except Refused as error:
            self.query_one("#problem").update(f"{CROSS} {plain(str(error))}")  # type: ignore[attr-defined]
        else:
            self.dismiss(wanted)


class ScheduleChoice(NamedTuple):
    """What to do: `remove` the one of this name, or make a `new` one."""

    verb: str
    name: str = ""


class SchedulesDialog(Dialog):
    """Dismissed with a ScheduleChoice, or with None."""

    heading = "Schedules"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "remove", "Remove", id="schedules.remove"),
        Binding("r", "make", "New", id="schedules.new"),
    ]

    def __init__(self, rows: Sequence[Mapping[str, Any]], *, changes: bool) -> None:
        """`changes`: whether there may be more or fewer of them from here."""
        super().__init__()
        self._rows, self._changes = rows, changes
        self.table = RunList(SCHEDULES, name="schedules")
        self.table.empty = "nothing is run again and again"

    def contents(self) -> Iterable[Widget]:
        yield self.table
        hint = "r makes one   x removes this one   " if self._changes else ""
        yield label(f"{hint}esc leaves", hint=True)

    def on_mount(self) -> None:
        now = datetime.now(UTC)
        rows = [schedule_row(row, now) for row in self._rows]
        hidden = () if any(row.cells[3] for row in rows) else ("skipped",)
        self.table.set_title("", frozenset(hidden))
        self.table.set_rows(LazyRows.of(rows))
        self.table.focus()

    @on(RunList.Opened)
    def _chosen(self, event: RunList.Opened) -> None:
        event.stop()

    def action_make(self) -> None:
        if self._changes:
            self.dismiss(ScheduleChoice("new"))

    def action_remove(self) -> None:
        if self._changes and (name := self.table.selected) is not None:
            self.dismiss(ScheduleChoice("remove", name))


def schedule_row(told: Mapping[str, Any], now: datetime) -> Row:
    """A schedule as a line: when its next run comes, and what it is."""
    due = datetime.fromisoformat(told["due"])
    zone = f" {told['zone']}" if " " in told["timing"] else ""
    left = (due - now).total_seconds()
    cells = (
        plain(told["name"]),
        plain(f"{told['timing']}{zone}"),
        duration(left) if left > 0 else "now",
        str(told["skipped"] or ""),
        plain(about(told["inputs"]) or told["kind"]),
    )
    return Row(told["name"], cells)
