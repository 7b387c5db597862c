"""The models of a daemon: built once from the config, checked at start, probed for health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from penstock.http_clients import world_client
from penstock.llm.chain import Chain
from penstock.llm.chat import Engine, SchemaDialect
from penstock.llm.durable import DurableModels
from penstock.llm.http import Api
from penstock.llm.model_client import ASSUMED_SLOTS, ModelClient
from penstock.llm.ollama import OllamaEngine
from penstock.llm.openai import OpenAIEngine
from penstock.llm.probing import ModelHealth, look_at, probe_servers
from penstock.llm.run_models import RunModels, read_program
from penstock.runs.run import Run
from penstock.words.config import Model, Models
from penstock.words.errors import StartRefused

#: Where Ollama listens unless told otherwise.
OLLAMA_URL = "http://127.0.0.1:11434"

#: Tokens of models we name in our own examples; others are told by `models.windows`.
KNOWN_WINDOWS: Mapping[str, int] = {"mistral:7b": 8192, "qwen3:8b": 32_768}

#: Tokens of a model nobody told us about: nearly every model in use has more.
ASSUMED_WINDOW = 8192

#: Connections beside those of requests: probes must find room while all requests are under way.
_SPARE_CONNECTIONS = 4

#: Connections for the requests to one model whose number its server tells.
_MOST_AT_ONCE = 256


def list_models(chain: Chain, problems: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per model, small to large; `problems` is what `models.probe` found.

    Speed and accuracy are measured by use, so they are unknown before the first answer.
    """
    return [
        {
            "model": model_client.model,
            "url": model_client.url,
            "window": model_client.window,
            "window_assumed": model_client.window_assumed,
            "problem": problems.get(model_client.url, ""),
            "requests": model_client.requests,
            "failures": model_client.failures,
            "active": model_client.active,
            "waiting": model_client.waiting,
            "slots": model_client.slots,
            "tokens_per_second": model_client.tokens_per_second,
            "reported_per_estimated": model_client.reported_per_estimated,
        }
        for model_client in chain.statistics()
    ]


@asynccontextmanager
async def open_models(
    config: Models, environ: Mapping[str, str]
) -> AsyncIterator[Chain | None]:
    """The configured chain with one HTTP client below it; None if no model is configured.

    StartRefused says in one sentence what is wrong with the configuration. Connects to nothing.
    """
    entries = _entries(config)
    if not entries:
        yield None
        return
    # Loading a model may take minutes before the first byte: deadlines are our caller's scopes.
    patience = httpx.Timeout(None, connect=config.connect_timeout)
    room = len(entries) * (config.concurrency or _MOST_AT_ONCE) + _SPARE_CONNECTIONS
    async with world_client(environ, patience, room) as client:
        yield Chain(
            [_model_client(entry, config, client, environ) for entry in entries], config
        )


async def check(chain: Chain) -> list[str]:
    """Refuse to start with a model that is configured and not there; what is expected to pass by itself.

    StartRefused names the address and what is missing. A server that loads its model is no reason:
    runs wait for it.
    """
    model_clients = chain.model_clients.values()
    looks = await look_at(model_clients, chain.config.connect_timeout)
    for look in looks.values():
        if look.problem and not look.passes:
            raise StartRefused(look.problem)
    return [look.problem for look in looks.values() if look.problem]


async def probe(chain: Chain) -> dict[str, str]:
    """What is wrong with each server of the chain, by its address; "" if it answers.

    Takes at most the connect timeout, and asks all servers at once.
    """
    model_clients = chain.model_clients.values()
    return await probe_servers(model_clients, chain.config.connect_timeout)


def _entries(config: Models) -> list[Model]:
    """The chain, each entry with what it leaves out taken from the table around it."""
    if not config.chain:
        if config.provider or config.url:
            raise StartRefused("models.chain: name the models to use, small to large")
        return []
    entries = [_entry(item, config) for item in config.chain]
    names = {entry.name for entry in entries}
    if len(names) < len(entries):
        raise StartRefused("models.chain: a model stands in it twice")
    for role, settings in config.roles.items():
        if unknown := sorted(set(settings.chain) - names):
            where = f"models.roles.{role}.chain"
            raise StartRefused(f"{where}: {unknown[0]!r} is not in models.chain")
    return entries


