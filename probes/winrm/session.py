"""One login to one Windows machine, and what may be asked of it through that: no shell."""

from __future__ import annotations

import importlib.util
import os
import ssl
import struct
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import requests
import spnego.exceptions
import urllib3.exceptions
from winrm.exceptions import InvalidCredentialsError, WinRMError, WinRMTransportError

from domain.reading import FailureKind, Secret
from probes.limits import Deadline, Guard, TooLate, TooMuch
from probes.names import Place
from probes.winrm import answer, envelope
from probes.winrm.answer import Fault, NotAnAnswer, Row
from probes.winrm.envelope import Message, Query
from probes.winrm.line import HungUp, Line, Login, Stop, Way, WrongLogin, shown_text

OPERATION = 20.0
"""The longest the machine may work on one query, in seconds: its own MaxTimeout is 60."""
PAGES = 512
"""The most pages of one query; the deadline and the count of bytes end it before that."""
ACCESS_DENIED = {5, 0x80070005, 0x80041003, 0x80338012}
"""ERROR_ACCESS_DENIED, E_ACCESSDENIED, WBEM_E_ACCESS_DENIED, ERROR_WSMAN_ACCESS_DENIED."""
TIMED_OUT = 0x80338029
"""ERROR_WSMAN_OPERATION_TIMEDOUT."""


class Session:
    """A login that is kept. Not for two threads at once: sealing counts its messages."""

    def __init__(
        self, places: tuple[Place, ...], host: str, port: int, secret: Secret, login: Login,
        context: ssl.SSLContext | None, pinned: tuple[str, ...], kerberos_host: str = "",
    ) -> None:  # fmt: skip
        if login == "basic" and context is None:
            raise Stop(
                FailureKind.UNTRUSTED,
                "Basic over http would send the password for everybody to read: use HTTPS (port 5986), or NTLM.",
            )
        if login == "kerberos":
            _ticket()
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if context is not None else "http"
        self.line = Line(places, port, context, pinned, host)
        self.to = f"{scheme}://{shown}:{port}/wsman"
        self._way = Way(self.line, self.to, secret.username, secret.password, login, kerberos_host)
        self.used = time.monotonic()
        self.product = ""

    def begin(self, deadline: Deadline, guard: Guard) -> None:
        """A new look."""
        self.line.begin(deadline, guard)

    def log_in(self) -> None:
        """Log in, and learn who is there. Raises Stop, TooLate, TooMuch, NotAnAnswer and what `post` raises."""
        try:
            self.product = answer.identity(self._send(envelope.identify())).text("ProductVersion", 80)
        except Fault as fault:
            if is_denied(fault):
                raise
            self.product = ""  # it speaks WS-Management and will not say more
        self.line.settled = True

    def select(self, query: Query) -> list[Row]:
        """All rows of a query, in one post for most. Raises Fault, NotAnAnswer and what `post` raises."""
        sent = envelope.enumeration(self.to, query, self._patience())
        page = answer.page(self._send(sent), sent.id)
        rows = list(page.rows)
        for _ in range(PAGES):
            if not page.context:
                return rows
            sent = envelope.pull(self.to, query, page.context, self._patience())
            page = answer.page(self._send(sent), sent.id)
            rows += page.rows
        sent = envelope.release(self.to, query, page.context, self._patience())
        answer.released(self._send(sent), sent.id)
        raise NotAnAnswer(f"has more than {PAGES} pages")

    def invoke(self, namespace: str, table: str, method: str, values: Mapping[str, str | int]) -> Row:
        """What a static method gives back. Raises as `select`."""
        sent = envelope.invoke(self.to, namespace, table, method, values, self._patience())
        return answer.output(self._send(sent), sent.id, method)

    def order(
        self, namespace: str, table: str, method: str, values: Mapping[str, str | int], selectors: Mapping[str, str]
    ) -> Row:
        """What a method that changes something gives back: posted once, and nothing is posted after it. Raises as
        `select`."""
        sent = envelope.invoke(self.to, namespace, table, method, values, self._patience(), selectors)
        self.line.once = True
        return answer.output(self._send(sent), sent.id, method)

    def close(self) -> None:
        """Hang up."""
        self._way.close_session()

    def _patience(self) -> float:
        return min(OPERATION, self.line.deadline.check())

    def _send(self, message: Message) -> bytes:
        """The answer to a message, from whoever was logged in to. A fault is raised as one."""
        self.used = time.monotonic()
        try:
            data: bytes = self._way.send_message(message.text)
        except WinRMTransportError as error:
            if self.line.late:
                raise TooLate from None
            raise self._refusal(error, message) from None
        if self.line.late:
            raise TooLate
        self.used = time.monotonic()
        return data

    def _refusal(self, error: WinRMTransportError, message: Message) -> Exception:
        """What an answer that is not 200 means: mostly a SOAP fault in a 500."""
        code = int(error.code)
        try:
            return answer.fault(error.response_text.encode(), message.id)
        except NotAnAnswer:
            hints = {
                404: "there is no WS-Management service under /wsman",
                403: "it forbids us to ask",
                503: "it is too busy, or its WinRM service is stopping",
            }
            why = hints.get(code, f"it answers with HTTP {code}")
            return Stop(FailureKind.REFUSED, f"{self.line.where} does not serve WS-Management: {why}.")


