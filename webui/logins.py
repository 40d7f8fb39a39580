"""What is typed to log in somewhere: read, checked, sealed, and never shown again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sqlalchemy import select

from config import vault
from domain.clock import now
from domain.inventory import Credential, next_id
from domain.reading import Secret
from probes.ssh.session import Refused, private_key
from webui import store
from webui.draft import LONGEST_SECRET, Draft
from webui.forms import Field
from webui.language import gettext

SHORTEST_USM = 8
"""Characters of an SNMP password (RFC 3414, section 11.2)."""
LONGEST_USER = 32
"""Characters of an SNMP user's name (RFC 3414, usmUserName)."""
LONGEST_COMMUNITY = 255
"""Octets of a community: the message it is part of must fit into one datagram."""
NAMES = ("username", "password", "private_key", "passphrase")


@dataclass(frozen=True)
class Login:
    """A login just typed. `kind` is one of inventory.CREDENTIALS; `content` is what gets sealed."""

    kind: str
    username: str
    content: dict[str, str] = field(repr=False)

    def sealed(self, place: str) -> bytes:
        """Sealed for `place`; only the poller opens it."""
        sealer = vault.sealer(store.settings().vault_public)
        return sealer.seal(json.dumps(self.content).encode(), place)


def ask(
    draft: Draft, username: str = "", *, kept: bool = False, kinds: tuple[str, ...] = ("password", "ssh_key")
) -> Login | None:
    """Put the fields of a login into `draft` and read them: None when no secret is typed, or a wrong one.

    With `kept` there is a stored secret already, so that an empty one means to keep it. `kinds` are the kinds
    of credential it may become.
    """
    if "community" in kinds:
        return _ask_snmp(draft, username, kept)
    keys = "ssh_key" in kinds
    name = draft.text(Field("username", gettext("User name"), value=username))
    password = draft.secret(Field("password", gettext("Password"), "secret", autocomplete="new-password"))
    key = passphrase = ""
    if keys:
        key = draft.secret(
            Field(
                "private_key",
                gettext("Or a private key"),
                "key",
                help=gettext("The whole text of the file, such as ~/.ssh/id_ed25519."),
            )
        )
        passphrase = draft.secret(
            Field(
                "passphrase",
                gettext("Passphrase of the key"),
                "secret",
                help=gettext("Only where the key is locked with one."),
                autocomplete="new-password",
            )
        )
    if not (name or password or key.strip() or passphrase) or (kept and not (password or key.strip() or passphrase)):
        return None
    _judge(draft, name, password, key, passphrase)
    if any(draft[each].wrong for each in NAMES if keys or each in NAMES[:2]):
        return None
    if key.strip():
        return Login("ssh_key", name, {"private_key": key.strip() + "\n", "passphrase": passphrase})
    return Login("password", name, {"password": password})


def _ask_snmp(draft: Draft, username: str, kept: bool) -> Login | None:
    """A community, or a user of version 3 with one or two passwords."""
    name = draft.text(
        Field(
            "username",
            gettext("User name of version 3"),
            value=username,
            help=gettext("Empty for a community of version 1 or 2c."),
        ),
        LONGEST_USER,
    )
    password = draft.secret(
        Field("password", gettext("Authentication password, or community"), "secret", autocomplete="new-password")
    )
    passphrase = draft.secret(
        Field(
            "passphrase",
            gettext("Privacy password"),
            "secret",
            help=gettext("Version 3 only: what encrypts."),
            autocomplete="new-password",
        )
    )
    if not (password or passphrase) and (kept or not name):
        return None
    if not password:
        draft.blame("password", gettext("Please enter the authentication password, or the community."))
    elif any(ord(c) < 32 or ord(c) == 127 for c in password):
        draft.blame("password", gettext("This holds characters that cannot be seen."))
    elif not name and len(password.encode()) > LONGEST_COMMUNITY:
        draft.blame("password", gettext("This takes at most %(most)s characters.", most=LONGEST_COMMUNITY))
    elif name and len(password) < SHORTEST_USM:
        draft.blame(
            "password", gettext("Passwords of version 3 have at least %(least)s characters.", least=SHORTEST_USM)
        )
    if passphrase and not name:
        draft.blame("username", gettext("Please tell the user this privacy password belongs to."))
    elif passphrase and len(passphrase) < SHORTEST_USM:
        draft.blame(
            "passphrase", gettext("Passwords of version 3 have at least %(least)s characters.", least=SHORTEST_USM)
        )
    judge_vault(draft, "password")
    if any(draft[each].wrong for each in ("username", "password", "passphrase")):
        return None
    if name:
        return Login("snmp_v3", name, {"password": password, "passphrase": passphrase})
    return Login("community", "", {"password": password})


