"""Channels and the ways to people: set up, tested hop by hop, shown to be somebody's own, and told in one sentence."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from playwright.sync_api import Page
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import vault
from config.settings import Settings
from domain.clock import now
from domain.inventory import Division, Person, Setting
from domain.recipients import Channel, Linking, Route
from domain.records import Incident
from domain.requests import Trial
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate
from webui import hours

MAIL = {
    "name": "Mail", "enabled": "yes", "option-host": "mail.example.org", "option-sender": "pantau@example.org",
    "option-security": "starttls", "option-port": "0", "option-username": "pantau", "option-name": "Pantau",
}  # fmt: skip
ROUTE = {"name": "", "enabled": "yes", "severity": "warning", "recoveries": "yes", "quiet_from": "", "quiet_to": "", "mute": "keep", "hourly": "60", "language": ""}  # fmt: skip


@pytest.fixture
def keys(app: Flask) -> Settings:
    """The notifier's pair of keys."""
    settings: Settings = app.config["PANTAU"]
    vault.create(settings.notifier_key, settings.notifier_public)
    return settings


@pytest.fixture
def mail(session: Session) -> Channel:
    """A mail server that is set up."""
    row = Channel(kind="email", name="Mail", options={"host": "mail.example.org", "sender": "p@example.org"}, seal_id="x")  # fmt: skip
    session.add(row)
    session.commit()
    return row


@pytest.fixture
def pushing(session: Session, keys: Settings) -> Channel:
    """A sender of push."""
    from notifier.channels.webpush import fresh_pair

    row = Channel(kind="webpush", name="Push", options={"public_key": fresh_pair()[0], "subject": "mailto:a@example.org"}, seal_id="x")  # fmt: skip
    session.add(row)
    session.commit()
    return row


def subscription(endpoint: str = "https://fcm.googleapis.com/fcm/send/abc") -> dict[str, Any]:
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)  # fmt: skip
    text = lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")  # noqa: E731
    return {"endpoint": endpoint, "keys": {"p256dh": text(point), "auth": text(bytes(16))}}


def call(visitor: Visitor, path: str, body: object) -> Any:
    token = visitor.get("/push/token").get_json()["token"]
    return visitor.client.post(path, json=body, headers={"X-CSRF-Token": token}, base_url=visitor.base)


# ---- channels ----


def test_a_channels_secret_goes_in_sealed_and_never_comes_out(rina: Visitor, session: Session, keys: Settings) -> None:
    assert rina.post("/channels/new?kind=email", {**MAIL, "secret-password": "hunter2!"}).status_code == 303
    row = session.scalars(select(Channel)).one()
    assert row.options["host"] == "mail.example.org" and row.sealed
    opened = vault.opener(keys.notifier_key).open(row.sealed, f"channel:{row.seal_id}")
    assert json.loads(opened) == {"password": "hunter2!"}
    page = rina.get(f"/channels/{row.id}").text
    assert "hunter2!" not in page and "cannot be shown" in page
    before = row.sealed
    assert rina.post(f"/channels/{row.id}", {**MAIL, "name": "Post", "secret-password": ""}).status_code == 303
    session.expire_all()
    assert (row.name, row.sealed) == ("Post", before)
    wrong = rina.post(f"/channels/{row.id}", {**MAIL, "option-host": "", "secret-password": "again-typed"})
    assert wrong.status_code == 422 and "again-typed" not in wrong.text
    rina.post(f"/channels/{row.id}/delete", {})
    assert session.scalars(select(Channel)).all() == []


