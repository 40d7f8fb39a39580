"""One kept way into a machine: a verified transport and one long-lived `sh` on it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import paramiko

from domain.reading import Failure, FailureKind, Secret
from probes import unix
from probes.limits import PROBE_BYTES, Deadline, Guard, Meter, TooLate, TooMuch, clean
from probes.names import Place
from probes.ssh import certificate
from probes.ssh.files import Broken, Files
from probes.tcp import refusal

# What a machine does wrong is a Failure with a sentence; paramiko would also write tracebacks of its threads.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

IDLE_CHECK = 10.0
"""Seconds between two wake-ups of an idle transport. Stock paramiko wakes ten times a second to see whether it was
closed: a thousand idle transports then burn half a core. It is a private attribute: tests watch that it still works."""
LINE_BYTES = 2 * PROBE_BYTES
"""The most bytes one connection takes in from one look to the next."""
SAID_BYTES = 256 * 1024
"""The most bytes of what one command says that are kept."""
FILE_BYTES = 20 * PROBE_BYTES
"""The most bytes of files and their names that one look reads."""
KEX_FIRST = ("curve25519-sha256@libssh.org", "curve25519-sha256")


class Refused(Exception):
    """The look ends here, with this failure. `asked` is whether the machine was offered the secret at all."""

    def __init__(self, kind: FailureKind, detail: str, offered: str = "", *, asked: bool = True) -> None:
        super().__init__(detail)
        self.failure = Failure(kind, detail)
        self.offered = offered
        self.asked = asked


class Unoffered(Exception):
    """The machine works, but does not offer this; the text is its reason."""


class CountedSocket:
    """A socket as paramiko needs it, counting bytes both ways."""

    def __init__(self, line: socket.socket) -> None:
        self.line, self.sent, self.received = line, 0, 0
        self._most = LINE_BYTES

    def allow(self) -> None:
        """A new look begins: so many bytes more may come in, on any channel or none, until the next one."""
        self._most = self.received + LINE_BYTES

    def send(self, data: bytes) -> int:
        """As socket.send."""
        count = self.line.send(data)
        self.sent += count
        return count

    def recv(self, size: int) -> bytes:
        """As socket.recv."""
        data = self.line.recv(size)
        self.received += len(data)
        if self.received > self._most:  # the library keeps all that is sent, whatever window it was given
            return b""  # as if it had hung up: the transport ends and lets everything go
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)


class _Transport(paramiko.Transport):
    _active_check_timeout = IDLE_CHECK


class Session:
    """A transport that is connected, trusted and logged in. Not for two threads at once."""

    def __init__(self, transport: paramiko.Transport, line: CountedSocket, host_key: str, fingerprint: str) -> None:
        self._transport, self._line = transport, line
        self.host_key, self.fingerprint = host_key, fingerprint
        self._channel: paramiko.Channel | None = None
        self.snapshot: unix.Snapshot | None = None
        self.due: dict[str, float] = {}
        """When what moves slowly is to be asked for again (steady seconds)."""
        self.looks = 0
        self.accounted = (0, 0)
        """The traffic that looks so far have been charged with; the first one pays for the handshake."""
        self.used = time.monotonic()
        self.busy = threading.Lock()
        """Held by whoever uses it: two checks of one machine share one connection, one after the other."""

    @property
    def line(self) -> socket.socket:
        """The socket itself, for a guard to hold."""
        return self._line.line

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far."""
        return self._line.sent, self._line.received

    @property
    def alive(self) -> bool:
        """Whether the transport still thinks it is connected."""
        return self._transport.is_active()

    def ask(self, wanted: tuple[str, ...], deadline: Deadline) -> unix.Snapshot:
        """One look through the kept shell, bringing what is `wanted` (unix.call). Raises Broken, TooLate, TooMuch, or Refused where there is no shell."""
        nonce = secrets.token_hex(8)
        self._line.allow()
        with _told(deadline):
            channel = self._shell(deadline)
            channel.settimeout(deadline.check())
            channel.sendall(unix.call(nonce, *wanted).encode())
            text = _until(channel, f"@@end {nonce}\n".encode(), deadline)
        snapshot = unix.read(text.decode("utf-8", "replace"), nonce)
        if snapshot is None:
            raise Broken("the answer is not that of the look asked for")
        self.used = time.monotonic()
        self.looks += 1
        return snapshot

    def once(self, text: str, end: bytes, deadline: Deadline) -> bytes:
        """What a shell of its own, gone afterwards, says to `text` up to `end`. Raises as `ask` does."""
        self._line.allow()
        with _told(deadline):
            channel = self._transport.open_session(timeout=deadline.check())
            with contextlib.closing(channel):
                channel.settimeout(deadline.check())
                channel.exec_command("exec sh")
                channel.sendall(text.encode())
                output = _until(channel, end, deadline)
        self.used = time.monotonic()
        return output

    def run(self, command: str, deadline: Deadline, stdin: bytes = b"") -> tuple[int, bytes]:
        """One command of our own, its exit status and what it said (both of its mouths). Raises as `ask` does.

        -1 is no status at all: the line was cut before there was one.
        """
        self._line.allow()
        with _told(deadline):
            channel = self._transport.open_session(timeout=deadline.check())
            with contextlib.closing(channel):
                channel.settimeout(deadline.check())
                channel.set_combine_stderr(True)
                channel.exec_command(command)
                if stdin:
                    channel.sendall(stdin)
                channel.shutdown_write()
                said = _all(channel, deadline)
                while not channel.exit_status_ready() and not channel.closed:
                    deadline.check()
                    channel.status_event.wait(0.1)
                status = channel.recv_exit_status() if channel.exit_status_ready() else -1
        self.used = time.monotonic()
        return status, said

    @contextlib.contextmanager
    def files(self, deadline: Deadline) -> Iterator[Files]:
        """The machine's files, to read. Raises Unoffered where it offers none, else as `ask` does."""
        self._line.allow()
        with _told(deadline):
            channel = self._transport.open_session(timeout=deadline.check())
            with contextlib.closing(channel):
                channel.settimeout(deadline.check())
                try:
                    channel.invoke_subsystem("sftp")
                except paramiko.SSHException as error:
                    if self.alive:
                        raise Unoffered(clean(str(error), 80)) from None
                    raise
                yield Files(channel.sendall, channel.recv, self._line.allow, deadline, Meter(FILE_BYTES))

    def close(self) -> None:
        """Drop shell, transport and socket."""
        with contextlib.suppress(Exception):  # whatever state the library is in, the socket goes
            self._transport.close()
        self._line.line.close()

    def _shell(self, deadline: Deadline) -> paramiko.Channel:
        if self._channel is None or self._channel.closed:
            self.snapshot = None
            channel = self._transport.open_session(timeout=deadline.check())
            channel.settimeout(deadline.check())
            channel.exec_command("exec sh")
            channel.sendall(unix.DEFINE.encode())
            self._channel = channel
        return self._channel


