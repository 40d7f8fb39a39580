"""The pages of logins and of who did what in a real browser: on a desk and on a phone, in both colours and languages."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import vault
from domain import audit
from domain.inventory import Credential, CredentialUse, Host, Person
from tests.webui.cast import OpenBrowser, Town
from tests.webui.test_pages import accessible, enter, evaluate


@pytest.mark.browser
@pytest.mark.parametrize("width, scheme, locale", [(1366, "light", "en-GB"), (390, "dark", "id-ID")])
def test_logins_and_the_record_fit_every_screen(
    busy: Town, person: Person, session: Session, app: Flask, browse: OpenBrowser, database_url: str,
    width: int, scheme: str, locale: str,
) -> None:  # fmt: skip
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    page = enter(browse(width, 844, scheme, locale))
    page.goto("/credentials/new?sort=key")
    page.fill("#name", "Linux fleet")
    page.fill("#username", "pantau")
    page.click("main form button.primary")
    page.wait_for_selector("#public")
    row = session.scalars(select(Credential)).one()
    hosts = session.scalars(select(Host).order_by(Host.id)).all()
    for host in hosts[:5]:
        host.checks[0].credential_id = row.id
        session.add(CredentialUse(credential_id=row.id, host_id=host.id))
    hosts[5].action_credential_id = row.id
    session.commit()
    with psycopg.connect(database_url) as connection:
        audit.write(connection, "login.failed", source="203.0.113.9", on="account:rina", detail={"tried": 12})
        audit.write(connection, "<b>unheard of</b>", person="x" * 200, on="y" * 300, detail={"z" * 200: "w" * 900})
    shots = os.environ.get("SHOTS")
    for number, path in enumerate(
        (
            f"/credentials/{row.id}",
            "/credentials",
            "/credentials/new?sort=fetched",
            "/audit",
            "/audit?what=host&on=host:1",
        )
    ):
        page.goto(path)
        assert evaluate(page, "JSON.stringify(window.violations)") == "[]", path
        assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, path
        assert [rule["id"] for rule in accessible(page)] == [], path
        if shots:
            page.screenshot(path=str(Path(shots) / f"{number}-{width}.png"), full_page=True)
