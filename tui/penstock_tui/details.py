"""What is known of one run beside its output: its heading, its particulars, its relations. Values in, lines out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from penstock.log.projections import RunView
from penstock.words.lifecycle import FIRST_STATE
from penstock.words.placement import in_words
from penstock.words.priority import Priority
from penstock.words.run_exit import exit_in_words
from penstock.words.unified_diff import change_in_words
from penstock_tui.rows import row_of, state_of
from penstock_tui.standing import elapsed
from penstock_tui.state import ShownRun, name_of
from penstock_tui.theme import Tones
from penstock_tui.widgets.lazy_rows import Row, TableColumn
from penstock_tui.widgets.tail_line import Line
from penstock_tui.wording import (
    bar,
    clock_time,
    counted,
    duration,
    plain,
    priority_word,
    title_of,
)

#: Columns that names of particulars take.
NAME_WIDTH = 13
#: A tree of runs is bounded by the daemon at 8 levels; this ends a loop in broken data.
DEEPEST = 10

RELATIONS = (
    TableColumn("", 1, toned=True),
    TableColumn("run", 24),
    TableColumn("state", 10, toned=True),
    TableColumn("elapsed", 8, right=True, wanted_from=60),
    TableColumn("title", 0),
)


def heading_of(run: ShownRun, now: datetime, tones: Tones) -> Text:
    """The run in one line: its id, its state, how far it is, what it does."""
    view = run.view
    glyph, word, tone = state_of(run, now)
    text = Text().append(plain(name_of(run)), style="bold")
    text.append(f"  {glyph} {word}", style=tones.colour(tone))
    if not view.ended and view.progress is not None:
        text.append(f"  {bar(view.progress, 8)}", style=tones.colour(tone))
    said = [
        plain(step_of(view)) if not view.ended else "",
        "" if view.priority == Priority.MEDIUM else priority_word(view.priority),
    ]
    said += [
        duration(elapsed(view, now)) if view.created_at else "",
        row_of(run, now).cells[11],
    ]
    said += [plain(view.kind), f"v{view.code_version}" if view.code_version else ""]
    text.append("".join(f"  {word}" for word in said if word))
    return text.append(f"  {title_of(view)}", style=tones.colour("dim"))


def step_of(view: RunView) -> str:
    """What it does now, and what its model does."""
    return ": ".join(word for word in (view.step, view.model_doing) if word)


def particulars(view: RunView) -> list[Line]:
    """Everything that was asked for, and how it went, a name and a value a line."""
    lines = []
    for name, value in _particulars(view):
        if value:
            first, *more = value.split("\n")
            lines.append(Line(f"{name:<{NAME_WIDTH}} {plain(first)}"))
            lines += [Line(f"{'':<{NAME_WIDTH}} {plain(line)}") for line in more]
    return lines


def _particulars(view: RunView) -> Iterator[tuple[str, str]]:
    inputs = dict(view.inputs)
    yield "run", view.run_id
    yield "kind", view.kind
    yield "state", view.state or FIRST_STATE
    argv = inputs.pop("argv", None)
    if isinstance(argv, list | tuple):
        yield "command", shlex.join(map(str, argv))
    yield "folder", str(inputs.pop("cwd", "") or "")
    environment = inputs.pop("env", None)
    if isinstance(environment, Mapping):
        yield "environment", " ".join(environment)
    for name, value in inputs.items():
        yield name, "" if value in (None, [], {}, ()) else str(value)
    yield "priority", priority_word(view.priority)
    yield "group", view.group or ""
    yield "labels", "  ".join(f"{k}={v}" for k, v in view.labels.items())
    yield "after", " ".join(view.after)
    yield "parent", view.parent_id or ""
    yield "retry of", view.retry_of or ""
    yield "asks for", in_words(view.needs)
    yield "submitted at", view.origin
    yield "timeout", duration(view.timeout) if view.timeout else ""
    yield "submitted", _moment(view.created_at)
    yield "began", _moment(view.started_at)
    yield "ended", _moment(view.ended_at)
    if view.started_at is not None and view.ended_at is not None:
        yield "took", duration((view.ended_at - view.started_at).total_seconds())
    yield "box", view.box
    yield "executions", str(view.attempt) if view.attempt > 1 else ""
    yield "exit", exit_in_words(view.exit) if view.exit is not None else ""
    yield "reason", view.reason
    yield "error", view.error or ""
    yield "result", result_in_words(view)
    yield "milestones", " ".join(view.milestones)
    yield "artifacts", " ".join(view.artifacts)


def result_in_words(view: RunView) -> str:
    """What it came to; an exit code is told as the exit."""
    result = view.result
    if isinstance(result, Mapping) and isinstance(result.get("stop_reason"), str):
        return _of_agent(result)
    if isinstance(result, Mapping):
        said = {k: v for k, v in result.items() if k not in ("exit_code", "signal")}
        return "  ".join(
            f"{k} {v}" for k, v in said.items() if v not in (None, "", [], {})
        )
    return "" if result is None else str(result)


def _of_agent(result: Mapping[str, Any]) -> str:
    """What an agent's work came to: its own last words, and what is there of it."""
    files = result.get("files")
    change = [result.get(name) for name in ("added", "removed")]
    said = [str(result.get("summary") or "").strip().partition("\n")[0]]
    if isinstance(files, list | tuple) and files:
        said.append(counted(len(files), "file"))
        said.append(change_in_words(*(n if isinstance(n, int) else 0 for n in change)))
    said += [f"{name} {result[name]}" for name in ("branch", "denied", "unasked") if result.get(name)]  # fmt: skip
    if (stop := result["stop_reason"]) != "end_turn":
        said.append(f"stopped: {stop}")
    return "  ".join(filter(None, said)) or str(stop)


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d} {clock_time(at)}" if at is not None else ""