@contextlib.contextmanager
def _told(deadline: Deadline) -> Iterator[None]:
    """What the library raises, in our words: TooLate, or Broken."""
    try:
        yield
    except (paramiko.SSHException, OSError, EOFError) as error:
        if deadline.passed():
            raise TooLate(f"not finished after {deadline.seconds:g} s") from None
        raise Broken(str(error)) from None


def connect(place: Place, port: int, secret: Secret, pinned: tuple[str, ...], deadline: Deadline) -> Session:
    """A session that is trusted and logged in. Raises Refused, TooLate.

    Where `pinned` is not empty and the machine shows another key, not one byte of the login is sent.
    """
    if secret.private_key:
        private_key(secret)  # a text that is no key is our own affair: the machine hears nothing of it
    where = f"Port {port} on {place.address}"
    raw = _dial(place, port, where, deadline)
    line = CountedSocket(raw)
    with Guard(deadline) as guard:
        guard.hold(raw)
        transport: paramiko.Transport | None = None
        try:
            transport = _Transport(cast(socket.socket, line))
            host_key, fingerprint = _meet(transport, where, pinned, deadline)
            _log_in(transport, secret, deadline)
        except BaseException:
            if transport is not None:
                transport.close()
            raw.close()
            raise
    return Session(transport, line, host_key, fingerprint)


def _dial(place: Place, port: int, where: str, deadline: Deadline) -> socket.socket:
    raw = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        raw.settimeout(deadline.check())
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without it every look waits 45 ms for an ack
        raw.connect(place.at(port))
    except OSError as error:
        raw.close()
        failure = refusal(error, where)
        raise Refused(failure.kind, failure.detail) from None
    except TooLate:
        raw.close()
        raise
    return raw


def _meet(transport: paramiko.Transport, where: str, pinned: tuple[str, ...], deadline: Deadline) -> tuple[str, str]:
    """The handshake, and whether it is the machine we know: its key as "type base64", and the fingerprint."""
    options = transport.get_security_options()
    options.kex = tuple(sorted(options.kex, key=lambda name: name not in KEX_FIRST))
    known = {key.split(" ")[0] for key in pinned}
    if known:
        options.key_types = tuple(sorted(options.key_types, key=lambda name: _family(name) not in known))
    transport.banner_timeout = transport.handshake_timeout = deadline.check()
    try:
        transport.start_client(timeout=deadline.check())
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError) as error:
        if deadline.passed():
            raise Refused(
                FailureKind.TIMEOUT,
                f"{where} takes connections but did not finish the SSH handshake within {deadline.seconds:g} s.",
            ) from None
        raise Refused(
            FailureKind.REFUSED, f"{where} does not speak SSH as expected: {clean(str(error), 120) or 'it hung up'}."
        ) from None
    shown = f"{key.get_name()} {key.get_base64()}"
    fingerprint = str(key.fingerprint)
    if pinned and shown not in pinned:
        expected = ", ".join(_fingerprint(text) for text in pinned)
        raise Refused(
            FailureKind.UNTRUSTED,
            f"The machine shows the host key {fingerprint}, and {expected} is trusted. Nothing was sent to it. "
            "If it was reinstalled, accept the new key on its page; if not, somebody may be in between.",
            f"{shown} {fingerprint}",
        )
    return shown, fingerprint