def test_a_channel_is_tested_before_it_is_saved_and_the_page_follows_every_hop(
    rina: Visitor, session: Session, keys: Settings, budi: Visitor
) -> None:
    form = {**MAIL, "secret-password": "hunter2!", "do": "test", "address-mailbox": "rina@example.org"}
    answer = rina.post("/channels/new?kind=email", form)
    assert answer.status_code == 303
    assert session.scalars(select(Channel)).all() == []
    trial = session.scalars(select(Trial)).one()
    assert trial.asked["kind"] == "email" and trial.asked["address"] == {"mailbox": "rina@example.org"}
    assert "hunter2!" not in json.dumps(trial.asked)
    assert json.loads(vault.opener(keys.notifier_key).open(trial.sealed or b"", f"trial:{trial.id}")) == {"secret": {"password": "hunter2!"}}  # fmt: skip
    assert "data-pending" in rina.get(answer.location).text
    trial.claimed_at = now()
    trial.answer = {"hops": [{"name": "connect", "ok": True, "detail": "mail.example.org:587", "took": 0.012}]}
    session.commit()
    assert "mail.example.org:587" in rina.get(answer.location).text
    hops = [*trial.answer["hops"], {"name": "login", "ok": False, "detail": "<b>535</b> refused", "took": 0.2}]
    trial.answer = {"hops": hops, "sent": False, "sentence": "The server refused the login."}
    trial.done_at = now()
    session.commit()
    page = rina.get(answer.location).text
    assert "The server refused the login." in page and "&lt;b&gt;535" in page and "data-pending" not in page
    assert budi.get(answer.location).status_code == 404


@pytest.mark.browser
def test_a_channel_is_saved_without_a_test_and_a_test_leaves_the_form_as_it_is(
    person: Person, keys: Settings, browse: OpenBrowser, session: Session
) -> None:
    page = enter(browse())
    page.goto("/channels/new?kind=email")
    page.fill("[name=option-host]", "mail.example.org")
    page.fill("[name=option-sender]", "pantau@example.org")
    page.fill("[name=secret-password]", "hunter2!")
    page.fill("[name=address-mailbox]", "rina@example.org")
    with page.context.expect_page() as beside:
        page.click("button[value=test]")
    beside.value.wait_for_selector("text=Nothing is saved yet.")
    assert page.input_value("[name=secret-password]") == "hunter2!"
    page.fill("[name=address-mailbox]", "")
    page.click("main button.primary")
    page.wait_for_url("**/channels")
    assert session.scalars(select(Channel)).one().options["host"] == "mail.example.org"


def test_a_notifier_that_is_not_there_is_told(rina: Visitor, session: Session, mail: Channel, person: Person) -> None:
    trial = Trial(id="t1", asked={}, asked_by=person.id, asked_at=now() - timedelta(seconds=9))
    session.add(trial)
    session.commit()
    assert "The notifier does not answer" in rina.get("/trials/t1").text


def test_the_keys_of_push_are_made_and_made_anew_only_when_asked(
    rina: Visitor, session: Session, keys: Settings
) -> None:
    form = {"name": "Push", "enabled": "yes", "option-subject": "mailto:a@example.org", "option-hosts": ""}
    assert rina.post("/channels/new?kind=webpush", form).status_code == 303
    row = session.scalars(select(Channel)).one()
    first = row.options["public_key"]
    secret = json.loads(vault.opener(keys.notifier_key).open(row.sealed or b"", f"channel:{row.seal_id}"))
    assert len(base64.urlsafe_b64decode(first + "=")) == 65 and secret["private_key"]
    rina.post(f"/channels/{row.id}", form)
    session.expire_all()
    assert row.options["public_key"] == first
    rina.post(f"/channels/{row.id}", {**form, "renew": "yes"})
    session.expire_all()
    assert row.options["public_key"] != first


# ---- my notifications ----


