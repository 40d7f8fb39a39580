"""The tables of the way back: what people ask the machine to do now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
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
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    answer: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))

    __table_args__ = (
        CheckConstraint("kind in ('run', 'test', 'sweep')", name="kind"),
        Index("look_waiting_idx", "asked_at", postgresql_where=text("claimed_at is null")),
    )


class Discovery(Table):
    """A network being looked through. The web inserts it, the poller works on it, the page follows (NOTIFY `look`).

    `id` is a UUID made by the asker. `addresses` (at most 4096) are looked at in order, `rate` questions (a ping, a
    knock at a port) a second; `names` are names given to some of them; `credentials` are ids of SNMP credentials to
    ask with; `trace` asks for the way there. `looked` counts what is done, `beat_at` says that somebody works on it;
    `stop_at` asks to stop. `note` is a sentence for the person: what could not be done.
    """

    __tablename__ = "discovery"

    id: Mapped[str] = mapped_column(primary_key=True)
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    addresses: Mapped[list[str]] = mapped_column(JSONB)
    names: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    rate: Mapped[float] = mapped_column(Double)
    credentials: Mapped[list[int]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    trace: Mapped[bool] = mapped_column(server_default=text("true"))
    looked: Mapped[int] = mapped_column(server_default=text("0"))
    beat_at: Mapped[datetime | None]
    stop_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(server_default="")


class Found(Table):
    """A machine that answered. `place` is where its address stands in the list. `seen`:

    {"name": host name or "", "rtt": s or null, "ports": [22, ...], "ssh": banner, "http": {"title", "server"},
    "https": {"title", "server", "names": [...]}, "snmp": {"description", "name", "credential": id} or null,
    "watched": name of the machine it already is or "", "path": [addresses on the way, nearest to us first]}
    """

    __tablename__ = "found"

    discovery_id: Mapped[str] = mapped_column(ForeignKey("discovery.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    seen: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Trial(Table):
    """A test message somebody is waiting for. The web inserts it, the notifier answers, the page follows (NOTIFY `trial`).

    `route_id` is the address it goes to, with "code" in `asked` where it carries one; or `asked` is {"kind", "options",
    "address"} of a channel not saved yet, or {"channel": id, "address"}. What of that is secret lies in `sealed` instead,
    JSON for `trial:<id>`: {"secret": of the channel, "address": where addresses are secrets}. With "letter" (`invite` or
    `reset`) it is a letter to one person, and `sealed` holds its {"link"}. `answer` grows: {"hops": [{"name", "ok", "detail",
    "took": s}], "sent": true | false, "sentence": what to do}.
    """

    __tablename__ = "trial"

    id: Mapped[str] = mapped_column(primary_key=True)
    route_id: Mapped[int | None] = mapped_column(ForeignKey("route.id", ondelete="CASCADE"), index=True)
    asked: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    answer: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))

    __table_args__ = (Index("trial_waiting_idx", "asked_at", postgresql_where=text("claimed_at is null")),)
