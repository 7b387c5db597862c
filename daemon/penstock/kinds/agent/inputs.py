"""What a run of a coding agent is asked for, and what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from penstock.kinds.agent.permissions import Rule
from penstock.pipeline import Inputs, Output

#: Seconds that an agent may take from its start to its first session.
START_SECONDS = 60.0
#: Seconds of silence in a turn after which a person is told.
STALL_SECONDS = 300.0
#: The least that may be said instead: a model that thinks is silent for longer, and whoever looks for
#: less looks so often that the daemon does little else.
SHORTEST_STALL = 1.0
#: Seconds that a run waits for quotas in all: the usual ones are of five hours, and of a week.
QUOTA_SECONDS = 8 * 24 * 3600.0


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return _word(text)


def _absolute(path: str) -> str:
    if "\0" in path or not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _word(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError(f"{name!r} cannot be the name of a variable")
    return _word(name)


def _inside(pattern: str) -> str:
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
        raise ValueError("must be a pattern of paths inside the repository")
    return _word(pattern)


Word = Annotated[str, AfterValidator(_word)]
Text = Annotated[str, AfterValidator(_not_blank)]
Variable = Annotated[str, AfterValidator(_variable)]
Pattern = Annotated[str, AfterValidator(_inside)]
#: Surfaces that have a folder of their own make it absolute.
AbsolutePath = Annotated[
    str, AfterValidator(_absolute), WithJsonSchema({"type": "string", "format": "path"})
]


class AgentBudget(Inputs):
    """What a run may spend; null: no limit. An agent tells what it spent after it did."""

    cost: float | None = Field(None, gt=0, description="Money, as the agent tells it")
    tokens: int | None = Field(None, gt=0, description="Tokens in and out together")


class AgentInputs(Inputs):
    """A task in words, who does it, where, and what it may do without asking."""

    # Models have a method `copy`.
    model_config = ConfigDict(serialize_by_alias=True)

    prompt: Text = Field(description="What to do, in words")
    agent: Word | None = Field(
        None, description="A known agent (`penstock agents`) or one of `[agents.NAME]`"
    )
    command: list[Word] | None = Field(
        None,
        min_length=1,
        description="Program and arguments of an agent that speaks ACP; with or instead of `agent`",
    )
    env: dict[Variable, Word] = Field(
        default_factory=dict, description="Further variables, by name"
    )
    repository: AbsolutePath | None = Field(
        None,
        description="Absolute path of a folder in a git repository, of which the agent gets a copy;"
        " null: an empty one",
    )
    base: Text = Field("HEAD", description="The commit that it begins with")
    branch: Text | None = Field(
        None,
        description="The branch that its work becomes in the repository; null: `penstock/ID`",
    )
    include_uncommitted: bool = Field(
        False, description="Begin with the repository's uncommitted changes too"
    )
    copy_files: list[Pattern] = Field(
        default_factory=list,
        alias="copy",
        description="Files that git does not track and the agent needs, as `.env` or `conf/*.local`",
    )
    setup: list[Word] | None = Field(
        None, min_length=1, description="Program and arguments to run before the agent"
    )
    mode: Text | None = Field(None, description="The agent's own mode; null: it asks")
    model: Text | None = Field(None, description="The agent's model; null: its own")
    permissions: Literal["ask", "edit", "all", "none"] = Field(
        "ask",
        description="What it may do without asking: read, also edit inside its copy, all, or nothing",
    )
    rules: list[Rule] = Field(
        default_factory=list,
        description="Rules that go before these; the first that fits holds",
    )
    otherwise: Literal["ask", "deny", "allow"] = Field(
        "ask", description="What holds where no rule fits"
    )
    answer_within: float | None = Field(
        None, gt=0, description="Seconds to wait for an answer; then it is deny"
    )
    strict: bool = Field(
        False,
        description="Fail once the agent does something that it should have asked for",
    )
    budget: AgentBudget = Field(
        default_factory=lambda: AgentBudget(cost=None, tokens=None),
        description="What it may spend",
    )
    stall: float = Field(
        STALL_SECONDS,
        ge=SHORTEST_STALL,
        description="Seconds of silence after which that is told",
    )
    start_timeout: float = Field(
        START_SECONDS, gt=0, description="Seconds that the agent may take to begin"
    )
    quota: Literal["wait", "fail"] = Field(
        "wait", description="What to do when the agent's quota is used up"
    )
    quota_within: float = Field(
        QUOTA_SECONDS, ge=0, description="Seconds to wait for quotas in all"
    )
    mcp_servers: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Servers of MCP for the agent, as ACP has them",
    )
    penstock_tools: list[Word] = Field(
        default_factory=list,
        description="Kinds of runs that the agent may start as children of its own",
    )
    keep: bool = Field(
        False, description="Keep the copy after the end, until the run is forgotten"
    )

    @model_validator(mode="after")
    def _somebody(self) -> AgentInputs:
        if self.agent is None and self.command is None:
            raise ValueError("give an agent or a command")
        if self.include_uncommitted and self.base != "HEAD":
            raise ValueError("uncommitted changes are those of HEAD: leave out `base`")
        return self

    def shown(self) -> dict[str, Any]:
        """The inputs without values of variables and headers, which may be secrets."""
        shown = self.model_dump(mode="json")
        return {
            **shown,
            "env": dict.fromkeys(sorted(self.env), "…"),
            "mcp_servers": [_without_values(server) for server in self.mcp_servers],
        }


def _without_values(server: dict[str, Any]) -> dict[str, Any]:
    """A server of MCP with the names alone of what it is given."""
    hidden: dict[str, Any] = {}
    for key in ("env", "headers"):
        if isinstance(items := server.get(key), list):
            names = [item.get("name") for item in items if isinstance(item, dict)]
            hidden[key] = [{"name": name, "value": "…"} for name in names]
        elif items is not None:
            hidden[key] = "…"
    return {**server, **hidden}


class AgentOutput(Output):
    """What came of it."""

    agent: str
    stop_reason: str
    summary: str
    session: str
    files: list[str]
    added: int
    removed: int
    #: The branch that was made in the repository; "" if none was.
    branch: str
    head: str
    base: str
    #: The artifact that holds the changes; "" if there are none, or too many.
    patch: str
    turns: int
    cost: float
    tokens: int
    #: Questions to people; wishes that were denied; things done without asking.
    asked: int
    denied: int
    unasked: int
