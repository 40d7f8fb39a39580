"""Windows over WinRM: WS-Management queries on raw counters, one kept login, no shell, nothing started there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

from cryptography import x509

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Secret, Target
from probes import certificate, names
from probes.base import Keep, Probe
from probes.limits import Deadline, Guard
from probes.tcp import ADDRESSES
from probes.winrm import act
from probes.winrm.account import Account, shared
from probes.winrm.envelope import literal
from probes.winrm.line import HungUp, Line, Login, NoTls, Stop, WrongLogin, fingerprint, trust
from probes.winrm.memory import Ask, Found, Home
from probes.winrm.plan import Round, Wishes, now_and_then
from probes.winrm.produces import PRODUCES
from probes.winrm.session import Session, meaning

HTTP, HTTPS = 5985, 5986
IDLE = 110.0
"""Seconds unused after which a login is not tried again: HTTP.sys hangs up after two minutes."""
SWEEP = 30.0
"""Seconds between two sweeps for such logins."""
FORGOTTEN = 2 * 86_400.0
"""Seconds without a look after which nothing of a machine is remembered: no check is made less often than daily."""
SLOW = "The machine is alive but too slow: it answered some questions and not all of them within {deadline:g} s."
OFFERED = "ssh.host_key"
"""The fact by which the house learns what to pin, whatever the protocol: "port type text fingerprint"."""


@dataclass(frozen=True)
class Options:
    """How to get in, and what to leave out."""

    port: int = option("Port", default=HTTP, low=1, high=65535, help="5985 with HTTP, 5986 with HTTPS.")
    tls: str = option(
        "Encryption", default="auto", choices=("auto", "https", "http"),
        help="auto: HTTPS unless the port is 5985 or does not speak it. Over http every message is sealed by the login.",
    )  # fmt: skip
    login: str = option("Login", default="ntlm", choices=("ntlm", "kerberos", "basic"))
    kerberos_host: str = option("Host name for Kerberos", default="", help="Empty: the address of the machine.")
    trust: str = option(
        "Trusted certificate", default="pinned", choices=("pinned", "authority"),
        help="pinned: the one shown at first contact. authority: any that a trusted authority vouches for.",
    )  # fmt: skip
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    ignore_services: tuple[str, ...] = option(
        "Services to ignore", default=(), help="Besides those Windows itself leaves stopped; * stands for anything."
    )
    processes: tuple[str, ...] = option(
        "Processes to follow", default=(), help="Names without .exe: each gets its processor time and memory."
    )
    event_logs: tuple[str, ...] = option(
        "Event logs to count errors in", default=(),
        help="Like System, Application. Costs the machine a search of the log every 15 minutes.",
    )  # fmt: skip
    roles: bool = option("Look into roles", default=True, help="IIS, SQL Server and Hyper-V, where they run.")
    host_keys: tuple[str, ...] = option("Trusted certificates", default=(), hidden=True)

    def __post_init__(self) -> None:
        if self.login == "basic" and (self.tls == "http" or (self.tls == "auto" and self.port == HTTP)):
            raise ValueError("option 'login' is basic only over HTTPS: it sends the password as it is.")
        for name in self.event_logs:
            try:
                literal(name)
            except ValueError:
                raise ValueError("option 'event_logs' is names like System, Application.") from None
        if self.ca:
            try:
                x509.load_pem_x509_certificates(self.ca.encode())
            except ValueError:
                raise ValueError("option 'ca' is one or more certificates in PEM form.") from None

    @property
    def wishes(self) -> Wishes:
        """What is left out or wanted besides."""
        return Wishes(self.ignore_services, self.processes, self.event_logs, self.roles)

    @property
    def pins(self) -> tuple[str, ...]:
        """The certificates that are trusted by their hash."""
        return self.host_keys if self.trust == "pinned" else ()

    @property
    def secure(self) -> bool | None:
        """Whether it is HTTPS; None where that shows only when it is tried. Where a certificate is pinned there is no way
        back to HTTP."""
        if self.tls != "auto":
            return self.tls == "https"
        if self.pins or self.port == HTTPS or self.login == "basic" or self.trust == "authority":
            return True
        return False if self.port == HTTP else None


def look(target: Target, keep: Keep) -> Reading:
    """One look. The login is kept; one that died in the meantime is replaced once, since all we do is read."""
    secret, options, deadline = target.secret, target.options, Deadline(target.deadline)
    if secret is None or (not secret.username and options.login != "kerberos"):
        return Reading.failed(FailureKind.DENIED, "No user to log in with: choose a credential for this check.")
    if not secret.password and options.login != "kerberos":  # without one, the libraries look for others by themselves
        return Reading.failed(FailureKind.DENIED, "This credential has no password: choose one that has.")
    key = ("winrm", target.address, options.port, secret.username, _digest(secret, options))
    _let_idle_go(keep, key)
    home = keep.get(key, Home)
    if not home.lock.acquire(timeout=deadline.remaining()):
        return Reading.failed(FailureKind.UNSUPPORTED, "Another check of this machine took all the time of this one.")
    try:
        home.used = time.monotonic()
        return _Visit(target, secret, keep, home, deadline).read()
    finally:
        home.lock.release()


class _Visit:
    """One look under way."""

    def __init__(self, target: Target, secret: Secret, keep: Keep, home: Home, deadline: Deadline) -> None:
        self._target, self._secret, self._keep, self._home = target, secret, keep, home
        self._options: Options = target.options
        self._deadline = deadline
        self._account: Account = shared(keep, target.address, self._options.port, secret)
        self._sent = self._received = 0

    def read(self) -> Reading:
        """The whole look, its failure included."""
        with Guard(self._deadline) as guard:
            try:
                return self._read(guard)
            except names.Unresolved as unknown:
                return unknown.reading()
            except Stop as stop:
                session = self._home.session
                self._home.drop()
                self._home.tls = (
                    self._home.tls or None
                )  # HTTPS once found is not given up; HTTP may have been a mistake
                facts = tuple(self._offer(stop.shown))
                measures: tuple[Measure, ...] = ()
                if session is not None and session.line.certificate:
                    measures = certificate.describe(session.line.certificate)[0]
                return Reading(measures, facts, stop.failure, self._cost(session))
            except BaseException:
                self._home.drop()  # our own fault: whatever state the login is in, it is not used again
                raise

    def _read(self, guard: Guard) -> Reading:
        kept = self._home.session
        if kept is not None and (time.monotonic() - kept.used > IDLE or not self._trusted(kept)):
            self._home.drop()
            kept = None
        if kept is not None:
            kept.begin(self._deadline, guard)
            try:
                return self._through(kept)
            except HungUp:
                self._forget(kept)  # it was idle too long, or the service was restarted: once more from the beginning
        fresh = self._log_in(guard)
        try:
            return self._through(fresh)
        except HungUp:
            raise Stop(
                FailureKind.REFUSED,
                f"{fresh.line.where} takes the login and then hangs up: its WinRM service may be restarting.",
            ) from None

    def _trusted(self, session: Session) -> bool:
        """Whether a login made earlier is to whom we trust now: a certificate may have been pinned since."""
        pins = self._options.pins
        return not pins or session.line.shown in pins

    def _through(self, session: Session) -> Reading:
        """One round through a session. Raises Stop, HungUp."""
        ask = Ask(session, self._home.memory)
        round = Round(ask, self._deadline, now_and_then(self._options.wishes))
        failure: Failure | None = None
        try:
            round.run()
        except Exception as error:  # noqa: BLE001 - pywinrm and what it stands on raise whatever they like; told apart there
            why = meaning(error, session, self._secret.username)
            if not round.found or isinstance(why, HungUp) or why.failure.kind is not FailureKind.TIMEOUT:
                raise why from None
            round.broken, failure = error, Failure(FailureKind.REFUSED, SLOW.format(deadline=self._deadline.seconds))
        if round.broken is not None:
            self._home.drop()  # once something went wrong, no login is used again
        found = [*round.found, *self._of_line(session.line, session.product)]
        measures = tuple(one for one in found if isinstance(one, Measure))
        facts = tuple(one for one in found if isinstance(one, Fact))
        return Reading(measures, facts, failure, self._cost(session))

    def _log_in(self, guard: Guard) -> Session:
        """A fresh session. Raises Stop, TooLate, Unresolved."""
        self._account.hold_back()
        places = names.of(self._keep).find(self._target.address, self._deadline.remaining())[:ADDRESSES]
        ways = self._ways()
        for tls in ways:
            session = self._session(places, tls)
            session.line.patience = 1 / len(ways)
            self._home.session = session
            session.begin(self._deadline, guard)
            try:
                with self._account.turn(self._deadline):
                    session.log_in()
            except NoTls as no:
                self._forget(session)
                if self._options.tls == "auto" and not self._options.pins:
                    continue
                raise Stop(FailureKind.REFUSED, f"{no}: WinRM over HTTPS is not set up there.") from None
            except Exception as error:  # noqa: BLE001 - as above
                why = meaning(error, session, self._secret.username)
                if isinstance(why, HungUp):
                    raise Stop(
                        FailureKind.REFUSED, f"{session.line.where} breaks the connection off during the login."
                    ) from None
                if isinstance(why, WrongLogin):
                    self._account.refused()
                raise why from None
            self._account.accepted()
            self._home.tls = tls
            return session
        raise Stop(FailureKind.REFUSED, f"Port {self._options.port} speaks neither HTTPS nor HTTP.")

    def _ways(self) -> tuple[bool, ...]:
        """HTTPS or not, in the order of trying."""
        secure = self._options.secure
        if secure is not None:
            return (secure,)
        return (True, False) if self._home.tls is None else (self._home.tls,)

    def _session(self, places: tuple[names.Place, ...], tls: bool) -> Session:
        options = self._options
        context = trust(options.trust == "authority", options.ca) if tls else None
        host = self._target.address.strip().strip("[]").partition("%")[0]
        return Session(
            places,
            host,
            options.port,
            self._secret,
            cast(Login, options.login),
            context,
            options.pins,
            options.kerberos_host,
        )

    def _of_line(self, line: Line, product: str) -> Iterator[Found]:
        """What the connection itself says: the certificate, the version, and what this look took."""
        if line.certificate:
            measures, facts = certificate.describe(line.certificate)
            yield from measures
            yield from facts
            yield from self._offer("" if self._options.pins else line.shown)
        if product:
            yield Fact("winrm.product", product)
        yield Measure("winrm.posts", float(line.posts))

    def _offer(self, shown: str) -> Iterator[Fact]:
        """The certificate a machine showed that is not pinned yet."""
        if shown and self._options.trust == "pinned":
            yield Fact(OFFERED, f"{self._options.port} {shown} {fingerprint(shown)}")

    def _forget(self, session: Session) -> None:
        self._sent += session.line.meter.sent
        self._received += session.line.meter.received
        self._home.drop()

    def _cost(self, session: Session | None) -> Cost:
        sent, received = (session.line.meter.sent, session.line.meter.received) if session is not None else (0, 0)
        return Cost(self._sent + sent, self._received + received)


def _digest(secret: Secret, options: Options) -> str:
    """Tells one login and its options from another without holding it; a certificate pinned later changes neither."""
    text = "\0".join((secret.username, secret.password, repr({**asdict(options), "host_keys": ()})))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Broom:
    """When it was last swept: with a thousand machines kept, not at each look."""

    def __init__(self) -> None:
        self.used = time.monotonic()

    def close(self) -> None:
        """Nothing is held."""


def _let_idle_go(keep: Keep, own: tuple[object, ...]) -> None:
    """Hang up where nobody looked for a while; forget machines that are not looked at any more, or not like this."""
    now, broom = time.monotonic(), keep.get(("winrm", "broom"), _Broom)
    if now - broom.used < SWEEP:
        return
    broom.used = now
    for key in keep.keys():  # noqa: SIM118 - a Keep is no dict
        home = keep.peek(key) if key[0] == "winrm" and len(key) == 5 else None
        if key == own or not isinstance(home, Home) or not home.lock.acquire(blocking=False):
            continue
        try:
            if home.session is not None and now - home.used > IDLE:
                home.drop()
            if now - home.used > FORGOTTEN:
                keep.drop(key)
        finally:
            home.lock.release()


PROBE = Probe(
    kind="winrm", label="Windows over WinRM", look=look, options=Options, produces=PRODUCES, secret=True, port=HTTP,
    act=act.hand,
)  # fmt: skip
