"""The OpenAPI 3.1 document, made of the route table and the models of the wire."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from penstock.runs.kind import Kind
from penstock.server.guard import OPEN_PATHS
from penstock.server.http_answer import PROBLEM
from penstock.server.routes import ROUTES, Query, Route
from penstock.server.web.page_files import PAGE_PATHS
from penstock.words.api import EventsPage, Problem, RunRequest
from penstock.words.live_frames import CONTENT_TYPE
from penstock.words.recorded import Envelope

_REF = "#/components/schemas/{model}"
#: What bad input and the guard may answer on every route.
_ALWAYS = (400, 403)
#: What answers without a token.
_OPEN = OPEN_PATHS | PAGE_PATHS
_FORMS = {"text": "string", "integer": "integer", "flag": "boolean"}
#: What a run printed is text where all of it is.
_OUTPUT = ("text/plain", "application/octet-stream")
_NEW_RUN = {"Location": "The run's resource"}
#: Headers of answers, by the name of the route.
HEADERS: Mapping[str, Mapping[str, str]] = {
    "submit": _NEW_RUN,
    "retry": _NEW_RUN,
    "get_run": {"ETag": "Changes when the run has another fact; see `If-None-Match`"},
    "run_output": {
        "Penstock-Missing-Bytes": "How many bytes of it were no longer kept when this was sent",
        "Penstock-Position": "Up to where this is the output; `after` it is what was printed since",
    },
}
#: Answers without a body, by the name of the route.
EMPTY: Mapping[str, Mapping[int, str]] = {
    "get_run": {304: "It is as it was when `If-None-Match` was its ETag"},
    "run_events": {204: "A stream of an ended run, asked for with the last id of it"},
}
TAG_ABOUT: Mapping[str, str] = {
    "runs": "Submit runs, look at them, and say something to them.",
    "questions": "What runs ask people.",
    "events": "What happened, as pages and as streams.",
    "queue": "How full it is, and what of it stands still.",
    "schedules": "What is run again and again.",
    "coding tasks": "Runs of the kind `coding`, by the names of the original interface.",
    "the page": "How a browser is let in to the page of the daemon's own.",
    "daemon": "Its health, its kinds, its models, its readers and its numbers.",
}
_ABOUT = (
    "Runs of commands and model pipelines: submitted, queued, recorded as events, and cancelled with"
    " proof. Errors are problem documents (RFC 9457); positions are places in one log."
)
_STREAMS = ("application/x-ndjson", "text/event-stream")


def describe(
    version: str, kinds: Iterable[Kind] = (), base: str = "http://127.0.0.1:9876"
) -> dict[str, Any]:
    """The document, with the inputs of every installed kind among its schemas.

    `base` is how the caller addresses the daemon.
    """
    kinds = list(kinds)
    forms = _kind_schemas(kinds)
    schemas = _wire_schemas() | forms
    for name in (*forms, *(r.body.__name__ for r in ROUTES if r.body)):
        _leave_out_defaults(schemas[name])
    # The page's model takes any object, for the facts of a newer daemon; ours are these.
    schemas[EventsPage.__name__]["properties"]["events"]["items"] = _ref(Envelope)
    if kinds:
        any_of = [{"$ref": f"#/components/schemas/{_inputs_of(k)}"} for k in kinds]
        inputs = schemas[RunRequest.__name__]["properties"]["inputs"]
        inputs |= {"anyOf": any_of, "description": "What the kind takes."}
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "penstock",
            "version": version,
            "description": _ABOUT,
            "contact": {"name": "Penstock"},
        },
        "servers": [{"url": base, "description": "This daemon"}],
        "tags": [{"name": n, "description": about} for n, about in TAG_ABOUT.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _wire_schemas() -> dict[str, Any]:
    """What is sent as it is taken; what is answered as it is sent, with every field that is always there."""
    modes: dict[type[BaseModel], Literal["validation", "serialization"]] = {
        **{route.body: "validation" for route in ROUTES if route.body},
        **{reply: "serialization" for route in ROUTES if (reply := _reply_of(route))},
        Problem: "serialization",
        # Facts of older daemons leave out what those did not know.
        Envelope: "validation",
    }
    ordered = sorted(modes.items(), key=lambda item: item[0].__name__)
    _, schemas = models_json_schema(ordered, ref_template=_REF)
    found: dict[str, Any] = schemas["$defs"]
    for fact in found[Envelope.__name__]["properties"]["event"]["oneOf"]:
        # It always is there, and tells one from another.
        name = fact["$ref"].rpartition("/")[2]
        found[name]["required"] = ["type", *found[name].get("required", ())]
    return found


def _leave_out_defaults(schema: dict[str, Any]) -> None:
    """Take the defaults out of what is sent: makers of clients make such members ones that must be."""
    for told in schema.get("properties", {}).values():
        told.pop("default", None)


def _inputs_of(kind: Kind) -> str:
    return f"inputs.{kind.name}"


def _kind_schemas(kinds: list[Kind]) -> dict[str, Any]:
    """The kinds' inputs; parts of them are prefixed, since two kinds may use one name for different things."""
    told: dict[str, Any] = {}
    for kind in kinds:
        name = _inputs_of(kind)
        # The template is formatted, so a brace in a kind's name would be one too many.
        prefix = name.replace("{", "{{").replace("}", "}}")
        place = f"#/components/schemas/{prefix}.{{model}}"
        schema = kind.inputs.model_json_schema(ref_template=place)
        for part, definition in schema.pop("$defs", {}).items():
            told[f"{name}.{part}"] = definition
        told[name] = schema
    return told


