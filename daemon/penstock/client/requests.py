"""What can be asked of a daemon and what its answers mean, without any I/O.

A shell (Trio, asyncio, synchronous) only moves bytes: it sends a `Request` and gives what came to
`read_answer`. The names of resources, the bodies, what waits, and the errors are said once, here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from penstock.client.versions import not_known
from penstock.words.address import Address
from penstock.words.error_status import error_of
from penstock.words.errors import DaemonUnreachable, put_back
from penstock.words.live_frames import PREFERENCE

R = TypeVar("R")

#: Seconds to reach the daemon: it is on this box or near.
CONNECT_SECONDS = 5.0
#: Characters that are told of an answer that makes no sense.
MOST_QUOTED = 200
#: Bytes of an answer: many times what a daemon gives in one. What is no daemon may never end.
LARGEST_ANSWER = 256 * 1024 * 1024
#: Seconds for an answer that does not wait for anything; a loaded box may be slow to give it.
ANSWER_SECONDS = 30.0
#: What stands in a target as it is; the path of an address that a person gave may hold anything else.
TARGET_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
#: The form of a stream over HTTP: a JSON value a line.
NDJSON = "application/x-ndjson"

#: Is told the `Server` header of each answer.
OnServer = Callable[[str | None], None]


def unheard(server: str | None) -> None:
    """For clients that do not mind of which version the daemon is."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `parts` are those of its path, and values of the query that are None are left out."""

    method: str
    parts: tuple[str, ...]
    query: Mapping[str, object] = field(default_factory=dict)
    body: Any = None
    #: Whether the answer may wait until something happens.
    patient: bool = False
    #: Statuses besides 2xx whose body is an answer too.
    accepted: frozenset[int] = frozenset()
    #: A body of bytes, sent piece by piece as it comes; asynchronous where the shell is.
    pieces: Any = None
    #: What the answer should be like; a daemon that does not know it goes without.
    prefer: str | None = None
    #: The media type of the answer, where there are several.
    accept: str = "*/*"
    #: Headers that belong to this one request.
    besides: Mapping[str, str] = field(default_factory=dict)

    def url(self, address: Address) -> str:
        """Where to send it."""
        return address.url(*self.parts, **self.query)

    def headers(self, address: Address) -> dict[str, str]:
        """What to send beside the body; a token never goes into an address."""
        headers = {"Accept": self.accept}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.pieces is not None:
            headers["Content-Type"] = "application/octet-stream"
        if self.prefer is not None:
            headers["Prefer"] = self.prefer
        return {**headers, **self.besides, **address.authorization()}

    def content(self) -> Any:
        """The body: JSON, or the pieces; None if there is none.

        UnicodeEncodeError for text that is no UTF-8.
        """
        if self.pieces is not None:
            return self.pieces
        if self.body is None:
            return None
        return json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()


