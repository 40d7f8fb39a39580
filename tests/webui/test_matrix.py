"""Every address x everybody: generated from the route table, so that nothing can be forgotten.

Whoever lacks a right is refused by every address that takes it; and what belongs to another division answers exactly
like what does not exist: the same code, the same headers, the same text.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from domain.actions import Request
from domain.chat import Message, Picture, Thread
from domain.clock import now
from domain.identity import Portrait
from domain.inventory import (
    Check,
    Division,
    Host,
    HostGroup,
    HostKey,
    Membership,
    Person,
    Site,
    Threshold,
    Window,
)  # fmt: skip
from domain.inventory import Session as Opened
from domain.jobs import Mandate, Remedy, Schedule
from domain.recipients import Channel, Route
from domain.records import Incident
from domain.requests import Discovery, Look, Trial
from domain.rights import OF, Right
from domain.tokens import SCOPES, ApiToken
from tests.webui.cast import Visitor
from tests.webui.program import Program, program
from webui import access, api

MISSING = "987654321"
NOBODY = "00000000-0000-4000-8000-000000000000"
HANDED = (("read",), ("handle",), ("edit",), ("admin",), ("admin", "logins"), ("logins",))
"""What tokens are made for: each scope alone, and the one that is used beside another."""
CAST = {
    "viewer": ("A", "viewer"), "staff": ("A", "staff"), "pic": ("A", "pic"), "operator": ("A", "operator"),
    "approver": ("A", "approver"), "foreign pic": ("B", "pic"), "foreign operator": ("B", "operator"), "foreign staff": ("B", "staff"),
}  # fmt: skip
"""Who walks: the division they belong to and what they are there. Besides them nobody, and an administrator."""
PLAIN = {
    "name": "x", "stamp": "x", "key": "cpu", "ending": "csv", "token": "x", "language": "en", "kind": "problem", "mac": "x",
    "what": "0", "addition_id": "1", "credential_id": "1", "policy_id": "1", "rota_id": "1", "shift_id": "1",
    "lookout_id": "1", "rule_id": "1", "runbook_id": "1", "edit_id": "1", "owner_id": "1", "channel_id": "1",
}  # fmt: skip
"""Names in addresses that lead to nothing of a division: the installation's own things, and words."""


@dataclass
class Town:
    """Two divisions with one of everything each; `of["A"]` says what a name in an address stands for in A."""

    of: dict[str, dict[str, str]] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)


@pytest.fixture
def two(session: Session) -> Town:
    """The town."""
    return settle(session)


def settle(session: Session) -> Town:
    """Fill an empty installation."""
    made = Town()
    channel = Channel(kind="email", name="mail", options={}, seal_id="1")
    session.add(channel)
    for name in ("A", "B"):
        division, site = Division(name=name), Site(name=f"Site {name}")
        host = Host(name=f"pc-{name}", address="10.0.0.1", division=division, site=site, groups=[HostGroup(name=name)])
        host.checks.append(Check(kind="ssh", name="SSH"))
        host.thresholds.append(Threshold(measure="system.uptime", state="warning", over=1))
        keeper = Person(login=f"keeper-{name.lower()}", name=f"Keeper {name}", password_hash="-")
        keeper.memberships = [Membership(division=division, role="pic")]
        session.add_all([host, keeper])
        session.flush()
        rows = {
            "incident_id": Incident(subject=f"host:{host.id}", host_id=host.id, state="down", since=now(), opened_at=now()),
            "window_id": Window(
                kind="weekly", options={"weekdays": ["sat"], "at": "22:00", "duration": 7200}, zone="Asia/Jakarta", host_id=host.id
            ),
            "key_id": HostKey(host_id=host.id, port=22, key=f"ssh-ed25519 {name}", fingerprint=name, state="offered"),
            "look_id": Look(id=f"{host.id:08}-0000-4000-8000-00000000000a", kind="test", host_id=host.id, asked_by=keeper.id),
            "discovery_id": Discovery(
                id=f"{host.id:08}-0000-4000-8000-00000000000b", asked_by=keeper.id, addresses=["10.0.0.1"], rate=50
            ),
            "trial_id": Trial(id=f"{host.id:08}-0000-4000-8000-00000000000c", asked_by=keeper.id),
            "route_id": Route(person_id=keeper.id, channel_id=channel.id, name="", address={"mailbox": "x@example.org"}),
            "token_id": ApiToken(
                person_id=keeper.id, name="x", hash=hashlib.sha256(name.encode()).digest(), hint="x", scopes=["read"],
                expires_at=now() + timedelta(days=1),
            ),
            "message_id": Message(author_id=keeper.id, author=keeper.name, client="12345678", body="x", thread_id=session.scalars(select(Thread.id).where(Thread.division_id == division.id)).one()),
            "request_id": Request(
                host_id=host.id, kind="host.restart", params={}, bound="", reason="x", needs=2, local=1, expires_at=now() + timedelta(days=1)
            ),
            "schedule_id": Schedule(
                name=f"restart {name}", kind="action", division_id=division.id, expression="30 2 * * *", zone="Asia/Jakarta",
                made_by=keeper.id, mandate=Mandate(
                    division_id=division.id, host_id=host.id, kind="host.restart", params={}, reason="x", condition={}, days=9
                ),
            ),
            "remedy_id": Remedy(
                name=f"remedy {name}", division_id=division.id, states=["down"], zone="Asia/Jakarta", made_by=keeper.id,
                mandate=Mandate(
                    division_id=division.id, host_id=host.id, kind="host.restart", params={}, reason="x", condition={}, days=9
                ),
            ),
            "portrait": Portrait(person_id=keeper.id, stamp="x", image=b"x"),
        }  # fmt: skip
        session.add_all(rows.values())
        session.flush()
        shot = Picture(message_id=rows["message_id"].id, width=1, height=1, image=b"x")
        session.add(shot)
        session.flush()
        made.of[name] = PLAIN | {key: str(row.id) for key, row in rows.items() if key != "portrait"}
        made.of[name] |= {
            "mandate_id": str(rows["schedule_id"].mandate_id),
            "host_id": str(host.id), "check_id": str(host.checks[0].id), "site_id": str(site.id),
            "division_id": str(division.id), "person_id": str(keeper.id), "threshold_id": str(host.thresholds[0].id),
            "thread_id": str(rows["message_id"].thread_id), "picture_id": str(shot.id),
            "owner_id": str(division.id), "group_id": str(host.groups[0].id), "limit_id": str(host.thresholds[0].id),
        }  # fmt: skip
        for who, (home, role) in CAST.items():
            if home == name:
                one = Person(login=who.replace(" ", "-"), name=who, password_hash="-")
                one.memberships = [Membership(division=division, role=role)]
                made.people[who] = one
    made.people["admin"] = Person(login="admin", name="admin", password_hash="-", role="admin")
    session.add_all(made.people.values())
    made.of["nowhere"] = PLAIN | {
        key: NOBODY if key in ("look_id", "discovery_id", "trial_id") else MISSING
        for key in made.of["A"]
        if key not in PLAIN
    }
    session.commit()
    return made


