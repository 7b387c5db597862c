"""The boundary of one request: whatever a handler raises becomes the answer, and harms nobody else."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable

from penstock.server.http_answer import (
    HttpAnswer,
    HttpStream,
    fault_answer,
    problem_answer,
)
from penstock.server.routes import Call, Handler
from penstock.words.error_status import PROBLEMS, row_of
from penstock.words.errors import PenstockError

_log = logging.getLogger("penstock.http")


async def reply_of(
    handler: Handler, read_call: Callable[[], Awaitable[Call]], asked: str
) -> HttpAnswer | HttpStream:
    """What the handler answers to the call, or why there is no such answer.

    `asked` is the request in words, for the daemon's log.
    """
    try:
        answer = handler(await read_call())
        return answer if isinstance(answer, HttpAnswer) else await answer
    except PenstockError as error:
        # What has a row of its own is foreseen, and the log has it already where it belongs there.
        foreseen = row_of(error) is not PROBLEMS[PenstockError]
        return problem_answer(error) if foreseen else _fault(asked)
    except Exception:  # noqa: BLE001
        # The client learns that it failed, the log learns why.
        return _fault(asked)


def _fault(asked: str) -> HttpAnswer:
    fault_id = secrets.token_hex(8)
    _log.exception("fault %s: %s", fault_id, asked)
    return fault_answer(fault_id)
