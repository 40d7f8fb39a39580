"""Every page tells times on the clock of whoever reads it, not only on the installation's."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Host, Person
from domain.records import Incident
from tests.webui.cast import Town, Visitor

HERE, THERE = "Asia/Jakarta", "Asia/Jayapura"
PAGES = (
    "/", "/machines", "/machines/{host}", "/machines/{host}?range=24h", "/incidents", "/incidents/{case}", "/chat/incident/{case}",
    "/maintenance", "/me", "/audit", "/requests", "/deliveries", "/notifications",
)  # fmt: skip


@pytest.fixture
def pages(busy: Town, session: Session) -> dict[str, int]:
    """What stands in the addresses."""
    host = session.scalars(select(Host).where(Host.name == "db-02")).one()
    case = session.scalars(select(Incident).where(Incident.closed_at.is_(None), Incident.host_id == host.id)).one()
    return {"host": host.id, "case": case.id}


def test_every_page_tells_the_time_on_the_readers_clock(
    rina: Visitor, person: Person, session: Session, pages: dict[str, int]
) -> None:
    told = {}
    for zone, mark, other in ((HERE, "WIB", "WIT"), (THERE, "WIT", "WIB")):
        person.zone = zone
        session.commit()
        told[mark] = set()
        for page in PAGES:
            answer = rina.client.get(page.format(**pages), base_url=rina.base, follow_redirects=True)
            assert answer.status_code == 200, page
            assert not re.search(rf"\d {other}\b", answer.text), (page, zone)
            if re.search(rf"\d {mark}\b", answer.text):
                told[mark].add(page)
    assert told["WIB"] == told["WIT"] >= {"/machines/{host}", "/incidents/{case}", "/maintenance", "/me", "/audit"}


def test_charts_are_labelled_and_stretches_typed_on_the_same_clock(
    rina: Visitor, person: Person, session: Session, pages: dict[str, int]
) -> None:
    for zone in (HERE, THERE):
        person.zone = zone
        session.commit()
        moments = [datetime.now(UTC)]
        page = rina.get(f"/machines/{pages['host']}?range=1h").text
        moments.append(datetime.now(UTC))
        hours = {f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:}" for moment in moments}
        ends = re.findall(r'<input[^>]+type="datetime-local"[^>]+value="([^"]+)"', page)
        assert ends and ends[-1][:14] in hours, zone
        last = rina.get(f"/api/fig/machine/{pages['host']}/cpu?range=1h").get_json()["data"][0]["x"][-1]
        assert last[:14] in hours | {f"{moments[0].astimezone(ZoneInfo(zone)) - timedelta(minutes=2):%Y-%m-%dT%H:}"}


def test_whoever_chose_none_and_a_zone_nobody_knows_any_more_is_told_as_everywhere(
    rina: Visitor, person: Person, session: Session, pages: dict[str, int]
) -> None:
    for zone in (None, "Mars/Olympus_Mons"):
        person.zone = zone
        session.commit()
        assert re.search(r"\d WIB\b", rina.get(f"/incidents/{pages['case']}").text)