class Calls(Generic[R]):
    """The requests there are, as methods. A shell sends them: R is what its `send` gives.

    Answers are plain JSON objects, as the daemon sent them. Every method raises the daemon's own
    error, or DaemonUnreachable.
    """

    def send(self, request: Request) -> R:
        """Send it, and give what `read_answer` makes of the answer."""
        raise NotImplementedError

    def request(
        self,
        method: str,
        *parts: str,
        body: Any = None,
        patient: bool = False,
        **query: object,
    ) -> R:
        """Any request; `patient` for those that wait for something to happen."""
        return self.send(Request(method, parts, query, body, patient))

    def get(self, *parts: str, **query: object) -> R:
        """Any resource that is only read: queue, pipelines, clients, asks."""
        return self.send(Request("GET", parts, query))

    # -- runs

    def submit(
        self, request: Mapping[str, Any], *, wait: bool = False, live: bool = False
    ) -> R:
        """Ask for a run; with `wait` a full queue makes this wait for room.

        `live`: its output is wanted as it is read; where the answer says `live`, it is kept for us.
        """
        prefer = PREFERENCE if live else None
        asked = Request("POST", ("runs",), body=request, prefer=prefer)
        return self.send(_waits(asked, wait))

    def run(self, run_id: str) -> R:
        return self.get("runs", run_id)

    def runs(self, q: str = "", *, limit: int = 100, before: int | None = None) -> R:
        """A page of runs, newest first: {"runs": […], "next": position or null}."""
        return self.get("runs", q=q or None, limit=limit, before=before)

    def select(self, word: str) -> R:
        """The runs that a person's word means: {"runs": […]}. RunNotFound if there is none."""
        return self.get("selection", word=word)

    def cancel(
        self, run_id: str, reason: str = "requested", *, wait: bool = False
    ) -> R:
        """Cancel a run: the receipt. With `wait` it is given when nothing of the run is left."""
        parts = ("runs", run_id, "cancel")
        return self.send(_waits(Request("POST", parts, body={"reason": reason}), wait))

    def why(self, run_id: str) -> R:
        """Why the run is where it is: {"reasons": […], "text": …}."""
        return self.get("runs", run_id, "why")

    def whys(self, run_ids: Sequence[str]) -> R:
        """The same of several: {"runs": […], "numbers": {id: number}}, of those that there are."""
        return self.request("POST", "why", body={"runs": list(run_ids)})

    def retry(
        self,
        run_id: str,
        changes: Mapping[str, Any] | None = None,
        traceparent: str | None = None,
        *,
        needs: Mapping[str, str] | None = None,
        anywhere: bool = False,
    ) -> R:
        """Run it again, as a new run; `changes` are inputs that are others this time.

        `needs` are labels that it asks for besides, or instead; `anywhere`: its files are on all boxes.
        `traceparent`: where the caller is in its trace, if it is in any.
        """
        said = {"inputs": changes, "needs": needs, "anywhere": anywhere}
        body = {name: value for name, value in said.items() if value} or None
        besides = {} if traceparent is None else {"traceparent": traceparent}
        path = ("runs", run_id, "retry")
        return self.send(Request("POST", path, body=body, besides=besides))

    def pause_run(self, run_id: str) -> R:
        """Stop the processes of a running program; the run."""
        return self.request("POST", "runs", run_id, "pause")

    def resume_run(self, run_id: str) -> R:
        """Let them go on; the run."""
        return self.request("POST", "runs", run_id, "resume")

    def rearrange(self, run_id: str, **wanted: object) -> R:
        """Another `priority`, `move`, `stashed`, `not_before` or `delay` for a run in line; the run."""
        return self.request("POST", "runs", run_id, "rearrange", body=wanted)

    def edit(self, run_id: str, inputs: dict[str, Any]) -> R:
        """Other inputs for a run that has not begun; the run."""
        return self.request("POST", "runs", run_id, "edit", body={"inputs": inputs})

    def dismiss(self, run_ids: Sequence[str]) -> R:
        """Say that these failures need nobody any more: {"runs": […]}, all of which that is said."""
        return self.request("POST", "dismissals", body={"runs": list(run_ids)})

    def page_code(self) -> R:
        """The address that lets one browser in, once: {"url": …, "seconds": …}."""
        return self.request("POST", "web", "codes")

    def answer(self, run_id: str, name: str, answer: str) -> R:
        return self.request(
            "POST", "runs", run_id, "asks", name, body={"answer": answer}
        )

    def intervene(self, run_id: str, text: str) -> R:
        """Tell a run something; what it makes of it is its own affair."""
        return self.request(
            "POST", "runs", run_id, "interventions", body={"text": text}
        )

    def send_stdin(self, run_id: str, pieces: Any, *, eof: bool = False) -> R:
        """Send bytes to a run's program; waits while it does not read, and before it has begun.

        With `eof` its input ends with them. `pieces` is an iterable of bytes, an asynchronous one
        where answers are awaited: {"bytes": …, "open": …}.
        """
        parts, query = ("runs", run_id, "stdin"), {"eof": 1 if eof else None}
        return self.send(Request("POST", parts, query, patient=True, pieces=pieces))

    def events(
        self, run_id: str | None = None, *, after: int = 0, limit: int = 500
    ) -> R:
        """A page of the log: {"events": […], "next": …, "more": …}.

        PutBack if the log does not reach the position `after`.
        """
        parts = ("events",) if run_id is None else ("runs", run_id, "events")
        return self.get(*parts, after=after, limit=limit)

    def stream(self, run_id: str | None, **place: object) -> Request:
        """What asks for the log above a place as it comes, a line for each fact: of a run, or of all."""
        parts = ("events",) if run_id is None else ("runs", run_id, "events")
        return Request("GET", parts, place, accept=NDJSON)

    # -- the queue; each answers how it is then

    def pause(self, group: str | None, reason: str) -> R:
        """Start no more runs, of the queue (None) or of a group."""
        body = {"group": group, "reason": reason}
        return self.request("POST", "queue", "pause", body=body)

    def resume(self, group: str | None, *, box: str | None = None) -> R:
        """Start and take in runs again; a box: have it start them again."""
        body = {"group": group} if box is None else {"box": box}
        return self.request("POST", "queue", "resume", body=body)

    def slots(
        self, group: str | None, slots: int | None, *, box: str | None = None
    ) -> R:
        """Let so many runs execute at once, of all, a group or a box; None: as the configuration has it."""
        body = {"group": group} if box is None else {"box": box}
        return self.request("POST", "queue", "slots", body={**body, "slots": slots})

    def set_schedule(self, wanted: dict[str, Any]) -> R:
        """Run something again and again; the schedule."""
        return self.request("POST", "schedules", body=wanted)

    def remove_schedule(self, name: str) -> R:
        """Make no more runs of it; the schedules that are left."""
        return self.request("POST", "schedules", name, "remove")

    def forget_box(self, box: str) -> R:
        """Tell of a box no more until it comes back; the boxes that are left."""
        return self.request("POST", "boxes", box, "forget")

    def drain(self, group: str | None, *, wait: bool, box: str | None = None) -> R:
        """Take no new runs in; with `wait` this waits until none is left. A box: start none there."""
        parts = ("queue", "drain")
        body = {"group": group} if box is None else {"box": box}
        return self.send(_waits(Request("POST", parts, body=body), wait))

    # -- the daemon

    def health(self) -> R:
        """What `/health` says; a degraded daemon's answer is an answer too."""
        return self.send(Request("GET", ("health",), accepted=frozenset({503})))


