"""E-mail: one message by SMTP, an incident one conversation, text beside HTML, and no header a host name could forge."""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from html import escape
from typing import Any

from domain.options import option
from domain.reading import Secret
from notifier.channels import words
from notifier.channels.base import Channel, Message, Sending, Sent, Undelivered
from notifier.channels.road import TROUBLES, Road, road
from probes import line as lines
from probes.limits import Meter, clean
from probes.names import is_this_machine
from probes.refusals import digest

USUAL = {"none": 25, "starttls": 587, "tls": 465}
KEPT = 60.0
"""Seconds a connection is kept for the next message."""
MESSAGES = 50
"""The most messages of one connection: servers count."""
COLOURS = {"critical": "#c62828", "warning": "#b26a00", "good": "#2e7d32", "info": "#1565c0"}
_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_DOMAIN = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)*[^\W_](?:[\w-]{0,61}[^\W_])?"
_MAILBOX = re.compile(rf"(?:{_LOCAL}|[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}})@({_DOMAIN}|\[[0-9A-Fa-f:.]+\])")


def _checked(name: str, mailbox: str) -> None:
    local = mailbox.rpartition("@")[0]
    odd = local.startswith(".") or local.endswith(".") or ".." in local
    sentence = f"option '{name}' is an e-mail address like name@example.org, not {clean(mailbox, 60)!r}."
    if len(mailbox) > 254 or not _MAILBOX.fullmatch(mailbox) or odd:
        raise ValueError(sentence)
    try:
        _domain(mailbox)
    except UnicodeError:
        raise ValueError(sentence) from None


