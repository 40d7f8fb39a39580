"""The tables people edit: what is watched, how, by whom, with which credentials."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    select,
    text,
    true,
)
from sqlalchemy import Table as Association
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.orm import Session as OrmSession

from domain import rights
from domain.rights import Right
from domain.table import Table

host_in_group = Association(
    "host_in_group",
    Table.metadata,
    Column("host_id", ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", ForeignKey("host_group.id", ondelete="CASCADE"), primary_key=True, index=True),
)

host_parent = Association(
    "host_parent",
    Table.metadata,
    Column("host_id", ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column("parent_id", ForeignKey("host.id", ondelete="CASCADE"), primary_key=True, index=True),
    CheckConstraint("host_id <> parent_id", name="not_its_own"),
)


class Division(Table):
    """A part of the company whose machines one person is in charge of."""

    __tablename__ = "division"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Site(Table):
    """A place where machines stand. `latitude` and `longitude` in degrees (WGS 84), both or neither; `zone` its clock."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    address: Mapped[str] = mapped_column(server_default="")
    latitude: Mapped[float | None] = mapped_column(Double)
    longitude: Mapped[float | None] = mapped_column(Double)
    zone: Mapped[str | None]
    note: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        CheckConstraint("(latitude is null) = (longitude is null)", name="both"),
        CheckConstraint("latitude between -90 and 90 and longitude between -180 and 180", name="degrees"),
    )


class HostGroup(Table):
    """A named set of machines, for filters and shared thresholds."""

    __tablename__ = "host_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Person(Table):
    """Somebody who can log in. `login` is lower case; `language` and `theme` are None to follow the browser.

    `role` is what they are everywhere, one of `rights.EVERYWHERE`; what they are in a division says Membership.
    `zone` is the clock their messages are written by, None for the installation's. `password_hash` is empty where nobody
    has chosen one: then no password opens it. `email` is where a lost password is mended; `email_sure` says that somebody
    else vouches for it, an administrator or a provider of identities. What is told of machines goes by routes.
    """

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="none")
    language: Mapped[str | None]
    theme: Mapped[str | None]
    zone: Mapped[str | None]
    email_sure: Mapped[bool] = mapped_column(server_default=text("false"))
    email: Mapped[str] = mapped_column(server_default="")
    phone: Mapped[str] = mapped_column(server_default="")
    position: Mapped[str] = mapped_column(server_default="")
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    password_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())

    memberships: Mapped[list[Membership]] = relationship(
        back_populates="person", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        CheckConstraint("login = lower(login)", name="login_lower"),
        CheckConstraint("role in ('admin', 'operator', 'approver', 'viewer', 'none')", name="role"),
    )


class Membership(Table):
    """What a person is in a division, one of `rights.LOCAL`; somebody may be several things in one division.

    `pic` is in charge of its machines, `deputy` stands in, `staff` is told of them. Whoever has any of these sees the
    machines of the division; what else they may do with them says domain/rights.py.
    """

    __tablename__ = "membership"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    division_id: Mapped[int] = mapped_column(
        ForeignKey("division.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(primary_key=True)

    person: Mapped[Person] = relationship(back_populates="memberships")
    division: Mapped[Division] = relationship()

    __table_args__ = (
        CheckConstraint("role in ('operator', 'pic', 'deputy', 'approver', 'staff', 'viewer')", name="role"),
    )


class Session(Table):
    """One browser logged in. `id` is the SHA-256 (hex) of the cookie's random token: the table alone opens nothing.

    `proved_at` is when its person last showed who they are.
    """

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    proved_at: Mapped[datetime] = mapped_column(server_default=func.now())
    source: Mapped[str] = mapped_column(server_default="")
    browser: Mapped[str] = mapped_column(server_default="")

    person: Mapped[Person] = relationship()


class LoginAttempt(Table):
    """One failed login, kept to slow the next ones down, per account and per source."""

    __tablename__ = "login_attempt"

    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str]
    source: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "account", "at"), Index(None, "source", "at"))


