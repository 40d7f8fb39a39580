"""What will be full, and when: read for the page of a machine, and for the list of all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel import dates
from flask_babel import get_timezone
from sqlalchemy import select

from domain.inventory import Host, Person
from domain.records import Forecast
from webui import access, store
from webui.language import gettext, locale, ngettext
from webui.wording import share, titles

SOON = timedelta(days=30)
MOST = 20


@dataclass(frozen=True)
class Fill:
    """One thing that fills up on a machine."""

    host_id: int
    machine: str
    what: str
    says: str
    used: str


def of(host: Host, moment: datetime) -> list[Fill]:
    """What fills up on one machine, soonest first."""
    rows = store.session().execute(
        select(Forecast, Host.name)
        .join(Host, Host.id == Forecast.host_id)
        .where(Forecast.host_id == host.id, Forecast.full_at > moment)
        .order_by(Forecast.full_at)
        .limit(MOST)
    )
    return [_fill(row, name) for row, name in rows]


def soon(person: Person, moment: datetime) -> list[Fill]:
    """What is full within thirty days, on any machine the person may see."""
    rows = store.session().execute(
        select(Forecast, Host.name)
        .join(Host, Host.id == Forecast.host_id)
        .where(Forecast.full_at > moment, Forecast.full_at < moment + SOON, Host.enabled, access.visible(person))
        .order_by(Forecast.full_at)
        .limit(MOST)
    )
    return [_fill(row, name) for row, name in rows]


def _fill(row: Forecast, machine: str) -> Fill:
    days = max(1, round((row.latest - row.earliest).total_seconds() / 2 / 86400))
    says = ngettext(
        "full on %(day)s, give or take a day", "full on %(day)s, give or take %(num)s days", days, day=_day(row.full_at)
    )
    title = gettext(titles().get(row.measure, row.measure))
    return Fill(row.host_id, machine, f"{title} {row.part}".strip(), says, share(row.used))


def _day(at: datetime) -> str:
    """The day on the reader's clock; the year where it is another one."""
    local = at.astimezone(ZoneInfo(str(get_timezone())))
    return str(dates.format_date(local, "d MMMM y", locale=locale()))
