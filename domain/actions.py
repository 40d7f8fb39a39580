"""The tables of what is done to machines: who asked, who agreed, what came of it, and by which rules."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.inventory import Host, Person
from domain.table import Table

OPEN = ("waiting", "approved", "running")
ENDED = ("done", "failed", "unknown", "refused", "expired", "cancelled")
STATES = (*OPEN, *ENDED)
"""`unknown`: the order may have been carried out or not; it is never sent again, somebody looks."""


class Request(Table):
    """An action somebody asked for, and its whole way. domain/approving.py alone changes `state`.

    `kind` and `params` are an order (domain/orders.py); `bound` is what an agreement is bound to. `needs`, `local` and
    `by` are the rule as it was when it was asked for. `boot` is the start of the machine the requester saw (its
    `host.boot.id`), `impact` what was shown to everybody who was to agree. `glass`: done without the agreement it
    needed, by whose own decision. `incident_id`: why; when that is over, so is the request.

    `claimed_at` by the poller `run`; `sent_at` stands before a byte of the order leaves. `outcome` is {"text": sentence,
    "before", "after": the proof}.
    """

    __tablename__ = "request"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)
    bound: Mapped[str]
    reason: Mapped[str]
    client: Mapped[str | None]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    needs: Mapped[int] = mapped_column(SmallInteger)
    local: Mapped[int] = mapped_column(SmallInteger)
    by: Mapped[str] = mapped_column(server_default="approvers")
    expires_at: Mapped[datetime]
    incident_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("incident.id", ondelete="SET NULL"), index=True
    )
    boot: Mapped[str] = mapped_column(server_default="")
    impact: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    glass: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[str] = mapped_column(server_default="waiting")
    approved_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    run: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    outcome: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))

    host: Mapped[Host] = relationship()
    maker: Mapped[Person | None] = relationship(foreign_keys=[made_by])
    ender: Mapped[Person | None] = relationship(foreign_keys=[ended_by])
    votes: Mapped[list[Vote]] = relationship(
        back_populates="request", cascade="all, delete-orphan", passive_deletes=True, order_by="Vote.at"
    )

    __table_args__ = (
        CheckConstraint(f"state in {STATES}", name="state"),
        CheckConstraint("needs between 0 and 9 and local between 0 and 9", name="quorum"),
        CheckConstraint("by in ('approvers', 'operators')", name="by"),
        Index("request_open_idx", "state", postgresql_where=text(f"state in {OPEN}")),
        Index("request_busy_key", "host_id", unique=True, postgresql_where=text("state = 'running'")),
        Index("request_client_key", "made_by", "client", unique=True),
        Index(None, "ended_at"),
    )


class Vote(Table):
    """What one person said to one request: once."""

    __tablename__ = "vote"

    request_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    agrees: Mapped[bool]
    reason: Mapped[str] = mapped_column(server_default="")
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    request: Mapped[Request] = relationship(back_populates="votes")
    person: Mapped[Person] = relationship()


class Step(Table):
    """One line of the live log of a request. `code` and `detail` are put into words by whoever shows it."""

    __tablename__ = "step"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    request_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("request.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    code: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))


class Summons(Table):
    """Somebody is to be told of a request: `why` is `asked`, `approved`, `ended` or `glass`. The notifier sets `routed_at`."""

    __tablename__ = "summons"

    request_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    why: Mapped[str] = mapped_column(primary_key=True)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    routed_at: Mapped[datetime | None]

    __table_args__ = (Index("summons_new_idx", "request_id", postgresql_where=text("routed_at is null")),)


class ActionRule(Table):
    """Who must agree to what: the first that fits, by `position`, holds (domain/quorum.py). None fits everything.

    `kind` is an order's kind or empty; `group_id` is the class of machine.
    """

    __tablename__ = "action_rule"

    id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(unique=True)
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("host_group.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(server_default="")
    allow: Mapped[bool] = mapped_column(server_default=text("true"))
    needs: Mapped[int] = mapped_column(SmallInteger, server_default=text("2"))
    local: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    by: Mapped[str] = mapped_column(server_default="approvers")
    alone: Mapped[bool] = mapped_column(server_default=text("false"))
    expires_s: Mapped[int] = mapped_column(server_default=text("900"))

    __table_args__ = (
        CheckConstraint("needs between 1 and 9 and local between 0 and needs", name="quorum"),
        CheckConstraint("by in ('approvers', 'operators')", name="by"),
        CheckConstraint("expires_s between 60 and 86400", name="expires"),
    )


class HostService(Table):
    """A service of a machine that may be restarted, started and stopped from here; no other may."""

    __tablename__ = "host_service"

    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class Runbook(Table):
    """A script that is always the same, with parameters of which each is one of few things (domain/orders.py).

    It runs once somebody other than its writer has read it: `reviewed_by`, of the text with SHA-256 `reviewed`.
    """

    __tablename__ = "runbook"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    note: Mapped[str] = mapped_column(server_default="")
    script: Mapped[str]
    parameters: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("host_group.id", ondelete="SET NULL"), index=True)
    deadline_s: Mapped[int] = mapped_column(server_default=text("60"))
    written_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reviewed_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    reviewed_at: Mapped[datetime | None]
    reviewed: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (CheckConstraint("deadline_s between 5 and 3600", name="deadline"),)
