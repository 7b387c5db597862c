"""Programs for runs of agents in memory: the scripted agent, and git as far as the kind needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio.testing import memory_stream_one_way_pair

from fakes.scripted_agent import Died, ScriptedAgent
from penstock.processes.feeding import Feed
from penstock.processes.process import OnOutput, OnStarted, OutputUnwanted, Proof
from penstock.processes.spec import Program
from penstock.testing import FakeProcesses
from penstock.testing.fake_programs import ENDING_SECONDS
from penstock.words.errors import Refused
from penstock.words.events import ProcessExited, ProcessStarted

BASE = "a" * 40
HEAD = "b" * 40
#: What a program exits with that is not there.
NOT_FOUND = 127


class _Input:
    """What the daemon sends an agent."""

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def send_eof(self) -> None:
        await self._stream.aclose()

    def resize(self, _size: Any) -> None:
        return None


@dataclass(eq=False)
class AgentProcesses(FakeProcesses):
    """`scripted SCENARIO` is the scripted agent; `/bin/sh` and `git` do what the kind has git do.

    `changed` is what the agent has changed in the end. What a scenario is told, it says in `told`.
    """

    changed: bool = True
    #: What git cannot do, by the name of the stage.
    git_fails: dict[str, str] = field(default_factory=dict)
    #: Every life of an agent, in order.
    agents: list[ScriptedAgent] = field(default_factory=list)
    #: What the next lives do instead of what their words say.
    scenarios: list[str] = field(default_factory=list)
    #: The stages that git was asked for.
    stages: list[str] = field(default_factory=list)
    #: Whether agents end with their input.
    stubborn: bool = False

    async def __call__(
        self,
        program: Program,
        *,
        run_id: str,
        feed: Feed | None = None,
        on_started: OnStarted,
        on_output: OnOutput,
        on_proof: Callable[[Proof], None],
        **others: Any,
    ) -> ProcessExited:
        argv = program.argv
        if argv[0] not in ("scripted", "/bin/sh", "git", "missing"):
            return await super().__call__(
                program, run_id=run_id, feed=feed, on_started=on_started, on_output=on_output, on_proof=on_proof, **others
            )  # fmt: skip
        if argv[0] == "missing":
            why = f"{argv[0]!r} cannot be executed: No such file or directory"
            raise Refused("inputs.argv", why, exit_code=NOT_FOUND, exit_from="penstock")
        pid = next(self._pids)
        self.started.append(argv)
        self.environs.append(dict(program.env))
        self.alive[pid] = run_id
        code: int | None = 0
        signal = None
        try:
            await on_started(
                ProcessStarted(pid=pid, start_time=1, boot_id="boot", method="subreaper", argv=argv)
            )  # fmt: skip
            if argv[0] == "scripted":
                end = await self._live(program, feed, on_output)
                code, signal = (end, None) if end >= 0 else (None, -end)
            else:
                out, code = self._git(argv)
                if out:
                    await on_output("stdout", out)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(ENDING_SECONDS)
            on_proof(self._end(pid, None))
        return ProcessExited(pid=pid, exit_code=code, signal=signal)

    def _git(self, argv: tuple[str, ...]) -> tuple[bytes, int]:
        if argv[0] == "git":
            return b"--- a/f.txt\n+++ b/f.txt\n", 0
        stage = argv[3]
        self.stages.append(stage)
        if (why := self.git_fails.get(stage)) is not None:
            return f"cannot {why}\n".encode(), 9
        head = HEAD if self.changed else BASE
        said = {
            "open": f"head {BASE}\n" + (f"top {argv[4]}\n" if argv[4] else ""),
            "commit": f"head {head}\n" + ("file 1\t0\tf.txt\n" if self.changed else ""),
            "branch": f"branch {argv[-2]}\n",
            "rescue": f"kept {argv[-1]}\n",
        }[stage]
        if stage == "open":
            Path(argv[5]).mkdir(parents=True, exist_ok=True)
        return said.encode(), 0

    async def _live(
        self, program: Program, feed: Feed | None, on_output: OnOutput
    ) -> int:
        to_agent, stdin = memory_stream_one_way_pair()
        stdout, from_agent = memory_stream_one_way_pair()
        codes: list[int] = []

        def die(code: int) -> None:
            codes.append(code)
            raise Died

        scenario = self.scenarios.pop(0) if self.scenarios else program.argv[1]
        agent = ScriptedAgent(scenario, stdin, stdout, Path(program.cwd), die)
        self.agents.append(agent)

        async def be_fed() -> None:
            if feed is not None:
                await feed(_Input(to_agent))
            await to_agent.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(be_fed)
            nursery.start_soon(agent.live)
            try:
                async for data in from_agent:
                    await on_output("stdout", bytes(data))
                await on_output("stdout", b"")
            except OutputUnwanted:
                pass
            if self.stubborn:
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        return codes[0] if codes else 0
