"""One life of an agent's program: a session, and turns in it, until there is nothing more to say.

What it says becomes facts, what it wants to be allowed is decided, its silence is told, and a budget
that is spent ends its turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from penstock.kinds.agent.asking import Permissions
from penstock.kinds.agent.connection import Agent
from penstock.kinds.agent.failures import AgentRefused, AgentUnfit
from penstock.kinds.agent.inputs import AgentInputs
from penstock.kinds.agent.offered import Greeting, PermissionWish
from penstock.kinds.agent.presets import AgentPreset
from penstock.kinds.agent.spending import overspent, overspent_together
from penstock.kinds.agent.transcript import Transcript
from penstock.kinds.agent.tree import AgentTree
from penstock.kinds.agent.turns import AgentParting, TurnEnd
from penstock.pipeline import (
    BudgetSpent,
    DeferredFailure,
    PenstockError,
    Run,
    RunView,
)

#: Seconds that an agent may take to end a turn in which it spent too much; then its program is ended.
_OVER_SECONDS = 10.0
#: Seconds between two looks at an agent that has a turn, at most.
_LOOK_SECONDS = 10.0
#: Seconds that what was said last may take to be recorded when the run ends.
LAST_SECONDS = 0.5

#: What the names of steps begin with that say which session was opened.
_SESSION = "session "

#: What an agent is told that is started again in the midst of its task.
INTERRUPTED = "You were interrupted. Look at the state of the working tree and go on with the task:\n"


class AgentFailed(PenstockError):
    """The agent could not do its work, or was not to go on with it."""


@dataclass(eq=False, slots=True)
class AgentTalk:
    """What is said with an agent in one life; it hears the agent for `open_agent`."""

    run: Run
    inputs: AgentInputs
    preset: AgentPreset
    tree: AgentTree
    transcript: Transcript
    #: Seconds that an agent may take to end its turn once the run is cancelled.
    patience: float
    permissions: Permissions = field(init=False)
    #: It was greeted, and has a session.
    begun: bool = False
    #: Why the turn was ended from here.
    over: PenstockError | None = None
    _agent: Agent | None = None
    #: Ends the turn that is under way from outside.
    _turn: trio.CancelScope | None = None
    _held: trio.Event = field(default_factory=trio.Event)
    _recording: trio.Lock = field(default_factory=trio.Lock)

    def __post_init__(self) -> None:
        self.permissions = Permissions(
            self.run, self.inputs, self.preset.name, self.tree.root, self.flush
        )

    # -- what the agent says

    async def updated(self, update: dict[str, Any]) -> None:
        """A message, a tool call, a plan, a cost."""
        self.transcript.take(update)
        if self.transcript.full:
            await self.flush()
        else:
            self._held.set()
            await trio.lowlevel.checkpoint()
        self._judge()

    async def noise(self, text: str) -> None:
        """What is no message of the protocol is for the log."""
        await self.run.log(f"not of the protocol: {text}\n")

    async def flush(self) -> None:
        """Record what the agent said by now."""
        async with self._recording:
            await self.run.emit_many(self.transcript.flush())

    async def pump(self) -> None:
        """Record what it says, a little later and together."""
        while True:
            await self._held.wait()
            self._held = trio.Event()
            await trio.sleep(self.run.config.throttle_seconds)
            await self.flush()
            self._judge()

    # -- what it wants

    async def permit(self, wish: PermissionWish) -> str | None:
        """The option that answers it."""
        act = self.transcript.take_wish(wish.call)
        return await self.permissions.decide(wish, act)

    async def withdrawn(self, wish: PermissionWish, reason: str) -> None:
        """It needs no answer any more. One that a restart cuts off is asked again, and stays."""
        if not self.run.comes_back:
            await self.permissions.withdraw(reason)

    # -- limits

    def _judge(self) -> None:
        """End the turn once it costs too much, or does what it should have asked for."""
        if self.over is not None:
            return
        of_any = self.run.config.models.run_budget
        if why := overspent(self.run.view, self.inputs.budget, of_any):
            self._end_turn(BudgetSpent(why))
        elif self.inputs.strict and self.transcript.unasked:
            why = "the agent did something without asking, and `strict` forbids that"
            self._end_turn(AgentFailed(why))

    def _end_turn(self, why: PenstockError) -> None:
        self.over = why
        if self._agent is not None:
            self._agent.cancel_turn_nowait()
        if self._turn is not None:
            # It may take leave, and not go on for as long as it talks.
            self._turn.deadline = trio.current_time() + _OVER_SECONDS

    async def _watch(self, agent: Agent) -> None:
        """Tell of silence, once each time, and look at what the run's whole tree spends."""
        since, told = trio.current_time(), None
        while True:
            await trio.sleep(min(self.inputs.stall / 4, _LOOK_SECONDS))
            if self.over is None and (why := await overspent_together(self.run)):
                self._end_turn(BudgetSpent(why))
            now = trio.current_time()
            # Who waits for a person, or had no turn, has kept nobody waiting.
            since = now if self.permissions.waiting else max(since, agent.heard_at)
            if now - since >= self.inputs.stall and told != since:
                told = since
                await self.run.progress(f"silent for {now - since:.0f} s")
                await self.run.milestone("silent", seconds=round(now - since))

    # -- the session

    async def begin(self, agent: Agent, servers: Sequence[Mapping[str, Any]]) -> bool:
        """Greet the agent and open a session; whether it is one that was there before."""
        self._agent = agent
        sessions = sessions_of(self.run.view)
        known = sessions[-1] if sessions else None
        with trio.move_on_after(self.inputs.start_timeout) as limit:
            greeting = await agent.greet("1")
            resumed = await self._open_session(agent, greeting, known, servers)
            await self._choose(agent)
        if limit.cancelled_caught:
            raise AgentFailed(
                f"{self.preset.name} did not begin within {self.inputs.start_timeout:g} s"
            )
        self.begun = True
        assert agent.session is not None
        session = agent.session.id

        async def noted() -> dict[str, str]:
            await trio.lowlevel.checkpoint()
            return {"session": session, "agent": greeting.name, "version": greeting.version}  # fmt: skip

        if not resumed:
            await self.run.step(f"{_SESSION}{len(sessions) + 1}", noted)
        how = "resumed" if resumed else "new"
        await self.run.milestone(
            "session", how=how, session=session, agent=greeting.name, version=greeting.version
        )  # fmt: skip
        return resumed

    async def _open_session(
        self,
        agent: Agent,
        greeting: Greeting,
        known: Mapping[str, str] | None,
        servers: Sequence[Mapping[str, Any]],
    ) -> bool:
        """Take the known session up again in the first way that works, else begin one."""
        cwd = str(self.tree.cwd)
        ways = []
        if known is not None and greeting.can_resume:
            ways.append(("resume", agent.resume_session))
        if known is not None and greeting.can_load:
            ways.append(("load", agent.load_session))
        for name, take_up in ways:
            assert known is not None
            try:
                await take_up(known["session"], cwd, servers)
            except AgentRefused as refusal:
                await self.run.log(f"session/{name} was refused: {refusal}\n")
            else:
                return True
        await agent.new_session(cwd, servers)
        return False

    async def _choose(self, agent: Agent) -> None:
        """Put it into the mode in which it asks, unless somebody says another."""
        if self.inputs.mode is not None:
            await agent.choose("mode", self.inputs.mode)
        elif self.preset.mode:
            stubborn = DeferredFailure()
            with stubborn:
                await agent.choose("mode", self.preset.mode)
            if not isinstance(stubborn.error, AgentUnfit) or self.inputs.strict:
                stubborn.reraise()
            else:
                await self.run.log(
                    f"{self.preset.name} may not ask: {stubborn.error}\n"
                )
        if self.inputs.model is not None:
            await agent.choose("model", self.inputs.model)

    # -- a turn

    async def take_turn(self, agent: Agent, text: str) -> TurnEnd:
        """Have the agent do something; what is asked is answered, and what it costs is watched.

        Raises `over` once it was ended from here, AgentRefused, AgentGone.
        """
        if why := await overspent_together(self.run):
            raise BudgetSpent(why)
        self._judge()
        if self.over is not None:
            raise self.over
        failed, turn = DeferredFailure(), DeferredFailure()
        end: TurnEnd | None = None
        with failed:
            async with trio.open_nursery() as nursery:
                self._turn = nursery.cancel_scope
                nursery.start_soon(self._watch, agent)
                nursery.start_soon(self.pump)
                try:
                    with turn:
                        end = await agent.prompt(text, patience=self.patience)
                finally:
                    nursery.cancel_scope.cancel(reason="the turn is over")
                    with trio.move_on_after(LAST_SECONDS, shield=True):
                        await self._finish(agent, end)
        if self.over is not None:
            raise self.over
        turn.reraise()
        failed.reraise()
        assert end is not None
        return end

    async def _finish(self, agent: Agent, end: TurnEnd | None) -> None:
        """Record what was said last, and how the agent took leave, though the run is being cancelled."""
        if end is not None:
            self.transcript.end_turn(end.result)
        else:
            self.transcript.close()
        await self.flush()
        if agent.parting is not None:
            await self.run.log(_told_parting(agent.parting))


def sessions_of(view: RunView) -> list[Mapping[str, str]]:
    """The sessions that a run had, in order: `session` is the id that the agent knows."""
    return [value for name, value in view.steps.items() if name.startswith(_SESSION)]


def _told_parting(parting: AgentParting) -> str:
    if parting.stop_reason is None:
        return f"the agent did not end its turn within {parting.seconds:.1f} s of session/cancel\n"
    return f"the agent ended its turn {parting.seconds:.2f} s after session/cancel: {parting.stop_reason}\n"
