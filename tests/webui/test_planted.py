"""What machines and people write is text, whatever it looks like: planted everywhere, then every page in a real browser.

The policy of the pages (webui/headers.py) would keep such a script from running even if a page let it in; here it may
not even be let in. In ordinary use the policy itself has nothing to complain of.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext
from psycopg.errors import CheckViolation
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import chat
from domain.chat import Message, Thread
from domain.inventory import Division, Host, Membership, Person
from domain.table import Table
from tests.webui.cast import OpenBrowser, Town
from tests.webui.test_matrix import enter

PLANT = (
    "{id}\"'><script>window.caught=1</script><img src=x onerror=window.caught=1><svg onload=window.caught=1>"
    "</title></textarea></script>--><a href=javascript:window.caught=1>{{{{7*7}}}}pq ${{7*7}}\u2028\u202e=1+1"
)
NOT_TEXT = {
    ("host", "address"), ("host", "sensitivity"), ("person", "login"), ("person", "password_hash"), ("person", "role"),
    ("person", "language"), ("person", "theme"), ("person", "zone"), ("site", "zone"), ("membership", "role"),
    ("maintenance_window", "kind"), ("maintenance_window", "zone"), ("incident", "subject"), ("incident", "state"),
    ("incident_event", "kind"), ("state_interval", "subject"), ("state_interval", "state"), ("track", "subject"),
    ("track", "state"), ("change", "subject"), ("heartbeat", "role"), ("host_check", "kind"), ("credential", "kind"),
    ("credential", "seal_id"), ("threshold", "measure"), ("threshold", "state"), ("channel", "kind"), ("channel", "seal_id"),
    ("route", "severity"), ("route", "language"), ("route", "zone"), ("policy", "severity"), ("policy", "zone"),
    ("rota", "zone"), ("rota", "token"), ("rota", "handover"), ("lookout", "url"), ("session", "id"), ("setting", "key"),
    ("wording", "kind"), ("wording", "language"), ("notice", "kind"), ("notice", "subject"), ("notice", "state"),
    ("metric_set", "parts"), ("latest", "failure_kind"), ("incident", "failure_kind"), ("failure", "kind"), ("host_key", "state"),
    ("host_key", "key"), ("look", "id"), ("look", "kind"), ("delivery", "state"), ("api_token", "scopes"),
    ("thread", "kind"), ("message", "kind"),
}  # fmt: skip
"""Texts that are words of our own or that PostgreSQL holds to a form: no machine and no person writes them freely."""
MOST = 140
LOOK = """() => ({
    caught: window.caught === 1,
    let_in: [...document.querySelectorAll('img[src="x"], svg[onload], [onerror], script:not([src]), a[href^="javascript:"]')].map(e => e.outerHTML.slice(0, 200)),
    shown: document.body.innerText.includes('<script>window.caught=1') ||
        [...document.querySelectorAll('input, textarea, option')].some(e => e.value.includes('<script>window.caught=1')),
    computed: document.body.innerText.includes('49pq'),
    links: [...document.querySelectorAll('a[href]')].map(e => e.getAttribute('href')),
})"""
WATCH = """document.addEventListener('securitypolicyviolation',
    e => (window.refused = window.refused || []).push(e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample))"""


def plant(session: Session) -> int:
    """Write the plant into every free text there is; how many columns took it."""
    planted = 0
    for table in Table.metadata.sorted_tables:
        if table.name in ("audit", "alembic_version") or "id" not in table.c:
            continue
        for column in table.c:
            if (
                (table.name, column.name) in NOT_TEXT
                or str(column.type) != "TEXT"
                or column.primary_key
                or column.foreign_keys
            ):
                continue
            words = PLANT.replace("{id}", "' || id || '").replace("{{", "{").replace("}}", "}")
            literal = "'" + words.replace("\"'>", "\"''>") + "'"
            connection = session.connection().connection.driver_connection
            assert connection is not None
            connection.execute("savepoint before")
            try:
                connection.execute(f'update "{table.name}" set "{column.name}" = {literal}')
                planted += 1
            except CheckViolation:  # PostgreSQL holds it to a form: nobody can write it freely
                connection.execute("rollback to savepoint before")
    session.commit()
    return planted


def talk(session: Session, person: Person) -> None:
    """Something was said about a machine and to the administrators, and something happened."""
    for thread in session.scalars(select(Thread).where(Thread.kind.in_(("machine", "direct"))).limit(3)):
        session.add(
            Message(thread_id=thread.id, author_id=person.id, author=person.name, client=f"c{thread.id}", body="x")
        )
        chat.line(session, host_id=thread.host_id, kind="maintenance.planned", detail={"by": PLANT, "note": PLANT})
    session.commit()


@pytest.mark.browser
def test_nothing_that_was_written_becomes_part_of_a_page(
    app: Flask, browse: OpenBrowser, busy: Town, person: Person, session: Session
) -> None:
    talk(session, person)
    assert plant(session) > 40
    seen, wrong, shown = crawl(app, browse(), session, person)
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 40
    assert shown > 25  # pages on which it can be read, as text


@pytest.mark.browser
@pytest.mark.parametrize("role", ["pic", "viewer"])
def test_nothing_that_was_written_becomes_part_of_a_page_of_others_either(
    app: Flask, browse: OpenBrowser, busy: Town, person: Person, session: Session, role: str
) -> None:
    """Pages differ by who looks: whoever may less sees other parts of them."""
    home = Division(name="Home")
    someone = Person(login="someone", name="Someone", password_hash="-", role="none" if role == "pic" else role)
    if role == "pic":
        someone.memberships = [Membership(division=home, role="pic")]
    session.add_all([home, someone])
    session.flush()
    session.execute(update(Host).values(division_id=home.id))
    session.commit()
    assert plant(session) > 40
    seen, wrong, shown = crawl(app, browse(), session, someone)
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 15
    assert shown > 8


@pytest.mark.browser
def test_in_ordinary_use_the_policy_has_nothing_to_refuse(
    app: Flask, browse: OpenBrowser, busy: Town, person: Person, session: Session
) -> None:
    seen, wrong, _ = crawl(app, browse(390, 844, scheme="dark"), session, person)
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 40


def crawl(app: Flask, context: BrowserContext, session: Session, person: Person) -> tuple[set[str], list[str], int]:
    """Every kind of page this person reaches by links, once or twice each.

    (addresses, what was wrong with them, on how many the plant can be read).
    """
    visitor = enter(app, session, person)
    cookie = visitor.client.get_cookie("pantau-session")
    assert cookie is not None
    page = context.new_page()
    page.goto("/login")
    home = urlsplit(page.url)
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "domain": home.hostname, "path": "/"}])
    context.add_init_script(WATCH)
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(f"{page.url}: a dialog"), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    waiting, seen, kinds, shown = ["/"], set[str](), dict[str, int](), 0
    while waiting and len(seen) < MOST:
        path = waiting.pop(0)
        kind = re.sub(r"\d+|=[^&]*", "#", path)
        if path in seen or kinds.get(kind, 0) >= 2:
            continue
        seen.add(path)
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = page.goto(path, wait_until="load")
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        if answer.status >= 500:
            wrong.append(f"{path}: {answer.status}")
        found = page.evaluate(LOOK)
        shown += found["shown"]
        refused = page.evaluate("window.refused || []")
        if found["caught"] or found["let_in"] or found["computed"] or refused:
            wrong.append(f"{path}: {found['let_in']} {refused} {'computed' if found['computed'] else ''}")
        for link in found["links"]:
            if link.startswith("/") and not re.match(r"/(static|logout)|.*\.(csv|xlsx|ics|yaml)\b", link):
                waiting.append(link.split("#")[0])
    return seen, wrong, shown
