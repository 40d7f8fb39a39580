"""Chat in real browsers: two people at once, a line that breaks, a server that dies, a phone, and no script at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from domain import chat
from domain.chat import Message, Seen, Thread
from domain.inventory import Host, Person
from tests.webui.cast import PASSWORD, OpenBrowser, Town

SHOTS = os.environ.get("PANTAU_SHOTS", "")
"""A directory for pictures of what is seen, for whoever looks at the pages."""


@pytest.fixture
def thread(session: Session, town: Town, keeper: Person, person: Person) -> int:
    """The thread of a machine of Budi's."""
    host = town.machine("db-01", "10.0.0.5", cpu=0.42)
    host.division_id = keeper.memberships[0].division_id
    session.commit()
    return session.scalars(select(Thread.id).where(Thread.host_id == host.id)).one()


def enter(context: BrowserContext, login: str, path: str) -> Page:
    """Log in, and open a page."""
    page = context.new_page()
    page.goto("/login")
    page.fill("#login", login)
    page.fill("#password", PASSWORD)
    page.locator("form button.primary").click()
    page.wait_for_url("**/")
    page.goto(path)
    return page


def say(page: Page, words: str) -> None:
    page.fill("#text", words)
    page.locator("#say .send").click()


def heard(page: Page) -> list[str]:
    """What stands in the thread, in its order."""
    return [one.strip() for one in page.locator(".says:not(.waiting) .words").all_inner_texts()]


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def test_two_people_talk_and_both_read_the_same_in_the_same_order(
    browse: OpenBrowser, thread: int, session: Session
) -> None:
    desk, phone = browse(), browse(390, 844)
    rina, budi = enter(desk, "rina", f"/chat/{thread}"), enter(phone, "budi", f"/chat/{thread}")
    say(budi, "The fan is loud. <b>Really</b> @")
    expect(rina.locator(".says .words")).to_have_text(["The fan is loud. <b>Really</b> @"])
    say(rina, "On my way")
    expect(budi.locator(".says:not(.waiting) .words")).to_have_count(2)
    for n in range(5):
        say(budi, f"budi {n}")
        say(rina, f"rina {n}")
    expect(rina.locator(".says:not(.waiting)")).to_have_count(12)
    expect(budi.locator(".says:not(.waiting)")).to_have_count(12)
    expect(rina.locator(".waiting")).to_have_count(0)
    stored = list(session.scalars(select(Message.body).order_by(Message.number)))
    assert heard(rina) == heard(budi) == stored
    rina.locator("#charted").click()
    expect(budi.locator("figure.hour")).to_be_visible()
    budi.fill("#text", "Thanks @ri")
    budi.locator("#text").press("End")
    budi.locator("#text").press_sequentially("n")
    expect(budi.locator("#completion li")).to_have_text(["Rina @rina"])
    budi.locator("#text").press("Enter")
    expect(budi.locator("#text")).to_have_value("Thanks @rina ")
    budi.locator("#say .send").click()
    expect(rina.locator(".named")).to_have_text("@rina")
    host = session.scalars(select(Thread).where(Thread.id == thread)).one().host_id
    chat.line(session, host_id=host, kind="incident.opened", detail={"incident": 1, "about": "", "state": "down"})
    session.commit()
    expect(rina.locator("li.line")).to_contain_text("Incident #1: the whole machine – down")
    shot(rina, "chat-desk")
    shot(budi, "chat-phone")
    rina.goto("/chat")
    shot(rina, "chat-list")
    budi.goto("/chat")
    shot(budi, "chat-list-phone")


def test_somebody_elsewhere_sees_that_there_is_something_to_read(browse: OpenBrowser, thread: int) -> None:
    rina, budi = enter(browse(), "rina", "/"), enter(browse(), "budi", f"/chat/{thread}")
    mark = rina.locator(".nav .count")
    expect(mark).to_be_hidden()
    rina.wait_for_timeout(1000)
    say(budi, "Hello?")
    expect(mark).to_have_text(re.compile("^1"))
    rina.goto(f"/chat/{thread}")
    expect(mark).to_be_hidden()


