"""Every capacity, limit and deadline, each with its unit and its reason.

Precedence: flag > environment (`PENSTOCK_PORT`, nested by `__`) > config file > default. Only edges
read this; inner functions get plain values.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from penstock.words.errors import StartRefused

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
DAYS = 24 * 3600

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A frozen table of the config file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(Section):
    """One entry of `models.chain` that has its own provider, address or prices."""

    name: str
    provider: Literal["ollama", "openai"] | None = None
    url: str | None = None
    api_key_env: str | None = None
    #: Price per million tokens, in the user's currency.
    price_in: float | None = None
    price_out: float | None = None


class Budget(Section):
    """What may be spent on models; None: no limit."""

    #: Tokens, those of prompts and of answers together.
    tokens: Count | None = None
    #: Money, in the currency of the prices.
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    #: Seconds that requests to models took.
    seconds: Seconds | None = None
    #: Share of a limit at which a person is asked whether to go on.
    soft: Annotated[float, Field(gt=0, le=1)] = 0.8


class Models(Section):
    """How models are asked; unset means that kinds which need a model are refused at submit."""

    provider: Literal["ollama", "openai"] | None = None
    url: str | None = None
    #: Small to large; a request that fills more than 80 % of a window goes to the next.
    chain: tuple[str | Model, ...] = ()
    #: Tokens a model can take, by its name.
    windows: dict[str, Count] = {}
    api_key_env: str | None = None
    #: Seconds to wait for a connection before the server counts as absent.
    connect_timeout: Seconds = 5.0
    #: Seconds for one request, first byte to last.
    request_timeout: Seconds = 600.0
    #: Requests to one model at a time; small local servers answer one after the other anyway.
    concurrency: Count = 4
    #: Further tries of a request that was refused or broke off before its first word.
    retries: Annotated[int, Field(ge=0)] = 2
    #: Seconds a server may ask us to wait before the next try; beyond it the request fails.
    longest_pause: Seconds = 60.0
    #: Answers asked for until one has the form that was asked for.
    attempts: Count = 3
    #: Bytes of one answer: a model that repeats itself for ever must end.
    answer_bytes: Bytes = 4 * MIB
    #: What one run may spend, and what a run and all its children may spend together.
    run_budget: Budget = Budget()
    tree_budget: Budget = Budget()


class Hook(Section):
    """A command, or one POST, when one of these things happens."""

    on: tuple[Literal["completed", "failed", "cancelled", "ask", "backpressure"], ...]
    argv: tuple[str, ...] = ()
    url: str | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if bool(self.argv) == bool(self.url):
            raise ValueError("give a hook either `argv` or `url`")
        return self


class Group(Section):
    """Runs that share slots of their own."""

    slots: Count = 1


class Config(Section):
    """The whole configuration of a daemon."""

    # -- where
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9876
    #: Further names by which clients may address the daemon in `Host`.
    allowed_hosts: tuple[str, ...] = ()
    #: Web pages that may talk to the daemon; none by default.
    allowed_origins: tuple[str, ...] = ()
    #: False only on loopback: every local user could then submit commands.
    auth: bool = True
    state_dir: Path | None = None
    runtime_dir: Path | None = None

    # -- admission and slots
    #: Runs in the queue; submitters beyond it wait or are told to come again.
    queue_capacity: Count = 100
    #: Submits waiting for room, each with its inputs in memory.
    max_waiting_submits: Count = 1000
    #: Runs that execute at once.
    max_concurrent: Count = 5
    #: Runs in one tree of children, and its depth: a run that spawns itself must end.
    max_tree_runs: Count = 64
    max_tree_depth: Count = 8
    #: Executions a run may have before crashes count against it.
    max_attempts: Count = 3
    #: Runs that may wait for an answer without holding a slot.
    max_parked_asks: Count = 100
    #: Seconds waited per point of importance gained; None: no aging.
    aging_seconds: Seconds | None = None
    groups: dict[str, Group] = {}

    # -- recording and streams
    #: Ordinary writes in the recorder's channel, and in one commit; pipelines wait beyond it.
    recorder_capacity: Count = 1024
    #: Seconds a fact waits for an unavailable store before it is dropped or fails its run (D-16).
    store_patience: Seconds = 30.0
    #: The live ring of events; slower readers read the store.
    ring_events: Count = 4096
    ring_bytes: Bytes = 32 * MIB
    #: A frame of a stream: small enough for any client, large enough to batch.
    frame_events: Count = 50
    frame_bytes: Bytes = 512 * KIB
    #: A page of history.
    page_events: Count = 500
    page_bytes: Bytes = 8 * MIB
    #: Seconds between two pieces of one artifact or log on the way to the recorder.
    throttle_seconds: Seconds = 0.1
    #: Characters a throttle may hold; a full one makes its source wait.
    throttle_bytes: Bytes = 64 * KIB
    #: Seconds between two events of one gauge (backpressure, lag).
    note_seconds: Seconds = 1.0

    # -- runs and processes
    #: Seconds from a cancel to its proof; beyond it the receipt lists what is left.
    cancel_sla: Seconds = 5.0
    #: Seconds between TERM and KILL.
    kill_grace: Seconds = 2.0
    #: Processes and threads of one run at once, where each run has a cgroup of its own: one that
    #: forks without end meets its own limit before that of the daemon and of the user.
    run_tasks: Count = 4096
    #: Output kept per run: its beginning and its end.
    output_head_bytes: Bytes = 2 * MIB
    output_tail_bytes: Bytes = 6 * MIB
    #: Bytes of a line before it is broken.
    output_line_bytes: Bytes = 64 * KIB
    #: What one file of strangers may take to be read: seconds of CPU (the largest takes a tenth of
    #: one), seconds in all (a disk may be slow), and bytes of memory of the process that reads it.
    reader_cpu_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    reader_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 60.0
    reader_memory_bytes: Annotated[int, Field(ge=128 * MIB)] = 1 * GIB
    #: Bytes of `llms-full.txt`: beyond it files are named and not quoted.
    llms_full_bytes: Bytes = 4 * MIB

    # -- retention
    retention_seconds: Seconds = 30.0 * DAYS
    retention_runs: Count = 10_000
    #: Ended runs forgotten in one round, a minute; the rest waits for the next, so that a mistake of
    #: a limit or of a clock is noticed before it has cost everything.
    prune_runs: Count = 1000
    tombstone_seconds: Seconds = 1.0 * DAYS
    max_tombstones: Count = 10_000
    #: The log's size beyond which the oldest ended runs are forgotten.
    max_store_bytes: Bytes = 5 * GIB
    #: Free disk below which new runs are refused, so that running ones can still be recorded.
    min_free_bytes: Annotated[int, Field(ge=0)] = 500 * MIB

    # -- clients
    #: A request body: a prompt of any sane size, and no more.
    max_body_bytes: Bytes = 9 * MIB
    #: Values in the JSON of a body, empty lists counting twice: each takes 1 to 2 µs of the loop.
    #: An argument list of all names in a large folder has room.
    max_body_values: Count = 50_000
    #: Levels of brackets in a body: those of a payload (100) and of the messages around it.
    max_body_depth: Count = 128
    max_header_bytes: Bytes = 16 * KIB
    #: A frame from a WebSocket client.
    max_frame_bytes: Bytes = 64 * KIB
    #: Connections by TCP whose clients have shown the token, and again by the Unix socket.
    max_connections: Count = 512
    #: Connections by TCP without a token yet. One more pushes the oldest out, so strangers keep
    #: nobody out; enough for a burst of clients that connect before they say anything.
    max_strangers: Count = 256
    #: Seconds until a new connection has sent its whole request head.
    header_timeout: Seconds = 5.0
    #: Seconds a client may take no byte before its connection is broken.
    stall_timeout: Seconds = 30.0
    #: Seconds until the first frame of a WebSocket client without `Authorization`.
    open_timeout: Seconds = 5.0
    #: Seconds a kept-alive connection may ask nothing, a half-sent request head included.
    keep_alive_seconds: Seconds = 60.0
    #: Seconds between two signs of life on a quiet event stream over HTTP.
    heartbeat_seconds: Seconds = 15.0
    #: Seconds each part of the daemon has to show that it answers.
    health_timeout: Seconds = 2.0
    #: Seconds a WebSocket client has to answer a close frame.
    close_timeout: Seconds = 1.0

    # -- agents
    #: Sessions of the older protocol; an idle one costs 50 KiB.
    max_mcp_sessions: Count = 500
    #: Seconds after which a session that asks nothing is forgotten: few clients say goodbye.
    mcp_idle_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1800.0
    #: Subscriptions to resources, all clients together; each is a task.
    max_mcp_subscriptions: Count = 1000
    #: Seconds the first request may wait for the MCP server to be imported.
    mcp_start_seconds: Seconds = 30.0

    # -- shutdown
    #: Seconds for runs to unwind at a stop; above the cancel SLA.
    shutdown_runs: Seconds = 6.0
    #: Seconds for servers to close after that.
    shutdown_servers: Seconds = 1.0
    #: Seconds for the recorder to commit what is pending.
    shutdown_recorder: Seconds = 2.0

    #: Seconds after which the kernel ends a daemon whose stop hangs.
    shutdown_last_resort: Seconds = 9.5

    #: Seconds one call of a hook may take.
    hook_seconds: Seconds = 10.0
    #: Calls of a hook for one event; after the last failure it is only told in the log.
    hook_tries: Count = 2
    #: Calls of hooks that wait; more are left out, since no run waits for a hook.
    hook_queue: Count = 256
    #: Hooks at work at once.
    hook_workers: Count = 4

    #: Seconds the loop may be blocked before stacks are dumped.
    stall_seconds: Annotated[float, Field(ge=0.1, allow_inf_nan=False)] = 5.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = False
    #: Lines of the log that wait while nobody reads them; more are lost, counted and told.
    log_lines: Count = 4096
    #: Patterns of text that is never recorded, artifacts apart; regular expressions.
    redact: tuple[str, ...] = ()

    models: Models = Models()
    hooks: tuple[Hook, ...] = ()


#: Environment names that are not keys of Config.
_NOT_KEYS = frozenset({
    "CONFIG", "URL", "TOKEN", "RUN_ID", "EPOCH", "SOCKET", "ADDRESS", "CONTAINMENT", "DELEGATED",
})  # fmt: skip


def load_config(
    environ: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    path: Path | None = None,
) -> tuple[Config, dict[str, str]]:
    """The configuration and, by key, where each value that is not a default came from.

    StartRefused says in one sentence which file or key is wrong, and names the nearest key.
    """
    path = path or config_path(environ)
    sources: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for source, values in (
        (str(path), _read_file(path, required="PENSTOCK_CONFIG" in environ)),
        ("environment", _read_environment(environ)),
        ("flag", {k: v for k, v in (flags or {}).items() if v is not None}),
    ):
        _merge(merged, values)
        sources.update(dict.fromkeys(_keys(values), source))
    try:
        return Config.model_validate(merged), sources
    except ValidationError as error:
        raise StartRefused(_explain(error, sources)) from None


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the config file is looked for."""
    if named := environ.get("PENSTOCK_CONFIG"):
        return Path(named).expanduser()
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(
        environ.get("HOME", "/"), ".config"
    )
    return Path(home) / "penstock" / "config.toml"


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise StartRefused(f"the config file {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartRefused(f"the config file {path} cannot be read: {error}") from None


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    # Sorted, so that a whole table comes before the keys that change it.
    for name, text in sorted(environ.items()):
        if (
            not name.startswith("PENSTOCK_")
            or name.removeprefix("PENSTOCK_") in _NOT_KEYS
        ):
            continue
        keys = name.removeprefix("PENSTOCK_").lower().split("__")
        if keys[0] not in Config.model_fields:
            # An unknown name may belong to another program; a mistyped one is told by `doctor`.
            continue
        table = values
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise StartRefused(f"environment: {name}: {key!r} has a value already")
        table[keys[-1]] = _value(text)
    return values


def mistyped(environ: Mapping[str, str]) -> dict[str, str]:
    """Names that look like ours and mean nothing, each with the nearest that does ("" for none)."""
    known = [f"PENSTOCK_{x.upper()}" for x in (*Config.model_fields, *_NOT_KEYS)]
    found = {}
    for name in sorted(environ):
        head = name.split("__")[0]
        if name.startswith("PENSTOCK_") and head not in known:
            near = difflib.get_close_matches(head, known, n=1)
            found[name] = near[0] if near else ""
    return found


def _value(text: str) -> Any:
    """Lists, tables and numbers are written as JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        keys += (
            _keys(value, f"{name}.") if isinstance(value, Mapping) and value else [name]
        )
    return keys


def _explain(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    where = sources.get(key) or next(
        (s for k, s in sources.items() if k.startswith(key)), "flag"
    )
    if first["type"] == "extra_forbidden":
        known = list(Config.model_fields) + [
            f"models.{name}" for name in Models.model_fields
        ]
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{where}: unknown key {key!r}{hint}"
    if first["type"] in ("model_type", "dict_type"):
        # Pydantic's own words are those of Python, not of the file.
        return f"{where}: {key}: must be a table, as [{key}] begins one"
    return f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}"
