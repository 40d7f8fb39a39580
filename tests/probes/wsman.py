"""A WS-Management listener at the level of the protocol: what a Windows machine answers, and how it can go wrong.

HTTP and HTTPS, Basic, NTLM and SPNEGO with message sealing and channel binding (pyspnego is the acceptor), Identify,
Enumerate/Pull/Release with WQL, Invoke, and as much of a command shell as other clients need to accept it as genuine.
It runs by itself too: `python -m tests.probes.wsman --port 5985`.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import contextlib
import hashlib
import os
import re
import socket
import ssl
import struct
import tempfile
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import spnego
import spnego.channel_bindings

from tests.probes import wql
from tests.probes.windows import CIMV2, HYPERV, Windows, registry

ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
WMI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
ANONYMOUS = ADDRESSING + "/role/anonymous"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
CIM = "http://schemas.dmtf.org/wbem/wscim/1/common"

NO_SUCH_CLASS, NO_SUCH_SHELL, TIMED_OUT, DENIED, BAD_CONTEXT, QUOTA, TOO_SMALL = (
    2150858778, 2150858843, 2150858793, 5, 2150858763, 2150859173, 2150858820,
)  # fmt: skip

PASSWORDS = {"pantau-read": "Look-only 1", "administrator": "Pass <&> wörd"}
_users_lock = threading.Lock()
_users_written: dict[str, str] = {}


class Fault(Exception):
    """A SOAP fault: the number Windows gives it, its subcode, and what it says."""

    def __init__(self, number: int, subcode: str, text: str, sender: bool = True) -> None:
        super().__init__(text)
        self.number, self.subcode, self.text, self.sender = number, subcode, text, sender


@dataclass(frozen=True)
class Entry:
    """One request, as the log keeps it: `what` is the action's last word (and the class or method), `line` the
    connection it came over."""

    what: str
    user: str = ""
    how: str = ""
    sealed: bool = False
    line: int = 0
    body: str = ""


@dataclass
class Shell:
    """One command shell."""

    owner: str
    commands: dict[str, tuple[bytes, bytes, int]] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)


class Listener:
    """A listening port. `basic`, `negotiate`, `clear` (unsealed bodies over http) say what it accepts.

    `ears` is a socket that listens already, where it is not on our loopback. A machine that is told to restart goes away
    after `grace` seconds (Windows waits as long as it was told), for `gone` seconds, and is another start of itself then.

    `troubles` maps what is asked ("Identify", a class or method name, "login", "connect", or "*") to what goes wrong:
    close, reset, slow, drip, bomb, denied, doctype, relates, gzip, redirect, untyped, garbage, empty, timeout,
    truncated, endless, loop, status:NNN. With "once:" before it, it goes wrong once only.
    """

    def __init__(
        self,
        machine: Windows | None = None,
        *,
        certificate: Certificate | None = None,
        users: dict[str, str] | None = None,
        basic: bool = False,
        negotiate: bool = True,
        clear: bool = False,
        binding: bool = False,
        quota: int = 10,
        page: int = 20_000,
        port: int = 0,
        ears: socket.socket | None = None,
    ) -> None:
        self.machine = machine or Windows()
        self.users = users if users is not None else dict(PASSWORDS)
        self.certificate = certificate
        self.basic, self.negotiate, self.clear, self.binding = basic, negotiate, clear, binding
        self.quota, self.page = quota, page
        self.troubles: dict[str, str] = {}
        self.log: list[Entry] = []
        self.shells: dict[str, Shell] = {}
        self.files: dict[str, bytes] = {}
        self.rows: dict[str, tuple[list[str], int]] = {}
        self.lines = 0
        self.over = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._socket = ears or socket.create_server(("127.0.0.1", port), backlog=64)
        self.away = threading.Event()
        self.grace, self.gone = 0.3, 1.5
        self._context = certificate.context() if certificate else None
        _tell_users(self.users)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def start(self) -> Listener:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self) -> None:
        """Close every connection, as HTTP.sys does with idle ones."""
        for line in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)
        end = time.monotonic() + 10
        while self._open and time.monotonic() < end:
            time.sleep(0.005)

    def restart(self) -> None:
        """The machine goes, with every connection, and comes back."""

        def body() -> None:
            with contextlib.suppress(ConnectionAbortedError):
                self.pause(self.grace)
                self.away.set()
                self.hang_up()
                self.pause(self.gone)
                self.machine.reboot()
                self.away.clear()

        thread = threading.Thread(target=body, daemon=True)
        self._threads.append(thread)
        thread.start()

    def asked(self, what: str) -> list[Entry]:
        """The requests of which `what` is a part of the name."""
        return [entry for entry in self.log if what in entry.what]

    def trouble(self, *names: str) -> str:
        """What goes wrong with what is known by any of these names."""
        for name in (*names, "*"):
            wrong = self.troubles.get(name, "")
            if wrong.startswith("once:"):
                del self.troubles[name]
                return wrong.removeprefix("once:")
            if wrong:
                return wrong
        return ""

    def pause(self, seconds: float) -> None:
        if self.over.wait(seconds):
            raise ConnectionAbortedError

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self.lines += 1
            thread = threading.Thread(target=self._talk, args=(line, self.lines), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _talk(self, line: socket.socket, number: int) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.settimeout(120)
        self._open.add(line)
        talking = line
        try:
            if self.away.is_set() or self.trouble("connect") == "close":
                return
            if self._context is not None:
                talking = self._context.wrap_socket(line, server_side=True)
                self._open.discard(line)
                self._open.add(talking)
            _Conversation(self, talking, number).run()
        except (OSError, ssl.SSLError, ConnectionAbortedError, ValueError):
            pass
        finally:
            talking.close()
            self._open.discard(talking)
            self._open.discard(line)


class _Conversation:
    """One connection: HTTP, who it is, and sealing."""

    def __init__(self, listener: Listener, line: socket.socket, number: int) -> None:
        self._listener, self._line, self._number = listener, line, number
        self._file = line.makefile("rb")
        self._context: Any = None
        self._raw = False
        self._protocol = ""
        self.user, self.how = "", ""
        self._proof: dict[str, str] = {}

    def run(self) -> None:
        try:
            while (request := self._read()) is not None:
                if not self._answer(*request):
                    return
        finally:
            self._file.close()

    def _read(self) -> tuple[dict[str, str], bytes] | None:
        first = self._file.readline(8192)
        if not first.strip():
            return None
        if first[:1] == b"\x16":  # a TLS greeting on a port without TLS: HTTP.sys says 400 and hangs up
            self._say(400, b"", {})
            return None
        headers: dict[str, str] = {}
        while (text := self._file.readline(65536)).strip():
            name, _, value = text.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return headers, self._chunks()
        body = self._file.read(int(headers.get("content-length", "0")))
        if not first.startswith((b"POST /wsman", b"POST /WSMAN")):
            self._say(404, b"", {})
            return self._read()
        return headers, body

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._file.readline().split(b";")[0], 16):
            body += self._file.read(size)
            self._file.readline()
        self._file.readline()
        return body

    def _answer(self, headers: dict[str, str], body: bytes) -> bool:
        """One request; False ends the connection."""
        if "wsmanidentify" in headers and not headers.get("authorization"):
            return self._act(body, sealed=False)
        sealed = "multipart/encrypted" in headers.get("content-type", "")
        if body and not sealed and not self._listener.certificate and not self._listener.clear:
            self._note("clear", body.decode("utf-8", "replace"))  # whoever it is: it has been read on the way
        if not self.user:
            done = self._log_in(headers, body)
            if done is not None:
                return done
        if not body:
            self._say(200, b"", {})
            return True
        if sealed:
            try:
                body = self._unseal(headers["content-type"], body)
            except (spnego.exceptions.SpnegoError, ValueError, IndexError):
                self._note("unsealable", "", sealed=True)
                self._say(400, b"", {})
                return False
        elif not self._listener.certificate and not self._listener.clear:
            self._say(500, b"", {})
            return False
        return self._act(body, sealed)

    # -- who it is

    def _log_in(self, headers: dict[str, str], body: bytes) -> bool | None:
        """None when it is known now; else the answer was sent, and whether the connection goes on."""
        wrong = self._listener.trouble("login")
        if wrong and wrong != "denied":
            return self._trouble(wrong, b"", False)
        way, _, token = headers.get("authorization", "").partition(" ")
        if way == "Basic" and self._listener.basic:
            user, _, password = base64.b64decode(token).decode().partition(":")
            if not wrong and self._listener.users.get(user) == password:
                self.user, self.how = user, "basic"
                return None
            self._note("login refused", user)
            self._say(401, b"", {})
            return True
        if way == "Negotiate" and token and self._listener.negotiate and not wrong:
            return self._negotiate(base64.b64decode(token), bool(body))
        if wrong:
            self._note("login refused", "")
        self._offer()
        return True

    def _offer(self) -> None:
        ways = ["Negotiate"] * self._listener.negotiate + ['Basic realm="WSMAN"'] * self._listener.basic
        self._say(401, b"", [("WWW-Authenticate", way) for way in ways])

    def _negotiate(self, token: bytes, has_body: bool) -> bool | None:
        if self._context is None or self._context.complete:
            self._raw = token.startswith(b"NTLMSSP\0")
            self._context = spnego.server(
                protocol="ntlm" if self._raw else "negotiate",
                channel_bindings=self._binding(),
                options=spnego.NegotiateOptions.use_ntlm if self._raw else spnego.NegotiateOptions.use_negotiate,
            )
        try:
            answer = self._context.step(token)
        except Exception:  # noqa: BLE001 - whatever is wrong with a stranger's token, it is not let in
            self._context = None
            self._note("login refused", "")
            self._offer()
            return True
        said = {"WWW-Authenticate": "Negotiate " + base64.b64encode(answer).decode()} if answer else {}
        if not self._context.complete:
            self._say(401, b"", said)
            return True
        self.user, self.how = str(self._context.client_principal), "ntlm" if self._raw else "spnego"
        self._note("login", self.user)
        if has_body:
            self._proof = said  # the last token goes out with the answer itself
            return None
        self._say(200, b"", said)
        return True

    def _binding(self) -> Any:
        certificate = self._listener.certificate
        if not self._listener.binding or certificate is None:
            return None
        digest = hashlib.sha256(certificate.der).digest()
        return spnego.channel_bindings.GssChannelBindings(application_data=b"tls-server-end-point:" + digest)

    # -- sealing (MS-WSMV 2.2.9.1)

    def _unseal(self, content_type: str, body: bytes) -> bytes:
        found = re.search(r'protocol="([^"]+)"', content_type)
        self._protocol = found[1] if found else ""
        head, data = body.split(b"--Encrypted Boundary\r\n")[1:3]
        length = int(head.split(b"Length=")[1])
        data = data.removesuffix(b"--Encrypted Boundary--\r\n")
        data = data.removeprefix(b"\tContent-Type: application/octet-stream\r\n")
        size = struct.unpack("<i", data[:4])[0]
        plain = bytes(self._context.unwrap_winrm(data[4 : 4 + size], data[4 + size :]))
        if len(plain) != length:
            raise ValueError("another length")
        return plain

    def _seal(self, plain: bytes) -> bytes:
        made = self._context.wrap_winrm(plain)
        return (
            b"--Encrypted Boundary\r\n\tContent-Type: " + self._protocol.encode() + b"\r\n"
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
            % (len(plain) + made.padding_length)
            + b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
            + struct.pack("<i", len(made.header))
            + made.header
            + made.data
            + b"--Encrypted Boundary--\r\n"
        )

    # -- what is asked

    def _act(self, body: bytes, sealed: bool) -> bool:
        request = Request(body)
        self._note(request.what, body.decode("utf-8", "replace"), sealed)
        wrong = self._listener.trouble(request.name, request.what.split(" ")[0])
        if wrong == "denied":
            fault = Fault(DENIED, "w:AccessDenied", "Access is denied. ")
            return self._finish(500, _fault(request, fault), sealed)
        if wrong == "timeout":
            text = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout. "
            return self._finish(500, _fault(request, Fault(TIMED_OUT, "w:TimedOut", text, sender=False)), sealed)
        try:
            answer = Answerer(self._listener, self.user).answer(request)
            status = 200
        except Fault as fault:
            answer, status = _fault(request, fault), 500
        if wrong:
            return self._trouble(wrong, answer.encode(), sealed, request)
        return self._finish(status, answer, sealed)

    def _finish(self, status: int, answer: str, sealed: bool, extra: dict[str, str] | None = None) -> bool:
        plain = answer.encode()
        if sealed:
            kind = f'multipart/encrypted;protocol="{self._protocol}";boundary="Encrypted Boundary"'
            self._say(status, self._seal(plain), {"Content-Type": kind, **(extra or {})})
        else:
            self._say(status, plain, {"Content-Type": "application/soap+xml;charset=UTF-8", **(extra or {})})
        return True

    def _trouble(self, wrong: str, answer: bytes, sealed: bool, request: Request | None = None) -> bool:
        """Something goes wrong with an answer that would have been right."""
        text = answer.decode()
        if wrong == "close":
            return False
        if wrong == "reset":
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if wrong == "slow":
            self._listener.pause(120)
        if wrong.startswith("wait:"):
            self._listener.pause(float(wrong[5:]))
        if wrong == "drip":
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: 100000\r\n\r\n"
            for byte in head + b" " * 100_000:
                self._line.sendall(bytes([byte]))
                self._listener.pause(0.02)
        if wrong == "bomb":
            self._line.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            while True:
                self._line.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        if wrong.startswith("status:"):
            self._say(int(wrong[7:]), b"<html>no</html>", {"Content-Type": "text/html"})
            return True
        if wrong == "redirect":
            self._say(307, b"", {"Location": "http://127.0.0.1:1/wsman"})
            return True
        if wrong == "gzip":
            return self._finish(200, text, sealed, {"Content-Encoding": "gzip"})
        if wrong == "untyped":
            self._say(200, self._seal(answer) if sealed else answer, {})
            return True
        if wrong == "unsealed":
            return self._finish(200, text, sealed=False)
        if wrong == "truncated":
            self._line.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: 9999\r\n\r\n" + answer[:50]
            )
            return False
        changed = {
            "doctype": '<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;&b;&b;">]>' + text,
            "relates": re.sub(r"(<a:RelatesTo>)[^<]*", rf"\1uuid:{uuid.uuid4()}", text),
            "unrelated": re.sub(r"<a:RelatesTo>[^<]*</a:RelatesTo>", "", text),
            "garbage": "\x01 this is no XML",
            "html": "<html><body>Welcome</body></html>",
            "empty": "",
            "loop": text.replace("<w:EndOfSequence/>", "").replace("<n:EndOfSequence/>", "").replace(
                "<n:EnumerationContext></n:EnumerationContext>", "<n:EnumerationContext>uuid:again</n:EnumerationContext>"
            ),
            "other-class": re.sub(r"<(/?)(Name|LastBootUpTime)>", r"<\1Unasked>", text),
            "negative": re.sub(r">(\d{6,})<", r">-\1<", text),
            "lies": re.sub(r">(\d{6,})<", r">1e400<", text),
        }  # fmt: skip
        return self._finish(200, changed.get(wrong, text), sealed)

    def _say(self, status: int, body: bytes, headers: dict[str, str] | list[tuple[str, str]]) -> None:
        pairs = headers if isinstance(headers, list) else list({**headers, **self._proof}.items())
        self._proof = {}
        lines = [f"HTTP/1.1 {status} Said", "Server: Microsoft-HTTPAPI/2.0", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in pairs]
        self._line.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def _note(self, what: str, body: str, sealed: bool = False) -> None:
        self._listener.log.append(Entry(what, self.user, self.how, sealed, self._number, body))


class Request:
    """A SOAP request taken apart."""

    def __init__(self, body: bytes) -> None:
        self.root = ET.fromstring(body)
        self.id = self.text("MessageID")
        self.action = self.text("Action") or ("Identify" if self.find("Identify") is not None else "")
        self.resource = self.text("ResourceURI")
        self.query = self.text("Filter").strip()
        found = re.search(r"\bfrom\s+(\w+)", self.query, re.IGNORECASE)
        self.name = found[1] if found else self.action.rpartition("/")[2]
        last = self.action.rpartition("/")[2]
        self.what = f"{last} {found[1]}" if found else last

    def find(self, name: str) -> ET.Element | None:
        return next((e for e in self.root.iter() if e.tag.rpartition("}")[2] == name), None)

    def text(self, name: str) -> str:
        found = self.find(name)
        return (found.text or "").strip() if found is not None else ""

    def selector(self, name: str) -> str:
        for element in self.root.iter(f"{{{WSMAN}}}Selector"):
            if element.get("Name", "").lower() == name.lower():
                return (element.text or "").strip()
        return ""

    def selectors(self) -> dict[str, str]:
        """The key values of the instance that is meant, names in small letters."""
        found = self.root.iter(f"{{{WSMAN}}}Selector")
        return {element.get("Name", "").lower(): (element.text or "").strip() for element in found}

    def parameters(self) -> dict[str, str]:
        """What a method is given."""
        body = self.find(f"{self.action.rpartition('/')[2]}_INPUT")
        return {one.tag.rpartition("}")[2]: one.text or "" for one in body} if body is not None else {}


class Answerer:
    """Answers one request of one user. Raises Fault."""

    def __init__(self, listener: Listener, user: str) -> None:
        self._listener, self._user = listener, user

    def answer(self, request: Request) -> str:
        if request.action == "Identify":
            return _identity(self._user)
        last = request.action.rpartition("/")[2]
        known: dict[str, Callable[[Request], str]] = {
            ENUMERATION + "/Enumerate": self._enumerate,
            ENUMERATION + "/Pull": self._pull,
            ENUMERATION + "/Release": self._release,
            TRANSFER + "/Create": self._create,
            TRANSFER + "/Delete": self._delete,
            SHELL + "/Command": self._command,
            SHELL + "/Receive": self._receive,
            SHELL + "/Send": self._sent,
            SHELL + "/Signal": self._signal,
        }
        if request.action in known:
            return known[request.action](request)
        if request.action.startswith(WMI):
            return self._invoke(request, last)
        raise Fault(2150858817, "a:ActionNotSupported", "The action is not supported by the service. ")

    # -- enumerating

    def _enumerate(self, request: Request) -> str:
        namespace = request.resource.removeprefix(WMI).rpartition("/")[0].lower()
        try:
            query = wql.parse(request.query)
        except wql.WrongQuery:
            raise Fault(NO_SUCH_CLASS, "w:CannotProcessFilter", "The WQL query is invalid. ") from None
        rows = self._listener.machine.query(namespace, query.table)
        if rows is None:
            raise Fault(
                NO_SUCH_CLASS, "n:CannotProcessFilter",
                "The data source could not process the filter. The filter might be missing or it might be invalid. ",
            )  # fmt: skip
        for name in query.properties:
            if rows and name.lower() not in {key.lower() for key in rows[0]}:
                raise Fault(NO_SUCH_CLASS, "w:CannotProcessFilter", "The WQL query is invalid. ")
        items = [_item(query, namespace, row) for row in rows if query.test(row)]
        size = int(request.text("MaxEnvelopeSize") or 153_600)
        if size < 8192:
            raise Fault(TOO_SMALL, "w:EncodingLimit", "The MaxEnvelopeSize is too small. ")
        if request.find("OptimizeEnumeration") is None:
            return self._page(request, [], items, size, "Enumerate")
        most = int(request.text("MaxElements") or 1)
        return self._page(request, *_cut(items, most, size), size, "Enumerate")

    def _pull(self, request: Request) -> str:
        kept = self._listener.rows.pop(request.text("EnumerationContext"), None)
        if kept is None:
            raise Fault(BAD_CONTEXT, "n:InvalidEnumerationContext", "The supplied enumeration context is invalid. ")
        items, size = kept
        return self._page(request, *_cut(items, int(request.text("MaxElements") or 1), size), size, "Pull")

    def _release(self, request: Request) -> str:
        self._listener.rows.pop(request.text("EnumerationContext"), None)
        return _envelope(request, ENUMERATION + "/ReleaseResponse", "")

    def _page(self, request: Request, items: list[str], rest: list[str], size: int, verb: str) -> str:
        context = ""
        if rest:
            context = f"uuid:{uuid.uuid4()}"
            self._listener.rows[context] = rest, size
        prefix = "w" if verb == "Enumerate" else "n"
        said = f"<{prefix}:Items>{''.join(items)}</{prefix}:Items>" if items or not rest else ""
        end = "" if rest else f"<{prefix}:EndOfSequence/>"
        inner = f"<n:EnumerationContext>{context}</n:EnumerationContext>" if verb == "Enumerate" or rest else ""
        return _envelope(
            request, f"{ENUMERATION}/{verb}Response", f"<n:{verb}Response>{inner}{said}{end}</n:{verb}Response>"
        )

    def _invoke(self, request: Request, method: str) -> str:
        namespace, _, table = request.resource.removeprefix(WMI).lower().rpartition("/")
        answer = None
        if table == "stdregprov":
            answer = registry(self._listener.machine, method, request.text("sSubKeyName"), request.text("sValueName"))
        elif namespace == CIMV2:
            number = self._listener.machine.invoke(table, method.lower(), request.selectors(), request.parameters())
            answer = None if number is None else {"ReturnValue": number}
            if method == "Win32ShutdownTracker" and number == 0:
                self._listener.restart()
        elif namespace == HYPERV:
            number = self._listener.machine.tell_guest(
                table, method.lower(), request.selectors(), request.parameters()
            )  # fmt: skip
            answer = None if number is None else {"ReturnValue": number}
        if answer is None:
            raise Fault(2150859002, "w:InvalidSelectors", "The class or the instance does not exist. ")
        parts = []
        for name, value in answer.items():
            for one in value if isinstance(value, list) else [value]:
                parts.append(f"<p:{name}>{escape(str(one))}</p:{name}>")
        return _envelope(
            request, request.action + "Response",
            f'<p:{method}_OUTPUT xmlns:p="{request.resource}" xmlns:xsi="{XSI}" xsi:type="p:{method}_OUTPUT_Type">'
            f"{''.join(parts)}</p:{method}_OUTPUT>",
        )  # fmt: skip

    # -- shells

    def _create(self, request: Request) -> str:
        own = [shell for shell in self._listener.shells.values() if shell.owner == self._user]
        if len(own) >= self._listener.quota:
            text = "The maximum number of concurrent shells for this user has been exceeded. "
            raise Fault(QUOTA, "w:QuotaLimit", text)
        name = str(uuid.uuid4()).upper()
        self._listener.shells[name] = Shell(self._user)
        return _envelope(
            request, TRANSFER + "/CreateResponse",
            f'<x:ResourceCreated><a:Address>http://{self._listener.machine.name}/wsman</a:Address><a:ReferenceParameters>'
            f"<w:ResourceURI>{SHELL}/cmd</w:ResourceURI><w:SelectorSet><w:Selector Name=\"ShellId\">{name}</w:Selector>"
            f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
            f'<rsp:Shell xmlns:rsp="{SHELL}"><rsp:ShellId>{name}</rsp:ShellId><rsp:ResourceUri>{SHELL}/cmd</rsp:ResourceUri>'
            "<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>",
        )  # fmt: skip

    def _shell(self, request: Request) -> Shell:
        shell = self._listener.shells.get(request.selector("ShellId").upper())
        if shell is None:
            text = "The request for the Windows Remote Shell with the given ShellId failed: it was not found. "
            raise Fault(NO_SUCH_SHELL, "w:InvalidSelectors", text)
        return shell

    def _command(self, request: Request) -> str:
        shell = self._shell(request)
        words = [request.text("Command")]
        words += [(e.text or "").strip() for e in request.root.iter(f"{{{SHELL}}}Arguments")]
        line = request.root.find(f".//{{{SHELL}}}CommandLine")
        name = (line.get("CommandId") if line is not None else None) or str(uuid.uuid4()).upper()
        self._listener.log.append(Entry("ran " + " ".join(words), self._user))
        shell.commands[name] = self._run(" ".join(words))
        if "ping" in words[0]:
            shell.waits[name] = time.monotonic() + 2.0
        return _envelope(
            request, SHELL + "/CommandResponse",
            f'<rsp:CommandResponse xmlns:rsp="{SHELL}"><rsp:CommandId>{name}</rsp:CommandId></rsp:CommandResponse>',
        )  # fmt: skip

    def _run(self, text: str) -> tuple[bytes, bytes, int]:
        """Output, errors and exit code of as few commands as make a shell believable."""
        text = text.strip().strip('"')
        if found := re.match(r'echo (\S+) >> "?([^"]+)"?$', text):
            self._listener.files[found[2]] = self._listener.files.get(found[2], b"") + found[1].encode()
            return b"", b"", 0
        if found := re.match(r"(?:cmd /c )?exit (\d+)", text):
            return b"", b"", int(found[1])
        if text.startswith("echo "):
            return text[5:].encode() + b"\r\n", b"", 0
        if text.lower().startswith("powershell"):
            return b"", b"", 0
        if text.startswith(("hostname", "ping")):
            return self._listener.machine.name.encode() + b"\r\n", b"", 0
        return b"", f"'{text}' is not recognized as an internal or external command.\r\n".encode(), 1

    def _receive(self, request: Request) -> str:
        shell = self._shell(request)
        wanted = next((e for e in request.root.iter(f"{{{SHELL}}}DesiredStream")), None)
        name = (wanted.get("CommandId") if wanted is not None else None) or ""
        if name not in shell.commands:
            raise Fault(NO_SUCH_SHELL, "w:InvalidSelectors", "The command was not found. ")
        patience = _seconds(request.text("OperationTimeout"))
        wait = shell.waits.get(name, 0.0) - time.monotonic()
        if wait > patience:
            self._listener.pause(patience)
            text = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout. "
            raise Fault(TIMED_OUT, "w:TimedOut", text, sender=False)
        if wait > 0:
            self._listener.pause(wait)
        out, wrong, code = shell.commands[name]
        streams = ""
        for stream, data in (("stdout", out), ("stderr", wrong)):
            if data:
                text = base64.b64encode(data).decode()
                streams += f'<rsp:Stream Name="{stream}" CommandId="{name}">{text}</rsp:Stream>'
            streams += f'<rsp:Stream Name="{stream}" CommandId="{name}" End="true"></rsp:Stream>'
        return _envelope(
            request, SHELL + "/ReceiveResponse",
            f'<rsp:ReceiveResponse xmlns:rsp="{SHELL}">{streams}<rsp:CommandState CommandId="{name}" '
            f'State="{SHELL}/CommandState/Done"><rsp:ExitCode>{code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>',
        )  # fmt: skip

    def _sent(self, request: Request) -> str:
        self._shell(request)
        return _envelope(request, SHELL + "/SendResponse", f'<rsp:SendResponse xmlns:rsp="{SHELL}"/>')

    def _signal(self, request: Request) -> str:
        self._shell(request)
        return _envelope(request, SHELL + "/SignalResponse", f'<rsp:SignalResponse xmlns:rsp="{SHELL}"/>')

    def _delete(self, request: Request) -> str:
        self._shell(request)
        del self._listener.shells[request.selector("ShellId").upper()]
        return _envelope(request, TRANSFER + "/DeleteResponse", "")


def _cut(items: list[str], most: int, envelope: int) -> tuple[list[str], list[str]]:
    """As many items as may be sent: at most `most`, and in UTF-16 no larger than the envelope."""
    size, count = 4000, 0
    for item in items[:most]:
        size += 2 * len(item)
        if size > envelope and count:
            break
        count += 1
    return items[:count], items[count:]


def _item(query: wql.Query, namespace: str, row: dict[str, Any]) -> str:
    if query.properties:
        by_name = {key.lower(): key for key in row}
        names = [by_name[name.lower()] for name in query.properties]
        inner = "".join(_value("", name, row[name]) for name in names)
        return f'<w:XmlFragment xmlns:xsi="{XSI}" xmlns:w="{WSMAN}">{inner}</w:XmlFragment>'
    space = f"{WMI}{namespace}/{query.table}"
    inner = "".join(_value("p:", name, value) for name, value in sorted(row.items()))
    return (
        f"<p:{query.table} xmlns:p={quoteattr(space)} xmlns:xsi={quoteattr(XSI)} xmlns:cim={quoteattr(CIM)} "
        f'xsi:type="p:{query.table}_Type" xml:lang="en-US">{inner}</p:{query.table}>'
    )


def _value(prefix: str, name: str, value: Any) -> str:
    tag = prefix + name
    if value is None:
        return f'<{tag} xsi:nil="true"/>'
    if isinstance(value, list):
        return "".join(f"<{tag}>{escape(str(one))}</{tag}>" for one in value)
    if isinstance(value, datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"
        inner = f"<cim:Datetime>{text}</cim:Datetime>" if prefix else f"<Datetime>{text}</Datetime>"
        return f"<{tag}>{inner}</{tag}>"
    if isinstance(value, bool):
        return f"<{tag}>{str(value).lower()}</{tag}>"
    return f"<{tag}>{escape(str(value))}</{tag}>"


def _identity(user: str) -> str:
    version = "OS: 10.0.20348 SP: 0.0 Stack: 3.0" if user else "OS: 0.0.0 SP: 0.0 Stack: 3.0"
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{ENVELOPE}"><s:Header/><s:Body><wsmid:IdentifyResponse xmlns:wsmid="{IDENTITY}">'
        f"<wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion>"
        f"<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor><wsmid:ProductVersion>{version}</wsmid:ProductVersion>"
        "</wsmid:IdentifyResponse></s:Body></s:Envelope>"
    )  # fmt: skip


def _envelope(request: Request, action: str, body: str) -> str:
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{ENVELOPE}" xmlns:a="{ADDRESSING}" xmlns:n="{ENUMERATION}" '
        f'xmlns:w="{WSMAN}" xmlns:x="{TRANSFER}"><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID><a:To>{ANONYMOUS}</a:To>"
        f"<a:RelatesTo>{escape(request.id)}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def _fault(request: Request, fault: Fault) -> str:
    return _envelope(
        request, "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault",
        f"<s:Fault><s:Code><s:Value>s:{'Sender' if fault.sender else 'Receiver'}</s:Value><s:Subcode><s:Value>{fault.subcode}"
        f'</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">{escape(fault.text)}</s:Text></s:Reason>'
        f'<s:Detail><f:WSManFault xmlns:f="{FAULT}" Code="{fault.number}" Machine="127.0.0.1"><f:Message>'
        f"{escape(fault.text)}</f:Message></f:WSManFault></s:Detail></s:Fault>",
    )  # fmt: skip


def _seconds(duration: str) -> float:
    """PT20S, PT60.000S, PT1M, PT1M30S (Go writes minutes)."""
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", duration)
    if found is None:
        return 60.0
    return 3600 * int(found[1] or 0) + 60 * int(found[2] or 0) + float(found[3] or 0)


class Certificate:
    """A self-signed certificate for 127.0.0.1 and localhost, made for one listener."""

    def __init__(self, directory: Path, days: int = 365) -> None:
        from datetime import UTC, timedelta
        from ipaddress import ip_address

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SYNTH01")])
        now = datetime.now(UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1000))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.der = made.public_bytes(serialization.Encoding.DER)
        self.pem = made.public_bytes(serialization.Encoding.PEM).decode()
        self.file = directory / f"{uuid.uuid4()}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.file.write_bytes(private + self.pem.encode())

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


def _tell_users(users: dict[str, str]) -> None:
    """pyspnego's acceptor knows one file of users a process: it keeps all that any listener has."""
    with _users_lock:
        _users_written.update(users)
        path = Path(tempfile.gettempdir()) / f"pantau-ntlm-users-{os.getpid()}"
        lines = []
        for user, password in _users_written.items():
            domain, _, name = user.rpartition("\\")
            lines.append(f"{domain}:{name}:{password}\n")
        path.write_text("".join(lines))
        atexit.register(path.unlink, missing_ok=True)
        path.chmod(0o600)
        os.environ["NTLM_USER_FILE"] = str(path)


