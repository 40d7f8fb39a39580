"""The tables of what comes unasked: notes from devices, and the calls of jobs that report."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from domain.table import Table


class Note(Table):
    """A line about one machine. `source` is `trap` or `syslog`; `severity` as syslog counts, 0 worst to 7 (RFC 5424)."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    source: Mapped[str]
    severity: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str]

    __table_args__ = (Index("note_host_id_at_idx", "host_id", "at"),)


class Job(Table):
    """The calls of a job, by its check: when it last said that it began, succeeded, failed; `took` in seconds."""

    __tablename__ = "job"

    check_id: Mapped[int] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True)
    ok_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    took: Mapped[float | None]
    said: Mapped[str] = mapped_column(server_default="")