class Setting(Table):
    """Installation-wide values.

    Keys: `setup_token` = {"sha256": hex of the one-time token, "made_at": ISO time} while there is no person;
    `installation` = {"id": uuid}; `cookie_key` = {"hex": 32 bytes} for signing browser cookies;
    `bot:<channel id>` = {"username"} of a Telegram bot, as the notifier found it.
    """

    __tablename__ = "setting"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]


CREDENTIALS = {
    "password": ("password",),
    "ssh_key": ("private_key", "passphrase"),
    "community": ("password",),
    "snmp_v3": ("password", "passphrase"),
}
"""The kinds of credential, and which fields of a Secret each one seals (as JSON by field name).

An SNMP community is a password without a user; an SNMP user has an authentication and a privacy password.
"""


class Credential(Table):
    """A login for watched machines. `sealed` opens only in the poller (config/vault.py), bound to this row's `seal_id`.
    Whoever has no business with it never reads it (config/roles.py): it is loaded when it is asked for, and not before.

    `kind` is one of `CREDENTIALS`. `source` tells where the secret came from, for `pantau apply`:
    `typed`, `env:NAME` or `file:PATH`. Where `fetched_from` is not empty the secret is not stored at all: the poller
    fetches it there at each use (poller/sources.py), and `sealed` is empty. `public_key` is the public half of a key that
    was made here; `certificate` an OpenSSH certificate for the key, neither of them secret.
    """

    __tablename__ = "credential"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    username: Mapped[str] = mapped_column(server_default="")
    sealed: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    seal_id: Mapped[str]
    source: Mapped[str] = mapped_column(server_default="typed")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    last_used_at: Mapped[datetime | None]
    fetched_from: Mapped[str] = mapped_column(server_default="")
    public_key: Mapped[str] = mapped_column(server_default="")
    certificate: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (CheckConstraint("kind in ('password', 'ssh_key', 'community', 'snmp_v3')", name="kind"),)


FETCHABLE = ("password", "ssh_key", "community")
"""Kinds of credential with one secret, which can be kept elsewhere."""

FETCHED = {
    "env": re.compile(r"SECRET_[A-Z0-9_]{1,100}"),
    "file": re.compile(r"/[^\x00-\x1f\x7f]{1,400}"),
    "vault": re.compile(r"[A-Za-z0-9_-]{1,60}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}){1,20}#[A-Za-z0-9_.-]{1,100}"),
}
"""Where a secret may be fetched from: `env:SECRET_NAME`, `file:/path`, `vault:mount/path#field`."""


def fetched_wrong(source: str) -> str:
    """What is wrong with a `fetched_from`, as a sentence; empty when it can be asked."""
    how, _, place = source.partition(":")
    if how not in FETCHED:
        return "A secret is fetched from env:SECRET_NAME, file:/path or vault:mount/path#field."
    if not FETCHED[how].fullmatch(place):
        return {
            "env": "A variable begins with SECRET_ and has capital letters, digits and underscores.",
            "file": "A file is told by its whole path, which begins with a slash.",
            "vault": "A place in the vault looks like mount/path#field.",
        }[how]
    return ""


def next_id(session: OrmSession, table: str = "credential") -> int:
    """The id of a row that is about to be made: its secret is sealed for it."""
    found = session.scalar(select(func.nextval(func.pg_get_serial_sequence(table, "id"))))
    assert found is not None
    return int(found)


