"""The tables of docs/architecture.md and docs/running.md that are made from the code.

Run this file to bring the documents up to date; tests/test_architecture.py fails when they are not.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from penstock.cli.main import cli
from penstock.cli.man_page import man_page
from penstock.words.exit_codes import CODES, CODES_OF_RUNS
from penstock.words.lifecycle import TRANSITIONS

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "architecture.md"
RUNNING = ROOT / "docs" / "running.md"
#: Folders of packages whose rooms the document names, and what stands before their names there.
HOUSES = {
    "daemon/penstock": "",
    "daemon/penstock_drills": "",
    "tui/penstock_tui": "",
}


def lifecycle_table() -> str:
    """One row per event that moves a run, one column per state; a cell is the next state."""
    states = [state for state, moves in TRANSITIONS.items() if moves]
    types = list(dict.fromkeys(t for moves in TRANSITIONS.values() for t in moves))
    lines = [
        "| event | " + " | ".join(str(s or "(new)") for s in states) + " |",
        "|---" * (len(states) + 1) + "|",
    ]
    for event_type in types:
        cells = [TRANSITIONS[state].get(event_type, "") for state in states]
        lines.append(f"| `{event_type}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rooms_table() -> str:
    """One row per folder of code: what its own first line says, and its files."""
    lines = ["| room | what it is | files |", "|---|---|---|"]
    for house in HOUSES:
        for room, line, files in _rooms(ROOT / house):
            lines.append(f"| `{room}/` | {line} | {' '.join(files)} |")
    return "\n".join(lines)


def _rooms(house: Path) -> Iterator[tuple[str, str, list[str]]]:
    for face in sorted(house.rglob("__init__.py")):
        room = face.parent
        said = ast.get_docstring(ast.parse(face.read_text())) or ""
        files = sorted(
            path.stem for path in room.glob("*.py") if path.name != "__init__.py"
        )
        name = room.relative_to(house.parent).as_posix().removeprefix("penstock/")
        yield name, said.split("\n")[0].rstrip("."), files


def codes_table(codes: tuple[tuple[str, str], ...]) -> str:
    """One row per exit code."""
    rows = [f"| {code} | {meaning} |" for code, meaning in codes]
    return "\n".join(["| code | what it says |", "|---|---|", *rows])


#: What `man penstock` shows.
MANUAL = ROOT / "daemon" / "penstock" / "cli" / "shells" / "penstock.1"

Tables = Mapping[str, Callable[[], str]]

#: By document: the name of each table in its markers, and what makes it.
TABLES: Tables = {
    "rooms": rooms_table,
    "lifecycle": lifecycle_table,
}
EXIT_TABLES: Tables = {
    "codes of runs": lambda: codes_table(CODES_OF_RUNS),
    "codes": lambda: codes_table(CODES),
}
DOCUMENTS: Mapping[Path, Tables] = {DOCUMENT: TABLES, RUNNING: EXIT_TABLES}


def renewed(text: str, tables: Tables = TABLES) -> str:
    """The document with its tables as they are now. ValueError without one pair of markers each."""
    for name, table in tables.items():
        begin = f"<!-- {name} table: begin; made by tests/document_tables.py -->"
        end = f"<!-- {name} table: end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed or begin in after:
            raise ValueError(f"the document must have the two {name} markers once")
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def manual() -> str:
    """The man page as it goes into a package: without the verbs of what else is installed here."""
    return man_page(cli, foreign=False)


if __name__ == "__main__":
    MANUAL.write_text(manual())
    for document, tables in DOCUMENTS.items():
        document.write_text(renewed(document.read_text(), tables))
