"""Letters to one person that carry a link: written here, sealed for the notifier, which alone reads and sends them."""

from __future__ import annotations

import json
import uuid
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import g
from sqlalchemy import select

from config import vault
from config.vault import VaultError
from domain.inventory import Person
from domain.recipients import Channel
from domain.requests import Trial
from webui import store
from webui.language import choose, gettext

KIND = "email"


def channel() -> Channel | None:
    """The way letters go: the first mail server that is set up and on."""
    mine = select(Channel).where(Channel.kind == KIND, Channel.enabled).order_by(Channel.id)
    return store.session().scalar(mine.limit(1))


def send(someone: Person, kind: str, token: str) -> bool:
    """Write to `someone` by mail, in the caller's transaction. False where there is no way or no address.

    The link lies sealed in the table: whoever reads the database cannot open it.
    """
    way = channel()
    if way is None or not someone.email:
        return False
    trial = Trial(id=str(uuid.uuid4()))
    try:
        sealer = vault.sealer(store.settings().notifier_public)
    except VaultError:
        return False
    link = {"link": address(token)}
    trial.sealed = sealer.seal(json.dumps(link).encode(), f"trial:{trial.id}")
    language = someone.language or choose()
    trial.asked = {"channel": way.id, "address": {"mailbox": someone.email}, "language": language, "letter": kind}
    visitor = g.get("person")
    trial.asked_by = visitor.id if visitor else None
    store.session().add(trial)
    store.announce("trial", trial.id)
    return True


def reaches() -> bool:
    """Whether links lead somewhere from other machines: not where they name this very machine."""
    host = urlsplit(store.settings().home()).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def astray() -> str:
    """What to do where they do not."""
    return gettext(
        "Links begin with %(home)s, which opens on the machine Pantau runs on and nowhere else. Start Pantau with"
        " PANTAU_URL set to the address others find it at, and send the invitation again.",
        home=store.settings().home(),
    )


def address(token: str) -> str:
    """Where the link leads: the installation's own address, never what a request called it."""
    return f"{store.settings().home()}/in/{token}"
