"""Every capacity, limit and deadline, each with its unit and its reason.

What is said of a setting is said here, in its field, and nowhere else: `penstock config` and
docs/configuration.md are made from it. Only edges read this; inner functions get plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from penstock.words.detach_keys import keys_of
from penstock.words.placement import BOX_LABEL

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
DAYS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Unit:
    """What the number of a setting counts."""

    name: str


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("seconds")]
Count = Annotated[int, Field(ge=1), Unit("count")]
Bytes = Annotated[int, Field(ge=1), Unit("bytes")]
Tokens = Annotated[int, Field(ge=1), Unit("tokens")]
Characters = Annotated[int, Field(ge=1), Unit("characters")]
Price = Annotated[float, Unit("per million tokens")]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("currency of the prices")]  # fmt: skip


def _keys(text: str) -> str:
    keys_of(text)
    return text


Keys = Annotated[str, AfterValidator(_keys)]


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in ("http", "https") or not parts.hostname or extra:
        raise ValueError("must be https://host or https://host/path")
    return text.rstrip("/")


def _store_url(text: str) -> str:
    parts = urlsplit(text)
    asked = parse_qs(parts.query)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("must be postgresql://USER@HOST/DATABASE")
    if parts.password is not None or asked.keys() & {"password", "sslpassword"}:
        # Whoever may read a file of settings, or what is told of them, would have it.
        raise ValueError(
            "must have no password: put it into ~/.pgpass, or into a service file"
        )
    if not (parts.path.strip("/") or asked.keys() & {"dbname", "service"}):
        raise ValueError("must name a database: postgresql://USER@HOST/DATABASE")
    return text


def _network(text: str) -> str:
    ip_network(text)
    return text


def _box_labels(labels: dict[str, str]) -> dict[str, str]:
    if BOX_LABEL in labels:
        raise ValueError(f"{BOX_LABEL!r} is the label of its name, which each box has")
    if any(not name.strip() for name in labels):
        raise ValueError("a label has a name")
    return labels


PublicUrl = Annotated[str, AfterValidator(_public_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
BoxName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
SchemaName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Network = Annotated[str, AfterValidator(_network)]


def setting(default: Any, reason: str) -> Any:
    """The field of a setting: its default, and in a sentence what it bounds and why."""
    return Field(default, description=reason)


class Section(BaseModel):
    """A frozen table of the config file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: What the tables are whose names are the user's own; None: there are none of these.
    of_each: ClassVar[type[Section] | None] = None


class Model(Section):
    """One entry of `models.chain` that has its own provider, address or prices."""

    name: str = Field(description="As the server calls it.")
    provider: Literal["ollama", "openai"] | None = setting(
        None, "Instead of `models.provider`."
    )
    url: str | None = setting(None, "Instead of `models.url`.")
    api_key_env: str | None = setting(None, "Instead of `models.api_key_env`.")
    price_in: Price | None = setting(
        None, "Of the tokens that it is given, in your currency."
    )
    price_out: Price | None = setting(
        None, "Of the tokens that it gives, in your currency."
    )


#: What models are asked for: to plan, to write code, to judge and choose, to describe.
ModelRole = Literal["plan", "write", "judge", "describe"]


class Role(Section):
    """How models are asked in one role; what is unset is as for all."""

    chain: tuple[str, ...] = setting(
        (), "Names of `models.chain` that are asked in this role; none: all of them."
    )
    temperature: Annotated[float, Field(ge=0, le=2), Unit("share")] | None = setting(
        None,
        "How freely it answers at first; none: 0 to judge, else 0.2. A second answer is freer.",
    )
    thinking: bool | None = setting(
        None, "Whether it thinks before it answers; none: as the server has it."
    )
    extra: dict[str, Any] = setting(
        {}, "Further fields of each request, as the server knows them."
    )


class Budget(Section):
    """What may be spent on models; None: no limit."""

    tokens: Tokens | None = setting(
        None, "Those of prompts and of answers together; none: no limit."
    )
    cost: Money | None = setting(None, "What requests may cost; none: no limit.")
    seconds: Seconds | None = setting(
        None, "How long requests to models may take; none: no limit."
    )
    soft: Annotated[float, Field(gt=0, le=1), Unit("share")] = setting(
        0.8, "Part of a limit at which a person is asked whether to go on."
    )


