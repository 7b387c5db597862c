"""The table of REST routes: routing, the parsing of queries, OpenAPI and the guard's tests read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BaseModel

from penstock.log.bus import Overflow
from penstock.runs.run_scopes import RunScope
from penstock.server.http_answer import HttpAnswer, HttpStream
from penstock.server.judge import RunMay
from penstock.words import api as wire
from penstock.words.api import LARGEST_SIDE
from penstock.words.errors import Refused
from penstock.words.recorded import Envelope
from penstock.words.run_id import check_run_id

#: Cursors are signed 64-bit integers in every store.
LARGEST_CURSOR = 2**63 - 1
#: Rows of a list, events of a page.
MOST_ROWS = 500
#: Lines of the end of an output.
MOST_TAIL = 100_000
#: No route has more parameters than fingers; a longer query is noise.
MOST_PARAMETERS = 20


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of a query."""

    name: str
    about: str
    form: Literal["text", "integer", "flag"] = "text"
    default: Any = None
    least: int = 0
    most: int = LARGEST_CURSOR
    #: The texts that there are; and the form of one that whoever takes it looks at.
    words: tuple[str, ...] = ()
    text_form: str | None = None

    def parse(self, text: str) -> Any:
        """The value that `text` writes. Refused names the parameter."""
        if self.words and text not in self.words:
            raise Refused(self.name, f"must be one of {', '.join(self.words)}")
        if self.form == "text":
            return text
        if self.form == "flag":
            flags = {"": True, "1": True, "true": True, "0": False, "false": False}
            if text.lower() not in flags:
                raise Refused(self.name, "must be 1 or 0")
            return flags[text.lower()]
        plain = (
            text.isascii()
            and text.isdecimal()
            and len(text) <= len(str(LARGEST_CURSOR))
        )
        if not plain or not self.least <= int(text) <= self.most:
            raise Refused(
                self.name, f"must be an integer from {self.least} to {self.most}"
            )
        return int(text)


@dataclass(frozen=True, slots=True)
class Route:
    """One verb on one path; `name` is also the name of its handler and of its operation."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    about: str
    #: A name is that of one of `words/daemon_replies`, which only a description of the interface needs.
    reply: type[BaseModel] | str | None = None
    body: type[BaseModel] | None = None
    queries: tuple[Query, ...] = ()
    status: int = 200
    #: Another with the same answer, of what goes on when it is given.
    also: int | None = None
    #: Statuses beside those of the guard and of bad input.
    errors: tuple[int, ...] = ()
    #: Its body is a stream of bytes, which never is here as a whole.
    streamed: bool = False
    #: Its answer goes on for as long as the run does, at the pace of its client.
    live: bool = False
    #: What a request without a body means; None: there must be one.
    without_body: str | None = None
    #: What of it a run may ask; see `judge`.
    for_run: RunMay = "nothing"

    @property
    def tag(self) -> str:
        """What it is about, by the first part of its path."""
        return TAGS.get(self.path.split("/")[1], "daemon")


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a route, its path and query parsed; the body is the handler's to read."""

    route: Route
    path: Mapping[str, str]
    query: Mapping[str, Any]
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: How this client addresses the daemon: `http://127.0.0.1:9876`.
    base: str = field(default="http://localhost")
    #: Trio's time at which ends what let this client in; None for most.
    until: float | None = None
    #: On behalf of which run it is asked; None: the owner asks.
    scope: RunScope | None = None

    @property
    def run_id(self) -> str:
        """The run that the path names. Refused if it can be no run's id."""
        return run_id_of(self.path["run_id"])


#: What the documents of routes are sorted by: what a path begins with.
TAGS: Mapping[str, str] = {
    "runs": "runs",
    "asks": "questions",
    "dismissals": "runs",
    "why": "runs",
    "events": "events",
    "queue": "queue",
    "schedules": "schedules",
    "tasks": "coding tasks",
    "web": "the page",
}
#: What answers a route; one that waits for nothing is a plain function.
Handler = Callable[[Call], HttpAnswer | Awaitable[HttpAnswer | HttpStream]]

