"""The tables the notifier writes: whom a notice goes to, what became of it, and what each receiver was last told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.table import Table

STATES = ("waiting", "sending", "sent", "dropped", "dead")


class Delivery(Table):
    """One notice to one route. Made in the transaction that routes the notice, so that neither is without the other.

    `waiting` for `due_at` -> `sending`, leased until `leased_until` -> `sent`; or `dropped` (it needs no telling any more:
    `detail` says why) or `dead` (it cannot be delivered; an admin may send it again). `digest` is the delivery whose
    message told of this one too. `ref` is the provider's name for the message. `step` is the rung of the ladder.
    `unsure`: the last attempt may have been taken although nobody said so (the line was cut, the process died).
    """

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id", ondelete="CASCADE"))
    route_id: Mapped[int | None] = mapped_column(ForeignKey("route.id", ondelete="SET NULL"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    channel_id: Mapped[int | None] = mapped_column(ForeignKey("channel.id", ondelete="SET NULL"), index=True)
    step: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    state: Mapped[str] = mapped_column(server_default="waiting")
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime | None]
    unsure: Mapped[bool] = mapped_column(server_default=text("false"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    sent_at: Mapped[datetime | None]
    digest: Mapped[int | None] = mapped_column(BigInteger)
    ref: Mapped[str] = mapped_column(server_default="")
    detail: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        UniqueConstraint("notice_id", "route_id"),
        CheckConstraint("state in ('waiting', 'sending', 'sent', 'dropped', 'dead')", name="state"),
        Index("delivery_open_idx", "route_id", "id", postgresql_where=text("state in ('waiting', 'sending')")),
        Index("delivery_made_at_idx", "made_at"),
        Index("delivery_dead_idx", "made_at", postgresql_where=text("state = 'dead'")),
    )


class Mark(Table):
    """What a route was last told of a subject (R12): no row = nothing, or that all is well.

    `state` holds since `since`; `at` is when it was told, by `notice_id`; `ref` the provider's name for that message.
    """

    __tablename__ = "mark"

    route_id: Mapped[int] = mapped_column(ForeignKey("route.id", ondelete="CASCADE"), primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    since: Mapped[datetime]
    at: Mapped[datetime]
    notice_id: Mapped[int] = mapped_column(BigInteger)
    incident_id: Mapped[int | None] = mapped_column(BigInteger)
    ref: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (Index(None, "subject"),)


class Escalation(Table):
    """A later rung of the ladder of a notice: told at `due_at` unless somebody has it in hand by then, or it is over."""

    __tablename__ = "escalation"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id", ondelete="CASCADE"))
    step: Mapped[int] = mapped_column(SmallInteger)
    receivers: Mapped[list[str]] = mapped_column(ARRAY(Text))
    due_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        UniqueConstraint("notice_id", "step"),
        Index("escalation_due_idx", "due_at", postgresql_where=text("done_at is null")),
    )
