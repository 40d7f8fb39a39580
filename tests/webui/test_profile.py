"""A person's own page, their picture, and the divisions they belong to."""

from __future__ import annotations

import gc
import io
import re
import struct
import zlib

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from domain.identity import Portrait
from domain.inventory import Check, Division, Host, Membership, Person
from tests.webui.cast import OpenBrowser, Town, Visitor
from webui import drawn
from webui.drawn import BadPicture, Cut

DETAILS = {"name": "Rina", "position": "Head of IT", "email": "rina@example.com", "phone": "+62 812 3456 7890", "language": "id", "theme": "dark", "zone": "Asia/Makassar"}  # fmt: skip


def picture(wide: int = 40, high: int = 30, kind: str = "PNG", colour: str = "red", **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (wide, high), colour).save(out, kind, **more)
    return out.getvalue()


def send(visitor: Visitor, file: bytes, name: str = "me.png", **cut: str) -> int:
    data: dict[str, object] = {"picture": (io.BytesIO(file), name), **cut}
    return visitor.post("/me/picture", data, page="/me").status_code


def shown(visitor: Visitor, session: Session, person: Person) -> Image.Image:
    session.expire_all()
    kept = session.get_one(Portrait, person.id)
    answer = visitor.get(f"/people/{person.id}/picture/{kept.stamp}")
    assert answer.status_code == 200
    assert answer.mimetype == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    return Image.open(io.BytesIO(answer.data))


def test_details_are_kept_and_the_page_follows_them(rina: Visitor, person: Person, session: Session) -> None:
    assert rina.post("/me/details", DETAILS, page="/me").status_code == 303
    session.expire_all()
    assert (person.position, person.email, person.phone, person.zone) == ("Head of IT", "rina@example.com", "+62 812 3456 7890", "Asia/Makassar")  # fmt: skip
    page = rina.get("/me").text
    assert 'lang="id"' in page and 'data-theme="dark"' in page and "Head of IT" in page


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"name": ""}, "Please fill in this field."),
        ({"email": "rina"}, "An address looks like"),
        ({"email": "a@b\r\nBcc: c@d"}, "characters that cannot be seen"),
        ({"email": '"<script>"@x.y'}, "An address looks like"),
        ({"phone": "call me"}, "A number looks like"),
        ({"zone": "Mars/Olympus"}, "no such time zone"),
        ({"language": "xx"}, "Please choose one of the values offered."),
    ],
)
def test_faulty_details_are_told_beside_the_field(
    rina: Visitor, person: Person, session: Session, change: dict[str, str], sentence: str
) -> None:
    answer = rina.post("/me/details", {**DETAILS, "language": "en", **change}, page="/me")
    assert answer.status_code == 422 and sentence in answer.text
    session.expire_all()
    assert person.email == ""


def test_another_address_is_taken_only_from_somebody_who_shows_who_they_are(rina: Visitor, session: Session) -> None:
    session.execute(text("update session set proved_at = now() - interval '1 hour'"))
    session.commit()
    assert rina.post("/me/details", DETAILS, page="/me").status_code == 403


def test_machines_and_databases_within_reach_are_counted(
    rina: Visitor, budi: Visitor, keeper: Person, town: Town, session: Session
) -> None:
    mine = town.machine("gudang-01", "10.0.0.1")
    mine.division = session.scalars(select(Division)).one()
    mine.checks += [Check(kind="postgres", name="pg"), Check(kind="redis", name="r", enabled=False)]
    other = town.machine("other", "10.0.0.2")
    other.checks += [Check(kind="mysql", name="m"), Check(kind="http", name="h")]
    session.commit()
    figures = lambda page: page.split('<dd class="big">')[1:3]  # noqa: E731
    assert [one[0] for one in figures(budi.get("/me").text)] == ["1", "1"]
    assert [one[0] for one in figures(rina.get("/me").text)] == ["2", "2"]
    assert session.scalars(select(Host)).all()


