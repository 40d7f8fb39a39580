"""The tables the machine writes, and everybody reads.

The recorder's one transaction a batch is the pen of samples, tracks, changes, incidents and notices; the poller's chores
write what is counted together, its normals and forecasts what they learn, every process its own heartbeat, and the
watch over the poller (notifier/watch.py) the notices about its silence. Of people only what they do with an incident
stands here: webui/handling.py writes it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy import Table as Plain
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from domain.table import Table

OUTCOMES = ("ok", "fail", "unknown")
"""What `raw.state` and `latest.outcome` count: the index is stored."""


class MetricSet(Table):
    """The names behind a vector of values: `names[i]`, `parts[i]` (core, mount ...) and `units[i]` belong to `v[i]`.

    Append-only. `digest` is the SHA-256 of the three lists, so equal sets are one row.
    """

    __tablename__ = "metric_set"

    id: Mapped[int] = mapped_column(primary_key=True)
    names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    parts: Mapped[list[str]] = mapped_column(ARRAY(Text))
    units: Mapped[list[str]] = mapped_column(ARRAY(Text))
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)


raw = Plain(
    "raw",
    Table.metadata,
    Column("check_id", Integer, nullable=False),
    Column("ts", TIMESTAMP(timezone=True), nullable=False),
    Column("set_id", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("v", ARRAY(REAL), nullable=False),
    Index("raw_check_id_ts_idx", "check_id", "ts"),
    postgresql_partition_by="RANGE (ts)",
)
"""One row a check and look: `ts` is the look's start, `state` an index into OUTCOMES, `v` in the order of its set.

