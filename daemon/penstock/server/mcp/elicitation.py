"""A run's questions, put to the user of the client that waits for it, where the client can do that.

Up to 2025-11-25 the server asks in the midst of the call. Since 2026-07-28 the call is answered with
what is to be asked, and comes again with the answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.types import CallToolRequestParams, ElicitRequest, InputRequiredResult

from penstock.log.projections import AskView
from penstock.runs.core import Core
from penstock.server.json_bodies import open_asks
from penstock.server.mcp.arguments import WaitRun
from penstock.server.mcp.tasks import SINCE, RunTasks, answer_in, question

Context = ServerRequestContext[Any, Any]
#: The tool that waits for answers.
WAITS = "wait_run"


def can_ask(ctx: Context) -> bool:
    """Whether the client says that it can ask its user something."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def asker(ctx: Context) -> Callable[[AskView], Awaitable[str | None]] | None:
    """How the client's user is asked in the midst of a call; None where that cannot be."""
    if ctx.protocol_version >= SINCE or not can_ask(ctx):
        return None

    async def ask(view: AskView) -> str | None:
        asked = question(view)["params"]
        told = await ctx.session.elicit_form(
            asked["message"], asked["requestedSchema"], ctx.request_id
        )
        return answer_in({"action": told.action, "content": told.content})

    return ask


async def take_responses(tasks: RunTasks, params: CallToolRequestParams) -> None:
    """Give the run the answers that came with the call, if any did."""
    if params.name == WAITS and params.input_responses:
        sent: Mapping[str, Any] = {
            name: response.model_dump(by_alias=True, mode="json")
            for name, response in params.input_responses.items()
        }
        # A run that is not known is told of by the call itself.
        with suppress(KeyError):
            await tasks.answer(str((params.arguments or {}).get("run_id")), sent)


async def questions_for(
    ctx: Context, core: Core, params: CallToolRequestParams, wanted: object
) -> InputRequiredResult | None:
    """What is to be asked before the call is made again; None if there is nothing, or no use.

    Who was asked once and gave no answer is told how the run stands.
    """
    if (
        not isinstance(wanted, WaitRun)
        or wanted.until != "asks"
        or ctx.protocol_version < SINCE
        or not can_ask(ctx)
        or params.input_responses
    ):
        return None
    asks = open_asks(await core.reader.view(wanted.run_id))
    if not asks:
        return None
    requests: dict[str, Any] = {
        name: ElicitRequest.model_validate(question(ask)) for name, ask in asks.items()
    }
    return InputRequiredResult(input_requests=requests, request_state=wanted.run_id)
