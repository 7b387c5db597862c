"""A kind of run: what it is given, what it gives, and what it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.log.kept import Manner, without_manner
from penstock.log.left_out import left_out
from penstock.words.errors import Refused
from penstock.words.lifecycle import OnRestart


class Inputs(BaseModel):
    """Base of every kind's inputs: unknown fields are refused with their name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: Fields, and what they may hold, that say how a run is told and not what it does: a field that holds
    #: one of these makes it no other run.
    manner: ClassVar[Manner] = {}

    def shown(self) -> dict[str, Any]:
        """The inputs as events and surfaces show them; override to leave secrets out."""
        return self.model_dump(mode="json")

    def local(self) -> bool:
        """Whether a run with these inputs has files on the box where it is submitted; override for others
        than those of its `cwd`."""
        return getattr(self, "cwd", None) is not None

    def needs_model(self) -> bool:
        """Whether a run with these inputs cannot do without a model; override where it depends."""
        return False

    def takes_input(self) -> bool:
        """Whether a run with these inputs is sent to from outside while it runs; see `Run.exec`."""
        return False


class Output(BaseModel):
    """Base of every kind's output."""

    model_config = ConfigDict(frozen=True, extra="forbid")


#: What a kind's runs do: given the run (`penstock.pipeline.Run`) and its inputs, of the kind's own
#: class. Said by their number only, so that whoever takes runs in need not know how they execute.
Pipeline = Callable[[Any, Any], Awaitable[Output]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run.

    `milestones` are the only milestone names its pipeline may report. `on_restart` is what becomes
    of a run that a restart interrupts. While no model is configured, runs of a kind that
    `needs_model` are refused at submit, and runs whose inputs say that they do. What the programs of
    a `guarded` kind ask of the daemon is held to the scope of their run: coding agents are no owners.
    Of a log that several boxes share, runs of a `portable` kind may execute at another box than the one
    they were submitted at; those of others stay there.
    """

    name: str
    summary: str
    inputs: type[Inputs]
    output: type[Output]
    pipeline: Pipeline
    on_restart: OnRestart = "requeue"
    preemptible: bool = False
    needs_model: bool = False
    milestones: frozenset[str] = frozenset()
    guarded: bool = False
    portable: bool = False

    def parse(self, data: Mapping[str, Any]) -> Inputs:
        """The inputs, validated. Refused names the first field that does not fit."""
        try:
            return self.inputs.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in ("inputs", *first["loc"]))
            raise Refused(field, first["msg"].removeprefix("Value error, ")) from None


def check_whole(inputs: bytes) -> None:
    """Refused names what stored inputs are without, since the log came from an export."""
    if names := left_out(inputs):
        raise Refused(
            ", ".join(names),
            "left out of the export that this run came from; submit it anew, with its values",
        )


def encode_inputs(inputs: Inputs) -> bytes:
    """The inputs whole, as JSON, in the order in which their kind names them."""
    return _encoded(inputs.model_dump(mode="json"), sort=False)


def digest_inputs(kind: str, encoded: bytes, manner: Manner | None = None) -> bytes:
    """Same kind and same inputs but for their `manner`, in whatever order: same digest (SHA-256)."""
    told = without_manner(json.loads(encoded), manner or {})
    canonical = _encoded(told, sort=True)
    return hashlib.sha256(kind.encode() + b"\0" + canonical).digest()


def _encoded(value: Any, *, sort: bool) -> bytes:
    text = json.dumps(value, sort_keys=sort, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
