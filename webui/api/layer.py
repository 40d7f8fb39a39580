"""From a typed function to an operation of the API: its route, who may use it, what it takes and what it answers.

A function of a resource says all of it in its signature: what stands in braces in the path, `query` (a model of the
parameters), `body` (a model of what is sent), and the model it gives back. It changes rows and never commits: the
answer, the change, and the memory of an Idempotency-Key are one transaction, committed here.
"""

from __future__ import annotations

import functools
import hashlib
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Generic, TypeVar

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ValidationError
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from werkzeug.exceptions import HTTPException

from config.vault import VaultError
from domain.rights import Right
from webui import access, proof, store
from webui.api import repeat
from webui.api.problems import Refusal, invalid
from webui.documents import DocumentError
from webui.handling import Refused
from webui.language import gettext

Handler = Callable[..., Any]
Body = TypeVar("Body", bound=BaseModel)
JSON = "application/json"
SAFE = ("GET",)
PATIENCE = "5s"
"""So long one question to the database may take."""
CANCELLED = "57014"


@dataclass(frozen=True)
class Made(Generic[Body]):
    """Something new: what it is, and where it is found from now on."""

    body: Body
    location: str


@dataclass(frozen=True)
class Asked(Generic[Body]):
    """Something that is being done: what is known of it so far, and where the rest will be."""

    body: Body
    location: str


@dataclass(frozen=True)
class Written:
    """An answer that is no JSON object of ours: a document as it stands in a file."""

    text: str
    media: str


@dataclass(frozen=True)
class Operation:
    """One thing a program may ask for. `row` is the table of what its last number names, locked while it is changed.

    What is `grave` takes a person who has shown lately who they are, or a token made for it (webui/proof.py).
    """

    method: str
    path: str
    tag: str
    right: Right | None
    handler: Handler
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    answer: type[BaseModel] | None
    status: int
    places: dict[str, type]
    row: type[Any] | None
    now: Handler | None
    refusals: tuple[int, ...]
    media: tuple[str, ...] = (JSON,)
    reads: Callable[[str], Any] | None = None
    grave: bool = False

    @property
    def name(self) -> str:
        """What it is called in the document: unique, and as a program would call it."""
        return f"{self.handler.__module__.rpartition('.')[2]}.{self.handler.__name__}"

    @property
    def changes(self) -> bool:
        """Whether anything is different afterwards."""
        return self.method not in SAFE

    @property
    def rule(self) -> str:
        """The route as Flask writes it."""
        return re.sub(r"{(\w+)}", lambda part: f"<{'int:' if self.places[part[1]] is int else ''}{part[1]}>", self.path)