def test_an_address_is_somebodys_only_when_the_code_sent_there_is_typed(
    budi: Visitor, session: Session, mail: Channel, keeper: Person
) -> None:
    wrong = budi.post(f"/notifications/add/{mail.id}", {"address-mailbox": "not a mailbox\r\nBcc: x"})
    assert wrong.status_code == 422
    assert session.scalars(select(Route)).all() == []
    answer = budi.post(f"/notifications/add/{mail.id}", {"address-mailbox": "budi@example.org"})
    assert answer.status_code == 303
    route = session.scalars(select(Route)).one()
    trial = session.scalars(select(Trial)).one()
    assert (route.verified_at, route.address, trial.route_id) == (None, {"mailbox": "budi@example.org"}, route.id)
    code = trial.asked["code"]
    assert code not in session.scalars(select(Linking)).one().code
    assert "told nothing" in budi.get("/notifications").text
    page = f"/notifications/{route.id}/code"
    assert budi.post(page, {"code": "aaaaa-aaaaa"}).status_code == 422
    assert budi.post(page, {"code": code.upper().replace("-", " ")}).status_code == 303
    session.expire_all()
    assert route.verified_at is not None and session.scalars(select(Linking)).all() == []
    assert "of everything by E-mail (budi@example.org)" in budi.get("/notifications").text


def test_a_code_that_is_old_or_somebody_elses_opens_nothing(
    budi: Visitor, rina: Visitor, session: Session, mail: Channel
) -> None:
    budi.post(f"/notifications/add/{mail.id}", {"address-mailbox": "budi@example.org"})
    route, linking = session.scalars(select(Route)).one(), session.scalars(select(Linking)).one()
    code = session.scalars(select(Trial)).one().asked["code"]
    assert rina.get(f"/notifications/{route.id}/code").status_code == 404
    linking.expires_at = now() - timedelta(seconds=1)
    session.commit()
    assert budi.post(f"/notifications/{route.id}/code", {"code": code}).status_code == 422
    session.expire_all()
    assert route.verified_at is None


def test_nobodys_mailbox_is_flooded_with_codes(budi: Visitor, session: Session, mail: Channel) -> None:
    for number in range(25):
        budi.post(f"/notifications/add/{mail.id}", {"address-mailbox": f"victim{number}@example.org"})
    assert len(session.scalars(select(Trial)).all()) == 20
    assert "many codes" in budi.get("/notifications").text


def test_the_link_to_a_bot_is_shown_once_its_name_is_known(budi: Visitor, session: Session) -> None:
    bot = Channel(kind="telegram", name="Telegram", seal_id="x")
    session.add(bot)
    session.commit()
    assert "t.me" not in budi.post(f"/notifications/add/{bot.id}", {}).text
    session.add(Setting(key=f"bot:{bot.id}", value={"username": "pantau_test_bot"}))
    session.commit()
    assert "https://t.me/pantau_test_bot?start=" in budi.post(f"/notifications/add/{bot.id}", {}).text


def told(visitor: Visitor) -> str:
    found = re.search(r"<b>(You are told[^<]*)</b>", visitor.get("/notifications").text)
    assert found
    return found[1]


def test_what_is_set_is_told_in_one_sentence(budi: Visitor, session: Session, mail: Channel, keeper: Person) -> None:
    route = Route(person_id=keeper.id, channel_id=mail.id, address={"mailbox": "b@example.org"}, verified_at=now())
    session.add(route)
    session.commit()
    page = f"/notifications/{route.id}"
    night = {"quiet_from": "22", "quiet_to": "6.00", "days": [0, 1, 2, 3, 4]}
    assert budi.post(page, {**ROUTE, **night}).status_code == 303
    session.expire_all()
    assert (route.quiet_from, route.quiet_to, route.quiet_days, route.quiet_critical) == (1320, 360, [0, 1, 2, 3, 4], False)  # fmt: skip
    assert told(budi) == "You are told of everything by E-mail (b@example.org), except 22:00–06:00 (Mon–Fri)."
    budi.post(page, {**ROUTE, **night, "quiet_critical": "yes", "severity": "critical", "name": "Office"})
    assert told(budi) == "You are told of what is critical by E-mail (Office)."
    budi.post(page, {**ROUTE, "mute": "8h", "recoveries": ""})
    assert "not when it is over, muted until" in told(budi)
    budi.post(page, {**ROUTE, "mute": "off", "enabled": ""})
    session.expire_all()
    assert route.muted_until is None and "told nothing" in told(budi)
    for wrong in (
        {"quiet_from": "25:00", "quiet_to": "6"},
        {"quiet_from": "22:00"},
        {"hourly": "0"},
        {"severity": "all"},
    ):
        assert budi.post(page, {**ROUTE, **wrong}).status_code == 422, wrong