def test_new_messages_wait_below_while_somebody_reads_above(
    browse: OpenBrowser, thread: int, session: Session, keeper: Person
) -> None:
    for n in range(40):
        session.add(Message(thread_id=thread, author_id=keeper.id, author="Budi", client=f"n{n}", body=f"word {n}"))
        session.commit()
    phone = enter(browse(390, 844), "rina", f"/chat/{thread}")
    expect(phone.locator("#m40")).to_be_in_viewport()
    phone.evaluate("scrollTo(0, 0)")
    budi = enter(browse(), "budi", f"/chat/{thread}")
    say(budi, "Are you there?")
    expect(phone.locator("#new")).to_be_visible()
    expect(phone.locator("#m41")).not_to_be_in_viewport()
    phone.locator("#new").click()
    expect(phone.locator("#m41")).to_be_in_viewport()
    expect(phone.locator("#new")).to_be_hidden()
    box, bar = phone.locator(".composer").bounding_box(), phone.locator("nav.bottom").bounding_box()
    assert box and bar and box["y"] + box["height"] <= bar["y"] + 1
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_line_that_breaks_loses_and_doubles_nothing(browse: OpenBrowser, thread: int, session: Session) -> None:
    desk = browse()
    rina, budi = enter(desk, "rina", f"/chat/{thread}"), enter(browse(), "budi", f"/chat/{thread}")
    say(budi, "before")
    expect(rina.locator(".says .words")).to_have_text(["before"])
    desk.set_offline(True)
    rina.wait_for_timeout(200)
    say(rina, "written while the line was gone")
    expect(rina.locator(".waiting small")).to_contain_text("Not sent yet")
    shot(rina, "chat-offline")
    say(budi, "meanwhile")
    expect(budi.locator(".says:not(.waiting) .words")).to_have_text(["before", "meanwhile"])
    desk.set_offline(False)
    both = ["before", "meanwhile", "written while the line was gone"]
    expect(rina.locator(".says:not(.waiting) .words")).to_have_text(both, timeout=30_000)
    expect(budi.locator(".says:not(.waiting) .words")).to_have_text(both, timeout=30_000)
    assert list(session.scalars(select(Message.body).order_by(Message.number))) == both


def test_an_answer_that_never_came_is_asked_for_again_and_the_message_said_once(
    browse: OpenBrowser, thread: int, session: Session
) -> None:
    desk, lost = browse(), list[str]()
    rina = enter(desk, "rina", f"/chat/{thread}")

    def swallow(route: object) -> None:
        """The message arrives, and the answer is lost on the way back."""
        answer = route.fetch()  # type: ignore[attr-defined]
        lost.append(str(answer.status))
        if len(lost) < 3:
            route.abort()  # type: ignore[attr-defined]
        else:
            route.fulfill(response=answer)  # type: ignore[attr-defined]

    rina.route(
        f"**/chat/{thread}", lambda route: swallow(route) if route.request.method == "POST" else route.continue_()
    )
    say(rina, "exactly once")
    expect(rina.locator(".waiting")).to_have_count(0, timeout=30_000)
    assert len(lost) >= 3
    expect(rina.locator(".says .words")).to_have_text(["exactly once"])
    assert list(session.scalars(select(Message.body))) == ["exactly once"]


def test_what_is_refused_is_told_and_what_was_typed_is_there_again(
    browse: OpenBrowser, thread: int, session: Session, person: Person
) -> None:
    rina = enter(browse(), "rina", f"/chat/{thread}")
    session.execute(text("insert into message (thread_id, author_id, author, client, body) select :t, :p, 'x', 'n' || n, 'x' from generate_series(1, 60) n"), {"t": thread, "p": person.id})  # fmt: skip
    session.commit()
    say(rina, "One too many")
    expect(rina.locator("#trouble")).to_contain_text("Wait a moment")
    expect(rina.locator("#text")).to_have_value("One too many")