class Routes:
    """The operations of one subject; each module of this package makes one."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.operations: list[Operation] = []

    def get(self, path: str, right: Right | None = Right.SEE, **more: Any) -> Callable[[Handler], Handler]:
        """Reading."""
        return self._take("GET", path, right, **more)

    def post(self, path: str, right: Right, **more: Any) -> Callable[[Handler], Handler]:
        """Making something, or asking for something to be done."""
        return self._take("POST", path, right, **more)

    def patch(self, path: str, right: Right, **more: Any) -> Callable[[Handler], Handler]:
        """Changing the fields that are sent, and no other."""
        return self._take("PATCH", path, right, **more)

    def put(self, path: str, right: Right, **more: Any) -> Callable[[Handler], Handler]:
        """Making something what is sent."""
        return self._take("PUT", path, right, **more)

    def delete(self, path: str, right: Right | None, **more: Any) -> Callable[[Handler], Handler]:
        """Taking something away."""
        return self._take("DELETE", path, right, **more)

    def _take(
        self,
        method: str,
        path: str,
        right: Right | None,
        row: type[Any] | None = None,
        now: Handler | None = None,
        refusals: tuple[int, ...] = (),
        media: tuple[str, ...] = (JSON,),
        reads: Callable[[str], Any] | None = None,
        grave: bool = False,
    ) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            hints = typing.get_type_hints(handler)
            answer, usual = _answer(hints.pop("return"))
            query, body = hints.pop("query", None), hints.pop("body", None)
            self.operations.append(
                Operation(method, path, self.tag, right, handler, query, body, answer, usual, hints, row, now, refusals, media, reads, grave)
            )  # fmt: skip
            return handler

        return keep


def _answer(hint: Any) -> tuple[type[BaseModel] | None, int]:
    """(model, status) of what a function says it gives back."""
    if isinstance(hint, UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not Written)
    origin = typing.get_origin(hint)
    if origin in (Made, Asked):
        return typing.get_args(hint)[0], 201 if origin is Made else 202
    if hint is None or hint is type(None):
        return None, 204
    return hint, 200


def register(blueprint: Blueprint, operation: Operation) -> None:
    """Give `operation` its route."""

    @functools.wraps(operation.handler)
    def view(**places: Any) -> Response:
        return _tell(operation, places)

    ruled = access.signed_in(view) if operation.right is None else access.may(operation.right)(view)
    blueprint.add_url_rule(operation.rule, operation.name.replace(".", "_"), ruled, methods=[operation.method])


def _tell(operation: Operation, places: dict[str, Any]) -> Response:
    """The border of an operation: whatever it refuses becomes a problem, and nothing of it is kept."""
    try:
        if operation.grave:
            grave()
        store.session().execute(text(f"set local statement_timeout = '{PATIENCE}'"))
        return _changed(operation, places) if operation.changes else _read(operation, places)
    except Refusal as refusal:
        store.session().rollback()
        return refusal.answer()
    except Refused as refusal:
        store.session().rollback()
        return Refusal(409, str(refusal)).answer()
    except DocumentError as refusal:
        store.session().rollback()
        return Refusal(422, str(refusal)).answer()
    except VaultError as refusal:
        store.session().rollback()
        return Refusal(409, str(refusal)).answer()
    except HTTPException:
        store.session().rollback()
        raise
    except IntegrityError:
        store.session().rollback()
        return Refusal(409, gettext("Somebody else changed this meanwhile. Look at it again.")).answer()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", "") != CANCELLED:
            raise
        store.session().rollback()
        return Refusal(409, gettext("This took too long and was given up. Ask for less at once.")).answer()


def _read(operation: Operation, places: dict[str, Any]) -> Response:
    answer = _said(operation, operation.handler(**places, **_given(operation)))
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.vary.update(("Accept", "Accept-Language", "Authorization", "Cookie"))
    answer.set_etag(_stamp(answer.get_data()))
    return answer.make_conditional(request)  # type: ignore[return-value]


def _changed(operation: Operation, places: dict[str, Any]) -> Response:
    """One change, at most once for a key, and only while what it changes is what the caller knows."""
    kept = repeat.begin()
    if isinstance(kept, Response):
        return kept
    given = _given(operation)
    before = _guard(operation, places)
    answer = _said(operation, operation.handler(**places, **given))
    if operation.row is not None and operation.status == 200:
        answer.set_etag(_stamp(answer.get_data()))
    if g.pop("only_tried", False) or (before and before == answer.get_etag()[0]):  # nothing is different now
        store.session().rollback()
        return answer
    store.session().flush()
    repeat.keep(kept, answer)
    store.session().commit()
    return answer


def grave() -> None:
    """Refuse who has not shown lately who they are, and a token that was not made for this. Raises Refusal."""
    if wrong := proof.lacking():
        raise Refusal(403, wrong)


def only_tried() -> None:
    """Of this request nothing stays: it was only asked what would be."""
    g.only_tried = True


def _guard(operation: Operation, places: dict[str, Any]) -> str:
    """Lock what is changed, and tell its version; 412 where the caller knows another one (If-Match)."""
    if operation.row is None:
        return ""
    number = list(places.values())[-1]
    store.session().execute(select(operation.row).where(operation.row.id == number).with_for_update())
    assert operation.now is not None
    store.session().expire_all()
    present = _stamp(_json(operation.now(**places)))
    if "If-Match" in request.headers and not request.if_match.contains(present):
        raise Refusal(412, gettext("It was changed since you read it. Read it again, then change it."))
    return present


def _given(operation: Operation) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if operation.query is not None:
        given["query"] = _parameters(operation.query)
    elif request.args:
        raise Refusal(422, "There is no such parameter here.", parameter=next(iter(request.args)))
    if operation.body is not None:
        given["body"] = _body(operation)
    return given


def _parameters(model: type[BaseModel]) -> BaseModel:
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise Refusal(422, "This is given more than once.", parameter=twice[0])
    known = {field.alias or name for name, field in model.model_fields.items()}
    for name in request.args:
        if name not in known:
            raise Refusal(422, "There is no such parameter here.", parameter=name)
    try:
        return model.model_validate_strings(request.args.to_dict())
    except ValidationError as error:
        raise invalid(error, "query") from None


def _body(operation: Operation) -> Any:
    if request.mimetype not in operation.media:
        raise Refusal(415, f"The body is {' or '.join(operation.media)}; say so in Content-Type.")
    sent = request.get_data()
    if operation.reads is not None:
        try:
            return operation.reads(sent.decode())
        except UnicodeDecodeError:
            raise Refusal(400, "The body is not UTF-8 text.") from None
    assert operation.body is not None
    try:
        return operation.body.model_validate_json(sent, strict=True)
    except ValidationError as error:
        raise invalid(error, "body") from None


def _said(operation: Operation, given: Any) -> Response:
    """What a function gave back, as an answer."""
    if given is None:
        return Response(status=204)
    if isinstance(given, Written):
        return Response(given.text, 200, mimetype=given.media)
    body = given.body if isinstance(given, Made | Asked) else given
    answer = Response(_json(body), operation.status, mimetype=JSON)
    if isinstance(given, Made | Asked):
        answer.headers["Location"] = given.location
    return answer


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(by_alias=True).encode()


def _stamp(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