def test_a_language_that_is_chosen_is_the_one_it_is_answered_in(budi: Visitor) -> None:
    assert budi.post("/notifications", {"language": "id", "zone": ""}).status_code == 303
    assert "Bahasa dan zona waktu Anda disimpan." in budi.get("/notifications").text


def test_an_address_that_is_a_secret_is_sealed_and_shown_to_nobody(
    rina: Visitor, session: Session, keys: Settings
) -> None:
    opener, urls = vault.opener(keys.notifier_key), {}
    for kind, url in (("apprise", "slack://T0PSECRET/B/C"), ("webhook", "https://hooks.example/T0PSECRET")):
        way = Channel(kind=kind, name=kind, seal_id="x")
        session.add(way)
        session.commit()
        urls[way.id] = url
        group = rina.post(f"/policies/groups/{way.id}", {"name": f"All of {kind}", "address-url": url})
        assert group.status_code == 303 and group.location == "/policies"
        tried = {"name": kind, "enabled": "yes", "do": "test", "address-url": url}
        assert rina.post(f"/channels/{way.id}", tried).status_code == 303
        assert rina.post(f"/channels/new?kind={kind}", {**tried, "name": "New"}).status_code == 303
    own = rina.post(f"/notifications/add/{min(urls)}", {"address-url": urls[min(urls)]})
    assert own.status_code == 303 and rina.post(own.location.partition("?")[0], {"do": "again"}).status_code == 303
    routes = session.scalars(select(Route).order_by(Route.id)).all()
    assert [route.address for route in routes] == [
        {"service": "slack"},
        {"host": "hooks.example"},
        {"service": "slack"},
    ]
    for route in routes:
        box = opener.open(route.sealed or b"", vault.place("route", route.id, route.seal_id))
        assert json.loads(box) == {"url": urls[route.channel_id]}
    trials = session.scalars(select(Trial)).all()
    assert [trial.route_id for trial in trials if "code" in trial.asked] == [routes[2].id] * 2
    boxes = [json.loads(opener.open(trial.sealed, f"trial:{trial.id}")) for trial in trials if trial.sealed]
    assert sorted(box["address"]["url"] for box in boxes) == sorted([*urls.values()] * 2)
    assert "T0PSECRET" not in str([trial.asked for trial in trials])
    paths = ["/notifications", "/policies", "/policies/new", "/deliveries", "/audit", "/api/v1/me/addresses"]
    for path in paths + [f"/notifications/{route.id}" for route in routes]:
        assert "T0PSECRET" not in rina.get(path).text, path


def test_nobody_reaches_anothers_address(budi: Visitor, rina: Visitor, session: Session, mail: Channel, keeper: Person) -> None:  # fmt: skip
    route = Route(person_id=keeper.id, channel_id=mail.id, address={"mailbox": "b@example.org"}, verified_at=now())
    session.add(route)
    session.commit()
    assert rina.get(f"/notifications/{route.id}").status_code == 404
    assert rina.get(f"/notifications/{route.id}/delete").status_code == 404
    assert rina.post(f"/notifications/{route.id}/test", {}, page="/notifications").status_code == 404
    assert budi.post(f"/notifications/{route.id}/test", {}, page="/notifications").status_code == 303
    assert budi.post(f"/notifications/{route.id}/delete", {}).status_code == 303
    assert session.scalars(select(Route)).all() == []


