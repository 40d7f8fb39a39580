"""What a TLS certificate says: until when it is good, for whom, from whom, and why one was not believed."""

from __future__ import annotations

import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from domain import clock
from domain.reading import Fact, Measure
from probes.limits import clean

NAMES_SHOWN = 5

# Numbers of OpenSSL's X509_V_ERR_* (x509_vfy.h)
_REASONS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself, and no one we trust vouches for it",
    19: "its chain ends in a certificate authority we do not trust",
    20: "its certificate authority is not one we trust, or the server does not send its intermediate certificates",
    21: "the server does not send the certificates between it and an authority we trust",
    23: "it has been revoked",
    26: "it is not meant for servers",
    62: "it is for another name",
    64: "it is for another address",
    66: "its key is too weak",
    68: "it is signed with too weak a hash",
}


def describe(der: bytes) -> tuple[tuple[Measure, ...], tuple[Fact, ...]]:
    """Expiry in seconds from now (negative when past), subject, issuer and SHA-256 fingerprint.

    A certificate that cannot be read brings nothing.
    """
    try:
        found = x509.load_der_x509_certificate(der)
        left = (found.not_valid_after_utc - clock.now()).total_seconds()
        subject, issuer = found.subject.rfc4514_string(), found.issuer.rfc4514_string()
        fingerprint = found.fingerprint(hashes.SHA256()).hex(":").upper()
    except ValueError:
        return (), ()
    facts = (
        Fact("tls.subject", clean(subject)),
        Fact("tls.issuer", clean(issuer)),
        Fact("tls.fingerprint", fingerprint),
    )
    return (Measure("tls.certificate.expiry", left, "s"),), facts


def names(der: bytes) -> tuple[str, ...]:
    """The host names and addresses a certificate is for, cleaned, at most a handful."""
    try:
        found = x509.load_der_x509_certificate(der).extensions
        subjects = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    listed = [*subjects.get_values_for_type(x509.DNSName)]
    listed += [str(address) for address in subjects.get_values_for_type(x509.IPAddress)]
    return tuple(clean(name, 80) for name in listed[:NAMES_SHOWN])


def distrust(error: ssl.SSLCertVerificationError) -> str:
    """Why a certificate was not believed, as a clause: "it has expired"."""
    return _REASONS.get(error.verify_code, clean(error.verify_message or "it does not check out", 120))
