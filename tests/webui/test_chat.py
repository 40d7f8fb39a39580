"""Chat as people use it: threads, writing, reading, searching, pictures, charts; and what foreign people get of it."""

from __future__ import annotations

import io
import json
import re
import secrets
from datetime import timedelta
from itertools import pairwise

import pytest
import requests
from flask import Flask
from PIL import Image
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain import chat, fingerprint
from domain.audit import Audit
from domain.chat import Joint, Mention, Message, Picture, Thread
from domain.clock import now
from domain.inventory import Division, Host, Membership, Person
from domain.recipients import Channel, Linking
from domain.records import Incident
from tests.webui.cast import Town, Visitor
from tests.webui.test_matrix import enter
from webui import chatlines, saying, threads

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(1)> {{7*7}} \"'> javascript:alert(1) \u202e"


@pytest.fixture
def machine(session: Session, keeper: Person) -> Host:
    """A machine of Budi's division."""
    made = Host(name="pc-01", address="10.0.0.1", division_id=keeper.memberships[0].division_id)
    session.add(made)
    session.commit()
    return made


def of(session: Session, **about: int) -> int:
    """The number of the thread about this."""
    ((name, value),) = about.items()
    return session.scalars(select(Thread.id).where(getattr(Thread, name) == value)).one()


def say(visitor: Visitor, thread: int, words: str, client: str = "", **more: object) -> TestResponse:
    """Send the thread's own form."""
    form = {"text": words, "client": client or secrets.token_urlsafe(18), **more}
    return visitor.post(f"/chat/{thread}", form, f"/chat/{thread}")


def png(width: int = 40, height: int = 20) -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    out.seek(0)
    return out


def test_somebody_in_charge_writes_about_a_machine_and_an_administrator_answers(
    rina: Visitor, budi: Visitor, machine: Host, session: Session
) -> None:
    thread = of(session, host_id=machine.id)
    assert budi.get(f"/chat/machine/{machine.id}").location == f"/chat/{thread}"
    sent = say(budi, thread, "The fan is loud.\nCan you look?")
    assert (sent.status_code, sent.location) == (303, f"/chat/{thread}#m1")
    home = rina.get("/").text
    assert re.search(r'data-unread="1">', home)
    listed = rina.get("/chat").text
    assert "pc-01" in listed and "Budi: The fan is loud." in listed
    page = rina.get(f"/chat/{thread}").text
    assert "The fan is loud.\nCan you look?" in page
    assert 'data-unread="1"' in rina.get("/").text, "looking changes nothing"
    assert say(rina, thread, "On my way.").location == f"/chat/{thread}#m2"
    assert 'data-unread="0"' in rina.get("/").text, "whoever answers has read"
    assert 'data-unread="1"' in budi.get("/").text
    read = budi.post(f"/chat/{thread}/read", {"number": "2"}, f"/chat/{thread}")
    assert read.status_code == 303 and 'data-unread="0"' in budi.get("/").text


def test_what_is_sent_again_under_its_name_is_said_once(budi: Visitor, machine: Host, session: Session) -> None:
    thread = of(session, host_id=machine.id)
    places = {say(budi, thread, "Only once", "one-and-the-same").location for _ in range(3)}
    assert places == {f"/chat/{thread}#m1"}
    assert list(session.scalars(select(Message.body))) == ["Only once"]


def test_what_cannot_be_sent_is_told_in_a_sentence_and_nothing_typed_is_lost(
    budi: Visitor, machine: Host, session: Session
) -> None:
    thread = of(session, host_id=machine.id)
    for words, told in (
        ("", "Please write something first."),
        ("x" * 4001, "at most 4000 characters; this one has 4001"),
    ):
        answer = say(budi, thread, words)
        assert answer.status_code == 422 and told in answer.text and words in answer.text
    nameless = say(budi, thread, "Keep me", "!")
    assert nameless.status_code == 422 and "Keep me" in nameless.text
    no_picture = say(budi, thread, "Keep me too", picture=(io.BytesIO(b"<svg onload=alert(1)>"), "x.png"))
    assert no_picture.status_code == 422 and "Keep me too" in no_picture.text and "no picture" in no_picture.text
    assert session.scalars(select(Message)).all() == []


def test_whoever_floods_is_asked_to_wait(budi: Visitor, machine: Host, session: Session, keeper: Person) -> None:
    thread = of(session, host_id=machine.id)
    session.add_all(
        Message(thread_id=thread, author_id=keeper.id, author="Budi", client=f"n{n}", body=str(n))
        for n in range(saying.BUSY)
    )
    session.commit()
    answer = say(budi, thread, "One more")
    assert answer.status_code == 422 and "Wait a moment" in answer.text and "One more" in answer.text