A value that could not be had (the first sample of a rate) is NULL inside `v`. Partitions are UTC days, `raw_YYYYMMDD`.
"""


def _rollup(name: str) -> Plain:
    return Plain(
        name,
        Table.metadata,
        Column("check_id", Integer, primary_key=True),
        Column("ts", TIMESTAMP(timezone=True), primary_key=True),
        Column("set_id", Integer, primary_key=True),
        Column("n", Integer, nullable=False),
        Column("failed", Integer, nullable=False),
        Column("vmin", ARRAY(REAL), nullable=False),
        Column("vavg", ARRAY(REAL), nullable=False),
        Column("vmax", ARRAY(REAL), nullable=False),
    )


roll_1h = _rollup("roll_1h")
roll_1d = _rollup("roll_1d")
"""Rollups: `ts` is the start of the UTC hour or day, `n` looks of which `failed` brought no values."""


hour_range = Plain(
    "hour_range",
    Table.metadata,
    Column("check_id", Integer, primary_key=True, autoincrement=False),
    Column("ts", TIMESTAMP(timezone=True), primary_key=True),
    Column("set_id", Integer, primary_key=True, autoincrement=False),
    Column("places", ARRAY(SmallInteger), nullable=False),
    Column("low", ARRAY(REAL), nullable=False),
    Column("high", ARRAY(REAL), nullable=False),
)
"""The 5th and 95th percentile within the UTC hour that begins at `ts`, of the measures that have a normal
(domain/baseline.py): `places` are theirs in the set, from 1. Kept for as long as normals are learnt from."""


class BandLearnt(Table):
    """What is normal for one metric of one machine: domain.baseline.Band, as learnt at `learnt_at` at `sensitivity`."""

    __tablename__ = "band"

    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True)
    measure: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    learnt_at: Mapped[datetime]
    sensitivity: Mapped[str]
    status: Mapped[str]
    days: Mapped[int]
    low: Mapped[list[float | None]] = mapped_column(ARRAY(REAL))
    high: Mapped[list[float | None]] = mapped_column(ARRAY(REAL))
    under: Mapped[list[float | None]] = mapped_column(ARRAY(REAL))
    over: Mapped[list[float | None]] = mapped_column(ARRAY(REAL))


class Forecast(Table):
    """When something will be full: domain.forecast.Forecast, as reckoned at `made_at`. Without a good fit, no row."""

    __tablename__ = "forecast"

    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True)
    measure: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    made_at: Mapped[datetime]
    used: Mapped[float] = mapped_column(REAL)
    per_day: Mapped[float] = mapped_column(REAL)
    days: Mapped[int]
    full_at: Mapped[datetime] = mapped_column(index=True)
    earliest: Mapped[datetime]
    latest: Mapped[datetime]


class Latest(Table):
    """The newest look of each check. `failure_kind` and `failure_detail` are None when it succeeded.

    `good_at` is the newest look that did bring values, and `set_id`, `v` are its values, so that a page can
    show the last known numbers, marked as old.
    """

    __tablename__ = "latest"

    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    ts: Mapped[datetime]
    took: Mapped[float] = mapped_column(REAL)
    late: Mapped[float] = mapped_column(REAL)
    outcome: Mapped[int] = mapped_column(SmallInteger)
    good_at: Mapped[datetime | None]
    set_id: Mapped[int | None]
    v: Mapped[list[float | None] | None] = mapped_column(ARRAY(REAL))
    failure_kind: Mapped[str | None]
    failure_detail: Mapped[str | None]
    sent: Mapped[int] = mapped_column(server_default=text("0"))
    received: Mapped[int] = mapped_column(server_default=text("0"))


class WatchCost(Table):
    """What watching took, summed up: by UTC hour (`ts` is its start), and in all, where `ts` is the epoch (IN_ALL).

    `looks` of which `failed` brought no values; `took`, `late` and `cpu` in seconds: how long the looks lasted, how
    late they began, and how much of our processor they used; `sent` and `received` in bytes as seen by us.
    `their_cpu` (s) and `their_processes` are what the machine itself spent, of the `told` looks that could tell.
    """

    __tablename__ = "watch_cost"

    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True)
    ts: Mapped[datetime] = mapped_column(primary_key=True)
    looks: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    took: Mapped[float] = mapped_column(Double)
    late: Mapped[float] = mapped_column(Double)
    cpu: Mapped[float] = mapped_column(Double)
    sent: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    told: Mapped[int] = mapped_column(BigInteger)
    their_cpu: Mapped[float] = mapped_column(Double)
    their_processes: Mapped[float] = mapped_column(Double)


IN_ALL = datetime(1970, 1, 1, tzinfo=UTC)
"""The `ts` of the row that sums up everything since the check was made."""


class FactSeen(Table):
    """A text a machine says of itself, as last seen, and since when it has said so."""

    __tablename__ = "fact"

    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    value: Mapped[str]
    since: Mapped[datetime]


class FailureSeen(Table):
    """Why a check failed, kept on transition: one row for a run of looks that failed for the same reason."""

    __tablename__ = "failure"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"))
    since: Mapped[datetime]
    kind: Mapped[str]
    detail: Mapped[str]

    __table_args__ = (Index(None, "check_id", "since"),)


class Track(Table):
    """What the rules remember of one subject between looks (R20).

    `subject` is `host:ID`, `check:ID` or `metric:CHECK_ID:MEASURE:PART`; `data` is domain.health.Track (or
    domain.thresholds.MetricTrack) as JSON; `state` and `since` repeat it for queries.
    """

    __tablename__ = "track"

    subject: Mapped[str] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    check_id: Mapped[int | None] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    since: Mapped[datetime]
    failing: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    data: Mapped[dict[str, Any]]


class Change(Table):
    """A state change is a row, and everything downstream reads that row. Append-only.

    `at` is when it was decided, `since` when it began (R3); `reason` is a sentence.
    """

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subject: Mapped[str]
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    check_id: Mapped[int | None] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    since: Mapped[datetime]
    from_state: Mapped[str]
    to_state: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (Index(None, "host_id", "at"), Index(None, "at"))


class StateInterval(Table):
    """From when until when a subject was in a state: the only source of availability and downtime.

    `until` is None while it lasts. One open row a subject.
    """

    __tablename__ = "state_interval"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subject: Mapped[str]
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    check_id: Mapped[int | None] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), index=True)
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    state: Mapped[str]

    __table_args__ = (
        Index("state_interval_open_idx", "subject", unique=True, postgresql_where=text("until is null")),
        Index("state_interval_subject_since_idx", "subject", "since"),
        Index("state_interval_during_idx", func.tstzrange(text("since"), text("until")), postgresql_using="gist"),
    )


class Incident(Table):
    """Something went wrong with a subject, from `since` until `closed_at`. `failure_kind` and `cause` say why.

    `host_id` is None where the subject is the monitor itself (`poller`).

    One cause, one incident: `merged_into` is the incident whose cause this one shares, while it does; that one may
    stand under another in its turn, in no circle. What a person put together (`merged_by_hand`) the rules do not part
    while both go on. A person who
    has it in hand is `owner_id`, since `acknowledged_at`, until `acknowledged_until` (None: until it is over), with
    a `note`. `closing` is the cause a person gave in the end, `closed_by` who did; None where it ended by itself.
    """

    __tablename__ = "incident"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subject: Mapped[str]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    check_id: Mapped[int | None] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    since: Mapped[datetime]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    failure_kind: Mapped[str | None]
    cause: Mapped[str] = mapped_column(server_default="")
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("incident.id", ondelete="SET NULL"), index=True)
    merged_by_hand: Mapped[bool] = mapped_column(server_default=text("false"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    acknowledged_at: Mapped[datetime | None]
    acknowledged_until: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(server_default="")
    closing: Mapped[str] = mapped_column(server_default="")
    closed_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))

    __table_args__ = (
        Index("incident_open_idx", "subject", unique=True, postgresql_where=text("closed_at is null")),
        Index("incident_opened_at_idx", "opened_at"),
    )


class IncidentMember(Table):
    """A machine that cannot be reached because of an incident's cause, from `since` until it is no longer so."""

    __tablename__ = "incident_member"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), index=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    since: Mapped[datetime]
    until: Mapped[datetime | None]

    __table_args__ = (
        Index("incident_member_open_idx", "host_id", unique=True, postgresql_where=text("until is null")),
    )


