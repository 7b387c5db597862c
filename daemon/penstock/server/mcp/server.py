"""The MCP server of a core, put together from the SDK's parts. Importing this costs seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp.types as wire
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from penstock.server.mcp.handlers import Handlers
from penstock.server.mcp.subscriptions import Subscriptions
from penstock.server.mcp.subscriptions import open_subscriptions as open_subscriptions
from penstock.server.mcp.tasks import RunTasks, install_tasks
from penstock.server.mcp.tools import INSTRUCTIONS
from penstock.server.shutdown import Shutdown
from penstock.words.config import Config

if TYPE_CHECKING:
    from penstock.runs.core import Core


def build_server(
    core: Core, shutdown: Shutdown, subscriptions: Subscriptions, base: str
) -> Server[Any]:
    """The server with its tools, resources and tasks.

    `base` is how clients on this box address the daemon, for those that came by its Unix socket.
    """
    tasks = RunTasks(core, base)
    handlers = Handlers(core, shutdown, tasks, base)
    server: Server[Any] = Server(
        "penstock",
        version=core.version,
        title="Penstock",
        instructions=INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
    )
    level = wire.SetLevelRequestParams
    server.add_request_handler("logging/setLevel", level, handlers.set_level)
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
