"""A second factor: codes of an app, codes on paper, and the rule that demands one."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import webkey
from config.vault import VaultError
from domain import clock
from domain.identity import HalfLogin, RecoveryCode, Totp
from domain.inventory import Division, Membership, Person, Setting
from domain.inventory import Session as Opened
from tests.webui.cast import PASSWORD, Visitor
from webui import totp


def seed_of(page: str) -> bytes:
    import base64

    found = re.search(r'<code class="mono breakable">([A-Z2-7 ]+)</code>', page)
    assert found
    return base64.b32decode(found[1].replace(" ", ""))


def code_at(seed: bytes, steps: int = 0) -> str:
    return TOTP(seed, 6, SHA1(), 30).generate(int(clock.now().timestamp()) + 30 * steps).decode()


def with_app(visitor: Visitor) -> tuple[bytes, list[str]]:
    """Set up an app; gives its seed and the recovery codes. The code of this moment is used up."""
    page = "/me/second-factor/app"
    seed = seed_of(visitor.get(page).text)
    answer = visitor.client.post(page, base_url=visitor.base, data={"code": code_at(seed), "csrf": token(visitor)})
    assert answer.status_code == 200, answer.text
    return seed, re.findall(r"<li>((?:\w{4}-){3}\w{4})</li>", answer.text)


def token(visitor: Visitor) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/me").text)
    assert found
    return html.unescape(found[1])


def test_the_codes_are_those_of_the_standard() -> None:
    """RFC 6238 appendix B, the last six of its eight digits."""
    key = b"12345678901234567890"
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert totp._step(key, code, seconds // 30) == seconds // 30
        assert totp._step(key, code, seconds // 30 + 2) is None


def test_after_the_password_comes_the_code(rina: Visitor, app: Flask, session: Session, person: Person) -> None:
    seed, _codes = with_app(rina)
    phone = Visitor(app.test_client())
    half = phone.login("rina")
    assert half.location == "/login/second"
    assert phone.client.get_cookie("pantau-session") is None
    assert phone.get("/").status_code == 302, "half in is not in"
    assert phone.post("/login/second", {"code": "000000"}).status_code == 422
    session.execute(text("update totp set last_step = last_step - 1"))
    session.commit()
    assert phone.post("/login/second", {"code": code_at(seed), "next": "/machines"}).location == "/machines"
    assert phone.get("/").status_code == 200
    session.expire_all()
    assert session.scalars(select(HalfLogin)).all() == []


def test_a_code_opens_once(rina: Visitor, app: Flask, session: Session) -> None:
    seed, _codes = with_app(rina)
    thief = Visitor(app.test_client())
    thief.login("rina")
    assert thief.post("/login/second", {"code": code_at(seed)}).status_code == 422, "the one that confirmed the app"
    assert thief.post("/login/second", {"code": code_at(seed, 1)}).status_code == 303
    again = Visitor(app.test_client())
    again.login("rina")
    for steps in (-1, 0, 1):
        assert again.post("/login/second", {"code": code_at(seed, steps)}).status_code == 422, steps


def test_the_half_login_of_one_browser_is_no_use_in_another_nor_after_ten_minutes(
    rina: Visitor, app: Flask, session: Session
) -> None:
    seed, _codes = with_app(rina)
    assert Visitor(app.test_client()).get("/login/second").location == "/login"
    phone = Visitor(app.test_client())
    phone.login("rina")
    session.execute(text("update half_login set began_at = began_at - :ago"), {"ago": timedelta(minutes=11)})
    session.commit()
    assert phone.get("/login/second").location == "/login"
    assert code_at(seed)


def test_guessing_codes_slows_down(rina: Visitor, app: Flask) -> None:
    with_app(rina)
    thief = Visitor(app.test_client())
    thief.login("rina")
    answers = [thief.post("/login/second", {"code": f"{n:06}"}).status_code for n in range(10)]
    assert answers[:5] == [422] * 5 and answers[-1] == 429


def test_a_recovery_code_opens_once_and_lies_hashed(rina: Visitor, app: Flask, session: Session) -> None:
    _seed, codes = with_app(rina)
    assert len(set(codes)) == 10
    stored = session.scalars(select(RecoveryCode.digest)).all()
    assert len(stored) == 10 and not set(stored) & set(codes)
    for sent, status in ((codes[3].upper().replace("-", " "), 303), (codes[3], 422), (codes[4], 303)):
        phone = Visitor(app.test_client())
        phone.login("rina")
        assert phone.post("/login/second", {"code": sent}).status_code == status
    assert "8 codes are left" in rina.get("/me/second-factor").text


def test_the_table_alone_gives_no_seed(rina: Visitor, app: Flask, session: Session) -> None:
    seed, _codes = with_app(rina)
    kept = session.scalars(select(Totp)).one()
    assert seed not in kept.sealed
    with pytest.raises(VaultError, match="does not open"):
        webkey.Box(bytes(32)).open(kept.sealed, f"totp:{kept.person_id}:{kept.seal_id}")
    with pytest.raises(VaultError, match="does not open"):
        webkey.read(app.config["PANTAU"].web_key).open(kept.sealed, f"totp:99:{kept.seal_id}")


def test_without_the_key_the_page_says_so_and_recovery_codes_still_open(rina: Visitor, app: Flask) -> None:
    seed, codes = with_app(rina)
    app.config["PANTAU"].web_key.unlink()
    phone = Visitor(app.test_client())
    phone.login("rina")
    assert phone.post("/login/second", {"code": code_at(seed, 1)}).status_code == 422
    assert phone.post("/login/second", {"code": codes[0]}).status_code == 303


def test_an_app_is_not_asked_for_before_its_first_code(rina: Visitor, app: Flask) -> None:
    rina.get("/me/second-factor/app")
    wrong = rina.post("/me/second-factor/app", {"code": "000000"})
    assert wrong.status_code == 422 and "not the code of this moment" in wrong.text
    assert Visitor(app.test_client()).login("rina").location == "/"


def test_the_seed_stays_the_same_after_a_wrong_code(rina: Visitor) -> None:
    page = "/me/second-factor/app"
    wrong = rina.post(page, {"code": "000000"})
    seed = seed_of(wrong.text)
    answer = rina.client.post(page, base_url=rina.base, data={"code": code_at(seed), "csrf": token(rina)})
    assert "recovery codes" in answer.text


def test_the_code_proves_who_one_is_where_the_password_would(rina: Visitor, session: Session) -> None:
    seed, _codes = with_app(rina)
    session.execute(text("update session set proved_at = now() - interval '1 hour'"))
    session.commit()
    assert rina.post("/me/second-factor/codes", {}, page="/me").status_code == 403
    assert rina.post("/prove", {"code": code_at(seed, 1)}).status_code == 303
    assert "recovery codes" in rina.post("/me/second-factor/codes", {}, page="/me").text


def test_who_must_have_a_second_factor_is_led_to_it_and_comes_no_further(
    rina: Visitor, budi: Visitor, session: Session
) -> None:
    assert rina.post("/settings/login/second-factor", {"required": "yes"}, page="/settings/login").status_code == 303
    for path in ("/", "/machines", "/people", "/me", "/settings/login"):
        assert rina.get(path).location == "/me/second-factor", path
    assert rina.client.post("/people/new", data={"csrf": token_on(rina)}).status_code == 403
    assert "Set one up to go on" in rina.get("/me/second-factor").text
    assert budi.get("/").status_code == 200, "of those in charge none is demanded"
    seed = seed_of(rina.get("/me/second-factor/app").text)
    rina.client.post("/me/second-factor/app", data={"code": code_at(seed), "csrf": token_on(rina)})
    assert rina.get("/").status_code == 200
    assert rina.post("/me/second-factor/app/remove", {}, page="/me").status_code == 303
    assert rina.get("/").status_code == 200, "the last one is not given away"


def token_on(visitor: Visitor) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/me/second-factor").text)
    assert found
    return found[1]


def test_an_approver_must_have_one_too(budi: Visitor, keeper: Person, session: Session) -> None:
    session.add(Setting(key="second_factor", value={"required": True}))
    session.commit()
    assert budi.get("/").status_code == 200
    keeper.role = "approver"
    session.commit()
    assert budi.get("/").location == "/me/second-factor"


def test_an_administrator_takes_a_lost_factor_away(
    rina: Visitor, budi: Visitor, app: Flask, keeper: Person, session: Session
) -> None:
    with_app(budi)
    page = f"/people/{keeper.id}"
    assert "Take the second factor away" in rina.get(page).text
    assert rina.post(f"{page}/second-factor", {}, page=page).status_code == 303
    assert budi.get("/").status_code == 302
    assert Visitor(app.test_client()).login("budi").location == "/"
    assert session.scalars(select(RecoveryCode)).all() == []


def test_switched_off_between_the_steps_nobody_comes_in(
    budi: Visitor, app: Flask, keeper: Person, session: Session
) -> None:
    seed, _codes = with_app(budi)
    phone = Visitor(app.test_client())
    assert phone.login("budi", PASSWORD).location == "/login/second"
    keeper.active = False
    session.execute(text("delete from session"))
    session.commit()
    assert (
        phone.client.post("/login/second", data={"code": code_at(seed, 1), "csrf": token_door(phone)}).location
        == "/login"
    )
    assert session.scalars(select(Opened)).all() == []


def token_door(visitor: Visitor) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/login").text)
    assert found
    return found[1]


def test_an_approver_of_one_division_alone_must_have_one_too(budi: Visitor, keeper: Person, session: Session) -> None:
    session.add(Setting(key="second_factor", value={"required": True}))
    keeper.memberships.append(Membership(division=Division(name="IT"), role="approver"))
    session.commit()
    assert budi.get("/").location == "/me/second-factor"
