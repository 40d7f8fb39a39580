"""The tables of how people show who they are: what they typed before they did, factors, tickets, pictures."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.table import Table


class ParkedForm(Table):
    """A form that was sent by somebody who first had to show who they are, kept until they did.

    `sealed` is AES-256-GCM by a key made from the random token in their browser's cookie, of which the database knows
    only the hash: nobody else can read what was typed. `path` is where it was sent, and is bound to it.
    """

    __tablename__ = "parked_form"

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("session.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    parked_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Totp(Table):
    """The app that makes login codes for somebody (RFC 6238): the seed, sealed by the web's key for `totp:<seal_id>`.

    It counts from `confirmed_at` on, when its first code was typed. `last_step` is the number of the 30 seconds whose
    code was taken last: neither that one nor an earlier one is taken again.
    """

    __tablename__ = "totp"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    seal_id: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(BigInteger)


class RecoveryCode(Table):
    """A code that stands in once for an app or a key that was lost. `digest` is its SHA-256 (hex)."""

    __tablename__ = "recovery_code"

    digest: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class Passkey(Table):
    """A key in somebody's device or stick (WebAuthn). Only its public half is here; `site` is the name it is bound to.

    `signs` is its counter: one that goes back has been copied. `transports` is how browsers reach it.
    """

    __tablename__ = "passkey"

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    site: Mapped[str]
    credential: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public: Mapped[bytes] = mapped_column(LargeBinary)
    signs: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    transports: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class SpentChallenge(Table):
    """A question that a passkey has answered: no answer to it is taken a second time. `digest` is its SHA-256 (hex)."""

    __tablename__ = "spent_challenge"

    digest: Mapped[str] = mapped_column(primary_key=True)
    spent_at: Mapped[datetime] = mapped_column(server_default=func.now())


class HalfLogin(Table):
    """Somebody whose password was right and whose second factor is awaited. `id` is the hash of the browser's token."""

    __tablename__ = "half_login"

    id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    began_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Portrait(Table):
    """The picture of somebody: a square JPEG that Pantau drew itself. `stamp` changes with it."""

    __tablename__ = "portrait"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    stamp: Mapped[str]
    image: Mapped[bytes] = mapped_column(LargeBinary)
    drawn_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Ticket(Table):
    """A link that lets somebody choose a password, once. `id` is the SHA-256 (hex) of the token in the link.

    `kind` is `invite` for somebody new (seven days) or `reset` for a password that was lost (thirty minutes).
    """

    __tablename__ = "ticket"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("kind in ('invite', 'reset')", name="kind"),)


class Provider(Table):
    """Where people may log in instead of here: an OpenID Connect provider. There is at most one (`id` 1).

    `sealed` is the client's secret, sealed by the web's key for `provider:<seal_id>`. `claim` holds somebody's groups;
    `mapping` is [{"group", "role", "division"}]: a role everywhere where `division` is empty, else one there. With
    `makes_people` whoever logs in for the first time is made here, without it they must be known by their address.
    """

    __tablename__ = "provider"

    id: Mapped[int] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    label: Mapped[str]
    issuer: Mapped[str]
    client: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    seal_id: Mapped[str]
    claim: Mapped[str] = mapped_column(server_default="groups")
    mapping: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    makes_people: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (CheckConstraint("id = 1", name="one"),)


class Foreign(Table):
    """Somebody of a provider is somebody here: by `issuer` and `subject`, which never change, and not by an address."""

    __tablename__ = "foreign_identity"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    linked_at: Mapped[datetime] = mapped_column(server_default=func.now())
