"""What a loop is asked: when it is done, what a turn does, and where it must stop in any case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import from_json

from penstock.kinds.command import Name, Word
from penstock.pipeline import Inputs, Output

#: Turns when nothing is said: a rule that holds after so many never will.
TURNS = 20
#: Seconds when nothing is said: a working afternoon.
SECONDS = 4 * 3600.0


class Act(BaseModel):
    """The run that a turn starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    inputs: dict[str, Any] = {}


def read_act(value: Any) -> Any:
    """An act as a person writes it: `KIND {"input": …}`, or a line for the shell.

    The shell's line may have the word `command` before it, the kind that executes it.
    """
    if not isinstance(value, str):
        return value
    line = value.strip()
    head, _, rest = line.partition(" ")
    try:
        inputs = from_json(rest)
    except ValueError:
        inputs = None
    if isinstance(inputs, dict):
        return {"kind": head, "inputs": inputs}
    if head == "command" and rest.strip():
        line = rest.strip()
    if not line:
        raise ValueError("must not be empty")
    return {"kind": "command", "inputs": {"shell": line}}


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


_Act = Annotated[
    Act | None,
    BeforeValidator(read_act),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "kind": {"type": "string"},
                        "inputs": {"type": "object"},
                    },
                    "required": ["kind"],
                },
                {"type": "null"},
            ]
        }
    ),
]
_Line = Annotated[Word, Field(min_length=1)]


class LoopInputs(Inputs):
    """Until a command succeeds, or a model finds the goal reached."""

    until: _Line | None = Field(
        None, description="Done when this line for the shell exits with 0"
    )
    goal: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Done when a model finds this reached; needs a model"
    )
    act: _Act = Field(
        None,
        description="What each turn does: a line for the shell, or KIND {JSON inputs}",
    )
    kinds: list[str] = Field(
        [],
        description="Kinds of which the model chooses each turn's, instead of `act`",
    )
    observe: _Line | None = Field(
        None, description="A line for the shell whose output the model sees"
    )
    max_turns: int = Field(TURNS, ge=1, le=1000, description="Turns at most")
    max_seconds: float = Field(
        SECONDS,
        gt=0,
        le=30 * 86_400,
        description="Seconds at most from start to end, restarts included",
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Tokens it may spend on models, turns included"
    )
    max_cost: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Money it may spend on models, turns included"
    )
    turn_timeout: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Executing seconds of one turn"
    )
    keep_going: bool = Field(False, description="Go on after a turn that fails")
    cwd: Annotated[Word, AfterValidator(_absolute)] | None = Field(
        None,
        description="Absolute path; null: the caller's folder, or the home of the daemon's user",
    )
    env: dict[Name, Word] = Field(
        default_factory=dict, description="Further variables, by name"
    )

    @model_validator(mode="after")
    def _complete(self) -> LoopInputs:
        if self.until is None and self.goal is None:
            raise ValueError("give `until` or `goal`: when is the loop done?")
        if (self.act is None) == (not self.kinds):
            raise ValueError("give either `act` or `kinds`: what does a turn do?")
        if self.goal is None and (self.kinds or self.observe):
            raise ValueError("`kinds` and `observe` are for a model; give a `goal`")
        return self

    def needs_model(self) -> bool:
        return self.goal is not None

    def shown(self) -> dict[str, Any]:
        """The inputs with the names of variables only: their values may be secrets."""
        shown = self.model_dump(mode="json")
        shown["env"] = _names(self.env)
        if self.act is not None and isinstance(self.act.inputs.get("env"), dict):
            shown["act"]["inputs"]["env"] = _names(self.act.inputs["env"])
        return shown


class LoopOutput(Output):
    """How the goal was reached."""

    #: Turns that were taken.
    turns: int
    #: `until`: the command succeeded. `goal`: the model's word.
    reached: str
    reason: str = ""


def _names(env: dict[str, Any]) -> dict[str, str]:
    return dict.fromkeys(sorted(env), "…")
