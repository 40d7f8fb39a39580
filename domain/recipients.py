"""The tables people edit about who is told, by which way, and when: channels, routes, policies, rotas, wordings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.inventory import Division, HostGroup, Person, Site
from domain.table import Table


class Channel(Table):
    """A way to people, set up once: a mail server, a bot, a push sender. `kind` names one of notifier/channels.

    `options` are the values of its Options dataclass. `sealed` holds its secrets, JSON by name, sealed for
    `channel:<seal_id>` with the notifier's key, which alone reads it; None where it needs none. `armed` says which.
    """

    __tablename__ = "channel"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(unique=True)
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    armed: Mapped[bool] = mapped_column(Computed("sealed is not null", persisted=True))
    seal_id: Mapped[str]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Route(Table):
    """One address on one channel: a person's own, or, without a person, a group's (a chat, a webhook).

    `address` are the values of the channel's Address dataclass. Where they are secrets (a webhook, a push subscription)
    they lie in `sealed`, JSON sealed for `route:<seal_id>` with the notifier's key, which alone reads it, and `address`
    is only what may be read of them (notifier/addresses.py). `name` tells one's devices apart. `severity` is the least
    that is told: `warning` = all, `critical` = what is down or critical alone. In the quiet hours, from `quiet_from` until
    `quiet_to` (minutes after local midnight, over midnight where to <= from) on the days of `quiet_days` (Monday = 0; the
    day it begins; empty = every day), nothing is told, but what is critical where `quiet_critical`. `muted_until` silences
    all. `hourly` is how many messages an hour at most, the rest go into a digest. `discreet` hides names on a locked
    screen. `verified_at`: somebody with this address said that it is theirs. `gone_at`: the provider said that it does not
    exist any more.
    """

    __tablename__ = "route"

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(server_default="")
    address: Mapped[dict[str, Any]]
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    seal_id: Mapped[str] = mapped_column(server_default="")
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    severity: Mapped[str] = mapped_column(server_default="warning")
    recoveries: Mapped[bool] = mapped_column(server_default=text("true"))
    quiet_from: Mapped[int | None]
    quiet_to: Mapped[int | None]
    quiet_days: Mapped[list[int]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    quiet_critical: Mapped[bool] = mapped_column(server_default=text("true"))
    muted_until: Mapped[datetime | None]
    hourly: Mapped[int] = mapped_column(server_default=text("60"))
    discreet: Mapped[bool] = mapped_column(server_default=text("false"))
    language: Mapped[str | None]
    zone: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    verified_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]

    person: Mapped[Person | None] = relationship()
    channel: Mapped[Channel] = relationship()

    __table_args__ = (
        CheckConstraint("severity in ('warning', 'critical')", name="severity"),
        CheckConstraint("quiet_from between 0 and 1439 and quiet_to between 0 and 1439", name="quiet"),
        CheckConstraint("(quiet_from is null) = (quiet_to is null)", name="quiet_both"),
        CheckConstraint("hourly between 1 and 1000", name="hourly"),
        CheckConstraint("(sealed is null) = (seal_id = '')", name="seal"),
    )


class Linking(Table):
    """A code by which somebody shows that a chat is theirs. `code` is the SHA-256 (hex) of what they type there.

    With a `thread_id` it joins that thread to the chat where it is typed (domain.chat.Joint), and is nobody's address.
    """

    __tablename__ = "linking"

    code: Mapped[str] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    thread_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("thread.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]


class Policy(Table):
    """Who is told of what: the first policy in the order of `position` that fits decides; none fits: the usual ladder.

    It fits machines of `division_id`, `site_id` and `group_id` (None = any), trouble of `severity` (None = any), at the
    hours from `from_minute` until `to_minute` of `days` in `zone` (as Route's quiet hours; None = always). `steps` are
    [{"after": seconds since the trouble was told, "to": [receivers]}]; a receiver is `pic`, `deputy`, `staff` (of the
    machine's division), `admins`, `person:<id>`, `rota:<id>` or `route:<id>`. No step: nobody is told.
    """

    __tablename__ = "policy"

    id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(unique=True)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("host_group.id", ondelete="CASCADE"), index=True)
    severity: Mapped[str | None]
    from_minute: Mapped[int | None]
    to_minute: Mapped[int | None]
    days: Mapped[list[int]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    zone: Mapped[str]
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)

    division: Mapped[Division | None] = relationship()
    site: Mapped[Site | None] = relationship()
    group: Mapped[HostGroup | None] = relationship()

    __table_args__ = (
        CheckConstraint("severity in ('warning', 'critical')", name="severity"),
        CheckConstraint("(from_minute is null) = (to_minute is null)", name="hours_both"),
        CheckConstraint("from_minute between 0 and 1439 and to_minute between 0 and 1439", name="hours"),
    )


class Rota(Table):
    """Who is on call in turn: `people` (person ids) one after the other, each for `days` days from `starts_at` on.

    The hour of `starts_at` in `zone` is when one hands over to the next. `token` is the SHA-256 (hex) of what opens its
    calendar; `calendar` where shifts are read from another calendar, an address, None where they are not.
    """

    __tablename__ = "rota"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    zone: Mapped[str]
    starts_at: Mapped[datetime]
    days: Mapped[int] = mapped_column(server_default=text("7"))
    people: Mapped[list[int]] = mapped_column(JSONB)
    token: Mapped[str | None] = mapped_column(unique=True)

    shifts: Mapped[list[Shift]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="Shift.since"
    )

    __table_args__ = (CheckConstraint("days between 1 and 365", name="days"),)


class Shift(Table):
    """Somebody is on call from `since` until `until` whatever the turn says: a swap, or read from a calendar (`uid`)."""

    __tablename__ = "shift"

    id: Mapped[int] = mapped_column(primary_key=True)
    rota_id: Mapped[int] = mapped_column(ForeignKey("rota.id", ondelete="CASCADE"))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    since: Mapped[datetime]
    until: Mapped[datetime]
    uid: Mapped[str | None]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))

    person: Mapped[Person] = relationship(foreign_keys=[person_id])

    __table_args__ = (
        CheckConstraint("since < until", name="order"),
        UniqueConstraint("rota_id", "uid", "since"),
        Index(None, "rota_id", "since"),
    )


class Wording(Table):
    """How a kind of message is worded here instead of as it comes: templates of one language for the sandbox."""

    __tablename__ = "wording"

    kind: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str]
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Lookout(Table):
    """An address that is called every `every` seconds while machines are looked at: silence there is an alarm there.

    `tried_at` is when it was last called, `told_at` when it was last reached, `error` why it was not since (empty: it was).
    """

    __tablename__ = "lookout"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    every: Mapped[int] = mapped_column(server_default=text("60"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    tried_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (CheckConstraint("every between 10 and 86400", name="every"),)
