"""The whole server on a free port, before a real core in memory.

The daemon's own first fact has position 1. A run of the kind `echo` is queued, starts, and lasts
until the test lets it end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import trio
import trio.testing

from fakes.boxes import FreshLease
from fakes.cores import FakeProcesses, fake_environment, open_fake_core
from fakes.stores import LIFE, inline_store
from fakes.troubled_store import TroubledStore
from penstock.log.new_events import new_event
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import Append
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.runs.core import Core
from penstock.runs.run import ModelAccess
from penstock.server.app import open_app
from penstock.server.asgi import ASGI
from penstock.server.door import serve_door
from penstock.server.guard import make_guard
from penstock.server.health import HealthOf, make_health
from penstock.server.listeners import open_listeners, tcp_addresses
from penstock.server.mcp.lazy import open_mcp
from penstock.server.shutdown import Shutdown
from penstock.server.ws import make_ws_handler
from penstock.words.api import SubmitRequest
from penstock.words.config import Config
from penstock.words.events import AnyEvent, RunCompleted, RunStarted
from penstock.words.recorded import Recorded
from penstock.words.values import utc_now

TOKEN = "the-token-of-the-tests"


class EchoInputs(Inputs):
    """What a run is given that does nothing with it."""

    text: str = ""


class Echo:
    """Runs that last until the test lets them end."""

    def __init__(self) -> None:
        self.may_end: defaultdict[str, trio.Event] = defaultdict(trio.Event)

    def kind(self, name: str = "echo") -> Kind:
        return Kind(name, "Says it again", EchoInputs, Output, self.wait_end)

    async def wait_end(self, run: Run, _inputs: EchoInputs) -> Output:
        await self.may_end[run.run_id].wait()
        return Output()


class QuestionInputs(Inputs):
    """Nothing."""


async def ask(run: Run, _inputs: QuestionInputs) -> Output:
    """Ask, and be content with any answer."""
    await run.ask("go on?", "Shall it go on?")
    return Output()


QUESTION = Kind("question", "Asks a person", QuestionInputs, Output, ask)


@dataclass
class House:
    """A door that is open, and what stands behind it."""

    core: Core
    store: TroubledStore
    echo: Echo
    shutdown: Shutdown
    port: int
    unix: Path | None
    #: Set when the door has shut.
    shut: trio.Event
    #: What ails the process itself, for /health.
    complaint: str | None = None
    #: The newest position before the test did anything.
    opened_at: int = 1

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, run_id: str, kind: str = "echo") -> Recorded:
        """Submit a run and wait until it executes; its first fact, `run.queued`."""
        request = SubmitRequest(kind=kind, run_id=run_id)
        await self.core.submitter.submit(request)
        facts = await self.wait_fact(run_id, RunStarted)
        return facts[0]

    async def record(self, run_id: str, *facts: AnyEvent) -> Recorded:
        """Record facts of a run that goes on, in one commit; the last of them."""
        news = tuple(new_event(run_id, fact, now=utc_now()) for fact in facts)
        result = await self.core.recorder.record(Append(news))
        return result.recorded[-1]

    async def end(self, run_id: str) -> Recorded:
        """Let a run end, and wait until it has; its last fact."""
        self.echo.may_end[run_id].set()
        facts = await self.wait_fact(run_id, RunCompleted)
        return facts[-1]

    async def wait_fact(self, run_id: str, wanted: type[AnyEvent]) -> list[Recorded]:
        """The run's facts, when one of them is of this type."""
        kind = wanted.model_fields["type"].default
        facts: list[Recorded] = []
        with trio.fail_after(60), self.core.bus.subscribe(run_id, 0) as subscription:
            async for batch in subscription:
                facts += batch.facts
                if any(fact.type == kind for fact in facts):
                    break
        return facts

    async def facts(self, run_id: str) -> list[Recorded]:
        """All facts of a run, as the store has them."""
        facts: list[Recorded] = []
        after = 0
        while page := await self.core.store.read(run_id, after):
            facts += page
            after = page[-1].position
        return facts

    async def raw(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def wait_subscribers(self, count: int) -> None:
        """Wait until so many read streams."""
        with trio.fail_after(60):
            while self.core.bus.statistics().subscribers != count:
                await trio.testing.wait_all_tasks_blocked(0.005)

    async def wait_submitters(self, count: int) -> None:
        """Wait until so many stand in line for room in the queue."""
        with trio.fail_after(60):
            while self.core.statistics().waiting_submits != count:
                await trio.testing.wait_all_tasks_blocked(0.005)

    def http(self, token: str | None = TOKEN, **options: Any) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.AsyncHTTPTransport(verify=False, trust_env=False, **options)
        return httpx.AsyncClient(
            base_url=self.base,
            headers=headers,
            transport=transport,
            trust_env=False,
            timeout=20,
        )


@asynccontextmanager
async def open_house(
    unix: Path | None = None,
    *kinds: Kind,
    processes: FakeProcesses | None = None,
    models: ModelAccess | None = None,
    kept: SqliteStore | None = None,
    life: str = LIFE,
    mcp: bool = False,
    box: str = "",
    **settings: Any,
) -> AsyncIterator[House]:
    """A server with the token TOKEN, on a Unix socket too if asked; `kinds` beside those of here.

    `kept`: the store of a life before `life`; without, a new one.
    """
    echo, shutdown = Echo(), Shutdown()
    environment = replace(
        fake_environment(processes), now=utc_now, models=models, host=box
    )
    if box:
        environment = replace(environment, lease=FreshLease())
    opening = inline_store(life=life) if kept is None else nullcontext(kept)
    async with opening as inner:
        store = TroubledStore(inner)
        async with open_fake_core(
            *(echo.kind(), QUESTION, *kinds), store=store.as_store(), life=life,
            environment=environment, port=0, **settings,
        ) as core:  # fmt: skip
            health_of = make_health(core, complain=lambda: house.complaint)
            with trio.fail_after(30):
                async with open_door(
                    core, shutdown, health_of, unix=unix, mcp=mcp
                ) as door:
                    house = House(
                        core, store, echo, shutdown, door.port, unix, door.shut
                    )
                    yield house


@dataclass(frozen=True, slots=True)
class Door:
    """Where a core is served, and when that is over."""

    port: int
    shut: trio.Event

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def open_door(
    core: Core,
    shutdown: Shutdown,
    health_of: HealthOf,
    *,
    token: str | None = TOKEN,
    unix: Path | None = None,
    mcp: bool = False,
) -> AsyncIterator[Door]:
    """The real door before a core, with every surface that needs no process of its own.

    `mcp`: that of agents too, whose import takes seconds.
    """
    config: Config = core.config
    guard = make_guard(config, token, core.tokens)
    listeners = await open_listeners(config.host, config.port, unix)
    [(_, port), *_] = tcp_addresses(listeners)
    open_, door = trio.Event(), Door(port, trio.Event())
    agents = open_mcp(core, shutdown, base=door.base) if mcp else nullcontext(None)
    handler = make_ws_handler(core, guard, shutdown)
    serve = partial(
        serve_door,
        ws_handler=handler,
        config=config,
        shutdown=shutdown,
        run_of_pid=core.trees.scope_of,
    )

    async def keep(app: ASGI) -> None:
        async with trio.open_nursery() as door_nursery:
            await door_nursery.start(partial(serve, app=app), listeners)
            open_.set()
        door.shut.set()

    async with agents as mcp_app, trio.open_nursery() as nursery:
        app = open_app(
            core,
            guard=guard,
            shutdown=shutdown,
            base=door.base,
            health_of=health_of,
            mcp=mcp_app,
        )
        nursery.start_soon(keep, app)
        await open_.wait()
        yield door
        shutdown.end_streams()
