"""What is wrong with a form: told at the top where the page is long, led to from there, and nothing typed is lost."""

from __future__ import annotations

import re

import pytest
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Credential, Person
from domain.recipients import Rota
from domain.records import Incident
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqNnCaV3Mb4vSxH5Nhp6rZ0vXJ7cdJx3fRb2oZLrPVM"
LONG = [
    ("/people/new", {"login": "Bad Name!", "name": "", "position": "Night shift", "role": "none", "active": "yes"}, ["login", "name"]),
    ("/policies/new", {"name": "", "from": "25:99", "zone": "Nowhere/Here"}, ["name"]),
    ("/sites/new", {"name": "", "address": "Jalan Mawar 5"}, ["name"]),
    ("/maintenance/new", {"target": "", "kind": "once", "note": "New disks"}, ["wrong"]),
    ("/rotas/new", {"name": "", "starts": "", "days": "7", "zone": "Asia/Jakarta"}, ["name"]),
]  # fmt: skip


@pytest.mark.parametrize("path, typed, wrong", LONG)
def test_a_long_form_with_a_fault_says_so_at_its_top_and_leads_to_each_field(
    rina: Visitor, path: str, typed: dict[str, object], wrong: list[str]
) -> None:
    answer = rina.post(path, typed)
    assert answer.status_code == 422
    summary = re.search(r'<section class="note bad wrongs".*?</section>', answer.text, re.DOTALL)
    assert summary is not None
    assert 'tabindex="-1" autofocus' in summary[0]
    assert answer.text.index("wrongs-head") < answer.text.index("<h1>")
    for name in wrong:
        assert f'href="#{name}"' in summary[0]
    for target in re.findall(r'href="#([^"]+)"', summary[0]):
        assert f'id="{target}"' in answer.text
    for text in typed.values():
        assert not text or str(text) in answer.text
    assert "wrongs-head" not in rina.get(path).text


def test_the_summary_has_the_focus_without_a_script_and_its_link_gives_it_to_the_field(
    rina: Visitor, browse: OpenBrowser
) -> None:
    context = browse(390, 844)
    page = context.new_page()
    page.goto("/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/")
    bare = context.browser.new_context(  # type: ignore[union-attr]
        base_url=page.url, java_script_enabled=False, storage_state=context.storage_state(), viewport={"width": 390, "height": 844}
    )  # fmt: skip
    page = bare.new_page()
    page.goto("/people/new")
    page.fill("#login", "Not so")
    page.fill("#name", "Sari")
    page.locator("main form button.primary").click()
    page.wait_for_selector("#wrongs")
    assert page.locator("#wrongs:focus").count() == 1
    assert page.locator("#wrongs").is_visible()
    page.locator('#wrongs a[href="#login"]').click()
    assert page.locator("#login:focus").count() == 1
    assert page.input_value("#name") == "Sari"
    bare.close()


def test_a_short_form_gives_the_focus_to_the_field_itself(rina: Visitor) -> None:
    page = rina.post("/divisions", {"name": ""}).text
    assert "wrongs-head" not in page
    assert re.search(r'id="name"[^>]* aria-invalid="true" autofocus', page)


def test_a_certificate_that_does_not_fit_is_shown_again_as_it_was_typed(rina: Visitor, session: Session) -> None:
    key = Credential(name="Linux", kind="ssh_key", username="pantau", sealed=b"x", seal_id="x", public_key=PUBLIC)
    session.add(key)
    session.commit()
    row, typed = key.id, "ssh-ed25519-cert-v01@openssh.com AAAAnonsense of somebody"
    answer = rina.post(f"/credentials/{row}/certificate", {"certificate": typed}, page=f"/credentials/{row}")
    assert answer.status_code == 422
    assert typed in answer.text
    assert 'href="#certificate"' in answer.text


def test_a_swap_that_cannot_be_is_shown_again_as_it_was_typed(rina: Visitor, person: Person, session: Session) -> None:
    rota = Rota(name="Nights", zone="Asia/Jakarta", starts_at=now(), people=[person.id])
    session.add(rota)
    session.commit()
    typed = {"person": str(person.id), "since": "2031-05-06T10:00", "until": "2031-05-06T09:00"}
    answer = rina.post(f"/rotas/{rota.id}/swap", typed, page=f"/rotas/{rota.id}")
    assert answer.status_code == 422
    assert 'value="2031-05-06T10:00"' in answer.text
    assert 'value="2031-05-06T09:00"' in answer.text
    assert 'href="#since"' in answer.text


def test_what_one_wrote_about_an_incident_that_could_not_be_kept_is_not_lost(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("db-01", "192.0.2.1", "down")
    going = Incident(subject=f"host:{host.id}", host_id=host.id, state="down", since=now(), opened_at=now())
    session.add(going)
    session.commit()
    page = f"/incidents/{going.id}"
    answer = rina.post(f"{page}/close", {"cause": "The cable was loose"}, page="/me")
    assert answer.status_code == 409
    assert "It still goes on" in answer.text
    assert re.search(r'<textarea id="unkept"[^>]*>\s*The cable was loose</textarea>', answer.text)
