"""What was told to whom: found again, sent again; and addresses that are called while machines are looked at."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.clock import now
from domain.deliveries import Delivery
from domain.inventory import Division, Person
from domain.recipients import Channel, Lookout, Route
from domain.records import Notice
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate


@pytest.fixture
def told(town: Town, session: Session, person: Person, keeper: Person) -> dict[str, Delivery]:
    """Rina was told, Budi could not be, and one message of his was not needed any more."""
    hosts = {name: town.machine(name, f"10.0.0.{n}") for n, name in enumerate(("db-02", "web-01"), 10)}
    for host in hosts.values():
        host.division = session.scalars(select(Division)).one()
    mail, bot = Channel(kind="email", name="Mail", seal_id="x"), Channel(kind="telegram", name="Bot", seal_id="y")
    session.add_all([mail, bot])
    session.flush()
    routes = {
        who.login: Route(person_id=who.id, channel_id=way.id, address={"mailbox": f"{who.login}@x.example"}, verified_at=now())
        for who, way in ((person, mail), (keeper, bot))
    }  # fmt: skip
    session.add_all(routes.values())
    session.flush()
    found = {}
    for key, machine, who, way, state, detail in (
        ("sent", "db-02", person, mail, "sent", ""),
        ("dead", "db-02", keeper, bot, "dead", "The <b>bot</b> was blocked."),
        ("dropped", "web-01", keeper, bot, "dropped", "It was over by then."),
    ):
        notice = Notice(at=town.now, kind="problem", subject=f"host:{hosts[machine].id}", host_id=hosts[machine].id, state="down", since=town.now)  # fmt: skip
        session.add(notice)
        session.flush()
        found[key] = Delivery(
            notice_id=notice.id, route_id=routes[who.login].id, person_id=who.id, channel_id=way.id, state=state,
            detail=detail, sent_at=town.now + timedelta(seconds=4) if state == "sent" else None, attempts=3,
        )  # fmt: skip
    session.add_all(found.values())
    session.commit()
    return found


def test_an_administrator_finds_every_message_and_anybody_their_own(
    rina: Visitor, budi: Visitor, told: dict[str, Delivery], person: Person
) -> None:
    whole = rina.get("/deliveries").text
    assert all(word in whole for word in ("Rina", "Budi", "after 4 sec", "was blocked", "It was over by then."))
    assert "<b>bot</b>" not in whole
    own = budi.get("/deliveries").text
    assert "was blocked" in own and "Rina" not in own and "Again" not in own
    assert "was blocked" in budi.get(f"/deliveries?person={person.id}").text  # no way round it
    for query, shown, hidden in (
        ("state=dead", "was blocked", "after 4 sec"),
        (f"person={person.id}", "after 4 sec", "was blocked"),
        (f"machine={told['dropped'].notice_id and 0}", "Nothing was told", "was blocked"),
        (f"channel={told['sent'].channel_id}", "after 4 sec", "was blocked"),
        ("from=2030-01-01T00:00", "Nothing was told", "was blocked"),
        ("to=2020-01-01T00:00", "Nothing was told", "was blocked"),
        ("before=1", "Nothing was told", "was blocked"),
    ):
        page = rina.get(f"/deliveries?{query}").text
        assert shown in page and hidden not in page, query
    for odd in ("state=x", "person=x", "from=x&to=99999-01-01", "before=9999999999999", "machine=-1"):
        assert rina.get(f"/deliveries?{odd}").status_code == 200


def test_what_could_not_be_delivered_is_counted_and_sent_again(
    rina: Visitor, budi: Visitor, told: dict[str, Delivery], session: Session
) -> None:
    assert 'class="count">1<' in rina.get("/").text
    assert 'class="count">' not in budi.get("/").text
    assert budi.post("/deliveries/again", {"do": "dead"}, page="/me").status_code == 403
    rina.post("/deliveries/again", {"one": told["sent"].id}, page="/deliveries")
    rina.post("/deliveries/again", {"delivery": ["x", "99999"]}, page="/deliveries")
    session.expire_all()
    assert [told[key].state for key in ("sent", "dead", "dropped")] == ["sent", "dead", "dropped"]
    rina.post("/deliveries/again", {"do": "dead"}, page="/deliveries")
    session.expire_all()
    assert [told[key].state for key in ("sent", "dead", "dropped")] == ["sent", "waiting", "dropped"]
    assert (told["dead"].attempts, told["dead"].detail) == (0, "")
    rina.post("/deliveries/again", {"delivery": [told["dropped"].id]}, page="/deliveries")
    session.expire_all()
    assert told["dropped"].state == "waiting"
    assert 'class="count">' not in rina.get("/").text


def test_an_address_to_call_is_added_changed_and_its_state_told(rina: Visitor, session: Session) -> None:
    form = {"name": "Outside", "url": "https://life.example.org/ping/1", "every": "60", "enabled": "yes"}
    assert rina.post("/lookouts/new", form).status_code == 303
    assert "Not called yet" in rina.get("/lookouts").text
    row = session.scalars(select(Lookout)).one()
    row.told_at, row.error = now() - timedelta(minutes=9), "No answer in 10 s."
    session.commit()
    assert "No answer in 10 s." in rina.get("/lookouts").text
    assert rina.post(f"/lookouts/{row.id}", {**form, "url": "http://10.0.0.1/x"}).status_code == 303
    session.expire_all()
    assert (row.url, row.told_at, row.error) == ("http://10.0.0.1/x", None, "")
    for wrong in ({"url": "ftp://x"}, {"url": "javascript:alert(1)"}, {"url": "https://"}, {"url": "http://[x"}, {"every": "5"}, {"name": ""}):  # fmt: skip
        assert rina.post("/lookouts/new", {**form, **wrong}).status_code == 422, wrong
    assert rina.post("/lookouts/new", {**form}).status_code == 422  # the name is taken
    rina.post(f"/lookouts/{row.id}/delete", {})
    assert session.scalars(select(Lookout)).all() == []


@pytest.mark.browser
@pytest.mark.parametrize("width, height, scheme, locale", [(1366, 768, "light", "en-GB"), (390, 844, "dark", "id-ID")])
def test_the_log_is_for_everybody(
    rina: Visitor, told: dict[str, Delivery], session: Session, browse: OpenBrowser, width: int, height: int, scheme: str, locale: str,
) -> None:  # fmt: skip
    session.add(Lookout(name="Outside", url="https://life.example.org"))
    session.commit()
    page = enter(browse(width, height, scheme, locale))
    for path in ("/deliveries", "/lookouts", "/lookouts/new", "/lookouts/1/delete"):
        page.goto(path)
        assert not accessible(page), path
        assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, path
        page.locator("details.menu > summary").click()
        assert not accessible(page), path
        assert evaluate(page, "JSON.stringify(window.violations)") == "[]", path
