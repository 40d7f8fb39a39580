"""Where callers wait: outside the threads, until they have said what they want; whoever says nothing is sent away.

gunicorn gives every connection a thread as soon as one byte came. Here one loop shakes hands (TLS), takes whole headers
and small bodies in, hands over what is ready, and carries off what slow readers are owed. So a thread is held only by
work, by a live page, or by one of few large bodies.
"""

from __future__ import annotations

import errno
import logging
import re
import selectors
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import Future
from enum import Enum
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from gunicorn import http
from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import TConn, ThreadWorker

from webui.lines import Debt, Plain, Secure, Unhurried
from webui.patience import Patience

_log = logging.getLogger("web")
HEAD = SMALL = 32 * 1024
"""Bytes of headers at most; bytes of a body that are waited for here rather than in a thread."""
LINE = 8190
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?:\r\n|\Z)")
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Stage(Enum):
    """What is waited for."""

    SPEAKING = "a request"
    PAYING = "an answer to be taken"
    LEAVING = "the other side to hang up"


class Caller(TConn):  # type: ignore[misc]
    """One connection: what it said so far, and until when it may wait."""

    def __init__(self, cfg: Any, line: Plain | Secure, client: Any, server: Any, *, shaken: bool) -> None:
        super().__init__(cfg, line, client, server)
        self.initialized = self.data_ready = True  # gunicorn is not to read or to shake hands by itself
        self.source = source_of(str(client[0]))
        self.shaken = shaken
        self.said = bytearray()
        self.stage, self.deadline, self.wants = Stage.SPEAKING, 0.0, _READ
        self.heavy = self.kept = self.resting = self.posting = False
        self.drained = 0

    def shake(self) -> bool:
        """Whether hands are shaken; otherwise `wants` says what for to wait. Raises OSError."""
        try:
            if not self.shaken:
                self.sock.do_handshake()
                self.shaken = True
        except ssl.SSLWantReadError:
            self.wants = _READ
        except ssl.SSLWantWriteError:
            self.wants = _WRITE
        return self.shaken

    def hear(self) -> bool:
        """Take in what came, as far as it is waited for here; False when the other side hung up. Raises OSError."""
        self.wants = _READ
        try:
            while len(self.said) <= HEAD + SMALL:
                data = self.sock.recv(16 * 1024)
                if not data:
                    return False
                self.said += data
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except ssl.SSLWantWriteError:
            self.wants = _WRITE
        return True