def _operation(route: Route) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", route.path)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.about,
        "description": _description(route),
        "parameters": [_path_parameter(name) for name in names]
        + [_query_parameter(query) for query in route.queries],
        "responses": _responses(route),
    }
    if route.path in _OPEN:
        operation["security"] = []
    if route.body is not None:
        content = {"application/json": {"schema": _ref(route.body)}}
        operation["requestBody"] = {
            "required": route.without_body is None,
            "description": f"Without a body: {route.without_body}."
            if route.without_body
            else route.body.__name__,
            "content": content,
        }
    if route.streamed:
        octets = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {
            "description": "Bytes, sent as they come; any number of them.",
            "content": {"application/octet-stream": octets},
        }
    return operation


def _description(route: Route) -> str:
    if route.name.endswith("events"):
        return (
            f"{route.about}. `application/json` is a page; `application/x-ndjson` and"
            " `text/event-stream` are a stream that ends with the run, one envelope a line."
        )
    return f"{route.about}."


def _responses(route: Route) -> dict[str, Any]:
    content = _content(route)
    statuses = {route.status}
    if route.body or route.status == 202:
        statuses.add(200)
    if route.also is not None:
        statuses.add(route.also)
    responses: dict[str, Any] = {
        str(s): {"description": HTTPStatus(s).phrase, "content": content}
        for s in sorted(statuses)
    }
    for name, about in HEADERS.get(route.name, {}).items():
        form = "integer" if name.startswith("Penstock-") else "string"
        headers = {name: {"description": about, "schema": {"type": form}}}
        for status in map(str, statuses):
            responses[status]["headers"] = (
                responses[status].get("headers", {}) | headers
            )
    for empty, about in EMPTY.get(route.name, {}).items():
        responses[str(empty)] = {"description": about}
    problem = {PROBLEM: {"schema": _ref(Problem)}}
    # The key of a page is given for a code, which may be none.
    stranger = route.path in OPEN_PATHS
    always = _ALWAYS if stranger else (*_ALWAYS, 401)
    writes: tuple[int, ...] = (408, 413, 415) if route.method == "POST" else ()
    if route.streamed:
        writes = (415,)
    for status in sorted({*always, *writes, *route.errors}):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": problem,
        }
    if route.name == "health":
        responses["503"]["content"] = content
    return responses


def _content(route: Route) -> dict[str, Any]:
    """What an answer of the route is, by its media type."""
    if route.name == "metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    if route.name == "run_output":
        return {name: {"schema": {"type": "string"}} for name in _OUTPUT}
    if route.live:
        return {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    reply = _reply_of(route)
    schema = _ref(reply) if reply else {"type": "object"}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if route.name.endswith("events"):
        content |= {name: {"schema": {"type": "string"}} for name in _STREAMS}
    return content


def _reply_of(route: Route) -> type[BaseModel] | None:
    if not isinstance(route.reply, str):
        return route.reply
    # Late: a daemon that nobody asks to describe itself needs none of them.
    from penstock.words import daemon_replies

    reply: type[BaseModel] = getattr(daemon_replies, route.reply)
    return reply


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _FORMS[query.form]}
    if query.default is not None:
        schema["default"] = query.default
    if query.words:
        schema["enum"] = list(query.words)
    if query.text_form is not None:
        schema["format"] = query.text_form
    if query.form == "integer":
        schema |= {"minimum": query.least, "maximum": query.most}
    return {
        "name": query.name,
        "in": "query",
        "description": query.about,
        "schema": schema,
    }


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
