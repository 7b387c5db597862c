"""What stands in a row of the overview's list. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from penstock.log.projections import RunView
from penstock.words.ask_details import is_permission
from penstock.words.lifecycle import CANCELLED, FAILED, FIRST_STATE
from penstock.words.priority import Priority
from penstock.words.run_exit import signal_name
from penstock.words.sentences import number, ordinal
from penstock_tui import wording
from penstock_tui.standing import elapsed, is_quiet, is_silent, waits_until
from penstock_tui.state import ShownRun, name_of
from penstock_tui.widgets.lazy_rows import Row, TableColumn
from penstock_tui.wording import CROSS

#: Characters of a box's name; of a longer one its begin and its end are seen.
BOX_WIDTH = 10
#: Widths of the list from which a column is shown: 46, 60, 80 and 120 characters have been looked at.
COLUMNS = (
    TableColumn("mark", 1, toned=True, only_if_any=True),
    TableColumn("", 1, toned=True),
    TableColumn("run", 14),
    TableColumn("kind", 9, wanted_from=84, only_if_any=True),
    TableColumn("prio", 4, wanted_from=72, only_if_any=True),
    TableColumn("state", 9, toned=True),
    TableColumn("until", 5, right=True, toned=True, only_if_any=True),
    TableColumn("step", 11, wanted_from=100, only_if_any=True),
    TableColumn("progress", 10, toned=True, wanted_from=56, only_if_any=True),
    TableColumn("elapsed", 8, right=True, wanted_from=54),
    TableColumn("when", 4, right=True, wanted_from=64, only_if_any=True),
    TableColumn("tokens", 6, right=True, wanted_from=112, only_if_any=True),
    TableColumn("ver", 4, right=True, wanted_from=112, only_if_any=True),
    TableColumn("box", BOX_WIDTH, wanted_from=64, only_if_any=True),
    TableColumn("title", 0),
)


@dataclass(frozen=True, slots=True)
class Around:
    """What a row says that its run alone does not tell."""

    #: Its place in the line, from 1; 0: it is in none, or far behind.
    place: int = 0
    #: What keeps it from a slot.
    hindrance: str = ""
    #: How many runs it has spawned that are folded under it, and whether they are shown.
    children: int = 0
    unfolded: bool = False
    #: How deep it stands under others.
    depth: int = 0
    marked: bool = False


ALONE = Around()


def row_of(run: ShownRun, now: datetime, around: Around = ALONE) -> Row:
    """The run as a row of the list."""
    view = run.view
    glyph, word, tone = state_of(run, now, around.place)
    return Row(
        view.run_id,
        (
            "•" if around.marked else "",
            glyph,
            wording.plain(_indented_name(run, around.depth)),
            "" if view.kind == "command" else wording.plain(view.kind),
            _priority(view),
            word,
            _until(run, now),
            "" if view.ended else wording.plain(view.model_doing or view.step or ""),
            wording.bar(_progress(view), 5),
            _time(view, now),
            _when(view, now),
            wording.tokens_of(view),
            f"v{view.code_version}" if view.code_version else "",
            wording.cut_middle(wording.plain(view.box), BOX_WIDTH),
            _title(run, around),
        ),
        tone,
    )


def _indented_name(run: ShownRun, depth: int) -> str:
    """The name; under its parent, what its id has beyond that one's."""
    view = run.view
    if not depth:
        return name_of(run)
    return f"{'  ' * (depth - 1)}└ {view.run_id.removeprefix(f'{view.parent_id}.')}"


def state_of(run: ShownRun, now: datetime, place: int = 0) -> tuple[str, str, str]:
    """Glyph, word and tone of a run's state; `place` is its own in the line."""
    view = run.view
    state = view.state or FIRST_STATE
    look = wording.LOOKS[state]
    if run.asks:
        return "?", "asks", "warning"
    if view.cancel_requested and not view.ended:
        return wording.LOOKS[CANCELLED].glyph, "cancelling", "warning"
    if run.failing and not view.ended:
        return "!", "failing", "error"
    if is_silent(view, now):
        return look.glyph, "silent", "warning"
    if is_quiet(view, now):
        return look.glyph, "quiet", look.tone
    if view.waiting is not None and view.waiting.kind == "quota":
        return look.glyph, "quota", look.tone
    if state == FAILED:
        return look.glyph, _how_it_failed(view), look.tone
    word = ordinal(place) if place else state
    return look.glyph, word, look.tone


def _until(run: ShownRun, now: datetime) -> str:
    """When a question is answered by nobody, or a quota is there again: the time of day, or days."""
    until = waits_until(run)
    if until is None:
        return ""
    days = (until - now).days
    return f"{days}d" if days > 0 else f"{until.astimezone():%H:%M}"


def _how_it_failed(view: RunView) -> str:
    """The program's own exit code or signal; else that it failed."""
    ended = view.exit
    if view.reason == "timeout":
        return "timeout"
    if ended is None or ended.origin == "penstock":
        return FAILED
    code = int(ended.code)
    return f"exit {code}" if ended.origin == "program" else signal_name(code - 128)


def _priority(view: RunView) -> str:
    medium = view.priority == Priority.MEDIUM
    return "" if medium else wording.priority_word(view.priority)


def _time(view: RunView, now: datetime) -> str:
    """How long it executes, or did; who stands in line has begun nothing."""
    return wording.duration(elapsed(view, now)) if view.started_at else ""


def _when(view: RunView, now: datetime) -> str:
    ended = view.ended_at
    return wording.ago((now - ended).total_seconds()) if ended else ""


def _title(run: ShownRun, around: Around) -> str:
    view = run.view
    if (ask := run.open_ask) is not None:
        keys = "a d" if is_permission(ask.choices) else "a"
        return wording.plain(f"{ask.question}  ({keys})")
    said = wording.title_of(view)
    if around.children:
        word = "turn" if view.kind == "loop" else "run"
        fold = "▾" if around.unfolded else "▸"
        said = f"{fold} {wording.counted(around.children, word)}  {said}"
    if around.hindrance:
        # Before the command: a narrow list has no room for both.
        said = f"({wording.plain(around.hindrance)})  {said}"
    if view.state == FAILED and view.error and not _is_told(view):
        said = f"{said}  {CROSS} {wording.plain(view.error)}"
    return said


def _is_told(view: RunView) -> bool:
    """Whether the error says no more than the word of the state."""
    return view.exit is not None and view.exit.origin != "penstock"


def _progress(view: RunView) -> float | None:
    return view.progress if not view.ended and view.state != FIRST_STATE else None


def heading_row(key: str, text: str) -> Row:
    """A line between the rows that says what follows."""
    return Row(key, (text,), "dim", heading=True)


def tally(counts: Mapping[str, int]) -> str:
    """How many ended runs ended how, each with its glyph."""
    said = [
        f"{wording.LOOKS[state].glyph} {number(counts[state])}"
        for state in ("completed", "failed", "cancelled")
        if counts.get(state)
    ]
    return "  ".join(said)