def _entry(item: str | Model, config: Models) -> Model:
    entry = Model(name=item) if isinstance(item, str) else item
    provider = entry.provider or config.provider
    if provider is None:
        raise StartRefused("models.provider: set it to `ollama` or `openai`")
    url = entry.url or (
        config.url if provider == (config.provider or provider) else None
    )
    url = url or (OLLAMA_URL if provider == "ollama" else None)
    if url is None:
        raise StartRefused(
            f"models.url: the address of the server of {entry.name} is not set"
        )
    if problem := _problem_of_address(url):
        raise StartRefused(
            f"models.url: the address of the server of {entry.name} {problem}"
        )
    key = entry.api_key_env
    # A key goes to the server it was given for, and to no other.
    if key is None and url == config.url:
        key = config.api_key_env
    return entry.model_copy(
        update={"provider": provider, "url": url, "api_key_env": key}
    )


def _problem_of_address(url: str) -> str:
    """What is wrong with an address; "" if nothing is. It is shown, so it must hold no secret."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        return f"cannot be read: {error}"
    if parsed.userinfo:
        return "has a password in it; name an environment variable in `api_key_env` instead"
    if parsed.scheme not in ("http", "https") or not parsed.host:
        return f"is not an http or https address: {url}"
    return ""


def _model_client(
    entry: Model, config: Models, client: httpx.AsyncClient, environ: Mapping[str, str]
) -> ModelClient:
    window = config.windows.get(entry.name) or KNOWN_WINDOWS.get(entry.name)
    return ModelClient(
        name=entry.name,
        engine=_engine(entry, client, environ),
        window=window or ASSUMED_WINDOW,
        limiter=trio.CapacityLimiter(config.concurrency or ASSUMED_SLOTS),
        window_assumed=window is None,
        configured_window=config.windows.get(entry.name),
        concurrency=config.concurrency,
        dialects=_dialects(entry, config),
        price_in=entry.price_in,
        price_out=entry.price_out,
    )


def _dialects(entry: Model, config: Models) -> tuple[SchemaDialect, ...]:
    """How the server of a model may be told of a schema, in the order in which it is tried."""
    if config.structured == "off":
        return ("none",)
    known: tuple[SchemaDialect, ...] = ("response_format", "structured_outputs")
    if entry.provider == "ollama":
        known = ("format",)
    return known if config.structured == "on" else (*known, "none")


def _engine(
    entry: Model, client: httpx.AsyncClient, environ: Mapping[str, str]
) -> Engine:
    key = _key(entry.api_key_env, environ)
    make = OllamaEngine if entry.provider == "ollama" else OpenAIEngine
    return make(Api(client, entry.url or "", key))


def _key(name: str | None, environ: Mapping[str, str]) -> str | None:
    """The key in an environment variable. StartRefused names the variable, never its value."""
    if name is None:
        return None
    key = environ.get(name, "").strip()
    if not key:
        raise StartRefused(f"the environment variable {name} is not set")
    if not (key.isascii() and key.isprintable()):
        raise StartRefused(
            f"the environment variable {name} holds what no key can contain"
        )
    return key


@dataclass(frozen=True, slots=True)
class DaemonModels:
    """What every run of a daemon shares of its models."""

    chain: Chain
    runs: DurableModels
    health: ModelHealth

    def for_run(self, run: Run) -> RunModels:
        """How one run asks models."""
        return self.runs.for_run(run)

    async def describe(self) -> list[dict[str, Any]]:
        """The models as surfaces list them, small to large."""
        return list_models(self.chain, await self.health.problems())

    async def probe(self) -> tuple[str | None, Mapping[str, str]]:
        """What is wrong with the models, if anything is, and how each one stands."""
        problems = await self.health.problems()
        stand = {
            name: "does not answer"
            if problems.get(model_client.engine.url)
            else "answers"
            for name, model_client in self.chain.model_clients.items()
        }
        return "; ".join(filter(None, problems.values())) or None, stand


def make_daemon_models(
    chain: Chain, programs: Mapping[str, Path] | None = None
) -> DaemonModels:
    """The chain with what is kept beside it; `programs` are files of compiled predictors.

    Refused if one of them is none.
    """
    for name, file in (programs or {}).items():
        read_program(name, file)
    health = ModelHealth(chain.model_clients.values(), chain.config.connect_timeout)
    return DaemonModels(chain, DurableModels(chain, programs or {}), health)
