"""What every shape of the API is made of: models that take no unknown field, pages, and moments that fit everywhere."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from webui.api.problems import Refusal

MOST = 500
"""So many entries come on one page at most."""
USUAL = 100
DAY = re.compile(r"\d{4}-\d\d-\d\d[T ]")
LARGEST = 2**31 - 1
"""The largest number of a row."""

Item = TypeVar("Item")
Row = TypeVar("Row")


class Model(BaseModel):
    """Anything that is sent or answered: an unknown field is an error, never a silent nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(Model):
    """Something by its number and name."""

    id: int
    name: str


def _moment(given: object) -> object:
    """Texts alone become moments: whatever else is sent is none."""
    if isinstance(given, datetime):
        return given
    if not isinstance(given, str) or not DAY.match(given):
        raise ValueError("takes a moment such as 2026-11-21T22:00:00+07:00")
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise ValueError("takes a moment such as 2026-11-21T22:00:00+07:00") from None
    if at.tzinfo is None:
        raise ValueError("needs its offset from UTC, such as +07:00 or Z")
    if not 1970 <= at.year <= 2999:
        raise ValueError("lies between the years 1970 and 2999")
    return at.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A moment somebody sends: with its offset from UTC, and near enough that every clock can hold it."""
Id = Annotated[int, Field(ge=1, le=LARGEST)]


def plain(text: str) -> str:
    """`text`, or a refusal where it holds what cannot be seen."""
    if any(ord(c) < 32 and c not in "\n\t" for c in text):
        raise ValueError("holds characters that cannot be seen")
    return text


Line = Annotated[str, AfterValidator(plain), Field(max_length=200)]
"""Some words."""
Words = Annotated[str, AfterValidator(plain), Field(max_length=2000)]
"""Some sentences."""


class Paged(Model):
    """How much of a list is asked for, and where it goes on."""

    limit: Annotated[int, Field(ge=1, le=MOST, description="So many entries at most.")] = USUAL
    cursor: Annotated[str, Field(max_length=200, description="`next` of the page before.")] = ""


class Page(Model, Generic[Item]):
    """A part of a list. `next` is the cursor that brings what follows; null at its end."""

    items: list[Item]
    next: str | None


def after(cursor: str) -> int:
    """The number a cursor stands for: what follows has a larger one (or a smaller one, newest first). 0 for none."""
    if not cursor:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(cursor.encode("ascii") + b"==").decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        word, number = "", ""
    if word != "after" or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Refusal(422, "This cursor is none of ours; begin without one.", parameter="cursor")
    return int(number)


def cursor(number: int) -> str:
    """What `after` reads back."""
    return base64.urlsafe_b64encode(f"after:{number}".encode()).decode().rstrip("=")


def page(found: Sequence[Row], limit: int, id: Callable[[Row], int], shape: Callable[[Row], Item]) -> Page[Item]:
    """The first `limit` of `found`, which may hold one more, or many; in the order they come."""
    return Page(
        items=[shape(row) for row in found[:limit]], next=cursor(id(found[limit - 1])) if len(found) > limit else None
    )
