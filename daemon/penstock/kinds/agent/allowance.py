"""Quotas: a run whose agent has used up its own waits without a slot, and all others of it with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import trio

from penstock.pipeline import PenstockError, Run, Waiting

#: Seconds of a wait over which an agent does not stay alive: it holds hundreds of MiB.
LONGEST_ALIVE = 300.0
#: Seconds between two looks at the time of day, which a machine that slept has not waited.
_LOOK_SECONDS = 60.0
#: What the names of steps begin with that say until when a quota was used up.
_STEP = "quota "


class QuotaUsedUp(PenstockError):
    """The agent's quota is used up, and nobody waits for it, or not so long."""


@dataclass(frozen=True, slots=True)
class AgentQuota:
    """The quota of one run's agent. `within`: seconds that the run waits for it in all; None: not at all."""

    run: Run
    name: str
    within: float | None

    @property
    def _share(self) -> str:
        return f"quota {self.name}"

    def _noted(self) -> list[tuple[datetime, datetime]]:
        """What earlier waits of this run were noted as: when, and until when."""
        steps = self.run.view.steps
        noted = (value for name, value in steps.items() if name.startswith(_STEP))
        return [
            (datetime.fromisoformat(v["from"]), datetime.fromisoformat(v["until"]))
            for v in noted
        ]

    async def note(self, until: datetime, said: str) -> None:
        """The agent says that it is used up until then. QuotaUsedUp if that is too long."""
        now = self.run.now()
        until = max(until, now + timedelta(seconds=1))
        before = self._noted()
        waited = sum(((end - begin) for begin, end in before), timedelta())
        moment = until.strftime("%H:%M UTC on %Y-%m-%d")
        if self.within is None:
            raise QuotaUsedUp(
                f"the quota of {self.name} is used up until {moment}: {said}"
            )
        if (waited + (until - now)).total_seconds() > self.within:
            raise QuotaUsedUp(
                f"the quota of {self.name} is used up until {moment}, longer than this run waits: {said}"
            )

        async def noted() -> dict[str, str]:
            await trio.lowlevel.checkpoint()
            return {"from": now.isoformat(), "until": until.isoformat(), "said": said}

        await self.run.step(f"{_STEP}{len(before) + 1}", noted)
        self.run.close_share(self._share, until)

    def closed_until(self) -> datetime | None:
        """Until when it is used up, as any run of this daemon, or this one before, has heard."""
        now = self.run.now()
        own = max((end for _, end in self._noted()), default=now)
        shared = self.run.share_closed_until(self._share) or now
        until = max(own, shared)
        return until if until > now else None

    def wait_is_long(self) -> bool:
        """Whether the agent should not stay alive for it."""
        until = self.closed_until()
        return until is not None and until - self.run.now() > timedelta(
            seconds=LONGEST_ALIVE
        )

    async def wait_open(self) -> None:
        """Return once it may be used, at once if it may be now; without the slot meanwhile."""
        while (until := self.closed_until()) is not None:
            async with self.run.without_slot(Waiting("quota", self.name, until)):
                await self._sleep_until(until)

    async def _sleep_until(self, until: datetime) -> None:
        # Nothing but the time of day tells that it has come.
        while (left := (until - self.run.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await trio.sleep(min(left, _LOOK_SECONDS))