def _ticket() -> None:
    """Whether Kerberos can be used here at all: its library, and a ticket (`kinit`) of the account Pantau runs as."""
    if importlib.util.find_spec("kerberos") is None and importlib.util.find_spec("winkerberos") is None:
        raise Stop(
            FailureKind.UNSUPPORTED,
            "Kerberos needs the library 'pykerberos' beside Pantau (pip install pywinrm[kerberos]), which is not there.",
        )
    cache = os.environ.get("KRB5CCNAME", "") or _usual_cache()
    kind, _, path = cache.rpartition(":")
    if kind in ("", "FILE") and not Path(path).exists():
        raise Stop(
            FailureKind.DENIED,
            f"There is no Kerberos ticket in {path}: run kinit (with a keytab) as the account Pantau runs as.",
        )


def _usual_cache() -> str:
    """Where libkrb5 looks when nobody says where."""
    return f"/tmp/krb5cc_{os.getuid()}" if hasattr(os, "getuid") else "API:"  # noqa: S108


def meaning(error: Exception, session: Session | None, user: str) -> Stop | HungUp:
    """What an exception of a look means (finding: pywinrm and its libraries raise many that are not its own).

    HungUp is worth a fresh login when the session was kept.
    """
    where = session.line.where if session is not None else "The machine"
    settled = session is not None and session.line.settled
    if isinstance(error, Stop | HungUp):
        return error
    late = session is not None and session.line.late
    if late or isinstance(error, TooLate | TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
        seconds = session.line.deadline.seconds if session is not None else 0.0
        return Stop(FailureKind.TIMEOUT, f"{where} did not finish answering within {seconds:g} s.")
    if isinstance(error, TooMuch):
        return Stop(FailureKind.UNSUPPORTED, f"The machine {error}: that is no answer to what was asked.")
    if isinstance(error, Fault):
        return _of_fault(error, user)
    if isinstance(error, NotAnAnswer):
        return Stop(FailureKind.REFUSED, f"{where} does not speak WS-Management as expected: its answer {error}.")
    if isinstance(error, InvalidCredentialsError) or (isinstance(error, PermissionError) and error.errno is None):
        if settled:
            return HungUp()  # the login that was good has been forgotten
        return WrongLogin(
            FailureKind.DENIED,
            f"The machine refuses '{user}' with this password. Check user name (DOMAIN\\name for a domain) and password, "
            "and that the account is not locked or expired.",
        )
    if isinstance(error, spnego.exceptions.SpnegoError):
        if settled:
            return Stop(
                FailureKind.UNTRUSTED,
                f"{where} sent an answer whose seal is broken: it does not come from the machine that was logged in to.",
            )
        return WrongLogin(FailureKind.DENIED, f"The login of '{user}' failed half-way: {shown_text(str(error))}.")
    if type(error).__module__.startswith(("winrm.vendor.requests_kerberos", "kerberos", "winkerberos")):
        return Stop(
            FailureKind.DENIED,
            f"Kerberos does not let us in: {shown_text(str(error))}. The machine is to be addressed by the name its domain "
            "knows, the ticket must be fresh (klist), and the clocks at most five minutes apart.",
        )
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError | OSError):
        if settled:
            return HungUp()
        return Stop(FailureKind.REFUSED, f"{where} breaks the connection off without a whole answer.")
    if isinstance(error, _MALFORMED) and not _ours(error):
        # pywinrm takes the parts of a sealed answer for granted (Content-Type, Length=), pyspnego those of a challenge
        return Stop(FailureKind.REFUSED, f"{where} does not speak WS-Management as expected: its answer is malformed.")
    raise error


_MALFORMED = (
    WinRMError, HTTPException, LookupError, ValueError, ArithmeticError, AttributeError, TypeError, struct.error,
)  # fmt: skip


def _ours(error: BaseException) -> bool:
    """Whether our own code raised it, which is a fault of ours and shown as such."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("probes.")


def is_denied(fault: Fault) -> bool:
    """Whether it is a right that is missing."""
    return fault.number in ACCESS_DENIED or fault.wmi in ACCESS_DENIED or fault.subcode.endswith("AccessDenied")


def _of_fault(fault: Fault, user: str) -> Stop:
    said = shown_text(fault.reason) or "no reason given"
    if is_denied(fault):
        return Stop(
            FailureKind.DENIED,
            f"The login works, but '{user}' may not read WMI there: give it the rights the manual names (group Remote "
            "Management Users, and Remote Enable on root/cimv2).",
        )
    if fault.number == TIMED_OUT:
        return Stop(FailureKind.REFUSED, "The machine is alive but too slow: it did not finish the query in its time.")
    if fault.subcode.endswith("QuotaLimit"):
        return Stop(FailureKind.REFUSED, f"The machine is at its limit of WS-Management operations: {said}.")
    number = f" ({fault.number})" if fault.number else ""
    return Stop(FailureKind.UNSUPPORTED, f"The machine does not answer this: {said}{number}.")