def relation_rows(root: str, runs: Mapping[str, ShownRun], now: datetime) -> list[Row]:
    """What it waits for, itself among its parents and children, and what waits for it."""
    if root not in runs:
        return []
    before = [run_id for run_id in runs[root].view.after if run_id != root]
    oldest_first = sorted(runs.values(), key=lambda run: run.view.place)
    behind = [r.view.run_id for r in oldest_first if root in r.view.after]
    rows: list[Row] = []
    for title, ids in (("COMES AFTER", before), ("WAITS FOR IT", behind)):
        if ids:
            rows.append(Row(title, (title,), "dim", heading=True))
            rows += [_row(run_id, runs, 0, root, now) for run_id in ids]
    rows.append(Row("family", ("THE RUN AND ITS CHILDREN",), "dim", heading=True))
    children: dict[str, list[str]] = {}
    for run in oldest_first:
        if run.view.parent_id:
            children.setdefault(run.view.parent_id, []).append(run.view.run_id)
    taken: set[str] = {row.key for row in rows}
    for run_id, depth in _branch(_top(root, runs), children, 0):
        if run_id not in taken:
            taken.add(run_id)
            rows.append(_row(run_id, runs, depth, root, now))
    return rows


def _top(root: str, runs: Mapping[str, ShownRun]) -> str:
    top = root
    for _ in range(DEEPEST):
        parent = runs[top].view.parent_id
        if parent is None or parent not in runs:
            break
        top = parent
    return top


def _branch(
    run_id: str, children: Mapping[str, list[str]], depth: int
) -> Iterator[tuple[str, int]]:
    yield run_id, depth
    if depth < DEEPEST:
        for child in children.get(run_id, ()):
            yield from _branch(child, children, depth + 1)


def _row(
    run_id: str, runs: Mapping[str, ShownRun], depth: int, root: str, now: datetime
) -> Row:
    run = runs.get(run_id)
    said = plain(run_id if run is None else name_of(run))
    name = f"{'  ' * depth}{'▸ ' if run_id == root else ''}{said}"
    if run is None:
        return Row(run_id, ("", name, "", "", "not among the runs that are known here"))
    glyph, word, tone = state_of(run, now)
    took = duration(elapsed(run.view, now)) if run.view.created_at else ""
    return Row(run_id, (glyph, name, word, took, title_of(run.view)), tone)
