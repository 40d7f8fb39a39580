"""The OpenAPI 3.1 document, made from the operations themselves: what is written here cannot differ from what is done."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from domain.tokens import LOGINS, SCOPES
from webui.api.layer import JSON, Operation
from webui.api.problems import Problem
from webui.api.repeat import HEADER, REPLAYED

PROBLEM = "application/problem+json"
REF = "#/components/schemas/{model}"
TEXT = {"type": "string"}
REFUSED = {
    304: "Nothing has changed since the version named in `If-None-Match`.",
    400: "What was sent cannot be read at all.",
    401: "No valid token was shown, and nobody is logged in.",
    403: "You, or this token, may not do this.",
    404: "There is no such thing; or it is not yours to see, which is answered in the same way.",
    409: "It cannot be done as things stand now; the sentence says why.",
    412: "It was changed since the version named in `If-Match`.",
    413: "The body is larger than Pantau takes in one go (1 MiB).",
    415: "The body is of a kind that is not taken here.",
    422: "Something of what was sent is wrong; `errors` says what and where.",
    503: "The database is away; try again after `Retry-After` seconds.",
}
ABOUT = """\
Everything the pages do, for programs. Bodies are JSON; moments are ISO 8601 with an offset; lengths of time are seconds, \
or text such as "5m". What is not yours to see is answered exactly like what does not exist.

* **Tokens** are made under *Your account*, shown once, and sent as `Authorization: Bearer pantau_...`. They carry scopes, \
which only ever narrow what their person may do, and they expire.
* **Lists** come in pages: `limit` entries at most (500), and `next`, the `cursor` of the page that follows.
* **Versions**: every answer to GET has an `ETag`. Send it as `If-None-Match` to be told 304 while nothing has changed, \
or as `If-Match` with a change that is to be made only while nobody else has made one (412).
* **Repeating**: a change that carries an `Idempotency-Key` is made once, however often it is sent within 24 hours; \
the same answer comes again, marked `Idempotent-Replayed: true`.
* **Problems** are problem details (RFC 9457): `detail` is a sentence, `errors` name the fields.
"""


def document(operations: Iterable[Operation], version: str, home: str) -> dict[str, Any]:
    """The document. `home` is the address all paths stand under."""
    every = list(operations)
    wanted: dict[tuple[type[BaseModel], Any], None] = {(Problem, "serialization"): None}
    for one in every:
        if one.body is not None:
            wanted[one.body, "validation"] = None
        if one.answer is not None:
            wanted[one.answer, "serialization"] = None
    refs, schemas = models_json_schema(list(wanted), ref_template=REF, by_alias=True)
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pantau", "version": version, "description": ABOUT},
        "servers": [{"url": home}],
        "security": [{"token": []}, {"session": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in every)],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": _scopes()},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "pantau-session",
                    "description": "A browser that is logged in; changes need the header X-CSRF-Token as well.",
                },
            },
        },
    }


def scopes(one: Operation) -> list[str]:
    """The scopes a token needs one of."""
    return [name for name, rights in SCOPES.items() if one.right is None or one.right in rights]


def _besides(one: Operation) -> str:
    """What else it takes, as the end of a sentence."""
    return f" that has the scope {LOGINS} besides; a person has shown lately who they are" if one.grave else ""


def _scopes() -> str:
    said = "; ".join(
        f"`{name}`: {', '.join(sorted(right.value for right in rights))}" for name, rights in SCOPES.items()
    )
    return f"A token of a person. Scopes and the rights each one carries at most: {said}."


def _operation(one: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    summary, _, more = inspect.cleandoc(one.handler.__doc__ or one.name).partition("\n")
    right = f"Takes the right `{one.right.value}`, " if one.right is not None else "Takes a login, "
    found: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": summary.rstrip("."),
        "description": f"{more.strip()}\n\n{right}or a token of scope {' or '.join(scopes(one))}{_besides(one)}.".strip(),
        "parameters": [*_places(one), *_query(one), *_headers(one)],
        "responses": _answers(one, refs),
    }
    if one.body is not None:
        schema = refs[one.body, "validation"]
        found["requestBody"] = {"required": True, "content": {media: {"schema": schema} for media in one.media}}
    return found


def _places(one: Operation) -> list[dict[str, Any]]:
    number = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": number if kind is int else {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9_-]+$"}}
        for name, kind in one.places.items()
    ]  # fmt: skip


def _query(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    known = one.query.model_json_schema(by_alias=True, ref_template=REF)
    inner = known.get("$defs", {})
    found = []
    for name, schema in known.get("properties", {}).items():
        plain = {key: value for key, value in schema.items() if key not in ("title", "default", "description")}
        kinds = [kind for kind in plain.pop("anyOf", ()) if kind != {"type": "null"}]
        plain = {**plain, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})}
        if "$ref" in plain:
            plain = inner[plain["$ref"].rpartition("/")[2]]
        if schema.get("default") not in (None, ""):
            plain["default"] = schema["default"]
        row = {"name": name, "in": "query", "required": name in known.get("required", ()), "schema": plain}
        found.append({**row, **({"description": schema["description"]} if "description" in schema else {})})
    return found


def _headers(one: Operation) -> list[dict[str, Any]]:
    if not one.changes:
        return [_header("If-None-Match", "The `ETag` of the version you have; 304 while it is the newest.")]
    found = [_header(HEADER, "Any text of yours that names this very request: it is done once.", 200)]
    if one.row is not None:
        found.append(_header("If-Match", "The `ETag` of the version you have; 412 where there is a newer one."))
    return found


def _header(name: str, about: str, longest: int = 0) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": "^[!-~]+$"} if longest else TEXT
    return {"name": name, "in": "header", "required": False, "description": about, "schema": schema}


def _answers(one: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": {200: "Done.", 201: "It is made.", 202: "It is being done.", 204: "Done; nothing to say."}[one.status]}  # fmt: skip
    if one.answer is not None:
        media = [kind for kind in one.media if kind != JSON and not one.changes]
        content: dict[str, Any] = {JSON: {"schema": refs[one.answer, "serialization"]}}
        good["content"] = {**content, **{kind: {"schema": TEXT} for kind in media}}
    headers = {"ETag": "The version of what is answered."} if one.answer and (not one.changes or one.row) else {}
    headers |= {"Location": "Where it is found from now on."} if one.status in (201, 202) else {}
    headers |= {REPLAYED: "`true` where this was answered before to the same key."} if one.changes else {}
    if headers:
        good["headers"] = {name: {"description": said, "schema": TEXT} for name, said in headers.items()}
    problem = {"content": {PROBLEM: {"schema": refs[Problem, "serialization"]}}}
    codes = {401, 403, 422, 503, *one.refusals}
    codes |= {404} if one.places else set()
    codes |= {400, 409} if one.changes else {304, 409}
    codes |= {413, 415} if one.body is not None else {413} if one.changes else set()
    codes |= {412} if one.row is not None else set()
    answers = {str(one.status): good}
    for code in sorted(codes):
        answers[str(code)] = {"description": REFUSED[code], **({} if code == 304 else problem)}
    return answers
