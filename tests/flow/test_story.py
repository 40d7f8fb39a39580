"""A shop does not answer: told, talked over, asked for, agreed to by two, done on a real machine, and shown to everybody.

Four people in four browsers, a whole installation, and a machine behind a cable whose page really hangs: a Linux whose service
is restarted, and a Windows that is started anew. With
PANTAU_SHOTS=DIRECTORY every step leaves a picture; those in docs/screenshots are made by it.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, expect

from tests import browsers
from tests.flow.machine import machine
from tests.flow.yonder import yonder
from tests.installation import Browser, Installation, installed, until
from tests.probes.windows import Windows
from tests.probes.wsman import PASSWORDS, listening
from webui import passwords

SHOTS = os.environ.get("PANTAU_SHOTS", "")
PASSWORD = "seven purple umbrellas"
SHOP = """#!/bin/sh
cd {place}/shop && exec python3 -m http.server 8080 --bind {address}
"""
PEOPLE = (("budi", "Budi", "pic"), ("sari", "Sari", "approver"), ("joko", "Joko", "approver"))
PATIENCE = 90_000


@dataclass(frozen=True)
class Stage:
    """A machine `shop` with a page on port 8080. `breaks` makes it hang, and nothing but what is asked for helps; `still`
    says that nothing was done yet, `done` that it was, once."""

    name: str
    address: str
    kind: str
    login: dict[str, object]
    order: str
    told: str
    breaks: Callable[[], None]
    still: Callable[[], bool]
    done: Callable[[], bool]


@pytest.fixture
def linux() -> Iterator[Stage]:
    """A machine whose nginx.service serves the page."""
    with machine("nginx.service") as there:
        (there.place / "shop").mkdir()
        (there.place / "shop" / "index.html").write_text("Welcome")
        run = there.place / "nginx.service.run"
        run.write_text(SHOP.format(place=there.place, address=there.address))
        run.chmod(0o755)
        there.do("nginx.service", "start")
        first = there.pid("nginx.service")
        assert first is not None
        yield Stage(
            "linux", there.address, "ssh", {"username": "root", "private_key": there.key}, "service.restart:nginx.service",
            "Restart the service nginx.service", lambda: os.kill(first, signal.SIGSTOP),
            lambda: there.pid("nginx.service") == first and there.sudo == [],
            lambda: there.pid("nginx.service") not in (None, first) and there.sudo == ["/bin/systemctl restart -- nginx.service"],
        )  # fmt: skip


@pytest.fixture
def windows() -> Iterator[Stage]:
    """A machine that is a Windows to whoever speaks WS-Man with it; its page answers again after a new start."""
    secret = PASSWORDS["pantau-read"]
    with yonder() as there:
        system = Windows(stopped=())
        hangs, before = threading.Event(), system.booted

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if hangs.is_set() and system.booted == before:
                    time.sleep(5)
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"Welcome")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer((there.address, 8080), Page, bind_and_activate=False)
        server.socket.close()
        server.socket = there.ears(8080)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with listening(system, users={"pantau-act": secret}, ears=there.ears(5985)):
            yield Stage(
                "windows", there.address, "winrm", {"username": "pantau-act", "password": secret}, "host.restart",
                "Restart the machine", hangs.set, lambda: system.done == [],
                lambda: [method for method, _ in system.done] == ["win32shutdowntracker"] and system.booted > before + 3600,
            )  # fmt: skip
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["linux", "windows"])
def stage(request: pytest.FixtureRequest) -> Stage:
    found: Stage = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def company(stage: Stage) -> Iterator[Installation]:
    """Rina has set it up: a division with three people, and the shop's machine with its logins and its list."""
    with installed(PANTAU_INTERVAL="2") as up:
        until(lambda: up.answers)
        rina = Browser(up)
        account = {"token": up.token, "name": "Rina", "password": PASSWORD}
        assert rina.post("/setup", account).status_code == 303
        for name in ("looks", "acts"):
            assert rina.post("/credentials/new", {"name": name, **stage.login}).status_code == 303
        with psycopg.connect(up.database_url, autocommit=True) as connection:
            people(connection)
            register(connection, stage)
        if stage.kind == "ssh":
            until(lambda: up.query("select 1 from host_key where state = 'pinned'"), 90)
        until(lambda: up.query("select 1 from track where subject = 'host:' || (select id from host where name = 'shop') and state = 'up'"))  # fmt: skip
        until(lambda: up.query("select 1 from fact f join host h on h.id = f.host_id where h.name = 'shop' and f.name = 'host.boot.id'"))  # fmt: skip
        yield up


def people(connection: psycopg.Connection) -> None:
    """Budi is in charge; Sari and Joko may agree."""
    connection.execute("insert into division (name) values ('Sales')")
    for login, name, role in PEOPLE:
        connection.execute(
            "insert into person (login, name, password_hash) values (%s, %s, %s)",
            [login, name, passwords.digest(PASSWORD)],
        )
        connection.execute(
            "insert into membership (person_id, division_id, role) select p.id, d.id, %s from person p, division d"
            " where p.login = %s and d.name = 'Sales'",
            [role, login],
        )


def register(connection: psycopg.Connection, stage: Stage) -> None:
    """A look with a login, one at the page, and what may be done."""
    connection.execute(
        "insert into host (name, address, division_id, interval_s, attempts, action_credential_id) values"
        " ('shop', %s, (select id from division where name = 'Sales'), 2, 2, (select id from credential where name = 'acts'))",
        [stage.address],
    )
    connection.execute(
        "insert into host_service (host_id, name) select id, 'nginx.service' from host where name = 'shop'"
    )
    connection.execute(
        "insert into host_check (host_id, kind, name, options, credential_id, deadline_s) select h.id, %s, 'Look',"
        " '{}'::jsonb, c.id, 10 from host h, credential c where h.name = 'shop' and c.name = 'looks'",
        [stage.kind],
    )
    connection.execute(
        "insert into host_check (host_id, kind, name, options, deadline_s) select id, 'http', 'Shop page',"
        " '{\"port\": 8080}'::jsonb, 2 from host where name = 'shop'"
    )


