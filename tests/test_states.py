"""The states of a run are said once: whoever asks for one asks `lifecycle`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest

from penstock.cli.output import COLOURS
from penstock.cli.run_lines import MARKS
from penstock.log.sqlite.schema import TABLES as SCHEMA
from penstock.log.tables.rows import IN_LINE
from penstock.runs.hooks import WORDS
from penstock.words.config import Hook
from penstock.words.events import TERMINAL_TYPES
from penstock.words.lifecycle import (
    ENDS,
    OPEN_STATES,
    ROLES,
    STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    Role,
    State,
)
from penstock_tui.standing import SECTIONS
from penstock_tui.wording import LOOKS

ROOT = Path(__file__).parent.parent
LIFECYCLE = ROOT / "daemon" / "penstock" / "words" / "lifecycle.py"
FILES = sorted(
    path
    for folder in ("daemon", "tui")
    for path in (ROOT / folder).rglob("*.py")
    if path != LIFECYCLE
)

#: file -> why it may spell the name of a state where it compares.
MAY_SPELL = {
    "penstock/cli/daemon_checks.py": "a state of systemd's units",
    "penstock/cli/queue.py": "names of figures in the answer about the queue",
    "penstock/kinds/agent/agent_run.py": "how an agent says that it ended a turn",
    "penstock/kinds/agent/transcript.py": "how far a tool call or an entry of a plan is",
    "penstock/log/sqlite/schema.py": "what stands in files of old; its own test holds it",
    "penstock/processes/process.py": "a word of the supervisor's protocol",
    "penstock/server/mcp/tasks.py": "the status that MCP's protocol gives a task",
    "penstock/words/sentences.py": "how far a tool call or an entry of a plan is",
    "penstock/words/api.py": "the outcome of a cancel, which a receipt tells",
    "penstock/cli/transcript.py": "how a tool of an agent ended, and how far a plan is",
    "penstock_tui/transcript.py": "how a tool of an agent ended, and how far a plan is",
    "penstock_drills/crash.py": "the outcome of a cancel, which a receipt tells",
    "penstock_drills/escapes.py": "the outcome of a cancel, which a receipt tells",
    "penstock_drills/older_rows.py": "what stands in rows of old, which no newer word may change",
    "penstock_tui/screens/cancel.py": "the outcome of a cancel, which a receipt tells",
}
#: file -> what it has a row of for each state.
TABLES: Mapping[str, Mapping[Any, object]] = {
    "penstock/cli/output.py": COLOURS,
    "penstock/cli/run_lines.py": MARKS,
    "penstock_tui/wording.py": LOOKS,
}
_IN_SQL = re.compile(rf"'({'|'.join(STATES)})'")
#: What stands in every file that spells one; to parse all the others takes a second.
_QUOTED = re.compile(rf"[\"']({'|'.join(STATES)})[\"']")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix().split("/", 1)[1]


def _is_state(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_is_state(item) for item in node.elts)
    return isinstance(node, ast.Constant) and node.value in STATES


def _spells(node: ast.AST) -> bool:
    match node:
        case ast.Compare():
            return any(map(_is_state, (node.left, *node.comparators)))
        case ast.BoolOp():
            return any(map(_is_state, node.values))
        case ast.MatchValue():
            return _is_state(node.value)
        case ast.Call(func=ast.Attribute(attr="count" | "index")):
            return any(map(_is_state, node.args))
        case ast.Tuple(elts=items):
            # `(*QUEUED_STATES, "waiting")`: a set that is added to.
            starred = any(isinstance(item, ast.Starred) for item in items)
            return starred and _is_state(node)
        case ast.Subscript(value=ast.Name(id="TRANSITIONS")):
            return _is_state(node.slice)
        case ast.Dict():
            # A table by state, unless it is only one word of several.
            return sum(map(_is_state, node.keys)) > 2
        case ast.Constant(value=str() as text):
            return _IN_SQL.search(text) is not None
    return False


def spelled(source: str) -> list[int]:
    """Lines that compare with the name of a state, or look it up in SQL or in a table."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if _spells(node)]  # type: ignore[attr-defined]


def _found() -> Iterator[tuple[str, list[int]]]:
    for path in FILES:
        source = path.read_text()
        if _QUOTED.search(source) and (lines := spelled(source)):
            yield name_of(path), lines


def test_no_state_is_spelled_but_where_it_is_said() -> None:
    """CC-06: whoever adds a state changes the table of the lifecycle, and what really differs."""
    found = dict(_found())
    allowed = MAY_SPELL.keys() | TABLES.keys()
    assert {name: found[name] for name in found.keys() - allowed} == {}
    assert found.keys() >= allowed, "a reason without its file"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_row_for_each_state(name: str) -> None:
    """CC-06: no state is shown without its glyph, its colour and its place."""
    assert set(TABLES[name]) == set(STATES)


def test_the_page_shows_each_state_and_asks_for_all_that_is_open() -> None:
    """CC-06: of an open run it shows the row, however many newer ones there are."""
    page = files("penstock.server.web") / "static"
    table = re.search(r"const GLYPHS = {([^}]*)}", (page / "words.js").read_text())
    assert table is not None
    assert set(re.findall(r"(\w+): \"", table[1])) == {*STATES, "asks"}
    coloured = re.findall(r"\.state-(\w+)", (page / "page.css").read_text())
    assert set(coloured) == {*STATES, "asks"}
    asked = re.findall(r"state:(\w+)", (page / "list.js").read_text())
    assert sorted(asked) == sorted(OPEN_STATES)


def test_every_state_has_its_role_and_its_moves() -> None:
    """CC-06"""
    assert set(STATES) == set(get_args(State))
    assert set(TRANSITIONS) == {None, *STATES}
    assert set(ROLES.values()) == set(get_args(Role)) == set(SECTIONS)


def test_every_end_is_one_that_a_hook_may_wait_for() -> None:
    """CC-06: the words of the configuration are the states', and three more."""
    words = set(get_args(get_args(Hook.model_fields["on"].annotation)[0]))
    assert (
        words == set(WORDS.values()) == {*ENDS.values(), "ask", "backpressure", "box"}
    )
    assert set(ENDS.values()) == set(TERMINAL_STATES)
    assert set(ENDS) == TERMINAL_TYPES


def test_the_index_of_the_line_is_that_of_the_states_in_line() -> None:
    """CC-06: one more of them needs a new index, and so a new version of the schema."""
    assert SCHEMA.count(f" WHERE {IN_LINE};") == 1


@pytest.mark.parametrize(
    "planted",
    [
        "view.state == 'running'",
        "row['state'] in ('queued', 'preempted')",
        "'failed' != state",
        "state or 'queued'",
        "states.count('running')",
        "(*QUEUED_STATES, 'waiting')",
        "TRANSITIONS['queued']",
        "match state:\n    case 'failed':\n        pass",
        "sql = \"SELECT 1 FROM runs WHERE state = 'waiting'\"",
        "sql = f\"SELECT {x} FROM runs WHERE state IN ('queued', 'preempted')\"",
        "GLYPHS = {'queued': 1, 'running': 2, 'failed': 3}",
    ],
)
def test_the_check_sees_what_it_looks_for(planted: str) -> None:
    """A check that can see nothing proves nothing."""
    assert spelled(planted)
