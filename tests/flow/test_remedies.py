"""What is done by itself about trouble: at first on paper, once for each incident, and only as it was agreed to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from domain import mandates
from domain import remedies as rules
from domain.approving import Denied
from domain.jobs import Mandate, Remedy
from poller import remedies
from tests.flow.court import Court


@pytest.fixture
def court(database_url: str) -> Iterator[Court]:
    made = Court(database_url)
    yield made
    made.close()


def remedy(court: Court, **more: Any) -> int:
    """As its page makes it."""
    with court.as_person("pic") as (session, someone):
        made = Remedy(
            name="web is back", division_id=court.home, states=["down", "critical"], after_s=0, zone="Asia/Jakarta",
            made_by=someone.id, check_kind=more.pop("check_kind", ""), **more,
        )  # fmt: skip
        made.days = made.days or []
        made.mandate = Mandate(
            division_id=court.home, host_id=court.host, kind="service.restart", params={"service": "nginx.service"},
            reason="It hangs.", days=30, condition=rules.condition(made),
        )  # fmt: skip
        session.add(made)
        session.flush()
        mandates.renew(session, made.mandate, someone)
        return made.id


def agree(court: Court, id: int) -> None:
    for name in ("one", "two"):
        with court.as_person(name) as (session, someone):
            mandate = session.get_one(Remedy, id).mandate
            mandates.answer(session, mandate.id, someone, mandate.bound, agrees=True)


def turn(court: Court, id: int, *, live: bool = True, sure: bool = True) -> None:
    with court.as_person("pic") as (session, _):
        rules.turn(session, session.get_one(Remedy, id), live=live, sure=sure)


def trouble(court: Court, state: str = "down", kind: str = "", host: int | None = None) -> int:
    """An incident that begins now."""
    id = host or court.host
    check = None
    if kind:
        (row,) = court.ask_database("insert into host_check (host_id, kind, name) values (%s, %s, %s) returning id", id, kind, kind)  # fmt: skip
        check = row["id"]
    (row,) = court.ask_database(
        "insert into incident (subject, host_id, check_id, state, since, opened_at)"
        " values (%s, %s, %s, %s, now(), now()) returning id",
        f"check:{check}" if check else f"host:{id}", id, check, state,
    )  # fmt: skip
    return int(row["id"])


def serve(court: Court) -> int:
    with court.as_poller() as session:
        return remedies.serve(session)


def met(court: Court) -> list[tuple[int, str, Any]]:
    rows = court.ask_database("select incident_id, state, detail ->> 'code' as code from firing order by id")
    return [(row["incident_id"], row["state"], row["code"]) for row in rows]


def test_dry_first_then_once_for_each_incident_and_by_a_request_like_any_other(court: Court) -> None:
    id, first = remedy(court), trouble(court)
    with pytest.raises(Denied, match=r"^dry_first$"):
        turn(court, id, sure=False)
    assert (serve(court), serve(court)) == (1, 0)
    assert met(court) == [(first, "dry", None)]
    assert court.ask_database("select id from request") == []
    (said,) = court.ask_database("select distinct detail ->> 'what' as what from message where detail ->> 'remedy' = %s", str(id))  # fmt: skip
    assert said["what"] == "remedy.dry"
    agree(court, id)
    turn(court, id, sure=False)
    assert serve(court) == 0, "what was in trouble before is left alone"
    court.ask_database("update incident set closed_at = now()")
    second = trouble(court)
    assert (serve(court), serve(court)) == (1, 0)
    assert met(court)[1:] == [(second, "asked", None)]
    (request,) = court.ask_database("select * from request")
    assert (request["state"], request["incident_id"], request["kind"]) == ("approved", second, "service.restart")
    assert court.claim() == request["id"]
    told = court.ask_database("select why from letter where subject like 'firing:%%' order by why")
    assert [row["why"] for row in told] == ["asked_for", "dry"]


def test_what_was_not_agreed_to_or_does_not_hold_any_more_is_not_done_and_is_told(court: Court) -> None:
    id = remedy(court)
    turn(court, id)
    incident = trouble(court)
    serve(court)
    assert met(court) == [(incident, "not_done", "approval")]
    agree(court, id)
    assert serve(court) == 0, "once, whatever came of it"
    court.ask_database("update incident set closed_at = now()")
    court.ask_database("update host set address = '127.0.0.1'")
    own = trouble(court)
    serve(court)
    assert met(court)[1:] == [(own, "not_done", "ourselves")]
    assert court.ask_database("select id from request") == []


def test_something_under_way_at_the_machine_is_not_joined_by_more(court: Court) -> None:
    id = remedy(court)
    agree(court, id)
    turn(court, id)
    waiting = court.ask()
    incident = trouble(court)
    serve(court)
    assert met(court) == [(incident, "not_done", "open")]
    assert [row["id"] for row in court.ask_database("select id from request")] == [waiting]


@pytest.mark.parametrize(
    ("more", "given", "change"),
    [
        ({}, {"state": "warning"}, ""),
        ({"check_kind": "http"}, {}, ""),
        ({"check_kind": "http"}, {"kind": "tcp"}, ""),
        ({"after_s": 600}, {}, ""),
        ({}, {}, "update remedy set enabled = false"),
        ({}, {}, "update incident set acknowledged_at = now()"),
        ({}, {}, "update incident set closed_at = now()"),
        ({}, {}, "insert into state_interval (subject, host_id, since, state) select 'maintenance:' || id, id, now(), 'maintenance' from host"),
        ({}, {}, "update remedy set zone = 'UTC', from_minute = m, to_minute = (m + 1) % 1440"
                 " from (select ((extract(hour from now() at time zone 'UTC')::int * 60 + 720) % 1440) as m) x"),
        ({}, {}, "update remedy set since = now() + interval '1 hour'"),
    ],
)  # fmt: skip
def test_it_acts_only_in_its_states_and_hours_on_what_nobody_has_in_hand(
    court: Court, more: dict[str, Any], given: dict[str, Any], change: str
) -> None:
    after = more.pop("after_s", None)
    remedy(court, **more)
    if after is not None:
        court.ask_database("update remedy set after_s = %s", after)
    trouble(court, **given)
    if change:
        court.ask_database(change.replace("%", "%%"))
    assert serve(court) == 0
    assert met(court) == []


def test_a_check_of_its_kind_is_met_and_another_machine_is_not(court: Court) -> None:
    remedy(court, check_kind="http")
    other = court.machine("other")
    trouble(court, kind="http", host=other, state="critical")
    incident = trouble(court, kind="http", state="critical")
    assert serve(court) == 1
    assert met(court) == [(incident, "dry", None)]
