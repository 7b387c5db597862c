"""The MCP server of a core, put together from the SDK's parts. Importing this costs seconds."""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING, Any

import mcp.types as wire
import trio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from penstock.config import Config
from penstock.errors import NotFound, PenstockError
from penstock.problems import problem_of, row_of
from penstock.server.asgi import UNIX_STATE
from penstock.server.closing import Closing
from penstock.server.mcp import resources
from penstock.server.mcp.calls import Caller, ToolCall, tool_calls
from penstock.server.mcp.run_tasks import RunTasks
from penstock.server.mcp.subscriptions import Subscriptions
from penstock.server.mcp.subscriptions import open_subscriptions as open_subscriptions
from penstock.server.mcp.tasks import created, declared, install_tasks
from penstock.server.mcp.tools import INSTRUCTIONS, TOOLS, listed_tools
from penstock.wire import refused

if TYPE_CHECKING:
    from penstock.runs.core import Core

Context = ServerRequestContext[Any, Any]
_log = logging.getLogger("penstock.mcp")

#: Tools that start a run: a client that knows tasks is given one.
_STARTERS = frozenset({"start_run", "retry_run", "start_coding_task"})


def build_server(
    core: Core, closing: Closing, subscriptions: Subscriptions, base: str
) -> Server[Any]:
    """The server with its tools, resources and tasks.

    `base` is how clients on this box address the daemon, for those that came by its Unix socket.
    """
    listed = listed_tools(core.kinds.values())
    calls = tool_calls(core, closing)

    async def list_tools(_ctx: Context, _params: Any) -> wire.ListToolsResult:
        await trio.lowlevel.checkpoint()
        return wire.ListToolsResult(tools=listed)

    async def call_tool(ctx: Context, params: wire.CallToolRequestParams) -> Any:
        if params.name not in calls:
            known = ", ".join(calls)
            why = f"there is no tool {params.name[:80]!r} (there are: {known})"
            raise MCPError(wire.INVALID_PARAMS, why)
        return await _call(ctx, params, calls[params.name], tasks, base)

    async def list_resources(
        _ctx: Context, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        try:
            found, following = await resources.list_resources(
                core, params.cursor if params else None
            )
        except NotFound as error:
            raise MCPError(wire.INVALID_PARAMS, str(error)) from None
        return wire.ListResourcesResult(resources=found, next_cursor=following)

    async def list_templates(
        _ctx: Context, _params: Any
    ) -> wire.ListResourceTemplatesResult:
        await trio.lowlevel.checkpoint()
        return wire.ListResourceTemplatesResult(resource_templates=resources.TEMPLATES)

    async def read_resource(
        _ctx: Context, params: wire.ReadResourceRequestParams
    ) -> wire.ReadResourceResult:
        uri = params.uri
        try:
            media_type, text = await resources.read_resource(core, uri)
        except PenstockError as error:
            why = _sentence(error)
            raise MCPError(wire.INVALID_PARAMS, why, {"uri": uri}) from None
        content = wire.TextResourceContents(uri=uri, mime_type=media_type, text=text)
        return wire.ReadResourceResult(contents=[content])

    async def set_level(_ctx: Context, _params: Any) -> wire.EmptyResult:
        await trio.lowlevel.checkpoint()
        # Clients of the older protocol set one; it is taken, and nothing is logged to them.
        return wire.EmptyResult()

    tasks = RunTasks(core, base)
    server: Server[Any] = Server(
        "penstock",
        version=core.version,
        title="Penstock",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
    )
    server.add_request_handler(
        "logging/setLevel", wire.SetLevelRequestParams, set_level
    )
    install_tasks(server, tasks)
    return server


def build_manager(server: Server[Any], config: Config) -> StreamableHTTPSessionManager:
    """The transport. It asks for neither Host nor Origin nor token: the guard did."""
    return StreamableHTTPSessionManager(
        server,
        session_idle_timeout=config.mcp_idle_seconds,
        max_sessions=config.max_mcp_sessions,
        max_request_body_size=config.max_body_bytes,
    )


async def _call(
    ctx: Context,
    params: wire.CallToolRequestParams,
    call: ToolCall,
    tasks: RunTasks,
    base: str,
) -> wire.CallToolResult | dict[str, Any]:
    """What a tool gives; an error is a result too, since the model is to read it."""
    caller = Caller(_base_of(ctx, base), lambda n, text: _report(ctx, n, text))
    try:
        arguments = TOOLS[params.name].takes.model_validate(params.arguments or {})
        told = await call(arguments, caller)
        if params.name in _STARTERS and declared(ctx):
            return created(await tasks.look(told["run_id"]))
    except ValidationError as error:
        return _failure(refused(error))
    except PenstockError as error:
        return _fault(params.name) if row_of(error).status == 500 else _failure(error)
    except MCPError:
        raise
    except Exception:  # noqa: BLE001
        # The boundary of one call: the client learns that it failed, the log learns why.
        return _fault(params.name)
    return _result(told)


async def _report(ctx: Context, number: int, text: str) -> None:
    await ctx.session.report_progress(float(number), message=text)


def _base_of(ctx: Context, base: str) -> str:
    """How this caller addresses the daemon."""
    if ctx.request is None or ctx.request.scope["state"].get(UNIX_STATE) is True:
        return base
    return f"http://{ctx.request.headers['host']}"


def _result(told: dict[str, Any]) -> wire.CallToolResult:
    text = json.dumps(told, ensure_ascii=False)
    return wire.CallToolResult(
        content=[wire.TextContent(text=text)], structured_content=told
    )


def _failure(error: PenstockError) -> wire.CallToolResult:
    """An error of ours as a result: the sentence for whoever reads, the document for programs."""
    _, problem = problem_of(error)
    return wire.CallToolResult(
        content=[wire.TextContent(text=problem.detail)],
        structured_content=problem.model_dump(mode="json"),
        is_error=True,
    )


def _fault(tool: str) -> wire.CallToolResult:
    fault_id = secrets.token_hex(8)
    _log.exception("fault %s: the tool %s", fault_id, tool)
    why = f"the daemon failed to answer; its log tells why under {fault_id}"
    return wire.CallToolResult(content=[wire.TextContent(text=why)], is_error=True)


def _sentence(error: PenstockError) -> str:
    return problem_of(error)[1].detail
