"""Places where machines stand: written as people have them, shown to whom they concern, carried by files both ways."""

from __future__ import annotations

import csv
import io

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Division, Host, Person, Site
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate
from webui import coordinates, documents


@pytest.mark.parametrize(
    "typed, place",
    [
        ("-6.2088, 106.8456", (-6.2088, 106.8456)),
        ("-6.2088 106.8456", (-6.2088, 106.8456)),
        ("(-6.2088,106.8456)", (-6.2088, 106.8456)),
        ("-6,2088; 106,8456", (-6.2088, 106.8456)),
        ("-6,2088 106,8456", (-6.2088, 106.8456)),
        ("-6, 107", (-6, 107)),
        ("6°12'31.7\"S 106°50'44.2\"E", (-6.208806, 106.845611)),
        ("6° 12′ 31,7″ LS, 106° 50′ 44,2″ BT", (-6.208806, 106.845611)),
        ("https://www.openstreetmap.org/?mlat=-6.2088&mlon=106.8456#map=17/-6.2/106.8", (-6.2088, 106.8456)),
        ("https://www.openstreetmap.org/#map=17/-6.2088/106.8456", (-6.2088, 106.8456)),
        ("https://www.google.com/maps/place/X/@-6.1,106.1,17z/data=!3m1!4b1!3d-6.2088!4d106.8456", (-6.2088, 106.8456)),
        ("https://maps.google.com/?q=-6.2088,106.8456", (-6.2088, 106.8456)),
        ("geo:-6.2088,106.8456;u=35", (-6.2088, 106.8456)),
    ],
)
def test_coordinates_are_read_as_people_have_them(typed: str, place: tuple[float, float]) -> None:
    assert coordinates.read(typed) == pytest.approx(place, abs=1e-6)
    assert coordinates.read(coordinates.said(*place)) == pytest.approx(place, abs=1e-6)


@pytest.mark.parametrize(
    "typed",
    ["", "here", "91, 0", "0, 181", "1, 2, 3", "6°70'S 106°E", "6°S 7°S", "https://maps.example/", "nan, nan", "1" * 5000, "https://[", "°" * 3000],
)  # fmt: skip
def test_what_is_no_place_on_earth_is_not_guessed_at(typed: str) -> None:
    assert coordinates.read(typed) is None


def test_a_site_is_added_changed_filled_and_deleted(rina: Visitor, town: Town, session: Session) -> None:
    first, second = town.machine("db-02", "10.0.0.12", "down"), town.machine("pc-01", "10.0.1.1")
    form = {"name": "Gudang Cikarang", "address": "Jl. Industri 5", "coordinates": "-6.30, 107.15", "zone": "", "note": ""}  # fmt: skip
    made = rina.post("/sites/new", form)
    assert made.status_code == 303
    site = session.scalars(select(Site)).one()
    assert (site.latitude, site.longitude) == (-6.3, 107.15)
    offered = rina.get(f"/sites/{site.id}?q=db")
    assert "db-02" in offered.text and "pc-01" not in offered.text
    rina.post(f"/sites/{site.id}/machines", {"host": [first.id, second.id]}, page=f"/sites/{site.id}?q=")
    page = rina.get(f"/sites/{site.id}").text
    assert "db-02" in page and "pc-01" in page and "mlat=-6.300000" in page and "geo:-6.3,107.15" in page
    assert "Down: db-02" in rina.get("/sites").text
    assert "Gudang Cikarang" in rina.get(f"/machines/{first.id}").text
    rina.post(f"/sites/{site.id}/machines", {"host": [second.id], "do": "away"}, page=f"/sites/{site.id}")
    session.expire_all()
    assert (first.site_id, second.site_id) == (site.id, None)
    assert rina.post(f"/sites/{site.id}/edit", {**form, "coordinates": "", "zone": "Asia/Makassar"}).status_code == 303
    session.expire_all()
    assert (site.latitude, site.zone) == (None, "Asia/Makassar")
    assert "1 machine stands there" in rina.get(f"/sites/{site.id}/delete").text
    rina.post(f"/sites/{site.id}/delete", {})
    session.expire_all()
    assert session.scalars(select(Site)).all() == [] and first.site_id is None


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"name": ""}, "Please fill in this field."),
        ({"name": "Taken"}, "Another site has this name."),
        ({"coordinates": "somewhere"}, "This is no place on earth."),
        ({"coordinates": "-96, 10"}, "This is no place on earth."),
        ({"zone": "Asia/Nowhere"}, "There is no such time zone"),
        ({"note": "x" * 2001}, "at most 2000 characters"),
    ],
)
def test_a_faulty_site_changes_nothing_and_keeps_what_was_typed(
    rina: Visitor, session: Session, change: dict[str, str], sentence: str
) -> None:
    session.add(Site(name="Taken"))
    session.commit()
    form = {"name": "New", "address": "Kept words", "coordinates": "", "zone": "", "note": ""}
    answer = rina.post("/sites/new", {**form, **change})
    assert answer.status_code == 422
    assert sentence in answer.text and "Kept words" in answer.text
    assert [site.name for site in session.scalars(select(Site))] == ["Taken"]


