"""A core without slots or disk: a real bus over a log in memory, and a scheduler that only records."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import httpx
import trio
import trio.testing

from penstock.log.bus import Bus
from penstock.log.projections import RunView, fold
from penstock.log.writes import AskRow, RunFilter
from penstock.pipeline import Inputs, Kind, Output
from penstock.runs.reader import RunTerms, run_reply
from penstock.runs.why import Reason, Why
from penstock.server.app import open_app
from penstock.server.door import serve_door
from penstock.server.guard import make_guard
from penstock.server.listeners import open_listeners, tcp_addresses
from penstock.server.shutdown import Shutdown
from penstock.server.ws import make_ws_handler
from penstock.words import events
from penstock.words.api import (
    BugReportRequest,
    CancelReceipt,
    HealthReply,
    RunReply,
    SubmitRequest,
)
from penstock.words.config import Config
from penstock.words.errors import (
    AlreadyAnswered,
    AskNotFound,
    OtherInputs,
    Refused,
    RunNotFound,
    Terminal,
)
from penstock.words.events import AnyEvent, encode_event
from penstock.words.recorded import Recorded
from penstock.words.staleness import CodeMark, Judgement, judge
from penstock.words.values import check_run_id, new_event_id

TOKEN = "the-token-of-the-tests"


@dataclass
class MemoryRow:
    """What the bus asks of a row."""

    state: str
    last_position: int


class MemoryLog:
    """A log in memory, published as it is written."""

    def __init__(self, config: Config) -> None:
        self.facts: list[Recorded] = []
        self.bus = Bus(
            self,  # type: ignore[arg-type]
            head=0, floor=1, ring_events=config.ring_events, ring_bytes=config.ring_bytes,
            frame_events=config.frame_events, frame_bytes=config.frame_bytes,
            now=lambda: datetime.now(UTC), on_drop=lambda _name, _count: None,
        )  # fmt: skip

    def record(self, run_id: str, *facts: AnyEvent) -> Recorded:
        """Record and publish, in one commit."""
        news = []
        for event in facts:
            position = len(self.facts) + 1
            sequence = 1 + sum(fact.run_id == run_id for fact in self.facts)
            fact = Recorded(
                position=position, run_id=run_id, sequence=sequence, event_id=new_event_id(),
                at=datetime.now(UTC), clock={}, causation_id=None, code_version=0,
                type=event.type, body=encode_event(event),
            )  # fmt: skip
            self.facts.append(fact)
            news.append(fact)
        self.bus.publish(news)
        return news[-1]

    def view(self, run_id: str) -> RunView:
        facts = [fact for fact in self.facts if fact.run_id == run_id]
        if not facts:
            raise RunNotFound(run_id=run_id)
        return fold(facts)

    async def read(
        self, run_id: str, after: int = 0, limit: int = 500, *, max_bytes: int = 1
    ) -> list[Recorded]:
        await trio.lowlevel.checkpoint()
        return [f for f in self.facts if f.run_id == run_id and f.position > after][
            :limit
        ]

    async def read_all(
        self, after: int = 0, limit: int = 500, *, max_bytes: int = 1
    ) -> list[Recorded]:
        await trio.lowlevel.checkpoint()
        return self.facts[after : after + limit]

    async def run(self, run_id: str) -> MemoryRow | None:
        await trio.lowlevel.checkpoint()
        try:
            view = self.view(run_id)
        except RunNotFound:
            return None
        return MemoryRow(str(view.state), view.position)


@dataclass
class Submitted:
    view: RunView
    created: bool

    def reply(self) -> RunReply:
        return run_reply(self.view, RunTerms("fail"))


@dataclass
class FakeStatistics:
    def to_json(self) -> dict[str, Any]:
        return {"queued": 0, "capacity": 100}


@dataclass
class RecordingScheduler:
    """Records what it is asked for and executes nothing. `failure` is raised instead, once set."""

    log: MemoryLog
    kinds: Mapping[str, Kind]
    failure: Exception | None = None

    async def submit(
        self, request: SubmitRequest, *, wait: bool = False, retry_of: str | None = None
    ) -> Submitted:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        if request.kind in self.kinds:
            self.kinds[request.kind].parse(request.inputs)
        digest = hashlib.sha256(
            repr(sorted(request.inputs.items())).encode()
        ).hexdigest()
        run_id = request.run_id or f"run-{len(self.log.facts)}"
        try:
            known = self.log.view(run_id)
        except RunNotFound:
            queued = events.RunQueued(
                kind=request.kind, priority=request.priority, inputs={**request.inputs},
                labels={**request.labels, "digest": digest}, retry_of=retry_of,
            )  # fmt: skip
            self.log.record(run_id, queued)
            return Submitted(self.log.view(run_id), created=True)
        if known.labels["digest"] != digest:
            raise OtherInputs(run_id=run_id)
        return Submitted(known, created=False)

    async def retry(self, run_id: str, *, wait: bool = False) -> Submitted:
        view = self.log.view(run_id)
        request = SubmitRequest(kind=view.kind, inputs=dict(view.inputs))
        return await self.submit(request, retry_of=run_id)

    async def cancel(self, run_id: str, reason: str, *, wait: bool) -> CancelReceipt:
        await trio.lowlevel.checkpoint()
        now = datetime.now(UTC)
        try:
            view = self.log.view(run_id)
        except RunNotFound:
            return CancelReceipt(run_id=run_id, outcome="tombstoned", requested_at=now)
        if view.ended:
            return CancelReceipt(
                run_id=run_id, outcome="already_terminal", requested_at=now
            )
        gone = None
        if wait:
            self.log.record(run_id, events.RunCancelled(reason=reason))
            gone = now
        return CancelReceipt(
            run_id=run_id, outcome="cancelled", requested_at=now, gone_at=gone
        )

    async def answer(self, run_id: str, name: str, answer: str, by: str) -> None:
        for ask in await self.asks(run_id, only_open=False):
            if ask.name == name and ask.state != "open":
                raise AlreadyAnswered
            if ask.name == name:
                self.log.record(
                    run_id, events.AskAnswered(name=name, answer=answer, by=by)
                )
                return
        raise AskNotFound

    async def intervene(self, run_id: str, text: str) -> Recorded:
        await trio.lowlevel.checkpoint()
        if self.log.view(run_id).ended:
            raise Terminal
        return self.log.record(run_id, events.InterventionReceived(text=text))

    async def report_bug(
        self, run_id: str, request: BugReportRequest
    ) -> tuple[Recorded, Judgement]:
        await trio.lowlevel.checkpoint()
        self.log.view(run_id)
        report = CodeMark(request.version, request.clock, request.code_hash)
        judgement = judge(report, CodeMark(0, {}, None))
        fact = events.BugReported(text=request.text, verdict=judgement.verdict)
        return self.log.record(run_id, fact), judgement

    async def view(self, run_id: str) -> RunView:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        return self.log.view(run_id)

    async def reply(self, run_id: str) -> RunReply:
        return run_reply(await self.view(run_id), RunTerms("fail"))

    async def asks(
        self, run_id: str | None = None, *, only_open: bool = True
    ) -> list[AskRow]:
        await trio.lowlevel.checkpoint()
        ids = dict.fromkeys(fact.run_id for fact in self.log.facts)
        rows = [
            row for key in ids if run_id in (None, key) for row in self._asks_of(key)
        ]
        return [row for row in rows if row.state == "open" or not only_open]

    def _asks_of(self, run_id: str) -> list[AskRow]:
        return [
            AskRow(
                run_id, ask.name, ask.question, ask.choices, ask.default, ask.expires_at,
                "open" if ask.answer is None else "answered", ask.answer, ask.answered_by,
                datetime.now(UTC),
            )
            for ask in self.log.view(run_id).asks.values()
        ]  # fmt: skip

    def statistics(self) -> FakeStatistics:
        return FakeStatistics()

    async def why(self, run_id: str) -> Why:
        await trio.lowlevel.checkpoint()
        state = str(self.log.view(run_id).state)
        return Why(run_id, state, (Reason("running", "It executes."),))

    async def pause(self, group: str | None, reason: str) -> None:
        await self.resume(group)

    async def resume(self, group: str | None) -> None:
        await trio.lowlevel.checkpoint()
        self.start_drain(group)

    def start_drain(self, group: str | None) -> None:
        if group is not None:
            raise Refused("group", "there is none")

    async def drain(self, group: str | None) -> None:
        await self.resume(group)

    # The last, since below it `list` is no type in here.
    async def list(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], int | None]:
        await trio.lowlevel.checkpoint()
        ids = dict.fromkeys(fact.run_id for fact in self.log.facts)
        rows = [self.log.view(run_id).to_json() for run_id in reversed(ids)]
        return rows[: wanted.limit], None


class EchoInputs(Inputs):
    text: str = ""


async def _never(_run: Any, _inputs: Any) -> Output:
    await trio.lowlevel.checkpoint()
    return Output()


ECHO = Kind("echo", "Says it again", EchoInputs, Output, _never)


@dataclass
class FakeCore:
    """What the surfaces ask of the core."""

    config: Config
    kinds: Mapping[str, Kind] = field(
        default_factory=lambda: MappingProxyType({"echo": ECHO})
    )
    epoch: str = "epoch-1"
    life: str = "life-1"
    version: str = "0.0"
    models: None = None

    def __post_init__(self) -> None:
        self.store = MemoryLog(self.config)
        self.bus = self.store.bus
        self.scheduler = RecordingScheduler(self.store, self.kinds)
        self.submitter = self.reader = self.control = self.queue = self.scheduler
        self.why, self.statistics = self.scheduler.why, self.scheduler.statistics
        self.healthy = True

    async def health(self) -> HealthReply:
        await trio.lowlevel.checkpoint()
        status: Any = "ok" if self.healthy else "degraded"
        return HealthReply(
            status=status, version=self.version, epoch=self.epoch, uptime=0.0
        )


@dataclass
class House:
    """A door that is open, and what stands behind it."""

    core: FakeCore
    shutdown: Shutdown
    port: int
    unix: Path | None
    #: Set when the door has shut.
    shut: trio.Event

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def record(self, run_id: str, *facts: AnyEvent) -> Recorded:
        return self.core.store.record(run_id, *facts)

    def queued(self, run_id: str) -> Recorded:
        check_run_id(run_id)
        return self.record(run_id, events.RunQueued(kind="echo", priority=20))

    async def raw(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def wait_subscribers(self, count: int) -> None:
        """Wait until so many read streams."""
        with trio.fail_after(10):
            while self.core.bus.statistics().subscribers != count:
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
async def open_house(unix: Path | None = None, **settings: Any) -> AsyncIterator[House]:
    """A whole server on a free port, with the token TOKEN, and on a Unix socket if asked."""
    config = Config.model_validate({"port": 0, **settings})
    core = FakeCore(config)
    shutdown = Shutdown()
    guard = make_guard(config, TOKEN)
    listeners = await open_listeners(config.host, config.port, unix)
    [(_, port), *_] = tcp_addresses(listeners)
    real: Any = cast("Any", core)
    app = open_app(
        real,
        guard=guard,
        shutdown=shutdown,
        base=f"http://127.0.0.1:{port}",
        health_of=core.health,
    )
    handler = make_ws_handler(real, guard, shutdown)
    serve = partial(
        serve_door, app=app, ws_handler=handler, config=config, shutdown=shutdown
    )
    open_, shut = trio.Event(), trio.Event()

    async def keep() -> None:
        async with trio.open_nursery() as door_nursery:
            await door_nursery.start(serve, listeners)
            open_.set()
        shut.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            await open_.wait()
            yield House(core, shutdown, port, unix, shut)
            shutdown.end_streams()
