"""The tables of what happens unattended: schedules and their runs, remedies, and the standing approvals of both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.inventory import Division, Host, HostGroup, Person
from domain.table import Table

KINDS = ("action", "report", "discovery", "backup")
RUN_STATES = ("waiting", "running", "done", "failed", "missed", "skipped", "unknown")
WELL, ILL = ("done",), ("failed", "missed", "unknown")
"""How a run may end: what ends an incident, and what begins one. What was skipped does neither."""
LONGEST_APPROVAL = 180
"""Days after which whoever agreed is asked again."""
FIRED = ("dry", "asked", "not_done")


class Mandate(Table):
    """A standing approval: an order, for one machine or those of a group (in the division, where there is one), and when.

    `condition` is what makes it happen: {"cron", "zone"} of a schedule, or {"remedy": ...} of a remedy. `bound` is what
    everybody's agreement is of; it is made anew whenever something is changed, and earlier agreements go. `agreed_at` is
    when enough had agreed; it holds for `days` from then.
    """

    __tablename__ = "mandate"

    id: Mapped[int] = mapped_column(primary_key=True)
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("host_group.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)
    reason: Mapped[str]
    condition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    days: Mapped[int] = mapped_column(SmallInteger)
    bound: Mapped[str] = mapped_column(server_default="")
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    agreed_at: Mapped[datetime | None]

    host: Mapped[Host | None] = relationship()
    group: Mapped[HostGroup | None] = relationship()
    division: Mapped[Division | None] = relationship()
    asker: Mapped[Person | None] = relationship()
    consents: Mapped[list[Consent]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="Consent.at"
    )

    __table_args__ = (
        CheckConstraint("num_nonnulls(host_id, group_id) = 1", name="one_target"),
        CheckConstraint(f"days between 1 and {LONGEST_APPROVAL}", name="days"),
    )


class Consent(Table):
    """What one person said to one standing approval: once, until it is made anew."""

    __tablename__ = "consent"

    mandate_id: Mapped[int] = mapped_column(ForeignKey("mandate.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    agrees: Mapped[bool]
    reason: Mapped[str] = mapped_column(server_default="")
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    person: Mapped[Person] = relationship()


class Schedule(Table):
    """Something that happens by itself, by cron (domain/cron.py) in `zone`. `next_at` is when next, in the poller's hand.

    `kind` is one of KINDS; `division_id` whose it is, None: the whole installation's. `options` by kind: of a report
    {"people": [ids]}, of a discovery {"text", "rate", "credentials", "trace", "people"}, of a backup {"keep"}; what an
    action does stands in its mandate. While one run goes on, the next is left out (`skip`) or waits; what is later than
    `grace_s` is missed.
    """

    __tablename__ = "schedule"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    mandate_id: Mapped[int | None] = mapped_column(ForeignKey("mandate.id", ondelete="CASCADE"), unique=True)
    expression: Mapped[str]
    zone: Mapped[str]
    overlap: Mapped[str] = mapped_column(server_default="skip")
    grace_s: Mapped[int] = mapped_column(server_default=text("3600"))
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    next_at: Mapped[datetime | None]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())

    division: Mapped[Division | None] = relationship()
    mandate: Mapped[Mandate | None] = relationship()
    maker: Mapped[Person | None] = relationship()

    __table_args__ = (
        CheckConstraint(f"kind in {KINDS}", name="kind"),
        CheckConstraint("overlap in ('skip', 'wait')", name="overlap"),
        CheckConstraint("grace_s between 60 and 86400", name="grace"),
        CheckConstraint("(kind = 'action') = (mandate_id is not null)", name="mandate"),
        Index("schedule_next_idx", "next_at", postgresql_where=text("enabled")),
    )


class ScheduleRun(Table):
    """One run of a schedule. `due` is when it was to begin: two pollers, or one that starts anew, make it once.

    `why` is `due`, or `asked` by somebody (`asked_by`). `run` is the poller that has it in hand. `outcome` is {"code" or
    "text", and what the kind has to say}; `requests` are the actions it asked for; `output` is what people read.
    """

    __tablename__ = "schedule_run"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    schedule_id: Mapped[int] = mapped_column(ForeignKey("schedule.id", ondelete="CASCADE"))
    due: Mapped[datetime]
    why: Mapped[str] = mapped_column(server_default="due")
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    state: Mapped[str] = mapped_column(server_default="waiting")
    run: Mapped[str | None]
    begun_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    requests: Mapped[list[int]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    output: Mapped[str] = mapped_column(server_default="")

    schedule: Mapped[Schedule] = relationship()
    asker: Mapped[Person | None] = relationship()

    __table_args__ = (
        UniqueConstraint("schedule_id", "due"),
        CheckConstraint(f"state in {RUN_STATES}", name="state"),
        Index("schedule_run_open_idx", "state", postgresql_where=text("state in ('waiting', 'running')")),
        Index(
            "schedule_run_busy_key", "schedule_id", unique=True, postgresql_where=text("state = 'running'")
        ),
    )  # fmt: skip


class Remedy(Table):
    """What is done by itself about trouble of a kind: at machines of its mandate, once for each incident.

    `check_kind` is the probe whose check must be in trouble, empty: the machine itself or any of its checks. `states` are
    those it acts in, after they have lasted `after_s`; from `from_minute` until `to_minute` (after local midnight in
    `zone`) on `days` (Monday = 0; none: every day), None: at any hour. Until somebody makes it `live` it only writes down
    what it would have done.
    """

    __tablename__ = "remedy"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), index=True)
    mandate_id: Mapped[int] = mapped_column(ForeignKey("mandate.id", ondelete="CASCADE"), unique=True)
    check_kind: Mapped[str] = mapped_column(server_default="")
    states: Mapped[list[str]] = mapped_column(JSONB)
    after_s: Mapped[int] = mapped_column(server_default=text("120"))
    from_minute: Mapped[int | None]
    to_minute: Mapped[int | None]
    zone: Mapped[str]
    days: Mapped[list[int]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    live: Mapped[bool] = mapped_column(server_default=text("false"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    since: Mapped[datetime] = mapped_column(server_default=func.now())
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())

    division: Mapped[Division | None] = relationship()
    mandate: Mapped[Mandate] = relationship()
    maker: Mapped[Person | None] = relationship()

    __table_args__ = (
        CheckConstraint("after_s between 0 and 86400", name="after"),
        CheckConstraint("(from_minute is null) = (to_minute is null)", name="hours"),
        CheckConstraint("from_minute between 0 and 1439 and to_minute between 0 and 1439", name="minutes"),
    )


class Firing(Table):
    """A remedy met an incident: once. `state` is one of FIRED; `detail` says why it was not done, or by what request."""

    __tablename__ = "firing"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    remedy_id: Mapped[int] = mapped_column(ForeignKey("remedy.id", ondelete="CASCADE"))
    incident_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("incident.id", ondelete="CASCADE"), index=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    request_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("request.id", ondelete="SET NULL"), index=True
    )
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    state: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))

    host: Mapped[Host] = relationship()

    __table_args__ = (
        UniqueConstraint("remedy_id", "incident_id"),
        CheckConstraint(f"state in {FIRED}", name="state"),
    )


class Letter(Table):
    """Somebody is to be told of something unattended; the notifier sets `routed_at` (notifier/letters.py).

    `subject` is `mandate:ID`, `run:ID` or `firing:ID`; `why` is `asked`, `agreed`, `refused`, `lost`, `report`,
    `newcomers`, `failed`, `dry`, `asked_for` or `not_done`.
    """

    __tablename__ = "letter"

    subject: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    why: Mapped[str] = mapped_column(primary_key=True)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    routed_at: Mapped[datetime | None]

    __table_args__ = (Index("letter_new_idx", "made_at", postgresql_where=text("routed_at is null")),)
