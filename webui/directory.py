"""Passwords that a company directory knows (LDAP): asked by logging in there as the person, and by nothing else.

No account of ours is needed there, and nothing of the password is kept. Whoever has a password here is not asked for there.
"""

from __future__ import annotations

import logging
import warnings
from urllib.parse import urlsplit

from config.settings import Settings
from domain.inventory import Person

_log = logging.getLogger("web")
SECONDS = 5
MISSING = "Logins by the directory need the package ldap3. In the checkout: bash .ci/sync .venv --extra ldap"


def right(settings: Settings, person: Person | None, password: str) -> bool:
    """Whether the directory lets `person` in with `password`. An empty password, which directories take for nobody, never."""
    if not settings.ldap_url or not settings.ldap_name or person is None or person.password_hash or not password:
        return False
    try:
        with warnings.catch_warnings():  # its last release calls pyasn1 by old names
            warnings.simplefilter("ignore", DeprecationWarning)
            from ldap3 import NONE, Connection, Server, Tls
            from ldap3.core.exceptions import LDAPException
            from ldap3.utils.dn import escape_rdn
    except ImportError:
        _log.error(MISSING)
        return False
    parts = urlsplit(settings.ldap_url)
    name = settings.ldap_name.replace("{login}", escape_rdn(person.login))
    tls = None if _here(parts.hostname) and parts.scheme == "ldap" else Tls(validate=2, ca_certs_file=_ca(settings))
    server = Server(
        parts.hostname or "", parts.port, use_ssl=parts.scheme == "ldaps", get_info=NONE, connect_timeout=SECONDS, tls=tls
    )  # fmt: skip
    try:
        line = Connection(server, name, password, receive_timeout=SECONDS, raise_exceptions=False, auto_referrals=False)
        try:
            if tls is not None and parts.scheme == "ldap" and not line.start_tls():
                _log.warning("The directory refuses TLS, so no password is sent to it.")
                return False
            return bool(line.bind())
        finally:
            line.unbind()
            if line.socket is not None:  # it leaves one open whose TLS was refused
                line.socket.close()
    except (LDAPException, OSError) as error:
        _log.warning("The directory does not answer: %s.", type(error).__name__)
        return False


def _here(host: str | None) -> bool:
    """This very machine, where no wire is."""
    return host in ("localhost", "127.0.0.1", "::1")


def _ca(settings: Settings) -> str | None:
    return str(settings.ldap_ca) if settings.ldap_ca else None
