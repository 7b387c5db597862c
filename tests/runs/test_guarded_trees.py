"""Whose process comes to the Unix socket: what is believed, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from penstock.log.writes import Prune
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.processes.ancestry import Ancestry, ancestry_of
from penstock.runs.execution import Execution
from penstock.runs.guarded_trees import LINGER_SECONDS, GuardedTrees
from penstock.runs.run_scopes import RunScope
from penstock.testing import InMemoryCore, open_memory_store, open_test_core
from penstock.words.api import RearrangeRequest, SubmitRequest
from penstock.words.errors import Forbidden
from penstock.words.events import ProcessStarted

#: A pid that no process has.
NOBODY = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1


class NamedExecution:
    """An execution of which only the name of its run matters."""

    run_id = "agent"


def scope() -> RunScope:
    return RunScope(cast("Execution", NamedExecution()))


async def old_trees() -> GuardedTrees:
    """Of a daemon that has been there for a while."""
    trees = GuardedTrees()
    await trio.sleep(LINGER_SECONDS)
    return trees


def test_a_line_goes_from_a_process_to_the_first_of_all() -> None:
    """AG-07"""
    line = ancestry_of(os.getpid())
    assert line.whole
    assert line.pids[:2] == (os.getpid(), os.getppid())
    assert not ancestry_of(NOBODY).whole


async def test_while_no_guarded_run_executes_nobody_is_looked_at(
    autojump_clock: MockClock,
) -> None:
    """AG-07: the way of every connection of most daemons."""
    trees = await old_trees()
    assert trees.scope_of(os.getpid()) is None
    assert trees.scope_of(NOBODY) is None


async def test_what_descends_from_the_supervisor_is_of_the_run(
    autojump_clock: MockClock,
) -> None:
    """AG-07: from the moment on in which there is a supervisor, before it starts anything."""
    trees = await old_trees()
    agent = scope()
    with trees.open_tree(agent) as tree:
        assert trees.scope_of(os.getpid()) is None
        tree.launched(os.getppid())
        assert trees.scope_of(os.getpid()) is agent


async def test_of_whom_nothing_can_be_read_nothing_is_taken(
    autojump_clock: MockClock,
) -> None:
    """AG-07: it may have been the agent's; one of a foreign namespace cannot have been."""
    trees = await old_trees()
    with trees.open_tree(scope()) as tree:
        tree.launched(os.getppid())
        with pytest.raises(Forbidden, match="nobody can tell"):
            trees.scope_of(NOBODY)
        assert trees.scope_of(0) is None


async def test_who_knocked_before_the_end_is_looked_at_after_it(
    autojump_clock: MockClock,
) -> None:
    """AG-07: and while the daemon begins, whose last life may have left agents."""
    trees = await old_trees()
    with trees.open_tree(scope()):
        await trio.sleep(1)
    await _lingers(trees)
    young = GuardedTrees()
    assert young.scope_of(NOBODY) is None
    young.linger()
    await _lingers(young)


async def test_what_began_before_the_agents_is_none_of_them_whatever_is_hidden(
    autojump_clock: MockClock,
) -> None:
    """AG-07: /proc with `hidepid` hides whom our user's shell descends from, and nobody is shut out for it."""
    trees = await old_trees()
    with trees.open_tree(scope()) as tree:
        tree.begun = 1000
        hidden = Ancestry((NOBODY,), whole=False, begun=999)
        assert trees.judge(NOBODY, hidden) is None
        for seen in (replace(hidden, begun=1000), replace(hidden, pids=(), begun=0)):
            with pytest.raises(Forbidden):
                trees.judge(NOBODY, seen)
    # Nor after its end, of this one and of one that ended after it.
    with trees.open_tree(scope()) as later:
        later.begun = 2000
    assert trees.judge(NOBODY, hidden) is None
    with pytest.raises(Forbidden):
        trees.judge(NOBODY, replace(hidden, begun=1500))


async def _lingers(trees: GuardedTrees) -> None:
    with pytest.raises(Forbidden):
        trees.scope_of(NOBODY)
    await trio.sleep(LINGER_SECONDS)
    assert trees.scope_of(NOBODY) is None


