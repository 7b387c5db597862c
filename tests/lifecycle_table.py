"""The lifecycle table of docs/architecture.md, made from the code.

Run this file to bring the document up to date; tests/test_architecture.py fails when it is not.
"""

from __future__ import annotations

from pathlib import Path

from penstock.words.lifecycle import TRANSITIONS

DOCUMENT = Path(__file__).parent.parent / "docs" / "architecture.md"
BEGIN = "<!-- lifecycle table: begin; made by tests/lifecycle_table.py -->"
END = "<!-- lifecycle table: end -->"


def table() -> str:
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


def renewed(text: str) -> str:
    """The document with the table as it is now. ValueError without exactly one pair of markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after:
        raise ValueError("the document must have the two markers once")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
