"""What is worth mending about the logins of an installation: told by `pantau doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from domain.inventory import Check, Credential, Setting
from probes.ssh import certificate
from webui import sshkeys

Finding = tuple[str, Literal["ok", "warning", "error"], str, str]
ALMIGHTY = ("root", "toor", "administrator", "admin", "sa", "postgres")
"""Accounts that may do everything where they are; for watching, one that may read is enough."""
SHOWN = 5


def findings(session: Session, zone: str) -> list[Finding]:
    """Coded findings, as config.selfcheck has them."""
    return [*_almighty(session), *_certificates(session, zone), *_old_form(session), *_second_factors(session)]


def _almighty(session: Session) -> Iterator[Finding]:
    """A machine that is taken over sees what is offered to it, and what one account can do elsewhere."""
    bare = func.lower(func.regexp_replace(Credential.username, r"^.*\\|@.*$", "", "g"))
    watching = Credential.id.in_(select(Check.credential_id).where(Check.credential_id.is_not(None)))
    query = select(Credential.name, Credential.username).where(bare.in_(ALMIGHTY), watching)
    found = [f"{name} ({user})" for name, user in session.execute(query.order_by(Credential.name))]
    if found:
        yield (
            "P008", "warning", f"Pantau watches with accounts that may do everything: {_named(found)}.",
            "Make one that may only read: docs/probes tells how for each kind.",
        )  # fmt: skip
    else:
        yield "P008", "ok", "No account Pantau watches with is root or an administrator.", ""


def _certificates(session: Session, zone: str) -> Iterator[Finding]:
    ending = []
    for row in session.scalars(select(Credential).where(Credential.certificate != "").order_by(Credential.name)):
        try:
            until = certificate.read(row.certificate).until
        except certificate.NoCertificate:
            continue
        if until is not None and sshkeys.ends_soon(until):
            ending.append(f"{row.name} ({until.astimezone(ZoneInfo(zone)):%Y-%m-%d})")
    if ending:
        yield (
            "P009", "warning", f"Certificates of SSH keys end soon: {_named(ending)}.",
            "Have them signed anew, and put them in on the page of the credential.",
        )  # fmt: skip
    else:
        yield "P009", "ok", "No certificate of an SSH key ends within 14 days.", ""


def _second_factors(session: Session) -> Iterator[Finding]:
    demanded = session.scalar(select(Setting.value).where(Setting.key == "second_factor")) or {}
    if demanded.get("required"):
        yield "P013", "ok", "Administrators and approvers must have a second factor.", ""
        return
    yield (
        "P013", "warning", "A password alone lets administrators and approvers in.",
        "Demand a second factor of them: the page Logging in.",
    )  # fmt: skip


def _old_form(session: Session) -> Iterator[Finding]:
    old = select(func.count()).select_from(Credential).where(
        Credential.sealed != b"", or_(func.substring(Credential.sealed, 1, 1) != b"\x02", ~Credential.seal_id.contains("/"))
    )  # fmt: skip
    count = session.scalar(old) or 0
    if count:
        yield "P012", "warning", f"{count} secrets are sealed in an earlier form.", "Run: pantau vault rotate"
    else:
        yield "P012", "ok", "Every stored secret is sealed for its own row.", ""


def _named(found: list[str]) -> str:
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
