"""The result of a coding run as text: a patch that `git apply` takes, and a report."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from penstock.kinds.coding.modules import Plan

_NO_END = "\\ No newline at end of file\n"


def make_patch(before: Mapping[str, str | None], after: Mapping[str, str]) -> str:
    """What changed, in git's form, by path; "" if nothing did."""
    return "".join(
        _file_patch(path, before.get(path), after[path])
        for path in sorted(after)
        if before.get(path) != after[path]
    )


def _file_patch(path: str, before: str | None, after: str) -> str:
    head = [f"diff --git a/{path} b/{path}\n"]
    if before is None:
        head.append("new file mode 100644\n")
    # Not `splitlines`: a form feed, say, is no line's end to git.
    lines = difflib.unified_diff(
        _lines(before or ""),
        _lines(after),
        "/dev/null" if before is None else f"a/{path}",
        f"b/{path}",
    )
    marked = [line if line.endswith("\n") else f"{line}\n{_NO_END}" for line in lines]
    return "".join([*head, *marked])


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    lines = [f"{part}\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def make_report(
    plan: Plan,
    *,
    prompt: str,
    files: Sequence[str],
    version: int,
    code_hash: str,
    corrections: Sequence[str],
    findings: Sequence[str],
) -> str:
    """What was done, as Markdown."""
    parts = [
        "# Coding report",
        f"Task: {_one_line(prompt)}",
        plan.summary,
        "## Modules",
        "\n".join(f"- {m.name} (`{m.path}`): {m.purpose}" for m in plan.modules),
        "## Files",
        "\n".join(f"- `{path}`" for path in files),
        "## Corrections",
        "\n".join(f"{n}. {_one_line(c)}" for n, c in enumerate(corrections, 1))
        or "None were needed.",
        "## Code that nothing uses",
        "\n".join(f"- {finding}" for finding in findings) or "None was found.",
        f"The tests pass at version {version}, SHA-256 `{code_hash}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str, longest: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
