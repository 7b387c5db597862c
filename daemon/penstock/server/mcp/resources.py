"""Runs as resources: `run://ID`, `run://ID/events`, `run://ID/artifacts/ARTIFACT`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mcp.types import Resource, ResourceTemplate

from penstock.log.filters import parse_filter
from penstock.runs.core import Core
from penstock.server.events_page import read_page
from penstock.server.json_bodies import run_told_json
from penstock.server.mcp.arguments import LARGEST_CURSOR, LONGEST_PAGE, PAGE_BYTES
from penstock.words.errors import NotFound, TooLarge
from penstock.words.events import DAEMON_STREAM, ArtifactPartial
from penstock.words.run_id import check_run_id

#: Runs told by one page of `resources/list`.
LISTED_RUNS = 100

TEMPLATES = [
    ResourceTemplate(
        name="run",
        title="A run",
        uri_template="run://{run_id}",
        description="The run as it stands: its state, progress, result and questions.",
        mime_type="application/json",
    ),
    ResourceTemplate(
        name="run-events",
        title="The events of a run",
        uri_template="run://{run_id}/events",
        description="A page of what happened, oldest first; `?after=` the `next` of a page gives"
        " the following one.",
        mime_type="application/json",
    ),
    ResourceTemplate(
        name="run-artifact",
        title="A text that a run makes",
        uri_template="run://{run_id}/artifacts/{artifact_id}",
        description="As much of the text as there is so far.",
        mime_type="text/plain",
    ),
]


@dataclass(frozen=True, slots=True)
class RunUri:
    """What a resource's address names."""

    run_id: str
    part: str = ""
    artifact_id: str = ""
    after: int = 0


def parse_uri(uri: str) -> RunUri:
    """The parts of an address of ours. NotFound for any other."""
    try:
        parts = urlsplit(uri)
        run_id = check_run_id(unquote(parts.netloc, errors="strict"))
        after = _cursor(parse_qs(parts.query).get("after", ["0"])[0])
    except ValueError:
        raise _no_address(uri) from None
    if parts.scheme != "run" or run_id == DAEMON_STREAM:
        # The daemon's own stream has events, but is no run.
        raise _no_address(uri)
    match parts.path.split("/"):
        case [""] | ["", ""]:
            return RunUri(run_id)
        case ["", "events"]:
            return RunUri(run_id, "events", after=after)
        case ["", "artifacts", name] if name:
            return RunUri(run_id, "artifacts", unquote(name))
    raise _no_address(uri)


def _no_address(uri: str) -> NotFound:
    return NotFound(f"{uri[:200]!r} is no address of a run")


def run_uri(run_id: str) -> str:
    """The address of a run."""
    return f"run://{quote(run_id, safe='')}"


async def read_resource(core: Core, uri: str) -> tuple[str, str]:
    """The resource's media type and text. NotFound, or TooLarge for an artifact."""
    parts = parse_uri(uri)
    if parts.part == "artifacts":
        return "text/plain", await read_artifact(core, parts.run_id, parts.artifact_id)
    if parts.part == "events":
        page = await read_page(
            core, parts.run_id, parts.after, LONGEST_PAGE, max_bytes=PAGE_BYTES
        )
        return "application/json", page.decode()
    run = await run_told_json(core, parts.run_id)
    return "application/json", json.dumps(run, ensure_ascii=False)


async def read_artifact(core: Core, run_id: str, artifact_id: str) -> str:
    """The text of an artifact so far, put together from the pieces of its newest attempt."""
    view = await core.reader.view(run_id)
    artifact = view.artifacts.get(artifact_id)
    if artifact is None:
        raise NotFound(f"the run {run_id!r} has no artifact {artifact_id!r}")
    limit = core.config.page_bytes
    pieces: list[str] = []
    after = size = 0
    while facts := await core.store.read(run_id, after, LONGEST_PAGE, max_bytes=limit):
        after = facts[-1].position
        for fact in facts:
            if fact.type != "artifact.partial":
                continue
            piece = fact.event
            if (
                isinstance(piece, ArtifactPartial)
                and piece.artifact_id == artifact_id
                and piece.attempt == artifact.attempt
            ):
                pieces.append(piece.text)
                size += len(piece.text)
        if size > limit:
            raise TooLarge("uri", f"the artifact has more than {limit} bytes")
    return "".join(pieces)


async def list_resources(
    core: Core, cursor: str | None
) -> tuple[list[Resource], str | None]:
    """A page of runs, newest first, and the cursor of the next. NotFound for a cursor not ours."""
    try:
        before = None if cursor is None else _cursor(cursor)
    except ValueError:
        raise NotFound("the cursor is not one of ours") from None
    rows, following = await core.reader.list(
        parse_filter("", before=before, limit=LISTED_RUNS)
    )
    return [_resource(row) for row in rows], None if following is None else str(
        following
    )


def _resource(row: dict[str, Any]) -> Resource:
    return Resource(
        name=row["run_id"],
        title=f"{row['kind']}, {row['state']}",
        uri=run_uri(row["run_id"]),
        mime_type="application/json",
    )


def _cursor(text: str) -> int:
    """A position; ValueError for anything else."""
    if text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_CURSOR)):
        return min(int(text), LARGEST_CURSOR)
    raise ValueError(text)
