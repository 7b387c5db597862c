"""What a fact says, in one line. Values in, text out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from penstock.words.events import UnknownEvent
from penstock.words.recorded import Recorded
from penstock_tui.wording import about, number, plain, size


def describe(fact: Recorded) -> str:
    """What a fact says, without its type, in one line."""
    event = fact.event
    if isinstance(event, UnknownEvent):
        return plain(fact.body.decode(errors="replace"))
    data = event.model_dump(mode="json", exclude={"type"}, exclude_defaults=True)
    sentence = _SENTENCES.get(fact.type)
    return plain(sentence(data) if sentence else _pairs(data))


def _pairs(data: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={_short(value)}" for key, value in data.items())


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_short(item) for item in value[:8])
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:200]
    )


def _progress(data: Mapping[str, Any]) -> str:
    fraction = data.get("fraction")
    return (
        f"{data['step']}  {fraction:.0%}" if fraction is not None else str(data["step"])
    )


def _partial(data: Mapping[str, Any]) -> str:
    return f"{data['artifact_id']}  +{len(data['text'])} characters"


def _milestone(data: Mapping[str, Any]) -> str:
    return f"{data['name']}  {_pairs(data.get('metadata', {}))}".rstrip()


def _exited(data: Mapping[str, Any]) -> str:
    how = (
        f"signal {data['signal']}"
        if data.get("signal")
        else f"status {data.get('exit_code')}"
    )
    left = data.get("survivors")
    return f"pid {data['pid']}  {how}" + (f"  survivors {left}" if left else "")


def _begin(data: Mapping[str, Any]) -> str:
    rest = {
        k: v
        for k, v in data.items()
        if k in ("parent_id", "retry_of", "after", "group", "attempt")
    }
    return f"{data.get('kind', '')}  {about(data.get('inputs', {}))}  {_pairs(rest)}".strip()


def _model_used(data: Mapping[str, Any]) -> str:
    given, came = data.get("tokens_in", 0), data.get("tokens_out", 0)
    took = f"{data.get('seconds', 0.0):.1f} s"
    return f"{data['model']}  {number(given)} tokens in  {number(came)} out  {took}"


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "run.queued": _begin,
    "run.started": _begin,
    "progress": _progress,
    "artifact.partial": _partial,
    "artifact.completed": lambda d: f"{d['artifact_id']}  {size(d['size'])}",
    "milestone": _milestone,
    "log": lambda d: str(d["text"]).rstrip("\n"),
    "log.truncated": lambda d: f"{size(d['dropped_bytes'])} of output not kept",
    "ask.raised": lambda d: f"{d['name']}: {d['question']}",
    "ask.answered": lambda d: f"{d['name']}: {d['answer']}  (by {d['by']})",
    "process.started": lambda d: (
        f"pid {d['pid']}  {d['method']}  {shlex.join(d.get('argv', ()))}"
    ),
    "process.exited": _exited,
    "model.used": _model_used,
    "intervention.received": lambda d: str(d["text"]),
    "run.failed": lambda d: f"{d['reason']}: {d['error']}",
    "run.cancelled": lambda d: str(d["reason"]),
    "run.completed": lambda d: _short(d.get("result") or ""),
    "run.cancel_requested": lambda d: str(d["reason"]),
    "backpressure.raised": lambda d: (
        f"{d['gauge']} {d['used']}/{d['capacity']} ({d['level']})"
    ),
    "backpressure.cleared": lambda d: f"{d['gauge']} {d['used']}/{d['capacity']}",
    "subscriber.lagged": lambda d: f"{d['subscriber']} dropped {d['dropped']} events",
}
