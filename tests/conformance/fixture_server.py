"""The judge's example server on the daemon's own stack: python fixture_server.py PORT.

Door, guard, import on demand, session manager and the wire form of tasks are those of the daemon;
the tools behind them are what the judge wants to see, and are not shipped.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import Any

import mcp.types as wire
import trio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from conformance import fixture_questions as questions
from conformance import fixture_results as results
from conformance.fixture_tasks import JOBS, Jobs, work_of
from conformance.fixture_tools import SCHEMAS, old_questions, tell
from fakes.cores import open_fake_core
from penstock.runs.core import Core
from penstock.server.app import open_app
from penstock.server.door import serve_door
from penstock.server.guard import make_guard
from penstock.server.health import make_health
from penstock.server.listeners import open_listeners
from penstock.server.mcp.lazy import open_mcp
from penstock.server.mcp.tasks import created, declared, install_tasks, require
from penstock.server.shutdown import Shutdown
from penstock.server.ws import make_ws_handler

Context = ServerRequestContext[Any, Any]


class Fixtures:
    """The handlers of the example server."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.bus = InMemorySubscriptionBus()

    async def list_tools(self, _ctx: Context, _params: Any) -> wire.ListToolsResult:
        await trio.lowlevel.checkpoint()
        return wire.ListToolsResult(
            tools=[
                wire.Tool(name=name, description=f"Fixture {name}", input_schema=schema)
                for name, schema in SCHEMAS.items()
            ]
        )

    async def call_tool(self, ctx: Context, params: wire.CallToolRequestParams) -> Any:
        name, arguments = params.name, params.arguments or {}
        if (fixed := results.FIXED.get(name)) is not None:
            await trio.lowlevel.checkpoint()
            return fixed
        if name in questions.ROUNDS or name == questions.CAPABLE:
            return self._rounds(ctx, params)
        if name in JOBS:
            return await self._job(ctx, name, arguments)
        if name in old_questions:
            return await old_questions[name](ctx, arguments)
        match name:
            case "test_trigger_tool_change":
                await self.bus.publish(ToolsListChanged())
            case "test_trigger_prompt_change":
                await self.bus.publish(PromptsListChanged())
            case "test_missing_capability":
                _require_sampling(ctx)
            case "greet":
                return results.said(f"Hello, {arguments.get('name')}!")
            case _:
                return await tell(ctx, name)
        return results.said("done")

    def _rounds(self, ctx: Context, params: wire.CallToolRequestParams) -> Any:
        name, responses = params.name, params.input_responses
        if name == questions.CAPABLE:
            asked = questions.capable(ctx.session.client_capabilities)
            if asked and not responses:
                return wire.InputRequiredResult(input_requests=asked)
            return results.said(questions.answer(name, responses))
        more = questions.next_round(name, responses, params.request_state)
        if more is not None:
            return more
        told = results.said(questions.answer(name, responses))
        if name != "test_tool_with_task":
            return told
        require(ctx)

        async def work(_job: Any) -> wire.CallToolResult:
            await trio.lowlevel.checkpoint()
            return told

        return created(self.jobs.start(work))

    async def _job(self, ctx: Context, name: str, arguments: dict[str, Any]) -> Any:
        await trio.lowlevel.checkpoint()
        work = work_of(name, arguments)
        assert work is not None
        if name != "slow_compute":
            require(ctx)
        elif not declared(ctx) or arguments.get("seconds") == 0:
            return results.said(f"computed {arguments.get('label', '')}")
        return created(self.jobs.start(work))

    async def list_prompts(self, _ctx: Context, _params: Any) -> wire.ListPromptsResult:
        await trio.lowlevel.checkpoint()
        return wire.ListPromptsResult(
            prompts=[
                wire.Prompt(
                    name=name,
                    description=f"Fixture {name}",
                    arguments=[
                        wire.PromptArgument(name=each, required=True) for each in names
                    ],
                )
                for name, names in results.PROMPTS.items()
            ]
        )

    async def get_prompt(
        self, _ctx: Context, params: wire.GetPromptRequestParams
    ) -> Any:
        await trio.lowlevel.checkpoint()
        if params.name in questions.ROUNDS:
            responses = params.input_responses
            more = questions.next_round(params.name, responses, params.request_state)
            told = results.text(questions.answer(params.name, responses))
            return more or results.user(told)
        found = results.prompt(params.name, params.arguments or {})
        if found is None:
            raise MCPError(wire.INVALID_PARAMS, f"there is no prompt {params.name!r}")
        return found

    async def list_resources(
        self, _ctx: Context, _params: Any
    ) -> wire.ListResourcesResult:
        await trio.lowlevel.checkpoint()
        uris = ("test://static-text", "test://static-binary", "test://watched-resource")
        return wire.ListResourcesResult(
            resources=[wire.Resource(name=uri, uri=uri) for uri in uris]
        )

    async def list_templates(
        self, _ctx: Context, _params: Any
    ) -> wire.ListResourceTemplatesResult:
        await trio.lowlevel.checkpoint()
        template = wire.ResourceTemplate(
            name="data", uri_template="test://template/{id}/data"
        )
        return wire.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, _ctx: Context, params: wire.ReadResourceRequestParams
    ) -> wire.ReadResourceResult:
        await trio.lowlevel.checkpoint()
        found = results.resource(params.uri)
        if found is None:
            raise MCPError(
                wire.INVALID_PARAMS, "Resource not found", {"uri": params.uri}
            )
        return wire.ReadResourceResult(contents=[found])

    async def complete(
        self, _ctx: Context, _params: wire.CompleteRequestParams
    ) -> wire.CompleteResult:
        await trio.lowlevel.checkpoint()
        return wire.CompleteResult(completion=wire.Completion(values=["paris", "park"]))

    async def nothing(self, _ctx: Context, _params: Any) -> wire.EmptyResult:
        await trio.lowlevel.checkpoint()
        return wire.EmptyResult()