def test_a_chat_is_linked_by_a_code_that_only_its_hash_is_kept_of(
    budi: Visitor, session: Session, keeper: Person
) -> None:
    bot = Channel(kind="telegram", name="Telegram", seal_id="x")
    session.add(bot)
    session.commit()
    page = budi.post(f"/notifications/add/{bot.id}", {}).text
    code = re.search(r"/start (\w{5}-\w{5})", page)
    assert code
    row = session.scalars(select(Linking)).one()
    import hashlib

    assert (row.code, row.person_id) == (hashlib.sha256(code[1].encode()).hexdigest(), keeper.id)
    budi.post(f"/notifications/add/{bot.id}", {})
    session.expire_all()
    assert len(session.scalars(select(Linking)).all()) == 1


@pytest.mark.parametrize("typed, minute", [("22:30", 1350), ("6", 360), ("6.05", 365), ("0630", 390), ("24:00", None), ("6:7", None), ("", None), ("٦", None)])  # fmt: skip
def test_times_of_day_are_read_as_people_write_them(typed: str, minute: int | None) -> None:
    assert hours.read(typed) == minute


# ---- push ----


def test_a_browser_subscribes_for_whoever_is_logged_in_and_logout_ends_it(
    budi: Visitor, rina: Visitor, session: Session, pushing: Channel, keeper: Person, person: Person, keys: Settings
) -> None:
    sent = subscription()
    assert call(budi, "/push/subscriptions", sent).status_code == 200
    route = session.scalars(select(Route)).one()
    assert (route.person_id, route.verified_at is not None) == (keeper.id, True)
    opened = vault.opener(keys.notifier_key).open(route.sealed or b"", f"route:{route.seal_id}")
    assert json.loads(opened) == {"endpoint": sent["endpoint"], **sent["keys"]}
    assert set(route.address) == {"mark", "keys"} and "send/abc" not in str(route.address)
    before = route.sealed
    assert call(budi, "/push/subscriptions", sent).status_code == 200  # as at every visit
    session.expire_all()
    assert session.scalars(select(Route)).one().sealed == before
    anew = subscription(sent["endpoint"])
    assert call(budi, "/push/subscriptions", anew).status_code == 200  # the same device with other keys
    session.expire_all()
    assert session.scalars(select(Route)).one().sealed != before
    assert call(rina, "/push/subscriptions", sent).status_code == 200  # the same device, another person
    session.expire_all()
    assert [one.person_id for one in session.scalars(select(Route))] == [person.id]
    budi.post("/logout", {}, page="/")
    session.expire_all()
    assert len(session.scalars(select(Route)).all()) == 1  # what is another's now does not go with Budi
    rina.post("/logout", {}, page="/")
    session.expire_all()
    assert session.scalars(select(Route)).all() == []


@pytest.mark.parametrize(
    "sent",
    [
        None, [], {}, {"endpoint": "https://fcm.googleapis.com/x"}, subscription("http://fcm.googleapis.com/x"),
        subscription("https://fcm.googleapis.com.evil.example/x"), subscription("https://169.254.169.254/x"),
        subscription("https://fcm.googleapis.com:8443/x"), subscription("https://user@evil.example/x"),
        {**subscription(), "keys": {"p256dh": "short", "auth": "short"}}, subscription("https://fcm.googleapis.com/" + "x" * 3000),
        subscription("https://[broken"),
    ],
)  # fmt: skip
def test_what_is_no_subscription_at_a_known_service_is_refused(
    budi: Visitor, session: Session, pushing: Channel, sent: object
) -> None:
    assert call(budi, "/push/subscriptions", sent).status_code == 422
    assert session.scalars(select(Route)).all() == []


def test_no_other_site_and_nobody_logged_out_can_subscribe_or_acknowledge(
    budi: Visitor, stranger: Visitor, pushing: Channel
) -> None:
    for path in ("/push/subscriptions", "/push/subscriptions/end", "/push/acknowledge"):
        assert budi.client.post(path, json=subscription()).status_code == 400
        assert stranger.client.post(path, json=subscription()).status_code == 400
    json_only = {"Accept": "application/json"}
    assert stranger.client.get("/push/token", headers=json_only).status_code == 401


