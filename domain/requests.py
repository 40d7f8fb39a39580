"""The tables of the way back: what people ask the machine to do now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.table import Table


class Look(Table):
    """A look somebody is waiting for. The web inserts it, the poller answers within a second, the page follows.

    `id` is a UUID made by the asker. `kind` and `asked`:

    * `run`: {} with `host_id` (all its checks) or `check_id`; recorded like any other look.
    * `test`: {"kind", "address", "options", "host_id" or null, "credential_id" or null}; where the secret was typed and
      is not saved yet, `typed` = {"kind": a kind of credential, "username"} instead of a credential, and `sealed` holds
      the secret as JSON (by field, as inventory.CREDENTIALS says) sealed for `look:<id>`. Nothing is recorded.
    * `sweep`: {"addresses": [...], at most 1024}. Nothing is recorded.

    `answer` grows while the poller works (each step is followed by NOTIFY `look` with the id):

    * `run`: {"readings": [{"check_id", "failure": null | {"kind", "detail"}, "took"}]}
    * `test`: {"rungs": [{"rung": "name|ping|port|login|command|value", "state": "ok|fail|skip", "detail": sentence,
      "took": s}], "reading": as printed by `pantau probe --json`, or null}
    * `sweep`: {"rows": [{"address", "name": host name or "", "ping": {"ok", "rtt"}, "ssh": {"ok"}, "http": {"ok"},
      "https": {"ok"}, "winrm": {"ok"}, "detail": sentence, "done": bool}]}
    * a look that could not be made at all: {"error": sentence}
    """

    __tablename__ = "look"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    check_id: Mapped[int | None] = mapped_column(ForeignKey("host_check.id", ondelete="CASCADE"), index=True)
    asked: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    answer: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))

    __table_args__ = (
        CheckConstraint("kind in ('run', 'test', 'sweep')", name="kind"),
        Index("look_waiting_idx", "asked_at", postgresql_where=text("claimed_at is null")),
    )