def _require_sampling(ctx: Context) -> None:
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            wire.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "needs sampling",
            {"requiredCapabilities": {"sampling": {}}},
        )


def build_fixtures(
    jobs: Jobs, _core: Any, _closing: Any, _subscriptions: Any, _base: str
) -> Server[Any]:
    """The example server, with the daemon's wire form of tasks."""
    fixtures = Fixtures(jobs)
    server: Server[Any] = Server(
        "fixtures",
        version="1",
        on_list_tools=fixtures.list_tools,
        on_call_tool=fixtures.call_tool,
        on_list_prompts=fixtures.list_prompts,
        on_get_prompt=fixtures.get_prompt,
        on_list_resources=fixtures.list_resources,
        on_list_resource_templates=fixtures.list_templates,
        on_read_resource=fixtures.read_resource,
        on_subscribe_resource=fixtures.nothing,
        on_unsubscribe_resource=fixtures.nothing,
        on_completion=fixtures.complete,
        on_subscriptions_listen=ListenHandler(fixtures.bus),
    )
    server.add_request_handler(
        "logging/setLevel", wire.SetLevelRequestParams, fixtures.nothing
    )
    install_tasks(server, jobs)
    return server


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    origin = f"http://127.0.0.1:{port}"
    allowed = (origin, f"http://localhost:{port}")
    async with open_fake_core(port=port, auth=False, allowed_origins=allowed) as core:
        await serve(core, origin)


async def serve(core: Core, origin: str) -> None:
    """The daemon's door before this core."""
    config, shutdown = core.config, Shutdown()
    guard = make_guard(config, None)
    listeners = await open_listeners(config.host, config.port, None)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            build: Any = partial(build_fixtures, Jobs(nursery))
            async with open_mcp(core, shutdown, base=origin, build=build) as mcp:
                app = open_app(
                    core,
                    guard=guard,
                    shutdown=shutdown,
                    base=origin,
                    health_of=make_health(core),
                    mcp=mcp,
                )
                serve_core = partial(
                    serve_door,
                    listeners,
                    app=app,
                    ws_handler=make_ws_handler(core, guard, shutdown),
                    config=config,
                    shutdown=shutdown,
                )
                async with trio.open_nursery() as door_nursery:
                    await door_nursery.start(serve_core)
                    async for _ in signals:
                        break
                    shutdown.end_streams()
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
