"""What is usual on the machine's page, what fills up, and the load test that finds limits."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.inventory import Host, LoadTest, Threshold
from domain.records import BandLearnt, Forecast, Incident, Track, raw
from tests.webui.cast import Town, Visitor

CPU = "system.cpu.utilization"


def band(session: Session, town: Town, host: Host, low: float, high: float) -> None:
    rows = {"low": low, "high": high, "under": low / 3, "over": high * 2}
    session.add(
        BandLearnt(
            check_id=host.checks[0].id, measure=CPU, part="", host_id=host.id, learnt_at=town.now, sensitivity="usual",
            status="calibrating", days=3, **{name: [value] * 168 for name, value in rows.items()},
        )
    )  # fmt: skip
    session.commit()


def test_figures_and_charts_say_what_is_usual_in_words_and_as_an_area(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("web-01", "10.0.0.31", cpu=0.41)
    band(session, town, host, 0.34, 0.45)
    page = rina.get(f"/machines/{host.id}").text
    assert "(usually 34–45\u00a0%)" in page
    assert "Usually 34–45\u00a0% at this hour." in page
    assert 'class="normal"' in page
    assert "Still learning what is normal for this machine: day 3 of 14." in page
    figure = rina.get(f"/api/fig/machine/{host.id}/cpu?range=1h").get_json()
    assert [shape["type"] for shape in figure["layout"]["shapes"] if shape.get("name") == "normal"] == ["path"]


def test_what_fills_up_is_on_the_machine_and_in_the_list(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("fs-01", "10.0.0.40")
    for part, days in (("/srv", 19), ("/var", 90)):
        full = town.now + timedelta(days=days)
        session.add(
            Forecast(
                check_id=host.checks[0].id, measure="system.filesystem.utilization", part=part, host_id=host.id,
                made_at=town.now, used=0.82, per_day=0.01, days=20, full_at=full, earliest=full - timedelta(days=3),
                latest=full + timedelta(days=3),
            )
        )  # fmt: skip
    session.commit()
    page = rina.get(f"/machines/{host.id}").text
    assert "give or take 3 days" in page
    assert "/var" in page
    listed = rina.get("/machines").text
    assert "Fills up within 30 days" in listed
    assert "/srv" in listed
    assert "/var" not in listed


def test_how_sensitive_a_machine_is_and_learning_afresh(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31")
    where = f"/machines/{host.id}/limits"
    assert rina.post(f"/machines/{host.id}/normal", {"sensitivity": "narrow"}, page=where).status_code == 303
    session.expire_all()
    assert session.get_one(Host, host.id).sensitivity == "narrow"
    rina.post(f"/machines/{host.id}/normal", {"sensitivity": "silly"}, page=where)
    rina.post(f"/machines/{host.id}/normal", {"do": "afresh"}, page=where)
    session.expire_all()
    again = session.get_one(Host, host.id)
    assert again.sensitivity == "narrow"
    assert again.learn_from is not None


def test_a_load_test_is_walked_through_and_its_limits_are_set(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31", cpu=0.05)
    where = f"/machines/{host.id}/load-test"
    assert "Record it idle" in rina.get(where).text
    rina.post(where, {"minutes": "2"})
    assert "Recording until" in rina.get(where).text
    assert rina.post(f"{where}/load", {}, page=where).status_code == 404  # not before the idle one is done
    session.execute(update(LoadTest).values(idle_at=town.now - timedelta(minutes=40), minutes=10))
    session.commit()
    assert "Record it under load" in rina.get(where).text
    rina.post(f"{where}/load", {}, page=where)
    session.execute(update(LoadTest).values(load_at=town.now - timedelta(minutes=20)))
    session.execute(
        update(raw)
        .where(raw.c.ts.between(town.now - timedelta(minutes=20), town.now - timedelta(minutes=10)))
        .values(v=[0.6, 0.4, 0.5])
    )
    session.commit()
    page = rina.get(where).text
    assert "under load up to 60" in page
    assert "Would not have alarmed" in page
    answer = rina.post(f"{where}/end", {"take": f"{CPU}:"}, page=where)
    assert "/limits?edit=" in answer.location
    session.expire_all()
    rows = session.scalars(select(Threshold).where(Threshold.host_id == host.id).order_by(Threshold.over)).all()
    assert [(row.measure, row.state, round(row.over or 0, 2)) for row in rows] == [
        (CPU, "warning", 0.7), (CPU, "critical", 0.87),
    ]  # fmt: skip
    assert "Record it idle" in rina.get(where).text


def test_home_and_the_incident_say_why_it_is_yellow(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31", cpu=0.06)
    check, since = host.checks[0].id, town.now - timedelta(minutes=7)
    subject = f"metric:{check}:{CPU}:"
    session.add(Track(subject=subject, host_id=host.id, check_id=check, state="warning", since=since, data={}))
    incident = Incident(
        subject=subject, host_id=host.id, check_id=check, state="warning", since=since, opened_at=since,
        cause="0.06 usually 0.304 0.396",
    )  # fmt: skip
    session.add(incident)
    session.commit()
    assert "CPU · 6\u00a0% (usually 30–40\u00a0%)" in rina.get("/").text
    page = rina.get(f"/incidents/{incident.id}").text
    assert "Usually 30–40\u00a0% at this hour, now 6\u00a0%: the load has gone" in page
    assert "the load has gone" in rina.get(f"/machines/{host.id}").text