def test_it_works_without_any_script(browse: OpenBrowser, thread: int, session: Session, site: str) -> None:
    page = enter(browse(), "budi", f"/chat/{thread}")
    cookies = page.context.cookies()
    bare = page.context.browser.new_context(base_url=site, java_script_enabled=False)  # type: ignore[union-attr]
    try:
        bare.add_cookies(cookies)  # type: ignore[arg-type]
        plain = bare.new_page()
        plain.goto(f"/chat/{thread}")
        plain.fill("#text", "No script here")
        plain.locator("#say .send").click()
        expect(plain.locator(".says .words")).to_have_text(["No script here"])
        plain.locator("#charted").click()
        expect(plain.locator("figure.hour")).to_be_visible()
        plain.locator(".mine a.change").first.click()
        plain.fill("#text", "No script at all")
        plain.locator("form .primary").first.click()
        expect(plain.locator(".says .words").first).to_have_text("No script at all")
    finally:
        bare.close()


def test_planted_markup_runs_nowhere_in_chat(
    browse: OpenBrowser, thread: int, session: Session, keeper: Person
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    keeper.name = evil
    session.scalars(select(Host)).one().name = evil
    session.commit()
    rina, budi = enter(browse(), "rina", f"/chat/{thread}"), enter(browse(), "budi", f"/chat/{thread}")
    say(budi, evil)
    expect(rina.locator(".says .words")).to_have_text([evil])
    for page in (rina, budi):
        assert page.title() != "owned"
        assert page.locator(".messages img, .messages script").count() == 0
    rina.goto("/chat?q=script")
    assert rina.title() != "owned" and rina.locator("main img").count() == 0


def test_a_picture_goes_out_and_comes_in(browse: OpenBrowser, thread: int, tmp_path: Path) -> None:
    from PIL import Image

    file = tmp_path / "fan.png"
    Image.new("RGB", (300, 200), "teal").save(file)
    rina, budi = enter(browse(390, 844, "dark"), "rina", f"/chat/{thread}"), enter(browse(), "budi", f"/chat/{thread}")
    budi.set_input_files("#picture", file)
    expect(budi.locator("#attached")).to_have_text("fan.png")
    say(budi, "See?")
    expect(rina.locator(".shot img")).to_be_visible()
    rina.wait_for_function("document.querySelector('.shot img').naturalWidth === 300")
    shot(rina, "chat-picture-dark")


def test_a_live_line_that_was_refused_is_tried_again(browse: OpenBrowser, app: Flask, thread: int) -> None:
    app.extensions["hub"]._limit = 0
    rina = enter(browse(), "rina", f"/chat/{thread}")
    budi = enter(browse(), "budi", f"/chat/{thread}")
    say(budi, "Nobody listens yet")
    expect(budi.locator(".says:not(.waiting) .words")).to_have_text(["Nobody listens yet"])
    assert heard(rina) == []
    app.extensions["hub"]._limit = 200
    expect(rina.locator(".says .words")).to_have_text(["Nobody listens yet"], timeout=60_000)


def test_one_jumps_to_what_is_not_read_yet(
    browse: OpenBrowser, thread: int, session: Session, keeper: Person, person: Person
) -> None:
    for n in range(30):
        session.add(
            Message(thread_id=thread, author_id=keeper.id, author="Budi", client=f"n{n}", body=f"word {n}\n" * 3)
        )
        session.commit()
    session.add(Seen(thread_id=thread, person_id=person.id, number=10))
    session.commit()
    phone = enter(browse(390, 844), "rina", f"/chat/{thread}")
    expect(phone.locator("#unread")).to_be_in_viewport()
    expect(phone.locator("#m11")).to_be_in_viewport()
    phone.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(phone.locator(".bottom .count")).to_be_hidden()