@dataclass(frozen=True, slots=True)
class Options:
    """The mail server that takes our mail, and in whose name it is sent."""

    host: str = option("Mail server")
    sender: str = option("Sender address", help="Like pantau@example.org; the server must accept it from us.")
    security: str = option("Security", default="starttls", choices=("starttls", "tls", "none"))
    port: int = option("Port", default=0, low=0, high=65535, help="0: 587, 465 with TLS at once, 25 without any.")
    username: str = option("User name", default="", help="Empty: no login.")
    name: str = option("Sender name", default="Pantau")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.:\[\]-]{1,253}", self.host):
            raise ValueError(f"option 'host' is a host name or an address, not {clean(self.host, 60)!r}.")
        _checked("sender", self.sender)
        lines.check_options("verify", "", self.ca)
        if self.username and self.security == "none" and not is_this_machine(self.host):
            raise ValueError(
                "option 'security' is starttls or tls where there is a login: else the password can be read on the way."
            )

    @property
    def knocks(self) -> int:
        """The port that is connected to."""
        return self.port or USUAL[self.security]


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox."""

    mailbox: str = option("E-mail address")

    def __post_init__(self) -> None:
        _checked("mailbox", self.mailbox)


def deliver(sending: Sending) -> Sent:
    """Hand the message to the mail server. `Sent.ref` is its Message-ID, for the next one to refer to."""
    options: Options = sending.sender
    mail = compose(words.safe(sending.message), options, sending.address)
    with road(sending, listed=(options.host,), own=True) as way:
        post = _Post(way, sending)
        with post.line() as line, way.hop("accepted") as hop:
            way.waiting_for = "the server to take the message"
            hop.detail = post.hand_over(line, mail)
    return Sent(str(mail["Message-ID"]))


def compose(message: Message, options: Options, address: Address) -> EmailMessage:
    """The mail for a safe message: the same at every attempt."""
    home = re.sub(r"[^A-Za-z0-9.-]", "-", _domain(options.sender).strip("[]"))
    mail = EmailMessage(policy=WIRE)
    mail["From"] = _mailbox(options.sender, _header(words.line(options.name, 80)))
    mail["To"] = _mailbox(address.mailbox)
    mail["Subject"] = _header(message.title)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{words.name_of(message.key)}@{home}>"
    if message.thread:
        root = f"<{message.thread}.thread@{home}>"
        last = message.replaces if re.fullmatch(r"<[A-Za-z0-9.@_-]{3,190}>", message.replaces) else root
        mail["In-Reply-To"] = last
        mail["References"] = root if last == root else f"{root} {last}"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notes, please
    mail["X-Auto-Response-Suppress"] = "All"  # the same to Exchange
    mail["List-Id"] = f"<pantau.{home}>"
    if message.severity == "critical":
        mail["Importance"] = "high"
    mail.set_content(words.plain(message))
    mail.add_alternative(page(message), subtype="html")
    return mail


def page(message: Message) -> str:
    """The HTML of a safe message: every text escaped, nothing fetched, no colour that the dark would swallow."""
    rows = "".join(
        f'<tr><td style="padding:4px 16px 4px 0;vertical-align:top;opacity:.75">{escape(row.label)}</td>'
        f'<td style="padding:4px 0;vertical-align:top;word-break:break-word">{_value(row)}</td></tr>'
        for row in words.rows_of(message)
    )
    text = escape(message.text).replace("\n", "<br>\n")
    colour = COLOURS[message.severity]
    button = ""
    if message.url:
        button = (
            f'<p style="margin:24px 0"><a href="{escape(message.url)}" style="background:{colour};color:#ffffff;'
            'padding:12px 20px;border-radius:6px;text-decoration:none;font-weight:bold;display:inline-block">'
            f"{escape(words.word(message, 'open'))}</a></p>"
        )
    return (
        f'<!doctype html>\n<html lang="{escape(message.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        '<meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(message.title)}</title></head>\n"
        '<body style="margin:0;padding:16px;font:16px/1.5 system-ui,-apple-system,Segoe UI,Roboto,sans-serif">\n'
        f'<div style="max-width:600px;border-left:4px solid {colour};padding-left:16px">\n'
        f'<h1 style="font-size:20px;line-height:1.3;margin:0 0 12px;word-break:break-word">{escape(message.title)}</h1>\n'
        f'<p style="margin:0 0 16px">{text}</p>\n'
        f'<table role="presentation" style="border-collapse:collapse">{rows}</table>\n{button}\n</div></body></html>\n'
    )


def _value(row: words.Row) -> str:
    links = [
        f'<a href="{escape(url)}">{escape(row.value if said == url and len(row.links) == 1 else said)}</a>'
        for said, url in row.links
    ]
    if row.links and row.links[0][0] == row.links[0][1]:
        return links[0]
    return " · ".join([escape(row.value), *links]) if row.value else " · ".join(links)


def _header(text: str) -> str:
    """`text` for a header: the library would decode an encoded word in it (RFC 2047), line ends and all."""
    return text.replace("=?", "= ?")


def _mailbox(mailbox: str, name: str = "") -> Mailbox:
    return Mailbox(name, mailbox.rpartition("@")[0], _domain(mailbox))


def _domain(mailbox: str) -> str:
    """The domain as the wire has it (RFC 3490). Raises UnicodeError, a ValueError."""
    domain = mailbox.rpartition("@")[2]
    return domain if domain.isascii() else domain.encode("idna").decode()


@dataclass(slots=True)
class Kept:
    """A connection between two messages."""

    client: _Client
    since: float
    messages: int = 0


class Lines:
    """Connections waiting for the next message, by server and login; one message at a time on each."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Any, ...], list[Kept]] = {}
        self._lock = threading.Lock()

    def take(self, key: tuple[Any, ...]) -> Kept | None:
        """One that waits there, not too old; it is the taker's alone."""
        with self._lock:
            old = [kept for rows in self._waiting.values() for kept in rows if _aged(kept)]
            for rows in self._waiting.values():
                rows[:] = [kept for kept in rows if not _aged(kept)]
            rows = self._waiting.get(key, [])
            found = rows.pop() if rows else None
        for kept in old:
            kept.client.hang_up()
        return found

    def give(self, key: tuple[Any, ...], kept: Kept) -> None:
        """Leave it for the next."""
        kept.since = time.monotonic()
        with self._lock:
            self._waiting.setdefault(key, []).append(kept)

    def close(self) -> None:
        """Hang up everywhere."""
        with self._lock:
            every = [kept for rows in self._waiting.values() for kept in rows]
            self._waiting.clear()
        for kept in every:
            kept.client.hang_up()


def _aged(kept: Kept) -> bool:
    return time.monotonic() - kept.since > KEPT or kept.messages >= MESSAGES