def test_hostile_words_names_and_lines_are_only_words(
    rina: Visitor, budi: Visitor, machine: Host, session: Session, keeper: Person
) -> None:
    thread = of(session, host_id=machine.id)
    keeper.name = machine.name = HOSTILE[:60]
    session.commit()
    say(budi, thread, HOSTILE)
    chat.line(
        session, host_id=machine.id, kind="incident.opened", detail={"incident": 1, "about": HOSTILE, "state": HOSTILE}
    )
    chat.line(session, host_id=machine.id, kind=HOSTILE, detail={"incident": "../x", "text": "%(by)s %s {0}"})
    session.commit()
    pages = [
        rina.get(f"/chat/{thread}"),
        rina.get("/chat"),
        rina.get("/chat?q=script"),
        rina.get(f"/chat/{thread}?at=1"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<img src=x" not in page.text
        assert "49" not in re.findall(r">([^<]*7\*7[^<]*)<", page.text)
    news = rina.get(f"/chat/{thread}/messages?after=0").json
    assert news and all(
        "<script>alert" not in one["html"] and "<img src=x" not in one["html"] for one in news["messages"]
    )
    assert "&lt;script&gt;" in news["messages"][0]["html"]


def test_somebody_named_is_kept_once_and_only_if_they_may_read_it(
    budi: Visitor, machine: Host, session: Session, person: Person
) -> None:
    away = Person(
        login="sari",
        name="Sari",
        password_hash="-",
        memberships=[Membership(division=Division(name="Kasir"), role="pic")],
    )
    gone = Person(login="joko", name="Joko", password_hash="-", role="admin", active=False)
    session.add_all([away, gone])
    session.commit()
    thread = of(session, host_id=machine.id)
    known = {one["login"] for one in budi.get(f"/chat/{thread}/people").json["people"]}  # type: ignore[index]
    assert known == {"budi", "rina"}
    say(budi, thread, "@rina, @Rina and @sari and @joko: mail rina@rina.example.org")
    assert list(session.scalars(select(Mention.person_id))) == [person.id]
    page = budi.get(f"/chat/{thread}").text
    assert page.count('class="named" title="Rina"') == 2 and "Sari" not in page
    say(budi, thread, "write to rina@example.org")
    assert len(list(session.scalars(select(Mention.person_id)))) == 1


def test_ones_own_message_can_be_put_better_for_a_while_and_taken_back(
    budi: Visitor, rina: Visitor, machine: Host, session: Session
) -> None:
    thread = of(session, host_id=machine.id)
    say(budi, thread, "The fna is loud", picture=(png(), "x.png"))
    message = session.scalars(select(Message)).one()
    own = f"/chat/{thread}/messages/{message.id}"
    assert "The fna is loud" in budi.get(own).text
    assert rina.get(own).status_code == 404
    token = re.search(r'name="csrf" value="([^"]+)"', rina.get("/").text)
    assert token
    for path in (own, f"{own}/remove"):
        rina.client.post(path, base_url=rina.base, data={"text": "I said nothing", "csrf": token[1]})
    assert budi.post(own, {"text": "x" * 4001}).status_code == 422
    assert budi.post(own, {"text": "The fan is loud"}).status_code == 303
    page = rina.get(f"/chat/{thread}").text
    assert "The fan is loud" in page and "edited" in page and "fna" not in page
    budi.post(f"{own}/remove", {}, own)
    page = rina.get(f"/chat/{thread}").text
    assert "taken back" in page and "The fan is loud" not in page
    session.expire_all()
    assert session.scalars(select(Picture)).all() == [] and message.body == ""
    kinds = list(session.scalars(select(Audit.what).where(Audit.what.like("chat.%")).order_by(Audit.id)))
    assert kinds == ["chat.edited", "chat.taken_back"]


def test_after_a_while_what_was_said_stands(budi: Visitor, machine: Host, session: Session) -> None:
    thread = of(session, host_id=machine.id)
    say(budi, thread, "It is said")
    session.execute(text("update message set at = now() - interval '16 minutes'"))
    session.commit()
    message = session.scalars(select(Message)).one()
    answer = budi.post(f"/chat/{thread}/messages/{message.id}", {"text": "It never was"})
    assert answer.status_code == 422 and "15 minutes" in answer.text and "It never was" in answer.text
    assert "Change or take back" not in budi.get(f"/chat/{thread}").text


def test_a_picture_is_drawn_anew_and_shown_behind_the_gate(
    app: Flask, budi: Visitor, machine: Host, session: Session
) -> None:
    thread = of(session, host_id=machine.id)
    assert say(budi, thread, "", picture=(png(4000, 500), "evil.svg")).status_code == 303
    shot = session.scalars(select(Picture)).one()
    assert (shot.width, shot.height) == (1600, 200)
    there = f"/chat/{thread}/pictures/{shot.id}"
    assert there in budi.get(f"/chat/{thread}").text
    answer = budi.get(there)
    assert answer.mimetype == "image/jpeg" and "sandbox" in answer.headers["Content-Security-Policy"]
    sari = Person(
        login="sari",
        name="Sari",
        password_hash="-",
        memberships=[Membership(division=Division(name="Kasir"), role="pic")],
    )
    session.add(sari)
    session.commit()
    foreign = enter(app, session, sari)
    assert foreign.get(there).status_code == foreign.get("/chat/1/pictures/99999").status_code == 404
    assert budi.get(f"/chat/{thread + 1}/pictures/{shot.id}").status_code == 404


def test_the_chart_of_the_last_hour_stays_as_it_was(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-01", "10.0.0.5", cpu=0.42)
    thread = of(session, host_id=host.id)
    sent = rina.post(f"/chat/{thread}/chart", {"client": "chart-of-the-hour"}, f"/chat/{thread}")
    assert sent.status_code == 303
    before = rina.get(f"/chat/{thread}").text
    assert '<figure class="hour">' in before and "42" in before
    session.execute(text("delete from raw"))
    session.commit()
    assert rina.get(f"/chat/{thread}").text.count('<svg class="spark"') == before.count('<svg class="spark"') >= 3
    again = rina.post(f"/chat/{thread}/chart", {"client": "another-one"}, f"/chat/{thread}")
    assert again.status_code == 422 and "Nothing was measured" in again.text


def test_search_finds_whole_words_in_what_one_may_read_and_nothing_else(
    app: Flask, budi: Visitor, rina: Visitor, machine: Host, session: Session, person: Person
) -> None:
    other = Host(name="pc-kasir", address="10.0.0.2", division=Division(name="Kasir"))
    session.add(other)
    session.commit()
    say(budi, of(session, host_id=machine.id), "The printer cartridge is empty")
    say(rina, of(session, host_id=other.id), "Another printer cartridge")
    say(rina, of(session, person_id=person.id), "A secret cartridge among administrators")
    assert "2 messages" not in budi.get("/chat?q=cartridge").text
    found = budi.get("/chat?q=cartridge").text
    assert "The printer cartridge is empty" in found and "Another" not in found and "secret" not in found
    assert "3 messages" in rina.get("/chat?q=cartridge").text
    assert "0 messages" in budi.get("/chat?q=cartr").text
    assert budi.get("/chat?q=%27%22%26%7C%21%28%5C").status_code == 200


def test_a_division_an_incident_and_the_administrators_have_their_threads(
    budi: Visitor, rina: Visitor, machine: Host, session: Session, keeper: Person, person: Person
) -> None:
    incident = Incident(subject=f"host:{machine.id}", host_id=machine.id, state="down", since=now(), opened_at=now())
    session.add(incident)
    session.commit()
    own = keeper.memberships[0].division_id
    for path, about in (
        (f"/chat/incident/{incident.id}", {"incident_id": incident.id}),
        (f"/chat/division/{own}", {"division_id": own}),
        ("/chat/administrators", {"person_id": keeper.id}),
    ):
        thread = of(session, **about)
        assert budi.get(path).location == f"/chat/{thread}"
        say(budi, thread, f"About {path}")
        assert f"About {path}" in rina.get(f"/chat/{thread}").text
    foreign = of(session, person_id=person.id)
    assert budi.get(f"/chat/{foreign}").status_code == 404
    assert "The administrators" in budi.get("/chat").text
    assert "Budi with the administrators" in rina.get("/chat").text


def test_an_administrator_who_is_none_any_more_reads_no_words_to_the_administrators(
    app: Flask, budi: Visitor, session: Session, keeper: Person
) -> None:
    vera = Person(login="vera", name="Vera", password_hash="-", role="admin")
    session.add(vera)
    session.commit()
    visitor, thread = enter(app, session, vera), of(session, person_id=keeper.id)
    say(budi, thread, "Between us")
    assert "Between us" in visitor.get(f"/chat/{thread}").text
    vera.role = "operator"
    session.commit()
    assert visitor.get(f"/chat/{thread}").status_code == 404
    assert "Between us" not in visitor.get("/chat?q=between").text
    vera.active = False
    session.commit()
    assert visitor.get("/chat").status_code == 302


def test_lines_are_told_in_the_readers_language(rina: Visitor, machine: Host, session: Session, person: Person) -> None:
    thread = of(session, host_id=machine.id)
    chat.line(
        session, host_id=machine.id, kind="incident.recovered", detail={"incident": 7, "about": "", "lasted": 420}
    )
    session.commit()
    assert "Incident #7: the whole machine is well again after 7 min" in rina.get(f"/chat/{thread}").text
    person.language = "id"
    session.commit()
    assert "Insiden #7: seluruh mesin pulih setelah 7 mnt" in rina.get(f"/chat/{thread}").text
    assert 'data-unread="0"' in rina.get("/").text, "a line is no message to read"


def test_every_line_the_house_writes_has_words() -> None:
    for kind, told in chatlines.SENTENCES.items():
        assert str(told) % chatlines._Places() != kind


def test_a_long_thread_is_read_page_by_page(budi: Visitor, machine: Host, session: Session, keeper: Person) -> None:
    thread = of(session, host_id=machine.id)
    for n in range(threads.PAGE + 40):
        session.add(Message(thread_id=thread, author_id=keeper.id, author="Budi", client=f"n{n}", body=f"word{n}"))
        session.commit()
    page = budi.get(f"/chat/{thread}").text
    assert "word99" in page and "word39<" not in page
    older = re.search(r'href="(/chat/\d+\?before=\d+)"', page)
    assert older
    first = budi.get(older[1]).text
    assert "word39<" in first and "word40<" not in first and "To the newest" in first
    middle = budi.get(f"/chat/{thread}?at=50").text
    assert 'id="m50"' in middle and "To the newest" in middle
    numbers = [int(n) for n in re.findall(r'data-number="(\d+)"', page)]
    assert all(b == a + 1 for a, b in pairwise(numbers))


def test_foreign_and_missing_threads_answer_alike(app: Flask, machine: Host, session: Session) -> None:
    sari = Person(
        login="sari",
        name="Sari",
        password_hash="-",
        memberships=[Membership(division=Division(name="Kasir"), role="pic")],
    )
    session.add(sari)
    session.commit()
    visitor, thread = enter(app, session, sari), of(session, host_id=machine.id)
    for path in ("/chat/{}", "/chat/{}/messages?after=0", "/chat/{}/people", "/chat/{}?at=1"):
        foreign, missing = (visitor.get(path.format(n)) for n in (thread, 987654))
        assert foreign.status_code == missing.status_code == 404
    assert visitor.get(f"/chat/machine/{machine.id}").status_code == 404
    assert "pc-01" not in visitor.get("/chat?with=pc").text
    assert "pc-01" not in visitor.get("/chat").text


def _events(site: str, visitor: Visitor, query: str, headers: dict[str, str] | None = None) -> requests.Response:
    cookie = visitor.client.get_cookie("pantau-session")
    assert cookie
    return requests.get(
        f"{site}/events?{query}", cookies={cookie.key: cookie.value}, headers=headers, stream=True, timeout=60
    )


def _next(lines: object, wanted: str = "chat") -> tuple[str, dict[str, object]]:
    """(id, data) of the next event of that kind."""
    id = name = ""
    for raw in lines:  # type: ignore[attr-defined]
        field, _, value = raw.partition(": ")
        if field == "id":
            id = value
        elif field == "event":
            name = value
        elif field == "data" and name == wanted:
            return id, json.loads(value)
    raise AssertionError("the stream ended")


def test_the_stream_brings_what_is_said_to_whoever_may_hear_it_and_goes_on_where_it_broke(
    app: Flask, site: str, budi: Visitor, rina: Visitor, machine: Host, session: Session
) -> None:
    sari = Person(
        login="sari",
        name="Sari",
        password_hash="-",
        memberships=[Membership(division=Division(name="Kasir"), role="pic")],
    )
    session.add(sari)
    session.commit()
    foreign, thread = enter(app, session, sari), of(session, host_id=machine.id)
    own = of(session, person_id=sari.id)
    query = f"topic=chat:{thread}&topic=chats"
    with _events(site, rina, query) as hers, _events(site, foreign, query + f"&topic=chat:{own}") as theirs:
        told, not_told = (one.iter_lines(chunk_size=1, decode_unicode=True) for one in (hers, theirs))
        next(told), next(not_told)
        say(budi, thread, "Listen")
        id, heard = _next(told)
        assert id == f"{thread}-1" and "Listen" in str(heard["html"]) and heard["number"] == 1
        say(foreign, own, "To the administrators")
        first = _next(not_told)[1]
        assert first["thread"] == own, "of what is not theirs they heard nothing"
        assert _next(told)[1]["thread"] == own, "an administrator hears of it, and of no words of it"
    say(budi, thread, "You were away")
    with _events(site, rina, query, {"Last-Event-ID": id}) as again:
        lines = again.iter_lines(chunk_size=1, decode_unicode=True)
        assert "You were away" in str(_next(lines)[1]["html"])
    with _events(site, foreign, query, {"Last-Event-ID": f"{thread}-0"}) as theirs:
        lines = theirs.iter_lines(chunk_size=1, decode_unicode=True)
        next(lines)
        say(foreign, own, "Once more")
        assert _next(lines)[1]["thread"] == own


def test_a_stream_of_somebody_who_was_put_out_of_the_division_hears_nothing_more(
    site: str, budi: Visitor, rina: Visitor, machine: Host, session: Session, keeper: Person
) -> None:
    thread, own = of(session, host_id=machine.id), of(session, person_id=keeper.id)
    with _events(site, budi, f"topic=chat:{thread}&topic=chat:{own}") as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        next(lines)
        say(rina, thread, "For you")
        assert _next(lines)[1]["thread"] == thread
        session.execute(text("delete from membership"))
        session.commit()
        say(rina, thread, "Not for you")
        say(rina, own, "About your leaving")
        assert _next(lines)[1]["thread"] == own


def test_what_was_not_read_for_long_is_no_call_any_more(
    budi: Visitor, rina: Visitor, machine: Host, session: Session, person: Person
) -> None:
    session.execute(text("update person set created_at = now() - interval '100 days'"))
    session.commit()
    say(budi, of(session, host_id=machine.id), "Hello?")
    assert 'data-unread="1"' in rina.get("/").text
    session.execute(text("update message set at = now() - interval '31 days'"))
    session.execute(text("update thread set said_at = :at where said > 0"), {"at": now() - timedelta(days=31)})
    session.commit()
    assert 'data-unread="0"' in rina.get("/").text


def test_an_administrator_joins_a_thread_to_telegram_by_a_code_and_parts_them(
    rina: Visitor, budi: Visitor, machine: Host, session: Session, person: Person
) -> None:
    thread = of(session, host_id=machine.id)
    there = f"/chat/{thread}/telegram"
    assert budi.get(there).status_code == 403
    assert "no Telegram bot" in rina.get(there).text
    bot = Channel(kind="telegram", name="bot", options={}, seal_id="1")
    session.add(bot)
    session.commit()
    assert rina.post(there, {"channel": "99"}).status_code == 303
    page = rina.post(there, {"channel": str(bot.id)})
    code = re.search(r"/link ([a-z0-9]{5}-[a-z0-9]{5})", page.text)
    assert code
    row = session.scalars(select(Linking)).one()
    assert (row.code, row.thread_id, row.person_id) == (fingerprint.of(code[1]), thread, None)
    session.add(Joint(thread_id=thread, channel_id=bot.id, chat="-100", title="Budi"))
    session.commit()
    assert "also in Telegram" in budi.get(f"/chat/{thread}").text
    assert rina.post(f"{there}/part", {}, there).status_code == 303
    page = budi.get(f"/chat/{thread}").text
    assert "also in Telegram" not in page and "Rina parted this thread from its Telegram chat" in page
    kinds = set(session.scalars(select(Audit.what).where(Audit.what.like("chat.%"))))
    assert kinds == {"chat.code", "chat.parted"}


def test_who_has_it_in_hand_and_maintenance_are_lines_of_their_threads(
    budi: Visitor, machine: Host, session: Session
) -> None:
    incident = Incident(subject=f"host:{machine.id}", host_id=machine.id, state="down", since=now(), opened_at=now())
    session.add(incident)
    session.commit()
    page = f"/incidents/{incident.id}"
    budi.post(f"{page}/acknowledge", {"term": "4h"}, page)
    budi.post(f"{page}/note", {"text": "no line of this"}, page)
    budi.post(f"/machines/{machine.id}/maintenance", {"for": "1h", "note": "a new fan"}, f"/machines/{machine.id}")
    told = budi.get(f"/chat/{of(session, host_id=machine.id)}").text
    assert f"Budi is on incident #{incident.id}" in told
    assert "Budi began maintenance for 1 hr: a new fan" in told and "no line of this" not in told
    assert f"Budi is on incident #{incident.id}" in budi.get(f"/chat/{of(session, incident_id=incident.id)}").text
