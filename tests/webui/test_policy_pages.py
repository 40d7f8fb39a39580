"""Who is told: rules in order, their ladders, who would be told at a time; and rotas with swaps and calendars both ways."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import icalendar
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Division, Membership, Person
from domain.recipients import Channel, Policy, Rota, Route, Shift
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate

FORM = {"name": "Nights", "enabled": "yes", "division": "", "site": "", "group": "", "severity": "", "from": "", "to": "", "zone": "Asia/Jakarta"}  # fmt: skip


@pytest.fixture
def ways(session: Session, person: Person, keeper: Person) -> Channel:
    """Rina and Budi can be told by mail, Budi not at night."""
    mail = Channel(kind="email", name="Mail", options={}, seal_id="x")
    session.add(mail)
    session.flush()
    for who in (person, keeper):
        session.add(Route(person_id=who.id, channel_id=mail.id, address={"mailbox": f"{who.login}@example.org"}, verified_at=now()))  # fmt: skip
    session.flush()
    quiet = session.scalars(select(Route).where(Route.person_id == keeper.id)).one()
    quiet.quiet_from, quiet.quiet_to, quiet.quiet_critical, quiet.zone = 22 * 60, 6 * 60, False, "Asia/Jakarta"
    session.commit()
    return mail


def preview(visitor: Visitor, machine: int, **asked: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in asked.items())
    page = visitor.get(f"/policies?machine={machine}{more}").text
    found = re.search(r'<div class="card" aria-live="polite">(.*?)</section>', page, re.S)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[1]))


def test_without_a_rule_the_usual_ladder_tells_whoever_is_in_charge_then_administrators(
    rina: Visitor, ways: Channel, town: Town, session: Session
) -> None:
    host, stray = town.machine("db-02", "10.0.0.12"), town.machine("stray", "10.0.0.13")
    host.division = session.scalars(select(Division)).one()
    session.commit()
    said = preview(rina, host.id, at="2026-11-21T12:00")
    assert "the usual ladder decides" in said
    assert said.index("at once Budi Mail") < said.index("Rina Mail")
    assert "Reaches nobody: staff" in said and "quiet until" not in said
    assert "quiet until" in preview(rina, host.id, at="2026-11-21T23:00")
    assert "Rina" in preview(rina, stray.id)


def test_the_first_rule_that_fits_decides_and_rules_are_moved(
    rina: Visitor, ways: Channel, town: Town, session: Session, keeper: Person
) -> None:
    host = town.machine("db-02", "10.0.0.12")
    host.division = session.scalars(select(Division)).one()
    session.commit()
    division = str(host.division_id)
    assert rina.post("/policies/new", {**FORM, "name": "Nobody", "division": division}).status_code == 303
    ladder = {"after-0": "0", "to-0": [f"person:{keeper.id}", "admins"], "after-1": "45", "to-1": ["deputy"]}
    assert rina.post("/policies/new", {**FORM, "name": "All", "division": division, **ladder}).status_code == 303
    listed = rina.get("/policies").text
    assert "Of division Gudang: nobody is told." in listed
    assert (
        "at once Budi and administrators; after 45" in listed or "at once administrators and Budi; after 45" in listed
    )
    assert "“Nobody” decides. Nobody is told." in preview(rina, host.id)
    second = session.scalars(select(Policy).where(Policy.name == "All")).one()
    rina.post(f"/policies/{second.id}/move", {"do": "up"}, page="/policies")
    said = preview(rina, host.id)
    assert "“All” decides." in said and "Budi" in said and "Rina" in said
    form = {**FORM, "name": "All", "severity": "warning", "from": "22:00", "to": "6", "days": ["5", "6"], **ladder}
    assert rina.post(f"/policies/{second.id}", form).status_code == 303
    session.expire_all()
    assert (second.division_id, second.severity, second.from_minute, second.to_minute, second.days) == (None, "warning", 1320, 360, [5, 6])  # fmt: skip
    assert second.steps == [{"after": 0, "to": [f"person:{keeper.id}", "admins"]}, {"after": 2700, "to": ["deputy"]}]
    assert "“Nobody” decides" in preview(rina, host.id, severity="warning", at="2026-11-20T23:00")  # a Friday
    assert "“All” decides" in preview(rina, host.id, severity="warning", at="2026-11-22T05:00")
    rina.post(f"/policies/{second.id}/delete", {})
    session.expire_all()
    assert [row.name for row in session.scalars(select(Policy))] == ["Nobody"]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"name": ""}, "Please fill in this field."),
        ({"name": "Taken"}, "Another rule has this name"),
        ({"from": "22:00"}, "Hours have a beginning and an end"),
        ({"from": "25", "to": "6"}, "no time of day"),
        ({"zone": "Asia/Nowhere"}, "no such time zone"),
        ({"division": "4711"}, "Please choose one of the values offered."),
        ({"after-0": "soon", "to-0": "pic"}, "are a whole number"),
        ({"after-0": "99999", "to-0": "pic"}, "are a whole number"),
        ({"after-0": "5"}, "A rung tells nobody"),
        ({"after-0": "5", "to-0": "person:4711"}, "A rung tells nobody"),
        ({"after-0": "5", "to-0": "pic", "after-1": "5", "to-1": "admins"}, "Two rungs have the same minutes"),
    ],
)
def test_a_faulty_rule_changes_nothing(rina: Visitor, session: Session, change: dict[str, str], sentence: str) -> None:
    session.add(Policy(name="Taken", position=0, zone="UTC", steps=[]))
    session.commit()
    answer = rina.post("/policies/new", {**FORM, **change})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert [row.name for row in session.scalars(select(Policy))] == ["Taken"]


def test_one_more_rung_saves_nothing_and_keeps_what_was_typed(rina: Visitor, session: Session) -> None:
    answer = rina.post("/policies/new", {**FORM, "after-0": "7", "to-0": "pic", "do": "more"})
    assert answer.status_code == 200
    assert 'value="7"' in answer.text and 'name="after-1"' in answer.text
    assert session.scalars(select(Policy)).all() == []


def test_a_group_is_added_tested_and_named_in_a_rule(
    rina: Visitor, budi: Visitor, ways: Channel, town: Town, session: Session
) -> None:
    host = town.machine("db-02", "10.0.0.12")
    page = f"/policies/groups/{ways.id}"
    assert rina.post(page, {"name": "Night desk", "address-mailbox": "no mailbox"}).status_code == 422
    assert rina.post(page, {"name": "Night desk", "address-mailbox": "desk@example.org"}).status_code == 303
    route = session.scalars(select(Route).where(Route.person_id.is_(None))).one()
    assert rina.post("/policies/new", {**FORM, "after-0": "0", "to-0": f"route:{route.id}"}).status_code == 303
    assert "Night desk" in preview(rina, host.id)
    assert rina.post(f"/notifications/{route.id}/test", {}, page="/policies").status_code == 303
    assert rina.get(f"/notifications/{route.id}").status_code == 200
    assert budi.get(f"/notifications/{route.id}").status_code == 404


# ---- rotas ----


def shifted(rina: Visitor, session: Session, people: list[int]) -> Rota:
    form = {"name": "Week", "zone": "Asia/Jakarta", "starts": "2026-01-05 08:00", "days": "7"}
    sent = {f"person-{n}": id for n, id in enumerate(people)}
    assert rina.post("/rotas/new", {**form, **sent}).status_code == 303
    return session.scalars(select(Rota)).one()


def test_people_take_turns_swap_and_the_next_weeks_are_shown(
    rina: Visitor, budi: Visitor, session: Session, person: Person, keeper: Person
) -> None:
    row = shifted(rina, session, [person.id, keeper.id])
    assert row.starts_at == datetime(2026, 1, 5, 1, tzinfo=UTC)
    page = budi.get("/rotas").text
    assert "On call now:" in page and page.count("<li><b>") >= 8
    assert budi.get(f"/rotas/{row.id}").status_code == 403
    begin = now().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    for who in (person, keeper):
        form = {"person": who.id, "since": f"{begin:%Y-%m-%dT%H:%M}+00:00", "until": f"{begin + timedelta(hours=9):%Y-%m-%dT%H:%M}+00:00"}  # fmt: skip
        rina.post(f"/rotas/{row.id}/swap", form, page=f"/rotas/{row.id}")
    session.expire_all()
    assert [shift.person_id for shift in session.scalars(select(Shift).order_by(Shift.id))] == [person.id, keeper.id]
    for wrong in ({"person": 4711}, {"person": person.id, "since": "x"}, {"until": "2020-01-01T00:00"}):
        rina.post(f"/rotas/{row.id}/swap", {**form, **wrong}, page=f"/rotas/{row.id}")
    assert len(session.scalars(select(Shift)).all()) == 2
    last = session.scalars(select(Shift).order_by(Shift.id.desc())).first()
    assert last
    rina.post(f"/rotas/{row.id}/shifts/{last.id}/delete", {}, page=f"/rotas/{row.id}")
    assert len(session.scalars(select(Shift)).all()) == 1


def test_a_calendar_goes_out_by_a_secret_address_alone(
    rina: Visitor, stranger: Visitor, session: Session, person: Person, keeper: Person
) -> None:
    row = shifted(rina, session, [person.id, keeper.id])
    shown = rina.post(f"/rotas/{row.id}/link", {}, page=f"/rotas/{row.id}").text
    path = re.search(r"(/rotas/calendar/[\w-]+\.ics)", shown)
    assert path
    told = icalendar.Calendar.from_ical(stranger.get(path[1]).data)
    events = list(told.walk("VEVENT"))
    assert len(events) >= 26
    assert {str(event["SUMMARY"]) for event in events} == {"Week: Rina", "Week: Budi"}
    assert stranger.get("/rotas/calendar/wrong.ics").status_code == 404
    rina.post(f"/rotas/{row.id}/link", {"do": "none"}, page=f"/rotas/{row.id}")
    assert stranger.get(path[1]).status_code == 404


def ics(*events: tuple[str, str, str, str]) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//y//EN"]
    for uid, start, end, more in events:
        lines += ["BEGIN:VEVENT", f"UID:{uid}", f"DTSTAMP:{start}", f"DTSTART:{start}", f"DTEND:{end}", *more.split("|"), "END:VEVENT"]  # fmt: skip
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


GOOD = ("1", "20270101T080000Z", "20270102T080000Z", "SUMMARY:On call: Budi")


def test_shifts_are_read_from_a_calendar_and_read_again_replace_themselves(
    rina: Visitor, session: Session, person: Person, keeper: Person
) -> None:
    row = shifted(rina, session, [person.id])
    second = ("2", "20270103T080000Z", "20270104T080000Z", "SUMMARY:Weekend|ATTENDEE:mailto:rina@example.org")
    for _ in range(2):
        rina.post(f"/rotas/{row.id}/calendar", {"file": (io.BytesIO(ics(GOOD, second)), "a.ics")}, page=f"/rotas/{row.id}")  # fmt: skip
    session.expire_all()
    assert [shift.person_id for shift in session.scalars(select(Shift).order_by(Shift.since))] == [keeper.id, person.id]


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "Please choose a calendar file"),
        (b"x" * 300_000, "Please choose a calendar file"),
        (b"\xff\xfe nonsense", "This is no calendar file"),
        (ics(), "holds no events"),
        (ics(("1", "20270102T080000Z", "20270101T080000Z", "SUMMARY:Budi")), "no beginning before its end"),
        (ics(("1", "00010101T000000", "00010102T000000", "SUMMARY:Budi")), "no beginning before its end"),
        (ics((*GOOD[:3], "SUMMARY:Somebody")), "names nobody"),
        (ics((*GOOD[:3], "SUMMARY:Budi|RRULE:FREQ=DAILY")), "repeats itself"),
    ],
)
def test_a_calendar_that_cannot_be_read_changes_nothing(
    rina: Visitor, session: Session, person: Person, keeper: Person, content: bytes, sentence: str
) -> None:
    row = shifted(rina, session, [person.id])
    session.add(Shift(rota_id=row.id, person_id=person.id, since=now(), until=now() + timedelta(days=1), uid="old"))
    session.commit()
    page = f"/rotas/{row.id}"
    answer = rina.post(f"{page}/calendar", {"file": (io.BytesIO(content), "a.ics")}, page=page)
    assert answer.status_code == 422 and sentence in answer.text.partition('id="file-wrong"')[2]
    assert re.search(r'<input type="file" id="file"[^>]* aria-invalid="true" autofocus>', answer.text)
    assert row.name in answer.text and rina.get(f"{page}/calendar").location == page
    assert [shift.uid for shift in session.scalars(select(Shift))] == ["old"]


@pytest.mark.browser
@pytest.mark.parametrize("width, height, scheme, locale", [(1366, 768, "light", "en-GB"), (390, 844, "dark", "id-ID")])
def test_the_pages_of_people_and_rules_are_for_everybody(
    rina: Visitor, person: Person, ways: Channel, town: Town, session: Session, browse: OpenBrowser, keeper: Person,
    width: int, height: int, scheme: str, locale: str,
) -> None:  # fmt: skip
    host = town.machine("db-02", "10.0.0.12")
    staff = Person(login="siti", name="Siti", password_hash="", role="none")
    staff.memberships = [Membership(division=Division(name="Kantor"), role="staff")]
    session.add(
        Route(channel_id=ways.id, name="Night desk", address={"mailbox": "desk@example.org"}, verified_at=now())
    )
    session.add_all([staff, Policy(name="Nights", position=0, zone="UTC", steps=[{"after": 0, "to": ["pic", f"person:{keeper.id}"]}], from_minute=1320, to_minute=360, days=[5])])  # fmt: skip
    session.commit()
    row = shifted(rina, session, [person.id, keeper.id])
    route = session.scalars(select(Route).where(Route.person_id == person.id)).one()
    page = enter(browse(width, height, scheme, locale))
    for path in (
        "/people", "/people/new", f"/people/{keeper.id}", "/channels", "/channels/new", "/channels/new?kind=email", f"/channels/{ways.id}",
        f"/channels/{ways.id}/delete", "/notifications", f"/notifications/add/{ways.id}", f"/notifications/{route.id}", f"/notifications/{route.id}/delete",
        f"/policies?machine={host.id}", "/policies/new", "/policies/1", "/policies/1/delete", f"/policies/groups/{ways.id}", "/rotas", "/rotas/new", f"/rotas/{row.id}",
    ):  # fmt: skip
        page.goto(path)
        assert not accessible(page), path
        assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, path
        assert evaluate(page, "JSON.stringify(window.violations)") == "[]", path
