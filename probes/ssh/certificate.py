"""OpenSSH certificates (PROTOCOL.certkeys): what an authority says a key may do, and until when."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import paramiko
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

LONGEST = 32 << 10
FOR_EVER = 2**64 - 1


class NoCertificate(ValueError):
    """It cannot be used as a certificate; the message is one sentence."""


@dataclass(frozen=True)
class Certificate:
    """A certificate for logging in. `until` is None for one that never ends; no `people` means any user name."""

    blob: bytes
    public: bytes
    key_id: str
    serial: int
    people: tuple[str, ...]
    since: datetime | None
    until: datetime | None


def read(text: str) -> Certificate:
    """The certificate in the text of a `-cert.pub` file. Raises NoCertificate."""
    words = text.split()
    if len(text) > LONGEST or len(words) < 2 or "\n" in text.strip():
        raise NoCertificate("This is not a certificate: paste the one line of the file that ends in -cert.pub.")
    try:
        found = load_ssh_public_identity(" ".join(words[:2]).encode())
        blob = base64.b64decode(words[1], validate=True)
    except Exception:  # noqa: BLE001 - the border of a foreign parser given a person's text: it may raise anything
        raise NoCertificate(
            "This is not a certificate that can be read (Ed25519, ECDSA or RSA, signed by such a key)."
        ) from None
    if not isinstance(found, SSHCertificate):
        raise NoCertificate("This is the public key itself. The certificate is in the file that ends in -cert.pub.")
    if found.type is not SSHCertificateType.USER:
        raise NoCertificate("This certificate is a machine's own, and logs nobody in. Have one made for a user.")
    people = tuple(name.decode(errors="replace") for name in found.valid_principals)
    return Certificate(
        blob,
        found.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        found.key_id.decode(errors="replace"),
        found.serial,
        people,
        _moment(found.valid_after),
        _moment(found.valid_before),
    )


def attach(text: str, key: paramiko.PKey) -> None:
    """Let `key` show this certificate at login. Raises NoCertificate where it is none, or another key's."""
    found = read(text)
    if base64.b64decode(found.public.split()[1]) != key.asbytes():
        raise NoCertificate("The certificate of this credential does not belong to its key.")
    try:
        key.load_certificate(paramiko.Message(found.blob))
    except (ValueError, paramiko.SSHException):
        raise NoCertificate("The certificate of this credential does not belong to its key.") from None


def _moment(seconds: int) -> datetime | None:
    """Seconds since 1970 as they stand in it: 0 is always, all ones never; what no calendar reaches is never too."""
    if seconds in (0, FOR_EVER):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