class IncidentEvent(Table):
    """One line of an incident's history, by a person (`person_id`) or by the rules.

    Machines that joined or left are IncidentMember. `kind` and its `data`: `opened`, `state` and, by the rules, `closed`
    {"from", "to", "reason"}; `merged` and `split` {"incident": id}, by a person with {"as": "part" or "whole"};
    `acknowledged` {"until", "note"}, `handed_over` {"to": person id, "note"}, `note` and by a person `closed` {"text"},
    `given_back` and `expired` {}, `told` {"notice": kind}.
    """

    __tablename__ = "incident_event"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    kind: Mapped[str]
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))

    __table_args__ = (Index(None, "incident_id", "at"),)


class Notice(Table):
    """Something people are to be told, decided by the rules in the transaction of the change it is about (R20).

    `kind` is one of domain.routing.NoticeKind; `subject` as in Track, or `poller`. `state` holds since `since`;
    `outage` (s) is how long a problem lasted; `members` are the subjects a digest tells of. With `admins_only` it is about the watching, not about the watched.
    With a `person_id` it is for that person alone, and no policy is asked: its kind is one of domain.lasttold.LETTERS.
    Append-only; the notifier sets `routed_at` in the transaction that says whom it goes to (domain/deliveries.py).
    """

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    subject: Mapped[str]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    check_id: Mapped[int | None] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), index=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incident.id", ondelete="SET NULL"), index=True)
    state: Mapped[str]
    since: Mapped[datetime]
    outage: Mapped[float | None] = mapped_column(Double)
    members: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'::text[]"))
    admins_only: Mapped[bool] = mapped_column(server_default=text("false"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    routed_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "at"), Index("notice_new_idx", "id", postgresql_where=text("routed_at is null")))


class Standing(Table):
    """What the rules of a site remember beside its subjects (R20): see domain.judgement.Judgement.to_json."""

    __tablename__ = "standing"

    site_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[dict[str, Any]]


class Batch(Table):
    """What a poller (`writer`) has written: inserted first in each transaction, so a replayed page cannot double."""

    __tablename__ = "batch"

    site_id: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    writer: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Heartbeat(Table):
    """A process saying that it works, judged by the others. `data` is its own load, see poller/chores.py."""

    __tablename__ = "heartbeat"

    role: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
