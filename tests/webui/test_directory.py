"""Passwords that a directory knows: a real slapd, with TLS and without, and what must never open."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from config.settings import Settings, SettingsError, load
from domain.inventory import Person
from tests.ports import free_port
from tests.webui.cast import Visitor
from webui import passwords

BASE = "dc=example,dc=com"
TREE = f"""dn: {BASE}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: uid=siti,{BASE}
objectClass: inetOrgPerson
cn: Siti
sn: Siti
uid: siti
userPassword: what the directory knows

dn: uid=a\\2Cb,{BASE}
objectClass: inetOrgPerson
cn: Odd
sn: Odd
uid: a,b
userPassword: odd
"""


@pytest.fixture
def directory() -> Iterator[int]:
    """A running slapd on loopback; its port."""
    place = Path(tempfile.mkdtemp(prefix="pantau-ldap-"))
    (place / "db").mkdir()
    schema = "\n".join(f"include /etc/ldap/schema/{one}.schema" for one in ("core", "cosine", "inetorgperson"))
    (place / "slapd.conf").write_text(
        f"{schema}\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {place}/pid\nallow bind_v2 bind_anon_cred bind_anon_dn\n"
        f'database mdb\nsuffix "{BASE}"\ndirectory {place}/db\n'
    )
    (place / "tree.ldif").write_text(TREE)
    subprocess.run(
        ["/usr/sbin/slapadd", "-f", f"{place}/slapd.conf", "-l", f"{place}/tree.ldif"], check=True, capture_output=True
    )
    port = free_port()
    server = subprocess.Popen(
        ["/usr/sbin/slapd", "-f", f"{place}/slapd.conf", "-h", f"ldap://127.0.0.1:{port}/", "-d", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def siti(session: Session) -> Person:
    person = Person(login="siti", name="Siti", password_hash="", role="none")
    session.add(person)
    session.commit()
    return person


def pointed(app: Flask, port: int, name: str = f"uid={{login}},{BASE}", scheme: str = "ldap") -> None:
    settings: Settings = app.config["PANTAU"]
    app.config["PANTAU"] = settings.model_copy(update={"ldap_url": f"{scheme}://127.0.0.1:{port}", "ldap_name": name})


def test_whoever_the_directory_knows_comes_in(app: Flask, directory: int, siti: Person, stranger: Visitor) -> None:
    pointed(app, directory)
    assert stranger.login("siti", "not that one").status_code == 422
    assert stranger.login("siti", "what the directory knows").status_code == 303
    assert stranger.get("/").status_code == 200


def test_an_empty_password_which_a_directory_takes_for_nobody_opens_nothing(
    app: Flask, directory: int, siti: Person, stranger: Visitor
) -> None:
    pointed(app, directory)
    assert stranger.login("siti", "").status_code == 422


def test_whoever_has_a_password_here_is_not_asked_for_there(
    app: Flask, directory: int, siti: Person, session: Session, stranger: Visitor
) -> None:
    siti.password_hash = passwords.digest("tidy river wagon moss")
    session.commit()
    pointed(app, directory)
    assert stranger.login("siti", "what the directory knows").status_code == 422
    assert stranger.login("siti", "tidy river wagon moss").status_code == 303


def test_a_name_is_no_way_to_be_somebody_else(
    app: Flask, directory: int, siti: Person, session: Session, stranger: Visitor
) -> None:
    odd = Person(login=f"siti,{BASE}+cn=", name="Odd", password_hash="", role="none")
    session.add(odd)
    session.commit()
    pointed(app, directory, name="uid={login}")
    assert stranger.login(odd.login, "what the directory knows").status_code == 422


def test_nobody_unknown_here_comes_in_by_the_directory(
    app: Flask, directory: int, person: Person, stranger: Visitor
) -> None:
    pointed(app, directory)
    assert stranger.login("siti", "what the directory knows").status_code == 422


def test_no_password_goes_to_a_directory_without_a_good_certificate(
    app: Flask, directory: int, siti: Person, stranger: Visitor
) -> None:
    pointed(app, directory, scheme="ldaps")
    assert stranger.login("siti", "what the directory knows").status_code == 422
    pointed(app, free_port())
    assert stranger.login("siti", "what the directory knows").status_code == 422, "a directory that is away"


def test_the_setting_is_said_to_be_wrong_where_it_is() -> None:
    for given in ({"ldap_url": "http://x"}, {"ldap_url": "ldap://"}, {"ldap_name": "uid=x"}):
        with pytest.raises(SettingsError, match="should"):
            load(**given)
