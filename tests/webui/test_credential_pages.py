"""What can be done with a login: have its key made, certify it, keep it elsewhere, see where it is used, try it."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import vault
from domain.audit import Audit
from domain.clock import now
from domain.inventory import Check, Credential, CredentialUse, Host
from domain.requests import Look
from tests.webui.cast import Town, Visitor


@pytest.fixture
def opener(app: Flask) -> vault.Opener:
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    return vault.opener(settings.vault_key)


def made(rina: Visitor, session: Session) -> Credential:
    answer = rina.post("/credentials/new?sort=key", {"name": "fleet", "username": "pantau"})
    assert answer.status_code == 303, answer.text
    return session.scalars(select(Credential).where(Credential.name == "fleet")).one()


def test_a_key_made_here_shows_its_public_half_alone(
    rina: Visitor, session: Session, opener: vault.Opener, town: Town
) -> None:
    row = made(rina, session)
    private = json.loads(opener.open(row.sealed, vault.place("credential", row.id, row.seal_id)))["private_key"]
    key = load_ssh_private_key(private.encode(), None)
    assert key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() == row.public_key
    page = unescape(rina.get(f"/credentials/{row.id}").text)
    assert f"restrict {row.public_key} pantau" in page
    body = "".join(private.split("\n")[1:-2])
    for path in (f"/credentials/{row.id}", "/credentials", "/audit"):
        assert not any(part in rina.get(path).text for part in (body, body[100:140], "PRIVATE KEY-----"))
    assert session.scalars(select(Audit).where(Audit.what == "credential.key_made")).one().detail["name"] == "fleet"


def test_a_key_without_a_name_or_user_is_not_made(rina: Visitor, session: Session, opener: vault.Opener) -> None:
    made(rina, session)
    for typed in ({"name": "x", "username": ""}, {"name": "", "username": "x"}, {"name": "fleet", "username": "x"}):
        assert rina.post("/credentials/new?sort=key", typed).status_code == 422
    assert len(session.scalars(select(Credential)).all()) == 1


def certificate(tmp_path: Path, public: str, length: str) -> str:
    (tmp_path / "k.pub").write_text(public + "\n")
    (tmp_path / "ca").unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "ca")], check=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "fleet-key", "-n", "pantau", "-V", length, str(tmp_path / "k.pub")],
        check=True,
    )  # fmt: skip
    return (tmp_path / "k-cert.pub").read_text()


def test_a_certificate_is_kept_with_its_key_and_warned_of_two_weeks_before_its_end(
    rina: Visitor, session: Session, opener: vault.Opener, tmp_path: Path
) -> None:
    row = made(rina, session)
    path, page = f"/credentials/{row.id}/certificate", f"/credentials/{row.id}"
    assert rina.post(path, {"certificate": certificate(tmp_path, row.public_key, "-1h:+15d")}, page).status_code == 303
    assert "fleet-key" in rina.get(page).text
    assert "ends soon" not in rina.get(page).text
    rina.post(path, {"certificate": certificate(tmp_path, row.public_key, "-1h:+13d")}, page)
    assert "ends soon" in rina.get(page).text
    assert "Certificate ends" in rina.get("/credentials").text
    other = (
        made_elsewhere(tmp_path),
        certificate(tmp_path, row.public_key, "-2h:-1h"),
        row.public_key,
        "nonsense <script>",
    )
    for typed, sentence in zip(
        other, ("another key", "has ended", "public key itself", "not a certificate"), strict=True
    ):
        answer = rina.post(path, {"certificate": typed}, page)
        assert answer.status_code == 422
        assert sentence in unescape(answer.text)
    session.refresh(row)
    assert row.certificate
    rina.post(path, {"certificate": ""}, page)
    session.refresh(row)
    assert row.certificate == ""


def made_elsewhere(tmp_path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    return certificate(tmp_path, (tmp_path / "other.pub").read_text().strip(), "-1h:+1h")


def test_another_key_forgets_the_certificate_of_the_one_before(
    rina: Visitor, session: Session, opener: vault.Opener, tmp_path: Path
) -> None:
    row = made(rina, session)
    page = f"/credentials/{row.id}"
    rina.post(f"{page}/certificate", {"certificate": certificate(tmp_path, row.public_key, "-1h:+1d")}, page)
    before = row.public_key
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "new")], check=True)
    typed = {"name": "fleet", "username": "pantau", "private_key": (tmp_path / "new").read_text()}
    assert rina.post(page, typed).status_code == 303
    session.refresh(row)
    assert row.certificate == ""
    assert row.public_key != before
    assert row.public_key in (tmp_path / "new.pub").read_text()


def test_a_secret_kept_elsewhere_is_only_a_place(rina: Visitor, session: Session, opener: vault.Opener) -> None:
    typed = {"name": "db", "kind": "password", "username": "pantau", "source": "vault:secret/prod/db#password"}
    assert rina.post("/credentials/new?sort=fetched", typed).status_code == 303
    row = session.scalars(select(Credential)).one()
    assert (row.fetched_from, row.sealed, row.kind) == ("vault:secret/prod/db#password", b"", "password")
    assert "fetched from vault:secret/prod/db#password" in rina.get("/credentials").text
    assert rina.post(f"/credentials/{row.id}", typed | {"source": "env:SECRET_DB"}).status_code == 303
    session.refresh(row)
    assert row.fetched_from == "env:SECRET_DB"
    for wrong in ("env:DATABASE_URL", "file:etc/passwd", "vault:x", "s3cret", ""):
        assert rina.post(f"/credentials/{row.id}", typed | {"source": wrong}).status_code == 422, wrong
    assert rina.post(f"/credentials/{row.id}", typed | {"kind": "snmp_v3"}).status_code == 422


def test_the_page_says_which_machines_use_it_for_what_and_when(
    rina: Visitor, session: Session, opener: vault.Opener, town: Town
) -> None:
    row = made(rina, session)
    hosts = [town.machine(f"m{n}", f"10.0.0.{n}") for n in range(3)]
    hosts[0].checks[0].credential_id = row.id
    hosts[1].action_credential_id = row.id
    session.add(CredentialUse(credential_id=row.id, host_id=hosts[0].id, last_at=now() - timedelta(minutes=3)))
    session.add(CredentialUse(credential_id=row.id, host_id=hosts[2].id))
    session.commit()
    page = rina.get(f"/credentials/{row.id}").text
    assert "Used by 3 machines" in page
    part = page[page.index("Used by 3 machines") : page.index("Try it at")]
    assert re.search(
        r"m0</a>.*?SSH.*?last used.*?m1</a>.*?to restart it.*?not used yet.*?m2</a>.*?not any more", part, re.S
    )
    refused = rina.post(f"/credentials/{row.id}/delete", {}, page=f"/credentials/{row.id}")
    assert refused.status_code == 409
    assert "m1" in refused.text
    assert "m2" not in refused.text


def test_it_is_tried_at_a_machine_and_that_is_on_record(
    rina: Visitor, session: Session, opener: vault.Opener, town: Town
) -> None:
    row, host = made(rina, session), town.machine("m1", "10.0.0.1")
    host.checks[0].options = {"port": 2222}
    session.commit()
    page = f"/credentials/{row.id}"
    assert f'value="{host.id}:ssh"' in rina.get(page).text
    answer = rina.post(f"{page}/test", {"at": f"{host.id}:ssh"}, page)
    assert answer.status_code == 303
    look = session.scalars(select(Look)).one()
    assert answer.location.endswith(look.id)
    assert look.asked["credential_id"] == row.id
    assert look.asked["options"] == {"port": 2222}
    told = session.scalars(select(Audit).where(Audit.what == "credential.tested")).one()
    assert (told.on, told.detail["machine"]) == (f"credential:{row.id}", "m1")
    for at in ("999:ssh", f"{host.id}:icmp", f"{host.id}:nothing", "", "x:ssh"):
        assert rina.post(f"{page}/test", {"at": at}, page).status_code == 404


def test_a_machine_has_a_login_for_restarting_apart_from_its_checks(
    rina: Visitor, session: Session, opener: vault.Opener, town: Town
) -> None:
    row, host = made(rina, session), town.machine("m1", "10.0.0.1")
    typed = {"name": "m1", "address": "10.0.0.1", "enabled": "yes", "action": str(row.id)}
    assert rina.post(f"/machines/{host.id}/edit", typed).status_code == 303
    session.refresh(host)
    assert host.action_credential_id == row.id
    assert rina.post(f"/machines/{host.id}/edit", typed | {"action": "999"}).status_code == 422
    rina.post(f"/machines/{host.id}/edit", typed | {"action": ""})
    session.refresh(host)
    assert host.action_credential_id is None
    assert session.scalars(select(Check.credential_id).where(Check.host_id == host.id)).all() == [None]


def test_a_stale_proof_of_who_one_is_opens_no_credential(
    rina: Visitor, session: Session, opener: vault.Opener, town: Town
) -> None:
    row = made(rina, session)
    session.execute(text("update session set proved_at = now() - interval '20 minutes'"))
    session.commit()
    for path in (f"/credentials/{row.id}", "/credentials/new", f"/credentials/{row.id}/delete"):
        assert "/prove" in str(rina.get(path).location)
    assert rina.get("/credentials").status_code == 200
    assert session.scalars(select(Host.id)).all() == []
