"""Every form there is, filled in and sent by an administrator: each leaves a row of the audit, or has a reason not to."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config import vault
from domain.audit import Audit
from domain.clock import now
from domain.deliveries import Delivery
from domain.inventory import (
    Addition,
    Check,
    Credential,
    Division,
    Host,
    HostGroup,
    HostKey,
    LimitEdit,
    LoadTest,
    Person,
    Site,
    Threshold,
    Window,
)
from domain.recipients import Channel, Lookout, Policy, Rota, Route, Shift
from domain.records import Incident, Notice
from domain.requests import Discovery, Found, Look
from domain.tokens import ApiToken
from tests.webui.cast import PASSWORD, Town, Visitor

ELSEWHERE = {
    "chat.chart": "a message is its own record; walked by tests/webui/test_chat.py",
    "chat.edit": "walked by tests/webui/test_chat.py, which needs a message",
    "chat.read": "how far somebody has read is their own business",
    "chat.remove": "as chat.edit",
    "chat.say": "a message is its own record; walked by tests/webui/test_chat.py",
    "joints.make": "walked by tests/webui/test_chat.py, which needs a bot",
    "joints.part": "as joints.make",
    "heard.call": "a machine's job reports; no person does anything",
    "passkeys.challenge": "a question to a passkey; what it is answered for is on record",
    "people.appearance": "language and colours; of a person on record as an edit (tests/webui/test_pages.py)",
    "people.login": "walked by tests/webui/test_gate.py",
    "people.passkey": "walked by tests/webui/test_passkeys.py, which needs a key",
    "profile.picture": "walked by tests/webui/test_profile.py, which needs a picture",
    "portrait.remove": "as profile.picture",
    "proof.page": "walked by tests/webui/test_proof.py",
    "provider.settings": "walked by tests/webui/test_provider.py, which needs a provider that answers",
    "push.acknowledge": "walked by tests/webui/test_channel_pages.py; it needs a browser's message",
    "push.subscribe": "walked by tests/webui/test_channel_pages.py; it needs a browser's subscription",
    "push.unsubscribe": "as push.subscribe",
    "second.add_key": "walked by tests/webui/test_passkeys.py, which needs a key",
    "second.app_page": "walked by tests/webui/test_second.py, which needs an app",
    "second.codes": "as second.app_page",
    "second.remove_app": "as second.app_page",
    "second.remove_key": "as second.add_key",
    "second.rename_key": "as second.add_key",
    "second.step": "as second.app_page",
    "setup.account": "the first account, before anybody is there: on record as person.made (tests/webui/test_setup.py)",
    "rotas.upload": "walked by tests/webui/test_policy_pages.py; it needs a file",
    "tickets.lost": "walked by tests/webui/test_tickets.py, before anybody is logged in",
    "tickets.use": "as tickets.lost",
    "routes.verify": "a code that is sent; walked by tests/webui/test_channel_pages.py",
    **dict.fromkeys(
        (
            "abilities.save",
            "actionrules.delete",
            "actionrules.edit",
            "actionrules.new",
            "actionrules.up",
            "approvals.agree",
            "approvals.cancel",
            "approvals.refuse",
            "asking.alone",
            "asking.ask",
            "asking.glass",
            "runbooks.delete",
            "runbooks.edit",
            "runbooks.new",
            "runbooks.review",
        ),
        "walked by tests/webui/test_requests.py and tests/flow/test_approving.py",
    ),
    **dict.fromkeys(
        (
            "jobs.delete",
            "jobs.edit",
            "jobs.new",
            "jobs.pause",
            "jobs.run",
            "mandating.agree",
            "mandating.refuse",
            "mandating.renew",
            "remedies.delete",
            "remedies.edit",
            "remedies.live",
            "remedies.new",
            "remedies.pause",
        ),
        "walked by tests/webui/test_jobs_pages.py",
    ),
    "setup.sweep": "walked by tests/webui/test_setup.py",
}
"""Endpoints not walked here, and why. All are under the witness of tests/webui/conftest.py wherever they are walked."""


class Forms(HTMLParser):
    """The forms of a page with the values a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("action", "") if given.get("method") == "post" else "GET", {}))
        if not self.found:
            return
        values, name = self.found[-1][1], given.get("name", "")
        if (tag == "input" and name and given.get("type") not in ("checkbox", "radio", "file")) or (
            tag == "input" and name and "checked" in given
        ):
            values[name] = given.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in values):
            values[self._select] = given.get("value", "")
        elif tag == "textarea":
            self._area = name
            values.setdefault(name, "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area and self.found:
            self.found[-1][1][self._area] += data.lstrip("\n")


def defaults(page: str, path: str) -> dict[str, str]:
    """What the form that leads to `path` holds; with none of its own the first one that is sent by POST."""
    forms = Forms()
    forms.feed(page)
    sent = [(action, values) for action, values in forms.found if action != "GET"]
    bare = path.split("?")[0]
    own = [values for action, values in sent if action.split("?")[0] == bare]
    return own[0] if own else next((values for action, values in sent if not action), {"csrf": sent[0][1]["csrf"]})


class Walk:
    """Sends forms, and sees that each leaves a row."""

    def __init__(self, rina: Visitor, session: Session) -> None:
        self.rina, self.session, self.walked, self.faults = rina, session, set[str](), list[str]()

    def send(self, endpoint: str, path: str, page: str | None = None, **typed: Any) -> None:
        shown = self.rina.get(page or path)
        assert shown.status_code == 200, (endpoint, page or path, shown.status_code)
        form = {**defaults(shown.text, path), **{name.replace("__", "-"): value for name, value in typed.items()}}
        before = self.rows()
        answer = self.rina.client.post(path, base_url=self.rina.base, data=form)
        if answer.status_code >= 400:
            wrong = re.findall(r'(\S+)-wrong">.*?<span>(.*?)</span>', answer.text, re.S)
            self.faults.append(f"{endpoint} {answer.status_code} {wrong} {sorted(form)}")
        elif self.rows() == before:
            self.faults.append(f"{endpoint} left no row {answer.status_code} {answer.location}")
        self.walked.add(endpoint)

    def rows(self) -> int:
        self.session.rollback()
        return self.session.scalar(select(func.count()).select_from(Audit)) or 0

    def one(self, table: Any, *only: Any) -> Any:
        self.session.rollback()
        return self.session.scalars(select(table).where(*only).order_by(table.id.desc()).limit(1)).one()


@pytest.fixture
def walk(rina: Visitor, session: Session, busy: Town, app: Flask) -> Walk:
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    vault.create(settings.notifier_key, settings.notifier_public)
    return Walk(rina, session)


@pytest.mark.timeout(400)
def test_every_form_leaves_a_row_or_has_a_reason(
    app: Flask, walk: Walk, session: Session, busy: Town, person: Person
) -> None:
    for part in (_machines, _limits, _credentials, _people, _incidents, _told, _found, _places, _oneself):
        part(walk, session, busy, person)
    assert not walk.faults, "\n".join(walk.faults)
    unsafe = {
        rule.endpoint for rule in app.url_map.iter_rules() if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    unsafe = {endpoint for endpoint in unsafe if not endpoint.startswith("api")}
    assert unsafe - walk.walked - set(ELSEWHERE) == set(), "neither walked nor given a reason"
    assert walk.walked & set(ELSEWHERE) == set()
    assert set(ELSEWHERE) <= set(app.view_functions)


def _machines(walk: Walk, session: Session, town: Town, person: Person) -> None:
    walk.send("edit.new", "/machines/new", name="walked", address="192.0.2.50")
    host, look = walk.one(Host), walk.one(Look)
    row = {"address": "192.0.2.50", "name": "", "ping": {"ok": True, "rtt": 0.01}, "detail": "", "done": True}
    session.get(Look, look.id).answer = {
        "rows": [row | {name: {"ok": False} for name in ("ssh", "http", "https", "winrm")}]
    }  # type: ignore[union-attr]
    session.get(Look, look.id).done_at = now()  # type: ignore[union-attr]
    session.commit()
    walk.send("edit.suggest", f"/machines/{host.id}/suggest/{look.id}")
    walk.send("edit.machine", f"/machines/{host.id}/edit", note="walked by")
    walk.send("checks.new", f"/machines/{host.id}/checks/new?kind=icmp", name="second")
    check = walk.one(Check)
    walk.send("checks.edit", f"/machines/{host.id}/checks/{check.id}", name="third")
    walk.send("checks.delete", f"/machines/{host.id}/checks/{check.id}/delete")
    session.execute(text("delete from look"))
    session.commit()
    walk.send("machine.look", f"/machines/{host.id}/look", f"/machines/{host.id}")
    walk.send("maintenance.begin", f"/machines/{host.id}/maintenance", f"/machines/{host.id}")
    walk.send("maintenance.end", f"/maintenance/{walk.one(Window).id}/end", "/maintenance")
    weekly = {
        "kind": "weekly",
        "weekdays": "sat",
        "at": "22:00",
        "duration": "3h",
        "zone": "Asia/Jakarta",
        "do": "save",
    }
    walk.send("maintenance.new", "/maintenance/new", target=f"host:{host.id}", **weekly)
    other = walk.one(Host, Host.name == "db-02")
    walk.send("topology.edit", f"/machines/{host.id}/way", parent=str(other.id))
    walk.send("topology.find", f"/machines/{host.id}/way/find", f"/machines/{host.id}/way")
    for state in ("offered", "offered"):
        session.add(
            HostKey(
                host_id=host.id, port=22, key=f"ssh-ed25519 {state}{walk.rows()}", fingerprint="SHA256:x", state=state
            )
        )
        session.commit()
        key = walk.one(HostKey)
        what = "accept" if "hostkeys.accept" not in walk.walked else "decline"
        walk.send(f"hostkeys.{what}", f"/machines/{host.id}/keys/{key.id}/{what}", f"/machines/{host.id}/edit")
    walk.send("thresholds.normal", f"/machines/{host.id}/normal", f"/machines/{host.id}/limits", sensitivity="wide")
    for what in ("begin", "load", "end"):
        path = f"/machines/{host.id}/load-test" + ("" if what == "begin" else f"/{what}")
        if what == "load":
            session.query(LoadTest).update({"idle_at": now() - timedelta(minutes=11)})
            session.commit()
        walk.send(f"loadtest.{what}", path, f"/machines/{host.id}/limits")
    walk.send("edit.delete", f"/machines/{host.id}/delete")


def _limits(walk: Walk, session: Session, town: Town, person: Person) -> None:
    host, group = walk.one(Host, Host.name == "fs-01"), walk.one(HostGroup)
    limit = {
        "measure": "system.cpu.utilization",
        "side": "over",
        "state": "critical",
        "amount": "95 %",
        "minutes": "10",
    }
    walk.send("thresholds.index", f"/machines/{host.id}/limits", **limit)
    walk.send("thresholds.everybody", "/limits", **limit)
    walk.send("thresholds.shared", f"/limits/group/{group.id}", **limit)
    walk.send("thresholds.undo", f"/limits/undo/{walk.one(LimitEdit).id}", f"/limits/group/{group.id}")
    walk.send(
        "thresholds.delete",
        f"/limits/{walk.one(Threshold, Threshold.host_id == host.id).id}/delete",
        f"/machines/{host.id}/limits",
    )


def _credentials(walk: Walk, session: Session, town: Town, person: Person) -> None:
    walk.send("credentials.new", "/credentials/new?sort=key", name="made", username="pantau")
    row, host = walk.one(Credential), walk.one(Host, Host.name == "fs-01")
    page = f"/credentials/{row.id}"
    walk.send("credentials.edit", page, name="renamed")
    walk.send("credentials.test", f"{page}/test", page, at=f"{host.id}:ssh")
    session.execute(text("update credential set certificate = 'x'"))
    session.commit()
    walk.send("credentials.certify", f"{page}/certificate", page, certificate="")
    walk.send("credentials.delete", f"{page}/delete")


def _people(walk: Walk, session: Session, town: Town, person: Person) -> None:
    walk.send("staff.new", "/people/new", login="ani", name="Ani", invite="", password="nine lazy walruses yawning")
    ani = walk.one(Person, Person.login == "ani")
    walk.send("staff.edit", f"/people/{ani.id}", name="Ani B.")
    walk.send("staff.password", f"/people/{ani.id}/password", f"/people/{ani.id}", password="ten lazy walruses yawning")
    session.execute(text("insert into recovery_code (digest, person_id) values ('x', :id)"), {"id": ani.id})
    session.execute(
        text("insert into totp (person_id, sealed, seal_id, confirmed_at) values (:id, 'x', 'x', now())"),
        {"id": ani.id},
    )
    session.commit()
    walk.send("staff.factor", f"/people/{ani.id}/second-factor", f"/people/{ani.id}")
    walk.send("staff.link", f"/people/{ani.id}/link", f"/people/{ani.id}")
    walk.send("divisions.new", "/divisions", "/divisions", name="Walked")
    division = walk.one(Division, Division.name == "Walked")
    walk.send("divisions.show", f"/divisions/{division.id}", name="Walked on")
    walk.send("divisions.delete", f"/divisions/{division.id}/delete")
    walk.send("entry.demand", "/settings/login/second-factor", "/settings/login")


def _incidents(walk: Walk, session: Session, town: Town, person: Person) -> None:
    case = walk.one(Incident, Incident.closed_at.is_(None))
    since = now() - timedelta(minutes=9)
    other = Incident(
        subject="host:0",
        host_id=case.host_id,
        state="down",
        since=since,
        opened_at=since,
        cause="x",
        failure_kind="timeout",
    )
    session.add(other)
    session.add(Person(login="tono", name="Tono", password_hash="x", role="admin"))
    session.commit()
    page = f"/incidents/{case.id}"
    walk.send("incidents.acknowledge", f"{page}/acknowledge", page)
    walk.send("incidents.hand_over", f"{page}/hand-over", page, to=str(walk.one(Person, Person.login == "tono").id))
    walk.send("incidents.give_back", f"{page}/give-back", page)
    walk.send("incidents.note", f"{page}/note", page, text="seen")
    walk.send("incidents.merge", f"{page}/merge", page, into=str(other.id))
    walk.send("incidents.split", f"{page}/split", page)
    over = walk.one(Incident, Incident.closed_at.is_not(None))
    walk.send("incidents.close", f"/incidents/{over.id}/close", f"/incidents/{over.id}", cause="a cable")


def _told(walk: Walk, session: Session, town: Town, person: Person) -> None:
    mail = {
        "name": "Mail",
        "option__host": "mail.example.org",
        "option__sender": "pantau@example.org",
        "secret__password": "x",
    }
    walk.send("channels.new", "/channels/new?kind=email", **mail)
    channel = walk.one(Channel)
    walk.send("channels.edit", f"/channels/{channel.id}", name="Post")
    walk.send("routes.add", f"/notifications/add/{channel.id}", address__mailbox="rina@example.org")
    route = walk.one(Route)
    session.execute(text("update route set verified_at = now()"))
    session.commit()
    walk.send("routes.index", "/notifications", zone="Asia/Makassar")
    walk.send("routes.edit", f"/notifications/{route.id}", name="at home")
    walk.send("routes.test", f"/notifications/{route.id}/test", "/notifications")
    walk.send("policies.group", f"/policies/groups/{channel.id}", name="Night", address__mailbox="night@example.org")
    for name in ("one", "two"):
        walk.send("policies.new", "/policies/new", name=name)
    policy = walk.one(Policy)
    walk.send("policies.edit", f"/policies/{policy.id}", name="three")
    walk.send("policies.move", f"/policies/{policy.id}/move", "/policies", by="-1", to="up", do="up")
    walk.send("policies.delete", f"/policies/{policy.id}/delete")
    notice = Notice(kind="problem", subject="host:1", state="down", at=now(), since=now())
    session.add(notice)
    session.flush()
    session.add(
        Delivery(
            notice_id=notice.id,
            route_id=route.id,
            person_id=person.id,
            channel_id=channel.id,
            state="dead",
            made_at=now(),
            due_at=now(),
        )
    )
    session.commit()
    walk.send("deliveries.again", "/deliveries/again", "/deliveries", do="dead")
    turn = {"person__0": str(person.id), "starts": "2026-01-05 08:00", "days": "7", "zone": "Asia/Jakarta"}
    walk.send("rotas.new", "/rotas/new", name="Week", **turn)
    rota = walk.one(Rota)
    page = f"/rotas/{rota.id}"
    walk.send("rotas.edit", page, name="Fortnight", **turn)
    begin, end = (f"{now() + timedelta(days=n):%Y-%m-%dT%H:%M}+00:00" for n in (1, 2))
    walk.send("rotas.swap", f"{page}/swap", page, person=str(person.id), since=begin, until=end)
    walk.send("rotas.unswap", f"{page}/shifts/{walk.one(Shift).id}/delete", page)
    walk.send("rotas.link", f"{page}/link", page)
    walk.send("rotas.delete", f"{page}/delete")
    walk.send("lookouts.new", "/lookouts/new", name="Watch", url="https://hc.example.org/ping/x")
    lookout = walk.one(Lookout)
    walk.send("lookouts.edit", f"/lookouts/{lookout.id}", name="Guard")
    walk.send("lookouts.delete", f"/lookouts/{lookout.id}/delete")
    walk.send("wordings.edit", "/wordings/problem/en", title="{{ name }}", body="{{ cause }}")
    walk.send("routes.delete", f"/notifications/{route.id}/delete")
    walk.send("channels.delete", f"/channels/{channel.id}/delete")


def _found(walk: Walk, session: Session, town: Town, person: Person) -> None:
    walk.send("discover.start", "/discover", addresses="192.0.2.60-61")
    discovery = session.scalars(select(Discovery).order_by(Discovery.asked_at.desc()).limit(1)).one()
    seen = {
        "name": "",
        "rtt": 0.1,
        "ssh": "",
        "http": None,
        "https": None,
        "snmp": None,
        "watched": "",
        "path": [],
        "ports": [],
    }
    session.add(Found(discovery_id=discovery.id, address="192.0.2.60", place=0, seen=seen))
    session.commit()
    walk.send("discover.show", f"/discover/{discovery.id}", address="192.0.2.60")
    walk.send("additions.take_back", f"/additions/{walk.one(Addition).id}/undo", f"/additions/{walk.one(Addition).id}")
    walk.send("discover.stop", f"/discover/{discovery.id}/stop", f"/discover/{discovery.id}")
    walk.send("importing.start", "/import", table="name,address\nimported,192.0.2.70", do="apply")
    walk.send("setup.addresses", "/setup/machines", addresses="192.0.2.80")


def _places(walk: Walk, session: Session, town: Town, person: Person) -> None:
    walk.send("sites.new", "/sites/new", name="Depot")
    site = walk.one(Site)
    walk.send("sites.edit", f"/sites/{site.id}/edit", name="Depot 2")
    walk.send("sites.put", f"/sites/{site.id}/machines", f"/sites/{site.id}", host=str(walk.one(Host).id))
    walk.send("sites.delete", f"/sites/{site.id}/delete")


def _oneself(walk: Walk, session: Session, town: Town, person: Person) -> None:
    for what, body in (("make", {"host": walk.one(Host).name, "for": "1h"}), ("end", {})):
        path = "/api/maintenance" if what == "make" else f"/api/maintenance/{walk.one(Window).id}/end"
        token = defaults(walk.rina.get("/maintenance/new").text, "/maintenance/new")["csrf"]
        before = walk.rows()
        answer = walk.rina.client.post(
            path, base_url=walk.rina.base, json=body, headers={"X-CSRF": token, "X-CSRF-Token": token}
        )
        assert answer.status_code < 400, (what, answer.text)
        assert walk.rows() > before
        walk.walked.add(f"windows_api.{what}")
    walk.send("tokens.make", "/me/tokens", "/me/tokens", name="Grafana", read="yes", days="90")
    walk.send("tokens.revoke", f"/me/tokens/{walk.one(ApiToken).id}/revoke", "/me/tokens")
    walk.send("profile.details", "/me/details", "/me", name="Rina S.")
    walk.send("profile.password", "/me/password", "/me", old=PASSWORD, new="seven purple umbrellas dancing")
    elsewhere = Visitor(walk.rina.client.application.test_client())
    elsewhere.login("rina", "seven purple umbrellas dancing")
    sessions = re.search(r'action="(/me/sessions/[^/"]+/end)"', walk.rina.get("/me").text)
    assert sessions
    walk.send("sessions.end", sessions[1], "/me")
    elsewhere.login("rina", "seven purple umbrellas dancing")
    walk.send("sessions.end_others", "/me/sessions/end", "/me")
    walk.send("people.logout", "/logout", "/me")
