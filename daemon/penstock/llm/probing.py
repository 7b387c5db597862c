"""Asking model servers how they are: with our key, within a moment, and once for all who want to know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import trio

from penstock.llm.away import AWAY
from penstock.llm.chat import RequestRefused
from penstock.llm.model_client import ModelClient
from penstock.llm.ollama import OllamaEngine
from penstock.llm.openai import NO_ENTRY
from penstock.words.errors import ModelFailed

#: Seconds a probe's result is told to further askers: a flood of them must not reach the server.
PROBE_LASTS = 2.0


@dataclass(frozen=True, slots=True)
class ServerLook:
    """What a look at a server found: what is wrong, "" for nothing, and whether it may come right by itself."""

    problem: str = ""
    passes: bool = False
    #: Nobody answers there at all.
    absent: bool = False


async def look_at(
    model_clients: Collection[ModelClient], seconds: float
) -> dict[str, ServerLook]:
    """How each server is, by its address. What they tell of themselves is taken.

    Takes at most so many seconds, and asks all servers at once.
    """
    found: dict[str, ServerLook] = {}
    async with trio.open_nursery() as nursery:
        for url in {model_client.engine.url for model_client in model_clients}:
            there = [m for m in model_clients if m.engine.url == url]
            nursery.start_soon(_probe_server, there, seconds, found)
    return dict(sorted(found.items()))


async def probe_servers(
    model_clients: Collection[ModelClient], seconds: float
) -> dict[str, str]:
    """What is wrong with each server, by its address; "" if it answers and takes our key."""
    looks = await look_at(model_clients, seconds)
    return {url: look.problem for url, look in looks.items()}


async def _probe_server(
    model_clients: Sequence[ModelClient], seconds: float, found: dict[str, ServerLook]
) -> None:
    engine = model_clients[0].engine
    late = f"the model server at {engine.url} does not answer within {seconds:g} s"
    found[engine.url] = ServerLook(late, passes=True)
    with trio.move_on_after(seconds):
        try:
            facts = await engine.probe([m.name for m in model_clients])
        except RequestRefused as error:
            found[engine.url] = ServerLook(_with_remedy(error), error.status in AWAY)
        except ModelFailed as error:
            found[engine.url] = ServerLook(
                str(error), absent=not isinstance(error, RequestRefused)
            )
        else:
            for model_client in model_clients:
                model_client.learn(facts)
            found[engine.url] = ServerLook(_missing(model_clients, facts.models))


def _with_remedy(error: RequestRefused) -> str:
    if error.status not in NO_ENTRY:
        return str(error)
    return f"{error}; `models.api_key_env` names the variable that holds the key"


def _missing(model_clients: Sequence[ModelClient], present: frozenset[str]) -> str:
    """What to do about models that the server does not have.

    Only Ollama's names are compared: other servers answer to more names than they list.
    """
    for model_client in model_clients:
        if (
            isinstance(model_client.engine, OllamaEngine)
            and model_client.name not in present
        ):
            where = f"the model server at {model_client.engine.url}"
            return f"{where} does not have {model_client.name}; run `ollama pull {model_client.name}`"
    return ""


class ModelHealth:
    """What the last probe found. Whoever asks meanwhile shares it: asking for health needs no token."""

    def __init__(self, model_clients: Collection[ModelClient], seconds: float) -> None:
        self._model_clients = model_clients
        self._seconds = seconds
        self._probing = trio.Lock()
        self._found: dict[str, str] = {}
        self._until = -1.0

    async def problems(self) -> dict[str, str]:
        """As `probe_servers`, at most `PROBE_LASTS` seconds old."""
        async with self._probing:
            if trio.current_time() >= self._until:
                self._found = await probe_servers(self._model_clients, self._seconds)
                self._until = trio.current_time() + PROBE_LASTS
            return dict(self._found)