@contextlib.contextmanager
def listening(machine: Windows | None = None, **named: Any) -> Iterator[Listener]:
    """A running listener of the test's own."""
    listener = Listener(machine, **named).start()
    try:
        yield listener
    finally:
        listener.close()


def main() -> None:
    """A listener to try things on, until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5985)
    parser.add_argument("--https", action="store_true", help="with a certificate of its own")
    parser.add_argument("--basic", action="store_true", help="accept Basic as well")
    parser.add_argument("--clear", action="store_true", help="accept bodies that are not sealed")
    parser.add_argument("--user", default="pantau-read")
    parser.add_argument("--password", default=PASSWORDS["pantau-read"])
    parser.add_argument("--roles", nargs="*", default=[], choices=("iis", "sql", "hyperv"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        certificate = Certificate(Path(directory)) if asked.https else None
        guests = (("6A1F0C52-0000-4000-8000-000000000001", "web-guest", 2, 5),) if "hyperv" in asked.roles else ()
        machine = Windows(roles=tuple(asked.roles), guests=guests)
        users = {asked.user: asked.password}
        with listening(
            machine, certificate=certificate, users=users, basic=asked.basic, clear=asked.clear, port=asked.port
        ) as listener:
            print(f"listening on 127.0.0.1:{listener.port} for {asked.user}", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


if __name__ == "__main__":
    main()
