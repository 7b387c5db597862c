"""Child runs: spawned by name, so that a resumed parent finds the ones it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.log.projections import RunView
from penstock.words.api import SubmitRequest
from penstock.words.errors import ChildNotCompleted
from penstock.words.priority import Priority

if TYPE_CHECKING:
    from penstock.runs.run import Run


async def spawn_child(
    run: Run,
    name: str,
    kind: str,
    inputs: Mapping[str, Any],
    *,
    timeout: float | None,  # noqa: ASYNC109  (the child's own limit, recorded with it)
    check: bool,
) -> RunView:
    """Submit `{run_id}.{name}`, or find it, and wait without the slot for its terminal event.

    ChildNotCompleted, with the child's state, unless it completed or `check` is off.
    """
    child_id = f"{run.run_id}.{name}"
    request = SubmitRequest(
        kind=kind,
        inputs=dict(inputs),
        run_id=child_id,
        priority=Priority(run.execution.row.priority),
        timeout=timeout,
    )
    await run.tools.submit_child(request, run.run_id)
    if run.tools.is_open(child_id):
        async with run.parking.open_parked(f"child: {name}"):
            while run.tools.is_open(child_id):
                await run.tools.bus.wait_published(child_id)
    child = await run.tools.reads.view(child_id)
    if check and child.state != "completed":
        error = child.error or child.reason
        raise ChildNotCompleted(
            f"the child run {child_id} ended {child.state}: {error}",
            child=child_id,
        )
    return child