_AFTER = Query("after", "Position; only what was recorded after it", "integer")
_AFTER_ID = Query(
    "after_id",
    "Event id of the fact at `after`; a log that was put back is told by it",
    text_form="uuid",
)
_LIMIT = Query(
    "limit", "Rows at most", "integer", default=MOST_ROWS, least=1, most=MOST_ROWS
)
_FEW = Query("limit", "Rows at most", "integer", default=100, least=1, most=MOST_ROWS)
_OVERFLOW = Query(
    "overflow",
    "For streams: catch_up, drop_oldest or disconnect",
    words=get_args(Overflow),
)
_RUN = "/runs/{run_id}"

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/runs", "submit", "Submit a run; with the same id and inputs, the first one",
        body=wire.RunRequest, reply=wire.SubmitReply, status=202, errors=(409, 429, 503),
        queries=(Query("wait", "Wait for room in the queue", "flag", default=False),),
        for_run="child",
    ),
    Route(
        "GET", "/runs", "list_runs", "Runs, newest first", reply=wire.RunsPage,
        queries=(
            Query("q", "state:failed prio:high kind:K label:k=v group:g box:NAME parent:ID word !word", default=""),
            _FEW,
            Query("before", "Only runs whose place is below it: the page before", "integer"),
        ),
    ),
    Route(
        "GET", "/selection", "selection", "The runs that a person's word means: a number, how an id begins …",
        reply=wire.SelectionReply, errors=(404,),
        queries=(Query("word", "12, an id or how it begins, @last @-2 @running @queued @failed, a filter", default=""),),
        for_run="tree",
    ),
    Route("GET", _RUN, "get_run", "A run, folded from its events", reply=wire.RunReply, errors=(404,), for_run="tree"),
    Route(
        "GET", f"{_RUN}/events", "run_events", "Events of a run: a page, or a stream by Accept",
        reply=wire.EventsPage, queries=(_AFTER, _AFTER_ID, _LIMIT, _OVERFLOW), errors=(404,),
        for_run="tree",
    ),
    Route(
        "GET", f"{_RUN}/output", "run_output", "What a run printed: its bytes, and nothing else",
        queries=(
            Query("stream", "all, stdout or stderr", default="all", words=("all", "stdout", "stderr")),
            Query("tail", "Only the last lines, so many", "integer", least=1, most=MOST_TAIL),
            Query("bytes", "Only the last bytes, at most so many", "integer", least=1),
            _AFTER, Query("follow", "Go on until the run has ended", "flag", default=False), _OVERFLOW,
        ),
        errors=(404, 409),
        for_run="tree",
    ),
    Route(
        "GET", f"{_RUN}/live", "live_output",
        "What a run prints as it is read, and its facts, for the client that submitted it with"
        " `Prefer: live-output`",
        errors=(409,), live=True,
    ),
    Route("GET", f"{_RUN}/why", "why", "Why the run is where it is", reply=wire.WhyReply, errors=(404,), for_run="tree"),
    Route(
        "POST", "/why", "whys", "Why each of these runs is where it is", body=wire.WhyRequest, reply=wire.WhysReply
    ),
    Route(
        "POST", f"{_RUN}/cancel", "cancel", "Cancel a run; with wait, until nothing of it is left",
        without_body="Requested, for no other reason",
        body=wire.CancelRequest, reply=wire.CancelReceipt, also=202, errors=(404, 503),
        queries=(Query("wait", "Wait for the proof", "flag", default=False),),
    ),
    Route(
        "POST", f"{_RUN}/retry", "retry", "Run it again, as a new run, with these changes of its inputs, or of where it executes",
        reply=wire.SubmitReply, body=wire.RetryRequest, without_body="The same inputs, where it was", status=202, errors=(404, 409, 429, 503),
        queries=(Query("wait", "Wait for room in the queue", "flag", default=False),),
    ),
    Route(
        "POST", f"{_RUN}/pause", "pause_run", "Stop the processes of a running program; it keeps its slot",
        reply=wire.RunReply, errors=(404, 409, 503),
    ),
    Route(
        "POST", f"{_RUN}/resume", "resume_run", "Let a paused program go on",
        reply=wire.RunReply, errors=(404, 409, 503),
    ),
    Route(
        "POST", f"{_RUN}/rearrange", "rearrange",
        "Change the priority, place or moment of a run that waits in line; stash or enqueue it",
        body=wire.RearrangeRequest, reply=wire.RunReply, errors=(404, 409, 503),
    ),
    Route(
        "POST", f"{_RUN}/edit", "edit", "Change the inputs of a run that has not begun",
        body=wire.EditRequest, reply=wire.RunReply, errors=(404, 409, 503),
    ),
    Route(
        "GET", f"{_RUN}/asks/{{name}}", "get_ask", "A question of a run", reply="QuestionReply", errors=(404,),
        for_run="tree",
    ),
    Route(
        "POST", f"{_RUN}/asks/{{name}}", "answer", "Answer a question, once",
        reply="AnswerReply",
        body=wire.AnswerRequest, errors=(404, 409, 503),
    ),
    Route(
        "POST", f"{_RUN}/interventions", "intervene", "Say something to a run", reply=Envelope,
        body=wire.InterventionRequest, status=202, errors=(404, 409, 503),
    ),
    Route(
        "POST", f"{_RUN}/stdin", "send_stdin", "Send the body to a run's program, as it comes",
        reply=wire.StdinReply, errors=(404, 409), streamed=True,
        queries=(Query("eof", "The program's input ends with the body", "flag", default=False),),
    ),
    Route(
        "POST", f"{_RUN}/bug-reports", "report_bug", "Report a bug in a run's code; the verdict",
        reply="VerdictReply",
        body=wire.BugReportRequest, errors=(404, 409, 503),
    ),
    Route("GET", "/asks", "list_asks", "Open questions of all runs", reply="QuestionsReply"),
    Route(
        "GET", "/events", "all_events", "Events of all runs: a page, or a stream by Accept",
        reply=wire.EventsPage, queries=(_AFTER, _AFTER_ID, _LIMIT, _OVERFLOW),
    ),
    Route(
        "GET", "/dismissals", "dismissals", "Failures that somebody has seen, at any box",
        reply="DismissalsReply",
    ),
    Route(
        "POST", "/dismissals", "dismiss", "Say that these failures need nobody any more",
        body=wire.DismissalsRequest, reply="DismissalsReply", errors=(503,),
    ),
    Route("GET", "/queue", "queue", "The queue and the slots", reply="QueueReply"),
    Route(
        "POST", "/queue/pause", "pause", "Start no more runs, of the queue or of a group",
        reply="QueueReply", without_body="All of the queue, for no reason that is told",
        body=wire.PauseRequest, errors=(503,),
    ),
    Route(
        "POST", "/queue/resume", "resume", "Start and take in runs again",
        reply="QueueReply", without_body="All of the queue", body=wire.DrainRequest,
        errors=(503,),
    ),
    Route(
        "POST", "/queue/drain", "drain", "Take no new runs in; with wait, until none is left",
        reply="QueueReply", without_body="All of the queue",
        body=wire.DrainRequest, status=202, errors=(409, 503),
        queries=(Query("wait", "Wait until none is left", "flag", default=False),),
    ),
    Route(
        "POST", "/queue/slots", "slots", "Let more or fewer runs execute at once, of all or of a group",
        reply="QueueReply", body=wire.SlotsRequest, errors=(409, 503),
    ),
    Route("GET", "/schedules", "list_schedules", "What is run again and again", reply="SchedulesReply"),
    Route(
        "POST", "/schedules", "set_schedule", "Run something again and again",
        body=wire.ScheduleRequest, reply="ScheduleReply", status=201, errors=(409, 503),
    ),
    Route(
        "POST", "/schedules/{name}/remove", "remove_schedule", "Make no more runs of a schedule",
        reply="SchedulesReply", errors=(404, 503),
    ),
    Route(
        "GET", "/pipelines", "pipelines", "What can be run, with the schemas of its inputs",
        reply="KindsReply",
        for_run="all",
    ),
    Route(
        "GET", "/models", "models", "The configured models, small to large, and their speed",
        reply="ModelsReply",
    ),
    Route(
        "GET", "/boxes", "boxes", "The boxes that share the log, and how each stands", reply="BoxesReply",
        errors=(503,),
    ),
    Route(
        "POST", "/boxes/{name}/forget", "forget_box", "Tell of a lost box no more, until it comes back",
        reply="BoxesReply", errors=(404, 409, 503),
    ),
    Route("GET", "/clients", "clients", "Who reads streams, and how far behind", reply="ReadersReply"),
    Route("GET", "/health", "health", "Whether the daemon works", reply=wire.HealthReply, errors=(503,), for_run="all"),
    Route("GET", "/metrics", "metrics", "The daemon's numbers, as Prometheus reads them", errors=(503,)),
    Route("GET", "/openapi.json", "openapi", "This interface", for_run="all"),
    Route(
        "POST", "/web/codes", "page_code", "The address that lets one browser in, once",
        reply="PageCodeReply", status=201, errors=(404,),
    ),
    Route(
        "POST", "/web/keys", "page_key", "The key of a page, for the code in its header `Penstock-Code`",
        reply="PageKeyReply", status=201, errors=(404,),
    ),
    Route(
        "POST", "/tasks", "create_task", "Submit a coding task", body=wire.TaskRequest,
        reply=wire.TaskReply, errors=(429, 503),
        queries=(Query("wait", "Wait for room in the queue", "flag", default=False),),
    ),
    Route("GET", "/tasks/{run_id}", "get_task", "A coding task", reply=wire.TaskReply, errors=(404,)),
)  # fmt: skip

