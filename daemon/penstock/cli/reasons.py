"""What keeps runs from a slot, for people: in a word or two beside a run, and the runs that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from penstock.cli.output import say
from penstock.cli.session import Session
from penstock.client.sync import SyncClient
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import QUEUED_STATES
from penstock.words.placement import NOWHERE, in_words, pinned_to
from penstock.words.run_id import GENERATED
from penstock.words.sentences import ordinal

#: Runs of a list that are explained: who stands further behind waits for these.
MOST_EXPLAINED = 20
#: Runs that are shown below an explanation.
MOST_SHOWN = 5

Told = Mapping[str, Any]


def rows_explained(session: Session, rows: Sequence[Told]) -> Sequence[Told]:
    """The same of what a list shows; as it was where nobody can be asked."""
    if not any(row["state"] in QUEUED_STATES for row in rows):
        return rows
    try:
        return session.call(lambda client: explained(client, rows))
    except PenstockError:
        return rows


def explained(client: SyncClient, rows: Iterable[Told]) -> list[dict[str, Any]]:
    """The rows, the first of those that stand in line with what keeps them there as their `reason`.

    They are shown without where the daemon does not say it: it is gone, or an older one.
    """
    found = list(map(dict, rows))
    waiting = [row for row in found if row["state"] in QUEUED_STATES][:MOST_EXPLAINED]
    if not waiting:
        return found
    try:
        told = client.whys([row["run_id"] for row in waiting])
    except PenstockError:
        return found
    by_id = {why["run_id"]: why["reasons"] for why in told["runs"]}
    for row in waiting:
        said = short_reason(by_id.get(row["run_id"], ()), row)
        row["reason"] = with_numbers(said, told["numbers"])
    return found


def short_reason(reasons: Sequence[Told], row: Told) -> str:
    """The first of these reasons of a run in a word or two; "" where its line of the list says as much."""
    if not reasons:
        return ""
    reason, group, needs = reasons[0], row.get("group"), row.get("needs") or {}
    runs = ", ".join(reason.get("runs", ())[:MOST_SHOWN])
    short: Mapping[str, Callable[[], str]] = {
        "stopping": lambda: "the daemon stops",
        # The line says so, by its state or when it starts.
        "retry": lambda: short_reason(reasons[1:], row),
        "stashed": lambda: "",
        "not_before": lambda: "",
        "paused": lambda: "paused",
        "group_paused": lambda: f"group {group} paused",
        "kind": lambda: "its kind is not installed",
        "accept": lambda: "of another box",
        "box_unknown": lambda: f"no box {pinned_to(needs)}",
        "needs": lambda: f"no box has {in_words(needs)}",
        "box_drained": lambda: "this box is drained",
        "prerequisites": lambda: f"after {runs}",
        "group_slots": lambda: f"group {group} full",
        "slots": lambda: _place(reasons),
        "ahead": lambda: _place(reasons),
        "first": lambda: _place(reasons),
        "preempted": lambda: f"gave way to {runs}",
        "next": lambda: "next",
    }
    made = short.get(reason["code"])
    # A newer daemon has reasons that this version does not know.
    return str(reason["text"]).rstrip(".") if made is None else made()


def tell_nowhere(session: Session, run_id: str, needs: Sequence[str]) -> None:
    """Say that no box will start this run which asks for something, as far as the daemon knows.

    It is queued all the same: the box may come. But a name that was typed wrong waits for ever.
    """
    if not needs:
        return
    # Late: few runs ask for anything.
    from penstock.cli.patience import reason_line

    with suppress(PenstockError):
        for why in session.call(lambda client: client.whys([run_id]))["runs"]:
            kept = [r for r in why["reasons"] if r["code"] in NOWHERE]
            if kept:
                say(f"{run_id}: {reason_line({**why, 'reasons': kept})}")


def _place(reasons: Sequence[Told]) -> str:
    """Where it stands in the line: `1st`, `3rd`."""
    before = next((len(r["runs"]) for r in reasons if r["code"] == "ahead"), 0)
    return ordinal(before + 1)


def named_runs(client: SyncClient, reasons: Iterable[Told]) -> list[dict[str, Any]]:
    """The runs that these reasons speak of, as far as they are still there."""
    return known_runs(client, (run for r in reasons for run in r.get("runs", ())))


def named_numbers(client: SyncClient, run_id: str) -> dict[str, int | None]:
    """Numbers of the runs that the reasons of this one speak of; none where an older daemon is asked."""
    try:
        return dict(client.whys([run_id])["numbers"])
    except PenstockError:
        return {}


def known_runs(client: SyncClient, run_ids: Iterable[str]) -> list[dict[str, Any]]:
    """The first of these runs, each once, as far as they are still there."""
    found = []
    for run_id in list(dict.fromkeys(run_ids))[:MOST_SHOWN]:
        with suppress(PenstockError):
            found.append(client.run(run_id))
    return found


def by_number(text: str, runs: Iterable[Told]) -> str:
    """The text with numbers for the ids that nobody has chosen."""
    return with_numbers(text, {run["run_id"]: run.get("number") for run in runs})


def with_numbers(text: str, numbers: Mapping[str, int | None]) -> str:
    """The same, by the numbers themselves."""
    return GENERATED.sub(lambda found: str(numbers.get(found[0]) or found[0]), text)
