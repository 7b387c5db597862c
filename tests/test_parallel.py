"""Who runs which tests when several processes do: all are run, once, and the session ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parallel import Scheduling

ALONE = "pytestmark = pytest.mark.alone"


class Worker:
    """Runs what it is sent, and keeps its last test until there is more or it is told to end."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.shutting_down = False
        self.gateway = SimpleNamespace(id="gw")

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    def take(self) -> int | None:
        """The test that it has run next; None while it waits."""
        ready = len(self.sent) > (0 if self.shutting_down else 1)
        return self.sent.pop(0) if ready else None


class Session:
    """A scheduler between workers that run a module of three tests, or of one, in a step each."""

    def __init__(self, folder: Path, modules: dict[str, str], workers: int) -> None:
        for name, text in modules.items():
            (folder / name).write_text(text)
        config: Any = SimpleNamespace(
            rootpath=folder,
            getvalue=lambda _name: [f"{workers}*popen"],
            option=SimpleNamespace(loadscopereorder=False),
        )
        self.tests = [f"{name}::test_{n}" for name in modules for n in range(3)]
        self.scheduling = Scheduling(config, None)
        self.scheduling.log = lambda *_words: None
        self.workers: list[Worker] = []
        self.ran: list[tuple[Worker, str]] = []
        for _ in range(workers):
            self.join()
        self.scheduling.schedule()

    def join(self) -> None:
        self.workers.append(Worker())
        self.scheduling.add_node(self.workers[-1])
        self.scheduling.add_node_collection(self.workers[-1], self.tests)

    def step(self, worker: Worker) -> bool:
        """The worker runs a test, if it has one that it may."""
        index = worker.take()
        if index is None:
            return False
        self.ran.append((worker, self.tests[index]))
        self.scheduling.mark_test_complete(worker, index)
        self.end_if_finished()
        return True

    def end_if_finished(self) -> None:
        """As xdist does after each event."""
        if self.scheduling.tests_finished:
            for worker in self.workers:
                worker.shutdown()

    def run(self) -> list[str]:
        """All that is left to run, until nobody has anything to do; what ran, in order."""
        while sum(self.step(worker) for worker in self.workers):
            pass
        return [test for _, test in self.ran]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_must_be_alone_comes_last_and_on_one_worker(
    workers: int, tmp_path: Path
) -> None:
    """And nothing is left out, wherever the modules stand."""
    modules = {"a": ALONE, "b": "", "c": "", "d": ALONE, "e": ""}
    session = Session(tmp_path, modules, workers)
    ran = session.run()
    assert sorted(ran) == session.tests
    assert {test[0] for test in ran[-6:]} == {"a", "d"}
    assert len({id(worker) for worker, _ in session.ran[-6:]}) == 1


@pytest.mark.parametrize("steps", range(9))
def test_a_worker_that_is_lost_holds_up_nothing(steps: int, tmp_path: Path) -> None:
    """The test that ended it is told and not run again, and neither is what it had finished."""
    modules = {"a": "", "b": "", "c": "", "d": "", "e": ALONE}
    session = Session(tmp_path, modules, 2)
    lost = session.workers[0]
    for _ in range(steps):
        session.step(lost)
    session.workers.remove(lost)
    crashed = session.scheduling.remove_node(lost)
    session.join()
    session.scheduling.schedule()
    session.end_if_finished()
    ran = session.run()
    assert crashed is not None
    assert sorted([*ran, crashed]) == session.tests
    assert not session.scheduling.has_pending


@pytest.mark.parametrize("steps", range(3))
def test_what_a_lost_worker_leaves_is_run_when_all_others_have_ended(
    steps: int, tmp_path: Path
) -> None:
    """As when a test hangs for minutes: who takes the place may get no more than one test, and waits for none."""
    session = Session(tmp_path, {"a": "", "b": "", "e": ALONE}, 2)
    lost, other = session.workers
    for _ in range(steps):
        session.step(lost)
    while session.step(other):
        pass
    session.workers.clear()
    assert other.shutting_down
    assert session.scheduling.remove_node(other) is None
    crashed = session.scheduling.remove_node(lost)
    session.join()
    session.scheduling.schedule()
    session.end_if_finished()
    ran = session.run()
    assert sorted([*ran, str(crashed)]) == session.tests


def test_two_workers_that_are_lost_at_once_are_both_replaced(tmp_path: Path) -> None:
    """The first new one may be ready while the other still looks for what it can run."""
    session = Session(tmp_path, {"a": "", "b": "", "c": "", "e": ALONE}, 2)
    crashed = [session.scheduling.remove_node(lost) for lost in session.workers]
    session.workers = [Worker(), Worker()]
    for worker in session.workers:
        session.scheduling.add_node(worker)
    for worker in session.workers:
        session.scheduling.add_node_collection(worker, session.tests)
        session.scheduling.schedule()
    ran = session.run()
    assert sorted([*ran, *map(str, crashed)]) == session.tests
