"""A coding run that is cancelled, preempted, or whose daemon dies: nothing is left, nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.coding import (
    CORRECT,
    PLAN,
    SLUG,
    SLUG_PLAN,
    SLUG_TESTS,
    WRITE,
    Place,
    artifact_of,
    coding,
    history,
    once,
    open_coding,
    open_coding_core,
    open_log,
    plan,
    slug_script,
    story,
    wait_fact,
)
from fakes.living import living
from fakes.model_server import ModelServer
from fakes.real_daemon import RealDaemon
from penstock.client.rest import Client, open_client
from penstock.log.results import Result
from penstock.log.store import Store
from penstock.log.writes import Append, Write
from penstock.words.address import Address
from penstock.words.api import SubmitRequest
from penstock.words.errors import PenstockError, StoreBroken, StoreUnavailable
from penstock.words.events import TERMINAL_TYPES
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded

pytestmark = pytest.mark.processes

WRONG_SLUG = SLUG.replace('"-".join', '"_".join')
#: The steps of the task below, in order: a daemon may die behind each of them.
STEPS = (
    "plan", "write slug", "before writing slug", "tests 1", "decision 1", "correct 1", "tests 2",
    "decision 2", "decision 2 again",
)  # fmt: skip
#: And these facts: it may die between a fact and the next step as well.
FACTS = ("code.generated", "test.started", "correction.started", "correction.completed")
CALLS = 3


def corrected_script() -> list[dict[str, Any]]:
    """A pure function that is wrong at first."""
    return [
        once(PLAN, **plan(SLUG_PLAN)),
        once(WRITE, code=WRONG_SLUG, tests=SLUG_TESTS),
        once(CORRECT, module="slug", code=SLUG, tests="unchanged"),
    ]


class DyingStore:
    """Commits until a step, or a fact of a type, is recorded, and then breaks without a word: its daemon dies."""

    def __init__(self, store: Store, point: str) -> None:
        self._store = store
        self._point = point
        self._name = f'"type":"step.completed","name":"{point}"'.encode()
        self.died = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(
        self, batch: Sequence[Write[Result]]
    ) -> list[Result | PenstockError]:
        if self.died:
            raise StoreBroken
        outcomes = await self._store.commit(batch)
        new_events = [
            d for one in batch if isinstance(one, Append) for d in one.new_events
        ]
        if any(d.type == self._point or self._name in d.body for d in new_events):
            self.died = True
            raise StoreBroken
        return outcomes


async def live_until(where: Place, point: str) -> None:
    """A daemon's life that ends when a step, or a fact, of its coding run is recorded."""
    async with open_log(where, "life-1") as store:
        dying: Any = DyingStore(store, point)
        try:
            async with open_coding_core(
                where, dying, "life-1", shutdown_runs=0.1, shutdown_recorder=0.1
            ) as core:
                await core.submitter.submit(coding())
                await trio.sleep(30)
        except* StoreBroken:
            pass
        assert dying.died


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What the first of the tests below found: the others must find the same."""
    return {}


@pytest.mark.parametrize("point", [None, *STEPS, *FACTS])
async def test_a_run_whose_daemon_dies_behind_any_point_ends_the_same(
    where: Place, model_server: ModelServer, expected: dict[str, Any], point: str | None
) -> None:
    """WF: the same code, no request to a model twice, no fact twice."""
    model_server.script(*corrected_script())
    if point is not None:
        await live_until(where, point)
    async with (
        open_log(where, "life-2") as store,
        open_coding_core(where, store, "life-2") as core,
    ):
        if point is None:
            await core.submitter.submit(coding())
        facts = await history(core)
    assert facts[-1].type == "run.completed"
    assert len(model_server.log()) == CALLS
    told = [type_ for type_ in story(facts) if type_ != "run.requeued"]
    result = facts[-1].event.result  # type: ignore[union-attr]
    steps = [f.event.name for f in facts if f.type == "step.completed"]  # type: ignore[union-attr]
    assert steps == list(STEPS)
    assert story(facts).count("run.requeued") == (point is not None)
    assert expected.setdefault("told", told) == told
    assert expected.setdefault("result", result) == result


async def test_a_text_that_a_death_cut_off_is_told_anew(
    where: Place, model_server: ModelServer
) -> None:
    """DS-05: the pieces of the newest attempt are the whole text, whatever came before."""
    plan_, write, correction = corrected_script()
    model_server.script(plan_, {**write, "delay": 0.02}, {**write}, correction)
    await live_until(where, "artifact.partial")
    async with (
        open_log(where, "life-2") as store,
        open_coding_core(where, store, "life-2") as core,
    ):
        facts = await history(core)
    assert facts[-1].type == "run.completed"
    assert len(model_server.log()) == CALLS + 1
    assert artifact_of(facts, "v1/slug.py") == WRONG_SLUG.strip()


class StumblingStore:
    """Refuses every fifth page that the pipeline reads of its history."""

    PAGE = 333

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(
        self, run_id: str, after: int, *args: Any, **bounds: Any
    ) -> list[Recorded]:
        self.reads += self.PAGE in args
        if self.PAGE in args and self.reads % 5 == 0:
            raise StoreUnavailable
        return await self._store.read(run_id, after, *args, **bounds)


async def test_a_store_that_stumbles_does_not_fail_the_run(
    where: Place, model_server: ModelServer
) -> None:
    """WF-04: a read is tried again, as a write would be."""
    model_server.script(*corrected_script())
    async with open_log(where) as store:
        stumbling: Any = StumblingStore(store)
        async with open_coding_core(
            where, stumbling, page_events=StumblingStore.PAGE
        ) as core:
            await core.submitter.submit(coding())
            facts = await history(core)
    assert facts[-1].type == "run.completed"
    assert stumbling.reads > 10


def one_terminal(facts: Sequence[Recorded]) -> str:
    ends = [fact.type for fact in facts if fact.type in TERMINAL_TYPES]
    assert len(ends) == 1
    assert facts[-1].type == ends[0]
    return ends[0]


HANGS = ["sh", "-c", "sleep 600 & sleep 600"]


@pytest.mark.parametrize("stage", ["plan", "write", "ask", "tests", "correct"])
async def test_a_cancel_leaves_no_process_no_socket_and_one_terminal(
    where: Place, model_server: ModelServer, stage: str
) -> None:
    """WF, CN, DS-06: at whatever stage it comes."""
    script = corrected_script()
    inputs: dict[str, Any] = {}
    number = {"plan": 1, "write": 2, "correct": 3}.get(stage, 0)
    if number:
        script[number - 1]["hang"] = 3
    match stage:
        case "ask":
            script[0]["fields"] = plan(SLUG_PLAN, "Which case?")
            inputs["ask"] = True
        case "tests":
            inputs["tests"] = HANGS
    model_server.script(*script)
    async with open_coding(where) as core:
        await core.submitter.submit(coding(**inputs))
        match stage:
            case "ask":
                await wait_fact(core, "run.waiting")
            case "tests":
                await wait_fact(core, "process.started")
            case _:
                await model_server.wait_log(number, "done", "generating", sent=3)
        with trio.fail_after(5):
            receipt = await core.control.cancel("task", "enough", wait=True)
        facts = await history(core)
        assert core.statistics().running == 0
    assert receipt.gone_at is not None
    assert receipt.survivors == ()
    assert bool(receipt.pids) == (stage in {"tests", "correct"})
    assert one_terminal(facts) == "run.cancelled"
    await model_server.wait_log(len(model_server.log()), "done", "closed by client")
    assert living(receipt.pids) == {}
    assert not is_folder(where.folder / "runs" / "task")


def is_folder(path: Path) -> bool:
    return path.exists()


async def test_a_preempted_run_goes_on_where_it_was(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """PR, WF: the tests are run again, and no model is asked again."""
    once_only = tmp_path / "ran"
    tests = f"test -e {once_only} || {{ touch {once_only}; echo ready; sleep 600; }}; python3 -m unittest discover"
    model_server.script(*slug_script())
    async with open_coding(where, max_concurrent=1) as core:
        request = coding(tests=["sh", "-c", tests]).model_copy(
            update={"priority": Priority.LOW}
        )
        await core.submitter.submit(request)
        await wait_fact(core, "log")
        await core.submitter.submit(
            SubmitRequest(
                kind="dead-code", run_id="urgent", priority=Priority.CRITICAL,
                inputs={"folder": str(tmp_path), "files": []},
            )
        )  # fmt: skip
        facts = await history(core)
        urgent = await core.reader.view("urgent")
    assert "run.preempted" in story(facts)
    assert one_terminal(facts) == "run.completed"
    assert urgent.ended_at is not None
    assert urgent.ended_at < facts[-1].at
    assert len(model_server.log()) == 2


def address_of(daemon: RealDaemon) -> Address:
    token = Path(daemon.environ["XDG_STATE_HOME"]) / "penstock" / "token"
    return Address(base=daemon.url, token=token.read_text().strip())


async def wait_completed(client: Client, task_id: str) -> dict[str, Any]:
    """The task once it has ended; there is no faster way for a client that only asks."""
    with trio.fail_after(60):
        while True:
            task: dict[str, Any] = await client.get("tasks", task_id)
            if task["status"] in {"completed", "failed", "cancelled"}:
                return task
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_a_daemon_killed_while_the_tests_run_finishes_the_task_afterwards(
    model_server: ModelServer,
    start_daemon: Callable[..., RealDaemon],
    tmp_path: Path,
    expected: dict[str, Any],
) -> None:
    """WF, APP-07: kill -9 on a real daemon; the tests' processes go, and no model is asked twice."""
    pids = tmp_path / "pids"
    tests = f"echo $$ >> {pids}; test $(wc -l < {pids}) -gt 1 || sleep 600; python3 -m unittest discover"
    models = {
        "PENSTOCK_MODELS__PROVIDER": "ollama",
        "PENSTOCK_MODELS__URL": model_server.url,
        "PENSTOCK_MODELS__CHAIN": '["mistral:7b"]',
    }
    model_server.script(*corrected_script())
    daemon = start_daemon(**models)
    async with open_client(address_of(daemon)) as client:
        request = coding(tests=["sh", "-c", tests]).model_dump(mode="json")
        await client.submit(request)
        with trio.fail_after(60):
            while not await trio.Path(pids).exists():  # noqa: ASYNC110  (a shell tells nobody)
                await trio.sleep(0.05)
    daemon.stop(signal.SIGKILL)
    daemon = start_daemon(**models)
    async with open_client(address_of(daemon)) as client:
        task = await wait_completed(client, "task")
        page = await client.get("runs", "task", "events")
    assert task["status"] == "completed", task
    if expected:
        assert task["result"]["code_hash"] == expected["result"]["code_hash"]
    assert len(model_server.log()) == CALLS
    types = [fact["event"]["type"] for fact in page["events"]]
    assert types.count("run.requeued") == 1
    assert types.count("test.started") == 2
    first = int((await trio.Path(pids).read_text()).split()[0])
    assert first != os.getpid()
    assert living([first]) == {}
