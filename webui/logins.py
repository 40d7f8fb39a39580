"""Logins typed into forms: read, checked, sealed at once; what was typed never goes back to a browser."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from config import vault
from domain.inventory import Credential
from domain.reading import Secret
from probes.ssh.session import Refused, private_key
from webui import store
from webui.forms import Field
from webui.language import gettext

LONGEST = 64 * 1024


@dataclass(frozen=True)
class Typed:
    """A login as typed. `secret` is the JSON that is sealed."""

    kind: str
    username: str
    secret: bytes


def fields(username: str = "", wrong: Mapping[str, str] | None = None, required: bool = True) -> list[Field]:
    """User name, private key or password, passphrase. Secrets are always empty."""
    told = wrong or {}
    made = [
        Field("username", gettext("User name"), value=username, required=required),
        Field(
            "private_key",
            gettext("Private key"),
            "lines",
            help=gettext("OpenSSH or PEM, from -----BEGIN to END-----. Leave empty to log in with a password."),
        ),
        Field(
            "secret",
            gettext("Password, or the key's passphrase"),
            "secret",
            help=gettext("Sealed at once and never shown again."),
            autocomplete="new-password",
        ),
    ]
    return [field.amended(field.value, told.get(field.name, "")) for field in made]


def read(form: Mapping[str, str]) -> tuple[Typed | None, dict[str, str]]:
    """The login typed, or what is wrong with it by field."""
    username = form.get("username", "").strip()
    key, secret = form.get("private_key", "").strip()[:LONGEST], form.get("secret", "")[:LONGEST]
    wrong = {}
    if not username or not username.isprintable() or len(username) > 100:
        wrong["username"] = gettext("Please tell the user name to log in with.")
    if not key and not secret:
        wrong["private_key"] = gettext("Please paste a private key, or type a password below.")
    if key:
        try:
            private_key(Secret(username, private_key=key, passphrase=secret))
        except Refused as refused:
            wrong["private_key"] = str(refused)
    if wrong:
        return None, wrong
    value = {"private_key": key, "passphrase": secret} if key else {"password": secret}
    return Typed("ssh_key" if key else "password", username, json.dumps(value).encode()), {}


def seal(secret: bytes, place: str) -> bytes:
    """Sealed for `place` with the installation's public half. Raises vault.VaultError."""
    return vault.sealer(store.settings().vault_public).seal(secret, place)


def keep(typed: Typed, name: str, row: Credential | None = None) -> Credential:
    """A credential of that name with this login, made or changed, in the transaction of the caller."""
    row = row or Credential(name=name)
    row.name, row.kind, row.username, row.source = name, typed.kind, typed.username, "typed"
    row.seal_id = secrets.token_hex(16)
    row.sealed = seal(typed.secret, f"credential:{row.seal_id}")
    store.session().add(row)
    return row


def free_name(wanted: str) -> str:
    """`wanted`, or with a number behind it where a credential has it."""
    taken = set(store.session().scalars(select(Credential.name)))
    candidate, number = wanted, 2
    while candidate in taken:
        candidate, number = f"{wanted} ({number})", number + 1
    return candidate
