"""What `pantau doctor` says of logins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from domain.inventory import Check, Credential, Host, Setting
from webui import caution


def login(session: Session, username: str, **more: str) -> None:
    """A credential that a check logs in with."""
    row = Credential(
        name=f"c-{username}", kind="password", username=username, sealed=b"\x02" + bytes(60), seal_id="1/x", **more
    )
    host = Host(name=f"h-{username}", address="192.0.2.1")
    host.checks.append(Check(kind="ssh", name="SSH", credential=row))
    session.add(host)
    session.commit()


def said(session: Session, code: str) -> tuple[str, str]:
    """Level and text of one finding."""
    return next((level, text) for found, level, text, _ in caution.findings(session, "Asia/Jakarta") if found == code)


@pytest.mark.parametrize("user", ["root", "Administrator", "CORP\\Administrator", "administrator@corp.example", "sa"])
def test_an_account_that_may_do_everything_is_warned_of(session: Session, user: str) -> None:
    login(session, "pantau")
    assert said(session, "P008")[0] == "ok"
    login(session, user)
    level, text = said(session, "P008")
    assert level == "warning"
    assert user in text
    assert "c-pantau" not in text


def test_a_login_that_nothing_uses_is_not_warned_of(session: Session) -> None:
    session.add(Credential(name="spare", kind="password", username="root", sealed=b"\x02", seal_id="1/x"))
    session.commit()
    assert said(session, "P008")[0] == "ok"


def test_a_certificate_that_ends_soon_is_warned_of_by_its_day(session: Session, tmp_path: Path) -> None:
    for name in ("ca", "k"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    for length, level in (("-1d:+20d", "ok"), ("-1d:+10d", "warning")):
        words = ["-s", str(tmp_path / "ca"), "-I", "x", "-n", "u", "-V", length, str(tmp_path / "k.pub")]
        subprocess.run(["ssh-keygen", "-q", *words], check=True)
        login(session, f"user{level}", certificate=(tmp_path / "k-cert.pub").read_text().strip())
        assert said(session, "P009")[0] == level


def test_a_secret_in_the_first_form_is_told_with_the_command(session: Session) -> None:
    login(session, "pantau")
    assert said(session, "P012")[0] == "ok"
    session.query(Credential).update({"seal_id": "of-before"})
    session.commit()
    assert said(session, "P012")[0] == "warning"


def test_a_password_alone_is_pointed_out_until_a_second_factor_is_demanded(session: Session) -> None:
    told = {one[0]: one[1] for one in caution.findings(session, "Asia/Jakarta")}
    assert told["P013"] == "warning"
    session.add(Setting(key="second_factor", value={"required": True}))
    session.flush()
    told = {one[0]: one[1] for one in caution.findings(session, "Asia/Jakarta")}
    assert told["P013"] == "ok"
