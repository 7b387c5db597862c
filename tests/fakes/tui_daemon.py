"""A scripted daemon in a process of its own, as far as a dashboard can see: stream and REST.

    python tui_daemon.py --port 0 --scene busy      prints `ready PORT`

It is no daemon: nothing is stored, and what is submitted plays a short script.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from fakes import tui_scene
from penstock.log.filters import matches, parse_filter
from penstock.log.projections import RunView
from penstock.words import events as e
from penstock.words.errors import PenstockError
from penstock.words.values import format_time

FRAME_EVENTS = 50
#: Long enough to be seen on the screen of a busy box.
CANCEL_SECONDS = 1.5
Reply = tuple[int, Any]


@dataclass
class ScriptedDaemon:
    """Serves one world."""

    world: tui_scene.World
    token: str | None = None
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: set[asyncio.Task[None]] = field(default_factory=set)

    def wake(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection: requests until it closes, or a stream."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"upgrade: websocket" in head.lower():
                    await self.stream(head, reader, writer)
                    return
                await self.answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line, *headers = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        fields = {
            k.lower(): v.strip() for k, _, v in (h.partition(":") for h in headers)
        }
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if (
            self.token
            and path != ["health"]
            and fields.get("authorization") != f"Bearer {self.token}"
        ):
            status, reply = (
                401,
                {"title": "Unauthorized", "detail": "The token is missing or wrong."},
            )
        else:
            status, reply = await self.route(
                method, path, query, json.loads(body) if body else {}
            )
        data = json.dumps(reply).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (status, len(data))
        )
        writer.write(data)
        await writer.drain()

    async def route(
        self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> Reply:
        world = self.world
        match method, path:
            case "GET", ["runs"]:
                return self.list_runs(query)
            case "GET", ["runs", run_id]:
                return self.with_run(run_id, lambda view: (200, view.to_json()))
            case "GET", ["runs", run_id, "events"]:
                return self.facts(run_id, int(query.get("after", 0)))
            case "POST", ["runs"]:
                return self.submit(body)
            case "POST", ["runs", run_id, "cancel"]:
                return await self.cancel(run_id, body)
            case "POST", ["runs", run_id, "retry"]:
                view = world.views[run_id]
                return self.submit(
                    {"kind": view.kind, "inputs": dict(view.inputs), "retry_of": run_id}
                )
            case "POST", ["runs", run_id, "asks", name]:
                world.record(
                    run_id, e.AskAnswered(name=name, answer=body["answer"], by="rest")
                )
                world.record(run_id, e.RunResumed(attempt=1))
                self.wake()
                return 200, {"run_id": run_id, "name": name, "answer": body["answer"]}
            case "GET", ["runs", run_id, "why"]:
                text = f"{run_id} waits for a slot: all 5 are taken."
                return 200, {"run_id": run_id, "reasons": [], "text": text}
            case "POST", ["runs", run_id, "interventions"]:
                fact = world.record(run_id, e.InterventionReceived(text=body["text"]))
                self.wake()
                return 200, {"position": fact.position}
            case "POST", ["queue", "pause" | "resume" as what]:
                paused = {"group": None, "reason": body.get("reason", "")}
                world.queue["paused"] = [paused] if what == "pause" else []
                return self.about(["queue"])
        return self.about(path)

    def about(self, path: list[str]) -> Reply:
        world = self.world
        match path:
            case ["queue"]:
                running = sum(view.state == "running" for view in world.views.values())
                return 200, {
                    "running": running,
                    "parked": 0,
                    "paused": [],
                    **world.queue,
                }
            case ["clients"]:
                return 200, {"clients": world.clients, "head": len(world.log)}
            case ["health"]:
                return 200, {
                    "status": "ok",
                    "reasons": [],
                    "version": "0.1.0",
                    "epoch": world.epoch,
                    "uptime": 60.0,
                    **world.health,
                }
            case ["pipelines"]:
                return 200, {"pipelines": PIPELINES}
        return 404, {"title": "Not Found", "detail": "There is no such thing here."}

    def with_run(self, run_id: str, do: Callable[[RunView], Reply]) -> Reply:
        view = self.world.views.get(run_id)
        if view is None:
            return 404, {"title": "Not Found", "detail": "No run has this id."}
        return do(view)

    def list_runs(self, query: dict[str, str]) -> Reply:
        try:
            wanted = parse_filter(query.get("q", ""))
        except PenstockError as error:
            return 400, {"title": "Bad Request", "detail": str(error)}
        places = {run_id: place for place, run_id in enumerate(self.world.views, 1)}
        before, limit = int(query.get("before") or 2**53), int(query.get("limit", 100))
        views = [
            view
            for view in reversed(self.world.views.values())
            if places[view.run_id] < before and matches(wanted, view)  # type: ignore[arg-type]
        ]
        page = views[:limit]
        following = places[page[-1].run_id] if len(views) > limit else None
        # A list is made of columns: it lacks what only the facts tell.
        rows = [
            {k: v for k, v in view.to_json().items() if k not in FOLDED}
            for view in page
        ]
        return 200, {"runs": rows, "next": following}

    def facts(self, run_id: str, after: int) -> Reply:
        found = [
            fact
            for fact in self.world.log
            if fact.run_id == run_id and fact.position > after
        ]
        page = found[:500]
        following = page[-1].position if page else after
        return 200, {
            "events": [json.loads(fact.wire()) for fact in page],
            "next": following,
            "more": len(found) > 500,
        }

    def submit(self, body: dict[str, Any]) -> Reply:
        world = self.world
        if body.get("kind") not in {kind["name"] for kind in PIPELINES}:
            return 400, {
                "title": "Bad Request",
                "detail": "kind: there is no such kind",
            }
        run_id = body.get("run_id") or f"r-{len(world.views):04x}"
        priority = {
            "CRITICAL": 0,
            "HIGH": 10,
            "MEDIUM": 20,
            "LOW": 30,
            "BACKGROUND": 40,
        }[body.get("priority", "MEDIUM")]
        world.now = datetime.now(UTC)
        world.submit(
            run_id,
            body["kind"],
            body.get("inputs", {}),
            priority,
            0,
            retry_of=body.get("retry_of"),
        )
        self.wake()
        job = asyncio.get_running_loop().create_task(self.play(run_id))
        self.jobs.add(job)
        job.add_done_callback(self.jobs.discard)
        view = world.views[run_id]
        return 202, {
            "run_id": run_id,
            "kind": view.kind,
            "state": "queued",
            "priority": "MEDIUM",
            "sequence": 1,
            "position": view.position,
        }

    async def play(self, run_id: str) -> None:
        """A submitted run: it starts, reports for a while, and completes unless it was cancelled."""
        world = self.world
        for step in range(40):
            await asyncio.sleep(0.1)
            if world.views[run_id].ended:
                return
            world.now = datetime.now(UTC)
            if step == 0:
                world.start(run_id, 0)
            else:
                world.record(run_id, e.Progress(step="work", fraction=step / 40))
                world.record(run_id, e.Log(text=f"line {step}\n", stream="stdout"))
            self.wake()
        world.record(run_id, e.RunCompleted(result={"exit_code": 0}))
        self.wake()

    async def cancel(self, run_id: str, body: dict[str, Any]) -> Reply:
        view = self.world.views.get(run_id)
        requested = datetime.now(UTC)
        if view is None or view.ended:
            outcome = "tombstoned" if view is None else "already_terminal"
        else:
            outcome = "cancelled"
            self.world.now = requested
            if view.state != "queued":
                self.world.record(
                    run_id, e.RunCancelRequested(reason=body.get("reason", ""))
                )
                self.wake()
                await asyncio.sleep(CANCEL_SECONDS)
            self.world.now = datetime.now(UTC)
            self.world.record(run_id, e.RunCancelled(reason=body.get("reason", "")))
            self.wake()
        return 200, {
            "run_id": run_id, "outcome": outcome, "requested_at": format_time(requested),
            "gone_at": format_time(datetime.now(UTC)), "method": "cgroup", "pids": [4711, 4712], "survivors": [],
        }  # fmt: skip

    async def stream(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """hello, then everything after the client's position."""
        protocol = ServerProtocol(max_size=2**20)
        protocol.receive_data(head)
        request = protocol.events_received()[0]
        assert isinstance(request, Request)
        if (
            self.token
            and request.headers.get("Authorization") != f"Bearer {self.token}"
        ):
            protocol.send_response(protocol.reject(401, "no"))
            writer.writelines(protocol.data_to_send())
            return
        protocol.send_response(protocol.accept(request))
        query = parse_qs(urlsplit(request.path).query)
        after = int(query.get("after", ["0"])[0])
        listen = asyncio.ensure_future(self.listen(protocol, reader, writer))
        try:
            await self.send(protocol, writer, after)
        finally:
            listen.cancel()
            await asyncio.gather(listen, return_exceptions=True)

    async def listen(
        self,
        protocol: ServerProtocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pings and goodbyes."""
        while data := await reader.read(65536):
            protocol.receive_data(data)
            for frame in protocol.events_received():
                if getattr(frame, "opcode", None) is Opcode.CLOSE:
                    writer.close()
            writer.writelines(protocol.data_to_send())
        writer.close()

    async def send(
        self, protocol: ServerProtocol, writer: asyncio.StreamWriter, after: int
    ) -> None:
        world = self.world

        async def frame(text: bytes) -> None:
            if writer.is_closing():
                raise ConnectionError
            protocol.send_text(text)
            writer.writelines(protocol.data_to_send())
            await writer.drain()

        greeting = {
            "type": "hello",
            "daemon": "0.1.0",
            "epoch": world.epoch,
            "life": "a1b2",
            "head": len(world.log),
            "floor": 1,
        }
        await frame(json.dumps(greeting).encode())
        cursor, ready = after, False
        while True:
            grown = self.grown
            while cursor < len(world.log):
                facts = world.log[cursor : cursor + FRAME_EVENTS]
                cursor += len(facts)
                await frame(
                    b'{"type":"events","events":[%s]}'
                    % b",".join(fact.wire() for fact in facts)
                )
            if not ready:
                ready = True
                await frame(b'{"type":"ready","head":%d}' % cursor)
            await grown.wait()

    async def flood(self, rate: float) -> None:
        """So many facts a second, in steps of 20 ms."""
        dice, begun, made = random.Random(1), time.monotonic(), 0
        while True:
            wanted = int((time.monotonic() - begun) * rate)
            self.world.now = datetime.now(UTC)
            for _ in range(wanted - made):
                tui_scene.any_fact(self.world, dice)
            made = wanted
            self.wake()
            await asyncio.sleep(0.02)


FOLDED = frozenset(
    {
        "asks",
        "artifacts",
        "milestones",
        "last_at",
        "details",
        "stale",
        "anomalies",
        "progress",
        "step",
    }
)
PIPELINES: list[dict[str, Any]] = [
    {
        "name": "command",
        "summary": "Run a program and keep its output",
        "inputs": {
            "type": "object",
            "required": ["argv"],
            "properties": {
                "argv": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "program and arguments",
                },
                "cwd": {
                    "anyOf": [{"type": "string"}, {"type": "null"}],
                    "default": None,
                },
                "env": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "default": {},
                },
            },
        },
    },
    {
        "name": "llms-txt",
        "summary": "Write llms.txt and llms-full.txt of a repository",
        "inputs": {
            "type": "object",
            "required": ["source"],
            "properties": {
                "source": {"type": "string", "description": "folder or URL"},
                "full": {"type": "boolean", "default": True},
            },
        },
    },
]


async def serve(asked: argparse.Namespace) -> None:
    now = tui_scene.FROZEN if asked.frozen else datetime.now(UTC)
    world = tui_scene.World(now=now, epoch=asked.epoch)
    if asked.scene == "busy":
        tui_scene.busy_afternoon(world)
    if asked.runs:
        tui_scene.many_runs(world, asked.runs)
    daemon = ScriptedDaemon(world, token=asked.token)
    server = await asyncio.start_server(daemon.handle, "127.0.0.1", asked.port)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    if asked.rate:
        await daemon.flood(asked.rate)
    await server.serve_forever()


def main() -> None:
    take = argparse.ArgumentParser()
    take.add_argument("--port", type=int, default=0)
    take.add_argument("--scene", choices=("none", "busy"), default="none")
    take.add_argument("--runs", type=int, default=0)
    take.add_argument("--rate", type=float, default=0.0)
    take.add_argument("--epoch", default="5ce0e5ce")
    take.add_argument("--token")
    take.add_argument("--frozen", action="store_true")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(take.parse_args()))


if __name__ == "__main__":
    main()