class Models(Section):
    """How models are asked; unset means that kinds which need a model are refused at submit."""

    provider: Literal["ollama", "openai"] | None = setting(
        None, "How servers are spoken to; none: kinds that need a model are refused."
    )
    url: str | None = setting(None, "Where the server is; none: the provider's own.")
    chain: tuple[str | Model, ...] = setting(
        (),
        "Small to large; a request that fills more than 80 % of a window goes to the next.",
    )
    windows: dict[str, Tokens] = setting({}, "What a model can take, by its name.")
    api_key_env: str | None = setting(
        None, "The variable of the daemon's environment that holds the key."
    )
    connect_timeout: Seconds = setting(
        5.0, "How long a connection may take before the server counts as absent."
    )
    first_word_timeout: Seconds = setting(
        3600.0,
        "How long a server may take until the first word of an answer: other requests may be before it"
        " there, and a long prompt takes minutes to read.",
    )
    request_timeout: Seconds = setting(
        600.0, "How long one answer may take, from its first word to its last."
    )
    patience: Seconds = setting(
        600.0,
        "How long a run waits, without a slot, for a model server that is absent, loads its model or"
        " broke off; then it fails.",
    )
    concurrency: Count | None = setting(
        None,
        "Requests to one model at a time; none: as many as its server says it has slots, or 4.",
    )
    retries: Annotated[int, Field(ge=0), Unit("count")] = setting(
        2,
        "Further tries, within seconds, of a request that was refused or broke off before its first"
        " word; after them the run waits for the server.",
    )
    longest_pause: Seconds = setting(
        60.0,
        "How long a server may ask us to wait before the next try; beyond it the request fails.",
    )
    attempts: Count = setting(
        3, "Answers asked for until one has the form that was asked for."
    )
    answer_bytes: Bytes = setting(
        4 * MIB, "Size of one answer: a model that repeats itself for ever must end."
    )
    answer_tokens: Tokens = setting(
        4096,
        "Tokens of one answer, unless the kind asks for another number: a model that repeats itself"
        " would go on until its window is full.",
    )
    structured: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether servers are given the JSON schema of an answer, where it has one: `auto` asks"
        " without it once a server has refused it, `on` fails then, `off` never sends it.",
    )
    roles: dict[ModelRole, Role] = setting(
        {}, "How models are asked to `plan`, `write`, `judge` or `describe`."
    )
    run_budget: Budget = setting(Budget(), "What one run may spend.")
    tree_budget: Budget = setting(
        Budget(), "What a run and all its children may spend together."
    )


class Hook(Section):
    """A command, or one POST, when one of these things happens."""

    on: tuple[
        Literal["completed", "failed", "cancelled", "ask", "backpressure", "box"], ...
    ] = Field(description="What it is called for.")
    argv: tuple[str, ...] = setting((), "The program and its arguments; or else a url.")
    url: str | None = setting(None, "Where to POST; or else a program.")

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if bool(self.argv) == bool(self.url):
            raise ValueError("give a hook either `argv` or `url`")
        return self


class Group(Section):
    """Runs that share slots of their own."""

    slots: Count = setting(1, "Runs of the group that execute at once.")


class AgentProgram(Section):
    """A coding agent: one of the known ones told otherwise, or one more."""

    command: tuple[str, ...] = setting(
        (),
        "Its program and arguments, which speak the Agent Client Protocol; none: as it is known.",
    )
    env: dict[str, str] = setting({}, "Further variables of its environment.")
    pass_env: tuple[str, ...] = setting(
        (), "Variables of the daemon's own environment that it is given, such as a key."
    )
    slots: Count | None = setting(None, "Its runs that are alive at once; none: no limit.")  # fmt: skip
    quota: str | None = setting(
        None,
        "What it uses up: agents of one quota wait together; none: its own, named as it is.",
    )


