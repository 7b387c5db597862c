"""A run in few words, for progress notifications and the status of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.log.projections import AskView, RunView


def open_asks(view: RunView) -> dict[str, AskView]:
    """The questions that wait for an answer, by name; an ended run needs none any more."""
    if view.ended:
        return {}
    return {name: ask for name, ask in view.asks.items() if ask.open}


def status_line(view: RunView) -> str:
    """Where the run stands: its state, and what it does or why it stands there."""
    parts = [str(view.state)]
    if asks := open_asks(view):
        parts.append(f"asks: {next(iter(asks.values())).question}")
    elif view.ended or view.reason:
        parts.append(view.error or view.reason)
    elif view.step:
        parts.append(view.step)
    if view.progress is not None and not view.ended:
        parts.append(f"{view.progress:.0%}")
    return ", ".join(part for part in parts if part)