def test_a_picture_is_cut_in_the_middle_drawn_anew_and_shown(rina: Visitor, person: Person, session: Session) -> None:
    wide = Image.new("RGB", (400, 100), "blue")
    wide.paste(Image.new("RGB", (100, 100), "red"), (150, 0))
    out = io.BytesIO()
    wide.save(out, "PNG")
    assert send(rina, out.getvalue()) == 303
    image = shown(rina, session, person)
    assert (image.format, image.size) == ("JPEG", (drawn.SIDE, drawn.SIDE))
    for spot in ((5, 5), (250, 250), (128, 128)):
        red, _green, blue = image.getpixel(spot)  # type: ignore[misc]
        assert red > 200 and blue < 60
    assert f"/people/{person.id}/picture/" in rina.get("/me").text
    assert rina.post("/me/picture/remove", {}, page="/me").status_code == 303
    assert f"/people/{person.id}/picture/" not in rina.get("/me").text


def test_the_square_that_was_chosen_is_the_one_that_is_kept(rina: Visitor, person: Person, session: Session) -> None:
    wide = Image.new("RGB", (400, 100), "blue")
    wide.paste(Image.new("RGB", (50, 50), "red"), (300, 50))
    out = io.BytesIO()
    wide.save(out, "PNG")
    assert send(rina, out.getvalue(), x="3.0", y="0.5", size="0.5") == 303
    assert shown(rina, session, person).getpixel((128, 128))[0] > 200  # type: ignore[index]
    for odd in (
        {"x": "nan", "y": "0", "size": "1"},
        {"x": "1e9", "y": "-5", "size": "99"},
        {"x": "", "y": "a", "size": ""},
    ):
        assert send(rina, out.getvalue(), **odd) == 303
        assert shown(rina, session, person).size == (drawn.SIDE, drawn.SIDE)


def test_nothing_of_the_file_but_its_points_is_kept(rina: Visitor, person: Person, session: Session) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at my secret place"
    exif[0x8825] = {1: "S", 2: (6.0, 12.0, 0.0)}
    polyglot = picture(kind="JPEG", exif=exif) + b"<script>alert(1)</script>"
    assert send(rina, polyglot, "x.html") == 303
    kept = session.get_one(Portrait, person.id).image
    assert b"secret place" not in kept and b"script" not in kept
    assert not Image.open(io.BytesIO(kept)).getexif()


def test_a_picture_lying_on_its_side_is_turned_as_the_camera_said(
    rina: Visitor, person: Person, session: Session
) -> None:
    image, exif = Image.new("RGB", (100, 100), "blue"), Image.Exif()
    image.paste(Image.new("RGB", (100, 50), "red"), (0, 0))
    exif[0x0112] = 3
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, quality=95)
    send(rina, out.getvalue())
    assert shown(rina, session, person).getpixel((128, 230))[0] > 200  # type: ignore[index]


