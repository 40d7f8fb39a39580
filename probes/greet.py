"""What a machine says to a stranger: an SSH banner, a page's title, a certificate's names, an SNMP agent's own words.

For discovery alone. No login is tried; each greeting has its own short deadline and its own cap on bytes, and what comes
is cleaned before anybody sees it. A machine that says nothing useful brings an empty answer, never an error.
"""

from __future__ import annotations

import asyncio
import html
import re
import ssl
from dataclasses import dataclass

from domain.reading import Secret
from probes import certificate
from probes.base import Keep
from probes.limits import Deadline, Meter, TooLate, TooMuch, clean
from probes.names import Place
from probes.snmp import Options as SnmpOptions
from probes.snmp import ber, speak
from probes.snmp.engine import Blocked, Engine, Silent
from probes.snmp.session import Nonsense, Rejected, Session

BANNER, PAGE, SNMP = 255, 32 * 1024, 16 * 1024
"""The most bytes of each greeting (RFC 4253, section 4.2, for the first)."""
SYSTEM = {"description": "1.3.6.1.2.1.1.1.0", "name": "1.3.6.1.2.1.1.5.0"}
"""sysDescr and sysName (SNMPv2-MIB, RFC 3418)."""
TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)
TROUBLES = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, EOFError)


@dataclass(frozen=True, slots=True)
class Page:
    """What a web server shows: its title, what it calls itself, and the names its certificate is for."""

    title: str = ""
    server: str = ""
    names: tuple[str, ...] = ()


async def ssh_banner(place: Place, port: int, seconds: float) -> str:
    """The identification line, such as `SSH-2.0-OpenSSH_9.2p1 Debian-2`; "" where it is none."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(place.address, port, limit=4 * BANNER)
            try:
                line = await reader.readuntil(b"\n")
            finally:
                writer.transport.abort()
    except (TimeoutError, *TROUBLES):
        return ""
    said = clean(line.strip(), BANNER)
    return said if said.startswith("SSH-") else ""


async def web_page(place: Place, port: int, seconds: float, *, tls: bool) -> Page:
    """The first page, without following anything. Certificates are read, not believed: nothing secret is sent."""
    context = _unbelieving() if tls else None
    names: tuple[str, ...] = ()
    taken = b""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(place.address, port, ssl=context, limit=PAGE)
            try:
                names = _names(writer) if tls else ()
                host = f"[{place.address}]" if ":" in place.address else place.address
                asked = f"GET / HTTP/1.0\r\nHost: {host}\r\nUser-Agent: Pantau\r\nAccept: text/html\r\n\r\n"
                writer.write(asked.encode())
                while len(taken) < PAGE and (more := await reader.read(PAGE - len(taken))):
                    taken += more
                    if TITLE.search(taken) and b"\r\n\r\n" in taken:
                        break
            finally:
                writer.transport.abort()
    except (TimeoutError, *TROUBLES):
        pass  # what came until then is told
    head, _, _ = taken.partition(b"\r\n\r\n")
    server = re.search(rb"^server:[ \t]*([^\r\n]{1,200})", head, re.IGNORECASE | re.MULTILINE)
    title = TITLE.search(taken)
    text = html.unescape(clean(title[1], 300)) if title else ""
    return Page(clean(" ".join(text.split()).encode(), 120), clean(server[1], 80) if server else "", names)


async def snmp_system(place: Place, secret: Secret, keep: Keep, seconds: float, port: int = 161) -> dict[str, str]:
    """`description` and `name` as the agent tells them; nothing where it does not answer to this secret."""
    voice = speak(SnmpOptions(), secret)
    if isinstance(voice, str):
        return {}
    engine = keep.get(("snmp",), Engine)
    session = Session(engine, place, port, voice, Deadline(seconds), Meter(SNMP))
    wanted = {ber.name(text): key for key, text in SYSTEM.items()}
    try:
        async with asyncio.timeout(seconds + 0.5):
            found = await session.get(list(wanted))
    except (Silent, Blocked, Rejected, Nonsense, TooLate, TooMuch, TimeoutError, ber.Malformed):
        return {}
    return {wanted[name]: clean(value, 300) for name, (_, value) in found.items() if isinstance(value, bytes)}


def _unbelieving() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _names(writer: asyncio.StreamWriter) -> tuple[str, ...]:
    line = writer.get_extra_info("ssl_object")
    der = line.getpeercert(binary_form=True) if line is not None else None
    return certificate.names(der) if der else ()
