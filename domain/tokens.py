"""The tables of what programs come with: tokens, and what they were answered when they asked for something to be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, LargeBinary, SmallInteger, Text, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.inventory import Person
from domain.rights import Right
from domain.table import Table

PREFIX = "pantau_"
"""What every token begins with, so that one that was published by mistake is found by whoever scans for such."""
LASTS = timedelta(days=90)
LONGEST = timedelta(days=366)
_HANDLE = frozenset({Right.SEE, Right.TALK, Right.HANDLE, Right.MAINTAIN, Right.LOOK, Right.ASK})
SCOPES: Mapping[str, frozenset[Right]] = {
    "read": frozenset({Right.SEE}),
    "handle": _HANDLE,
    "edit": frozenset({Right.SEE, Right.LOOK, Right.EDIT}),
    "admin": frozenset(Right) - {Right.APPROVE},
    "logins": frozenset({Right.SEE}),
}
"""What a token may be used for. It lets nobody do what they may not do themselves; and approving is for people alone."""
ACCOUNT, LOGINS = "admin", "logins"
"""The scope that reaches its person's other tokens; and the one that beside `admin` stores logins, says where they go
and who may log in here, for which a person at a page shows once more who they are."""


def reach(scopes: Iterable[str]) -> frozenset[Right]:
    """The rights a token with these scopes carries at most."""
    return frozenset().union(*(SCOPES[scope] for scope in scopes if scope in SCOPES))


class ApiToken(Table):
    """A program's way in, in the name of a person. `hash` is the SHA-256 of the token: the table alone opens nothing.

    `hint` are its first characters after the prefix, to tell one from another. Used no more after `expires_at`, once
    `revoked_at` is set, or when its person is switched off (which sets it). `source` is where it was made, `used_from`
    where it was last used.
    """

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    hint: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    source: Mapped[str] = mapped_column(server_default="")
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    used_from: Mapped[str] = mapped_column(server_default="")

    person: Mapped[Person] = relationship()

    __table_args__ = (
        CheckConstraint("length(hash) = 32", name="hash"),
        CheckConstraint("cardinality(scopes) > 0", name="scopes"),
    )


class Answered(Table):
    """What was answered to an Idempotency-Key, kept for a day. `asked` is the SHA-256 of the request.

    `owner` is `token:ID` or `person:ID`. Without a `status` the request is still being answered, in its transaction.
    """

    __tablename__ = "answered"

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    asked: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
