"""The MCP server of a core: tools, resources and templates, on the SDK's parts.

Importing this costs seconds.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import mcp.types as wire
import trio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from penstock.runs.core import Core
from penstock.runs.run_scopes import RunScope
from penstock.server.asgi import RUN_STATE
from penstock.server.judge import RunMay, ScopeJudge
from penstock.server.mcp import prompts, resources
from penstock.server.mcp.calls import Caller, tool_calls
from penstock.server.mcp.elicitation import asker, questions_for, take_responses
from penstock.server.mcp.kind_tools import kind_tools
from penstock.server.mcp.lazy import Called, call_uncounted
from penstock.server.mcp.misfits import Misfits, said, taken
from penstock.server.mcp.results import text_result
from penstock.server.mcp.subscriptions import Subscriptions
from penstock.server.mcp.subscriptions import open_subscriptions as open_subscriptions
from penstock.server.mcp.tasks import RunTasks, created, declared, install_tasks
from penstock.server.mcp.tools import INSTRUCTIONS, TOOLS, listed_tools
from penstock.server.public_address import BASE_STATE
from penstock.server.shutdown import Shutdown
from penstock.words.api import CallerFields, problem_of, refused
from penstock.words.config import Config
from penstock.words.error_status import row_of
from penstock.words.errors import NotFound, PenstockError
from penstock.words.surroundings import CALLER_IN_META, Surroundings

Context = ServerRequestContext[Any, Any]
_log = logging.getLogger("penstock.mcp")

#: What answers a request, and of which run its parameters say that it is about.
Handler = Callable[[Context, Any], Awaitable[Any]]
RunOf = Callable[[Any], str | None]

#: Tools that start a run: a client that knows tasks is given one.
_STARTERS = frozenset({"start_run", "retry_run", "start_coding_task"})


def of_no_run(_params: Any) -> None:
    """What is about no run, or about more than one."""
    return


def run_of_uri(params: Any) -> str | None:
    """The run whose resource is meant; None for an address of none."""
    try:
        return resources.parse_uri(params.uri).run_id
    except NotFound:
        return None


class Handlers:
    """One method per request. `base` is how clients that came by the Unix socket are told the address."""

    def __init__(
        self,
        core: Core,
        shutdown: Shutdown,
        tasks: RunTasks,
        base: str,
        called: Called,
    ) -> None:
        self._called = called
        self._core, self._tasks, self._base = core, tasks, base
        kinds = list(core.kinds.values())
        by_kind = kind_tools(kinds)
        self._kinds, self._judge = kinds, ScopeJudge(core)
        self._listed = listed_tools(kinds, by_kind)
        self._by_kind = {tool.name: tool for tool in by_kind}
        self._calls = tool_calls(core, shutdown)

    def judged(
        self, handler: Handler, may: RunMay, run_of: RunOf = of_no_run
    ) -> Handler:
        """`handler`, where it is asked on behalf of a run only for what that may."""

        async def handle(ctx: Context, params: Any) -> Any:
            if (scope := scope_of(ctx)) is not None:
                try:
                    await self._judge.admit(scope, may, run_of(params))
                except PenstockError as error:
                    raise MCPError(wire.INVALID_REQUEST, str(error)) from None
            return await handler(ctx, params)

        return handle

    async def list_tools(self, ctx: Context, _params: Any) -> wire.ListToolsResult:
        await trio.lowlevel.checkpoint()
        scope, listed = scope_of(ctx), self._listed
        if scope is not None:
            listed = listed_tools(self._kinds, self._by_kind.values(), scope)
        return wire.ListToolsResult(tools=listed)

    async def call_tool(self, ctx: Context, params: wire.CallToolRequestParams) -> Any:
        """What a tool gives; an error is a result too, since the model is to read it."""
        if params.name not in self._calls and params.name not in self._by_kind:
            known = ", ".join(tool.name for tool in self._listed)
            why = f"there is no tool {params.name[:80]!r} (there are: {known})"
            # One name for all that there are not, so that nobody can make names without end.
            self._called("unknown", "refused")
            raise MCPError(wire.INVALID_PARAMS, why)
        outcome = "cancelled"
        try:
            given = await self._answer(ctx, params)
            failed = isinstance(given, wire.CallToolResult) and given.is_error
            outcome = "failed" if failed else "answered"
        except MCPError:
            outcome = "refused"
            raise
        finally:
            self._called(params.name, outcome)
        return given

    async def _answer(self, ctx: Context, params: wire.CallToolRequestParams) -> Any:
        try:
            return await self._call(ctx, params)
        except Misfits as error:
            return _failure(str(error))
        except PenstockError as error:
            ours = row_of(error).status == 500
            return (
                _fault(params.name) if ours else _failure(problem_of(error)[1].detail)
            )
        except MCPError:
            raise
        except Exception:  # noqa: BLE001
            # The boundary of one call: the client learns that it failed, the log learns why.
            return _fault(params.name)

    async def _call(
        self, ctx: Context, params: wire.CallToolRequestParams
    ) -> wire.CallToolResult | wire.InputRequiredResult | dict[str, Any]:
        scope = scope_of(ctx)
        caller = Caller(
            self._base_of(ctx),
            lambda n, text: _report(ctx, n, text),
            _surroundings_of(ctx),
            _traceparent_of(ctx),
            # Whom an agent's client would ask is the agent.
            asker(ctx) if scope is None else None,
            scope,
        )
        if scope is None:
            await take_responses(self._tasks, params)
        name, sent = params.name, said(params.arguments or {})
        arguments: BaseModel
        if (tool := self._by_kind.get(name)) is not None:
            name, arguments = "start_run", tool.request(sent)
        else:
            arguments = taken(TOOLS[name].takes, sent)
        run_id = getattr(arguments, "run_id", None)
        await self._judge.admit(scope, TOOLS[name].for_run, run_id)
        given = await self._calls[name](arguments, caller)
        if scope is None and name in _STARTERS and "run_id" in given and declared(ctx):
            return created(await self._tasks.look(given["run_id"]))
        if scope is not None:
            return text_result(given)
        asked = await questions_for(ctx, self._core, params, arguments)
        return asked or text_result(given)

    def _base_of(self, ctx: Context) -> str:
        """How this caller addresses the daemon."""
        if ctx.request is None:
            return self._base
        return str(ctx.request.scope["state"].get(BASE_STATE, self._base))

    async def list_resources(
        self, _ctx: Context, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        cursor = params.cursor if params else None
        try:
            found, following = await resources.list_resources(self._core, cursor)
        except NotFound as error:
            raise MCPError(wire.INVALID_PARAMS, str(error)) from None
        return wire.ListResourcesResult(resources=found, next_cursor=following)

    async def list_templates(
        self, _ctx: Context, _params: Any
    ) -> wire.ListResourceTemplatesResult:
        await trio.lowlevel.checkpoint()
        return wire.ListResourceTemplatesResult(resource_templates=resources.TEMPLATES)

    async def read_resource(
        self, _ctx: Context, params: wire.ReadResourceRequestParams
    ) -> wire.ReadResourceResult:
        uri = params.uri
        try:
            media_type, text = await resources.read_resource(self._core, uri)
        except PenstockError as error:
            why = problem_of(error)[1].detail
            raise MCPError(wire.INVALID_PARAMS, why, {"uri": uri}) from None
        content = wire.TextResourceContents(uri=uri, mime_type=media_type, text=text)
        return wire.ReadResourceResult(contents=[content])

    async def list_prompts(self, _ctx: Context, _params: Any) -> wire.ListPromptsResult:
        await trio.lowlevel.checkpoint()
        listed = [job.listed() for job in prompts.JOBS.values()]
        return wire.ListPromptsResult(prompts=listed)

    async def get_prompt(
        self, _ctx: Context, params: wire.GetPromptRequestParams
    ) -> wire.GetPromptResult:
        await trio.lowlevel.checkpoint()
        try:
            return prompts.prompt_of(params.name, params.arguments or {})
        except PenstockError as error:
            raise MCPError(wire.INVALID_PARAMS, str(error)) from None

    async def complete(
        self, _ctx: Context, params: wire.CompleteRequestParams
    ) -> wire.CompleteResult:
        known = (params.context.arguments if params.context else None) or {}
        name, begun = params.argument.name, params.argument.value
        try:
            values = await prompts.complete(self._core, params.ref, name, begun, known)
        except NotFound as error:
            raise MCPError(wire.INVALID_PARAMS, str(error)) from None
        return wire.CompleteResult(completion=wire.Completion(values=values))

    async def set_level(self, _ctx: Context, _params: Any) -> wire.EmptyResult:
        """Clients of the older protocol set one; it is taken, and nothing is logged to them."""
        await trio.lowlevel.checkpoint()
        return wire.EmptyResult()


def scope_of(ctx: Context) -> RunScope | None:
    """On behalf of which run a message comes; None: it is the owner's."""
    if ctx.request is None:
        # It came by no server of ours, but from this very process.
        return None
    scope: RunScope | None = ctx.request.scope["state"][RUN_STATE]
    return scope


