"""One run told whole, for a person: what it is, how it stands, its times, and what it belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.cli.output import COLOURS, Word, local_time
from penstock.cli.replies import is_open
from penstock.cli.run_lines import (
    ago,
    command_of,
    folder_of,
    name_of,
    state_of,
    step_of,
    took,
)
from penstock.words.exit_codes import PROGRAM_KIND
from penstock.words.lifecycle import COMPLETED, FAILED
from penstock.words.placement import in_words
from penstock.words.run_id import NAME_LABEL
from penstock.words.sentences import number, size

#: The priority of most runs, which nobody needs to be told.
_USUAL = "MEDIUM"
#: What names other runs.
NAMING = frozenset({"why", "after", "parent", "retry of"})


def card_of(
    run: Mapping[str, Any], why: Mapping[str, Any] | None = None
) -> dict[str, str | Word]:
    """Names and values, in the order in which a person asks; what is empty says nothing.

    `why`: where it stands in line or waits, what it waits for.
    """
    now = datetime.now(UTC)
    labels = {k: v for k, v in run.get("labels", {}).items() if k != NAME_LABEL}
    usual = run.get("priority") == _USUAL
    return {
        "run": f"{run.get('number') or ''} {name_of(run)}".strip(),
        "state": Word(_state(run), COLOURS.get(run["state"])),
        "why": " ".join(reason["text"] for reason in why["reasons"]) if why else "",
        "step": "" if run.get("ended_at") else step_of(run),
        "command": command_of(run),
        "folder": folder_of(run),
        "box": run.get("box") or "",
        "env": " ".join(run.get("inputs", {}).get("env") or ()),
        "submitted": _moment(run.get("created_at"), now),
        "started": _started(run, now),
        "ended": _moment(run.get("ended_at"), now),
        "took": took(run, now) if run.get("started_at") else "",
        "executions": str(run["attempt"]) if run.get("attempt", 0) > 1 else "",
        "priority": "" if usual else str(run.get("priority") or "").lower(),
        "group": run.get("group") or "",
        "labels": " ".join(f"{key}={value}" for key, value in labels.items()),
        "after": ", ".join(run.get("after") or ()),
        "parent": run.get("parent_id") or "",
        "retry of": run.get("retry_of") or "",
        "timeout": f"{run['timeout']:g} s" if run.get("timeout") else "",
        "asks for": in_words(run.get("needs") or {}),
        "submitted at": run.get("origin") or "",
        "on restart": run.get("on_restart") or "",
        "left over": _left(run.get("leftover") or 0),
        **_made(run),
        "id": run["run_id"],
    }


def _state(run: Mapping[str, Any]) -> str:
    """The state, and why it ended so, unless its exit code says it."""
    shown = state_of(run)
    if run["state"] == FAILED and run.get("exit_from") == "program":
        return shown
    why = run.get("error") or (run.get("reason") if run.get("ended_at") else "")
    if run["state"] == COMPLETED or not why:
        return shown
    return f"{shown}: {why}"


def _moment(moment: str | None, now: datetime) -> str:
    """`2026-11-29 08:13:41 (3 m ago)`."""
    if not moment:
        return ""
    past = ago(now - datetime.fromisoformat(moment))
    return local_time(moment) + (f" ({past})" if past else "")


def _started(run: Mapping[str, Any], now: datetime) -> str:
    if not (began := run.get("started_at")):
        return ""
    waited = {"started_at": run.get("created_at", began), "ended_at": began}
    line = took(waited, now)
    return _moment(began, now) + (f", after {line} in line" if line != "0:00" else "")


def _left(count: int) -> str:
    return f"{count} {'process' if count == 1 else 'processes'}, which were ended" if count else ""  # fmt: skip


def _made(run: Mapping[str, Any]) -> dict[str, str]:
    """What came out of it by now, and what it asks."""
    asks = [ask for ask in run.get("asks", ()) if is_open(ask)]
    artifacts = [
        a["artifact_id"] + (f" ({size(a['size'])})" if a.get("size") else "")
        for a in run.get("artifacts", ())
    ]
    spent = ""
    if run.get("tokens_in") or run.get("tokens_out"):
        spent = f"{number(run['tokens_in'])} in, {number(run['tokens_out'])} out"
        spent += f", {run['model_seconds']:.0f} s"
        spent += f", {run['cost']:.4g}" if run.get("cost") else ""
    result = run.get("result")
    program = run.get("kind") == PROGRAM_KIND
    return {
        "asks": "; ".join(f"{ask['name']}: {ask['question']}" for ask in asks),
        "artifacts": ", ".join(artifacts),
        "milestones": ", ".join(run.get("milestones", ())),
        "tokens": spent,
        # That of a program is its exit code.
        "result": "" if program or result is None else json.dumps(result, ensure_ascii=False),
    }  # fmt: skip
