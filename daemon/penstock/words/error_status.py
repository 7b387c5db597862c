"""What an error is on the outside: an HTTP status, a title and an exit code.

One table, so that REST, MCP and the command line say the same thing of the same error. It is read both
ways: `api.problem_of` makes the document that is sent, and `error_of` the error again of one that came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from penstock.words import errors
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import RUN_VERBS, Exit


class ProblemRow(NamedTuple):
    """`told`: whether the error's own sentence is shown, or only its class's."""

    status: int
    title: str
    code: Exit
    told: bool = True


#: An error is looked up by its class, then by its bases.
PROBLEMS: dict[type[PenstockError], ProblemRow] = {
    errors.Refused: ProblemRow(400, "Bad Request", Exit.USAGE),
    errors.TooLarge: ProblemRow(413, "Content Too Large", Exit.USAGE),
    errors.Unauthorised: ProblemRow(401, "Unauthorized", Exit.AUTH),
    errors.Forbidden: ProblemRow(403, "Forbidden", Exit.AUTH),
    errors.NotFound: ProblemRow(404, "Not Found", Exit.NOT_FOUND),
    errors.Conflict: ProblemRow(409, "Conflict", Exit.CONFLICT),
    errors.Terminal: ProblemRow(409, "Conflict", Exit.CONFLICT),
    errors.Fenced: ProblemRow(409, "Conflict", Exit.CONFLICT),
    errors.QueueFull: ProblemRow(429, "Too Many Requests", Exit.QUEUE_FULL),
    # The system's own words for a full disk name paths.
    errors.StoreUnavailable: ProblemRow(
        503, "Service Unavailable", Exit.NO_DAEMON, told=False
    ),
    errors.ShuttingDown: ProblemRow(503, "Service Unavailable", Exit.NO_DAEMON),
    errors.NotAvailable: ProblemRow(503, "Service Unavailable", Exit.NO_DAEMON),
    errors.DaemonUnreachable: ProblemRow(503, "Service Unavailable", Exit.NO_DAEMON),
    PenstockError: ProblemRow(
        500, "Internal Server Error", Exit.RUN_FAILED, told=False
    ),
    # After the root: a status alone does not say that it is this one.
    errors.LogDamaged: ProblemRow(500, "Internal Server Error", Exit.RUN_FAILED),
    # Last: a client that is answered 500 knows of no log. This is how the daemon itself ends.
    errors.StoreBroken: ProblemRow(
        500, "Internal Server Error", Exit.LOG_LOST, told=False
    ),
}

#: Seconds after which a refused caller may come again, unless the error knows better.
RETRY_AFTER_SECONDS = 1

#: The members of a document that RFC 9457 names; all others are facts of the error.
OWN_MEMBERS = frozenset({"type", "title", "status", "detail", "instance"})


def row_of(error: PenstockError) -> ProblemRow:
    """The line of the table for an error."""
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def detail_of(error: PenstockError) -> str:
    """The sentence that others may read: the error's own, or its class's."""
    return str(error) if row_of(error).told else (type(error).__doc__ or "").strip()


def headers_of(error: PenstockError) -> dict[str, str]:
    """The headers that belong to an error's status."""
    status = row_of(error).status
    if status in (429, 503):
        return {"Retry-After": str(error.facts.get("retry_after", RETRY_AFTER_SECONDS))}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {}


def exit_code_of(error: PenstockError, verb: str | None = None) -> Exit:
    """How a command that met this error ends.

    A verb that ends as its run does has all other codes for the program's: what is no refusal of
    its arguments is 125 there.
    """
    code = row_of(error).code
    return Exit.PENSTOCK if verb in RUN_VERBS and code != Exit.USAGE else code


def type_of(error: type[PenstockError]) -> str:
    """The `type` member by which a client knows the error: QueueFull is urn:penstock:queue-full."""
    return "urn:penstock:" + re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower()


def error_of(
    status: int, document: Any, retry_after: str | None = None
) -> PenstockError:
    """The error that `document`, the body of an answer with this status, stands for.

    A newer daemon's error is known by its status; what is no problem document by its status alone.
    """
    told: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    cls = _BY_TYPE.get(str(told.get("type", "")), _by_status(status))
    detail = str(
        told.get("detail") or told.get("title") or f"the daemon answered {status}"
    )
    facts = {
        str(name): value for name, value in told.items() if name not in OWN_MEMBERS
    }
    if retry_after is not None:
        facts.setdefault("retry_after", retry_after)
    # Subclasses put their sentence together in __init__; here it is whole already.
    error = cls.__new__(cls)
    PenstockError.__init__(error, detail, **facts)
    if isinstance(error, errors.Refused):
        error.field = str(facts.get("field", ""))
    return error


def _by_status(status: int) -> type[PenstockError]:
    return next(
        (cls for cls, row in PROBLEMS.items() if row.status == status), PenstockError
    )


def _tree(cls: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield cls
    for below in cls.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below)


_BY_TYPE = {type_of(cls): cls for cls in _tree(PenstockError)}
