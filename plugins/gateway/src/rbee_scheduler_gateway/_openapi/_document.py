"""The document: OpenAPI 3.1, made from the routes there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from rbee_scheduler_gateway._openapi._operations import (
    EVENTS,
    JSON,
    OPERATIONS,
    TEXT,
    Operation,
    content,
)
from rbee_scheduler_gateway._openapi._schemas import schemas
from rbee_scheduler_gateway._routes import Route


__all__ = ["document"]

# What every route may answer: a wrong request or host, a failure, a service that stops.
_ALWAYS: Final = (400, 403, 413, 500, 503)

# Refusals of a worker that are about the request, and go on to the client.
_PASSED_ON: Final = (400, 401, 403, 404, 413, 422)

# Status that HTTP does not know; nginx made it up for clients that left.
_CLIENT_LEFT: Final = 499

_TEXT: Final = {"type": "string"}
_CORRELATION: Final = {
    "description": "Names the request in logs, at the worker, and in the answer.",
    "schema": _TEXT,
}
_HEADERS_IN: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "X-Deadline-Ms": ("Milliseconds after which no answer is wanted.", {"type": "number"}),
    "X-Priority": ("Interactive requests come first.", {"enum": ["interactive", "batch"]}),
    "X-Rbee-Resume": ("Whether another worker may go on after a cut.", {"type": "boolean"}),
    "X-Rbee-Strategy": ("Strategy to decide with, where that is allowed.", _TEXT),
    "X-Session-Id": ("Requests of one conversation share it.", _TEXT),
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of ``routes``.

    Routes that plugins bring are in it with what their answer's docstring says.

    Args:
        routes: All routes.
    """
    from rbee_scheduler_gateway import __version__

    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.path.replace("*}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _described(route, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rbee-scheduler gateway",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Problem": {
                    "description": "Why there is no other answer.",
                    "headers": {
                        "X-Correlation-Id": _CORRELATION,
                        "Retry-After": {
                            "description": "Seconds after which another try makes sense.",
                            "schema": {"type": "integer"},
                        },
                    },
                    "content": content("Problem", JSON),
                }
            },
        },
    }


def _described(route: Route, path: str) -> dict[str, Any]:
    row = OPERATIONS.get((route.method, path))
    if row is None:
        about = (route.answer.__doc__ or "Brought by a plugin.").strip().partition("\n")[0]
        row = Operation(about, "Plugins", answer="Anything", errors=(404, 409, 422, 429))
    described: dict[str, Any] = {
        "summary": row.about,
        "operationId": _name(route.method, path),
        "tags": [row.tag],
        "parameters": list(_parameters(path, row)),
        "responses": _responses(route, row),
        # A home without tokens asks for none.
        "security": [] if route.access == "open" else [{"token": []}, {}],
        "x-access": route.access,
    }
    if row.body:
        described["requestBody"] = {
            "required": row.needs_body,
            "content": content(row.body, JSON),
        }
        if row.body == "PolicyDraft":
            described["requestBody"]["content"] |= content("", TEXT)
    return described


def _name(method: str, path: str) -> str:
    """Return a name for the operation, as generators of clients want one."""
    words = re.findall(r"[a-z0-9]+", path.removeprefix("/v1").lower())
    return "_".join([method.lower(), *words])


def _parameters(path: str, row: Operation) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{([a-z_]+)\}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
    for name, schema in row.query.items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}
    if row.headers:
        for name, (about, schema) in _HEADERS_IN.items():
            yield {"name": name, "in": "header", "description": about, "schema": schema}
    if row.kind == EVENTS and "after" in row.query:
        schema = {"type": "integer", "minimum": 0}
        yield {"name": "Last-Event-ID", "in": "header", "required": False, "schema": schema}


def _responses(route: Route, row: Operation) -> dict[str, Any]:
    headers = {"X-Correlation-Id": _CORRELATION}
    good = {row.status: row.answer, **dict(row.also)}
    responses: dict[str, Any] = {}
    for status, shape in good.items():
        answer: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": headers}
        if status != HTTPStatus.NO_CONTENT:
            answer["content"] = content(shape, JSON if shape else row.kind)
            if row.passes_on:
                answer["content"] |= content("", EVENTS)
        responses[str(status)] = answer
    refused = {*_ALWAYS, *row.errors, *(() if route.access == "open" else (401,))}
    for status in sorted(refused - good.keys()):
        problem: dict[str, Any] = {"$ref": "#/components/responses/Problem"}
        if status == _CLIENT_LEFT:
            problem = {"description": "Cancelled.", "content": content("Problem", JSON)}
        elif row.passes_on and status in _PASSED_ON:
            problem = {
                "description": "Why there is no other answer; the worker's own words, where the "
                "request came that far.",
                "headers": headers,
                "content": content("Anything", JSON),
            }
        responses[str(status)] = problem
    return responses
