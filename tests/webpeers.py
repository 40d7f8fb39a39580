"""Web servers on loopback, plain and TLS, with certificates made on the spot."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from talkers import Talker, talking

Reply = Callable[["Request"], bytes]


@dataclass(frozen=True)
class Request:
    """One request as it came: first line, headers in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.line.split()[1]


def response(status: str = "200 OK", body: bytes = b"hello", **headers: str) -> bytes:
    """A whole HTTP answer; keyword underscores become dashes."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    return response(status, b"", Location=to)


@dataclass
class Web:
    """A running server and what it was asked."""

    talker: Talker
    requests: list[Request]

    @property
    def port(self) -> int:
        return self.talker.port


def read_request(line: ssl.SSLSocket | object) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        more = line.recv(65536)  # type: ignore[attr-defined]
        if not more:
            raise ValueError("no request")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): text.strip() for name, _, text in (row.partition(":") for row in rest)}
    while len(body) < int(headers.get("content-length", "0")):
        more = line.recv(65536)  # type: ignore[attr-defined]
        if not more:
            raise ValueError("no whole request")
        body += more
    return Request(first, headers, body)


@contextlib.contextmanager
def web(
    reply: Reply | bytes | None = None,
    speech: Callable[[Talker, object], None] | None = None,
    tls: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
) -> Iterator[Web]:
    """A server that reads one request a connection and answers by `reply`, or gives the line to `speech`."""
    asked: list[Request] = []

    def serve(talker: Talker, line: object) -> None:
        wrapped = tls.wrap_socket(line, server_side=True) if tls else line  # type: ignore[arg-type]
        with wrapped:  # type: ignore[attr-defined]
            asked.append(read_request(wrapped))
            if speech is not None:
                speech(talker, wrapped)
            else:
                wrapped.sendall(reply if isinstance(reply, bytes) else reply(asked[-1]))  # type: ignore[misc,attr-defined]

    with talking(serve, address) as talker:
        yield Web(talker, asked)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        builder = self._builder(self._name, self._key.public_key(), 30, 0)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._certificate = builder.add_extension(identifier, critical=False).sign(self._key, hashes.SHA256())
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(
        self, *names: str, days: float = 30, begun: float = 1, common: str = "server", alone: bool = False
    ) -> tuple[ssl.SSLContext, str]:
        """A server's TLS context, and its certificate in PEM. `alone`: signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        builder = self._builder(subject, key.public_key(), days, begun)
        builder = builder.issuer_name(subject) if alone else builder.issuer_name(self._name)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        made = builder.sign(key if alone else self._key, hashes.SHA256())
        pem = made.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._place / f"{made.serial_number}.pem"
        file.write_bytes(secret + pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context, pem.decode()

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: float, begun: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(subject_name=subject, public_key=key)
        if subject == self._name:
            builder = builder.issuer_name(subject)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=begun, minutes=1))  # clocks of libraries lag
        return builder.not_valid_after(now + datetime.timedelta(days=days))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
