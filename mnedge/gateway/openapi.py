"""The API described in OpenAPI 3.1, from its table of routes."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct, field

import mnedge
from mnedge.gateway.problems import MEDIA_TYPE
from mnedge.gateway.rest.idempotency import HEADER
from mnedge.gateway.rest.routing import JSON, Answer, Route

REF = "#/components/schemas/{name}"
_MEMBER = re.compile(r"\{([a-z_]+)\}")
ALWAYS = (400, 403, 408, 413, 422, 429, 431, 500, 503)
"""What any request may meet: the layers before the routes refuse too."""
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class ProblemItem(Struct, frozen=True, kw_only=True):
    """One of several things that are wrong."""

    path: str
    message: str
    hint: str
    rule: str


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused (RFC 9457), with the product's own envelope under `error`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    request_id: str = ""
    error: dict[str, Any] = field(default_factory=dict)
    errors: list[ProblemItem] = field(default_factory=list)


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of these routes."""
    kinds = _kinds(routes)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    known = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.full_path, {})[route.method.lower()] = _operation(route, known)
        if route.method == "GET":
            head = _operation(route, known, head=True)
            paths[route.full_path]["head"] = head
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mnedge",
            "version": mnedge.__version__,
            "summary": "One node that runs MirrorNeuron job bundles",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "schemas": components,
            "responses": {str(status): _refusal(status) for status in _statuses(routes)},
        },
    }


def _kinds(routes: Iterable[Route]) -> list[Any]:
    """Return every type that the routes name, each once."""
    found: dict[str, Any] = {repr(Problem): Problem}
    for route in routes:
        for kind in (*_forms(route), *(answer.body for answer in route.answers.values())):
            if kind is not None:
                found.setdefault(repr(kind), kind)
    return list(found.values())


def _forms(route: Route) -> tuple[Any, ...]:
    """Return the types of which a body is one."""
    return route.body if isinstance(route.body, tuple) else (route.body,)


def _statuses(routes: Iterable[Route]) -> list[int]:
    found = {401, 405, 415, *ALWAYS}
    for route in routes:
        found.update(route.refuses)
    return sorted(found)


def _operation(route: Route, known: dict[str, Any], *, head: bool = False) -> dict[str, Any]:
    words = re.findall(r"[A-Za-z0-9]+", f"{'head' if head else route.method} {route.full_path}")
    operation: dict[str, Any] = {
        "operationId": "_".join(word.lower() for word in words),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": _responses(route, known, head=head),
        "x-mnedge-scope": None if route.scope is None else str(route.scope),
    }
    doc = (route.work.__doc__ or "").split("\n\n")[0].strip()
    if doc:
        operation["description"] = " ".join(doc.split())
    if route.scope is None:
        operation["security"] = [{}, {"bearer": []}]
    if route.body is not None:
        forms = [known[repr(kind)] for kind in _forms(route)]
        schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
        content = {
            media: {"schema": schema if media == JSON else _bytes()} for media in route.media
        }
        operation["requestBody"] = {"required": not route.optional, "content": content}
    return operation


def _bytes() -> dict[str, Any]:
    return {"type": "string", "contentMediaType": "application/octet-stream"}


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _MEMBER.findall(route.full_path)
    ]
    for one in msgspec.structs.fields(route.query):
        schema = msgspec.json.schema(one.type)
        told = schema.pop("description", "")
        if one.default is not msgspec.NODEFAULT:
            schema["default"] = msgspec.to_builtins(one.default)
        parameter = {
            "name": one.encode_name,
            "in": "query",
            "required": one.required,
            "schema": _inline(schema),
        }
        if told:
            parameter["description"] = told
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        found.append(parameter)
    headers = list(route.headers)
    if route.once:
        headers.append((HEADER, "The same request under the same key is done once, within 24 h."))
    found += [
        {
            "name": name.title(),
            "in": "header",
            "required": False,
            "description": told,
            "schema": {"type": "string"},
        }
        for name, told in headers
    ]
    return found


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with what it refers to in its place."""
    definitions = schema.pop("$defs", {})

    def put(tree: Any) -> Any:
        if isinstance(tree, dict):
            name = str(tree.get("$ref", "")).rpartition("/")[2]
            if name in definitions:
                return put(definitions[name])
            return {key: put(value) for key, value in tree.items()}
        return [put(one) for one in tree] if isinstance(tree, list) else tree

    plain: dict[str, Any] = put(schema)
    return plain


def _responses(route: Route, known: dict[str, Any], *, head: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        str(status): _response(status, answer, known, head=head)
        for status, answer in sorted(route.answers.items())
    }
    refused = {*ALWAYS, *route.refuses}
    if route.scope is not None:
        refused.add(401)
    if route.method in _CHANGING:
        refused |= {413, 415}
    if route.once:
        refused.add(409)
    for status in sorted(refused):
        if str(status) not in found:
            found[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return found


def _response(status: int, answer: Answer, known: dict[str, Any], *, head: bool) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.explained or HTTPStatus(status).phrase}
    if answer.headers:
        response["headers"] = {
            name.title(): {"schema": {"type": "string"}} for name in answer.headers
        }
    if answer.media and not head:
        response["content"] = {
            media: {"schema": known[repr(answer.body)]}
            if media == JSON and answer.body is not None
            else {"schema": {}}
            for media in answer.media
        }
    return response


def _refusal(status: int) -> dict[str, Any]:
    refusal: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}},
    }
    if status in (429, 503):
        refusal["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return refusal
