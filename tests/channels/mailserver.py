"""An SMTP server on loopback that records what it takes: aiosmtpd, with TLS and logins where wanted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "pantau", "s3kret-pässwort"


@dataclass
class Mail:
    """One mail as it was taken."""

    sender: str
    to: list[str]
    raw: bytes
    login: object

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.raw, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class Office:
    """What the server has seen. `refuse` maps a command (MAIL, RCPT, DATA) to what it is answered."""

    port: int = 0
    taken: list[Mail] = field(default_factory=list)
    connections: int = 0
    logins: int = 0
    noops: int = 0
    refuse: dict[str, str] = field(default_factory=dict)

    async def handle_EHLO(
        self, server: Any, session: Session, envelope: Envelope, hostname: str, responses: Any
    ) -> Any:
        if not getattr(session, "counted", False):
            self.connections += 1
            session.counted = True  # type: ignore[attr-defined]
        session.host_name = hostname
        return responses

    async def handle_NOOP(self, server: Any, session: Session, envelope: Envelope, arg: str) -> str:
        self.noops += 1
        return self.refuse.get("NOOP", "250 OK")

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:
        if "MAIL" in self.refuse:
            return self.refuse["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:
        if "RCPT" in self.refuse:
            return self.refuse["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken.append(Mail(str(envelope.mail_from), list(envelope.rcpt_tos), content, session.auth_data))
        return "250 2.0.0 queued as 42"

    def check(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """One login."""
        self.logins += 1
        assert isinstance(data, LoginPassword)
        good = data.login == USER.encode() and data.password == PASSWORD.encode()
        return AuthResult(success=good, handled=good, auth_data=USER if good else None)


class _Controller(Controller):
    """On whichever port is free."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        super()._trigger_server()


@contextlib.contextmanager
def office(
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    login: bool = False,
    utf8: bool = False,
    without: tuple[str, ...] = (),
) -> Iterator[Office]:
    """A running server. `without` are login mechanisms it does not offer."""
    seen = Office()
    controller = _Controller(
        seen,
        hostname="127.0.0.1",
        port=0,
        loop=asyncio.new_event_loop(),
        ssl_context=tls,
        server_hostname="mail.test",
        tls_context=starttls,
        require_starttls=starttls is not None,
        auth_required=False,  # else it warns where TLS is not of its own making; the login is asserted instead
        auth_require_tls=False,
        authenticator=seen.check if login else None,
        auth_exclude_mechanism=without,
        enable_SMTPUTF8=utf8,
    )
    controller.start()
    try:
        seen.port = controller.port
        yield seen
    finally:
        controller.stop()
