"""Login codes from an app: RFC 6238 with SHA-1, six digits, thirty seconds, which is what every app understands."""

from __future__ import annotations

import base64
import hmac
import secrets
import uuid
from urllib.parse import quote, urlencode

import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from sqlalchemy import select

from config import webkey
from domain.clock import now
from domain.identity import Totp
from domain.inventory import Person
from webui import store

STEP = 30
DRIFT = 1
"""Steps a clock may be off, either way."""
SEED = 20
"""Bytes: as long as the digest, as RFC 4226 section 4 recommends."""


def of(person_id: int, *, lock: bool = False) -> Totp | None:
    """The app of a person, confirmed or not."""
    query = select(Totp).where(Totp.person_id == person_id)
    return store.session().scalar(query.with_for_update() if lock else query)


def begin(person: Person) -> Totp:
    """A new seed that is not confirmed yet, in the caller's transaction; one that is confirmed stays until then."""
    kept = of(person.id)
    if kept is None:
        kept = Totp(person_id=person.id)
        store.session().add(kept)
    if kept.confirmed_at is None:
        kept.seal_id = str(uuid.uuid4())
        kept.sealed, kept.last_step, kept.made_at = _box().seal(secrets.token_bytes(SEED), _place(kept)), None, now()
    return kept


def seed(row: Totp) -> str:
    """The seed as people type it into an app: base 32, in fours. Raises config.vault.VaultError."""
    text = base64.b32encode(_opened(row)).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def picture(row: Totp, person: Person, place: str) -> str:
    """The seed as a QR code: a `data:` address of an SVG. `place` tells this installation from others in the app."""
    label = quote(f"Pantau:{person.login}" if not place else f"Pantau {place}:{person.login}")
    query = urlencode(
        {"secret": seed(row).replace(" ", ""), "issuer": f"Pantau {place}".strip(), "digits": 6, "period": STEP}
    )
    code = segno.make(f"otpauth://totp/{label}?{query}", error="m", micro=False)
    return str(code.svg_data_uri(scale=5, border=4, dark="#000", light="#fff"))


def accept(person_id: int, typed: str, *, confirming: bool = False) -> bool:
    """Whether `typed` is a code of now that was not taken before; then it is taken, in the caller's transaction.

    The row is locked: of two who send the same code at once, one is let in.
    """
    row = of(person_id, lock=True)
    if row is None or (row.confirmed_at is None) != confirming:
        return False
    digits = "".join(typed.split())
    found = _step(_opened(row), digits, int(now().timestamp()) // STEP)
    if found is None or (row.last_step is not None and found <= row.last_step):
        return False
    row.last_step = found
    if confirming:
        row.confirmed_at = now()
    return True


def _step(key: bytes, digits: str, current: int) -> int | None:
    """The step whose code `digits` is, near the current one. Every candidate is compared, whichever fits."""
    maker, found = HOTP(key, 6, SHA1()), None  # noqa: S303 - the algorithm of the RFC
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(maker.generate(step), digits.encode()):
            found = step
    return found


def _opened(row: Totp) -> bytes:
    return _box().open(row.sealed, _place(row))


def _place(row: Totp) -> str:
    return f"totp:{row.person_id}:{row.seal_id}"


def _box() -> webkey.Box:
    return webkey.read(store.settings().web_key)