class Agents(Section):
    """Coding agents: `max_alive`, and each other key is a table of the agent that has its name."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, AgentProgram] = Field(init=False)
    of_each: ClassVar[type[Section] | None] = AgentProgram

    max_alive: Count = setting(
        8,
        "Agents that are alive at once; each takes 220 to 470 MiB, while it waits for an answer too.",
    )

    @property
    def named(self) -> dict[str, AgentProgram]:
        """What is said of each agent, by its name."""
        return dict(self.__pydantic_extra__ or {})


class Config(Section):
    """The whole configuration of a daemon."""

    # -- where
    host: str = setting(
        "127.0.0.1", "The address to listen on; another than loopback needs the token."
    )
    port: Annotated[int, Field(ge=0, le=65535), Unit("port")] = setting(
        9876, "The port to listen on; 0: any that is free."
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "Further names by which clients may address the daemon in `Host`."
    )
    allowed_origins: tuple[str, ...] = setting(
        (),
        "Origins of web pages that may talk to the daemon, as `https://board.example`; they get CORS"
        " headers.",
    )
    public_url: PublicUrl | None = setting(
        None,
        "Where clients find the daemon, if a proxy stands before it: addresses in answers begin with"
        " it, a sub-path included, and its host is allowed.",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        (),
        "Addresses or networks of proxies whose `Forwarded` and `X-Forwarded-*` headers say how"
        " clients address the daemon; where one `public_url` will not do.",
    )
    auth: bool = setting(
        True,
        "Whether clients over TCP show the token; false only on loopback, and then every local"
        " user can submit commands.",
    )
    state_dir: Path | None = setting(
        None, "Where the log and the token are kept; none: as XDG_STATE_HOME says."
    )
    store: StoreUrl | None = setting(
        None,
        "The PostgreSQL that keeps the log, as `postgresql://USER@HOST/DATABASE`, with what libpq takes"
        " beside it (`?sslmode=verify-full`) but no password; none: a file in the state folder.",
    )
    store_schema: SchemaName = setting(
        "penstock",
        "The schema of that database that holds the log: one log, whose daemons share it.",
    )
    box: BoxName = setting(
        "",
        "What this machine is called, among those that share a log too; empty: its node name.",
    )
    lease_seconds: Annotated[
        float, Field(ge=6, allow_inf_nan=False), Unit("seconds")
    ] = setting(
        120.0,
        "How long a daemon that shares a log is taken to be there without a word; then others speak for"
        " its runs, and its programs have ended. Less than a failover of the database ends all work.",
    )
    labels: Annotated[dict[str, str], AfterValidator(_box_labels)] = setting(
        {},
        'What this box has, as `gpu = "1"`: runs that ask for it (`--on gpu=1`) execute where it is.',
    )
    accept: Literal["self", "team"] = setting(
        "self",
        "Whose runs this box executes, of a log that several boxes share: `self`, those that were"
        " submitted at it; `team`, those of every box.",
    )
    runtime_dir: Path | None = setting(
        None, "Where the Unix socket is; none: as XDG_RUNTIME_DIR says."
    )

    # -- admission and slots
    queue_capacity: Count = setting(
        100, "Runs in the queue; submitters beyond it wait or are told to come again."
    )
    max_waiting_submits: Count = setting(
        1000, "Submits waiting for room, each with its inputs in memory."
    )
    max_concurrent: Count = setting(5, "Runs that execute at once.")
    max_tree_runs: Count = setting(
        64, "Runs in one tree of children: a run that spawns itself must end."
    )
    max_tree_depth: Count = setting(
        8, "Levels of such a tree: a run that spawns itself must end."
    )
    max_attempts: Count = setting(
        3, "Executions of a run that crashes may cut off: the last of them fails it."
    )
    max_parked_asks: Count = setting(
        100, "Runs that may wait for an answer without holding a slot."
    )
    aging_seconds: Seconds | None = setting(
        None,
        "How long a run waits per point of importance that it gains; none: no aging.",
    )
    groups: dict[str, Group] = setting(
        {}, "Runs that share slots of their own, by name."
    )
    agents: Agents = setting(
        Agents(), "Coding agents, by name, and how many may be alive."
    )

    # -- recording and streams
    recorder_capacity: Count = setting(
        1024,
        "Ordinary writes in the recorder's channel, and in one commit; pipelines wait beyond it.",
    )
    store_patience: Seconds = setting(
        30.0,
        "How long a fact waits for an unavailable store before it is dropped or fails its run.",
    )
    ring_events: Count = setting(
        4096, "Events in the live ring; slower readers read the store."
    )
    ring_bytes: Bytes = setting(
        32 * MIB, "Size of the live ring, whichever is reached first."
    )
    frame_events: Count = setting(
        50,
        "Events in a frame of a stream: small enough for any client, large enough to batch.",
    )
    frame_bytes: Bytes = setting(
        512 * KIB, "Size of a frame of a stream, whichever is reached first."
    )
    page_events: Count = setting(500, "Events in a page of history.")
    page_bytes: Bytes = setting(
        8 * MIB, "Size of a page of history, whichever is reached first."
    )
    throttle_seconds: Seconds = setting(
        0.1,
        "Time between two pieces of one artifact or log on the way to the recorder; a run that"
        " prints without end has them further apart.",
    )
    throttle_bytes: Characters = setting(
        64 * KIB, "Text that a throttle may hold; a full one sends it at once."
    )
    note_seconds: Seconds = setting(
        1.0, "Time between two events of one gauge (backpressure, lag)."
    )

    # -- runs and processes
    env: Literal["all", "listed"] = setting(
        "all",
        "What a run's programs get of the environment that the command line, the dashboard or"
        " `penstock mcp` was started in: all of it, or a few names (PATH, HOME, LANG …) and what"
        " `--env` names.",
    )
    max_environment_bytes: Bytes = setting(
        1 * MIB,
        "Size of such an environment; the kernel takes 2 MiB of arguments and variables together.",
    )
    cancel_sla: Seconds = setting(
        5.0,
        "Time from a cancel to its proof; beyond it the receipt lists what is left.",
    )
    kill_grace: Seconds = setting(2.0, "Time between TERM and KILL.")
    run_tasks: Count = setting(
        4096,
        "Processes and threads of one run at once, where each run has a cgroup of its own: one"
        " that forks without end meets its own limit before that of the daemon and of the user.",
    )
    watch_bytes: Bytes = setting(
        1 * MIB,
        "What a terminal showed that may wait for one who watches it; beyond it that is dropped,"
        " counted and told, and the program is not held up.",
    )
    live_bytes: Bytes = setting(
        512 * KIB,
        "What a program printed that may wait for the `penstock run` that started it; beyond it the"
        " program waits, as for a pipe that nobody reads.",
    )
    detach_keys: Keys = setting(
        "C-\\ C-\\",
        "Keys that leave an attached terminal, with a space between: `C-x` or a letter. Its program"
        " gets the first of them a second late.",
    )
    output_head_bytes: Bytes = setting(2 * MIB, "Output kept of a run, from its beginning.")  # fmt: skip
    output_tail_bytes: Bytes = setting(
        6 * MIB,
        "Output kept of a run after its beginning: the newest, while it runs too; of what is older"
        " only the size is.",
    )
    reader_cpu_seconds: Annotated[
        float, Field(ge=1, allow_inf_nan=False), Unit("seconds")
    ] = setting(
        3.0,
        "Time of a CPU that one file of strangers may take to be read; the largest takes a tenth of one second.",
    )
    reader_seconds: Annotated[
        float, Field(ge=1, allow_inf_nan=False), Unit("seconds")
    ] = setting(
        60.0,
        "Time that one file of strangers may take to be read in all: a disk may be slow.",
    )
    reader_memory_bytes: Annotated[int, Field(ge=128 * MIB), Unit("bytes")] = setting(
        1 * GIB, "Memory of the process that reads a file of strangers."
    )
    llms_full_bytes: Bytes = setting(
        4 * MIB, "Size of `llms-full.txt`: beyond it files are named and not quoted."
    )

    # -- retention
    retention_seconds: Seconds = setting(
        30.0 * DAYS, "Age at which an ended run is forgotten."
    )
    retention_runs: Count = setting(
        10_000, "Ended runs that are kept; the oldest go first."
    )
    prune_runs: Count = setting(
        1000,
        "Ended runs forgotten in one round, a minute; the rest waits for the next, so that a"
        " mistake of a limit or of a clock is noticed before it has cost everything.",
    )
    tombstone_seconds: Seconds = setting(
        1.0 * DAYS,
        "How long the cancel of an unknown run is remembered: until then it will not start.",
    )
    max_tombstones: Count = setting(
        10_000, "Cancels of unknown runs that are remembered; the oldest go first."
    )
    max_store_bytes: Bytes = setting(
        5 * GIB, "Size of the log beyond which the oldest ended runs are forgotten."
    )
    migration_copy: bool = setting(
        True,
        "Whether a log of an older version is copied, beside it, before it is migrated: without the"
        " copy there is no way back to the older Penstock.",
    )
    min_free_bytes: Annotated[int, Field(ge=0), Unit("bytes")] = setting(
        500 * MIB,
        "Free disk below which new runs are refused, so that running ones can still be"
        " recorded.",
    )

    # -- clients
    max_body_bytes: Bytes = setting(
        9 * MIB, "Size of a request's body: a prompt of any sane size, and no more."
    )
    max_body_values: Count = setting(
        50_000,
        "Values in the JSON of a body, empty lists counting twice: each takes 1 to 2 µs of the"
        " loop. An argument list of all names in a large folder has room.",
    )
    max_body_depth: Count = setting(
        128,
        "Levels of brackets in a body: those of a payload (100) and of the messages around it.",
    )
    max_header_bytes: Bytes = setting(
        16 * KIB, "Size of a request's head: a token and a proxy's headers have room."
    )
    max_frame_bytes: Bytes = setting(
        64 * KIB, "Size of a frame from a WebSocket client."
    )
    max_connections: Count = setting(
        512,
        "Connections by TCP whose clients have shown the token, and again by the Unix socket.",
    )
    max_strangers: Count = setting(
        256,
        "Connections by TCP without a token yet. One more pushes the oldest out, so strangers"
        " keep nobody out; enough for a burst of clients that connect before they say anything.",
    )
    header_timeout: Seconds = setting(
        5.0, "Time until a new connection has sent its whole request head."
    )
    stall_timeout: Seconds = setting(
        30.0, "How long a client may take no byte before its connection is broken."
    )
    open_timeout: Seconds = setting(
        5.0, "Time until the first frame of a WebSocket client without `Authorization`."
    )
    keep_alive_seconds: Seconds = setting(
        60.0,
        "How long a kept-alive connection may ask nothing, a half-sent request head included.",
    )
    heartbeat_seconds: Seconds = setting(
        15.0, "Time between two signs of life on a quiet event stream over HTTP."
    )
    health_timeout: Seconds = setting(
        2.0, "Time that each part of the daemon has to show that it answers."
    )
    close_timeout: Seconds = setting(
        1.0, "Time that a WebSocket client has to answer a close frame."
    )

    # -- the page
    web: bool = setting(
        True,
        "Whether the daemon has a page of its own for browsers: `penstock open` lets one in.",
    )
    web_code_seconds: Seconds = setting(
        60.0, "How long the address that `penstock open` makes is good, once."
    )
    max_web_codes: Count = setting(
        16, "Such addresses that nobody has used yet; the oldest go first."
    )
    web_key_seconds: Seconds = setting(
        12 * 3600.0,
        "How long a browser that was let in may look, answer and cancel: a working day.",
    )

    # -- agents
    max_mcp_sessions: Count = setting(
        500, "Sessions of the older protocol; an idle one costs 50 KiB."
    )
    mcp_idle_seconds: Annotated[
        float, Field(gt=0, allow_inf_nan=False), Unit("seconds")
    ] = setting(
        1800.0,
        "Time after which a session that asks nothing is forgotten: few clients say goodbye.",
    )
    max_mcp_subscriptions: Count = setting(
        1000, "Subscriptions to resources, all clients together; each is a task."
    )
    mcp_start_seconds: Seconds = setting(
        30.0, "How long the first request may wait for the MCP server to be imported."
    )

    # -- shutdown
    shutdown_runs: Seconds = setting(
        6.0, "Time for runs to unwind at a stop; above the cancel SLA."
    )
    shutdown_servers: Seconds = setting(1.0, "Time for servers to close after that.")
    shutdown_recorder: Seconds = setting(
        2.0, "Time for the recorder to commit what is pending."
    )
    shutdown_spans: Seconds = setting(
        0.4, "Time for the last spans to be sent, where OTEL_* asks for any."
    )
    shutdown_last_resort: Seconds = setting(
        9.5, "Time after which the kernel ends a daemon whose stop hangs."
    )

    # -- hooks
    hook_seconds: Seconds = setting(10.0, "How long one call of a hook may take.")
    hook_tries: Count = setting(
        2,
        "Calls of a hook for one event; after the last failure it is only told in the log.",
    )
    hook_queue: Count = setting(
        256,
        "Calls of hooks that wait; more are left out, since no run waits for a hook.",
    )
    hook_workers: Count = setting(4, "Hooks at work at once.")

    # -- the daemon's own log
    stall_seconds: Annotated[
        float, Field(ge=0.1, allow_inf_nan=False), Unit("seconds")
    ] = setting(5.0, "How long the loop may be blocked before stacks are dumped.")
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "The least important lines that the daemon's own log has."
    )
    log_format: Literal["text", "json"] = setting(
        "text",
        "What those lines are: text, which under systemd goes to the journal with its fields, or JSON"
        " objects.",
    )
    log_lines: Count = setting(
        4096,
        "Lines of the log that wait while nobody reads them; more are lost, counted and told.",
    )
    redact: tuple[str, ...] = setting(
        (),
        "Patterns of text that is never recorded, artifacts apart, nor said in the daemon's own log;"
        " regular expressions.",
    )

    models: Models = setting(Models(), "How models are asked.")
    programs: dict[str, Path] = setting(
        {},
        "Files of compiled DSPy predictors, by the name of the question that each answers, as"
        " `coding.plan`; see docs/models.md.",
    )
    hooks: tuple[Hook, ...] = setting((), "What is called when something happens.")