def _surroundings_of(ctx: Context) -> Surroundings | None:
    """What the caller sent of the place it works in, as `penstock mcp` does. Refused."""
    sent = (ctx.meta or {}).get(CALLER_IN_META)
    if sent is None:
        return None
    try:
        return CallerFields.model_validate(sent).surroundings()
    except ValidationError as error:
        raise refused(error, at="caller") from None


def _traceparent_of(ctx: Context) -> str | None:
    """As clients send it that know OpenTelemetry, in the message and not in the request around it."""
    sent = (ctx.meta or {}).get("traceparent")
    return sent if isinstance(sent, str) else None


async def _report(ctx: Context, number: int, text: str) -> None:
    await ctx.session.report_progress(float(number), message=text)


def _failure(why: str) -> wire.CallToolResult:
    """An error as a result, since the model is to read it: a sentence and nothing else.

    Clients check whatever else there is against what the tool gives when it succeeds.
    """
    return wire.CallToolResult(content=[wire.TextContent(text=why)], is_error=True)


def _fault(tool: str) -> wire.CallToolResult:
    fault_id = secrets.token_hex(8)
    _log.exception("fault %s: the tool %s", fault_id, tool)
    return _failure(f"the daemon failed to answer; its log tells why under {fault_id}")


def build_server(
    core: Core,
    shutdown: Shutdown,
    subscriptions: Subscriptions,
    base: str,
    *,
    called: Called = call_uncounted,
) -> Server[Any]:
    """The server with its tools, resources and tasks.

    `base` is how clients on this box address the daemon, for those that came by its Unix socket.
    """
    tasks = RunTasks(core, base)
    handlers = Handlers(core, shutdown, tasks, base, called)
    judged = handlers.judged
    server: Server[Any] = Server(
        "penstock",
        version=core.version,
        title="Penstock",
        instructions=INSTRUCTIONS,
        on_list_tools=judged(handlers.list_tools, "all"),
        # Each by the tool that it calls.
        on_call_tool=handlers.call_tool,
        on_list_resources=judged(handlers.list_resources, "nothing"),
        on_list_resource_templates=judged(handlers.list_templates, "all"),
        on_read_resource=judged(handlers.read_resource, "tree", run_of_uri),
        on_list_prompts=judged(handlers.list_prompts, "all"),
        on_get_prompt=judged(handlers.get_prompt, "all"),
        on_completion=judged(handlers.complete, "nothing"),
        on_subscribe_resource=judged(subscriptions.subscribe, "nothing"),
        on_unsubscribe_resource=judged(subscriptions.unsubscribe, "nothing"),
        on_subscriptions_listen=judged(subscriptions.listen, "nothing"),
    )
    level = wire.SetLevelRequestParams
    set_level = judged(handlers.set_level, "all")
    server.add_request_handler("logging/setLevel", level, set_level)
    install_tasks(server, tasks, lambda handler: judged(handler, "nothing"))
    return server


def build_manager(server: Server[Any], config: Config) -> StreamableHTTPSessionManager:
    """The transport. It asks for neither Host nor Origin nor token: the guard did."""
    return StreamableHTTPSessionManager(
        server,
        session_idle_timeout=config.mcp_idle_seconds,
        max_sessions=config.max_mcp_sessions,
        max_request_body_size=config.max_body_bytes,
    )
