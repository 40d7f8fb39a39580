"""SSH keys made here: the private half is sealed at once and never shown, the public half is there to paste."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from domain.clock import now
from domain.inventory import Credential
from domain.reading import Secret
from probes.ssh import certificate
from probes.ssh.certificate import Certificate, NoCertificate
from probes.ssh.session import private_key
from webui.language import lazy_gettext
from webui.logins import Login

SOON = timedelta(days=14)
"""So long before its end a certificate is warned of."""
SENTENCES = (
    lazy_gettext("This is not a certificate: paste the one line of the file that ends in -cert.pub."),
    lazy_gettext("This is not a certificate that can be read (Ed25519, ECDSA or RSA, signed by such a key)."),
    lazy_gettext("This is the public key itself. The certificate is in the file that ends in -cert.pub."),
    lazy_gettext("This certificate is a machine's own, and logs nobody in. Have one made for a user."),
    lazy_gettext("This certificate was made for another key."),
    lazy_gettext("This certificate has ended."),
    lazy_gettext("A secret is fetched from env:SECRET_NAME, file:/path or vault:mount/path#field."),
    lazy_gettext("A variable begins with SECRET_ and has capital letters, digits and underscores."),
    lazy_gettext("A file is told by its whole path, which begins with a slash."),
    lazy_gettext("A place in the vault looks like mount/path#field."),
)
"""What rooms below say in English about what a person typed: here so that it is translated."""
RESTRICTED = "restrict"
"""No forwarding, no terminal, no agent (sshd(8)): a look uses none of them."""


def fresh(username: str) -> Login:
    """A login with a new Ed25519 key; nobody has seen its private half."""
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return Login("ssh_key", username, {"private_key": private.decode(), "passphrase": ""})


def public_half(login: Login) -> str:
    """The public half of a login's key as one line without a comment; empty for what has none."""
    if login.kind != "ssh_key":
        return ""
    key = private_key(
        Secret(login.username, private_key=login.content["private_key"], passphrase=login.content["passphrase"])
    )
    return f"{key.get_name()} {key.get_base64()}"


def authorized(row: Credential) -> str:
    """The line for ~/.ssh/authorized_keys on a watched machine; empty where the public half is not known."""
    return f"{RESTRICTED} {row.public_key} pantau" if row.public_key else ""


def certified(row: Credential) -> Certificate | None:
    """What the certificate of a credential says; None where there is none, or none that can be read."""
    try:
        return certificate.read(row.certificate) if row.certificate else None
    except NoCertificate:
        return None


def wrong_certificate(text: str, public_key: str) -> str:
    """Why this text is no certificate for that key, as a sentence; empty where it is one."""
    try:
        found = certificate.read(text)
    except NoCertificate as error:
        return str(error)
    if public_key and found.public.decode() != public_key:
        return "This certificate was made for another key."
    if found.until is not None and found.until <= now():
        return "This certificate has ended."
    return ""


def ends_soon(until: datetime | None) -> bool:
    """Whether a certificate must be made anew by now."""
    return until is not None and until - now() < SOON