def source_of(address: str) -> str:
    """Who counts as one: an IPv4 address, or a whole network of one customer (/64) of IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return str(IPv6Network((int(found) >> 64 << 64, 64)))
    return str(getattr(found, "ipv4_mapped", None) or found)


def wanted(said: bytes | bytearray) -> int | None:
    """How many bytes this request has; None before its headers are whole, -1 where only reading it tells.

    Decides only how long to wait: gunicorn reads the same bytes and is the judge of them.
    """
    end = said.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(said[:end]).lower()
    if b"\r\ntransfer-encoding" in head or b"\r\nexpect" in head:
        return -1
    found = _LENGTH.search(head)
    return end + 4 + (int(found[1]) if found else 0)


def refusal(status: str, words: str) -> bytes:
    """An answer to what is not even handed over."""
    return (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 30\r\n"
        f"Content-Length: {len(words) + 1}\r\n\r\n{words}\n"
    ).encode()


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker with threads, and a waiting room before them. Only the loop's own thread touches the room."""

    def init_process(self) -> None:
        """Open the room; `patience` and `proxies` are the application's."""
        self._patience: Patience = self.app.patience
        self._proxies: tuple[IPv4Network | IPv6Network, ...] = tuple(self.app.proxies)
        self._room: dict[Caller, None] = {}
        self._from, self._heavy = Counter[str](), Counter[str]()
        self._debt, self._crowded, self._swept = Debt(), False, 0.0
        self._tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        if self._tls is not None:
            self._tls.sslsocket_class = Secure
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Somebody calls."""
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        try:
            line = self._line(accepted)
        except OSError:  # gone already
            accepted.close()
            return
        self.nr_conns += 1
        caller = Caller(self.cfg, line, client, listener.getsockname(), shaken=self._tls is None)
        self._wait(caller, Stage.SPEAKING, self._patience.head)
        self._hear(caller)

    def finish_request(self, conn: Caller, fs: Future[Any]) -> None:
        """The thread is done with it: what is still owed is paid here, then comes the next request or the end."""
        if conn.heavy:
            conn.heavy = False
            self._heavy[conn.source] -= 1
        conn.kept = bool(not fs.cancelled() and fs.exception() is None and fs.result() and self.alive)
        if conn.sock.fileno() < 0:
            self._gone(conn)
            return
        conn.sock.setblocking(False)
        self._part(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """At the very end nobody waits any more."""
        for caller in [*self._room] if force else ():
            self._drop(caller)

    def murder_pending(self) -> None:
        """Send away who waited too long."""
        now = time.monotonic()
        if now - self._swept < 0.2:
            return
        self._swept = now
        for caller in [one for one in self._room if one.deadline <= now]:
            self._drop(caller)
        self._crowded = self._crowded and len(self._room) > self._patience.room // 2

    def _cap_keepalive(self, deadline: float) -> None:
        for caller in self._room:
            caller.deadline = min(caller.deadline, deadline)

    def _line(self, accepted: socket.socket) -> Plain | Secure:
        accepted.setblocking(False)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # whoever vanished without a word is not written to for ever
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._patience.answer * 1000))
        line: Plain | Secure
        if self._tls is None:
            line = Plain(fileno=accepted.detach())
        else:
            wrapped = self._tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            assert isinstance(wrapped, Secure)
            line = wrapped
        line.begin(self._debt, self._patience.answer, self._patience.rate)
        return line

    def _wait(self, caller: Caller, stage: Stage, seconds: float) -> None:
        if self._from[caller.source] >= self._patience.each and not self._proxied(caller.source):
            self._make_room(caller.source)
        if len(self._room) >= self._patience.room:
            self._make_room(max(self._from, key=lambda source: (not self._proxied(source), self._from[source])))
        caller.stage, caller.deadline = stage, time.monotonic() + seconds
        caller.wants = _WRITE if stage is Stage.PAYING else _READ
        self._room[caller] = None
        self._from[caller.source] += 1
        self.poller.register(caller.sock, caller.wants, partial(self._step, caller))

    def _make_room(self, source: str | None = None) -> None:
        """Whoever waits longest for words of theirs (of this source) is sent away."""
        theirs = [one for one in self._room if source is None or one.source == source]
        silent = [one for one in theirs if one.stage is Stage.SPEAKING]
        if not self._crowded:
            self._crowded = True
            _log.warning(
                "Connections wait that send nothing, many from %s; the oldest are closed.", source or "everywhere"
            )
        for caller in (silent or theirs)[:1]:
            self._drop(caller)

    def _proxied(self, source: str) -> bool:
        try:
            return any(ip_address(source) in network for network in self._proxies)
        except ValueError:  # a network of IPv6
            return any(network.version == 6 and network.overlaps(IPv6Network(source)) for network in self._proxies)

    def _step(self, caller: Caller, _line: Any) -> None:
        {Stage.SPEAKING: self._hear, Stage.PAYING: self._pay, Stage.LEAVING: self._drain}[caller.stage](caller)

    def _hear(self, caller: Caller) -> None:
        try:
            ended = caller.shake() and not caller.hear()
        except OSError:  # the other side broke off, or speaks no TLS
            self._drop(caller)
            return
        if caller.resting and caller.said:
            caller.resting, caller.deadline = False, time.monotonic() + self._patience.head
        self._judge(caller)
        if caller not in self._room or caller.stage is not Stage.SPEAKING:
            return
        if ended:
            self._drop(caller)
        elif self.poller.get_key(caller.sock).events != caller.wants:
            self.poller.modify(caller.sock, caller.wants, partial(self._step, caller))

    def _judge(self, caller: Caller) -> None:
        """Hand over what is whole, refuse what is too much, and let the rest wait."""
        size = wanted(caller.said)
        if size is None:
            if len(caller.said) > HEAD:
                long = b"\r\n" not in caller.said[: LINE + 2]
                status = "414 URI Too Long" if long else "431 Request Header Fields Too Large"
                self._refuse(caller, status, "The request is too long.")
        elif size < 0 or size > HEAD + SMALL:
            self._carry(caller)
        elif len(caller.said) >= size:
            self._hand_over(caller)
        elif not caller.posting:
            caller.posting, caller.deadline = True, time.monotonic() + self._patience.body

    def _carry(self, caller: Caller) -> None:
        """A large body: a thread reads it, of which there are few for that.

        One source has at most a quarter as many of them as are still free (dynamic thresholds: Choudhury and Hahne, 1998), so
        that the more are taken the less one takes, and some are left for whoever has none.
        """
        free = self._patience.heavy - sum(self._heavy.values())
        share = min(self._patience.heavy_each, free / 4)
        if free <= 0 or (self._heavy[caller.source] >= share and not self._proxied(caller.source)):
            self._refuse(
                caller, "503 Service Unavailable", "Too much is sent here at once. Try again in half a minute."
            )
            return
        caller.heavy = True
        self._heavy[caller.source] += 1
        self._hand_over(caller)

    def _hand_over(self, caller: Caller) -> None:
        self._forget(caller)
        if caller.parser is None:
            caller.parser = http.get_parser(self.cfg, caller.sock, caller.client)
            caller.parser.unreader = Unhurried(caller.sock, self._patience.body, self._patience.rate)
        caller.parser.unreader.begin()
        caller.parser.unreader.unread(bytes(caller.said))
        caller.said.clear()
        caller.posting = False
        self.enqueue_req(caller)

    def _refuse(self, caller: Caller, status: str, words: str) -> None:
        self._forget(caller)
        caller.kept = False
        try:
            caller.sock.sendall(refusal(status, words))
        except OSError:
            self._gone(caller)
            return
        self._part(caller)

    def _part(self, caller: Caller) -> None:
        """After an answer (outside the room)."""
        if caller.sock.owed:
            self._wait(caller, Stage.PAYING, caller.sock.due(len(caller.sock.owed)))
        elif caller.kept:
            caller.said += caller.parser.unreader.take_buffered()
            caller.resting = not caller.said
            self._wait(caller, Stage.SPEAKING, self._patience.idle if caller.resting else self._patience.head)
            self._hear(caller)
        else:
            self._leave(caller)

    def _pay(self, caller: Caller) -> None:
        try:
            paid = caller.sock.pay()
        except OSError:
            self._drop(caller)
            return
        if paid:
            self._forget(caller)
            self._part(caller)

    def _leave(self, caller: Caller) -> None:
        """Say that this was all, and wait a moment: hanging up on words still unread would spoil our last ones."""
        try:
            caller.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._gone(caller)
            return
        self._wait(caller, Stage.LEAVING, self._patience.leave)

    def _drain(self, caller: Caller) -> None:
        try:
            data = caller.sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        caller.drained += len(data)
        if not data or caller.drained > HEAD + SMALL:
            self._drop(caller)

    def _forget(self, caller: Caller) -> None:
        del self._room[caller]
        self._from[caller.source] -= 1
        if not self._from[caller.source]:
            del self._from[caller.source]
        self.poller.unregister(caller.sock)

    def _drop(self, caller: Caller) -> None:
        self._forget(caller)
        self._gone(caller)

    def _gone(self, caller: Caller) -> None:
        self.nr_conns -= 1
        caller.close()