def _log_in(transport: paramiko.Transport, secret: Secret, deadline: Deadline) -> None:
    transport.auth_timeout = deadline.check()
    how = "key" if secret.private_key else "password"
    try:
        if secret.private_key:
            rest = transport.auth_publickey(secret.username, private_key(secret))
        else:
            rest = transport.auth_password(secret.username, secret.password)
    except paramiko.BadAuthenticationType as error:
        ways = clean(", ".join(error.allowed_types), 80)
        raise Refused(
            FailureKind.DENIED, f"The machine does not take a {how} from '{secret.username}'; it offers: {ways}."
        ) from None
    except paramiko.AuthenticationException:
        if deadline.passed():
            raise TooLate(f"not finished after {deadline.seconds:g} s") from None
        if not transport.is_active():  # the library says the same of a line that was cut as of a refusal
            raise Refused(
                FailureKind.REFUSED,
                "The machine hung up during the login: too many sessions there, or its server was being restarted.",
            ) from None
        raise Refused(
            FailureKind.DENIED,
            f"The machine refuses '{secret.username}' with this {how}. Check the user name and the credential, "
            f"and on the machine {'~/.ssh/authorized_keys' if how == 'key' else 'the account'}.",
        ) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        if deadline.passed():
            raise TooLate(f"not finished after {deadline.seconds:g} s") from None
        raise Refused(
            FailureKind.REFUSED, f"The machine hung up during the login: {clean(str(error), 120) or 'no reason given'}."
        ) from None
    if rest:
        raise Refused(
            FailureKind.DENIED,
            f"The machine wants more than this {how}: {clean(', '.join(rest), 80)}. Use an account that needs one only.",
        )


def private_key(secret: Secret) -> paramiko.PKey:
    """The key of a credential, with its certificate. Raises Refused with a sentence for what cannot be used."""
    key = _bare_key(secret)
    if secret.certificate:
        try:
            certificate.attach(secret.certificate, key)
        except certificate.NoCertificate as error:
            raise Refused(FailureKind.DENIED, str(error), asked=False) from None
    return key


def _bare_key(secret: Secret) -> paramiko.PKey:
    """The key alone. Raises Refused with a sentence for a text that is none, or a wrong passphrase."""
    text, passphrase = secret.private_key.strip() + "\n", secret.passphrase or None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password=passphrase)
        except paramiko.PasswordRequiredException:
            raise Refused(
                FailureKind.DENIED,
                "The private key of this credential is locked: enter its passphrase too.",
                asked=False,
            ) from None
        except Exception:  # noqa: BLE001, S112 - each class refuses the others' keys in its own way
            continue
    why = "or its passphrase is wrong" if passphrase else "in a form we know (OpenSSH or PEM; Ed25519, ECDSA or RSA)"
    raise Refused(FailureKind.DENIED, f"The private key of this credential is not a key {why}.", asked=False)


def _until(channel: paramiko.Channel, end: bytes, deadline: Deadline) -> bytes:
    """What comes in up to and with `end`."""
    output = bytearray()
    while True:
        channel.settimeout(deadline.check())
        block = channel.recv(65536)
        if not block:
            raise _no_shell(bytes(output))
        start = max(0, len(output) - len(end))
        output += block
        if output.find(end, start) >= 0:
            return bytes(output)
        if len(output) > PROBE_BYTES:
            raise TooMuch(f"sent more than {PROBE_BYTES // 1024} KiB in one look")


def _all(channel: paramiko.Channel, deadline: Deadline) -> bytes:
    """What comes in until the other side has no more; of much only the beginning is kept."""
    output = bytearray()
    while True:
        channel.settimeout(deadline.check())
        block = channel.recv(65536)
        if not block:
            return bytes(output)
        output += block[: max(0, SAID_BYTES - len(output))]


def _no_shell(output: bytes) -> Exception:
    """The shell ended: where it spoke, the account has none and says so; where not, it was simply cut off."""
    said = clean(output[-300:], 160)
    if said and b"@@" not in output:
        return Refused(FailureKind.UNSUPPORTED, f"The login works, but this account has no shell; it says: {said}")
    return EOFError("the shell ended")


def _family(name: str) -> str:
    return "ssh-rsa" if name.startswith("rsa-sha2") else name


def _fingerprint(text: str) -> str:
    """As OpenSSH prints it, from "type base64"."""
    try:
        data = base64.b64decode(text.split(" ")[1], validate=True)
    except (ValueError, IndexError):
        return "another one"
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


class Gate:
    """At most so many handshakes a second from this process, evenly spaced: a restart must not storm the fleet."""

    def __init__(self, per_second: float = 20.0) -> None:
        self._gap, self._next, self._lock = 1 / per_second, 0.0, threading.Lock()

    def wait(self, deadline: Deadline) -> None:
        """Wait for a turn. Raises TooLate."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn - now > deadline.remaining():
            raise TooLate(f"not finished after {deadline.seconds:g} s")
        time.sleep(turn - now)

    def close(self) -> None:
        """Nothing is held."""
