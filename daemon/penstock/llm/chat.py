"""The words between those who ask a model and the engines that speak its protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from penstock.words.errors import ModelFailed

Role = Literal["system", "user", "assistant"]

#: How a server is told of a schema: by OpenAI's field, by vLLM's own, by Ollama's; or it is not.
SchemaDialect = Literal["response_format", "structured_outputs", "format", "none"]

#: Takes the next piece of an answer's text; may block, and the socket is not read meanwhile.
OnText = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stream says next: text of the answer, or a thought before it, or how far the prompt is read."""

    text: str = ""
    thought: str = ""
    #: Tokens of the prompt that the server has read, and how many they are in all.
    read: int | None = None
    of: int | None = None


NOTHING_HEARD = Heard()

#: Takes what is heard next; may block as `OnText`.
OnHeard = Callable[[Heard], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to one model."""

    model: str
    messages: Sequence[Message]
    #: Tokens the model can take and give together.
    window: int
    #: Tokens of the answer at most; None leaves it to the engine.
    max_tokens: int | None = None
    temperature: float | None = None
    #: What the answer must be, as a JSON schema, and how the server is told so.
    schema: Mapping[str, Any] | None = None
    dialect: SchemaDialect = "none"
    #: Whether the model thinks before it answers; None leaves it to the server.
    thinking: bool | None = None
    #: Further fields of the request's body, as the server of this model knows them.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the server is known to say how far it has read the prompt, when asked to.
    progress: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, as far as the provider said so."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    #: Seconds the server spent on generating.
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server tells of itself, as far as it does."""

    #: Names of the models it lists.
    models: frozenset[str] = frozenset()
    #: Tokens by model; under "" those of whatever model it has loaded.
    windows: Mapping[str, int] = field(default_factory=dict)
    #: Requests that it works on at once.
    slots: int | None = None
    #: It is llama.cpp's: it tells its slots, counts tokens, and says how far it has read a prompt.
    llama_cpp: bool = False

    def window_of(self, model: str) -> int | None:
        """The window of a model, if it is told."""
        return self.windows.get(model) or self.windows.get("")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `finish_reason` is the provider's word, `stop` if it only said that it ended."""

    text: str
    finish_reason: str
    usage: Usage = field(default_factory=Usage)
    #: What the model thought aloud beside its answer, where the server tells it apart.
    thoughts: str = ""


def valid_text(text: str) -> str:
    """The text, with a replacement character for each half of a broken surrogate pair.

    File names and the escapes of JSON can hold such halves; no UTF-8 can.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class RequestRefused(ModelFailed):
    """The model server refused the request."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail, status=status, **facts)
        self.status = status
        #: Seconds the server asked us to wait.
        self.retry_after = retry_after


class StreamBroken(ModelFailed):
    """The model server broke off before its answer was complete."""


class ModelStopped(StreamBroken):
    """The server broke an answer off and says why: it is there, and to wait for it would not help."""


class AnswerCut(StreamBroken):
    """The answer broke off after its first words; it has been waited until it can be asked again."""


class Engine(Protocol):
    """One protocol, spoken to one server."""

    #: Where the server is, without anything secret: it is shown to users.
    url: str

    async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
        """Ask, and hand over what is heard piece by piece.

        ModelUnreachable without a connection, RequestRefused for an error status, StreamBroken if
        the stream ends without the provider's end marker or is no protocol of ours. Cancelling
        closes the socket, so that the server stops generating.
        """
        ...

    async def probe(self, names: Sequence[str]) -> ServerFacts:
        """What the server tells of itself and of these models, with our key. Errors as in `chat`."""
        ...

    async def busy_slots(self) -> int | None:
        """How many requests the server works on now; None if it does not tell. Errors as in `chat`."""
        ...

    async def count_tokens(self, text: str) -> int | None:
        """How many tokens a text is to the model; None if the server does not count. Errors as in `chat`."""
        ...