def test_the_manifest_and_the_worker_say_what_browsers_need(stranger: Visitor, person: Person) -> None:
    manifest = stranger.get("/manifest.webmanifest")
    told = json.loads(manifest.text)
    assert (told["display"], told["scope"]) == ("standalone", "/")
    assert {icon["sizes"] for icon in told["icons"]} >= {"192x192", "512x512"}
    for icon in told["icons"]:
        assert stranger.get(icon["src"]).status_code == 200
    worker = stranger.get("/worker.js")
    assert worker.mimetype == "text/javascript" and "caches" not in worker.text
    assert "fetch" not in re.findall(r'addEventListener\("(\w+)"', worker.text)


STUB = """
navigator.serviceWorker.ready.then((registered) => 0);
PushManager.prototype.subscribe = () => %s;
PushManager.prototype.getSubscription = () => Promise.resolve(null);
Object.defineProperty(Notification, 'permission', {get: () => '%s'});
Notification.requestPermission = () => Promise.resolve('%s');
"""


def on_notifications(context: Any, script: str) -> Page:
    page = enter(context)
    page.add_init_script(script)
    page.goto("/notifications")
    return page


@pytest.mark.browser
@pytest.mark.parametrize(
    "script, click, sentence",
    [
        ("delete window.PushManager;", False, "This browser knows no push."),
        ("Object.defineProperty(window, 'isSecureContext', {get: () => false});", False, "Push needs a secure address"),
        ("Object.defineProperty(Notification, 'permission', {get: () => 'denied'});", False, "Notifications are blocked for this site."),
        ("Object.defineProperty(navigator, 'userAgent', {get: () => 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)'});", False, "Add to Home Screen"),
        (STUB % ("new Promise(() => 0)", "granted", "granted"), True, "This browser cannot reach its push service."),
        (STUB % ("Promise.reject(new DOMException('no', 'NotAllowedError'))", "default", "granted"), True, "Notifications are blocked for this site."),
        (STUB % ("Promise.reject(new Error('no'))", "default", "granted"), True, "could not be subscribed"),
        (STUB % ("0", "default", "denied"), True, "Notifications are blocked for this site."),
    ],
)  # fmt: skip
def test_every_reason_why_push_cannot_be_is_said(
    person: Person, pushing: Channel, browse: OpenBrowser, script: str, click: bool, sentence: str
) -> None:
    page = on_notifications(browse(390, 844), script)
    if click:
        page.click('[data-do="subscribe"]')
    page.wait_for_selector(f"[data-said]:has-text('{sentence}'), [data-guide]:visible:has-text('{sentence}')")
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"


@pytest.mark.browser
def test_a_tap_subscribes_this_browser(person: Person, pushing: Channel, browse: OpenBrowser, session: Session) -> None:
    made = json.dumps(subscription())
    stub = STUB % (f"Promise.resolve({{toJSON: () => ({made})}})", "default", "granted")
    page = on_notifications(browse(390, 844, "dark", "id-ID"), stub)
    page.click('[data-do="subscribe"]')
    page.wait_for_selector("text=Chrome, Linux")
    assert session.scalars(select(Route)).one().person_id == person.id
    assert not accessible(page)
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


