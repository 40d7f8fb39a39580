"""Certificates for the web server: an authority of this installation's own, or files from elsewhere.

The authority's key stays in the data directory and signs nothing but this server's certificate; its certificate is what
browsers and phones are told to trust (docs/tls.md).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config import files

AUTHORITY = timedelta(days=3650)
SERVER = timedelta(days=397)
"""The longest that browsers accept."""
RENEW = timedelta(days=30)
"""So long before its end a certificate is made anew."""
SKEW = timedelta(days=1)


class TlsError(Exception):
    """The certificate cannot be used; the message is one sentence with the way out."""


@dataclass(frozen=True)
class Pair:
    """Where a certificate (with its chain) and its key lie, PEM both."""

    certificate: Path
    key: Path

    def verify(self) -> None:
        """Raises TlsError where a server could not start with them."""
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(
                f"The certificate {self.certificate} and the key {self.key} cannot be used: {error.strerror or error}."
                " Name a PEM certificate with its chain, and the unlocked key that belongs to it."
            ) from None


def own(directory: Path) -> Pair:
    """Where the certificate lies that this installation makes for itself."""
    return Pair(directory / "server.pem", directory / "server.key")


def authority(directory: Path) -> Path:
    """What browsers are told to trust."""
    return directory / "ca.pem"


def names_of(*given: str) -> list[str]:
    """What a browser may call this machine: what is given, its own names, localhost; each once, addresses too."""
    found = [*given, socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(name.strip("[]").lower() for name in found if name and name not in ("0.0.0.0", "::")))  # noqa: S104


def ensure(directory: Path, names: Iterable[str], at: datetime) -> bool:
    """Make the authority and the server's certificate unless they are there, fit these names and last; True if made."""
    wanted = _alternatives(names)
    directory.mkdir(mode=0o700, exist_ok=True)
    root, root_key = authority(directory), directory / "ca.key"
    made = not (root.exists() and root_key.exists()) or _ends(root) - at < SERVER
    if made:
        _make_authority(root, root_key, at)
    pair = own(directory)
    if not made and pair.certificate.exists() and pair.key.exists():
        kept = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        there = kept.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if kept.not_valid_after_utc - at > RENEW and set(wanted) <= set(there):
            return False
    _make_server(pair, root, root_key, wanted, at)
    return True


def _make_authority(place: Path, key_place: Path, at: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Pantau on {socket.gethostname()}"[:64])])
    built = (
        _begun(name, name, key, at, AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    files.replace(key_place, _pem(key))
    files.replace(place, built.public_bytes(Encoding.PEM), 0o644)


def _make_server(pair: Pair, root: Path, root_key: Path, names: list[x509.GeneralName], at: datetime) -> None:
    signer, issuer = (
        load_pem_private_key(root_key.read_bytes(), None),
        x509.load_pem_x509_certificate(root.read_bytes()),
    )
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(names[0].value)[:64])])
    built = (
        _begun(subject, issuer.subject, key, at, SERVER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    files.replace(pair.key, _pem(key))
    files.replace(pair.certificate, built.public_bytes(Encoding.PEM) + root.read_bytes(), 0o644)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, at: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - SKEW)
        .not_valid_after(at - SKEW + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            try:
                found.append(x509.DNSName(name.encode("idna").decode()))
            except (UnicodeError, ValueError):
                raise TlsError(f"'{name}' is no name a certificate can be made for.") from None
    return found


def _ends(place: Path) -> datetime:
    return x509.load_pem_x509_certificate(place.read_bytes()).not_valid_after_utc


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
