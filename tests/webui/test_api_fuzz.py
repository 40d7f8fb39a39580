"""Whatever is asked of the API, as whoever: it answers as its document says, and never breaks."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Division, Host, HostGroup, Membership, Person, Site, Threshold, Window
from domain.recipients import Lookout, Policy, Rota
from domain.records import Incident
from domain.requests import Discovery, Look
from tests.webui.cast import Town
from tests.webui.fuzzing import SUICIDE, fuzz
from tests.webui.program import Program, program
from webui import api
from webui.api import openapi

EXAMPLES = int(os.environ.get("API_FUZZ_EXAMPLES", "6"))
SEED = int(os.environ.get("API_FUZZ_SEED", "20261121"))
ROLES = ("anonymous", "viewer", "staff", "pic", "approver", "operator", "admin")
SCOPES = ("read", "handle", "edit")
DOCUMENT = openapi.document(api.OPERATIONS, "0", api.HOME)


def furnished(session: Session, busy: Town, home: Division) -> dict[str, Collection[Any]]:
    """One of everything, and the numbers of all that is there."""
    for host in session.scalars(select(Host).where(Host.name.like("pc-%"))):
        host.division_id = home.id
    group = session.scalars(select(HostGroup)).first()
    assert group is not None
    session.add_all([
        Site(name="Bandung"),
        Policy(position=0, name="Nights", zone="Asia/Jakarta", steps=[{"after": 0, "to": ["admins"]}]),
        Rota(name="Duty", zone="Asia/Jakarta", starts_at=now(), days=7, people=[1]),
        Lookout(name="Elsewhere", url="https://example.invalid/", every=60),
        Threshold(group_id=group.id, measure="system.cpu.utilization", state="warning", over=0.9),
        Look(id="a-look", kind="run", asked_by=1),
        Discovery(id="a-discovery", asked_by=1, addresses=["10.0.0.1"], rate=100.0),
    ])  # fmt: skip
    session.commit()
    tables: dict[str, Any] = {
        "host_id": Host, "incident_id": Incident, "window_id": Window, "site_id": Site, "group_id": HostGroup,
        "division_id": Division, "limit_id": Threshold, "policy_id": Policy, "rota_id": Rota, "lookout_id": Lookout,
        "person_id": Person, "look_id": Look, "discovery_id": Discovery,
    }  # fmt: skip
    return {name: list(session.scalars(select(table.id))) for name, table in tables.items()}


def cast(app: Flask, session: Session, role: str, home: Division) -> Program:
    """A program of somebody of this role, with every scope."""
    if role == "anonymous":
        return Program(app.test_client(use_cookies=False), "")
    local = {"staff": "staff", "pic": "pic"}.get(role)
    someone = Person(login=role, name=role, password_hash="x", role="none" if local else role)
    if local:
        someone.memberships = [Membership(division_id=home.id, role=local)]
    session.add(someone)
    session.commit()
    return program(app, session, someone)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # what is printed of a failure, and nothing else
@pytest.mark.timeout(max(600, EXAMPLES * 90))
@pytest.mark.parametrize("role", ROLES)
def test_the_api_answers_as_its_document_says(
    app: Flask, session: Session, person: Person, busy: Town, role: str
) -> None:
    home = Division(name="Home")
    session.add(home)
    session.commit()
    known = furnished(session, busy, home)
    caller = cast(app, session, role, home)
    headers = {"Authorization": f"Bearer {caller.token}"} if caller.token else {}
    outcome = fuzz(app, DOCUMENT, headers, EXAMPLES, SEED, known, edges=role == "admin" or EXAMPLES > 15)
    last = fuzz(app, DOCUMENT, headers, EXAMPLES, SEED, known, edges=False, only=[SUICIDE])
    print(f"\n{role}: {outcome}; {last}")
    outcome.complaints += last.complaints
    assert not outcome.complaints, "\n\n".join(dict.fromkeys(outcome.complaints))[:20_000]
    assert len(outcome.operations) == len(api.OPERATIONS) - 1
    assert not any(code >= 500 for code in outcome.statuses)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # what is printed of a failure, and nothing else
@pytest.mark.timeout(max(600, EXAMPLES * 90))
@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_of_one_scope_is_answered_as_the_document_says(
    app: Flask, session: Session, person: Person, busy: Town, scope: str
) -> None:
    home = Division(name="Home")
    session.add(home)
    session.commit()
    known = furnished(session, busy, home)
    caller = program(app, session, person, [scope])
    outcome = fuzz(
        app, DOCUMENT, {"Authorization": f"Bearer {caller.token}"}, EXAMPLES, SEED, known, edges=EXAMPLES > 15
    )
    print(f"\n{scope}: {outcome}")
    assert not outcome.complaints, "\n\n".join(dict.fromkeys(outcome.complaints))[:20_000]