@pytest.mark.processes
async def test_an_orphan_without_a_supervisor_is_known_by_its_session_or_by_its_environment() -> (
    None
):
    """AG-07: where no supervisor can adopt, or when it was killed."""
    trees = await old_trees()
    with _orphan({}) as (main, orphan), trees.open_tree(scope()) as tree:
        assert trees.scope_of(orphan) is None
        tree.started(_started(main))
        assert trees.scope_of(orphan) is tree.scope
    with _orphan({"PENSTOCK_RUN_ID": "agent"}) as (_, orphan):
        assert trees.scope_of(orphan) is None
        with trees.open_tree(scope()) as tree:
            assert trees.scope_of(orphan) is tree.scope
    with _orphan({"PENSTOCK_RUN_ID": "agents"}) as (_, orphan):
        with trees.open_tree(scope()):
            assert trees.scope_of(orphan) is None


def _started(pid: int) -> ProcessStarted:
    return ProcessStarted(
        pid=pid, start_time=1, boot_id="boot", method="session", argv=("sh",)
    )


@contextmanager
def _orphan(environ: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """The leader of a session that has ended, and a process that it left there."""
    script = "sleep 100 >/dev/null & echo $!"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", script], env=environ, stdout=PIPE, start_new_session=True
    )
    told, _ = shell.communicate()
    try:
        yield shell.pid, int(told)
    finally:
        os.kill(int(told), signal.SIGKILL)


async def test_a_daemon_whose_last_life_had_agents_looks_at_who_comes_first(
    autojump_clock: MockClock,
) -> None:
    """AG-07: one of them may have knocked before it was ended; where there was none, nobody is looked at."""

    async def stay(_run: Run, _inputs: Inputs) -> Output:
        await trio.sleep_forever()
        raise AssertionError("not reached")

    agent = Kind("agent", "Stays", Inputs, Output, stay, guarded=True)
    async with open_memory_store(life="life-1") as store:
        async with open_test_core([agent], store=store) as first:
            assert first.core.trees.scope_of(NOBODY) is None
            await first.submit("agent")
        async with open_test_core([agent], store=store, life="life-2") as second:
            await _lingers(second.core.trees)


async def _end(_run: Run, _inputs: Inputs) -> Output:
    await trio.sleep(1)
    return Output()


AGENT = Kind("agent", "Ends", Inputs, Output, _end, guarded=True)
PLAIN = Kind("plain", "Ends", Inputs, Output, _end)


async def _leave_child(core: InMemoryCore) -> None:
    """An agent has ended, and its child begins when somebody says so."""
    await core.submit("agent", run_id="agent")
    child = SubmitRequest(kind="plain", run_id="agent.later", stashed=True)
    await core.core.submitter.submit(child, parent_id="agent")
    await core.wait_ended("agent")


async def test_a_child_whose_parent_is_forgotten_is_executed_and_held_to_a_scope(
    autojump_clock: MockClock,
) -> None:
    """AG-07: nobody can tell whether an agent has made it, and that is no reason for it to fail."""
    guarded: list[bool] = []

    async def tell(run: Run, _inputs: Inputs) -> Output:
        await trio.lowlevel.checkpoint()
        guarded.append(run._execution.guarded)
        return Output()

    plain = Kind("plain", "Tells", Inputs, Output, tell)
    async with open_test_core([AGENT, plain]) as core:
        await _leave_child(core)
        later = core.core.now() + timedelta(days=1)
        prune = Prune(before=later, keep=0, max_bytes=0, tombstones_before=later, max_tombstones=0)  # fmt: skip
        assert (await core.core.recorder.record(prune)).runs == ("agent",)
        await core.core.line.rearrange("agent.later", RearrangeRequest(stashed=False))
        ended = await core.wait_ended("agent.later")
        assert (ended.state, ended.error) == ("completed", None)
    assert guarded == [True]


async def test_a_daemon_whose_last_life_had_a_child_of_an_agent_looks_too(
    autojump_clock: MockClock,
) -> None:
    """AG-07: it outlives the agent, and its programs are held to a scope as the agent's are."""
    async with open_memory_store(life="life-1") as store:
        async with open_test_core([AGENT, PLAIN], store=store) as first:
            await _leave_child(first)
        async with open_test_core([AGENT, PLAIN], store=store, life="life-2") as second:
            await _lingers(second.core.trees)
