"""The stage: the real application on a real database, a cast, machines in every state, and a real browser."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from config import database, webkey
from config.settings import Settings
from domain.clock import now
from domain.inventory import Division, Host, HostGroup, Membership, Person, Window
from domain.records import Incident, IncidentEvent, IncidentMember
from tests import browsers
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor
from tests.webui.witness import witnessed
from webui import create_app, passwords


@pytest.fixture
def web_engine(role_url: Callable[[str], str]) -> Iterator[Engine]:
    """The web's own way into the database, with no more rights than it has in earnest."""
    bound = database.engine(role_url("web"))
    yield bound
    bound.dispose()


@pytest.fixture
def app(web_engine: Engine, place: Path) -> Iterator[Flask]:
    """The application as it is served. Whatever a test does with it, no form changes anything without a row of audit."""
    made = create_app(Settings(data=place), web_engine)
    webkey.create(place / "web.key")
    made.testing = False  # failures are pages here, as they are for people
    with witnessed(web_engine) as silent:
        yield made
    assert not silent, f"changed something and left no row of audit: {', '.join(sorted(silent))}"


@pytest.fixture
def stranger(app: Flask) -> Visitor:
    """Somebody who is not logged in."""
    return Visitor(app.test_client())


_digest = functools.cache(passwords.digest)


@pytest.fixture
def person(session: Session) -> Person:
    """Rina, who looks after this installation."""
    rina = Person(login="rina", name="Rina", password_hash=_digest(PASSWORD), role="admin")
    session.add(rina)
    session.commit()
    return rina


@pytest.fixture
def rina(app: Flask, person: Person) -> Visitor:
    """Rina, logged in."""
    visitor = Visitor(app.test_client())
    assert visitor.login("rina").status_code == 303
    return visitor


@pytest.fixture
def keeper(session: Session) -> Person:
    """Budi, in charge of the machines of the division Gudang, and of no other."""
    budi = Person(login="budi", name="Budi", password_hash=_digest(PASSWORD), role="none")
    budi.memberships = [Membership(division=Division(name="Gudang"), role="pic")]
    session.add(budi)
    session.commit()
    return budi


@pytest.fixture
def budi(app: Flask, keeper: Person) -> Visitor:
    """Budi, logged in."""
    visitor = Visitor(app.test_client())
    assert visitor.login("budi").status_code == 303
    return visitor


@pytest.fixture
def town(session: Session) -> Town:
    """An installation whose poller is alive and which watches nothing yet."""
    moment = now()
    for day in (moment - timedelta(days=1), moment):
        begin = day.date()
        session.execute(
            text(
                f"create table if not exists raw_{begin:%Y%m%d} partition of raw "
                f"for values from ('{begin}') to ('{begin + timedelta(days=1)}')"
            )
        )
    session.commit()
    seeded = Town(session, moment)
    seeded.beat()
    return seeded


@pytest.fixture
def busy(town: Town) -> Town:
    """A town with one machine in every state."""
    group = HostGroup(name="Gudang")
    town.session.add(group)
    town.machine("db-02", "10.0.0.12", "down", minutes=7, reason="No answer to 5 pings and no SSH on port 22.")
    town.machine("fs-01", "10.0.0.20", metric="warning", disk=0.91, minutes=700, groups=(group,))
    town.machine("web-01", "10.0.0.31", "unreachable", minutes=24)
    town.machine("hr-pc", "10.0.0.40", "unknown", minutes=90)
    town.machine("erp", "10.0.0.41", metric="critical", disk=0.98, minutes=30)
    for number in range(8):
        town.machine(f"pc-{number:02}", f"10.0.1.{number}", groups=(group,) if number % 2 else (), minutes=4000)
    _trouble(town)
    town.session.add(Host(name="new-one", address="10.0.9.9"))
    town.session.add(Host(name="off", address="10.0.9.10", enabled=False))
    town.session.commit()
    return town


def _trouble(town: Town) -> None:
    """An incident with somebody behind it, one that is over, and maintenance in every shape."""
    named = {host.name: host for host in town.session.query(Host)}
    down, behind = named["db-02"], named["web-01"]
    behind.parents = [down]
    since = town.now - timedelta(minutes=7)
    going = Incident(
        subject=f"host:{down.id}", host_id=down.id, state="down", since=since, opened_at=since,
        cause="No answer to 5 pings and no SSH on port 22.", failure_kind="timeout",
    )  # fmt: skip
    past = town.now - timedelta(days=2)
    over = Incident(
        subject=f"host:{down.id}", host_id=down.id, state="down", since=past, opened_at=past,
        closed_at=past + timedelta(minutes=40), closing="Power strip switched off by the cleaner",
    )  # fmt: skip
    town.session.add_all([going, over])
    town.session.flush()
    town.session.add(IncidentMember(incident_id=going.id, host_id=behind.id, since=since))
    town.session.add(IncidentEvent(incident_id=going.id, at=since, kind="opened", data={"to": "down"}))
    town.session.add(IncidentEvent(incident_id=going.id, at=town.now, kind="note", data={"text": "Called the host."}))
    begin, end = town.now - timedelta(hours=1), town.now + timedelta(hours=1)
    options = {"from": begin.isoformat(), "until": end.isoformat()}
    town.session.add(Window(kind="once", options=options, zone="Asia/Jakarta", host_id=named["hr-pc"].id, note="Move"))
    weekly = {"weekdays": ["sat", "sun"], "at": "22:00", "duration": 7200, "flexible": True, "lasts": 1800}
    town.session.add(Window(kind="weekly", options=weekly, zone="Asia/Jakarta", everything=True, note="Restarts"))
    cron = {"expression": "0 22 * * 6L", "duration": 7200}
    town.session.add(Window(kind="cron", options=cron, zone="Europe/Berlin", everything=True, ended_at=town.now))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. It goes when its module is done: its event loop would stand in the way of the others' own."""
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture
def site(app: Flask, web_engine: Engine) -> Iterator[str]:
    """The application on a real socket; gives its address. At the end whoever is being answered still is answered."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(10)
    end = time.monotonic() + 10
    while web_engine.pool.checkedout() and time.monotonic() < end:  # type: ignore[attr-defined]
        time.sleep(0.05)
    server.server_close()


@pytest.fixture
def browse(chromium: Browser, site: str) -> Iterator[OpenBrowser]:
    """Opens a fresh browser: `browse(width, height, scheme, locale)`."""
    opened: list[BrowserContext] = []

    def start(width: int = 1366, height: int = 768, scheme: str = "light", locale: str = "en-GB") -> BrowserContext:
        context = chromium.new_context(
            base_url=site,
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            locale=locale,
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        opened.append(context)
        return context

    yield start
    for context in opened:
        context.close()
