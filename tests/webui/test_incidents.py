"""Incidents in people's hands: taken, passed on, explained, put together and parted; and never green by silence."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.inventory import Division, Host, Person
from domain.records import Change, Incident, IncidentEvent, IncidentMember, Latest, StateInterval, Track
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate
from webui import standing


def opened(town: Town, host: Host, state: str = "down", *, minutes: float = 7, cause: str = "", **more: object) -> Incident:  # fmt: skip
    since = town.now - timedelta(minutes=minutes)
    row = Incident(subject=f"host:{host.id}", host_id=host.id, state=state, since=since, opened_at=since, cause=cause)
    for name, value in more.items():
        setattr(row, name, value)
    town.session.add(row)
    town.session.commit()
    return row


def behind(town: Town, incident: Incident, *hosts: Host) -> None:
    for host in hosts:
        town.session.add(IncidentMember(incident_id=incident.id, host_id=host.id, since=incident.since))
    town.session.commit()


def events(session: Session, incident: Incident) -> list[str]:
    session.expire_all()
    wanted = select(IncidentEvent.kind).where(IncidentEvent.incident_id == incident.id).order_by(IncidentEvent.id)
    return list(session.scalars(wanted))


@pytest.fixture
def budi(session: Session, person: Person) -> Person:
    """Somebody to hand things over to."""
    other = Person(login="budi", name="Budi", password_hash=person.password_hash, role="admin")
    session.add(other)
    session.commit()
    return other


def test_home_says_who_is_on_it_and_one_press_takes_it(rina: Visitor, town: Town, session: Session) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    assert "I'm on it" in rina.get("/").text
    answer = rina.post(f"/incidents/{incident.id}/acknowledge", {"next": "/"}, page="/")
    assert (answer.status_code, answer.location) == (303, "/")
    page = rina.get("/").text
    assert "I'm on it" not in page
    assert re.search(r'<span class="who"><a[^>]*>.*?Rina</a>', page, re.S)
    assert "Undo" in page
    session.expire_all()
    assert incident.acknowledged_at is not None
    assert incident.acknowledged_until is not None
    assert (incident.acknowledged_until - incident.acknowledged_at).total_seconds() == 4 * 3600


def test_undo_gives_back_what_was_taken_by_mistake(rina: Visitor, town: Town, session: Session) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    rina.post(f"/incidents/{incident.id}/acknowledge", {"next": "/"}, page="/")
    undo = re.search(r'action="(/incidents/\d+/give-back)"', rina.get("/").text)
    assert undo
    rina.post(undo[1], {}, page="/machines")
    assert events(session, incident) == ["acknowledged", "given_back"]
    assert (incident.owner_id, incident.acknowledged_at) == (None, None)


def test_an_acknowledgement_that_has_run_out_is_nobodys(rina: Visitor, town: Town, person: Person) -> None:
    host = town.machine("db-02", "10.0.0.12", "down")
    past = town.now - timedelta(minutes=1)
    opened(town, host, owner_id=person.id, acknowledged_at=past, acknowledged_until=past)
    assert "I'm on it" in rina.get("/").text


@pytest.mark.parametrize("term, hours", [("1h", 1), ("4h", 4), ("nonsense", 4)])
def test_it_is_taken_for_so_long(rina: Visitor, town: Town, session: Session, term: str, hours: int) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    page = f"/incidents/{incident.id}"
    rina.post(f"{page}/acknowledge", {"term": term, "note": "Disk is on its way"}, page=page)
    session.expire_all()
    assert incident.acknowledged_at and incident.acknowledged_until
    assert incident.acknowledged_until - incident.acknowledged_at == timedelta(hours=hours)
    assert "Disk is on its way" in rina.get(page).text


def test_until_tomorrow_is_eight_in_the_morning_here_and_until_it_is_over_has_no_end(
    rina: Visitor, town: Town, session: Session
) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    page = f"/incidents/{incident.id}"
    rina.post(f"{page}/acknowledge", {"term": "tomorrow"}, page=page)
    session.expire_all()
    assert incident.acknowledged_until is not None
    assert f"{incident.acknowledged_until + timedelta(hours=7):%H:%M}" == "08:00"  # Jakarta
    rina.post(f"{page}/acknowledge", {"term": "open"}, page="/")
    session.expire_all()
    assert incident.acknowledged_until is None


def test_it_is_handed_over_to_somebody_who_can_log_in(
    rina: Visitor, town: Town, budi: Person, session: Session
) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    page = f"/incidents/{incident.id}"
    rina.post(f"{page}/hand-over", {"to": budi.id, "note": "Your disk"}, page=page)
    assert events(session, incident) == ["handed_over"]
    assert incident.owner_id == budi.id
    assert "handed it over to Budi" in rina.get(page).text
    budi.active = False
    incident.owner_id = None
    session.commit()
    rina.post(f"{page}/hand-over", {"to": budi.id}, page=page)
    assert "cannot log in any more" in rina.get(page).text
    assert incident.owner_id is None
    assert rina.post(f"{page}/hand-over", {"to": 4711}, page=page).status_code == 404


def test_what_still_goes_on_cannot_be_closed_by_hand(rina: Visitor, town: Town, session: Session) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    page = f"/incidents/{incident.id}"
    assert 'name="cause"' not in rina.get(page).text
    answer = rina.post(f"{page}/close", {"cause": "I want it gone"}, page=page)
    assert answer.status_code == 409
    assert "It still goes on" in answer.text
    assert "I want it gone" in answer.text
    assert events(session, incident) == []
    assert incident.closed_at is None


def test_what_nobody_looks_at_any_more_can_be_closed_at_once(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-02", "10.0.0.12", "down")
    incident = opened(town, host)
    host.enabled = False
    session.commit()
    page = f"/incidents/{incident.id}"
    rina.post(f"{page}/close", {"cause": "Taken out of the rack"}, page=page)
    session.expire_all()
    assert incident.closed_at is not None
    assert incident.closing == "Taken out of the rack"


def test_a_cause_said_afterwards_is_what_the_next_one_reads(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-02", "10.0.0.12", "down")
    over = opened(town, host, minutes=500, closed_at=town.now - timedelta(minutes=480), cause="No answer to 5 pings.")
    page = f"/incidents/{over.id}"
    assert "Say what it was" in rina.get(page).text
    rina.post(f"{page}/close", {"cause": "  "}, page=page)
    assert "Please say what it was" in rina.get(page).text
    rina.post(f"{page}/close", {"cause": "Power strip switched off by the cleaner"}, page=page)
    fresh = opened(town, host)
    text = rina.get(f"/incidents/{fresh.id}").text
    assert "Alike before" in text
    assert "Power strip switched off by the cleaner" in text
    elsewhere = opened(town, town.machine("db-03", "10.0.0.13", "down"), cause="No answer to 5 pings.")
    assert "Power strip" in rina.get(f"/incidents/{elsewhere.id}").text


def test_the_history_is_everything_in_order_and_nothing_twice(
    rina: Visitor, town: Town, person: Person, session: Session
) -> None:
    host = town.machine("db-02", "10.0.0.12", "down")
    incident = opened(town, host)
    told = [("opened", {"from": "up", "to": "down", "reason": "No answer."}), ("told", {"notice": "problem"})]
    for kind, data in told:
        session.add(IncidentEvent(incident_id=incident.id, at=incident.opened_at, kind=kind, data=data))
    session.add(
        Change(
            subject=f"host:{host.id}", host_id=host.id, at=incident.opened_at, since=incident.since,
            from_state="up", to_state="down", reason="No answer.",
        )
    )  # fmt: skip
    session.commit()
    page = f"/incidents/{incident.id}"
    rina.post(f"{page}/note", {"text": "Called the <b>landlord</b>"}, page=page)
    text = rina.get(page).text
    lines = re.findall(r"<p>(?:<b>Rina</b> )?([^<]+)</p>\s*(?:<p class=\"said\">)", text)
    assert lines == ["wrote", "It began"]
    assert text.count("No answer.") == 1
    assert "People were told of the problem" in text
    assert "Called the &lt;b&gt;landlord&lt;/b&gt;" in text
    rina.post(f"{page}/note", {"text": " "}, page=page)
    assert events(session, incident) == ["opened", "told", "note"]


def test_machines_that_joined_together_are_one_line(rina: Visitor, town: Town, session: Session) -> None:
    switch = town.machine("sw-01", "10.0.0.2", "down")
    incident = opened(town, switch)
    hosts = [town.machine(f"pc-{n}", f"10.0.1.{n}", "unreachable") for n in range(3)]
    for n, host in enumerate(hosts):
        at = town.now - timedelta(minutes=6, seconds=n)
        session.add(IncidentMember(incident_id=incident.id, host_id=host.id, since=at))
    session.commit()
    text = rina.get(f"/incidents/{incident.id}").text
    assert text.count("3 machines behind it became unreachable") == 1
    assert "3 machines behind it could not be reached" in text


def test_machines_that_could_be_reached_again_before_the_end_are_in_the_history(
    rina: Visitor, town: Town, session: Session
) -> None:
    incident = opened(town, town.machine("sw-01", "10.0.0.2", "down"))
    hosts = [town.machine(f"pc-{n}", f"10.0.1.{n}", "unreachable") for n in range(3)]
    behind(town, incident, *hosts)
    gone = session.scalars(select(IncidentMember).where(IncidentMember.host_id == hosts[0].id)).one()
    gone.until = town.now
    session.commit()
    text = rina.get(f"/incidents/{incident.id}").text
    assert text.count("3 machines behind it became unreachable") == 1
    assert text.count("1 machine behind it can be reached again") == 1


def test_home_folds_what_is_behind_a_dead_switch_into_its_line(rina: Visitor, town: Town, session: Session) -> None:
    switch = town.machine("sw-01", "10.0.0.2", "down")
    hosts = [town.machine(f"pc-{n}", f"10.0.1.{n}", "unreachable") for n in range(4)]
    lonely = town.machine("far", "10.0.2.1", "unreachable")
    behind(town, opened(town, switch), *hosts)
    page = rina.get("/").text
    listed = re.findall(r'<span><a href="/machines/\d+">([^<]+)</a>', page)
    assert sorted(listed) == ["far", "sw-01"]
    assert "4 machines behind it are unreachable" in page
    assert lonely.name in page


def test_the_affected_stand_under_the_machine_they_are_behind(rina: Visitor, town: Town, session: Session) -> None:
    router = town.machine("router", "10.0.0.1", "down")
    switch, pc = (town.machine(name, "10.0.0.3", "unreachable") for name in ("switch", "pc"))
    switch.parents, pc.parents = [router], [switch]
    incident = opened(town, router)
    behind(town, incident, switch, pc)
    text = rina.get(f"/incidents/{incident.id}").text
    assert re.search(r">switch</a>.*?<ul><li><a[^>]*>pc</a>", text, re.S)


def test_incidents_are_put_together_and_parted_by_hand(rina: Visitor, town: Town, session: Session) -> None:
    first, second, third = (opened(town, town.machine(name, "10.0.0.9", "down")) for name in ("a", "b", "c"))
    third.merged_into = second.id
    session.commit()
    page = f"/incidents/{second.id}"
    rina.post(f"{page}/merge", {"into": first.id}, page=page)
    session.expire_all()
    assert (second.merged_into, second.merged_by_hand) == (first.id, True)
    assert (third.merged_into, third.merged_by_hand) == (second.id, False)
    assert f'href="/incidents/{third.id}"' in rina.get(f"/incidents/{first.id}").text
    assert events(session, first) == events(session, second) == ["merged"]
    listed = rina.get("/incidents").text
    assert f'href="/incidents/{second.id}"' not in listed
    assert "2 more incidents stand under it" in listed
    for into in (second.id, 0, 4711):
        rina.post(f"/incidents/{first.id}/merge", {"into": into}, page=page)
    session.expire_all()
    assert first.merged_into is None
    rina.post(f"{page}/split", {}, page=page)
    session.expire_all()
    assert (second.merged_into, second.merged_by_hand) == (None, False)
    assert third.merged_into == second.id
    assert events(session, second) == ["merged", "split"]


def test_what_goes_on_comes_out_from_under_what_a_person_closes(rina: Visitor, town: Town, session: Session) -> None:
    whole = opened(town, town.machine("a", "10.0.0.9", "up"))
    parts = [opened(town, town.machine(name, "10.0.0.9", "down"), merged_into=whole.id) for name in ("b", "c")]
    parts[1].closed_at = town.now
    session.commit()
    page = f"/incidents/{whole.id}"
    rina.post(f"{page}/close", {"cause": "A cable"}, page=page)
    session.expire_all()
    assert [part.merged_into for part in parts] == [None, whole.id]
    assert f'href="/incidents/{parts[0].id}"' in rina.get("/incidents?state=open").text


def test_the_list_has_open_ones_first_and_its_filters_in_the_address(
    rina: Visitor, town: Town, person: Person, session: Session
) -> None:
    store = Division(name="Gudang")
    a, b, c = (town.machine(name, "10.0.0.9", "down") for name in ("aa", "bb", "cc"))
    a.division = store
    opened(town, a, owner_id=person.id, acknowledged_at=town.now)
    opened(town, b)
    opened(town, c, minutes=900, closed_at=town.now - timedelta(minutes=800))
    opened(town, c, minutes=60 * 24 * 9, closed_at=town.now - timedelta(days=8), cause="long ago")
    session.commit()

    def names(query: str) -> list[str]:
        return re.findall(r'<a class="name" href="/incidents/\d+">([^<]+)</a>', rina.get(f"/incidents?{query}").text)

    assert names("") == ["aa", "bb", "cc"]
    assert names("state=open") == ["aa", "bb"]
    assert names("state=closed") == ["cc"]
    assert names("owner=me") == ["aa"]
    assert names("owner=nobody") == ["bb", "cc"]
    assert names(f"machine={b.id}") == ["bb"]
    assert names(f"division={store.id}") == ["aa"]
    assert names("owner=%27%3B--&machine=x&division=99999999999999") == ["aa", "bb", "cc"]
    assert "No incidents in 7 days" in rina.get("/incidents?machine=4711").text


def test_without_incidents_the_list_says_so(rina: Visitor, town: Town) -> None:
    assert "No incidents in 7 days" in rina.get("/incidents").text
    assert rina.get("/incidents/1").status_code == 404


def test_what_is_over_cannot_be_taken(rina: Visitor, town: Town, session: Session) -> None:
    over = opened(town, town.machine("db-02", "10.0.0.12"), closed_at=town.now)
    for act in ("acknowledge", "give-back"):
        rina.post(f"/incidents/{over.id}/{act}", {}, page=f"/incidents/{over.id}")
        assert "This incident is over" in rina.get(f"/incidents/{over.id}").text
    assert events(session, over) == []


def test_after_a_press_nobody_is_sent_to_another_site(rina: Visitor, town: Town) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    answer = rina.post(f"/incidents/{incident.id}/acknowledge", {"next": "//evil.example"}, page="/")
    assert answer.location == "/"


def test_planted_words_reach_no_page_as_markup(rina: Visitor, town: Town) -> None:
    bad = "<script>alert()</script>"
    host = town.machine(bad, "10.0.0.12", "down", reason=bad)
    incident = opened(town, host, cause=bad, note=bad, closing=bad)
    for path in ("/", "/incidents", f"/incidents/{incident.id}", f"/machines/{host.id}", f"/machines/{host.id}/way"):
        assert "<script>" not in rina.get(path).text, path


def test_our_own_line_gone_is_one_line_and_machines_are_folded_into_it(
    rina: Visitor, town: Town, session: Session
) -> None:
    line = Incident(subject="poller", state="down", since=town.now, opened_at=town.now, cause="Own line is gone.")
    session.add(line)
    session.commit()
    behind(town, line, *(town.machine(f"pc-{n}", f"10.0.1.{n}", "unreachable") for n in range(3)))
    page = rina.get("/").text
    assert "Pantau's own line is gone" in page
    assert "3 machines cannot be reached because of it" in page
    assert not re.findall(r'<span><a href="/machines/\d+">', page)
    assert rina.get(f"/incidents/{line.id}").status_code == 200
    assert "own line" in rina.get("/incidents").text


# ---- silence and flags ----


def test_an_up_machine_nobody_has_looked_at_for_three_intervals_is_shown_unknown(
    rina: Visitor, town: Town, session: Session
) -> None:
    host, down = town.machine("fs-01", "10.0.0.20"), town.machine("db-02", "10.0.0.12", "down")
    for one, seconds in ((host, 181), (down, 600)):
        set_newest(session, one, town.now - timedelta(seconds=seconds))
    page = rina.get("/machines").text
    assert re.search(r'data-state="unknown"[^>]*>\s*(?:<td.*?){2}fs-01', page, re.S)
    assert re.search(r'data-state="down"[^>]*>\s*(?:<td.*?){2}db-02', page, re.S)
    assert page.count("Not seen lately") == 2
    assert "No look for" in rina.get("/").text
    assert 'pantau_machines{state="unknown"} 1' in rina.get("/metrics").text
    assert 'pantau_machines{state="up"} 0' in rina.get("/metrics").text
    set_newest(session, host, town.now - timedelta(seconds=100))
    assert 'data-state="up"' in rina.get("/machines").text


def test_the_terminal_knows_silence_maintenance_and_who_is_on_it(town: Town, person: Person, session: Session) -> None:
    quiet, down, planned = (town.machine(n, "10.0.0.9", s) for n, s in (("fs", "up"), ("db", "down"), ("mail", "down")))
    set_newest(session, quiet, town.now - timedelta(minutes=5))
    opened(town, down, owner_id=person.id, acknowledged_at=town.now)
    session.add(
        StateInterval(subject=f"maintenance:{planned.id}", host_id=planned.id, since=town.now, state="maintenance")
    )
    session.commit()
    told = standing.read(session)
    assert [(one.machine, one.state, one.owner) for one in told.problems] == [
        ("db", "down", "Rina"),
        ("fs", "unknown", ""),
    ]
    assert "No look for 5 minutes" in told.problems[1].reason
    assert told.as_json()["maintenance"] == ["mail"]
    assert "1 machine is under maintenance." in told.as_text()
    assert "(Rina is on it)" in told.as_text()
    patient = standing.read(session, usual=600)
    assert [one.machine for one in patient.problems] == ["db"]


def test_a_slow_check_is_patient_and_a_switched_off_machine_is_never_stale(
    rina: Visitor, town: Town, session: Session
) -> None:
    host, off = town.machine("slow", "10.0.0.20"), town.machine("off", "10.0.0.21")
    host.checks[0].interval_s, off.enabled = 3600, False
    session.commit()
    for one in (host, off):
        set_newest(session, one, town.now - timedelta(hours=2))
    page = rina.get("/machines").text
    assert 'data-state="up"' in page
    assert "Not seen lately" not in page


def test_what_does_not_decide_up_and_down_keeps_no_machine_green(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    other = town.machine("other", "10.0.0.21")
    other.checks[0].reachability, other.checks[0].host_id, other.checks[0].name = False, host.id, "Disks"
    session.commit()
    set_newest(session, host, town.now - timedelta(hours=2))
    session.execute(update(Latest).where(Latest.host_id == other.id).values(host_id=host.id))
    session.commit()
    assert re.search(r'data-state="unknown"[^>]*>\s*(?:<td.*?){2}fs-01', rina.get("/machines").text, re.S)


def test_maintenance_and_flapping_are_flags_and_planned_trouble_is_not_told_as_wrong(
    rina: Visitor, town: Town, session: Session
) -> None:
    planned = town.machine("db-02", "10.0.0.12", "down")
    shaky = town.machine("fs-01", "10.0.0.20", "down")
    session.add(
        StateInterval(subject=f"maintenance:{planned.id}", host_id=planned.id, since=town.now, state="maintenance")
    )
    track = session.get(Track, f"host:{shaky.id}")
    assert track is not None
    track.data = {"state": "down", "flaps": {"fast": True}}
    session.commit()
    page = rina.get("/").text
    assert "1 machine is down." in page
    assert "1 machine is under maintenance" in page
    assert "Comes and goes" in page
    assert re.findall(r'<span><a href="/machines/\d+">([^<]+)</a>', page) == ["fs-01"]
    session.delete(track)
    shaky.enabled = False
    session.commit()
    assert "The one machine is under maintenance." in rina.get("/").text


def set_newest(session: Session, host: Host, at: datetime) -> None:
    session.execute(update(Latest).where(Latest.check_id == host.checks[0].id).values(ts=at))
    session.commit()


# ---- a real browser ----


@pytest.mark.browser
def test_the_key_a_takes_an_incident_for_four_hours_and_only_where_nobody_types(
    person: Person, town: Town, browse: OpenBrowser, session: Session
) -> None:
    incident = opened(town, town.machine("db-02", "10.0.0.12", "down"))
    page = enter(browse(1366, 768, "light", "en-GB"))
    page.goto(f"/incidents/{incident.id}")
    assert page.locator("[aria-keyshortcuts=a]").inner_text() == "I'm on it"
    page.locator("#text").press_sequentially("a cat was here")
    page.locator("#text").blur()
    page.keyboard.press("Control+a")
    session.expire_all()
    assert incident.acknowledged_at is None
    page.keyboard.press("a")
    page.wait_for_selector("text=Give back")
    session.expire_all()
    assert incident.owner_id == person.id
    assert incident.acknowledged_at is not None and incident.acknowledged_until is not None
    assert incident.acknowledged_until - incident.acknowledged_at == timedelta(hours=4)
    page.keyboard.press("a")  # it is in hand: the key has nothing to do
    assert events(session, incident) == ["acknowledged"]


@pytest.mark.browser
def test_on_a_phone_the_bar_stays_in_reach_and_two_taps_take_an_incident(
    person: Person, town: Town, browse: OpenBrowser, session: Session
) -> None:
    host = town.machine("db-02", "10.0.0.12", "down", reason="No answer to 5 pings.")
    incident = opened(town, host, cause="No answer to 5 pings.")
    page = enter(browse(390, 844, "light", "id-ID"))
    page.goto(f"/incidents/{incident.id}")
    bar = page.locator(".actbar")
    for where in ("0", "document.documentElement.scrollHeight"):
        evaluate(page, f"window.scrollTo(0, {where})")
        box = bar.bounding_box()
        assert box is not None
        assert box["y"] > 600 and box["y"] + box["height"] <= 844 - 56 + 1
        buttons = [one.bounding_box() for one in bar.locator("summary, a.button").all()]
        assert all(one and 44 <= one["height"] <= 56 for one in buttons), buttons
    assert not accessible(page)
    page.get_by_text("Saya tangani").click()
    assert not accessible(page)
    choice = page.get_by_role("button", name="1 jam")
    box = choice.bounding_box()
    assert box is not None and box["y"] > 56 and box["y"] + box["height"] < 800
    choice.click()
    page.wait_for_selector("text=Lepaskan")
    session.expire_all()
    assert incident.owner_id == person.id
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"
