"""What one who asks may do, decided in one place for REST, streams and MCP: each says by its tables what is asked.

The owner may do everything. A run may ask what its row in a table allows it, of its own tree; a row
that says nothing allows it nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from penstock.runs.core import Core
from penstock.runs.run_scopes import RunScope
from penstock.words.api import SubmitRequest
from penstock.words.errors import Forbidden, OtherInputs, RunNotFound

#: What of an act a run may do: "tree", of the runs of its own tree; "child", make one there; "all", because
#: it is about no run.
RunMay = Literal["nothing", "tree", "child", "all"]


@dataclass(frozen=True, slots=True)
class ScopeJudge:
    """Judges what runs ask of this core."""

    core: Core

    async def admit(
        self, scope: RunScope | None, may: RunMay, run_id: str | None = None
    ) -> None:
        """Forbidden unless who asks may do this, of this run if it is about one; None is the owner.

        Unauthorised if it is a run that is over.
        """
        if scope is None:
            return
        scope.check()
        if may in ("all", "child"):
            return
        if may == "tree" and run_id is not None and await self._in_tree(run_id, scope):
            return
        what = "this" if run_id is None else f"this of {run_id[:80]!r}"
        raise Forbidden(
            f"the run {scope.run_id!r} may not ask {what}: it may look at its own tree and make children,"
            " and only its user may do more"
        )

    async def child(
        self, scope: RunScope | None, request: SubmitRequest
    ) -> tuple[SubmitRequest, str | None]:
        """What is submitted for who asks, and below which run. Forbidden, Refused, OtherInputs."""
        if scope is None:
            return request, None
        await self.admit(scope, "child")
        made = scope.child(request)
        for run_id in made.after:
            await self.admit(scope, "tree", run_id)
        if (
            made.run_id is not None
            and await self.core.reader.known(made.run_id)
            and not await self._in_tree(made.run_id, scope)
        ):
            raise OtherInputs(f"the run {made.run_id} is none of this tree")
        return made, scope.run_id

    async def _in_tree(self, run_id: str, scope: RunScope) -> bool:
        """Whether this run is that of the scope, or below it."""
        above: str | None = run_id
        with suppress(RunNotFound):
            while above is not None and above != scope.run_id:
                above = (await self.core.reader.ancestor(above)).parent_id
            return above is not None
        return False
