"""What an agent offers: when it is greeted, of a session, and as answers to a wish of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: What of a session can be chosen.
ChoiceName = Literal["mode", "model"]


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who the agent is, and what it can do."""

    name: str
    version: str
    can_resume: bool
    can_load: bool
    #: It takes servers of MCP over HTTP.
    mcp_http: bool
    #: How its user logs in, in its own words.
    logins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """A mode or a model: what is chosen, and of what."""

    current: str
    offered: tuple[str, ...]
    #: The name of the option that chooses it; "" where it has a method of its own.
    option: str = ""


@dataclass(frozen=True, slots=True)
class AgentSession:
    """A conversation with the agent, which it keeps under this id."""

    id: str
    choices: Mapping[ChoiceName, AgentChoice] = field(default_factory=dict)

    def chosen(self, name: ChoiceName) -> str:
        """The current mode or model; "" if it is not told."""
        choice = self.choices.get(name)
        return choice.current if choice is not None else ""

    def with_current(self, name: ChoiceName, value: str) -> AgentSession:
        """The session with this one chosen."""
        choice = replace(self.choices.get(name, AgentChoice("", ())), current=value)
        return replace(self, choices={**self.choices, name: choice})


@dataclass(frozen=True, slots=True)
class PermissionOption:
    """An answer that the agent takes: `kind` is allow or reject, once or always."""

    id: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PermissionWish:
    """What the agent wants to be allowed; `call` is the tool call as far as it is told here."""

    id: int | str
    call: dict[str, Any]
    options: tuple[PermissionOption, ...]


def read_greeting(result: Any) -> Greeting:
    """The answer to `initialize`."""
    told = mapping(result)
    capable = mapping(told.get("agentCapabilities"))
    info = mapping(told.get("agentInfo"))
    return Greeting(
        name=text_of(info.get("name")),
        version=text_of(info.get("version")),
        can_resume=mapping(capable.get("sessionCapabilities")).get("resume")
        not in (None, False),
        can_load=capable.get("loadSession") is True,
        mcp_http=mapping(capable.get("mcpCapabilities")).get("http") is True,
        logins=tuple(
            text_of(way.get("description")) or text_of(way.get("name"))
            for way in mappings(told.get("authMethods"))
        ),
    )


def read_session(session_id: str, result: Any) -> AgentSession:
    """What is told of a session when it is opened."""
    told = mapping(result)
    choices: dict[ChoiceName, AgentChoice] = {}
    for name, ids, one, current in _OF_THEIR_OWN:
        of = mapping(told.get(ids))
        offered = _texts(entry.get(one) for entry in mappings(of.get(f"available{ids.title()}")))  # fmt: skip
        if of:
            choices[name] = AgentChoice(text_of(of.get(current)), offered)
    return AgentSession(session_id, {**choices, **read_options(told)})


_OF_THEIR_OWN: tuple[tuple[ChoiceName, str, str, str], ...] = (
    ("mode", "modes", "id", "currentModeId"),
    ("model", "models", "modelId", "currentModelId"),
)


def read_options(told: Mapping[str, Any]) -> dict[ChoiceName, AgentChoice]:
    """The choices among `configOptions`, wherever they are told."""
    choices: dict[ChoiceName, AgentChoice] = {}
    for option in mappings(told.get("configOptions")):
        for name in _CHOICE_NAMES:
            if name in (option.get("category"), option.get("id")):
                offered = _texts(_values(option.get("options")))
                current = text_of(option.get("currentValue"))
                choices[name] = AgentChoice(current, offered, text_of(option.get("id")))
    return choices


_CHOICE_NAMES: tuple[ChoiceName, ...] = ("mode", "model")


def _values(options: Any) -> Iterable[Any]:
    """The values of an option, which may stand in groups."""
    for option in mappings(options):
        if "options" in option:
            yield from (inner.get("value") for inner in mappings(option["options"]))
        else:
            yield option.get("value")


def read_wish(request: int | str, params: Mapping[str, Any]) -> PermissionWish:
    """What `session/request_permission` asks for."""
    options = tuple(
        PermissionOption(
            option["optionId"], text_of(option.get("name")), text_of(option.get("kind"))
        )
        for option in mappings(params.get("options"))
        if isinstance(option.get("optionId"), str)
    )
    return PermissionWish(request, dict(mapping(params.get("toolCall"))), options)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, and else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; none if it is something else."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def text_of(value: Any) -> str:
    """The value if it is a text, and else an empty one."""
    return value if isinstance(value, str) else ""


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))