#: The handshake of a WebSocket; its path is matched by the door.
STREAM = Route(
    "GET", "/ws/{run_id}", "stream", "Events as they are recorded", queries=(_AFTER, _AFTER_ID, _OVERFLOW),
    for_run="tree",
)  # fmt: skip

#: The handshake of a terminal, for one who types, or with `watch` for one who does not.
TERMINAL = Route(
    "GET", "/ws/{run_id}/terminal", "terminal", "A run's terminal, live",
    queries=(
        Query("watch", "See what it shows, and type nothing", "flag", default=False),
        Query("rows", "Those of the client's terminal, which the run's gets", "integer", most=LARGEST_SIDE),
        Query("cols", "Its columns", "integer", most=LARGEST_SIDE),
    ),
)  # fmt: skip


def parse_query(route: Route, raw: bytes) -> dict[str, Any]:
    """Every parameter of the route by name. Refused names one that is unknown, repeated or wrong."""
    known = {query.name: query for query in route.queries}
    values = {query.name: query.default for query in route.queries}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_PARAMETERS,
        )
    except ValueError:
        raise Refused("query", "is not a query of UTF-8 text, or is too long") from None
    given: set[str] = set()
    for name, text in pairs:
        if name not in known:
            raise Refused(name, "unknown parameter")
        if name in given:
            raise Refused(name, "is given twice")
        if "\0" in text:
            raise Refused(name, "must not contain NUL")
        given.add(name)
        values[name] = known[name].parse(text)
    return values


def overflow_of(text: str | None) -> Overflow:
    """A policy for readers that fall behind. Refused lists the three."""
    policies: tuple[Overflow, ...] = get_args(Overflow)
    for policy in policies:
        if text in (None, policy):
            return policy
    raise Refused("overflow", f"must be one of {', '.join(policies)}")


def event_id_of(text: str | None) -> UUID | None:
    """An event's id. Refused for a text that is none."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise Refused("after_id", "must be an event's id") from None


def run_id_of(text: str) -> str:
    """A run id from an address, in its one form. Refused if it can be no run's id."""
    try:
        return check_run_id(text)
    except ValueError as error:
        raise Refused("run_id", str(error)) from None
