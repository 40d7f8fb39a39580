"""What a caller is told when something cannot be done: problem details (RFC 9457) that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webui import faults

MOST = 20
"""Of a body in which everything is wrong, so many things are told."""


class Wrong(BaseModel):
    """One thing that is wrong with what was sent. `pointer` leads into the body, `parameter` names one of the address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    detail: str
    pointer: str | None = Field(default=None, description="A JSON pointer (RFC 6901), as a fragment: `#/address`.")
    parameter: str | None = None


class Problem(BaseModel):
    """Why it was not done (RFC 9457). `reference` stands in the log as well, where the fault is ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int
    title: str
    detail: str
    errors: list[Wrong] | None = None
    reference: str | None = None


class Refusal(Exception):
    """It is not done: a status, one sentence, and where it can be told, what is wrong where."""

    def __init__(
        self,
        code: int,
        sentence: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        errors: Sequence[Wrong] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.headers = code, sentence, headers or {}
        own = [Wrong(detail=sentence, pointer=pointer, parameter=parameter)] if pointer or parameter else []
        self.errors = [*errors, *own]

    def answer(self) -> Response:
        """The refusal as it is sent."""
        more: dict[str, Any] = {}
        if self.errors:
            more["errors"] = [one.model_dump(exclude_none=True) for one in self.errors]
        said = faults.problem(self.code, self.sentence, **more)
        said.headers.update(self.headers)
        return said


def invalid(error: ValidationError, where: str) -> Refusal:
    """What pydantic found, in `body` or `query`."""
    found = error.errors(include_url=False, include_context=True)
    if where == "body" and found[0]["type"] == "json_invalid":
        return Refusal(400, "The body is not JSON.")
    wrongs = [_wrong(one, where) for one in found[:MOST]]
    first = wrongs[0]
    place = f"{first.parameter or (first.pointer or '')[2:].replace('/', '.')}"
    return Refusal(422, f"{place}: {first.detail}" if place else first.detail, errors=wrongs)


def _wrong(one: Any, where: str) -> Wrong:
    steps = [str(step) for step in one["loc"]]
    detail = _sentence(one["type"], str(one.get("ctx", {}).get("error", one["msg"])))
    if where == "query":
        return Wrong(detail=detail, parameter=steps[0] if steps else "")
    path = "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)
    return Wrong(detail=detail, pointer=f"#/{path}")


def _sentence(kind: str, told: str) -> str:
    known = {"missing": "This is missing.", "extra_forbidden": "There is no such field."}
    if kind in known:
        return known[kind]
    words = told.replace("Input should be", "This takes").replace("String should", "This text should").rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."
