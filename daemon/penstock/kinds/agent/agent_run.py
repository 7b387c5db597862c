"""The lives of an agent's program in one execution of a run, and the turns that it takes in them.

A life that ends in the midst of a turn is followed by another, which goes on with the same session
where that can be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import trio

from penstock.kinds.agent.allowance import AgentQuota
from penstock.kinds.agent.asking import judge_act
from penstock.kinds.agent.connection import Agent, open_agent
from penstock.kinds.agent.conversation import (
    INTERRUPTED,
    LAST_SECONDS,
    AgentFailed,
    AgentTalk,
)
from penstock.kinds.agent.failures import AgentGone, AgentRefused, AgentUnfit
from penstock.kinds.agent.inputs import AgentInputs
from penstock.kinds.agent.presets import AgentPreset
from penstock.kinds.agent.quota import read_quota
from penstock.kinds.agent.transcript import Transcript
from penstock.kinds.agent.tree import AgentTree
from penstock.kinds.agent.turns import TurnEnd
from penstock.pipeline import (
    DeferredFailure,
    Executed,
    ProcessFailed,
    Recorded,
    Refused,
    Run,
    Waiting,
    end_in_words,
)

#: Seconds that an agent has to end by itself once nobody talks to it any more; then it is told to.
EXIT_SECONDS = 3.0
#: Lives of a program that end in the midst of the same turn; the last of them fails the run.
MOST_LIVES = 3
#: Seconds of a cancel that are left after TERM and its grace, for KILL and for the report.
_KILL_AND_REPORT = 2.0
#: Characters of what the agent said last that are the summary of a run.
_LONGEST_SUMMARY = 4000
#: What the names of steps begin with that say how a turn ended.
_TURN = "turn "
_SAID = frozenset({"intervention.received"})


@dataclass(eq=False, slots=True)
class AgentRun:
    """One execution of a run: the lives of its agent's program."""

    run: Run
    inputs: AgentInputs
    preset: AgentPreset
    tree: AgentTree
    quota: AgentQuota
    #: Lives that ended in the midst of the turn that is to be taken now.
    broken: int = 0
    lives: int = 0
    #: Wishes that were denied and things done unasked, in all turns and lives.
    denied: int = 0
    unasked: int = 0
    #: What the agent told last of the session's cost.
    session_cost: float | None = None
    summary: str = ""
    stop_reason: str = ""
    _finished: bool = False
    _ended: Executed | None = None

    async def work(self) -> None:
        """Have everything done that was asked for, however many lives it takes."""
        if done := self._turns_done():
            self.denied, self.unasked = done[-1]["denied"], done[-1]["unasked"]
        while True:
            if await self._next_turn(interrupted=False) is None:
                # A restart came after the last turn.
                return
            await self.quota.wait_open()
            failed = DeferredFailure()
            talk = self._converse()
            with failed:
                await self._live(talk)
            if self._finished:
                return
            if failed.error is not None and not await self._goes_on(talk, failed.error):
                raise self._said_whole(talk, failed.error)

    def _converse(self) -> AgentTalk:
        self.lives += 1
        run = self.run
        transcript = Transcript(
            # Messages of different lives are told apart.
            run.attempt * 100 + self.lives,
            self.tree.root,
            self.preset.name,
            run.view.cost if self.session_cost is None else self.session_cost,
            needs_asking=lambda act: (
                judge_act(act, self.inputs, self.tree.root) != "allow"
            ),
        )
        patience = max(run.config.cancel_sla - run.config.kill_grace - _KILL_AND_REPORT, 0.0)  # fmt: skip
        return AgentTalk(
            run, self.inputs, self.preset, self.tree, transcript, patience=patience
        )

    async def _goes_on(self, talk: AgentTalk, error: Exception) -> bool:
        """Whether another life may do what this one did not."""
        if not isinstance(error, AgentGone) or not talk.begun or talk.over is not None:
            return False
        self.broken += 1
        if self.broken >= MOST_LIVES:
            return False
        how = "" if self._ended is None else f" ({end_in_words(self._ended)})"
        await self.run.log(f"{error}{how}; it is started again\n")
        return True

    def _said_whole(self, talk: AgentTalk, error: Exception) -> Exception:
        """The failure, with what a person needs to know of it."""
        name, login = self.preset.name, self.preset.login
        if isinstance(error, AgentRefused) and error.needs_login:
            how = f": `{login}`" if login else ""
            return AgentFailed(f"{name} wants somebody to log in{how} ({error})")
        if isinstance(error, AgentGone) and self._ended is not None:
            return _end_of_agent(self.preset, error, self._ended, begun=talk.begun)
        if isinstance(error, Refused) and "exit_code" in error.facts and self.preset.package:  # fmt: skip
            # A program that could not be started.
            how = f"`npm install -g {self.preset.package}` brings it"
            return AgentFailed(f"{error}; {how}", **error.facts)
        if isinstance(error, AgentRefused | AgentUnfit):
            return AgentFailed(f"{name}: {error}")
        return error

    # -- one life

    async def _live(self, talk: AgentTalk) -> None:
        """Start the program, talk with it, and see it gone."""
        run, config = self.run, self.run.config.agents
        async with AsyncExitStack() as places:
            # Its own first: who waits for that must not keep a common one from other agents.
            if (slots := self.preset.slots) is not None:
                most = Waiting("other", f"{slots} runs of {self.preset.name} are alive, the most at once")  # fmt: skip
                share = f"agent {self.preset.name}"
                await places.enter_async_context(run.place(share, slots, most))
            alive = Waiting("other", f"{config.max_alive} agents are alive, the most at once")  # fmt: skip
            await places.enter_async_context(run.place("agents", config.max_alive, alive))  # fmt: skip
            await self._live_in_place(talk)

    async def _live_in_place(self, talk: AgentTalk) -> None:
        failed = DeferredFailure()
        self._ended = None
        with trio.CancelScope() as life:
            async with self.run.process(
                self.preset.command,
                cwd=self.tree.cwd,
                env=self._environment(),
                check=False,
                patience=talk.patience + LAST_SECONDS,
            ) as program:
                with failed:
                    async with open_agent(program.stdout, program.stdin, talk) as agent:
                        await self._talk(talk, agent)
                self._note(talk)
                # Some end with their input, and some have to be told.
                life.deadline = trio.current_time() + EXIT_SECONDS
            self._ended = program.ended
        failed.reraise()

    def _environment(self) -> dict[str, str]:
        passed = {n: os.environ[n] for n in self.preset.pass_env if n in os.environ}
        return {**passed, **self.preset.env, **self.inputs.env}

    def _note(self, talk: AgentTalk) -> None:
        """Keep what the life came to."""
        self.denied += talk.permissions.denied
        self.unasked += talk.transcript.unasked
        self.session_cost = talk.transcript.session_cost

    async def _talk(self, talk: AgentTalk, agent: Agent) -> None:
        """A session, and turns until there is no more to say."""
        resumed = await talk.begin(agent, await self._servers())
        interrupted = resumed or self.run.attempt > 1 or self.lives > 1
        while (turn := await self._next_turn(interrupted=interrupted)) is not None:
            end = await self._take_turn(talk, agent, turn)
            if end is None:
                # The quota is used up for so long that the program is not kept alive.
                return
            interrupted = False
        self._finished = True

    async def _servers(self) -> Sequence[Mapping[str, Any]]:
        """The servers of MCP that the agent is given, ours with what this run may ask among them."""
        given = self.inputs.mcp_servers
        if not self.inputs.penstock_tools:
            return given
        ours = await self.run.tools_server(self.inputs.penstock_tools)
        program, *args = ours.argv
        env = [{"name": name, "value": value} for name, value in ours.env.items()]
        return [*given, {"name": "penstock", "command": program, "args": args, "env": env}]  # fmt: skip

    async def _take_turn(
        self, talk: AgentTalk, agent: Agent, turn: AgentTurn
    ) -> TurnEnd | None:
        """A turn to its end, over waits for a quota; None once one is long."""
        text = turn.text
        while True:
            try:
                end = await talk.take_turn(agent, text)
            except AgentRefused as refusal:
                # Times in words are of the zone that this machine has.
                now = self.run.now().astimezone()
                spent = read_quota(refusal.message, refusal.data, now)
                if spent is None:
                    raise
                await self.quota.note(spent.until, spent.said)
                if self.quota.wait_is_long():
                    return None
                await self.quota.wait_open()
                text = turn.again
            else:
                await self._end_turn(talk, turn, end)
                return end

    async def _end_turn(self, talk: AgentTalk, turn: AgentTurn, end: TurnEnd) -> None:
        await talk.permissions.withdraw("the agent's turn is over")
        self.summary = talk.transcript.text[-_LONGEST_SUMMARY:]
        self.stop_reason = end.stop_reason
        if end.stop_reason in ("refusal", "cancelled"):
            how = {"refusal": "refused to do it", "cancelled": "gave the turn up"}
            raise AgentFailed(f"{self.preset.name} {how[end.stop_reason]}: {self.summary[-500:]}")  # fmt: skip
        self.broken = 0
        told = {
            "stop_reason": end.stop_reason,
            "heard": turn.heard,
            "summary": self.summary,
            "denied": self.denied + talk.permissions.denied,
            "unasked": self.unasked + talk.transcript.unasked,
        }

        async def noted() -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            return told

        await self.run.step(f"{_TURN}{turn.number}", noted)

    async def _next_turn(self, *, interrupted: bool) -> AgentTurn | None:
        """The task first, then what people said since; None: all is said."""
        done = self._turns_done()
        words = await self._words()
        heard = words[-1].position if words else 0
        if not done:
            first = self.inputs.prompt
            text = f"{INTERRUPTED}{first}" if interrupted else first
            # What was said before the agent began, it is told with its task.
            text = "\n\n".join([text, *_texts(words)])
            return AgentTurn(1, text, f"Go on.\n\n{text}", heard)
        last = done[-1]
        self.summary, self.stop_reason = last["summary"], last["stop_reason"]
        new = [word for word in words if word.position > last["heard"]]
        if not new:
            return None
        text = "\n\n".join(_texts(new))
        return AgentTurn(len(done) + 1, text, text, heard)

    async def _words(self) -> list[Recorded]:
        """All that people have said to the run."""
        found: list[Recorded] = []
        read = self.run.reads.read
        while page := await read(
            self.run.run_id, found[-1].position if found else 0, types=_SAID
        ):
            found += page
        return found

    def _turns_done(self) -> list[dict[str, Any]]:
        """What is noted of each turn that came to its end."""
        steps = self.run.view.steps
        return [value for name, value in steps.items() if name.startswith(_TURN)]

    @property
    def turns(self) -> int:
        """Turns that came to their end."""
        return len(self._turns_done())


@dataclass(frozen=True, slots=True)
class AgentTurn:
    number: int
    text: str
    #: What the agent is told instead where it has heard it before.
    again: str
    #: The position of the last word of a person that is in it.
    heard: int


def _texts(words: Sequence[Recorded]) -> list[str]:
    return [str(getattr(word.event, "text", "")) for word in words]


def _end_of_agent(
    preset: AgentPreset, error: AgentGone, ended: Executed, *, begun: bool
) -> Exception:
    """How the agent's program ended, and what may be done about it."""
    why = f"{preset.name}: {error}, {end_in_words(ended)}"
    if not begun and preset.node:
        why += f"; it needs Node {preset.node} or newer, and its own words are in the log"  # fmt: skip
    return ProcessFailed(why, exit_code=ended.exit_code, signal=ended.signal)