def bomb(wide: int, high: int) -> bytes:
    """A PNG that says it has so many points, in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "file",
    [
        b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", b"<html>", b"%PDF-1.4",
        bytes(1000), picture()[:60], picture(kind="BMP"), picture(kind="TIFF"), bomb(60_000, 60_000), bomb(5000, 4001),
        bomb(3, 3)[:40], b"\xff\xd8\xff\xe0" + bytes(500), b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(99),
    ],
)  # fmt: skip
def test_what_is_no_picture_we_take_is_refused_with_a_sentence(
    rina: Visitor, session: Session, person: Person, file: bytes
) -> None:
    answer = rina.post("/me/picture", {"picture": (io.BytesIO(file), "me.svg")}, page="/me")
    assert answer.status_code == 422
    wrong = re.search(r'id="file-wrong">.*?<span>([^<]*)<', answer.text)
    assert wrong and re.search("no picture Pantau can read|Please choose a picture|20 million points", wrong[1])
    assert re.search(r'<input type="file" id="file"[^>]* aria-invalid="true" autofocus>', answer.text)
    assert rina.get("/me/picture").location == "/me"
    assert session.get(Portrait, person.id) is None


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(BadPicture) as refused:
        drawn.square(bomb(5000, 4001))
    assert refused.value.reason == "size"
    with pytest.raises(BadPicture):
        drawn.square(bomb(60_000, 60_000), Cut(0, 0, 1))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the test client leaves its own file open
def test_a_large_picture_is_taken_and_a_larger_one_refused(rina: Visitor, session: Session, person: Person) -> None:
    big = picture(10, 10) + bytes(3 << 20)
    assert send(rina, big) == 303 and session.get(Portrait, person.id) is not None
    large = picture() + bytes(5 << 20)
    assert send(rina, large) == 422
    assert "larger than 5 MiB" in rina.post("/me/picture", {"picture": (io.BytesIO(large), "x")}, page="/me").text
    assert send(rina, picture() + bytes(6 << 20)) == 413
    assert rina.post("/me/details", {**DETAILS, "position": "x" * (2 << 20)}, page="/me").status_code == 413
    gc.collect()


def test_whom_one_may_not_know_has_no_picture(
    app: Flask, rina: Visitor, budi: Visitor, keeper: Person, person: Person, session: Session
) -> None:
    tono = Person(login="tono", name="Tono", password_hash=keeper.password_hash, role="none")
    tono.memberships = [Membership(division=Division(name="HR"), role="staff")]
    session.add(tono)
    session.commit()
    stranger = Visitor(app.test_client())
    stranger.login("tono")
    assert send(stranger, picture()) == 303
    stamp = session.get_one(Portrait, tono.id).stamp
    path = f"/people/{tono.id}/picture/{stamp}"
    assert rina.get(path).status_code == 200
    assert stranger.get(path).status_code == 200
    foreign, missing = budi.get(path), budi.get("/people/999/picture/x")
    assert foreign.status_code == missing.status_code == 404
    bare = lambda page: re.sub(r'name="csrf" value="[^"]+"|name="next" value="[^"]+"|Reference \w+', "", page)  # noqa: E731
    assert bare(foreign.text) == bare(missing.text)
    assert Visitor(app.test_client()).get(path).status_code == 302
    tono.memberships.append(Membership(division_id=keeper.memberships[0].division_id, role="staff"))
    session.commit()
    assert budi.get(path).status_code == 200


def test_a_division_is_made_renamed_and_taken_away_with_what_hangs_on_it(
    rina: Visitor, budi: Visitor, keeper: Person, town: Town, session: Session
) -> None:
    assert budi.get("/divisions").status_code == 403
    made = rina.post("/divisions", {"name": "Keuangan"})
    assert made.status_code == 303
    assert rina.post("/divisions", {"name": "Keuangan"}).status_code == 422
    machine = town.machine("gudang-01", "10.0.0.1")
    gudang = session.scalars(select(Division).where(Division.name == "Gudang")).one()
    machine.division = gudang
    session.commit()
    page = f"/divisions/{gudang.id}"
    assert "gudang-01" in rina.get(page).text and "Budi" in rina.get(page).text
    assert rina.post(page, {"name": "Keuangan"}).status_code == 422
    assert rina.post(page, {"name": "Logistik"}).status_code == 303
    assert "1 machine belongs to it" in rina.get(f"{page}/delete").text
    assert rina.post(f"{page}/delete", {}).status_code == 303
    session.expire_all()
    assert machine.division_id is None and keeper.memberships == []
    assert budi.get(f"/machines/{machine.id}").status_code == 404
    assert rina.get(page).status_code == 404


@pytest.mark.browser
def test_on_a_phone_a_square_is_chosen_and_what_was_chosen_is_kept(
    browse: OpenBrowser, person: Person, session: Session
) -> None:
    from tests.webui.test_pages import enter

    wide = Image.new("RGB", (800, 200), "blue")
    wide.paste(Image.new("RGB", (200, 200), "red"), (600, 0))
    out = io.BytesIO()
    wide.save(out, "PNG")
    page = enter(browse(390, 844))
    page.goto("/me")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_input_files("#file", {"name": "me.png", "mimeType": "image/png", "buffer": out.getvalue()})
    page.wait_for_selector(".cut:visible")
    page.focus(".cut")
    for _ in range(90):
        page.keyboard.press("ArrowRight")
    page.click("[data-portrait] button")
    page.wait_for_selector("img.face")
    session.expire_all()
    kept = Image.open(io.BytesIO(session.get_one(Portrait, person.id).image))
    assert kept.getpixel((128, 128))[0] > 200  # type: ignore[index]
