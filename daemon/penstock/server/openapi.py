"""The OpenAPI 3.1 document, made of the route table and the models of the wire."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from penstock.runs.kind import Kind
from penstock.server.guard import OPEN_PATHS
from penstock.server.http_answer import PROBLEM
from penstock.server.routes import ROUTES, Query, Route
from penstock.words.api import EventsPage, Problem
from penstock.words.live_frames import CONTENT_TYPE
from penstock.words.recorded import Envelope

_REF = "#/components/schemas/{model}"
#: What bad input and the guard may answer on every route.
_ALWAYS = (400, 403)
_FORMS = {"text": "string", "integer": "integer", "flag": "boolean"}
#: What a run printed is text where all of it is.
_OUTPUT = ("text/plain", "application/octet-stream")
_OUTPUT_HEADERS = {
    "Penstock-Missing-Bytes": "How many bytes of it were no longer kept when this was sent",
    "Penstock-Position": "Up to where this is the output; `after` it is what was printed since",
}
_STREAMS = ("application/x-ndjson", "text/event-stream")


def describe(
    version: str, kinds: Iterable[Kind] = (), base: str = "http://127.0.0.1:9876"
) -> dict[str, Any]:
    """The document, with the inputs of every installed kind among its schemas.

    `base` is how the caller addresses the daemon.
    """
    kinds = list(kinds)
    models: set[type[BaseModel]] = {
        Problem,
        Envelope,
        *(r.body for r in ROUTES if r.body),
        *(r.reply for r in ROUTES if r.reply),
    }
    ordered: list[type[BaseModel]] = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=_REF
    )
    # The page's model takes any object, for the facts of a newer daemon; ours are these.
    page = schemas["$defs"][EventsPage.__name__]["properties"]
    page["events"]["items"] = _ref(Envelope)
    components = {
        "schemas": {**schemas["$defs"], **_kind_schemas(kinds)},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    info = {"title": "penstock", "version": version}
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": base, "description": "This daemon"}],
        "paths": paths,
        "components": components,
        "security": [{"token": []}],
    }


def _kind_schemas(kinds: list[Kind]) -> dict[str, Any]:
    # Definitions stay inside each schema: two kinds may use one name for different things.
    return {f"inputs.{kind.name}": kind.inputs.model_json_schema() for kind in kinds}


def _operation(route: Route) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", route.path)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.about,
        "parameters": [_path_parameter(name) for name in names]
        + [_query_parameter(query) for query in route.queries],
        "responses": _responses(route),
    }
    if route.path in OPEN_PATHS:
        operation["security"] = []
    if route.body is not None:
        content = {"application/json": {"schema": _ref(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.streamed:
        octets = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"content": {"application/octet-stream": octets}}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    schema = _ref(route.reply) if route.reply else {"type": "object"}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if route.name == "metrics":
        content = {"text/plain": {"schema": {"type": "string"}}}
    if route.name == "run_output":
        content = {name: {"schema": {"type": "string"}} for name in _OUTPUT}
    if route.live:
        content = {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    if route.name.endswith("events"):
        content |= {name: {"schema": {"type": "string"}} for name in _STREAMS}
    statuses = {route.status, 200} if route.body or route.status == 202 else {200}
    responses = {
        str(s): {"description": HTTPStatus(s).phrase, "content": content}
        for s in statuses
    }
    if route.name == "run_output":
        responses["200"]["headers"] = {
            name: {"description": about, "schema": {"type": "integer"}}
            for name, about in _OUTPUT_HEADERS.items()
        }
    problem = {PROBLEM: {"schema": _ref(Problem)}}
    always = _ALWAYS if route.path in OPEN_PATHS else (*_ALWAYS, 401)
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


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _FORMS[query.form]}
    if query.default is not None:
        schema["default"] = query.default
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