@pytest.mark.browser
def test_a_pushed_message_is_shown_by_the_worker_and_its_button_takes_the_incident_in_hand(
    person: Person, pushing: Channel, town: Town, browse: OpenBrowser, session: Session, site: str
) -> None:
    host = town.machine("db-02", "10.0.0.12", "down")
    host.division = Division(name="IT")
    case = Incident(subject=f"host:{host.id}", host_id=host.id, state="down", since=town.now, opened_at=town.now)
    session.add(case)
    session.commit()
    context = browse()
    context.grant_permissions(["notifications"], origin=site)
    page = enter(context)
    page.goto("/notifications")
    cdp, versions = context.new_cdp_session(page), {}
    cdp.on("ServiceWorker.workerVersionUpdated", lambda told: versions.update({one["versionId"]: one for one in told["versions"]}))  # fmt: skip
    registered: list[str] = []
    cdp.on("ServiceWorker.workerRegistrationUpdated", lambda told: registered.extend(one["registrationId"] for one in told["registrations"] if not one["isDeleted"] and one["scopeURL"].startswith(site)))  # fmt: skip
    cdp.send("ServiceWorker.enable")
    run(page, "navigator.serviceWorker.register('/worker.js', {scope: '/'}).then(() => navigator.serviceWorker.ready).then(() => 1)")  # fmt: skip
    for _ in range(300):
        if registered and any(one["status"] == "activated" for one in versions.values()):
            break
        page.wait_for_timeout(100)
    assert registered and any(one["status"] == "activated" for one in versions.values()), versions
    message = {
        "id": "k1", "kind": "problem", "severity": "critical", "title": "db-02 is down", "body": "No answer.", "tag": "incident-1",
        "url": f"{site}/incidents/{case.id}", "lang": "en", "at": now().isoformat(),
        "actions": [{"action": "acknowledge", "title": "I'm on it", "data": f"ack:{case.id}", "url": ""}, {"action": "open", "title": "Open", "data": "", "url": ""}],
    }  # fmt: skip
    notes = "navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => JSON.stringify(all.map((n) => [n.title, n.body, n.tag, n.actions.map((a) => a.action)])))"  # fmt: skip
    pushed = {"origin": site, "registrationId": registered[-1], "data": json.dumps(message)}
    for _ in range(10):  # a browser may lose one while it wakes the worker; a push service would send it again as well
        cdp.send("ServiceWorker.deliverPushMessage", pushed)
        page.wait_for_timeout(1000)
        if "db-02" in str(run(page, notes)):
            break
    shown = wait_for(page, notes, "db-02")
    assert json.loads(shown) == [["db-02 is down", "No answer.", "incident-1", ["acknowledge", "open"]]]
    worker = next(one for one in context.service_workers)
    worker.evaluate(
        "async () => { const [note] = await self.registration.getNotifications();"
        " self.dispatchEvent(new NotificationEvent('notificationclick', {notification: note, action: 'acknowledge'})); }"
    )
    after = wait_for(page, notes, "You are on it")
    assert "You are on it" in after
    session.expire_all()
    assert (case.owner_id, case.acknowledged_at is not None) == (person.id, True)


def run(page: Page, expression: str) -> Any:
    cdp = page.context.new_cdp_session(page)
    told = cdp.send("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
    return told["result"].get("value")


def wait_for(page: Page, expression: str, word: str) -> str:
    found = ""
    for _ in range(300):
        found = str(run(page, expression))
        if word in found:
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"{word!r} never came: {found}")


def test_links_that_only_this_machine_can_open_are_pointed_out(rina: Visitor, mail: Channel) -> None:
    page = rina.get("/channels").text
    assert "Links in messages lead to http://127.0.0.1" in page and "PANTAU_URL" in page


def test_a_stored_secret_goes_to_no_other_server(rina: Visitor, session: Session, keys: Settings) -> None:
    assert rina.post("/channels/new?kind=email", {**MAIL, "secret-password": "hunter2!"}).status_code == 303
    page = f"/channels/{session.scalars(select(Channel)).one().id}"
    moved = {**MAIL, "option-host": "mail.evil.example", "secret-password": ""}
    for form in (moved, {**moved, "do": "test", "address-mailbox": "x@example.org"}):
        answer = rina.post(page, form)
        assert answer.status_code == 422
        assert "enter it again" in answer.text
    session.expire_all()
    assert session.scalars(select(Channel)).one().options["host"] == "mail.example.org"
    assert rina.post(page, {**moved, "secret-password": "hunter3!"}).status_code == 303