def enter(app: Flask, session: Session, person: Person) -> Visitor:
    """Somebody logged in, without the cost of a password."""
    visitor, token = Visitor(app.test_client()), secrets.token_urlsafe(32)
    session.add(
        Opened(id=hashlib.sha256(token.encode()).hexdigest(), person_id=person.id, seen_at=now() + timedelta(minutes=1))
    )
    session.commit()
    visitor.client.set_cookie("pantau-session", token)
    return visitor


def addresses(app: Flask) -> Iterator[tuple[Rule, str, str]]:
    """(rule, method, what it declares) of every route but the files."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda one: one.rule):
        if rule.endpoint != "assets.give":
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, access.rule_of(app.view_functions[rule.endpoint])


def path_of(rule: Rule, values: dict[str, str]) -> str:
    """The address with what its names stand for."""
    return re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", lambda name: values[name[1]], rule.rule)


def send(visitor: Visitor, method: str, path: str, token: str) -> TestResponse:
    """One request as the visitor's own page would send it."""
    return visitor.client.open(
        path, base_url=visitor.base, method=method, headers={"X-CSRF-Token": token} if method != "GET" else {}
    )


def token_of(visitor: Visitor) -> str:
    """What proves a form of this visitor."""
    found = re.search(
        r'name="csrf" value="([^"]+)"',
        visitor.get("/" if visitor.client.get_cookie("pantau-session") else "/login").text,
    )
    assert found
    return found[1]


def said(answer: TestResponse, values: dict[str, str]) -> tuple[int, list[tuple[str, str]], str]:
    """Code, headers and text, without what differs between two equal requests."""
    text = re.sub(r'name="csrf" value="[^"]+"', "", answer.text)
    text = re.sub(r"Reference [0-9a-f]{8}|\"reference\": ?\"[0-9a-f]{8}\"", "", text)
    hidden = sorted((value for value in values.values() if len(value) > 6), key=len, reverse=True)
    names = [re.escape(one) for one in hidden] + [r"(?<=/)\d+", r"(?<=%2F)\d+"]
    text = re.sub("|".join(names), "#", text)
    kept = [(name, re.sub("|".join(names), "#", value)) for name, value in answer.headers if name not in ("Set-Cookie", "Date", "Content-Length")]  # fmt: skip
    return answer.status_code, kept, text


def refused(answer: TestResponse) -> bool:
    return answer.status_code in (401, 403, 404) or (
        answer.status_code == 302 and answer.location.split("?")[0] in ("/login", "/setup", "/")
    )


def test_every_name_in_an_address_is_known_here(app: Flask, two: Town) -> None:
    unknown = {name for rule, _, _ in addresses(app) for name in rule.arguments} - set(two.of["A"])
    assert not unknown, "say in this file what they stand for in a division"


