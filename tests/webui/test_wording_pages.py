"""Wordings of one's own: tried on what happened, refused where they reach for more, and taken back."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Person
from domain.recipients import Wording
from domain.records import Notice
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate

PAGE = "/wordings/problem/en"


def test_a_wording_is_tried_on_a_real_notice_kept_and_taken_back(
    rina: Visitor, budi: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("db-02 {{ 7*7 }}", "10.0.0.12", "down")
    session.add(Notice(at=town.now, kind="problem", subject=f"host:{host.id}", host_id=host.id, state="down", since=town.now))  # fmt: skip
    session.commit()
    form = {"title": "Watch out: {{ name|upper }}", "body": "At {{ address }}{% if owner %}, {{ owner }}{% endif %}."}
    tried = rina.post(PAGE, {**form, "do": "preview"})
    assert tried.status_code == 200
    assert "Watch out: DB-02 {{ 7*7 }}" in tried.text and "At 10.0.0.12." in tried.text
    assert session.scalars(select(Wording)).all() == []
    assert rina.post(PAGE, form).status_code == 303
    assert rina.post(PAGE, {**form, "title": "Now: {{ name }}"}).status_code == 303
    session.expire_all()
    assert [(row.kind, row.language, row.title) for row in session.scalars(select(Wording))] == [("problem", "en", "Now: {{ name }}")]  # fmt: skip
    assert "worded here" in rina.get("/wordings").text
    assert budi.get(PAGE).status_code == 403
    assert rina.post(PAGE, {"do": "usual"}).status_code == 303
    session.expire_all()
    assert session.scalars(select(Wording)).all() == []


@pytest.mark.parametrize(
    "body",
    ["{{ nothing }}", "{{ name.__class__ }}", "{% for x in name %}{{ x }}{% endfor %}", "{{ ", "{{ 9 ** 9 }}", "", "x" * 5000, "{{ name.mro() }}", "{% if owner %}{{ nothing }}{% endif %}",
     "{{ 'x' * 900000000 }}", "{{ '%900000000s' % 'a' }}", "{{ name.ljust(900000000) }}", "{{ '{:900000000}'.format(1) }}",
     "{%+ for x in name %}{{ x }}{% endfor %}", "{% with a = name ~ name %}{{ a }}{% endwith %}", "{{ self }}",
     "{% filter upper %}x{% endfilter %}", "{{ [name] }}", "{{ name|join(name)|join(name) }}", "{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}"],
)  # fmt: skip
def test_what_reaches_for_more_is_refused_with_a_sentence(rina: Visitor, session: Session, body: str) -> None:
    answer = rina.post(PAGE, {"title": "x", "body": body})
    assert answer.status_code == 422
    assert 'class="wrong"' in answer.text
    assert session.scalars(select(Wording)).all() == []


def test_kinds_and_languages_there_are_none_of_are_not_there(rina: Visitor) -> None:
    for path in ("/wordings/none/en", "/wordings/problem/xx", "/wordings/digest/en"):
        assert rina.get(path).status_code == 404
    for kind in ("recovery", "poller_silent", "flap_stop", "uplink_lost", "reminder", "check_problem"):
        assert rina.get(f"/wordings/{kind}/id").status_code == 200, kind


@pytest.mark.browser
def test_the_pages_of_wordings_are_for_everybody(person: Person, town: Town, browse: OpenBrowser) -> None:
    page = enter(browse(390, 844, "dark", "id-ID"))
    for path in ("/wordings", PAGE):
        page.goto(path)
        assert not accessible(page), path
        assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, path
        assert evaluate(page, "JSON.stringify(window.violations)") == "[]", path