def test_a_person_sees_the_sites_of_their_own_machines_alone(
    budi: Visitor, rina: Visitor, town: Town, session: Session
) -> None:
    own, other = town.machine("db-02", "10.0.0.12"), town.machine("secret-01", "10.0.0.13")
    own.division = session.scalars(select(Division)).one()
    own.site, other.site = Site(name="Gudang"), Site(name="Hidden")
    session.commit()
    listed = budi.get("/sites").text
    assert "Gudang" in listed and "Hidden" not in listed
    assert budi.get(f"/sites/{own.site.id}").status_code == 200
    hidden, none = budi.get(f"/sites/{other.site.id}"), budi.get("/sites/4711")
    assert (hidden.status_code, none.status_code) == (404, 404)
    assert budi.get("/sites/new").status_code == 403


def test_a_machines_form_takes_its_site_its_division_and_what_to_do(
    rina: Visitor, town: Town, session: Session
) -> None:
    host, site = town.machine("db-02", "10.0.0.12", "down", reason="Silent."), Site(name="Gudang")
    session.add(site)
    session.commit()
    form = {"name": "db-02", "address": "10.0.0.12", "groups": "", "division": "Keuangan", "site": str(site.id), "runbook": "https://wiki.example/db", "note": "", "enabled": "yes"}  # fmt: skip
    assert rina.post(f"/machines/{host.id}/edit", form).status_code == 303
    session.expire_all()
    assert (host.site_id, host.division.name if host.division else "", host.runbook) == (site.id, "Keuangan", "https://wiki.example/db")  # fmt: skip
    page = rina.get(f"/machines/{host.id}").text
    assert 'href="https://wiki.example/db"' in page and "What to do:" in page
    answer = rina.post(f"/machines/{host.id}/edit", {**form, "site": "4711"})
    assert answer.status_code == 422
    assert "Please choose one of the values offered." in answer.text


def test_a_script_in_place_of_what_to_do_is_no_link(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-02", "10.0.0.12", "down", reason="Silent.")
    host.runbook = "javascript:alert(1)"
    session.commit()
    assert 'href="javascript' not in rina.get(f"/machines/{host.id}").text


def test_a_document_carries_sites_and_what_to_do_there_and_back(session: Session) -> None:
    written = """
version: 1
sites:
  - {name: Gudang, address: Jl. Industri 5, latitude: -6.3, longitude: 107.15, zone: Asia/Jakarta}
  - Kantor
hosts:
  - {name: db-02, address: 10.0.0.12, site: Gudang, runbook: Call Rina.}
  - {name: pc-01, address: 10.0.1.1, site: Cabang}
"""
    lines = list(documents.apply(session, documents.parse(written), lambda _secret, _place: b""))
    assert "+ site Gudang" in lines and "+ site Cabang" in lines
    session.commit()
    exported = documents.export(session)
    again = documents.parse(documents.dump(exported))
    assert again == exported
    assert list(documents.apply(session, again, lambda _secret, _place: b"")) == []
    moved = documents.parse(written.replace("-6.3", "-6.4").replace("site: Cabang", "site: Kantor"))
    told = list(documents.apply(session, moved, lambda _secret, _place: b"", prune=True))
    assert "~ site Gudang: latitude -6.3 -> -6.4" in told
    assert "~ host pc-01: site Cabang -> Kantor" in told
    assert "- site Cabang" in told
    with pytest.raises(documents.DocumentError, match="needs 'latitude' and 'longitude'"):
        documents.parse("version: 1\nsites:\n  - {name: X, latitude: 1}\n")


def test_an_imported_table_names_sites_and_undoing_it_takes_new_ones_away(rina: Visitor, session: Session) -> None:
    session.add(Site(name="Gudang"))
    session.commit()
    table = "name,address,lokasi,prosedur\ndb-02,10.0.0.12,Gudang,Call Rina\npc-01,10.0.1.1,Cabang,\n"
    assert rina.post("/import", {"table": table, "do": "apply"}).status_code == 303
    hosts = {host.name: host for host in session.scalars(select(Host))}
    assert hosts["pc-01"].site is not None and hosts["pc-01"].site.name == "Cabang"
    assert hosts["db-02"].runbook == "Call Rina"
    rows = list(csv.DictReader(io.StringIO(rina.get("/import/machines.csv").text.lstrip("\ufeff"))))
    assert [(row["name"], row["site"], row["runbook"]) for row in rows] == [("db-02", "Gudang", "Call Rina"), ("pc-01", "Cabang", "")]  # fmt: skip
    rina.post("/additions/1/undo", {}, page="/additions/1")
    session.expire_all()
    assert [site.name for site in session.scalars(select(Site))] == ["Gudang"]


@pytest.mark.browser
def test_on_a_phone_a_whole_group_is_put_at_a_site(
    person: Person, busy: Town, browse: OpenBrowser, session: Session
) -> None:
    site = Site(name="Gudang Cikarang", latitude=-6.3, longitude=107.15, address="Jl. Industri 5")
    session.add(site)
    session.commit()
    page = enter(browse(390, 844, "dark", "id-ID"))
    for path in ("/sites", "/sites/new", f"/sites/{site.id}", f"/sites/{site.id}/delete"):
        page.goto(path)
        assert not accessible(page), path
        assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.goto(f"/sites/{site.id}")
    page.fill("#q", "gudang")
    page.press("#q", "Enter")
    page.wait_for_selector("input[name=host]:checked")
    page.click("form[action$='/machines'] button.primary")
    page.wait_for_selector("text=pc-01")
    session.expire_all()
    assert len([host for host in session.scalars(select(Host)) if host.site_id == site.id]) == 5
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"
