"""What is wrong with the arguments of a call: all of it at once, as a model can act on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

#: Faults that are told of one call; a model mends these and calls again.
MOST_TOLD = 12


class Misfits(Exception):
    """The arguments do not fit; each fault is `field: why`."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        super().__init__(told(self.faults))


def said(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without nulls: models that must name every argument send them for what they mean not."""
    return {name: value for name, value in arguments.items() if value is not None}


def taken(model: type[M], arguments: Mapping[str, Any]) -> M:
    """The arguments as a tool takes them. Misfits tells all that is wrong, and what there is."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        faults = faults_of(error)
        if any(name not in model.model_fields for name in arguments):
            faults.append(f"the arguments are {', '.join(model.model_fields)}")
        raise Misfits(faults) from None


def faults_of(error: ValidationError, *, at: str = "") -> list[str]:
    """Every fault that validation found, by its field below `at`."""
    return [
        _fault(".".join(str(part) for part in (at, *one["loc"]) if part != ""), one)
        for one in error.errors(
            include_url=False, include_input=False, include_context=False
        )
    ]


def _fault(field: str, one: object) -> str:
    assert isinstance(one, dict)
    why = str(one["msg"]).removeprefix("Value error, ")
    if one["type"] == "extra_forbidden":
        why = "unknown field"
    return f"{field or 'arguments'}: {why}"


def told(faults: tuple[str, ...]) -> str:
    """One sentence of all faults."""
    more = len(faults) - MOST_TOLD
    end = f"; and {more} more" if more > 0 else ""
    return "; ".join(faults[:MOST_TOLD]) + end