class CredentialUse(Table):
    """When a credential was first and last used at a machine, written by the poller; `last_at` at most ten minutes old."""

    __tablename__ = "credential_use"

    credential_id: Mapped[int] = mapped_column(ForeignKey("credential.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), primary_key=True, index=True)
    first_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RetiredKey(Table):
    """A key of the vault that is gone, by its number: the database takes no box that was sealed for it."""

    __tablename__ = "retired_key"

    number: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Host(Table):
    """One watched machine. `interval_s`, `attempts` and `recover_after` are None to follow the installation's default.

    With `adopts_guests` the machines it tells as its guests become its children (domain/guests.py). `sensitivity` is how
    far from its own normal is a warning (domain/baseline.py), learnt from what came after `learn_from` alone, if given.
    `runbook` is what to do when it is in trouble: sentences, or the address of a page. `action_credential_id` is the login
    that may restart it; no look ever opens it.
    """

    __tablename__ = "host"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    address: Mapped[str]
    note: Mapped[str] = mapped_column(server_default="")
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    adopts_guests: Mapped[bool] = mapped_column(server_default=text("false"))
    interval_s: Mapped[float | None]
    attempts: Mapped[int | None]
    recover_after: Mapped[int | None]
    sensitivity: Mapped[str] = mapped_column(server_default="usual")
    learn_from: Mapped[datetime | None]
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="SET NULL"), index=True)
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id", ondelete="SET NULL"), index=True)
    runbook: Mapped[str] = mapped_column(server_default="")
    action_credential_id: Mapped[int | None] = mapped_column(
        ForeignKey("credential.id", ondelete="RESTRICT"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    division: Mapped[Division | None] = relationship()
    site: Mapped[Site | None] = relationship()
    groups: Mapped[list[HostGroup]] = relationship(secondary=host_in_group, order_by="HostGroup.name")
    parents: Mapped[list[Host]] = relationship(
        secondary=host_parent,
        primaryjoin=id == host_parent.c.host_id,
        secondaryjoin=id == host_parent.c.parent_id,
    )
    checks: Mapped[list[Check]] = relationship(
        back_populates="host", cascade="all, delete-orphan", order_by="Check.id", passive_deletes=True
    )
    thresholds: Mapped[list[Threshold]] = relationship(
        cascade="all, delete-orphan", order_by="Threshold.id", passive_deletes=True
    )

    __table_args__ = (
        CheckConstraint("interval_s between 1 and 86400", name="interval"),
        CheckConstraint("attempts between 1 and 20", name="attempts"),
        CheckConstraint("recover_after between 1 and 20", name="recover_after"),
        CheckConstraint("sensitivity in ('off', 'wide', 'usual', 'narrow')", name="sensitivity"),
    )


class Check(Table):
    """One way one machine is looked at. `kind` names a probe, `options` are the values of its Options dataclass."""

    __tablename__ = "host_check"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    kind: Mapped[str]
    name: Mapped[str]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    credential_id: Mapped[int | None] = mapped_column(ForeignKey("credential.id", ondelete="RESTRICT"), index=True)
    interval_s: Mapped[float | None]
    deadline_s: Mapped[float] = mapped_column(server_default=text("10"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    reachability: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    host: Mapped[Host] = relationship(back_populates="checks")
    credential: Mapped[Credential | None] = relationship()

    __table_args__ = (
        UniqueConstraint("host_id", "name"),
        CheckConstraint("interval_s between 1 and 86400", name="interval"),
        CheckConstraint("deadline_s between 0.1 and 300", name="deadline"),
    )


class Addition(Table):
    """Machines added (or edited) together, so that it can be undone together.

    `how` is `discovery` or `import`; `lines` are the changes as `pantau apply` tells them. `before` and `after` are
    the machines concerned as entries of a configuration document by name, `before` None where there was none;
    groups, divisions and sites that were made for it are {"groups": [...], "divisions": [...], "sites": [...]}.
    """

    __tablename__ = "addition"

    id: Mapped[int] = mapped_column(primary_key=True)
    how: Mapped[str]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lines: Mapped[list[str]] = mapped_column(JSONB)
    before: Mapped[dict[str, Any]] = mapped_column(JSONB)
    after: Mapped[dict[str, Any]] = mapped_column(JSONB)
    groups: Mapped[dict[str, list[str]]] = mapped_column(JSONB)
    undone_at: Mapped[datetime | None]


class HostKey(Table):
    """An SSH host key seen at a machine. `state`: `pinned` is trusted; `offered` is a changed one awaiting an admin."""

    __tablename__ = "host_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    port: Mapped[int]
    key: Mapped[str]
    fingerprint: Mapped[str]
    state: Mapped[str]
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))

    __table_args__ = (
        UniqueConstraint("host_id", "port", "key"),
        CheckConstraint("state in ('pinned', 'offered')", name="state"),
    )


class Threshold(Table):
    """A limit on one measure, for one host, one group or one division; with none of them, for every machine.

    `over` or `under` (exactly one) is crossed for `for_s` seconds, and left at `clear` for `clear_for_s` (R15, R16).
    """

    __tablename__ = "threshold"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("host_group.id", ondelete="CASCADE"), index=True)
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    measure: Mapped[str]
    part: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str]
    over: Mapped[float | None]
    under: Mapped[float | None]
    clear: Mapped[float | None]
    for_s: Mapped[float] = mapped_column(server_default=text("300"))
    clear_for_s: Mapped[float] = mapped_column(server_default=text("0"))

    group: Mapped[HostGroup | None] = relationship()
    division: Mapped[Division | None] = relationship()

    __table_args__ = (
        CheckConstraint("state in ('warning', 'critical')", name="state"),
        CheckConstraint("(over is null) <> (under is null)", name="one_side"),
        CheckConstraint("num_nonnulls(host_id, group_id, division_id) <= 1", name="one_owner"),
        UniqueConstraint(
            "host_id", "group_id", "division_id", "measure", "part", "state",
            name="threshold_owner_measure_part_state_key", postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip


def owner(row: Threshold) -> tuple[str, int | None]:
    """Whose limit it is: `host`, `group`, `division` with its id, or `all`."""
    for name in ("host", "group", "division"):
        if (found := getattr(row, f"{name}_id")) is not None:
            return name, found
    return "all", None


class LimitEdit(Table):
    """Limits changed together, so that it can be undone together: the rows as they were, and as they became.

    A row is the columns of Threshold by name, without its id.
    """

    __tablename__ = "limit_edit"

    id: Mapped[int] = mapped_column(primary_key=True)
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    before: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    after: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    undone_at: Mapped[datetime | None]


class LoadTest(Table):
    """A machine recorded idle from `idle_at` and under load from `load_at`, each for so many minutes.

    `load_at` is None until somebody starts the second recording; `ended_at` is set when it was taken over or dropped.
    """

    __tablename__ = "load_test"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    minutes: Mapped[int]
    idle_at: Mapped[datetime] = mapped_column(server_default=func.now())
    load_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("minutes between 2 and 10", name="minutes"),)


class Window(Table):
    """Maintenance (R11) on exactly one of a host, a group, a division, a site, or `everything`; domain.calendar computes it.

    `kind` and `options` are those of calendar.read; `note` says why, in the words of whoever made it. From `ended_at`
    on nothing of it counts; occurrences that began before `resumes_at` were ended early, later ones come.
    """

    __tablename__ = "maintenance_window"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str] = mapped_column(server_default="")
    kind: Mapped[str]
    options: Mapped[dict[str, Any]]
    zone: Mapped[str]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("host_group.id", ondelete="CASCADE"), index=True)
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    everything: Mapped[bool] = mapped_column(server_default=text("false"))
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    resumes_at: Mapped[datetime | None]

    host: Mapped[Host | None] = relationship()
    group: Mapped[HostGroup | None] = relationship()
    division: Mapped[Division | None] = relationship()
    site: Mapped[Site | None] = relationship()
    maker: Mapped[Person | None] = relationship(foreign_keys=[made_by])
    ender: Mapped[Person | None] = relationship(foreign_keys=[ended_by])

    __table_args__ = (
        CheckConstraint("kind in ('once', 'weekly', 'cron')", name="kind"),
        CheckConstraint(
            "num_nonnulls(host_id, group_id, division_id, site_id) + everything::int = 1", name="one_target"
        ),
    )


def within(person: Person, right: Right) -> ColumnElement[bool]:
    """The machines with which `person` has `right`, as a condition on Host."""
    if right in rights.OF[person.role]:
        return true()
    own = select(Membership.division_id).where(
        Membership.person_id == person.id, Membership.role.in_(rights.roles_with(right))
    )
    return Host.division_id.in_(own)


def visible(person: Person) -> ColumnElement[bool]:
    """The machines `person` may know of, as a condition on Host."""
    return within(person, Right.SEE)
