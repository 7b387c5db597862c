"""What the JSON of a cancel's receipt says, for whoever is given one: never more than was proven."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Receipt = Mapping[str, Any]

#: How it is proven that nothing is left of a run whose box was lost: its processes end with its lease.
BY_LEASE = "lease"

_SLOTS: Mapping[str | None, str] = {
    "free": "; its model's slot is free",
    "busy": "; but its model server still works on it",
}


def proves_end(receipt: Receipt) -> bool:
    """Whether it is proven that nothing of the run is left."""
    return receipt.get("gone_at") is not None


def moments_of(receipt: Receipt) -> tuple[datetime | None, datetime | None]:
    """When the cancel was asked for, and when the end was proven."""
    asked, gone = receipt.get("requested_at"), receipt.get("gone_at")
    return _moment(asked), _moment(gone)


def left_of(receipt: Receipt) -> Any:
    """The ids of processes that could not be ended; "unknown" if nobody could tell; empty if none."""
    return receipt.get("survivors")


def is_under_way(receipt: Receipt) -> bool:
    """Whether the run is still being ended, as far as the receipt knows."""
    over = receipt["outcome"] in {"already_terminal", "tombstoned"}
    return not over and not proves_end(receipt)


def proof_of(receipt: Receipt) -> str:
    """How the end was proven, of which processes and where; "" where there were none to prove it of."""
    pids, box = " ".join(map(str, receipt["pids"])), receipt.get("box") or ""
    if receipt["method"] == BY_LEASE:
        # Nobody looked at them: each ends by itself when the lease of its box is over.
        said = (
            f"the lease of the box {box} is over"
            if box
            else "the lease of its box is over"
        )
        return f"{said}: {pids}" if pids else said
    if not pids:
        return ""
    return (
        f"{receipt['method']} on {box}: {pids}"
        if box
        else f"{receipt['method']}: {pids}"
    )


def receipt_line(receipt: Receipt, *, waited: bool = False) -> str:
    """A receipt in a sentence; `waited`: it was to be given when the run is over."""
    run_id, outcome, left = receipt["run_id"], receipt["outcome"], left_of(receipt)
    if outcome == "already_terminal":
        doubt = f", but is not proven gone; survivors: {left}" if left else ""
        return f"{run_id} had ended before{doubt}"
    if outcome == "tombstoned":
        return (
            f"{run_id} is not known; if it is submitted within a day it will not start"
        )
    if left:
        return f"{run_id} cancelled, but not proven gone; survivors: {left}"
    if is_under_way(receipt):
        late = ", and it is not over yet" if waited else ""
        return f"{run_id}: cancel requested{late}"
    proof = f" ({said})" if (said := proof_of(receipt)) else ""
    slot = _SLOTS.get(receipt.get("model_slot"), "")
    return f"{run_id} cancelled, nothing of it is left{proof}{slot}"


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