@pytest.mark.timeout(400)
def test_whoever_lacks_the_right_is_refused_everywhere(app: Flask, two: Town, session: Session) -> None:
    nobody = Visitor(app.test_client())
    wrong = []
    walkers = {who: (enter(app, session, two.people[who]), OF[role]) for who, (_, role) in CAST.items()}
    tokens = {who: token_of(visitor) for who, (visitor, _) in walkers.items()}
    knock = token_of(nobody)
    for rule, method, declared in addresses(app):
        path = path_of(rule, two.of["A"])
        if declared != access.PUBLIC and not refused(send(nobody, method, path, knock)):
            wrong.append(f"nobody: {method} {path}")
        if declared not in [*Right, access.SCRAPER, access.FIRST_RUN]:
            continue
        needed = Right(declared) if declared in list(Right) else Right.ADMIN
        for who, (visitor, rights) in walkers.items():
            away = CAST[who][0] == "B" and "host_id" in rule.arguments
            if (needed in rights and not away) or declared == access.FIRST_RUN:
                continue
            answer = send(visitor, method, path, tokens[who])
            if not refused(answer) or answer.status_code == 302:
                wrong.append(f"{who}: {method} {path} {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(400)  # every address, by everybody, twice
def test_another_divisions_things_answer_like_things_that_do_not_exist(app: Flask, two: Town, session: Session) -> None:
    wrong = []
    for who in CAST:
        home = CAST[who][0]
        own, away = two.of[home], two.of["B" if home == "A" else "A"]
        visitor = enter(app, session, two.people[who])
        token = token_of(visitor)
        for rule, method, declared in addresses(app):
            if not rule.arguments - set(PLAIN) or declared == access.PUBLIC:
                continue
            told = [
                said(send(visitor, method, path_of(rule, values), token), values)
                for values in (away, two.of["nowhere"])
            ]
            if told[0] != told[1]:
                wrong.append(f"{who}: {method} {rule.rule}: {told[0][0]} and {told[1][0]}")
            within = rule.arguments - set(PLAIN) - {"host_id"}
            if "host_id" not in rule.arguments or not within:
                continue
            mixed = [own | {name: values[name] for name in within} for values in (away, two.of["nowhere"])]
            told = [said(send(visitor, method, path_of(rule, values), token), values) for values in mixed]
            if told[0] != told[1]:
                wrong.append(f"{who}: {method} {rule.rule} under an own machine: {told[0][0]} and {told[1][0]}")
    assert not wrong, "\n".join(wrong)


def test_whoever_has_the_right_is_let_in(app: Flask, two: Town, session: Session) -> None:
    wrong = []
    for who, (home, role) in {**CAST, "admin": ("A", "admin")}.items():
        visitor = enter(app, session, two.people[who])
        for rule, method, declared in addresses(app):
            if method != "GET" or "host_id" not in rule.arguments or declared not in [access.SIGNED_IN, *Right]:
                continue
            needed = Right.SEE if declared == access.SIGNED_IN else Right(declared)
            answer = visitor.get(path_of(rule, two.of[home]))
            if needed in OF[role] and answer.status_code == 403:
                wrong.append(f"{who}: {rule.rule} {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def asked(one: Program, operation: api.Operation, values: dict[str, str]) -> TestResponse:
    """An operation on what `values` says, with an empty body where it takes one."""
    path = re.sub(r"{(\w+)}", lambda name: values[name[1]], operation.path)
    return one.ask(operation.method, path, {} if operation.body is not None else None)


def rights_of(who: str) -> frozenset[Right]:
    return OF[CAST[who][1] if who in CAST else "admin"]


@pytest.mark.parametrize("scopes", HANDED, ids="+".join)
def test_a_token_does_only_what_its_scope_and_its_person_may_both(
    app: Flask, two: Town, session: Session, scopes: tuple[str, ...]
) -> None:
    carried = frozenset().union(*(SCOPES[scope] for scope in scopes))
    wrong = []
    for who, person in two.people.items():
        one = program(app, session, person, scopes)
        own = two.of[CAST[who][0] if who in CAST else "A"]
        for operation in api.OPERATIONS:
            needed = operation.right
            if needed is None:
                continue
            may = needed in carried & rights_of(who) and (not operation.grave or "logins" in scopes)
            if may and operation.changes:  # it does it: the tests of each subject tell what
                continue
            answer = asked(one, operation, own)
            if (answer.status_code == 403) is may:
                wrong.append(f"{who}: {operation.method} {operation.path} {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("scopes", HANDED, ids="+".join)
def test_for_a_token_too_another_divisions_things_answer_like_what_does_not_exist(
    app: Flask, two: Town, session: Session, scopes: tuple[str, ...]
) -> None:
    wrong = []
    for who in CAST:
        one = program(app, session, two.people[who], scopes)
        away = two.of["B" if CAST[who][0] == "A" else "A"]
        for operation in api.OPERATIONS:
            if set(operation.places) - set(PLAIN):
                told = [said(asked(one, operation, values), values) for values in (away, two.of["nowhere"])]
                if told[0] != told[1] or told[0][0] in (200, 204):
                    wrong.append(f"{who}: {operation.method} {operation.path}: {told[0][0]} and {told[1][0]}")
    assert not wrong, "\n".join(wrong)