@pytest.fixture
def chromium() -> Iterator[Chromium]:
    with browsers.chromium() as browser:
        yield browser


Enter = Callable[..., Page]
Shot = Callable[[Page, str], None]


@pytest.fixture
def enter(chromium: Chromium, company: Installation) -> Iterator[Enter]:
    """Somebody logs in, in a browser of their own: `enter(login, width, height)`."""
    opened: list[BrowserContext] = []

    def come(login: str, width: int = 1366, height: int = 768) -> Page:
        context = chromium.new_context(
            base_url=company.address,
            viewport={"width": width, "height": height},
            locale="en-GB",
            reduced_motion="reduce",
        )
        context.set_default_timeout(30_000)
        opened.append(context)
        page = context.new_page()
        page.goto("/login")
        page.fill("#login", login)
        page.fill("#password", PASSWORD)
        page.locator("form button.primary").click()
        page.wait_for_url("**/")
        return page

    yield come
    for context in opened:
        context.close()


@pytest.fixture
def shot(stage: Stage) -> Shot:
    """Takes a picture of what is seen, for docs/."""

    def take(page: Page, name: str) -> None:
        if SHOTS:
            page.wait_for_timeout(500)
            page.screenshot(path=str(Path(SHOTS) / f"{'story' if stage.name == 'linux' else stage.name}-{name}.png"))

    return take


def say(page: Page, words: str) -> None:
    page.fill("#text", words)
    page.locator("#say .send").click()


@pytest.mark.timeout(600)
def test_a_shop_that_hangs_is_started_anew_by_those_who_may(
    company: Installation, stage: Stage, enter: Enter, shot: Shot
) -> None:
    host, thread = company.query(
        "select h.id, t.id from host h join thread t on t.host_id = h.id where h.name = 'shop'"
    )[0]
    stage.breaks()

    # The trouble is seen on a phone.
    budi = enter("budi", 390, 844)
    until(lambda: company.query("select 1 from incident where host_id = %s and closed_at is null", [host]), 120)
    budi.goto("/")
    expect(budi.get_by_text("shop").first).to_be_visible()
    shot(budi, "1-trouble")

    # It is talked over.
    rina = enter("rina")
    budi.goto(f"/chat/{thread}")
    say(budi, "@rina the shop does not answer, the queue at the till grows")
    expect(rina.locator(".nav .count").first).to_have_text(re.compile("^1"))
    rina.goto(f"/chat/{thread}")
    say(rina, "Its web server hangs. Ask for a restart of nginx, Sari and Joko must agree.")
    expect(budi.locator(".says .words").last).to_contain_text("Ask for a restart of nginx")
    shot(budi, "2-chat")

    # It is asked for.
    budi.goto(f"/machines/{host}")
    budi.get_by_role("link", name="Ask for a restart").click()
    budi.select_option("#do", stage.order)
    budi.fill("#reason", "The shop does not answer, its web server hangs.")
    expect(budi.locator(".rule:visible")).to_have_count(1)
    shot(budi, "3-asking")
    budi.get_by_role("button", name="Ask for it").click()
    budi.wait_for_url("**/requests/*")
    request = int(budi.url.rpartition("/")[2])
    expect(budi.get_by_text("Nobody agrees to what they asked for themselves")).to_be_visible()
    shot(budi, "4-asked")

    # Two agree, each on a page that was open already or is found by the mark on the menu.
    sari = enter("sari", 390, 844)
    sari.goto("/requests")
    expect(sari.get_by_role("heading", name="Waiting for your answer")).to_be_visible()
    sari.get_by_role("link", name=stage.told).first.click()
    shot(sari, "5-manager")
    sari.get_by_role("button", name="Agree").click()
    expect(sari.get_by_text("Your answer counts.")).to_be_visible()
    assert company.query("select state from request where id = %s", [request]) == [("waiting",)]
    assert stage.still()
    joko = enter("joko")
    joko.goto(f"/requests/{request}")
    joko.get_by_role("button", name="Agree").click()
    expect(joko.get_by_text("Enough agree: it is done now.")).to_be_visible()

    # It is done, once, and shown; the page of everybody who looks goes on by itself.
    expect(joko.locator("[data-live=log]")).to_contain_text("The machine took it", timeout=PATIENCE)
    until(lambda: company.query("select 1 from request where id = %s and state = 'done'", [request]), 240)
    expect(joko.locator("[data-live=head]")).to_contain_text("Done", timeout=PATIENCE)
    expect(budi.locator("[data-live=head]")).to_contain_text("Done", timeout=PATIENCE)
    shot(joko, "6-done")
    assert stage.done()

    # The machine is well, the incident is over, and the thread tells it all.
    until(lambda: company.query("select 1 from incident where host_id = %s and closed_at is not null", [host]), 120)
    assert company.query("select 1 from incident where host_id = %s and closed_at is null", [host]) == []
    budi.goto(f"/chat/{thread}")
    told = budi.locator("#messages, [data-live], main").first
    for words in ("Incident", "the shop does not answer", "Budi", "Sari", "Joko", stage.told, "is well again"):
        expect(told).to_contain_text(words)
    shot(budi, "7-thread")
    shot(rina, "8-thread-desk")
    budi.goto(f"/machines/{host}")
    shot(budi, "9-well")
