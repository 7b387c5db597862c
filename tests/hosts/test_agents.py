"""opencode, Codex and Claude Code, as npm has them, are runs: for a scripted model, without an account."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from fakes.real_daemon import RealDaemon
from fakes.tui_pilot import dashboard, shows, until
from hosts.agent_model import AgentModel
from hosts.agent_programs import environment_of_agents
from hosts.scripted_model import open_scripted_model
from penstock.words.address import find_address, find_paths
from penstock_tui.screens.overview import Overview

pytestmark = [pytest.mark.slow, pytest.mark.sockets, pytest.mark.processes]

#: Seconds until a real agent must have come somewhere: opencode takes half a minute on a loaded box.
PATIENCE = 240.0
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
GIT = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@localhost"]


@dataclass
class Person:
    """Who has a repository, and agents on the PATH."""

    home: Path
    repository: Path
    environ: Mapping[str, str]
    model: AgentModel

    def penstock(self, *words: str) -> str:
        """What the command says; it must succeed."""
        done = subprocess.run(
            [*PENSTOCK, *words], cwd=self.repository, env=dict(self.environ), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def give(self, run_id: str, agent: str, task: str, *options: str) -> None:
        """Have an agent do a task."""
        prompt = f"PLAY:{task} FILE:{run_id}.txt"
        self.penstock("submit", "agent", *options, "--id", run_id, agent, prompt)

    def told(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.penstock(*words, "--json").splitlines()]  # fmt: skip

    def get(self, path: str) -> Any:
        """What the daemon says by its port: a look that costs it and the box little."""
        token = find_paths(self.environ).token.read_text().strip()
        url = f"http://127.0.0.1:{self.environ['PENSTOCK_PORT']}/{path}"
        asked = Request(url, headers={"Authorization": f"Bearer {token}"})
        with urlopen(asked, timeout=PATIENCE) as answer:
            return json.load(answer)

    def questions(self) -> dict[str, str]:
        """The name of each question that is open, by its run."""
        return {ask["run_id"]: ask["name"] for ask in self.get("asks")["asks"]}

    def states(self, *run_ids: str) -> set[str]:
        return {self.get(f"runs/{run_id}")["state"] for run_id in run_ids}

    def listing(self) -> str:
        """What there is, for a failure."""
        facts = [
            f"{fact['run_id']} {fact['event']}"[:500] for fact in self.told("events")
        ]
        return "\n".join([self.penstock("list"), *facts])

    def git(self, *words: str) -> str:
        return subprocess.run(
            [*GIT, *words], cwd=self.repository, capture_output=True, text=True, check=True
        ).stdout  # fmt: skip

    def processes(self) -> list[str]:
        """Programs of this home, but for the daemon."""
        return [line for line in _processes(self.home) if " serve " not in line]


def _processes(home: Path) -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"HOME={home}".encode() in environ:
            yield f"{folder.name} {words}"


def wait_until(what: Callable[[], object], told: Callable[[], object]) -> None:
    """Until it is true; else what there is instead is the failure."""
    give_up = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < give_up, told()
        time.sleep(0.2)


@pytest.fixture
def person(node: str, home: Path) -> Iterator[Person]:
    repository = home / "repository"
    repository.mkdir()
    with open_scripted_model(AgentModel()) as model:
        environ = {**os.environ, **environment_of_agents(node, home, model.url)}
        somebody = Person(home, repository, environ, model)
        somebody.git("init", "--quiet", "--initial-branch", "main")
        (repository / "kept.txt").write_text("as it was\n")
        somebody.git("add", ".")
        somebody.git("commit", "--quiet", "--message", "Begin")
        try:
            yield somebody
        finally:
            model.let_go()


@pytest.fixture
def start(
    start_daemon: Callable[..., RealDaemon], person: Person
) -> Callable[..., RealDaemon]:
    """Starts this person's daemon; the port is that of one before."""

    def begin(port: int | None = None) -> RealDaemon:
        daemon = start_daemon(port=port, **person.environ)
        person.environ = {**person.environ, "PENSTOCK_PORT": str(daemon.port)}
        return daemon

    return begin


def answer_by_mcp(person: Person, run_id: str, name: str) -> None:
    async def answer() -> None:
        parameters = StdioServerParameters(
            command=PENSTOCK[0], args=[*PENSTOCK[1:], "mcp"], env=dict(person.environ)
        )
        async with Client(parameters) as client:
            arguments = {"run_id": run_id, "name": name, "answer": "allow"}
            told = await client.call_tool("answer", arguments)
            assert not told.is_error, told

    asyncio.run(answer())


def answer_by_dashboard(person: Person, run_id: str, name: str) -> None:
    """By the key that allows, on the list."""

    async def answer() -> None:
        address = find_address(person.environ, find_paths(person.environ))
        async with dashboard(address) as (app, pilot):
            await shows(app, run_id)
            overview = app.screen
            assert isinstance(overview, Overview)
            overview.table.select(run_id)
            await until(lambda: overview.run_id == run_id, app)
            await until(lambda: app.monitor.was_read(run_id, name), app)
            await pilot.press("a")
            await until(lambda: run_id not in person.questions(), app)

    asyncio.run(answer())


def test_six_at_once_past_a_kill_of_the_daemon(
    start: Callable[..., RealDaemon], person: Person
) -> None:
    """AG-05, CN-01, CR-02: answered from the command line, the dashboard and MCP; one is cancelled."""
    daemon = start()
    tasks = {
        "oc-1": "opencode", "oc-2": "opencode", "cx-1": "codex", "cx-2": "codex", "cl-1": "claude",
    }  # fmt: skip
    for run_id, agent in tasks.items():
        person.give(run_id, agent, "edit")
    person.give("stopped", "codex", "hold")
    wait_until(lambda: person.questions().keys() == tasks.keys(), person.listing)
    wait_until(lambda: person.model.held, person.listing)

    person.penstock("cancel", "stopped", "--wait")
    assert person.states("stopped") == {"cancelled"}
    first = person.questions()
    person.penstock("answer", "oc-1", first["oc-1"], "allow")
    answer_by_mcp(person, "cx-1", first["cx-1"])
    wait_until(lambda: person.states("oc-1", "cx-1") == {"completed"}, person.listing)  # fmt: skip

    daemon.stop(signal.SIGKILL)
    wait_until(lambda: not person.processes(), person.processes)
    daemon = start(daemon.port)
    assert person.questions() == {r: first[r] for r in ("oc-2", "cx-2", "cl-1")}
    answer_by_dashboard(person, "oc-2", first["oc-2"])
    for run_id in ("cx-2", "cl-1"):
        person.penstock("answer", run_id, first[run_id], "allow")
    wait_until(lambda: person.states(*tasks) == {"completed"}, person.listing)  # fmt: skip

    facts = person.told("events")
    answers = Counter(
        f["run_id"] for f in facts if f["event"]["type"] == "ask.answered"
    )
    assert answers == dict.fromkeys(tasks, 1)
    for run_id in tasks:
        assert f"+++ b/{run_id}.txt" in person.penstock("diff", run_id)
        assert person.git("show", f"penstock/{run_id}:{run_id}.txt")
    refs = person.git("for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", *sorted(f"refs/heads/penstock/{r}" for r in tasks)]  # fmt: skip
    assert person.git("status", "--porcelain") == ""
    # It fails if it finds anything.
    person.penstock("audit")
    wait_until(lambda: not person.processes(), person.processes)
    assert not list(find_paths(person.environ).state.glob("runs/*/tree"))
    assert not person.model.unknown