def judge_vault(draft: Draft, field: str) -> None:
    """Say beside `field` why nothing can be sealed, if that is so."""
    try:
        vault.sealer(store.settings().vault_public)
    except vault.VaultError as error:
        draft.blame(field, str(error))


def keep(login: Login, name: str, row: Credential | None = None) -> Credential:
    """Store `login` as a credential, or as the new secret of `row`; it gets a fresh place each time."""
    credential = row or Credential(id=next_id(store.session()), name=name)
    seal_id = vault.new_place(credential.id)
    credential.name, credential.kind, credential.username = name, login.kind, login.username
    credential.sealed, credential.seal_id = login.sealed(f"credential:{seal_id}"), seal_id
    credential.source, credential.changed_at = "typed", now()
    if row is None:
        store.session().add(credential)
    return credential


def name_for(login: Login) -> str:
    """A name for a credential nobody named: of its user and kind, and not taken yet."""
    taken = set(store.session().scalars(select(Credential.name)))
    if login.kind == "community":
        return free(gettext("SNMP community"), taken)
    what = {"ssh_key": gettext("SSH key"), "snmp_v3": gettext("SNMP user")}.get(login.kind, gettext("password"))
    return free(f"{login.username} ({what})", taken)


def free(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it where another has it."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate


def _judge(draft: Draft, name: str, password: str, key: str, passphrase: str) -> None:
    """Every fault of a login, told beside its field."""
    if not name:
        draft.blame("username", gettext("Please tell the user name to log in with."))
    if key.strip() and password:
        draft.blame("private_key", gettext("Enter either a password or a private key, not both."))
    elif key.strip():
        _judge_key(draft, name, key, passphrase)
    elif passphrase:
        draft.blame("private_key", gettext("Paste the private key that belongs to this passphrase."))
    elif not password:
        draft.blame("password", gettext("Please enter a password or a private key."))
    elif any(ord(c) < 32 or ord(c) == 127 for c in password):
        draft.blame("password", gettext("This holds characters that cannot be seen."))
    judge_vault(draft, "private_key" if key.strip() else "password")


def _judge_key(draft: Draft, name: str, key: str, passphrase: str) -> None:
    start = key.strip()[:40]
    if start.startswith(("ssh-", "ecdsa-", "sk-")):
        sentence = gettext("This is the public half. Paste the private key, which begins with “-----BEGIN”.")
    elif start.startswith("PuTTY-User-Key-File"):
        sentence = gettext("This is a PuTTY key. Export it in PuTTYgen as an OpenSSH key and paste that.")
    else:
        try:
            private_key(Secret(name or "-", private_key=key, passphrase=passphrase))
            return
        except Refused as error:
            locked = "passphrase too" in str(error)
        if locked:
            draft.blame("passphrase", gettext("This key is locked: enter its passphrase too."))
            return
        sentence = (
            gettext("This is not a private key, or its passphrase is wrong.")
            if passphrase
            else gettext("This is not a private key that can be read (OpenSSH or PEM; Ed25519, ECDSA or RSA).")
        )
    draft.blame("private_key", sentence)


__all__ = ["LONGEST_SECRET", "Login", "ask", "free", "judge_vault", "keep", "name_for"]