def _waits(request: Request, wait: bool) -> Request:
    if not wait:
        return request
    return replace(request, query={**request.query, "wait": 1}, patient=True)


def is_success(status: int) -> bool:
    """Whether an answer with this status is what was asked for."""
    return 200 <= status < 300


def read_answer(
    request: Request, status: int, body: bytes, retry_after: str | None = None
) -> Any:
    """The document that was asked for; None if there is none.

    Else the daemon's own error is raised, or PutBack for a page that begins at a place which the log
    does not hold. DaemonUnreachable if what answers is no daemon.
    """
    try:
        document = json.loads(body) if body else None
    except ValueError:
        if status in request.accepted or is_success(status):
            raise DaemonUnreachable(
                f"what answers is no daemon: status {status}, and no JSON"
            ) from None
        document = None
    if not (200 <= status < 300 or status in request.accepted):
        error = error_of(status, document, retry_after)
        raise not_known(error, request.body) or error
    gap = document.get("gap") if isinstance(document, Mapping) else None
    if gap and gap.get("put_back"):
        raise put_back(int(str(request.query.get("after") or 0)), gap["first"])
    return document


def not_there(address: Address) -> DaemonUnreachable:
    """What to raise when no connection could be made."""
    return DaemonUnreachable(
        f"no daemon answers at {address}; start one with `penstock serve`"
    )


def silent(address: Address) -> DaemonUnreachable:
    """What to raise when no answer came in time."""
    return DaemonUnreachable(f"the daemon at {address} does not answer")


def broken(address: Address, error: Exception) -> DaemonUnreachable:
    """What to raise when the connection was lost before the answer was whole."""
    why = str(error) or type(error).__name__
    if len(why) > MOST_QUOTED:
        # What is no daemon is quoted there with all that it said.
        why = f"{why[:MOST_QUOTED]}…"
    return DaemonUnreachable(f"the connection to {address} broke: {why}")


def head_of(request: Request, address: Address, content: bytes | None) -> bytes:
    """The head of the request for HTTP/1.1, on a connection of its own.

    UnicodeError for the name of a host that can be none.
    """
    url, headers = urlsplit(request.url(address)), request.headers(address)
    if request.pieces is not None:
        headers["Transfer-Encoding"] = "chunked"
    elif request.method != "GET":
        headers["Content-Length"] = str(len(content or b""))
    target = f"{url.path}?{url.query}" if url.query else url.path
    lines = [
        f"{request.method} {quote(target, safe=TARGET_CHARACTERS)} HTTP/1.1",
        f"Host: {url.netloc}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
