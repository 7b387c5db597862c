"""A problem document read back into the error it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.words import errors
from penstock.words.errors import PenstockError
from penstock.words.problems import PROBLEMS, type_of

_OWN_MEMBERS = frozenset({"type", "title", "status", "detail", "instance"})


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
        str(name): value for name, value in told.items() if name not in _OWN_MEMBERS
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
