"""The way of a request, with the web's and the poller's own users of PostgreSQL."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from domain import approving
from domain.approving import Denied
from domain.inventory import Credential, Host, HostKey, Membership, Person
from tests.flow.contest import race
from tests.flow.court import Court


@pytest.fixture
def court(database_url: str) -> Iterator[Court]:
    made = Court(database_url)
    yield made
    made.close()


def denied(code: str) -> Any:
    """Refused for exactly this."""
    return pytest.raises(Denied, match=f"^{code}$")


# --- agreement -----------------------------------------------------------------------------------------------------


def test_two_agree_and_the_poller_takes_it_once(court: Court) -> None:
    request = court.ask()
    assert court.request(request).state == "waiting"
    assert court.claim() is None
    assert court.vote("one", request) == "waiting"
    assert court.vote("two", request) == "approved"
    assert court.claim() == request
    assert court.claim() is None
    assert court.request(request).state == "running"


def test_nobody_agrees_to_what_they_asked_for_and_no_role_helps(court: Court) -> None:
    court.ask_database("insert into membership values (%s, %s, 'approver')", court.id["pic"], court.home)
    request = court.ask()
    with denied("own"):
        court.vote("pic", request)
    assert court.request(request).state == "waiting"


def test_an_administrator_is_no_approver_by_being_one(court: Court) -> None:
    request = court.ask()
    for name in ("admin", "staff", "operator"):
        with denied("right"):
            court.vote(name, request)


def test_one_of_the_division_must_be_among_them(court: Court) -> None:
    court.ask_database("update person set role = 'approver' where login = 'staff'")
    court.ask_database("delete from membership where person_id = %s", court.id["staff"])
    request = court.ask()
    assert court.vote("boss", request) == "waiting"
    assert court.vote("staff", request) == "waiting"
    assert court.vote("one", request) == "approved"


def test_one_refusal_ends_it_and_says_why(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    with denied("why"):
        court.vote("two", request, agrees=False, reason="  ")
    assert court.vote("two", request, agrees=False, reason="The month is being closed.") == "refused"
    assert court.request(request).outcome["reason"] == "The month is being closed."
    with denied("over"):
        court.vote("boss", request)
    assert court.claim() is None


def test_a_click_said_twice_counts_once_and_the_other_answer_is_not_taken(court: Court) -> None:
    request = court.ask()
    assert court.vote("one", request) == court.vote("one", request) == "waiting"
    with denied("said"):
        court.vote("one", request, agrees=False)


def test_the_same_form_sent_twice_is_one_request(court: Court) -> None:
    assert court.ask(client="abc") == court.ask(client="abc")


def test_time_is_over_by_the_database(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.later(request, minutes=15)
    with denied("over"):
        court.vote("two", request)
    with court.as_poller() as session:
        approving.sweep(session)
    assert court.request(request).state == "expired"
    assert court.claim() is None


def test_what_was_agreed_to_and_not_begun_in_time_is_not_begun_at_all(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    court.later(request, minutes=3)
    assert court.claim() is None
    assert court.request(request).state == "expired"


def test_a_role_lost_before_it_begins_takes_the_agreement_with_it(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    court.ask_database("delete from membership where person_id = %s", court.id["two"])
    assert court.claim() is None
    assert court.request(request).state == "waiting"
    assert court.vote("boss", request) == "approved"
    assert court.claim() == request


def test_somebody_who_left_agrees_to_nothing_and_asks_for_nothing(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    court.ask_database("update person set active = false where login = 'pic'")
    assert court.claim() is None
    assert court.request(request).outcome["code"] == "requester"


@pytest.mark.parametrize("changed", ["address", "division", "login", "key"])
def test_an_agreement_is_to_this_machine_as_it_was(court: Court, changed: str) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    with court.owner() as session:
        host = session.get(Host, court.host)
        assert host is not None
        if changed == "address":
            host.address = "10.9.8.8"
        elif changed == "division":
            host.division_id = None
        elif changed == "login":
            other = Credential(name="other", kind="password", sealed=b"", seal_id="2/x")
            session.add(other)
            session.flush()
            host.action_credential_id = other.id
        else:
            session.add(HostKey(host_id=host.id, port=22, key="k", fingerprint="SHA256:x", state="pinned"))
        session.commit()
    assert court.claim() is None
    ended = court.request(request)
    assert (ended.state, ended.outcome["code"]) == (
        "cancelled", "requester" if changed == "division" else "changed",
    )  # fmt: skip


def test_a_machine_that_recovered_is_left_alone(court: Court) -> None:
    incident = court.ask_database(
        "insert into incident (subject, host_id, state, since, opened_at) values (%s, %s, 'down', now(), now()) returning id",
        f"host:{court.host}", court.host,
    )[0]["id"]  # fmt: skip
    first = court.ask(incident_id=incident)
    court.vote("one", first)
    court.vote("two", first)
    court.ask_database("update incident set closed_at = now() where id = %s", incident)
    assert court.claim() is None
    assert court.request(first).outcome["code"] == "recovered"


def test_a_request_can_be_taken_back_until_it_begins(court: Court) -> None:
    request = court.ask()
    with denied("right"):
        court.cancel("staff", request)
    assert court.cancel("pic", request) == "cancelled"
    with denied("over"):
        court.vote("one", request)


# --- asking --------------------------------------------------------------------------------------------------------


def test_whoever_may_not_ask_is_refused(court: Court) -> None:
    for name in ("staff", "one", "boss"):
        with denied("right"):
            court.ask(name)


def test_a_reason_is_asked_for(court: Court) -> None:
    for reason in ("", " \n", "x" * 1001):
        with denied("reason"):
            court.ask(reason=reason)


def test_one_request_a_machine_at_a_time(court: Court) -> None:
    court.ask()
    with denied("open"):
        court.ask("operator")


def test_a_service_that_is_not_on_the_list_is_not_touched(court: Court) -> None:
    with denied("service"):
        court.ask(kind="service.restart", params={"service": "sshd.service"})
    assert court.ask(kind="service.restart", params={"service": "nginx.service"})


def test_without_a_login_for_it_nothing_can_be_asked_for(court: Court) -> None:
    court.ask_database("update host set action_credential_id = null")
    with denied("login"):
        court.ask()


def test_nobody_waits_for_an_agreement_that_cannot_come(court: Court) -> None:
    court.ask_database("update person set active = false where login in ('one', 'two')")
    with denied("too_few"):
        court.ask()


def test_a_machine_is_not_restarted_twice_in_a_row(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    assert court.claim("run") == request
    with court.as_poller() as session:
        approving.sending(session, request)
    with court.as_poller() as session:
        assert approving.end(session, request, "run", "done", {"text": ""})
    with denied("quiet"):
        court.ask()
    court.later(request, minutes=10)
    assert court.ask()


def test_the_fourth_machine_of_a_division_takes_one_more(court: Court) -> None:
    for name in ("a", "b", "c"):
        request = court.ask(host=court.machine(name))
        court.ask_database("update request set state = 'done', sent_at = now() where id = %s", request)
    request = court.ask()
    assert court.request(request).needs == 3
    assert court.vote("one", request) == court.vote("two", request) == "waiting"
    assert court.vote("boss", request) == "approved"


# --- rules ---------------------------------------------------------------------------------------------------------


def test_an_administrators_own_finding_where_the_rule_says_so(court: Court) -> None:
    court.rule(alone=True, kind="service.restart")
    order = {"kind": "service.restart", "params": {"service": "nginx.service"}}
    assert court.request(court.ask("operator", alone=True, **order)).state == "approved"
    assert court.claim() is not None
    other = court.machine("other")
    with denied("alone"):
        court.ask("pic", host=other, alone=True, **order)
    assert court.request(court.ask("operator", host=other, **order)).state == "waiting"


def test_one_operator_agrees_to_what_somebody_in_charge_wrote(court: Court) -> None:
    court.rule(needs=1, local=0, by="operators")
    request = court.ask()
    assert court.vote("admin", request) == "approved"


def test_nobody_acts_alone_where_no_rule_says_so(court: Court) -> None:
    for name in ("admin", "operator"):
        with denied("alone"):
            court.ask(name, alone=True)


def test_what_a_rule_forbids_is_not_asked_for(court: Court) -> None:
    court.rule(allow=False, division_id=court.home)
    with denied("rule"):
        court.ask()


def test_a_rule_of_another_division_is_no_rule_here(court: Court) -> None:
    court.rule(allow=False, division_id=court.away)
    assert court.ask()


def test_the_glass_is_broken_by_administrators_alone_and_everybody_hears_of_it(court: Court) -> None:
    court.rule(allow=False)
    with denied("right"):
        court.ask("pic", glass=True)
    request = court.ask("admin", glass=True)
    assert court.claim() == request
    told = court.ask_database("select person_id from summons where request_id = %s and why = 'glass'", request)
    assert {row["person_id"] for row in told} == {court.id[name] for name in ("admin", "pic", "one", "two")}
    assert court.ask_database("select id from audit where what = 'action.glass'")


# --- what is left behind -------------------------------------------------------------------------------------------


def test_every_step_is_in_the_audit_the_thread_and_the_log(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    court.claim("run")
    with court.as_poller() as session:
        approving.end(session, request, "run", "done", {"text": "Up again."})
    steps = ["asked", "agreed", "agreed", "begun", "done"]
    assert [row["code"] for row in court.ask_database("select code from step order by id")] == steps
    lines = court.ask_database("select detail from message where kind = 'line' order by number")
    assert [row["detail"]["what"] for row in lines] == [f"action.{one}" for one in steps]
    rows = court.ask_database("select what, person from audit where what like 'action.%%' order by id")
    assert [row["what"] for row in rows] == [f"action.{one}" for one in steps]
    assert [row["person"] for row in rows] == ["Pic", "One", "Two", "", ""]
    told = court.ask_database("select person_id, why from summons")
    named = {name: id for id, name in ((id, name) for name, id in court.id.items())}
    assert {(row["person_id"], row["why"]) for row in told} == {
        (named["one"], "asked"), (named["two"], "asked"), (named["boss"], "asked"), (named["pic"], "approved"),
        (named["pic"], "ended"), (named["one"], "ended"), (named["two"], "ended"),
    }  # fmt: skip


def test_without_an_audit_nothing_is_agreed_to(court: Court) -> None:
    request = court.ask()
    court.ask_database("revoke insert on audit from pantau_web")
    try:
        with pytest.raises(ProgrammingError):
            court.vote("one", request)
    finally:
        court.ask_database("grant insert on audit to pantau_web")
    assert court.ask_database("select from vote") == []


def test_somebody_of_another_division_finds_nothing(court: Court) -> None:
    request = court.ask()
    court.ask_database("update membership set division_id = %s where person_id = %s", court.away, court.id["one"])
    with denied("gone"):
        court.vote("one", request)


def test_the_web_takes_no_vote_back_and_throws_no_request_away(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    for statement in ("delete from vote", "update vote set agrees = false", "delete from request"):
        with pytest.raises(ProgrammingError, match="permission denied"), court.as_person("admin") as (session, _):
            session.connection().exec_driver_sql(statement)


# --- once ----------------------------------------------------------------------------------------------------------


def test_what_a_dead_poller_left_is_never_done_again(court: Court) -> None:
    request = court.ask()
    court.vote("one", request)
    court.vote("two", request)
    assert court.claim("first") == request
    with court.as_poller() as session:
        assert approving.orphans(session, "second") == 1
    assert (court.request(request).state, court.request(request).outcome["code"]) == ("failed", "not_sent")

    again = court.ask(host=court.machine("other"))
    court.vote("one", again)
    court.vote("two", again)
    court.claim("first")
    with court.as_poller() as session:
        approving.sending(session, again)
    with court.as_poller() as session:
        approving.orphans(session, "second")
    assert (court.request(again).state, court.request(again).outcome["code"]) == ("unknown", "cut_off")
    assert court.claim("second") is None
    with court.as_poller() as session:
        assert not approving.end(session, again, "first", "done", {})


@pytest.mark.timeout(300)
def test_whoever_comes_first_decides_and_nothing_is_done_twice(court: Court) -> None:
    """Forty races of eight; `python -m tests.flow.contest` runs a thousand."""
    done: Counter[int] = Counter()
    chance = random.Random(7)
    ends = Counter(race(court, turn, chance, done) for turn in range(40))
    assert max(done.values()) == 1
    assert ends["running"] >= 10, "the races must also be won by those who agree"


def test_memberships_of_others_are_not_seen_through(court: Court) -> None:
    with court.as_person("pic") as (session, someone):
        assert approving.may(someone, approving.Right.ASK, court.home)
        assert not approving.may(someone, approving.Right.ASK, court.away)
        assert session.query(Membership).filter_by(person_id=court.id["one"]).count() == 1
        assert session.query(Person).count() == len(court.id)