class _Client(smtplib.SMTP):
    """smtplib over a connection that is made elsewhere."""

    def __init__(self, line: socket.socket) -> None:
        greeting = socket.gethostname()
        if "." not in greeting or not re.fullmatch(r"[A-Za-z0-9.-]{1,253}", greeting):
            own = line.getsockname()[0].partition("%")[0]
            greeting = f"[IPv6:{own}]" if ":" in own else f"[{own}]"  # RFC 5321, 4.1.3
        super().__init__(local_hostname=greeting)
        self.sock = line

    def move(self, line: socket.socket) -> None:
        """To TLS: whatever was heard before is forgotten (RFC 3207, 4.2)."""
        self.sock, self.file = line, None
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features, self.does_esmtp = {}, False

    def hang_up(self) -> None:
        """Without a word: a server that is slow to say goodbye would keep us."""
        with contextlib.suppress(OSError):
            self.close()


class _Post:
    """One delivery at the counter."""

    def __init__(self, way: Road, sending: Sending) -> None:
        self._way, self._options = way, sending.sender
        self._password = sending.secret.get("password", "")
        self._address: Address = sending.address
        options: Options = sending.sender
        secret = digest(Secret(username=options.username, password=self._password))
        self._key = (options.host.lower(), options.knocks, options.security, options.ca, secret)
        self._lines = sending.keep.get(("email", "lines"), Lines)

    @contextlib.contextmanager
    def line(self) -> Iterator[_Client]:
        """A connection ready for MAIL, a kept one if it still lives; kept again only where it may be."""
        kept = self._living()
        if kept is None:
            kept = Kept(self._fresh(), time.monotonic())
        try:
            yield kept.client
        except _Refused as refused:
            self._part(kept, refused.live)
            raise
        except BaseException:
            kept.client.hang_up()
            raise
        self._part(kept, True)

    def _part(self, kept: Kept, live: bool) -> None:
        kept.messages += 1
        if live and kept.messages < MESSAGES and not self._way.guard.fired:
            self._lines.give(self._key, kept)
        else:
            kept.client.hang_up()

    def _living(self) -> Kept | None:
        """A kept connection that answers, watched over by this delivery's own deadline."""
        while (kept := self._lines.take(self._key)) is not None:
            line = kept.client.sock
            try:
                assert line is not None  # it was when it was kept
                line.meter = Meter()  # type: ignore[attr-defined]
                line.settimeout(self._way.deadline.check())
                self._way.guard.hold(line)
                with self._way.hop("connect", "the connection of a moment ago") as hop:
                    code = self._say(kept.client.noop)[0]
                    hop.ok = code == 250
                if code == 250:
                    return kept
            except (Undelivered, *TROUBLES):
                pass  # it died of old age: a new one will do
            kept.client.hang_up()
            self._way.guard.let_go()
        return None

    def _fresh(self) -> _Client:
        """A connection of our own: greeted, on TLS where wanted, logged in."""
        options, way = self._options, self._way
        line = way.reach(options.host, options.knocks, tls=options.security == "tls", authority=options.ca)
        client = _Client(line)
        try:
            with way.hop("greeting") as hop:
                way.waiting_for = "the greeting"
                code, text = self._say(client.getreply)
                if code != 220:
                    raise self._no("greets with", code, text, "later")
                hop.detail = clean(text, 80)
                self._ehlo(client)
            if options.security == "starttls":
                self._upgrade(client)
            if options.username:
                with way.hop("login", clean(options.username, 60)):
                    self._login(client)
        except BaseException:
            client.hang_up()
            raise
        return client

    def _upgrade(self, client: _Client) -> None:
        if not client.has_extn("starttls"):
            raise self._way.no("The server does not offer STARTTLS: the mail would be read on the way.", "setup")
        code, text = self._say(lambda: client.docmd("STARTTLS"))
        if code != 220:
            raise self._no("answers STARTTLS with", code, text, "later")
        assert client.sock is not None  # it has just answered
        client.move(self._way.lock(client.sock, self._options.host, self._options.knocks, self._options.ca))
        self._ehlo(client)

    def _ehlo(self, client: _Client) -> None:
        code, text = self._say(client.ehlo)
        if code != 250:
            code, text = self._say(client.helo)
        if code != 250:
            raise self._no("answers EHLO with", code, text, "later")

    def _login(self, client: _Client) -> None:
        """AUTH PLAIN (RFC 4616, in UTF-8), or LOGIN where only that is offered."""
        name, password = self._options.username.encode(), self._password.encode("utf-8", "replace")
        offered = client.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            token = base64.b64encode(b"\0" + name + b"\0" + password).decode()
            code, text = self._say(lambda: client.docmd("AUTH", f"PLAIN {token}"))
        elif "LOGIN" in offered:
            code, text = self._say(lambda: client.docmd("AUTH", "LOGIN"))
            for part in (name, password):
                if code == 334:
                    answer = base64.b64encode(part).decode()
                    code, text = self._say(lambda answer=answer: client.docmd(answer))
        else:
            shown = clean(" ".join(offered), 60) or "no login"
            raise self._way.no(f"The server offers {shown}; PLAIN or LOGIN is needed.", "setup")
        if code != 235:
            raise self._no("refuses the login with", code, text, "later" if 400 <= code < 500 else "setup")

    def hand_over(self, client: _Client, mail: EmailMessage) -> str:
        """MAIL, RCPT, DATA; the server's last word. Raises Undelivered or what the line raises."""
        to = str(mail["To"].addresses[0].addr_spec)
        sender = str(mail["From"].addresses[0].addr_spec)
        extras: list[str] = []
        policy = WIRE
        if not (to.isascii() and sender.isascii()):
            if not client.has_extn("smtputf8"):
                raise _Refused(self._way.no("The server does not take addresses with letters beyond ASCII.", "never"))
            extras, policy = ["SMTPUTF8", "BODY=8BITMIME"], WIRE.clone(utf8=True)
        code, text = self._say(lambda: client.mail(sender, extras))
        if code != 250:
            raise self._refused(client, "does not take mail from us", code, text, "setup")
        code, text = self._say(lambda: client.rcpt(to))
        if code not in (250, 251):
            raise self._refused(client, "does not take mail for this address", code, text, _recipient(text))
        code, text = self._say(lambda: client.data(mail.as_bytes(policy=policy)))
        if code != 250:
            raise self._refused(client, "does not take this message", code, text, "never")
        return f"{code} {clean(text, 120)}"

    def _say(self, what: Any) -> tuple[int, bytes]:
        """One command and its reply; the library's own exceptions as what they mean."""
        try:
            code, text = what()
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, error.smtp_error
        except smtplib.SMTPServerDisconnected:
            raise EOFError from None
        except smtplib.SMTPResponseException as error:
            code, text = error.smtp_code, error.smtp_error
            if code in (500, -1):
                raise self._way.no("What answers there does not speak SMTP.") from None
        if self._way.guard.fired:
            raise TimeoutError
        if not 200 <= code < 600:
            raise self._way.no(f"What answers there does not speak SMTP: it says '{clean(text, 60)}'.")
        return code, text if isinstance(text, bytes) else str(text).encode()

    def _no(self, does: str, code: int, text: bytes, kind: Any) -> Undelivered:
        spoken = clean(text, 160)
        return self._way.no(f"The mail server {does} {code}{f': {spoken}' if spoken else ''}", kind)

    def _refused(self, client: _Client, does: str, code: int, text: bytes, kind: Any) -> _Refused:
        """A no to this message alone; the connection is fit for others after RSET."""
        try:
            live = code != 421 and self._say(client.rset)[0] == 250
        except (Undelivered, *TROUBLES):
            live = False
        spoken = clean(text, 160)
        sentence = f"The mail server {does}: {code}{f' {spoken}' if spoken else ''}"
        return _Refused(self._way.no(sentence, "later" if 400 <= code < 500 else kind), live)


class _Refused(Undelivered):
    """A message refused on a connection that may still be good (`live`)."""

    def __init__(self, why: Undelivered, live: bool = True) -> None:
        super().__init__(str(why), why.kind, why.retry_after)
        self.live = live


def _recipient(text: bytes) -> Any:
    """What a permanent no to RCPT means, by its enhanced code (RFC 3463)."""
    found = re.match(rb"5\.(\d{1,3})\.(\d{1,3})", text)
    subject, detail = (int(found[1]), int(found[2])) if found else (0, 0)
    if subject == 1 and detail in (1, 2, 6, 10):  # no such mailbox, no such domain, moved away, null MX
        return "gone"
    return "setup" if subject == 7 else "never"  # 5.7: not this mailbox, but we, are not wanted


CHANNEL = Channel(
    kind="email",
    label="E-mail",
    deliver=deliver,
    options=Options,
    address=Address,
    secrets={"password": "Password"},
)
